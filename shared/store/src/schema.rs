//! The table itself: two string keys, paid per request, with a time to live. `template.yaml` makes the same one on AWS.

use std::time::Duration;

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};

use crate::Store;
use crate::error::Cause;
use crate::item::{PK, SK, TTL};

/// How long a new table may take until it can be used.
const TABLE_LIMIT: Duration = Duration::from_secs(60);
/// The pause between two looks at a new table.
const LOOK: Duration = Duration::from_millis(200);

/// A table that could not be made or got ready.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} table {table}")]
pub struct SchemaError {
    /// The step that failed.
    action: &'static str,
    /// The table's name.
    table: String,
    /// The answer of DynamoDB or of the way to it.
    #[source]
    source: Cause,
}

impl Store {
    /// Makes the table, if it is missing, and waits until it can be used. Works with any DynamoDB.
    ///
    /// # Errors
    /// The first step that failed; a new table that is not active after 60 seconds.
    pub async fn create_if_missing(&self) -> Result<(), SchemaError> {
        let Self { client, table, .. } = self;
        if self.status().await?.is_none() {
            self.create().await?;
        }
        let active = async {
            while self.status().await? != Some(TableStatus::Active) {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        let late = |_| self.failed("use", Cause::new(format!("it is not active after {TABLE_LIMIT:?}")));
        tokio::time::timeout(TABLE_LIMIT, active).await.map_err(late)??;
        self.mark_if_new().await.map_err(|e| self.failed("mark", Cause::of(&e)))?;
        let described = client.describe_time_to_live().table_name(table).send().await;
        let described = described.map_err(|e| self.failed("describe the TTL of", Cause::of_request(&e)))?;
        let ttl = described.time_to_live_description.and_then(|ttl| ttl.time_to_live_status);
        if matches!(ttl, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
            return Ok(());
        }
        let specification = TimeToLiveSpecification::builder()
            .attribute_name(TTL)
            .enabled(true)
            .build()
            .map_err(|e| self.failed("set the TTL of", Cause::of(&e)))?;
        let update = client.update_time_to_live().table_name(table).time_to_live_specification(specification);
        update.send().await.map(drop).map_err(|e| self.failed("set the TTL of", Cause::of_request(&e)))
    }

    pub(crate) async fn create(&self) -> Result<(), SchemaError> {
        let built = |error: BuildError| self.failed("create", Cause::of(&error));
        let key = |name, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        let attribute = |name| {
            let text = ScalarAttributeType::S;
            AttributeDefinition::builder().attribute_name(name).attribute_type(text).build()
        };
        let create = self
            .client
            .create_table()
            .table_name(&self.table)
            .key_schema(key(PK, KeyType::Hash).map_err(built)?)
            .key_schema(key(SK, KeyType::Range).map_err(built)?)
            .attribute_definitions(attribute(PK).map_err(built)?)
            .attribute_definitions(attribute(SK).map_err(built)?)
            .billing_mode(BillingMode::PayPerRequest);
        match create.send().await {
            Ok(_) => tracing::info!(table = self.table, "created the table"),
            // Another process was faster.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => {}
            Err(error) => return Err(self.failed("create", Cause::of_request(&error))),
        }
        Ok(())
    }

    async fn status(&self) -> Result<Option<TableStatus>, SchemaError> {
        match self.client.describe_table().table_name(&self.table).send().await {
            Ok(described) => Ok(described.table.and_then(|table| table.table_status)),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
                Ok(None)
            }
            Err(error) => Err(self.failed("describe", Cause::of_request(&error))),
        }
    }

    fn failed(&self, action: &'static str, source: Cause) -> SchemaError {
        SchemaError { action, table: self.table.clone(), source }
    }
}
