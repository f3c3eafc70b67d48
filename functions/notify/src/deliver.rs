//! Delivering a shard. What is done, and in which order, is [`domain::delivery`]'s; here are its hands: [`run`] is the loop that
//! a reader sees whole, [`hands`] what takes more than one call.

use domain::cursor::Tally;
use domain::delivery::{Acquire, Delivery, End, Now, Terms};
use domain::job::Job;
use domain::product::Product;
use futures::future::try_join3;
use lambda::clock;
use store::StoreError;
use store::cursor::StoredCursor;
use tokio::time::Instant;

use crate::event::Failed;
use crate::{App, fanout, metrics, unreadable};

mod hands;
mod run;
mod waitlist;

pub use domain::delivery::FLIGHT_LIMIT;
use hands::Hands;
use store::waitlist::Addressee;

/// What a delivery begins with.
pub(crate) struct Snapshot {
    /// The product, with its bound.
    pub(crate) product: Product,
    /// How many of its shards may be delivered side by side.
    pub(crate) shards: usize,
    /// When it was read.
    pub(crate) looked: Instant,
    /// The shard's cursor. If it has changed since, another worker owns the shard.
    pub(crate) stored: StoredCursor,
    /// The restock was planned a moment ago, so that nothing was counted for it.
    pub(crate) first: bool,
}

/// What a job begins with.
struct Start {
    /// Whether it is the shard's living job. If not, the shard's fan-out is closed, or has another ticket: another job delivers
    /// the shard, or it is delivered.
    lives: bool,
    /// `None` where there is no such product.
    snapshot: Option<Snapshot>,
}

impl Start {
    /// Reads it, all side by side.
    async fn read(app: &App, job: &Job) -> Result<Self, StoreError> {
        let looked = Instant::now();
        let product = app.store.products().read(&job.product_id);
        let stored = app.store.cursors().read(&job.product_id, job.shard);
        let (lives, read, stored) = try_join3(lives(app, job), product, stored).await?;
        let shards = usize::from(read.shards.total());
        let snapshot = read.product.map(|product| Snapshot { product, shards, looked, stored, first: false });
        Ok(Self { lives, snapshot })
    }
}

/// Whether this is the one job of its shard that lives. A job of an earlier version has no ticket, and lives always.
async fn lives(app: &App, job: &Job) -> Result<bool, StoreError> {
    if job.ticket.is_none() {
        return Ok(true);
    }
    let open = app.store.fan_outs().get(&job.product_id, job.shard).await?;
    Ok(open.is_some_and(|open| open.job.ticket == job.ticket))
}

/// What came of beginning with a shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is delivered, or the rest is in line, or left to the sweep.
    Worked,
    /// Another worker has it: nothing was done.
    Busy,
}

/// Works on a job until it is done, or until `until`, or for as long as a slice lasts. A shard whose cursor or product cannot
/// be read is left standing, and written down: its fan-out stays open, so that the sweep goes on with it once an operator has
/// mended the item.
pub(crate) async fn deliver(app: &App, job: &Job, until: Instant) -> Result<(), Failed> {
    let done = match Start::read(app, job).await {
        Ok(start) if !start.lives => {
            tracing::info!(product = %job.product_id, restock = %job.restock_id, shard = %job.shard, "dropped: another job delivers this shard, or it is delivered");
            return Ok(());
        }
        Ok(start) => deliver_living(app, job, start.snapshot, until).await,
        Err(error) => Err(error.into()),
    };
    match done {
        Err(Failed::Table(error)) if error.is_corrupt() => {
            let key = store::fanout::key(&job.product_id, job.shard);
            unreadable::write_down(&app.store, &key, &error).await?;
            Ok(())
        }
        done => done,
    }
}

async fn deliver_living(
    app: &App,
    job: &Job,
    snapshot: Option<Snapshot>,
    until: Instant,
) -> Result<(), Failed> {
    let Some(snapshot) = snapshot else {
        warn_of_unplanned(job);
        return Ok(());
    };
    match deliver_from(app, job, snapshot, Patience::Waits, until).await? {
        Begun::Worked => Ok(()),
        Begun::Busy => hand_over(app, job, End::More).await,
    }
}

