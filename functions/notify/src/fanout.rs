//! Fan-outs that are under way, and the jobs that carry them.

use domain::job::Job;
use futures::future::try_join_all;
use kafka::{PublishError, Publisher, Record};
use lambda::clock;
use store::{Outcome, Store, StoreError};

/// Writes down that these jobs' shards are being delivered. Where a later fan-out of the same shard is, that one stays.
pub(crate) async fn open(store: &Store, jobs: &[Job]) -> Result<(), StoreError> {
    try_join_all(jobs.iter().map(|job| store.fan_outs().open(job, clock::now()))).await.map(drop)
}

/// Writes down that a job's shard is delivered. Where a later fan-out of it is under way, that one stays.
pub(crate) async fn close(store: &Store, job: &Job) -> Result<(), StoreError> {
    let (Outcome::Applied(()) | Outcome::Refused(())) = store.fan_outs().close(job).await?;
    Ok(())
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
