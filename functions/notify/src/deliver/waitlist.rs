//! Reading a shard's entries, and writing down whom a restock could not tell.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use domain::{Address, Locale, Position, cursor::Tally, delivery::Row, job::Job};
use futures::future::try_join_all;
use platform::{
    chance,
    table::{Item, ItemKey, TableError, entry_sort_key, item, position_of, waitlist},
};
use serde::Serialize;

use super::Kept;
use crate::{App, metrics, unreadable};

/// What a mail needs of an entry (`platform::table::Entry`), and nothing else of it.
const WANTED: &str = "sk, address, locale, #name, #ttl";
const WANTED_NAMES: [(&str, &str); 2] = [("#name", "name"), ("#ttl", "ttl")];

/// Somebody to be told.
pub(crate) struct Addressee {
    /// Where the mail goes.
    pub(crate) address: Address,
    /// The language it is written in.
    pub(crate) locale: Locale,
    /// What they like to be called.
    pub(crate) name: Option<String>,
}

/// A part of a shard.
pub(super) struct Page {
    /// The entries in their order.
    pub(super) entries: Vec<(Position, Row<Addressee>)>,
    /// Whether there is nothing after it.
    pub(super) last: bool,
}

/// The entries in `(after, bound]`, at most `limit` of them, strongly consistent.
pub(super) async fn entries(
    app: &App,
    job: &Job,
    after: Position,
    bound: Position,
    limit: usize,
) -> Result<Page, TableError> {
    if after >= bound {
        return Ok(Page { entries: Vec::new(), last: true });
    }
    let range = (entry_sort_key(after.next()), entry_sort_key(bound));
    let mut from = None;
    loop {
        let found = app
            .table
            .query(waitlist(&job.product_id, job.shard), Some(range.clone()))
            .projection_expression(WANTED)
            .set_expression_attribute_names(Some(wanted_names()))
            .limit(i32::try_from(limit).unwrap_or(i32::MAX))
            .consistent_read(true)
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|e| TableError::of("Query", &e))?;
        let now = chance::now().as_second();
        let entries: Vec<(Position, Row<Addressee>)> =
            found.items.unwrap_or_default().into_iter().filter_map(|item| row(job, item, now)).collect();
        from = found.last_evaluated_key;
        // A page of nothing but keys without a position leads nowhere: the next one does.
        if from.is_none() || !entries.is_empty() {
            return Ok(Page { entries, last: from.is_none() });
        }
    }
}

fn wanted_names() -> HashMap<String, String> {
    WANTED_NAMES.map(|(name, attribute)| (name.to_owned(), attribute.to_owned())).into()
}

/// Reads an entry attribute by attribute: there are a million of them, and a detour through serde costs as much as all
/// else that is done with one. An item whose key has no position is in nobody's way and is left out.
fn row(job: &Job, mut item: Item, now: i64) -> Option<(Position, Row<Addressee>)> {
    let sort_key = item.get("sk").and_then(|sk| sk.as_s().ok());
    let Some(position) = sort_key.and_then(|sk| position_of(sk)) else {
        metrics::unreadable();
        tracing::error!(product = %job.product_id, shard = %job.shard, "an entry's key has no position: it is left out");
        return None;
    };
    let ttl = item.get("ttl").and_then(|ttl| ttl.as_n().ok()?.parse::<i64>().ok());
    if ttl.is_some_and(|ttl| ttl <= now) {
        return Some((position, Row::Expired));
    }
    let mut text = |name: &str| match item.remove(name) {
        Some(AttributeValue::S(text)) => Some(text),
        _ => None,
    };
    let Some(address) = text("address").and_then(|address| Address::try_from(address).ok()) else {
        metrics::unreadable();
        tracing::error!(product = %job.product_id, shard = %job.shard, %position, "an entry cannot be read: it is passed as failed");
        return Some((position, Row::Unreadable));
    };
    // A mail without these says as much.
    let locale = text("locale").and_then(|locale| Locale::try_from(locale).ok()).unwrap_or_default();
    Some((position, Row::Waiting(Addressee { address, locale, name: text("name") })))
}

/// The entries at these positions; whoever is gone is left out.
pub(super) async fn entries_at(
    app: &App,
    job: &Job,
    positions: &[Position],
) -> Result<HashMap<Position, Row<Addressee>>, TableError> {
    let mut entries = HashMap::new();
    let now = chance::now().as_second();
    let mut keys: Vec<Item> = positions
        .iter()
        .map(|position| ItemKey::entry(&job.product_id, job.shard, *position).attributes())
        .collect();
    while !keys.is_empty() {
        // 100 keys are what one request takes.
        let rest = keys.split_off(keys.len().min(100));
        let asked = KeysAndAttributes::builder()
            .set_keys(Some(keys))
            .projection_expression(WANTED)
            .set_expression_attribute_names(Some(wanted_names()))
            .consistent_read(true)
            .build()
            .map_err(TableError::built)?;
        let got = app
            .table
            .client
            .batch_get_item()
            .request_items(&app.table.name, asked)
            .send()
            .await
            .map_err(|e| TableError::of("BatchGetItem", &e))?;
        let items = got.responses.unwrap_or_default().into_values().flatten();
        entries.extend(items.filter_map(|item| row(job, item, now)));
        keys = got.unprocessed_keys.unwrap_or_default().into_values().flat_map(|left| left.keys).collect();
        keys.extend(rest);
    }
    Ok(entries)
}

