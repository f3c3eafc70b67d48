//! Requests under an `Idempotency-Key`: a retry is answered as the first request was, and another request under the same key
//! is not taken for one.
//!
//! A key is its product's own. The restock is called as the key is; where another product has a restock of that name,
//! for one delivery may bring several products, it has the name that [`RestockId::of_product`] makes. Two requests are
//! the same where the same update was read from them: white space, the order of fields and unknown ones do not count.

use std::time::Duration;

use domain::{ProductId, RestockId};
use http::StatusCode;
use jiff::Timestamp;
use kafka::Written;
use lambda::clock;
use lambda::http::Problem;
use store::name::{Asked, Named};
use store::{Store, StoreError};

/// The table's share of the time. Kafka needs its own after it, and the function's time-out is 15 s.
const BEFORE: Duration = Duration::from_secs(5);
/// The time for the note that the update is written. Without it, a retry publishes once more.
const AFTER: Duration = Duration::from_secs(2);

/// A request that may go on under its key.
pub(crate) struct Turn {
    /// The restock that it is about.
    pub(crate) restock_id: RestockId,
    product: ProductId,
    asked: Asked,
}

/// Why a request may not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotNow {
    /// It is another one than the first under its key.
    #[error("another update came under this key")]
    Another,
    /// The table did not do its part.
    #[error(transparent)]
    Table(#[from] StoreError),
    /// The table took too long.
    #[error("the table does not answer in time")]
    TooSlow,
}

impl From<NotNow> for Problem {
    fn from(why: NotNow) -> Self {
        if let NotNow::Another = why {
            let detail = "the Idempotency-Key was used for another update of this product";
            return Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
                .accepting("the same update again, or another Idempotency-Key");
        }
        tracing::error!(error = %lambda::error_chain(&why), "whether a key was used is not known");
        Self::try_later(
            "the table cannot be reached right now, and nothing was published; please send the update again, \
             with the same Idempotency-Key so that it counts once",
            2,
        )
    }
}

/// Finds out whether an update of `product` came under the name `name` before, and writes down that it did.
pub(crate) async fn turn(
    store: &Store,
    name: &RestockId,
    product: &ProductId,
    body: String,
    now: Timestamp,
) -> Result<Turn, NotNow> {
    let asked = Asked { body, received_at: now, place: None };
    let new = Named::new(product, Some(asked.clone()), now);
    // Boxed, for most requests come without a key and need no room for the SDK's futures.
    let taken = Box::pin(store.names().take(name, &new, now));
    let (restock_id, known) = tokio::time::timeout(BEFORE, taken).await.map_err(|_| NotNow::TooSlow)??;
    // A record of another writer to the topic may have had the name first: it says nothing of a request.
    let asked = match known.and_then(|known| known.request) {
        Some(first) if first.body != asked.body => return Err(NotNow::Another),
        Some(first) => first,
        None => asked,
    };
    Ok(Turn { restock_id, product: product.clone(), asked })
}

impl Turn {
    /// When the first request of the same kind came: a retry does not make it a later update.
    pub(crate) fn received_at(&self) -> Timestamp {
        self.asked.received_at
    }

    /// Where an earlier request of the same kind has written it.
    pub(crate) fn written(&self) -> Option<Written> {
        self.asked.place.map(|(partition, offset)| Written { partition, offset })
    }

    /// Writes down where the update lies. If that fails, a retry publishes it once more: the same restock, with the same
    /// time.
    pub(crate) async fn done(self, store: &Store, written: &Written) {
        let place = Some((written.partition, written.offset));
        let named = Named::new(&self.product, Some(Asked { place, ..self.asked }), clock::now());
        let noted = Box::pin(store.names().put(&self.restock_id, &named));
        match tokio::time::timeout(AFTER, noted).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %lambda::error_chain(&error), "a retry will be published again");
            }
            Err(_) => tracing::warn!("a retry will be published again"),
        }
    }
}
