//! Reading a shard's entries, and writing down whom a restock could not tell.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::KeysAndAttributes;
use domain::{Position, cursor::Tally, job::Job};
use futures::future::try_join_all;
use platform::{
    chance,
    table::{Entry, Item, ItemKey, TableError, entry_sort_key, item, position_of, read, waitlist},
};
use serde::Serialize;

use super::Kept;
use crate::App;

/// A part of a shard.
pub(super) struct Page {
    /// The entries in their order; `None` is one that has expired.
    pub(super) entries: Vec<(Position, Option<Entry>)>,
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
        .limit(i32::try_from(limit).unwrap_or(i32::MAX))
        .consistent_read(true)
        .send()
        .await
        .map_err(|e| TableError::of("Query", &e))?;
    let now = chance::now().as_second();
    let found_entries = found.items.unwrap_or_default().into_iter().map(|item| entry(item, now));
    Ok(Page { entries: found_entries.collect::<Result<_, _>>()?, last: found.last_evaluated_key.is_none() })
}

fn entry(item: Item, now: i64) -> Result<(Position, Option<Entry>), TableError> {
    let sort_key = item.get("sk").and_then(|sk| sk.as_s().ok());
    let position =
        sort_key.and_then(|sk| position_of(sk)).ok_or_else(|| TableError::garbled("read", "entry"))?;
    let entry: Entry = read(item, "entry")?;
    Ok((position, (entry.ttl > now).then_some(entry)))
}

/// The entries at these positions; whoever is gone or has expired is left out.
pub(super) async fn entries_at(
    app: &App,
    job: &Job,
    positions: &[Position],
) -> Result<HashMap<Position, Entry>, TableError> {
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
