//! What was asked for under an `Idempotency-Key`, so that a retry is answered as the first request was, and another
//! request under the same key is not taken for one.
//!
//! A key is its product's own. The restock is called as the key is; where another product has a restock of that name,
//! for one delivery may bring several products, it has the name that [`RestockId::of_product`] makes. Two requests are
//! the same where the same update was read from them: white space, the order of fields and unknown ones do not count.

use std::time::Duration;

use domain::{ProductId, RestockId};
use http::StatusCode;
use jiff::Timestamp;
use platform::{
    chance,
    http::Problem,
    kafka::Written,
    table::{ItemKey, Table, TableError, item, read},
};
use serde::{Deserialize, Serialize};

/// How long a key is known: as long as the restock that it names.
const KEPT_SECONDS: i64 = 400 * 86_400;
/// How long the table may take. Kafka needs its time after it, and the function's time-out is 15 s.
const BEFORE: Duration = Duration::from_secs(5);
/// How long the note may take that the update is written. Without it, a retry publishes once more.
const AFTER: Duration = Duration::from_secs(2);

/// The item of a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    product_id: ProductId,
    /// The update's fingerprint.
    body: String,
    /// When it happened, by the first request: a retry does not make it a later update.
    occurred_at: Timestamp,
    /// Where it lies, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    place: Option<(i32, i64)>,
    ttl: i64,
}

/// A request that may go on under its key.
pub(crate) struct Turn {
    /// The restock that it is about.
    pub(crate) restock_id: RestockId,
    request: Request,
}

/// Why a request may not.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotNow {
    /// It is another one than the first under its key.
    #[error("another update came under this key")]
    Another,
    /// The table did not do its part.
    #[error(transparent)]
    Table(#[from] TableError),
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
        tracing::error!(error = %platform::causes(&why), "whether a key was used is not known");
        Self::try_later(
            "the table cannot be reached right now, and nothing was published; please send the update again, \
             with the same Idempotency-Key so that it counts once",
            2,
        )
    }
}

/// Finds out whether an update of `product` came under the name `name` before, and writes down that it did.
pub(crate) async fn turn(
    table: &Table,
    name: &RestockId,
    product: &ProductId,
    body: String,
    occurred_at: Timestamp,
) -> Result<Turn, NotNow> {
    let ttl = chance::now().as_second() + KEPT_SECONDS;
    let request = Request { product_id: product.clone(), body, occurred_at, place: None, ttl };
    // Boxed, for most requests come without a key and need no room for the SDK's futures.
    let claim = Box::pin(claim(table, name, request));
    tokio::time::timeout(BEFORE, claim).await.unwrap_or(Err(NotNow::TooSlow))
}

async fn claim(table: &Table, name: &RestockId, request: Request) -> Result<Turn, NotNow> {
    for restock_id in [name.clone(), name.of_product(&request.product_id)] {
        let new = item(&ItemKey::named(&restock_id), &request)?;
        // An item whose time is over is not there, even if the table has not removed it yet.
        let now = aws_sdk_dynamodb::types::AttributeValue::N(chance::now().as_second().to_string());
        let condition = "attribute_not_exists(pk) OR #ttl < :now";
        match table.put_if(new, condition, &[("#ttl", "ttl")], vec![(":now", now)]).await? {
            Ok(()) => return Ok(Turn { restock_id, request }),
            Err(found) => {
                let found = found.ok_or_else(|| TableError::contended("a key"))?;
                let first: Request = read(found, "request")?;
                if first.product_id == request.product_id {
                    let same = first.body == request.body;
                    return if same { Ok(Turn { restock_id, request: first }) } else { Err(NotNow::Another) };
                }
            }
        }
    }
    Err(NotNow::Another)
}

impl Turn {
    /// When the update happened.
    pub(crate) fn occurred_at(&self) -> Timestamp {
        self.request.occurred_at
    }

    /// Where an earlier request of the same kind has written it.
    pub(crate) fn written(&self) -> Option<Written> {
        self.request.place.map(|(partition, offset)| Written { partition, offset })
    }

    /// Writes down where the update lies. If that fails, a retry publishes it once more: the same restock, with the same
    /// time.
    pub(crate) async fn is_done(self, table: &Table, written: &Written) {
        let request = Request { place: Some((written.partition, written.offset)), ..self.request };
        let noted = Box::pin(async { table.put(item(&ItemKey::named(&self.restock_id), &request)?).await });
        match tokio::time::timeout(AFTER, noted).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(error = %platform::causes(&error), "a retry will be published again")
            }
            Err(_) => tracing::warn!("a retry will be published again"),
        }
    }
}
