//! Telling one shard: read a slice of its entries, announce a call on the cursor, send it, go on.
//! The announcement also commits the call before, so a mail costs a fiftieth of a write. Whoever
//! loses the cursor to another worker stops without sending.

use domain::{cursor::Tally, job::Job};
use lambda::clock;
use tokio::time::Instant;

use crate::{App, event::Failed, fanout, metrics, unreadable};

mod refusals;
mod shift;
mod waitlist;

pub use shift::FLIGHT_LIMIT;
pub(crate) use shift::Known;
use shift::{Opening, Shift};

/// How a worker's time with a shard ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// Everybody up to the bound is told.
    Told,
    /// The product is sold out again: who is left goes on waiting.
    SoldOut,
    /// Time or number is up, or another worker has the shard: the rest goes back in line.
    More,
    /// SES takes nothing until a person or time mends it: the sweep puts the job back.
    Stopped(String),
}

/// Works on a job until it is done, or until `until`, or for as long as a slice lasts. A shard whose cursor or product cannot
/// be read is left standing, and written down: its fan-out stays open, so that the sweep goes on with it once a person has
/// mended the item.
pub(crate) async fn deliver(app: &App, job: &Job, until: Instant) -> Result<(), Failed> {
    let known = Known::read(app, job).await.map_err(Failed::from);
    let done = match known {
        Ok(known) => begin(app, job, known, until).await,
        Err(failed) => Err(failed),
    };
    match done {
        Err(Failed::Table(error)) if error.is_corrupt() => {
            unreadable::write_down(&app.store, &store::fanout::key(&job.product_id, job.shard), &error)
                .await?;
            Ok(())
        }
        done => done,
    }
}

/// The same, where what it begins with was read a moment ago.
pub(crate) async fn begin(app: &App, job: &Job, known: Option<Known>, until: Instant) -> Result<(), Failed> {
    let until = until.min(Instant::now() + app.config.slice);
    let end = match Shift::open(app, job, known, until).await? {
        Opening::Busy => End::More,
        Opening::Unknown => {
            tracing::warn!(product = %job.product_id, shard = %job.shard, "a job for a product that was never in stock");
            return Ok(());
        }
        Opening::Ours(mut shift) => {
            let end = shift.work(until).await;
            // Also after an error: what SES has answered must not be in doubt for want of a commit.
            let (released, tally) = shift.release().await;
            let end = end?;
            released?;
            if let Some(tally) = tally {
                sum_up(app, job, &tally).await?;
            }
            end
        }
    };
    tracing::info!(product = %job.product_id, restock = %job.restock_id, shard = %job.shard, ?end, "worked on");
    match end {
        End::Told | End::SoldOut => fanout::close(&app.store, job).await?,
        End::More => {
            fanout::open(&app.store, std::slice::from_ref(job)).await?;
            fanout::emit(&app.publisher, &app.kafka().batches, std::slice::from_ref(job)).await?;
        }
        End::Stopped(reason) => {
            metrics::sending_stopped();
            tracing::error!(
                product = %job.product_id, shard = %job.shard, reason,
                "SES takes no mail; nobody is lost, the sweep tries again"
            );
        }
    }
    Ok(())
}

/// Writes a shard's count to the restock's summary: the whole count, so that it may be repeated.
async fn sum_up(app: &App, job: &Job, tally: &Tally) -> Result<(), Failed> {
    Ok(app.store.summaries().put_shard(job.shard, tally, clock::now()).await?)
}
