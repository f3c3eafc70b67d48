//! Reading a shard's entries, and writing down those that a restock could not deliver.

use std::collections::HashMap;

use domain::Position;
use domain::cursor::Tally;
use domain::job::Job;
use lambda::clock;
use store::waitlist::{Page, Row};
use store::{Store, StoreError, summary};

use crate::{metrics, unreadable};

/// The entries in `(after, bound]`, at most `limit` of them, strongly consistent.
pub(super) async fn entries(
    store: &Store,
    job: &Job,
    after: Position,
    bound: Position,
    limit: usize,
) -> Result<Page, StoreError> {
    let page = store.waitlist(&job.product_id, job.shard).page(after, bound, limit, clock::now()).await?;
    for _ in 0..page.strays {
        metrics::unreadable();
        tracing::error!(product = %job.product_id, shard = %job.shard, "an entry's key has no position: it is left out");
    }
    report(job, page.entries.iter().map(|(position, row)| (position, row)));
    Ok(page)
}

/// The entries at these positions; those that are gone are left out.
pub(super) async fn entries_at(
    store: &Store,
    job: &Job,
    positions: &[Position],
) -> Result<HashMap<Position, Row>, StoreError> {
    let entries = store.waitlist(&job.product_id, job.shard).entries_at(positions, clock::now()).await?;
    report(job, &entries);
    Ok(entries)
}

/// Counts the unreadable entries, and logs their positions.
fn report<'a>(job: &Job, entries: impl IntoIterator<Item = (&'a Position, &'a Row)>) {
    for (position, row) in entries {
        if matches!(row, Row::Unreadable) {
            metrics::unreadable();
            tracing::error!(product = %job.product_id, shard = %job.shard, %position, "an entry cannot be read: it is passed as failed");
        }
    }
}

/// Writes down the entries that the restock could not deliver, and why: by their positions, not their addresses.
pub(super) async fn write_failed(
    store: &Store,
    job: &Job,
    failed: &[(Position, String)],
) -> Result<(), StoreError> {
    store.summaries().put_failures(&job.restock_id, failed, clock::now()).await
}

/// The count for the job's restock in this shard so far. A count that cannot be read begins anew: no delivery waits for a
/// number.
pub(super) async fn tally(store: &Store, job: &Job) -> Result<Option<Tally>, StoreError> {
    match store.summaries().shard(&job.restock_id, job.shard, clock::now()).await {
        Err(error) if error.is_corrupt() => {
            let key = summary::shard_key(&job.restock_id, job.shard);
            unreadable::write_down(store, &key, &error).await.map(|()| None)
        }
        read => read,
    }
}
