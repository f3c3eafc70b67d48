//! The sweep: plans what has become due (restocks that were held back, waves), the updates whose planning failed, and puts the
//! jobs of fan-outs that stand still back in line.
//! Whatever loses a record or a job (a topic whose retention ran out, a dead letter, an event source that gave it up, an
//! account that may not send) delays an email by one sweep and never loses it.

use std::time::Duration;

use domain::job::Job;
use domain::stock::StockUpdate;
use futures::future::join_all;
use jiff::Timestamp;
use lambda::clock;
use serde_json::{Value, json};
use store::Outcome;
use store::fanout::BUCKETS;
use store::timer::{self, Timer};
use store::unplanned::Unplanned;
use tokio::time::Instant;

use crate::event::Failed;
use crate::{App, fanout, plan, unreadable};

/// How many jobs are put back at a time.
const CHUNK: usize = 100;

/// Plans every update whose planning failed, and puts back every fan-out that has not moved, for `older_than` (or as
/// configured). Nothing new is planned after `until`.
pub(crate) async fn sweep(app: &App, older_than: Option<Duration>, until: Instant) -> Result<Value, Failed> {
    let older_than = older_than.unwrap_or(app.config.sweep_after);
    let before = clock::now().checked_sub(older_than).unwrap_or(Timestamp::MIN);
    let due = plan_due(app, until).await?;
    let planned = plan_failed(app, before, until).await?;
    let (mut open, mut put_back) = (0, 0);
    for number in 0..BUCKETS.get() {
        let mut bucket = app.store.fan_outs().bucket(number);
        while let Some(page) = bucket.next().await? {
            let mut still: Vec<Job> = Vec::new();
            for row in page {
                match row {
                    Ok(found) => {
                        open += 1;
                        still.extend((found.moved_at <= before).then_some(found.job));
                    }
                    // It keeps none of the others back.
                    Err(row) => unreadable::write_down(&app.store, &row.key, &row.error).await?,
                }
            }
            for jobs in still.chunks(CHUNK) {
                put_back += fanout::put_in_line(app, jobs).await?;
            }
        }
    }
    tracing::info!(open, put_back, planned, due, "swept");
    Ok(json!({ "open": open, "putBack": put_back, "planned": planned, "due": due }))
}

/// How many products are seen to at a time.
const AT_ONCE: usize = 8;

/// Sees to every product whose timer has run down, and gives how many there were. One that fails keeps none of the others
/// back, and stays for the next sweep.
async fn plan_due(app: &App, until: Instant) -> Result<usize, Failed> {
    let mut seen = 0;
    for number in 0..timer::BUCKETS.get() {
        let mut run_down = app.store.timers().run_down(number, clock::now());
        while let Some(page) = run_down.next().await? {
            let mut timers = Vec::new();
            for row in page {
                match row {
                    Ok(timer) => timers.push(timer),
                    Err(row) => unreadable::write_down(&app.store, &row.key, &row.error).await?,
                }
            }
            seen += timers.len();
            for timers in timers.chunks(AT_ONCE) {
                if Instant::now() < until {
                    join_all(timers.iter().map(|timer| see_to(app, timer, until))).await;
                }
            }
        }
    }
    Ok(seen)
}

/// Does what is due of a product, and removes the timer once the product waits for something else, or for nothing more.
async fn see_to(app: &App, timer: &Timer, until: Instant) {
    let product = &timer.product_id;
    let done = async {
        plan::plan_due(app, product.clone(), timer.due, until).await?;
        let known = app.store.products().get(product).await?;
        if known.and_then(|known| known.due) != Some(timer.due) {
            app.store.timers().remove(timer).await?;
        }
        Ok::<_, Failed>(())
    };
    if let Err(error) = done.await {
        tracing::error!(%product, error = %lambda::error_chain(&error), "what is due was not done by the sweep");
    }
}

/// Plans the updates that failed `before`: their event source may have given them up. An update that fails once more stays
/// for the next sweep, and keeps none of the others back.
async fn plan_failed(app: &App, before: Timestamp, until: Instant) -> Result<usize, Failed> {
    let (mut updates, mut planned) = (app.store.unplanned().all(), 0);
    while let Some(page) = updates.next().await? {
        for row in page {
            match row {
                Ok(failed) if failed.failed_at > before || Instant::now() >= until => {}
                Ok(failed) => planned += usize::from(plan_one(app, &failed, until).await?),
                Err(row) => unreadable::write_down(&app.store, &row.key, &row.error).await?,
            }
        }
    }
    Ok(planned)
}

/// Plans one update, and gives whether it is planned. A later update, or the event source's own retry, may have done so.
async fn plan_one(app: &App, failed: &Unplanned, until: Instant) -> Result<bool, Failed> {
    let record = failed.record();
    let update = match StockUpdate::from_record(record.value.as_deref()) {
        Ok(received) => received.update,
        Err(reason) => {
            tracing::error!(record = %record.place(), %reason, "an update that failed cannot be read any more");
            return Ok(false);
        }
    };
    let product = update.product_id.clone();
    match plan::plan(app, &record, update, until).await {
        Ok(()) => {
            // Refused where a later update of the product failed meanwhile, which stays.
            let _: Outcome = app.store.unplanned().remove(&product, failed).await?;
            Ok(true)
        }
        Err(error) => {
            tracing::error!(record = %record.place(), error = %lambda::error_chain(&error), "not planned by the sweep");
            Ok(false)
        }
    }
}
