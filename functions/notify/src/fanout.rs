//! Fan-outs that are under way: one item per shard that is being told, so that they are found
//! without a scan, and the jobs that carry them.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::job::Job;
use futures::future::try_join_all;
use kafka::{PublishError, Record};
use lambda::clock;
use lambda::table::{ItemKey, Open, TableError, item};

use crate::App;

/// Writes down that these are being told, unless a later fan-out of the same shard is.
pub(crate) async fn open(app: &App, jobs: &[Job]) -> Result<(), TableError> {
    let writes = jobs.iter().map(|job| async move {
        let item = item(&ItemKey::open(&job.product_id, job.shard), &Open::of(job, clock::now_ms()))?;
        let bound = vec![(":bound", AttributeValue::S(job.bound.to_string()))];
        let condition = "attribute_not_exists(pk) OR #bound <= :bound";
        app.table.put_if(item, condition, &[("#bound", "bound")], bound).await.map(drop)
    });
    try_join_all(writes).await.map(drop)
}

/// Writes down that a shard is told, unless a later fan-out of it is under way.
pub(crate) async fn close(app: &App, job: &Job) -> Result<(), TableError> {
    let key = ItemKey::open(&job.product_id, job.shard);
    let delete = app
        .table
        .client
        .delete_item()
        .table_name(&app.table.name)
        .set_key(Some(key.attributes()))
        .condition_expression("attribute_not_exists(pk) OR #bound <= :bound")
        .expression_attribute_names("#bound", "bound")
        .expression_attribute_values(":bound", AttributeValue::S(job.bound.to_string()));
    match delete.send().await {
        Ok(_) => Ok(()),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_conditional_check_failed_exception()) => {
            Ok(())
        }
        Err(error) => Err(TableError::of("DeleteItem", &error)),
    }
}

/// Puts jobs in line.
pub(crate) async fn emit(app: &App, jobs: &[Job]) -> Result<(), PublishError> {
    let wire: Vec<(String, String)> = jobs.iter().map(|job| (job.key(), job.to_json())).collect();
    let records: Vec<Record<'_>> = wire
        .iter()
        .map(|(key, value)| Record {
            topic: &app.kafka().batches,
            key: Some(key.as_bytes()),
            value: Some(value.as_bytes()),
            headers: Vec::new(),
        })
        .collect();
    app.publisher.publish(&records).await.into_iter().try_for_each(|written| written.map(drop))
}
