//! Delivering a shard. What is done, and in which order, is [`domain::delivery`]'s; here are its hands: [`run`] is the loop that
//! a reader sees whole, [`hands`] what takes more than one call.

use domain::cursor::Tally;
use domain::delivery::{Acquire, Delivery, End, Now, Terms};
use domain::job::Job;
use domain::product::Product;
use futures::future::try_join;
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
    /// When it was read.
    pub(crate) looked: Instant,
    /// The shard's cursor. If it has changed since, another worker owns the shard.
    pub(crate) stored: StoredCursor,
    /// The restock was planned a moment ago, so that nothing was counted for it.
    pub(crate) first: bool,
}

impl Snapshot {
    /// Reads it; `None` where there is no such product.
    async fn read(app: &App, job: &Job) -> Result<Option<Self>, StoreError> {
        let looked = Instant::now();
        let product = app.store.products().get(&job.product_id);
        let stored = app.store.cursors().read(&job.product_id, job.shard);
        let (product, stored) = try_join(product, stored).await?;
        Ok(product.map(|product| Self { product, looked, stored, first: false }))
    }
}

/// Works on a job until it is done, or until `until`, or for as long as a slice lasts. A shard whose cursor or product cannot
/// be read is left standing, and written down: its fan-out stays open, so that the sweep goes on with it once an operator has
/// mended the item.
pub(crate) async fn deliver(app: &App, job: &Job, until: Instant) -> Result<(), Failed> {
    let snapshot = Snapshot::read(app, job).await.map_err(Failed::from);
    let done = match snapshot {
        Ok(snapshot) => deliver_from(app, job, snapshot, until).await,
        Err(failed) => Err(failed),
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

/// The same, from a snapshot that was read a moment ago.
pub(crate) async fn deliver_from(
    app: &App,
    job: &Job,
    snapshot: Option<Snapshot>,
    until: Instant,
) -> Result<(), Failed> {
    let until = until.min(Instant::now() + app.config.slice);
    let end = match acquire(app, job, snapshot, until).await? {
        Some((hands, Acquire::Acquired(delivery))) => run::run(hands, *delivery).await?,
        Some((_, Acquire::Busy { .. })) => End::More,
        Some((_, Acquire::NotPlanned)) | None => {
            tracing::warn!(product = %job.product_id, shard = %job.shard, "a job for a product that was never in stock");
            return Ok(());
        }
    };
    tracing::info!(product = %job.product_id, restock = %job.restock_id, shard = %job.shard, ?end, "worked on");
    match end {
        End::Delivered | End::SoldOut => fanout::close(&app.store, job).await?,
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

/// Takes the shard over; while another worker's call may be under way, looks again until it certainly is over.
async fn acquire<'a>(
    app: &'a App,
    job: &'a Job,
    snapshot: Option<Snapshot>,
    until: Instant,
) -> Result<Option<(Hands<'a>, Acquire<Addressee>)>, StoreError> {
    let Some(Snapshot { product, looked, mut stored, first }) = snapshot else { return Ok(None) };
    let clock = Clock { started: looked };
    let terms = Terms {
        restock_id: job.restock_id.clone(),
        bound: job.bound,
        first,
        deadline: until.saturating_duration_since(looked),
        max_emails: app.config.slice_mails,
        on_unknown: app.config.on_unknown,
    };
    loop {
        let token = stored.token.as_deref();
        match Delivery::acquire(terms.clone(), &product, &stored.cursor, token, clock.now()) {
            Acquire::Busy { retry_in: Some(time) } => tokio::time::sleep(time).await,
            acquired => return Ok(Some((Hands::new(app, job, clock, until, product), acquired))),
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
