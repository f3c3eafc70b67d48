//! The waitlist of a product: a log of entries, cut into shards. All reads that ask how many or which subscribers wait go
//! through this module, so that everyone has the same answer: an entry waits that has not expired, is not
//! [moved](Entry::moved) and stands past its shard's committed position, or is [owed a retry](pending_retries).

use std::collections::HashMap;

use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, Select, WriteRequest};
use domain::cursor::Cursor;
use domain::{Address, Locale, PersonId, Position, ProductId, Shard};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Cause;
use crate::item::{Item, TTL, is_expired, number, text, to_item};
use crate::request::{Pages, counted};
use crate::{ItemKey, Store, StoreError, cursor};

pub(crate) const KIND: &str = "entry";

/// The attributes that an email needs of an [`Entry`], and nothing else of it.
const WANTED: &str = "sk, subscriber, address, locale, #name, #ttl, #moved";
const WANTED_NAMES: [(&str, &str); 3] = [("#name", "name"), ("#ttl", TTL), ("#moved", MOVED)];
/// The attribute of an entry whose subscriber stands elsewhere by now.
pub(crate) const MOVED: &str = "moved";
/// Which entries of a query wait: those that have not expired and have not moved.
const WAITS: &str = "#ttl > :now AND attribute_not_exists(#moved)";
/// The entries of a shard that a thorough count looks at; a longer line is a lower bound. On AWS, so many entries are some
/// 60,000 read units.
const MOST_COUNTED: u64 = 1_000_000;
/// The entries that [`Waitlist::seed`] writes in one request, which is what `BatchWriteItem` takes.
pub const SEEDED_AT_ONCE: usize = 25;

/// The partition of a shard.
pub(crate) fn partition(product: &ProductId, shard: Shard) -> String {
    format!("W#{}#{shard}", product.key_part())
}

pub(crate) fn sort_key(position: Position) -> String {
    format!("E#{position}")
}

/// The position in an entry's sort key; `None` where it is no entry's.
fn position_of(sort_key: &str) -> Option<Position> {
    sort_key.strip_prefix("E#")?.parse().ok()
}

/// The pages of the keys of the entries in `(after, through]` that wait at `now`, strongly consistent.
pub(crate) fn waiting_places(
    store: &Store,
    product: &ProductId,
    shard: Shard,
    (after, through): (Position, Position),
    limit: i32,
    now: Timestamp,
) -> Pages {
    let range = (sort_key(after.next()), sort_key(through));
    let query = store.query(partition(product, shard), Some(range)).projection_expression("sk");
    let query = query
        .filter_expression(WAITS)
        .expression_attribute_names("#ttl", TTL)
        .expression_attribute_names("#moved", MOVED)
        .expression_attribute_values(":now", number(now.as_second()));
    Pages::of(query.limit(limit).consistent_read(true))
}

/// The position of an entry's key.
pub(crate) fn place_of(item: &Item) -> Option<Position> {
    text(item, "sk").and_then(position_of)
}

/// The key of an entry.
pub fn key(product: &ProductId, shard: Shard, position: Position) -> ItemKey {
    ItemKey::new(partition(product, shard), sort_key(position))
}

/// A waitlist entry: all that an email needs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Its subscriber.
    pub subscriber: PersonId,
    /// The address of the email.
    pub address: Address,
    /// The language of the email.
    pub locale: Locale,
    /// The name that the email greets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whether its subscriber stands elsewhere by now. It is never delivered, and stays only so that the link of an
    /// email that went out for it finds its subscriber.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moved: bool,
    /// When the table may forget it, in Unix seconds.
    pub ttl: i64,
}

/// The recipient of an email.
pub struct Addressee {
    /// The person, for the link to their alerts; `None` where it cannot be read, which keeps no email back.
    pub person: Option<PersonId>,
    /// The address of the email.
    pub address: Address,
    /// The language of the email.
    pub locale: Locale,
    /// The name that the email greets.
    pub name: Option<String>,
}

/// The entry at a position.
pub type Row = domain::delivery::Row<Addressee>;

/// A part of a shard.
pub struct Page {
    /// The entries in their order.
    pub entries: Vec<(Position, Row)>,
    /// There is nothing after it.
    pub last: bool,
    /// The number of items whose keys have no position. They stand in no entry's way and are left out.
    pub strays: usize,
}

