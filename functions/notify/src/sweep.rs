//! The sweep: puts the jobs of fan-outs that stand still back in line. Whatever loses a job (a
//! topic whose retention ran out, a dead letter, an account that may not send) delays a mail by
//! one sweep and never loses it.

use std::time::Duration;

use lambda::clock;
use lambda::table::{Item, ItemKey, OPEN_BUCKETS, Open, TableError, open_bucket, read};
use serde_json::{Value, json};

use crate::{App, event::Failed, fanout, unreadable};

/// How many jobs are put back at a time.
const CHUNK: usize = 100;

/// Puts back every fan-out that has not moved for `older_than` (or as configured).
pub(crate) async fn sweep(app: &App, older_than: Option<Duration>) -> Result<Value, Failed> {
    let older_than = older_than.unwrap_or(app.config.sweep_after);
    let before = clock::now_ms().saturating_sub(u64::try_from(older_than.as_millis()).unwrap_or(u64::MAX));
    let (mut open, mut put_back) = (0, 0);
    for bucket in 0..OPEN_BUCKETS {
        let mut from = None;
        loop {
            let (found, next) = page(app, bucket, from).await?;
            open += found.len();
            let still: Vec<_> =
                found.into_iter().filter(|found| found.moved_ms <= before).map(Open::job).collect();
            for jobs in still.chunks(CHUNK) {
                // First in line, then written down as moved: the other way round, a crash between
                // the two would make a fan-out look alive that is not.
                fanout::emit(app, jobs).await?;
                fanout::open(app, jobs).await?;
                put_back += jobs.len();
            }
            if next.is_none() {
                break;
            }
            from = next;
        }
    }
    tracing::info!(open, put_back, "swept");
    Ok(json!({ "open": open, "putBack": put_back }))
}

/// A part of a bucket: the fan-outs in it, and where the next part begins. One that cannot be read is passed, and written
/// down; it keeps none of the others back.
async fn page(app: &App, bucket: u16, from: Option<Item>) -> Result<(Vec<Open>, Option<Item>), TableError> {
    let found = app
        .table
        .query(open_bucket(bucket), None)
        .set_exclusive_start_key(from)
        .consistent_read(true)
        .send()
        .await
        .map_err(|e| TableError::of("Query", &e))?;
    let mut open = Vec::new();
    for item in found.items.unwrap_or_default() {
        let key = ItemKey::of(&item);
        match (read::<Open>(item, "fan-out"), key) {
            (Ok(found), _) => open.push(found),
            (Err(error), Some(key)) => unreadable::write_down(app, &key, &error).await?,
            (Err(error), None) => return Err(error),
        }
    }
    Ok((open, found.last_evaluated_key))
}
