//! A DynamoDB in the memory of a test.

use std::io;
use std::net::Ipv4Addr;

use dynoxide::Database;
use tokio::net::TcpListener;

/// Serves an empty database at the address that it gives, on a port of the loopback interface, until the runtime ends.
///
/// # Errors
/// When there is no memory or no port for it.
pub async fn serve() -> io::Result<String> {
    let database = Database::memory().map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    Ok(url)
}
