//! Reading a shard's entries, and writing down whom a restock could not tell.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use domain::{Address, Locale, Position, cursor::Tally, job::Job};
use futures::future::try_join_all;
use platform::{
    chance,
    table::{Item, ItemKey, TableError, entry_sort_key, item, position_of, waitlist},
};
use serde::Serialize;

use super::Kept;
use crate::App;

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
    /// The entries in their order; `None` is one that has expired.
    pub(super) entries: Vec<(Position, Option<Addressee>)>,
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
    let found = app
        .table
        .query(waitlist(&job.product_id, job.shard), Some(range))
        .projection_expression(WANTED)
        .set_expression_attribute_names(Some(wanted_names()))
        .limit(i32::try_from(limit).unwrap_or(i32::MAX))
        .consistent_read(true)
        .send()
        .await
        .map_err(|e| TableError::of("Query", &e))?;
    let now = chance::now().as_second();
    let found_entries = found.items.unwrap_or_default().into_iter().map(|item| entry(item, now));
    Ok(Page { entries: found_entries.collect::<Result<_, _>>()?, last: found.last_evaluated_key.is_none() })
}

fn wanted_names() -> HashMap<String, String> {
    WANTED_NAMES.map(|(name, attribute)| (name.to_owned(), attribute.to_owned())).into()
}

/// Reads an entry attribute by attribute: there are a million of them, and a detour through serde costs as much as all
/// else that is done with one. Whoever has expired is `None`.
fn entry(item: Item, now: i64) -> Result<(Position, Option<Addressee>), TableError> {
    read(item, now).ok_or_else(|| TableError::garbled("read", "entry"))
}

fn read(mut item: Item, now: i64) -> Option<(Position, Option<Addressee>)> {
    let position = position_of(item.get("sk")?.as_s().ok()?)?;
    let ttl: i64 = item.get("ttl")?.as_n().ok()?.parse().ok()?;
    if ttl <= now {
        return Some((position, None));
    }
    let address = Address::stored(item.get("address")?.as_s().ok()?).ok()?;
    let locale = Locale::parse(item.get("locale")?.as_s().ok()?).ok()?;
    let name = match item.remove("name") {
        None | Some(AttributeValue::Null(_)) => None,
        Some(name) => Some(name.as_s().ok()?.clone()),
    };
    Some((position, Some(Addressee { address, locale, name })))
}

/// The entries at these positions; whoever is gone or has expired is left out.
pub(super) async fn entries_at(
    app: &App,
    job: &Job,
    positions: &[Position],
) -> Result<HashMap<Position, Addressee>, TableError> {
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
        for item in got.responses.unwrap_or_default().into_values().flatten() {
            let (position, entry) = entry(item, now)?;
            entries.extend(entry.map(|entry| (position, entry)));
        }
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

/// What was counted for the job's restock in this shard so far.
pub(super) async fn tally(app: &App, job: &Job) -> Result<Option<Tally>, TableError> {
    app.table.get(&ItemKey::shard_summary(&job.restock_id, job.shard), "count").await
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::{ProductId, Shard};
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

    #[test]
    fn an_entry_is_read_as_it_is_written_by_whoever_subscribes() {
        for name in [None, Some("Jo")] {
            let (position, addressee) = entry(stored(name), 999).unwrap();
            let addressee = addressee.unwrap();
            assert_eq!(position, Position::new(5, 6));
            assert_eq!((addressee.address.reveal(), addressee.locale.as_str()), ("jo@example.com", "de-AT"));
            assert_eq!(addressee.name.as_deref(), name);
        }
        let mut null = stored(None);
        null.insert("name".to_owned(), AttributeValue::Null(true));
        assert!(entry(null, 999).unwrap().1.unwrap().name.is_none());
    }

    #[test]
    fn an_expired_entry_keeps_its_place_and_a_garbled_one_shows_nothing_of_itself() {
        assert!(matches!(entry(stored(None), 1_000).unwrap(), (_, None)));
        let mut garbled = stored(Some("Jo"));
        garbled.insert("address".to_owned(), AttributeValue::S("jo at example".to_owned()));
        let error = entry(garbled, 999).err().unwrap().to_string();
        assert!(error.contains("entry") && !error.contains("jo at"), "{error}");
    }
}
