//! Planning a restock: who is told of it. The order of the steps is what keeps everybody. A
//! shopper who was answered "you wait" had written their entry and then read "not in stock", so
//! the entry was there before step 1, step 2 sees it, and the bound covers it.

use std::time::Duration;

use domain::{
    Position, ProductId, RestockId, Shard,
    job::Job,
    product::{Product, Standing},
    record::Record,
    stock::{ProductInfo, StockUpdate, Version},
};
use futures::future::{join_all, try_join_all};
use jiff::Timestamp;
use lambda::clock;
use store::cursor::StoredCursor;
use store::name::Named;
use store::product::StockState;
use store::summary::Planned;
use store::{Outcome, Store, StoreError};
use tokio::time::Instant;

use crate::{App, deliver, event::Failed, fanout};

/// How long the telling may go on where it was planned.
const HEAD_START: Duration = Duration::from_secs(1);

/// Plans what a stock update asks for, and begins with it.
pub(crate) async fn plan(
    app: &App,
    record: &Record,
    update: StockUpdate,
    until: Instant,
) -> Result<(), Failed> {
    let id = &update.product_id;
    let looked = Instant::now();
    let restock = match &update.restock_id {
        Some(name) => {
            let now = clock::now();
            app.store.names().take(name, &Named::new(id, None, now), now).await?.0
        }
        None => RestockId::of_record(&record.topic, record.partition, record.offset),
    };
    // Step 1: the product is in stock (or sold out), unless something later is known.
    let Some(product) = write_down(&app.store, record, &update, &restock).await? else {
        tracing::info!(product = %id, %restock, "stale: something later is known");
        return Ok(());
    };
    if !product.in_stock() {
        tracing::info!(product = %id, %restock, "sold out");
        return Ok(());
    }
    // Step 2: the last position of every shard.
    let ends = try_join_all(app.shards().all().map(|shard| end_of(&app.store, id, shard))).await?;
    // Step 3: the bound, unless it stands or another restock is current by now.
    let bound = if product.is_planned() {
        product.bound
    } else {
        let bound = product.bound_over(ends.iter().filter_map(|end| end.last));
        if !app.store.products().fix_bound(id, &restock, bound).await?.is_applied() {
            tracing::info!(product = %id, %restock, "overtaken by a later update");
            return Ok(());
        }
        bound
    };
    // Step 4: a job for every shard that has someone to tell, after a note of what is planned.
    let job = |shard, bound| Job { restock_id: restock.clone(), product_id: id.clone(), shard, bound };
    let (mut jobs, mut cursors) = (Vec::new(), Vec::new());
    if let Some(bound) = bound {
        let (waiting, told) = waiting(&app.store, id, ends, bound).await?;
        if product.is_planned() {
            // It comes again: whoever told the last of a shard may have died before writing so.
            let told: Vec<Job> = told.into_iter().map(|shard| job(shard, bound)).collect();
            try_join_all(told.iter().map(|job| fanout::close(&app.store, job))).await?;
        }
        (jobs, cursors) = waiting.into_iter().map(|(shard, stored)| (job(shard, bound), stored)).unzip();
    }
    note(app, id, &restock, bound, &jobs).await?;
    fanout::open(&app.store, &jobs).await?;
    tracing::info!(product = %id, %restock, shards = jobs.len(), "planned");
    // Each is begun here, and what is left of it goes in line: so a few who wait for one product
    // are told at once, and not after the slices of another that a million wait for.
    let until = until.min(Instant::now() + HEAD_START);
    let first = !product.is_planned();
    let product = Product { bound, bound_of: Some(restock.clone()), ..product };
    let told = jobs.iter().zip(cursors).map(|(job, stored)| {
        let known =
            stored.map(|stored| deliver::Snapshot { product: product.clone(), looked, stored, first });
        async move {
            match known {
                Some(known) => deliver::deliver_from(app, job, Some(known), until)
                    .await
                    .err()
                    .map(|error| (job, Some(error))),
                None => Some((job, None)),
            }
        }
    });
    // All to their ends: one that was dropped half-way would leave a call in doubt.
    put_in_line(app, join_all(told).await.into_iter().flatten()).await
}