/// The end of a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// The position of its last entry.
    pub last: Option<Position>,
    /// Whether it has an entry or a cursor: a shard without either never had an entry.
    pub used: bool,
}

/// A number of entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// The number of waiting entries.
    pub number: u64,
    /// All of them were counted; otherwise there are at least so many.
    pub exact: bool,
    /// The number of entries that were read for it: expired ones are, and retries are not.
    pub read: u64,
}

impl Count {
    /// No entry, exactly.
    pub const NONE: Self = Self { number: 0, exact: true, read: 0 };

    /// All of them together.
    pub fn sum(counts: impl IntoIterator<Item = Self>) -> Self {
        counts.into_iter().fold(Self::NONE, |a, b| Self {
            number: a.number + b.number,
            exact: a.exact && b.exact,
            read: a.read + b.read,
        })
    }

    /// The word of the HTTP API and the operator's documents for a number like this one: `exact` or `atLeast`.
    pub fn precision(self) -> &'static str {
        if self.exact { "exact" } else { "atLeast" }
    }
}

/// The thoroughness of a count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// One eventually consistent query, at half the price, that reads at most so many entries. A query that meets its
    /// limit cannot say that there are no more, so the number is exact only below it.
    AtMost(i32),
    /// Strongly consistent, page by page, up to a million entries.
    Thorough,
}

/// An entry in line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Its position.
    pub position: Position,
    /// Its subscriber, where it can be read.
    pub subscriber: Option<PersonId>,
}

/// The entries that are owed an email although they stand at or below the committed position: SES throttled them, and they
/// are carried, or the call in flight retries them. The others of that call stand past the committed position.
pub fn pending_retries(cursor: &Cursor) -> impl Iterator<Item = Position> {
    let retried = cursor.in_flight.iter().flat_map(|flight| &flight.retried);
    cursor.pending_retries.iter().chain(retried).copied()
}

/// One shard of a product's waitlist.
#[derive(Clone, Copy)]
pub struct Waitlist<'a> {
    pub(crate) store: &'a Store,
    pub(crate) product: &'a ProductId,
    pub(crate) shard: Shard,
}

