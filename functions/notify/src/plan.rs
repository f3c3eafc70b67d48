//! The hands of [`Planning`], which has the order of the steps and its reasons. A failure on the way drops it: the record
//! comes again, and is planned from what the table says by then.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::cursor::Cursor;
use domain::job::Job;
use domain::planning::{BoundWrite, Outcome as Planned, Planning, ShardEnd, Step};
use domain::record::Record;
use domain::stock::{ProductInfo, StockUpdate};
use domain::{Position, ProductId, RestockId, Shard};
use futures::future::{join_all, try_join_all};
use lambda::clock;
use store::cursor::StoredCursor;
use store::name::Named;
use store::product::{Sale, StockState};
use store::summary::Planned as PlanRecord;
use store::{Outcome, Store, StoreError};
use tokio::time::Instant;

use crate::deliver::{self, Begun, Patience, Snapshot};
use crate::event::Failed;
use crate::{App, fanout};

/// Time for delivery where it was planned; the rest goes to the topic as jobs. So a few subscribers of one product get
/// their emails at once, and not after the slices of another with a million.
const INLINE_BUDGET: Duration = Duration::from_secs(1);

/// Plans a stock update, and begins its deliveries.
///
/// # Errors
/// When the table or Kafka fails before every shard is begun or has a job on the topic. What was done may be done again.
pub(crate) async fn plan(
    app: &App,
    record: &Record,
    update: StockUpdate,
    until: Instant,
) -> Result<(), Failed> {
    let mut hands = Hands { app, until, looked: Instant::now(), cursors: BTreeMap::new() };
    let mut planning = Planning::new(record, update, clock::now());
    let outcome = loop {
        if let Some(outcome) = hands.step(&mut planning).await? {
            break outcome;
        }
    };
    log(planning.product(), planning.restock(), outcome);
    Ok(())
}

/// What the steps need beside the planning.
struct Hands<'a> {
    app: &'a App,
    until: Instant,
    /// When the planning began: its update is no older.
    looked: Instant,
    /// The cursors that were read for it.
    cursors: BTreeMap<Shard, StoredCursor>,
}

impl Hands<'_> {
    /// Does the one thing that is next; at the end of the planning it gives the outcome.
    async fn step(&mut self, planning: &mut Planning) -> Result<Option<Planned>, Failed> {
        let (app, store, id) = (self.app, &self.app.store, planning.product());
        match planning.next() {
            Step::TakeName(name) => planning.on_name(take_name(store, id, name).await?),
            Step::ReadDetails => planning.on_details(read_details(store, id).await?),
            Step::RecordStockUpdate { version, restock, quantity, details } => {
                let state = StockState { version, restock, quantity, details };
                match store.products().record_stock_update(id, state).await? {
                    Outcome::Applied(before) => planning.on_recorded(before),
                    Outcome::Refused(known) => planning.on_refused(known),
                }
            }
            Step::RecordSale { seen, version, quantity, details } => {
                let sale = Sale { seen, version, quantity, details };
                match store.products().record_sale(id, sale).await? {
                    Outcome::Applied(()) => planning.on_sale_recorded(),
                    Outcome::Refused(known) => planning.on_refused(known),
                }
            }
            Step::ReadEnds => planning.on_ends(read_ends(app, id).await?),
            Step::FixBound { restock, bound } => {
                planning.on_bound(fix_bound(store, id, restock, bound).await?);
            }
            Step::ReadCursors(ends) => {
                self.cursors = read_cursors(store, id, ends).await?;
                planning.on_cursors(|shard| cursor_of(&self.cursors, shard));
            }
            Step::CloseDelivered(jobs) => {
                try_join_all(jobs.iter().map(|job| fanout::close_delivered(store, job))).await?;
                planning.on_closed();
            }
            Step::RecordPlan { restock, bound, jobs } => {
                record_plan(app, id, restock, bound, jobs).await?;
                planning.on_plan_recorded();
            }
            Step::OpenFanOuts(jobs) => {
                let opened = fanout::open(store, jobs).await?;
                tracing::info!(product = %id, restock = %planning.restock(), shards = opened.len(), "planned");
                planning.on_opened(opened);
            }
            Step::DeliverInline { product, jobs } => {
                let looked = self.looked;
                let known = |stored| Snapshot { product: product.clone(), looked, stored, first: true };
                let left = deliver_inline(app, jobs, &self.cursors, known, self.until).await;
                planning.on_delivered(&left);
            }
            Step::Emit(jobs) => {
                fanout::emit(&app.publisher, &app.kafka().batches, jobs).await?;
                planning.on_emitted();
            }
            Step::Finished(outcome) => return Ok(Some(outcome)),
        }
        Ok(None)
    }
}

