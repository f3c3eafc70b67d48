//! The cursor of a shard: how far its waitlist is delivered. The record is [`domain::cursor::Cursor`], with the token of
//! its last write.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use domain::backoff::Backoff;
use domain::cursor::Cursor;
use domain::{ProductId, Shard};
use serde::{Deserialize, Serialize};

use crate::item::{Item, PK, SK, from_item, number, parsed, string, text, to_item};
use crate::request::Condition;
use crate::{ItemKey, Outcome, Store, StoreError, waitlist};

const KIND: &str = "cursor";
const TOKEN: &str = "token";
/// The attribute of [`StoredCursor::ended`].
pub(crate) const ENDED: &str = "ended";

/// The pause before a write that met a transaction is tried again, with a random part.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(5), 4);
/// How often it is.
const ROUNDS: u32 = 8;

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
    /// How many entries have ended before their turn: a subscriber left, or was erased or suppressed. Each such end is one
    /// transaction with its entry, so a worker whose write finds another number has read entries that may be gone.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub ended: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What became of a write of a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Swapped {
    /// It is written.
    Applied,
    /// Another worker has written since.
    Lost,
    /// No worker has written since, but entries have ended: so many by now. Nothing is written.
    EntryEnded(u64),
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
        let item = self.0.get_item(&key(product, shard)).await?;
        Ok(item.map(stored).transpose()?.unwrap_or_default())
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
            let stored = item.map(stored).transpose().ok()?;
            Some((*shard, stored.unwrap_or_default()))
        });
        Ok(stored.collect())
    }

    /// Writes a shard's cursor under `token`, unless it was written since `seen` (`None`: since it was not there), or other
    /// entries than `ended` have ended. So of two workers that saw the same cursor one is refused, and a worker that was
    /// refused must not send. A write that was applied and whose answer was lost is recognised by its token when it is tried
    /// again.
    ///
    /// # Errors
    /// Every kind of [`StoreError`]; `Contended` where one entry after the other ends at this moment. After one that [is transient](StoreError::is_transient) it is not
    /// known whether the cursor was written.
    pub async fn swap(
        self,
        product: &ProductId,
        shard: Shard,
        cursor: &Cursor,
        (seen, ended): (Option<&str>, u64),
        token: &str,
    ) -> Result<Swapped, StoreError> {
        let stored = StoredCursor { cursor: cursor.clone(), token: Some(token.to_owned()), ended };
        let item = to_item(&key(product, shard), &stored, KIND)?;
        let mut round = 0;
        loop {
            let written = self.0.put_if(item.clone(), condition(seen, ended)).await;
            match written {
                // An entry is ending at this moment: nothing is written.
                Err(StoreError::Contended { .. }) if round < ROUNDS => {
                    round += 1;
                    tokio::time::sleep(BACKOFF.jittered(round, rand::random())).await;
                }
                written => return Ok(swapped(written?, seen, token)),
            }
        }
    }
}

/// Reads a cursor. One that holds nothing but how many entries have ended was never written by a worker.
fn stored(item: Item) -> Result<StoredCursor, StoreError> {
    match parsed(&item, ENDED) {
        Some(ended) if item.keys().all(|name| [PK, SK, ENDED].contains(&name.as_str())) => {
            Ok(StoredCursor { ended, ..StoredCursor::default() })
        }
        _ => from_item(item, KIND),
    }
}

/// That the cursor is as it was seen.
fn condition<'a>(seen: Option<&str>, ended: u64) -> Condition<'a> {
    let condition = match (seen, ended) {
        (None, 0) => Condition::new("attribute_not_exists(#token) AND attribute_not_exists(#ended)"),
        (None, _) => Condition::new("attribute_not_exists(#token) AND #ended = :ended"),
        (Some(_), 0) => Condition::new("#token = :seen AND attribute_not_exists(#ended)"),
        (Some(_), _) => Condition::new("#token = :seen AND #ended = :ended"),
    };
    let condition = condition.name("#token", TOKEN).name("#ended", ENDED);
    let condition = match seen {
        Some(seen) => condition.value(":seen", string(seen)),
        None => condition,
    };
    if ended > 0 { condition.value(":ended", number(ended)) } else { condition }
}

/// Whether the cursor is written under `token`: by this request, or by an earlier one whose answer was lost.
fn swapped(written: Outcome<(), Option<Item>>, seen: Option<&str>, token: &str) -> Swapped {
    match written {
        Outcome::Applied(()) => Swapped::Applied,
        Outcome::Refused(Some(found)) => match text(&found, TOKEN) {
            is if is == Some(token) => Swapped::Applied,
            // A number that cannot be read is none that could be written: the next worker reads the cursor anew.
            is if is == seen => parsed(&found, ENDED).map_or(Swapped::Lost, Swapped::EntryEnded),
            _ => Swapped::Lost,
        },
        Outcome::Refused(None) => Swapped::Lost,
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
        let stored = StoredCursor { cursor, token: Some("t".to_owned()), ended: 3 };
        let item = to_item(&key(&product, Shard::mail(3)), &stored, KIND).unwrap();
        assert_eq!((text(&item, "sk"), text(&item, TOKEN)), (Some("CURSOR"), Some("t")));
        assert_eq!(from_item::<StoredCursor>(item, KIND).unwrap(), stored);
    }

    #[test]
    fn a_cursor_that_no_worker_has_written_yet_says_how_many_entries_have_ended_and_an_odd_one_is_unreadable()
    {
        let product = ProductId::parse("p").unwrap();
        let mut item = key(&product, Shard::mail(3)).attributes();
        item.insert(ENDED.to_owned(), number(2));
        let bare = StoredCursor { ended: 2, ..StoredCursor::default() };
        assert_eq!(stored(item.clone()).unwrap(), bare);
        item.insert("other".to_owned(), number(1));
        assert!(stored(item).unwrap_err().is_corrupt());
    }

    #[test]
    fn a_write_that_was_applied_before_is_applied_and_any_other_is_refused() {
        let found = |token: &str, ended: Option<u64>| {
            let mut item = Item::from([(TOKEN.to_owned(), string(token))]);
            item.extend(ended.map(|ended| (ENDED.to_owned(), number(ended))));
            Some(item)
        };
        let none = Some(Item::from([(ENDED.to_owned(), number(1))]));
        for (written, seen, outcome) in [
            (Outcome::Applied(()), Some("seen"), Swapped::Applied),
            (Outcome::Refused(found("mine", None)), Some("seen"), Swapped::Applied),
            (Outcome::Refused(found("mine", Some(9))), Some("seen"), Swapped::Applied),
            (Outcome::Refused(found("another", None)), Some("seen"), Swapped::Lost),
            (Outcome::Refused(found("another", Some(2))), Some("seen"), Swapped::Lost),
            (Outcome::Refused(found("seen", Some(2))), Some("seen"), Swapped::EntryEnded(2)),
            (Outcome::Refused(none), None, Swapped::EntryEnded(1)),
            (Outcome::Refused(found("another", Some(1))), None, Swapped::Lost),
            (Outcome::Refused(Some(Item::new())), Some("seen"), Swapped::Lost),
            (Outcome::Refused(None), Some("seen"), Swapped::Lost),
        ] {
            assert_eq!(swapped(written.clone(), seen, "mine"), outcome, "{written:?}");
        }
    }
}
