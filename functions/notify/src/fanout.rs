//! Fan-outs that are under way, and the jobs that carry them: of each shard one that lives.

use domain::job::{Job, Ticket};
use futures::future::try_join_all;
use jiff::Timestamp;
use kafka::{PublishError, Publisher, Record};
use lambda::{clock, entropy};
use store::{Outcome, Store, StoreError};

use crate::App;
use crate::event::Failed;

fn new_ticket() -> Ticket {
    #[expect(clippy::expect_used, reason = "a ULID is 26 letters and digits")]
    Ticket::parse(&entropy::new_id()).expect("a ULID is a ticket")
}

/// Writes down that these jobs' shards are being delivered, each under a new ticket, and gives the jobs with those. Where a
/// later fan-out of a shard is open, that one stays, and no job of this one is needed.
pub(crate) async fn open(store: &Store, jobs: &[Job]) -> Result<Vec<Job>, StoreError> {
    opened(jobs, async |job| store.fan_outs().open(job, clock::now()).await).await
}

/// The same for those whose shard has no open fan-out.
pub(crate) async fn open_missing(store: &Store, jobs: &[Job]) -> Result<Vec<Job>, StoreError> {
    opened(jobs, async |job| store.fan_outs().open_missing(job, clock::now()).await).await
}

/// The jobs, each under a new ticket, whose fan-outs this opens.
async fn opened(
    jobs: &[Job],
    open: impl AsyncFn(&Job) -> Result<Outcome, StoreError>,
) -> Result<Vec<Job>, StoreError> {
    let opened = jobs.iter().map(async |job| {
        let job = job.with_ticket(new_ticket());
        Ok(open(&job).await?.is_applied().then_some(job))
    });
    Ok(try_join_all(opened).await?.into_iter().flatten().collect())
}

/// Writes down that a job has nothing more to do. Where another job of its shard has taken its place, the fan-out stays.
pub(crate) async fn close(store: &Store, job: &Job) -> Result<(), StoreError> {
    let (Outcome::Applied(()) | Outcome::Refused(())) = store.fan_outs().close(job).await?;
    Ok(())
}

/// Writes down that a job's shard is delivered. Where a later fan-out of it is under way, that one stays.
pub(crate) async fn close_delivered(store: &Store, job: &Job) -> Result<(), StoreError> {
    let (Outcome::Applied(()) | Outcome::Refused(())) = store.fan_outs().close_delivered(job).await?;
    Ok(())
}

/// Puts the rest of these jobs in line, each under a new ticket, but those whose place another job has taken; gives how many.
///
/// The ticket is written first and the job published then: the other way round, the job could come to a worker before its
/// ticket is there, and be dropped. So a crash between the two loses the job until the next sweep. A publication that
/// fails gives the old ticket back, so that a retry, with the record of the old job or with a sweep, may.
pub(crate) async fn put_in_line(app: &App, jobs: &[Job]) -> Result<usize, Failed> {
    let passed = jobs.iter().map(|job| async move {
        Ok::<_, StoreError>(pass_on(&app.store, job, clock::now()).await?.map(|next| (job, next)))
    });
    let passed: Vec<(&Job, Job)> = try_join_all(passed).await?.into_iter().flatten().collect();
    let next: Vec<Job> = passed.iter().map(|(_, next)| next.clone()).collect();
    if let Err(error) = emit(&app.publisher, &app.kafka().batches, &next).await {
        for (job, next) in &passed {
            give_back(&app.store, job, next).await;
        }
        return Err(error.into());
    }
    Ok(next.len())
}

async fn pass_on(store: &Store, job: &Job, moved_at: Timestamp) -> Result<Option<Job>, StoreError> {
    let next = job.with_ticket(new_ticket());
    let passed = match &job.ticket {
        Some(ticket) => store.fan_outs().pass_on(ticket, &next, moved_at).await?,
        // A job, or an item, of an earlier version.
        None => store.fan_outs().open(&next, moved_at).await?,
    };
    if !passed.is_applied() {
        tracing::info!(product = %job.product_id, shard = %job.shard, "another job has taken this one's place");
    }
    Ok(passed.is_applied().then_some(next))
}

/// As if it had stood still for long, so that the next sweep takes it.
async fn give_back(store: &Store, job: &Job, next: &Job) {
    let Some(ticket) = &next.ticket else { return };
    if let Err(error) = store.fan_outs().pass_on(ticket, job, Timestamp::UNIX_EPOCH).await {
        tracing::warn!(product = %job.product_id, shard = %job.shard, %error, "left to a sweep");
    }
}

/// Publishes jobs to their topic, `batches`.
pub(crate) async fn emit(publisher: &Publisher, batches: &str, jobs: &[Job]) -> Result<(), PublishError> {
    let wire: Vec<(String, String)> = jobs.iter().map(|job| (job.key(), job.to_json())).collect();
    let records: Vec<Record<'_>> = wire
        .iter()
        .map(|(key, value)| Record {
            topic: batches,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: Vec::new(),
        })
        .collect();
    publisher.publish(&records).await.into_iter().try_for_each(|written| written.map(drop))
}