fn log(product: &ProductId, restock: &RestockId, outcome: Planned) {
    match outcome {
        Planned::Stale => tracing::info!(%product, %restock, "stale: something later is known"),
        Planned::SoldOut => tracing::info!(%product, %restock, "sold out"),
        Planned::Sale => tracing::info!(%product, %restock, "a sale: fewer than before, and planned already"),
        Planned::Overtaken => tracing::info!(%product, %restock, "overtaken by a later update"),
        Planned::Planned => {}
    }
}

async fn take_name(store: &Store, product: &ProductId, name: &RestockId) -> Result<RestockId, StoreError> {
    let now = clock::now();
    Ok(store.names().take(name, &Named::new(product, None, now), now).await?.0)
}

async fn read_details(store: &Store, product: &ProductId) -> Result<Option<ProductInfo>, StoreError> {
    Ok(store.products().get(product).await?.and_then(|known| known.product))
}

async fn read_ends(app: &App, product: &ProductId) -> Result<Vec<ShardEnd>, StoreError> {
    let reads = app.shards().all().map(|shard| async move {
        let end = app.store.waitlist(product, shard).end().await?;
        Ok(ShardEnd { shard, last: end.last, used: end.used })
    });
    try_join_all(reads).await
}

async fn fix_bound(
    store: &Store,
    product: &ProductId,
    restock: &RestockId,
    bound: Option<Position>,
) -> Result<BoundWrite, StoreError> {
    Ok(match store.products().fix_bound(product, restock, bound).await? {
        Outcome::Applied(()) => BoundWrite::Fixed,
        Outcome::Refused(stands) => BoundWrite::refused(stands.as_ref(), restock),
    })
}

/// The cursors of these shards, but for those that cannot be read.
async fn read_cursors(
    store: &Store,
    product: &ProductId,
    ends: &[ShardEnd],
) -> Result<BTreeMap<Shard, StoredCursor>, StoreError> {
    let reads = ends.iter().map(|end| async move {
        match store.cursors().read(product, end.shard).await {
            Ok(stored) => Ok(Some((end.shard, stored))),
            Err(error) if error.is_corrupt() => Ok(None),
            Err(error) => Err(error),
        }
    });
    Ok(try_join_all(reads).await?.into_iter().flatten().collect())
}

fn cursor_of(cursors: &BTreeMap<Shard, StoredCursor>, shard: Shard) -> Option<&Cursor> {
    cursors.get(&shard).map(|stored| &stored.cursor)
}

/// Records a plan, for operators.
async fn record_plan(
    app: &App,
    product: &ProductId,
    restock: &RestockId,
    bound: Option<Position>,
    jobs: &[Job],
) -> Result<(), StoreError> {
    let planned = PlanRecord {
        restock_id: restock.clone(),
        product_id: product.clone(),
        bound,
        shard_count: u16::try_from(app.shards().all().count()).unwrap_or(u16::MAX),
        shards: jobs.iter().map(|job| job.shard).collect(),
        planned_at: clock::now(),
    };
    app.store.summaries().record_plan(&planned).await
}

/// Begins these jobs for a moment, and gives the shards that could not be begun, because another worker has them or for a
/// failure. The restock is planned, whatever became of them: its record fails only where their jobs cannot be published.
async fn deliver_inline(
    app: &App,
    jobs: &[Job],
    cursors: &BTreeMap<Shard, StoredCursor>,
    known: impl Fn(StoredCursor) -> Snapshot,
    until: Instant,
) -> Vec<Shard> {
    let until = until.min(Instant::now() + INLINE_BUDGET);
    let begun = jobs.iter().map(|job| {
        let known = cursors.get(&job.shard).cloned().map(&known);
        async move { is_left(app, job, known, until).await.then_some(job.shard) }
    });
    // join_all and not try_join_all: a delivery that is dropped half-way would leave a call in doubt.
    join_all(begun).await.into_iter().flatten().collect()
}

async fn is_left(app: &App, job: &Job, known: Option<Snapshot>, until: Instant) -> bool {
    let Some(known) = known else { return true };
    match deliver::deliver_from(app, job, known, Patience::None, until).await {
        Ok(begun) => begun == Begun::Busy,
        Err(error) => {
            let why = lambda::error_chain(&error).to_string();
            tracing::error!(product = %job.product_id, shard = %job.shard, why, "not begun at once: put in line");
            true
        }
    }
}
