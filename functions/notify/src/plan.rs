//! The hands of [`Planning`], which has the order of the steps and its reasons. A failure on the way drops it: the record
//! comes again, and is planned from what the table says by then.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::cursor::Cursor;
use domain::job::Job;
use domain::planning::{BoundWrite, Outcome as Planned, Planning, ShardEnd, Step};
use domain::product::Due;
use domain::record::Record;
use domain::stock::StockUpdate;
use domain::{Position, ProductId, RestockId, Shard, ShardCount, Shards};
use futures::future::{join_all, try_join_all};
use lambda::clock;
use store::cursor::StoredCursor;
use store::name::Named;
use store::summary::Planned as PlanRecord;
use store::timer::Timer;
use store::unplanned::Unplanned;
use store::{Outcome, Store, StoreError, wave};
use tokio::time::Instant;
use tracing::field::display;

use crate::deliver::{self, Begun, Patience, Snapshot};
use crate::event::Failed;
use crate::{App, fanout};

/// Time for delivery where it was planned; the rest goes to the topic as jobs. So a few subscribers of one product get
/// their emails at once, and not after the slices of another with a million.
const INLINE_BUDGET: Duration = Duration::from_secs(1);

/// Plans a stock update, and begins its deliveries. One that fails is written down, for the sweep to plan where the event
/// source gives the record up.
///
/// # Errors
/// When the table or Kafka fails before every shard is begun or has a job on the topic. What was done may be done again.
pub(crate) async fn plan(
    app: &App,
    record: &Record,
    update: StockUpdate,
    until: Instant,
) -> Result<(), Failed> {
    let planned = carry_out(app, record, &update, until).await;
    // One that an unreadable item stands in the way of goes to the dead letters, and another try is the operator's.
    let is_blocked = matches!(&planned, Err(Failed::Table(error)) if error.is_corrupt());
    if planned.is_err() && !is_blocked {
        let product = update.product_id.clone();
        let written = match Unplanned::new(record, &update, clock::now()) {
            Ok(unplanned) => app.store.unplanned().record(&product, &unplanned).await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            tracing::warn!(%product, error = %lambda::error_chain(&error), "a sweep will not know of this update");
        }
    }
    planned
}

async fn carry_out(app: &App, record: &Record, update: &StockUpdate, until: Instant) -> Result<(), Failed> {
    let rules = &app.config.rules;
    let planning = Planning::new(record, update.clone(), rules.clone(), clock::now());
    let (outcome, restock) = run(app, planning, until).await?;
    let of_parent =
        restock.filter(|_| outcome != Planned::Stale).and_then(|restock| update.of_parent(&restock));
    if let Some(of_parent) = of_parent {
        let now = clock::now();
        let planning = Planning::of_variant(record, of_parent, update.product_id.clone(), rules.clone(), now);
        run(app, planning, until).await?;
    }
    Ok(())
}

/// Plans what is due of a product.
///
/// # Errors
/// As of [`plan`]. The next sweep finds what is due then.
pub(crate) async fn plan_due(app: &App, product: ProductId, due: Due, until: Instant) -> Result<(), Failed> {
    run(app, Planning::of_due(product, due, app.config.rules.clone(), clock::now()), until).await.map(drop)
}