/// Puts those in line that could not be begun here. The restock is planned, whatever became of them: its record fails only
/// where they cannot be put in line.
async fn put_in_line(app: &App, left: impl Iterator<Item = (&Job, Option<Failed>)>) -> Result<(), Failed> {
    let jobs: Vec<Job> = left
        .map(|(job, error)| {
            let why = error.as_ref().map(|error| lambda::error_chain(error).to_string());
            tracing::error!(product = %job.product_id, shard = %job.shard, why, "not begun at once: put in line");
            job.clone()
        })
        .collect();
    Ok(fanout::emit(&app.publisher, &app.kafka().batches, &jobs).await?)
}

/// Writes the update to the product's item, on condition that the item holds nothing newer, and
/// gives the item as it then is; `None` where the update is stale.
async fn write_down(
    store: &Store,
    record: &Record,
    update: &StockUpdate,
    restock: &RestockId,
) -> Result<Option<Product>, StoreError> {
    let written_at = Timestamp::from_millisecond(record.written_ms).ok().filter(|_| record.written_ms > 0);
    let version = Version::new(update.occurred_at, written_at, clock::now(), record.partition, record.offset);
    let details = details(store, update).await?;
    let state =
        StockState { version: &version, restock, quantity: update.quantity, details: details.as_ref() };
    match store.products().record_stock_update(&update.product_id, state).await? {
        Outcome::Applied(product) => Ok(Some(product)),
        Outcome::Refused(known) => {
            let in_stock = update.quantity != Some(0);
            let standing = Product::standing(known.as_ref(), &version, restock, in_stock);
            Ok(known.filter(|_| standing == Standing::Current))
        }
    }
}

/// What mails are to say of the product from this update on. Nothing is read for one that brings everything itself.
async fn details(store: &Store, update: &StockUpdate) -> Result<Option<ProductInfo>, StoreError> {
    let news = update.product.as_ref();
    let known = match news {
        Some(news) if news.is_whole() => None,
        _ => store.products().get(&update.product_id).await?.and_then(|known| known.product),
    };
    Ok(ProductInfo::after(known, news))
}

/// The end of a shard of a waitlist.
struct End {
    shard: Shard,
    last: Option<Position>,
    /// It was told before, so it has a cursor.
    told: bool,
}

async fn end_of(store: &Store, product: &ProductId, shard: Shard) -> Result<End, StoreError> {
    let end = store.waitlist(product, shard).end().await?;
    Ok(End { shard, last: end.last, told: end.used })
}

/// Writes down what a restock planned, for whoever asks later.
async fn note(
    app: &App,
    product: &ProductId,
    restock: &RestockId,
    bound: Option<Position>,
    jobs: &[Job],
) -> Result<(), StoreError> {
    let planned = Planned {
        restock_id: restock.clone(),
        product_id: product.clone(),
        bound,
        shard_count: u16::try_from(app.shards().all().count()).unwrap_or(u16::MAX),
        shards: jobs.iter().map(|job| job.shard).collect(),
        planned_at: clock::now(),
    };
    app.store.summaries().record_plan(&planned).await
}

/// The shards that have someone to tell up to `bound`, with their cursors, and those where everybody is told. A cursor that
/// cannot be read is `None`: who works on its job finds out more.
async fn waiting(
    store: &Store,
    product: &ProductId,
    ends: Vec<End>,
    bound: Position,
) -> Result<(Vec<(Shard, Option<StoredCursor>)>, Vec<Shard>), StoreError> {
    let looks = ends.into_iter().filter(|end| end.told).map(|end| async move {
        match store.cursors().read(product, end.shard).await {
            Ok(stored) => Ok((end, Some(stored))),
            Err(error) if error.is_corrupt() => Ok((end, None)),
            Err(error) => Err(error),
        }
    });
    let (mut waiting, mut told) = (Vec::new(), Vec::new());
    for (end, stored) in try_join_all(looks).await? {
        if stored.as_ref().is_some_and(|stored| stored.cursor.is_done(end.last, bound)) {
            told.push(end.shard);
        } else {
            waiting.push((end.shard, stored));
        }
    }
    Ok((waiting, told))
}
