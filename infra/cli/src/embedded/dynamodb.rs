//! The embedded DynamoDB, and the table, wherever DynamoDB is.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
    TimeToLiveSpecification, TimeToLiveStatus,
};
use dynoxide::Database;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The attribute that holds the second at which an item may vanish.
const TTL: &str = "ttl";
/// How often expired items are removed. On AWS that takes up to two days.
const SWEEP: Duration = Duration::from_secs(60);
/// How long requests may take to finish when the server stops.
const END_LIMIT: Duration = Duration::from_secs(5);
/// How long a new table may take until it can be used.
const TABLE_LIMIT: Duration = Duration::from_secs(60);

/// Why there is no DynamoDB, or no table in it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The embedded database could not be opened.
    #[error("cannot open the embedded DynamoDB")]
    Open(#[source] dynoxide::DynoxideError),
    /// No port could be had.
    #[error("no port for the embedded DynamoDB")]
    Port(#[source] std::io::Error),
    /// A request failed.
    #[error("cannot {action} table {table}: {reason}")]
    Table {
        /// What was tried.
        action: &'static str,
        /// The table's name.
        table: String,
        /// What DynamoDB or the way to it had against it.
        reason: String,
    },
}

/// A DynamoDB inside this process, served over HTTP on a port of the loopback interface.
pub(crate) struct DynamoDb {
    url: String,
    stop: CancellationToken,
    server: JoinHandle<()>,
    sweeper: JoinHandle<()>,
}

impl DynamoDb {
    /// Starts it in memory, or in the SQLite file given.
    ///
    /// # Errors
    /// [`Error::Open`] and [`Error::Port`].
    pub(crate) async fn start(file: Option<&Path>) -> Result<Self, Error> {
        let database = match file {
            Some(file) => Database::new(&file.to_string_lossy()),
            None => Database::memory(),
        }
        .map_err(Error::Open)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(Error::Port)?;
        let url = format!("http://{}", listener.local_addr().map_err(Error::Port)?);
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let sweeper = tokio::spawn(sweep(database.clone(), stop.clone()));
        let server = tokio::spawn(async move {
            let served = dynoxide::server::serve_with_shutdown(listener, database, stopped).await;
            if let Err(reason) = served {
                tracing::error!(reason, "the embedded DynamoDB ended");
            }
        });
        Ok(Self { url, stop, server, sweeper })
    }

    /// Its endpoint.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Lets running requests finish, for a bounded time, and closes the file.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        let _ = self.sweeper.await;
        if tokio::time::timeout(END_LIMIT, &mut self.server).await.is_err() {
            self.server.abort();
        }
    }
}

async fn sweep(database: Database, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(SWEEP);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(0)) => {}
            Ok(Ok(items)) => tracing::debug!(items, "removed expired items"),
            Ok(Err(error)) => tracing::warn!(%error, "cannot remove expired items"),
            Err(error) => tracing::warn!(%error, "the removal of expired items failed"),
        }
    }
}

/// Makes the table, if it is missing, and waits until it can be used. Works with any DynamoDB.
///
/// # Errors
/// [`Error::Table`] with what could not be done.
pub(crate) async fn create_missing_table(client: &Client, table: &str) -> Result<(), Error> {
    let failed = |action, reason: String| Error::Table { action, table: table.to_owned(), reason };
    if status(client, table).await?.is_none() {
        let key = |name, kind| KeySchemaElement::builder().attribute_name(name).key_type(kind).build();
        let attribute = |name| {
            let text = ScalarAttributeType::S;
            AttributeDefinition::builder().attribute_name(name).attribute_type(text).build()
        };
        let built = |error: aws_sdk_dynamodb::error::BuildError| failed("create", error.to_string());
        let created = client
            .create_table()
            .table_name(table)
            .key_schema(key("pk", KeyType::Hash).map_err(built)?)
            .key_schema(key("sk", KeyType::Range).map_err(built)?)
            .attribute_definitions(attribute("pk").map_err(built)?)
            .attribute_definitions(attribute("sk").map_err(built)?)
            .billing_mode(BillingMode::PayPerRequest)
            .send()
            .await;
        match created {
            Ok(_) => tracing::info!(table, "created the table"),
            // Somebody else was faster.
            Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_in_use_exception()) => {}
            Err(error) => return Err(failed("create", DisplayErrorContext(error).to_string())),
        }
    }
    let active = async {
        while status(client, table).await? != Some(TableStatus::Active) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    };
    tokio::time::timeout(TABLE_LIMIT, active)
        .await
        .map_err(|_| failed("use", format!("it is not active after {TABLE_LIMIT:?}")))??;
    let described = client
        .describe_time_to_live()
        .table_name(table)
        .send()
        .await
        .map_err(|error| failed("describe the TTL of", DisplayErrorContext(error).to_string()))?;
    let ttl = described.time_to_live_description.and_then(|ttl| ttl.time_to_live_status);
    if matches!(ttl, Some(TimeToLiveStatus::Enabled | TimeToLiveStatus::Enabling)) {
        return Ok(());
    }
    let specification = TimeToLiveSpecification::builder()
        .attribute_name(TTL)
        .enabled(true)
        .build()
        .map_err(|error| failed("set the TTL of", error.to_string()))?;
    client
        .update_time_to_live()
        .table_name(table)
        .time_to_live_specification(specification)
        .send()
        .await
        .map_err(|error| failed("set the TTL of", DisplayErrorContext(error).to_string()))?;
    Ok(())
}

async fn status(client: &Client, table: &str) -> Result<Option<TableStatus>, Error> {
    match client.describe_table().table_name(table).send().await {
        Ok(described) => Ok(described.table.and_then(|table| table.table_status)),
        Err(error) if error.as_service_error().is_some_and(|e| e.is_resource_not_found_exception()) => {
            Ok(None)
        }
        Err(error) => Err(Error::Table {
            action: "describe",
            table: table.to_owned(),
            reason: DisplayErrorContext(error).to_string(),
        }),
    }
}
