//! The sweep: puts the jobs of fan-outs that stand still back in line. Whatever loses a job (a
//! topic whose retention ran out, a dead letter, an account that may not send) delays an email by
//! one sweep and never loses it.

use std::time::Duration;

use domain::job::Job;
use jiff::Timestamp;
use lambda::clock;
use serde_json::{Value, json};
use store::fanout::{BUCKETS, FanOut};

use crate::event::Failed;
use crate::{App, fanout, unreadable};

/// How many jobs are put back at a time.
const CHUNK: usize = 100;

/// Puts back every fan-out that has not moved for `older_than` (or as configured).
pub(crate) async fn sweep(app: &App, older_than: Option<Duration>) -> Result<Value, Failed> {
    let older_than = older_than.unwrap_or(app.config.sweep_after);
    let before = clock::now().checked_sub(older_than).unwrap_or(Timestamp::MIN);
    let (mut open, mut put_back) = (0, 0);
    for number in 0..BUCKETS.get() {
        let mut bucket = app.store.fan_outs().bucket(number);
        while let Some(page) = bucket.next().await? {
            let mut still: Vec<Job> = Vec::new();
            for row in page {
                match row {
                    Ok(found) => {
                        open += 1;
                        if found.is_astray() {
                            app.store.fan_outs().bring_home(&found).await?;
                        }
                        let FanOut { job, moved_at } = found.fan_out;
                        still.extend((moved_at <= before).then_some(job));
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
    tracing::info!(open, put_back, "swept");
    Ok(json!({ "open": open, "putBack": put_back }))
}