impl Waitlist<'_> {
    fn key(&self, position: Position) -> ItemKey {
        key(self.product, self.shard, position)
    }

    fn partition(&self) -> String {
        partition(self.product, self.shard)
    }

    /// The entry at a position, strongly consistent.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn entry(self, position: Position) -> Result<Option<Entry>, StoreError> {
        self.store.get(&self.key(position), KIND).await
    }

    /// The subscriber of the entry at a position, strongly consistent. Nothing else of the entry is read: a subscriber
    /// whose address is not accepted any more can still unsubscribe.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn subscriber(self, position: Position) -> Result<Option<PersonId>, StoreError> {
        #[derive(Deserialize)]
        struct Owner {
            subscriber: PersonId,
        }
        let owner: Option<Owner> = self.store.get(&self.key(position), KIND).await?;
        Ok(owner.map(|owner| owner.subscriber))
    }

    /// The entries in `(after, through]`, at most `limit` of them, strongly consistent; of those that expired by `now`
    /// only the positions, and without those that have moved.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn page(
        self,
        after: Position,
        through: Position,
        limit: usize,
        now: Timestamp,
    ) -> Result<Page, StoreError> {
        let mut page = Page { entries: Vec::new(), last: true, strays: 0 };
        if after >= through {
            return Ok(page);
        }
        let range = (sort_key(after.next()), sort_key(through));
        let mut pages = Pages::of(
            self.store
                .query(self.partition(), Some(range))
                .projection_expression(WANTED)
                .set_expression_attribute_names(Some(wanted_names()))
                .limit(i32::try_from(limit).unwrap_or(i32::MAX))
                .consistent_read(true),
        );
        // A page of nothing but keys without a position and moved entries leads nowhere: the next one does.
        while page.entries.is_empty()
            && let Some(mut items) = pages.items().await?
        {
            items.retain(|item| !has_moved(item));
            let found = items.len();
            page.entries = items.into_iter().filter_map(|item| row(item, now)).collect();
            page.strays += found - page.entries.len();
        }
        page.last = pages.is_over();
        Ok(page)
    }

    /// The entries at these positions, strongly consistent; those that are gone or have moved are left out.
    ///
    /// # Errors
    /// `Unavailable`, also where DynamoDB gives none of them again and again, and `Denied`.
    pub async fn entries_at(
        self,
        positions: &[Position],
        now: Timestamp,
    ) -> Result<HashMap<Position, Row>, StoreError> {
        let keys = positions.iter().map(|position| self.key(*position));
        let wants = |asked: KeysAndAttributesBuilder| {
            asked.projection_expression(WANTED).set_expression_attribute_names(Some(wanted_names()))
        };
        let items = self.store.batch(keys, wants).await?;
        Ok(items.into_iter().filter(|item| !has_moved(item)).filter_map(|item| row(item, now)).collect())
    }

    /// The last item of the shard, strongly consistent: its last entry, or else its cursor. An item without a position in
    /// its key is no entry, and does not hide those before it.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn end(self) -> Result<End, StoreError> {
        let mut pages = Pages::of(
            self.store
                .query(self.partition(), None)
                .projection_expression("sk")
                .scan_index_forward(false)
                .limit(1)
                .consistent_read(true),
        );
        while let Some(items) = pages.items().await? {
            let sort_key = items.first().and_then(|item| text(item, "sk"));
            let last = sort_key.and_then(position_of);
            if last.is_some() || sort_key == Some(cursor::SORT_KEY) {
                return Ok(End { last, used: true });
            }
        }
        Ok(End { last: None, used: false })
    }

    /// The number that waits at or below `through`, given the shard's cursor: those past its committed position that have not
    /// expired by `now`, and its [pending retries](pending_retries).
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn count(
        self,
        cursor: &Cursor,
        through: Position,
        counting: Counting,
        now: Timestamp,
    ) -> Result<Count, StoreError> {
        let retries = pending_retries(cursor).filter(|position| *position <= through).count();
        let mut count = Count { number: u64::try_from(retries).unwrap_or(u64::MAX), ..Count::NONE };
        if cursor.committed >= through {
            return Ok(count);
        }
        let range = (sort_key(cursor.committed.next()), sort_key(through));
        let query = self
            .store
            .query(self.partition(), Some(range))
            .select(Select::Count)
            .filter_expression(WAITS)
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_names("#moved", MOVED)
            .expression_attribute_values(":now", number(now.as_second()));
        let (query, most) = match counting {
            Counting::AtMost(most) => (query.limit(most), counted(most)),
            Counting::Thorough => (query.consistent_read(true), MOST_COUNTED),
        };
        let mut pages = Pages::of(query);
        while let Some(page) = pages.next().await? {
            count.number += counted(page.count);
            // Those that the filter left out were read as well.
            count.read += counted(page.scanned_count);
            if counting != Counting::Thorough || count.read >= most {
                break;
            }
        }
        count.exact = pages.is_over();
        Ok(count)
    }

    /// The first `most` that wait, given the shard's cursor, in their order, strongly consistent.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn first(
        self,
        cursor: &Cursor,
        most: usize,
        now: Timestamp,
    ) -> Result<Vec<Waiting>, StoreError> {
        let mut found = Vec::new();
        for position in pending_retries(cursor) {
            match self.entry(position).await {
                Ok(Some(entry)) if !entry.moved && entry.ttl > now.as_second() => {
                    found.push(Waiting { position, subscriber: Some(entry.subscriber) });
                }
                // Gone: unsubscribed, moved, or expired, after SES throttled it.
                Ok(_) => {}
                Err(error) if error.is_corrupt() => found.push(Waiting { position, subscriber: None }),
                Err(error) => return Err(error),
            }
        }
        let range = (sort_key(cursor.committed.next()), sort_key(Position::END));
        let mut pages = Pages::of(
            self.store
                .query(self.partition(), Some(range))
                .projection_expression("sk, #subscriber")
                .filter_expression(WAITS)
                .expression_attribute_names("#ttl", TTL)
                .expression_attribute_names("#moved", MOVED)
                .expression_attribute_names("#subscriber", "subscriber")
                .expression_attribute_values(":now", number(now.as_second()))
                .limit(i32::try_from(most).unwrap_or(i32::MAX))
                .consistent_read(true),
        );
        while found.len() < most
            && let Some(items) = pages.items().await?
        {
            // A key without a position is no entry's.
            found.extend(items.iter().filter_map(|item| {
                let position = text(item, "sk").and_then(position_of)?;
                Some(Waiting {
                    position,
                    subscriber: text(item, "subscriber").and_then(|text| text.parse().ok()),
                })
            }));
        }
        found.sort_by_key(|waiting| waiting.position);
        found.truncate(most);
        Ok(found)
    }
}