/// Carries the steps out, and gives what came of them, and of which restock.
async fn run(
    app: &App,
    mut planning: Planning,
    until: Instant,
) -> Result<(Planned, Option<RestockId>), Failed> {
    let mut hands = Hands { app, until, looked: Instant::now(), cursors: BTreeMap::new() };
    let outcome = loop {
        if let Some(outcome) = hands.step(&mut planning).await? {
            break outcome;
        }
    };
    log(planning.product(), planning.restock(), outcome);
    if let (Planned::Held, Some(restock)) = (outcome, planning.restock()) {
        // So that an operator who has the restock's id finds it, though nothing is planned of it yet.
        let of = (planning.product().clone(), restock.clone());
        app.store.summaries().record_plan(&planned(of, None, Shards::ONE, &[])).await?;
    }
    Ok((outcome, planning.restock().cloned()))
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
            Step::ReadProduct => planning.on_product(store.products().read(id).await?),
            Step::RecordStockUpdate(_)
            | Step::RecordSale(_)
            | Step::WriteTimer(_)
            | Step::PutOff { .. }
            | Step::FixBound(_) => write(store, planning).await?,
            Step::ReadEnds(shards) => planning.on_ends(read_ends(store, id, shards).await?),
            Step::FindWave { lines, size } => {
                planning.on_wave(wave::find(store, id, (lines, size), clock::now()).await?);
            }
            Step::ReadCursors(ends) => {
                let shards: Vec<Shard> = ends.iter().map(|end| end.shard).collect();
                self.cursors = store.cursors().read_all(id, &shards).await?;
                planning.on_cursors(|shard| cursor_of(&self.cursors, shard));
            }
            Step::CloseDelivered(jobs) => {
                try_join_all(jobs.iter().map(|job| fanout::close_delivered(store, job))).await?;
                planning.on_closed();
            }
            Step::RecordPlan { restock, bound, shards, jobs } => {
                let of = (id.clone(), restock.clone());
                store.summaries().record_plan(&planned(of, bound, shards, jobs)).await?;
                planning.on_plan_recorded();
            }
            Step::OpenFanOuts(jobs) => {
                let opened = fanout::open(store, jobs).await?;
                tracing::info!(product = %id, restock = planning.restock().map(display), shards = opened.len(), "planned");
                planning.on_opened(opened);
            }
            Step::OpenMissing(jobs) => planning.on_opened(fanout::open_missing(store, jobs).await?),
            Step::DeliverInline { product, jobs, first } => {
                let looked = self.looked;
                let shards = jobs.len();
                let known = |stored| Snapshot { product: product.clone(), shards, looked, stored, first };
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

/// Does the one thing that is next where it is a write of the product, or of its timer.
async fn write(store: &Store, planning: &mut Planning) -> Result<(), StoreError> {
    let (id, products) = (planning.product(), store.products());
    match planning.next() {
        Step::RecordStockUpdate(update) => match products.record_stock_update(id, update).await? {
            Outcome::Applied(before) => planning.on_recorded(before),
            Outcome::Refused(known) => planning.on_refused(known),
        },
        Step::RecordSale(sale) => match products.record_sale(id, sale).await? {
            Outcome::Applied(()) => planning.on_sale_recorded(),
            Outcome::Refused(known) => planning.on_refused(known),
        },
        Step::WriteTimer(due) => {
            store.timers().put(&Timer { product_id: id.clone(), due }).await?;
            planning.on_timer();
        }
        Step::PutOff { turn, seen, next } => {
            // Refused: another sweep was faster, or an update.
            let _: Outcome = products.put_off(id, turn, seen, next).await?;
            planning.on_put_off();
        }
        Step::FixBound(fix) => {
            planning.on_bound(match products.fix_bound(id, fix).await? {
                Outcome::Applied(()) => BoundWrite::Fixed,
                Outcome::Refused(stands) => BoundWrite::refused(stands, &fix.restock),
            });
        }
        _ => {}
    }
    Ok(())
}

fn log(product: &ProductId, restock: Option<&RestockId>, outcome: Planned) {
    let restock = restock.map(display);
    match outcome {
        Planned::Stale => tracing::info!(%product, restock, "stale: something later is known"),
        Planned::SoldOut => tracing::info!(%product, restock, "sold out"),
        Planned::Sale => {
            tracing::info!(%product, restock, "a sale, or another level of what is in stock already")
        }
        Planned::Held => tracing::info!(%product, restock, "held back: planned later"),
        Planned::Awaits => tracing::info!(%product, restock, "a wave is under way"),
        Planned::Over => tracing::info!(%product, restock, "every wave has come"),
        Planned::Overtaken => tracing::info!(%product, restock, "overtaken by a later update"),
        Planned::Planned => {}
    }
}

async fn take_name(store: &Store, product: &ProductId, name: &RestockId) -> Result<RestockId, StoreError> {
    let now = clock::now();
    Ok(store.names().take(name, &Named::new(product, None, now), now).await?.0)
}

async fn read_ends(store: &Store, product: &ProductId, shards: Shards) -> Result<Vec<ShardEnd>, StoreError> {
    let reads = shards.all().map(|shard| async move {
        let end = store.waitlist(product, shard).end().await?;
        Ok(ShardEnd { shard, last: end.last, used: end.used })
    });
    try_join_all(reads).await
}

fn cursor_of(cursors: &BTreeMap<Shard, StoredCursor>, shard: Shard) -> Option<&Cursor> {
    cursors.get(&shard).map(|stored| &stored.cursor)
}

/// What is recorded of a plan, for operators.
fn planned(
    (product_id, restock_id): (ProductId, RestockId),
    bound: Option<Position>,
    counts: Shards,
    jobs: &[Job],
) -> PlanRecord {
    PlanRecord {
        restock_id,
        product_id,
        bound,
        shard_count: counts.mail.get(),
        priority_shard_count: counts.priority.map(ShardCount::get),
        shards: jobs.iter().map(|job| job.shard).collect(),
        planned_at: clock::now(),
    }
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
    let mut left = Vec::new();
    // The shards of a lane side by side, and one lane after the other, those with priority first.
    for lane in jobs.chunk_by(|one, next| one.shard.lane == next.shard.lane) {
        let begun = lane.iter().map(|job| {
            let known = cursors.get(&job.shard).cloned().map(&known);
            async move { is_left(app, job, known, until).await.then_some(job.shard) }
        });
        // join_all and not try_join_all: a delivery that is dropped half-way would leave a call in doubt.
        left.extend(join_all(begun).await.into_iter().flatten());
    }
    left
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
