//! The cursor of a shard: how far its waitlist is delivered. The record is [`domain::cursor::Cursor`], with the token of
//! its last write.

use std::collections::{BTreeMap, HashMap};

use domain::cursor::Cursor;
use domain::{ProductId, Shard};
use serde::{Deserialize, Serialize};

use crate::item::{Item, PK, from_item, string, text, to_item};
use crate::request::Condition;
use crate::{ItemKey, Outcome, Store, StoreError, waitlist};

const KIND: &str = "cursor";
const TOKEN: &str = "token";

/// The sort key of a shard's cursor.
pub(crate) const SORT_KEY: &str = "CURSOR";

/// The key of a shard's cursor.
pub fn key(product: &ProductId, shard: Shard) -> ItemKey {
    ItemKey::new(waitlist::partition(product, shard), SORT_KEY)
}

/// A cursor as it stands in the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCursor {
    /// The cursor.
    #[serde(flatten)]
    pub cursor: Cursor,
    /// The token of its last write; every write has one of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// The cursors of the shards.
#[derive(Clone, Copy)]
pub struct Cursors<'a>(pub(crate) &'a Store);

impl Cursors<'_> {
    /// A shard's cursor, strongly consistent; a shard that was never delivered has the default one.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn read(self, product: &ProductId, shard: Shard) -> Result<StoredCursor, StoreError> {
        Ok(self.0.get(&key(product, shard), KIND).await?.unwrap_or_default())
    }

    /// The cursors of these shards in one request for each hundred, strongly consistent. One that cannot be read is left
    /// out; a shard that was never delivered has the default one.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn read_all(
        self,
        product: &ProductId,
        shards: &[Shard],
    ) -> Result<BTreeMap<Shard, StoredCursor>, StoreError> {
        if let [shard] = shards {
            return Ok(match self.read(product, *shard).await {
                Err(error) if error.is_corrupt() => BTreeMap::new(),
                read => BTreeMap::from([(*shard, read?)]),
            });
        }
        let keys = shards.iter().map(|shard| key(product, *shard));
        let mut found: HashMap<String, Item> = HashMap::new();
        for item in self.0.batch(keys, |all| all).await? {
            if let Some(pk) = text(&item, PK).map(str::to_owned) {
                found.insert(pk, item);
            }
        }
        let stored = shards.iter().filter_map(|shard| {
            let item = found.remove(&waitlist::partition(product, *shard));
            let stored = item.map(|item| from_item(item, KIND)).transpose().ok()?;
            Some((*shard, stored.unwrap_or_default()))
        });
        Ok(stored.collect())
    }

    /// Writes a shard's cursor under `token`, unless it was written since `seen` (`None`: since it was not there). So of
    /// two workers that saw the same cursor one is refused, and a worker that was refused must not send. A write that was
    /// applied and whose answer was lost is recognised by its token when it is tried again.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`. After one that [is transient](StoreError::is_transient) it is not
    /// known whether the cursor was written.
    pub async fn swap(
        self,
        product: &ProductId,
        shard: Shard,
        cursor: &Cursor,
        seen: Option<&str>,
        token: &str,
    ) -> Result<Outcome, StoreError> {
        let stored = StoredCursor { cursor: cursor.clone(), token: Some(token.to_owned()) };
        let item = to_item(&key(product, shard), &stored, KIND)?;
        let condition = match seen {
            None => Condition::new("attribute_not_exists(#token)"),
            Some(seen) => Condition::new("#token = :seen").value(":seen", string(seen)),
        };
        Ok(swapped(self.0.put_if(item, condition.name("#token", TOKEN)).await?, token))
    }
}

/// Whether the cursor is written under `token`: by this request, or by an earlier one whose answer was lost.
fn swapped(written: Outcome<(), Option<Item>>, token: &str) -> Outcome {
    match written {
        Outcome::Refused(Some(found)) if text(&found, TOKEN) == Some(token) => Outcome::Applied(()),
        other => other.plain(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use domain::cursor::Tally;
    use domain::{Position, RestockId};
    use jiff::Timestamp;

    use super::*;
    use crate::item::from_item;

    #[test]
    fn a_cursor_reads_back_from_its_item_with_its_flight_and_its_count() {
        let product = ProductId::parse("p").unwrap();
        let restock = RestockId::parse("r").unwrap();
        let cursor = Cursor { pending_retries: vec![Position::new(1, 1)], ..Cursor::default() }
            .switch_tally_to(Tally { sent: 7, ..Tally::new(restock) })
            .announce(1, Some(Position::new(9, 9)), 3, Timestamp::from_second(1_700_000_000).unwrap());
        let stored = StoredCursor { cursor, token: Some("t".to_owned()) };
        let item = to_item(&key(&product, Shard(3)), &stored, KIND).unwrap();
        assert_eq!((text(&item, "sk"), text(&item, TOKEN)), (Some("CURSOR"), Some("t")));
        assert_eq!(from_item::<StoredCursor>(item, KIND).unwrap(), stored);
    }

    #[test]
    fn a_write_that_was_applied_before_is_applied_and_any_other_is_refused() {
        let found = |token: &str| Some(Item::from([(TOKEN.to_owned(), string(token))]));
        for (written, outcome) in [
            (Outcome::Applied(()), Outcome::Applied(())),
            (Outcome::Refused(found("mine")), Outcome::Applied(())),
            (Outcome::Refused(found("another")), Outcome::Refused(())),
            (Outcome::Refused(Some(Item::new())), Outcome::Refused(())),
            (Outcome::Refused(None), Outcome::Refused(())),
        ] {
            assert_eq!(swapped(written, "mine"), outcome);
        }
    }
}