#[derive(Serialize)]
struct FailedEntry<'a> {
    reason: &'a str,
}

/// Writes down whom the restock could not tell, and why. By their place, not their address.
pub(super) async fn write_failed(
    app: &App,
    job: &Job,
    failed: &[(Position, String)],
) -> Result<(), TableError> {
    let writes = failed.iter().map(|(position, reason)| async move {
        let failed = FailedEntry { reason };
        app.table.put(item(&ItemKey::failed(&job.restock_id, *position), &Kept::new(&failed))?).await
    });
    try_join_all(writes).await.map(drop)
}

/// What was counted for the job's restock in this shard so far. A count that cannot be read begins anew: nobody goes
/// untold for a number.
pub(super) async fn tally(app: &App, job: &Job) -> Result<Option<Tally>, TableError> {
    let key = ItemKey::shard_summary(&job.restock_id, job.shard);
    match app.table.get(&key, "count").await {
        Err(error) if error.is_corrupt() => unreadable::write_down(app, &key, &error).await.map(|()| None),
        read => read,
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::{ProductId, RestockId, Shard};
    use platform::table::Entry;

    fn stored(name: Option<&str>) -> Item {
        let entry = Entry {
            subscriber: "u#1".to_owned(),
            address: Address::parse("jo@example.com").unwrap(),
            locale: Locale::parse("de-AT").unwrap(),
            name: name.map(str::to_owned),
            ttl: 1_000,
        };
        item(&ItemKey::entry(&ProductId::parse("p").unwrap(), Shard(1), Position::new(5, 6)), &entry).unwrap()
    }

    fn job() -> Job {
        Job {
            restock_id: RestockId::parse("r").unwrap(),
            product_id: ProductId::parse("p").unwrap(),
            shard: Shard(1),
            bound: Position::END,
        }
    }

    fn waiting(item: Item) -> (Position, Addressee) {
        match row(&job(), item, 999).unwrap() {
            (position, Row::Waiting(addressee)) => (position, addressee),
            _ => panic!("nobody waits there"),
        }
    }

    #[test]
    fn an_entry_is_read_as_it_is_written_by_whoever_subscribes() {
        for name in [None, Some("Jo")] {
            let (position, addressee) = waiting(stored(name));
            assert_eq!(position, Position::new(5, 6));
            assert_eq!((addressee.address.reveal(), addressee.locale.as_str()), ("jo@example.com", "de-AT"));
            assert_eq!(addressee.name.as_deref(), name);
        }
    }

    #[test]
    fn what_a_mail_can_do_without_may_be_anything() {
        for odd in [AttributeValue::Null(true), AttributeValue::N("5".to_owned()), AttributeValue::Bool(true)]
        {
            for field in ["name", "locale", "ttl"] {
                let mut item = stored(Some("Jo"));
                item.insert(field.to_owned(), odd.clone());
                if (field, &odd) == ("ttl", &AttributeValue::N("5".to_owned())) {
                    assert!(matches!(row(&job(), item, 999), Some((_, Row::Expired))));
                    continue;
                }
                assert_eq!(waiting(item).1.address.reveal(), "jo@example.com", "{field} {odd:?}");
            }
        }
    }

    #[test]
    fn an_expired_entry_and_one_that_cannot_be_read_keep_their_places() {
        assert!(matches!(row(&job(), stored(None), 1_000), Some((_, Row::Expired))));
        let garbled = AttributeValue::S("jo at example".to_owned());
        for address in [Some(garbled), Some(AttributeValue::N("1".to_owned())), None] {
            let mut item = stored(Some("Jo"));
            match address {
                Some(address) => item.insert("address".to_owned(), address),
                None => item.remove("address"),
            };
            let (position, row) = row(&job(), item, 999).unwrap();
            assert!(position == Position::new(5, 6) && matches!(row, Row::Unreadable));
        }
    }

    #[test]
    fn an_item_without_a_position_is_in_nobodys_way() {
        let mut item = stored(None);
        item.insert("sk".to_owned(), AttributeValue::S("E#not-a-position".to_owned()));
        assert!(row(&job(), item, 999).is_none());
    }
}