impl Store {
    /// Writes at most [`SEEDED_AT_ONCE`] entries without their subscriptions, over whichever stand there: for drills,
    /// which let many wait and unsubscribe none.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`; `Unavailable` also where not all of them were taken.
    pub async fn seed_entries(
        &self,
        product: &ProductId,
        entries: impl IntoIterator<Item = (Shard, Position, Entry)>,
    ) -> Result<(), StoreError> {
        let operation = "BatchWriteItem";
        let write = |(shard, position, entry): (Shard, Position, Entry)| {
            let item = to_item(&key(product, shard, position), &entry, KIND)?;
            let put = PutRequest::builder().set_item(Some(item)).build().map_err(StoreError::built)?;
            Ok(WriteRequest::builder().put_request(put).build())
        };
        let writes = entries.into_iter().map(write).collect::<Result<Vec<_>, StoreError>>()?;
        let request = self.client.batch_write_item().request_items(&self.table, writes);
        let written = request.send().await.map_err(|e| StoreError::of(operation, &e))?;
        match written.unprocessed_items {
            Some(left) if !left.is_empty() => {
                let source = Cause::new("not every entry was taken".to_owned());
                Err(StoreError::Unavailable { operation, source })
            }
            _ => Ok(()),
        }
    }
}

fn wanted_names() -> HashMap<String, String> {
    WANTED_NAMES.map(|(name, attribute)| (name.to_owned(), attribute.to_owned())).into()
}

fn has_moved(item: &Item) -> bool {
    item.contains_key(MOVED)
}