/// Whether a delivery waits for a shard that another worker has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// For as long as it may work: a worker on a job has nothing else to do.
    Waits,
    /// Not at all: a planner has the next update to plan.
    None,
}

/// Works on a shard from a snapshot that was read a moment ago.
pub(crate) async fn deliver_from(
    app: &App,
    job: &Job,
    snapshot: Snapshot,
    patience: Patience,
    until: Instant,
) -> Result<Begun, Failed> {
    let until = until.min(Instant::now() + app.config.slice);
    let end = match acquire(app, job, snapshot, patience, until).await? {
        (hands, Acquire::Acquired(delivery)) => run::run(hands, *delivery).await?,
        (_, Acquire::Busy { .. }) => return Ok(Begun::Busy),
        (_, Acquire::NotPlanned) => {
            warn_of_unplanned(job);
            return Ok(Begun::Worked);
        }
    };
    tracing::info!(product = %job.product_id, restock = %job.restock_id, shard = %job.shard, ?end, "worked on");
    hand_over(app, job, end).await?;
    Ok(Begun::Worked)
}

/// What becomes of a job whose work has ended so.
async fn hand_over(app: &App, job: &Job, end: End) -> Result<(), Failed> {
    match end {
        End::Delivered | End::SoldOut => fanout::close(&app.store, job).await?,
        End::More => {
            fanout::put_in_line(app, std::slice::from_ref(job)).await?;
        }
        End::Closed => {
            tracing::info!(product = %job.product_id, shard = %job.shard, "not at this time of day: the sweep tries again");
        }
        End::Paused => {
            metrics::sending_paused();
            tracing::warn!(
                product = %job.product_id, shard = %job.shard,
                "fan-outs pause; no subscriber is lost, the sweep tries again (notify-me sending status says why)"
            );
        }
        End::Stopped(reason) => {
            metrics::sending_stopped();
            tracing::error!(
                product = %job.product_id, shard = %job.shard, reason,
                "SES takes no email; no subscriber is lost, the sweep tries again"
            );
        }
    }
    Ok(())
}

fn warn_of_unplanned(job: &Job) {
    tracing::warn!(product = %job.product_id, shard = %job.shard, "a job for a product that was never in stock");
}

/// Takes the shard over; while another worker's call may be under way, with patience looks again until it certainly is over.
async fn acquire<'a>(
    app: &'a App,
    job: &'a Job,
    snapshot: Snapshot,
    patience: Patience,
    until: Instant,
) -> Result<(Hands<'a>, Acquire<Addressee>), StoreError> {
    let Snapshot { product, shards, looked, mut stored, first } = snapshot;
    let clock = Clock { started: looked };
    let terms = Terms {
        restock_id: job.restock_id.clone(),
        lane: job.shard.lane,
        bound: job.bound,
        first,
        deadline: until.saturating_duration_since(looked),
        max_emails: app.config.slice_mails,
        on_unknown: app.config.on_unknown,
    };
    loop {
        let token = stored.token.as_deref();
        match Delivery::acquire(terms.clone(), &product, &stored.cursor, token, clock.now()) {
            Acquire::Busy { retry_in: Some(time) } if patience == Patience::Waits => {
                tokio::time::sleep(time).await;
            }
            acquired => {
                return Ok((Hands::new(app, job, clock, until, (product, shards), stored.ended), acquired));
            }
        }
        stored = app.store.cursors().read(&job.product_id, job.shard).await?;
    }
}

/// Tells the time since a delivery's snapshot was read, and the time of day.
#[derive(Clone, Copy)]
struct Clock {
    started: Instant,
}

impl Clock {
    fn now(self) -> Now {
        Now { wall: clock::now(), uptime: self.started.elapsed() }
    }
}

/// Writes a shard's count to the restock's summary: the whole count, so that it may be repeated.
async fn write_shard_summary(app: &App, job: &Job, tally: &Tally) -> Result<(), StoreError> {
    app.store.summaries().put_shard(job.shard, tally, clock::now()).await
}
