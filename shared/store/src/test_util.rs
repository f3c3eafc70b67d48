//! A DynamoDB in the memory of a test.

use std::io;
use std::net::Ipv4Addr;

use aws_config::SdkConfig;
use dynoxide::Database;
use tokio::net::TcpListener;

use crate::Store;

/// A new table in an empty database, on a port of the loopback interface, until the runtime ends. The client is as `aws` has it.
///
/// # Errors
/// When there is no memory or no port for the database, and when it does not take the table.
pub async fn store(aws: &SdkConfig) -> io::Result<Store> {
    let store = Store::at(aws, Some(&serve().await?), "table");
    store.create_if_missing().await.map_err(io::Error::other)?;
    Ok(store)
}

/// Serves an empty database at the address that it gives.
async fn serve() -> io::Result<String> {
    let database = Database::memory().map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    Ok(url)
}