/// Reads an entry attribute by attribute: there are a million of them, and serde would cost as much as all else that is
/// done with one. `None` for an item whose key has no position.
fn row(mut item: Item, now: Timestamp) -> Option<(Position, Row)> {
    let position = text(&item, "sk").and_then(position_of)?;
    if is_expired(&item, now) {
        return Some((position, Row::Expired));
    }
    let mut take = |name: &str| match item.remove(name) {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    };
    let person = take("subscriber").and_then(|person| person.parse().ok());
    let Some(address) = take("address").and_then(|address| Address::try_from(address).ok()) else {
        return Some((position, Row::Unreadable));
    };
    // An email without these says as much.
    let locale = take("locale").and_then(|locale| Locale::try_from(locale).ok()).unwrap_or_default();
    Some((position, Row::Waiting(Addressee { person, address, locale, name: take("name") })))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use domain::cursor::Answer;

    use super::*;
    use crate::item::{from_item, string};

    fn stored(name: Option<&str>) -> Item {
        let entry = Entry {
            subscriber: PersonId::from_bytes([1; 16]),
            address: Address::parse("jo@example.com").unwrap(),
            locale: Locale::parse("de-AT").unwrap(),
            name: name.map(str::to_owned),
            moved: false,
            ttl: 1_000,
        };
        to_item(&key(&ProductId::parse("p").unwrap(), Shard::mail(1), Position::new(5, 6)), &entry, KIND)
            .unwrap()
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn waiting(item: Item) -> (Position, Addressee) {
        match row(item, at(999)).unwrap() {
            (position, Row::Waiting(addressee)) => (position, addressee),
            _ => panic!("no subscriber waits there"),
        }
    }

    #[test]
    fn an_entry_is_read_as_it_is_written() {
        for name in [None, Some("Jo")] {
            let (position, addressee) = waiting(stored(name));
            assert_eq!(position, Position::new(5, 6));
            assert_eq!((addressee.address.reveal(), addressee.locale.as_str()), ("jo@example.com", "de-AT"));
            assert_eq!(addressee.name.as_deref(), name);
            assert_eq!(addressee.person, Some(PersonId::from_bytes([1; 16])));
        }
    }

    #[test]
    fn what_an_email_can_do_without_may_be_anything() {
        for odd in [AttributeValue::Null(true), number(5), AttributeValue::Bool(true)] {
            for field in ["name", "locale", TTL, "subscriber"] {
                let mut item = stored(Some("Jo"));
                item.insert(field.to_owned(), odd.clone());
                if (field, &odd) == (TTL, &number(5)) {
                    assert!(matches!(row(item, at(999)), Some((_, Row::Expired))));
                    continue;
                }
                assert_eq!(waiting(item).1.address.reveal(), "jo@example.com", "{field} {odd:?}");
            }
        }
    }

    #[test]
    fn an_expired_entry_and_an_unreadable_one_keep_their_places() {
        assert!(matches!(row(stored(None), at(1_000)), Some((_, Row::Expired))));
        for address in [Some(string("jo at example")), Some(number(1)), None] {
            let mut item = stored(Some("Jo"));
            match address {
                Some(address) => item.insert("address".to_owned(), address),
                None => item.remove("address"),
            };
            let (position, row) = row(item, at(999)).unwrap();
            assert!(position == Position::new(5, 6) && matches!(row, Row::Unreadable));
        }
    }

    #[test]
    fn an_item_without_a_position_is_no_entry() {
        let mut item = stored(None);
        item.insert("sk".to_owned(), string("E#not-a-position"));
        assert!(row(item, at(999)).is_none());
        assert_eq!(position_of(cursor::SORT_KEY), None);
        assert_eq!(position_of(&sort_key(Position::new(5, 5))), Some(Position::new(5, 5)));
    }

    #[test]
    fn an_error_names_the_item_and_does_not_show_it() {
        let garbled = Item::from([("address".to_owned(), string("not an address"))]);
        let error = from_item::<Entry>(garbled, KIND).err().unwrap().to_string();
        assert!(error.contains("entry") && !error.contains("not an address"), "{error}");
    }

    #[test]
    fn an_entry_of_an_earlier_version_is_read() {
        let mut item = stored(Some("Jo <b>"));
        item.insert("address".to_owned(), string("jo@my_shop.example.com"));
        let entry = from_item::<Entry>(item, KIND).unwrap();
        assert_eq!((entry.address.reveal(), entry.moved), ("jo@my_shop.example.com", false));
    }

    #[test]
    fn a_moved_entry_is_known_by_its_mark_and_still_names_its_subscriber() {
        let mut item = stored(None);
        assert!(!has_moved(&item));
        item.insert(MOVED.to_owned(), AttributeValue::Bool(true));
        assert!(has_moved(&item));
        let entry = from_item::<Entry>(item, KIND).unwrap();
        assert_eq!((entry.subscriber, entry.moved), (PersonId::from_bytes([1; 16]), true));
    }

    /// Waiting by this module's meaning is not having had a turn by the cursor's.
    #[test]
    fn pending_retries_are_those_below_the_committed_position_that_are_not_consumed() {
        let position = |n| Position::new(n, 0);
        let again = Answer { retry: vec![position(2), position(4)], ..Answer::default() };
        let carried =
            Cursor::default().announce(0, Some(position(6)), 6, Timestamp::UNIX_EPOCH).commit(again);
        for cursor in [
            Cursor::default(),
            carried.clone(),
            carried.announce(1, Some(position(9)), 4, Timestamp::UNIX_EPOCH),
        ] {
            let mut pending: Vec<Position> = pending_retries(&cursor).collect();
            pending.sort_unstable();
            let below = (0..=6).map(position).filter(|position| *position <= cursor.committed);
            let owed: Vec<Position> = below.filter(|position| !cursor.is_consumed(*position)).collect();
            assert_eq!(pending, owed);
        }
    }

    #[test]
    fn a_sum_is_exact_where_all_its_parts_are() {
        let count = |number, exact| Count { number, exact, read: number };
        for (counts, sum) in [
            (vec![], Count::NONE),
            (vec![count(2, true), count(3, true)], count(5, true)),
            (vec![count(2, false), count(3, true)], count(5, false)),
        ] {
            assert_eq!(Count::sum(counts), sum);
            assert_eq!(sum.precision(), if sum.exact { "exact" } else { "atLeast" });
        }
    }
}
