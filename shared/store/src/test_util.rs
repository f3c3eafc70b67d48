//! A DynamoDB in the memory of a test.

use std::io;
use std::net::Ipv4Addr;

use aws_config::SdkConfig;
use domain::Shard;
use domain::job::Job;
use dynoxide::Database;
use jiff::Timestamp;
use tokio::net::TcpListener;

use crate::fanout::{self, BUCKETS, FanOut};
use crate::item::to_item;
use crate::{ItemKey, Store, StoreError};

/// A new table in an empty database, on a port of the loopback interface, until the runtime ends. The client is as `aws` has it.
///
/// # Errors
/// When there is no memory or no port for the database, and when it does not take the table.
pub async fn store(aws: &SdkConfig) -> io::Result<Store> {
    let store = Store::at(aws, Some(&serve().await?), "table");
    store.create_if_missing().await.map_err(io::Error::other)?;
    Ok(store)
}

/// The same of an earlier edition, which nothing tells apart from a new one but what is in it.
///
/// # Errors
/// Like [`store`].
pub async fn unmarked(aws: &SdkConfig) -> io::Result<Store> {
    let store = Store::at(aws, Some(&serve().await?), "table");
    store.create().await.map_err(io::Error::other)?;
    Ok(store)
}

/// Writes a fan-out where an earlier edition put it: in the bucket of its shard alone.
///
/// # Errors
/// When the table does not take it.
pub async fn put_astray(store: &Store, job: &Job, moved_at: Timestamp) -> Result<(), StoreError> {
    let Shard(number) = job.shard;
    let key =
        ItemKey::new(fanout::bucket(number % BUCKETS), format!("{}#{number}", job.product_id.key_part()));
    store.put(to_item(&key, &FanOut { job: job.clone(), moved_at }, "fan-out")?).await
}

/// Serves an empty database at the address that it gives.
async fn serve() -> io::Result<String> {
    let database = Database::memory().map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    Ok(url)
}
