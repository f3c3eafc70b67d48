//! A DynamoDB in the memory of a test.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_config::SdkConfig;
use dynoxide::Database;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

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

/// How many requests a store has sent.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<AtomicUsize>);

impl Calls {
    /// The number since it was last asked for.
    pub fn take(&self) -> usize {
        self.0.swap(0, Ordering::SeqCst)
    }
}

/// The same, with its requests counted.
///
/// # Errors
/// The same.
pub async fn counted_store(aws: &SdkConfig) -> io::Result<(Store, Calls)> {
    let (url, calls) = (serve().await?, Calls::default());
    let front = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let store = Store::at(aws, Some(&format!("http://{}", front.local_addr()?)), "table");
    tokio::spawn(count(front, url, calls.clone()));
    store.create_if_missing().await.map_err(io::Error::other)?;
    calls.take();
    Ok((store, calls))
}

/// Passes each connection on to the database at `url`, and counts the requests by the header that names their operation.
async fn count(front: TcpListener, url: String, calls: Calls) -> io::Result<()> {
    loop {
        let (mut requests, mut answers) = front.accept().await?.0.into_split();
        let (mut from, mut to) = TcpStream::connect(url.trim_start_matches("http://")).await?.into_split();
        tokio::spawn(async move { tokio::io::copy(&mut from, &mut answers).await });
        let calls = calls.clone();
        tokio::spawn(async move {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let bytes = match requests.read(&mut buffer).await? {
                    0 => return Ok::<_, io::Error>(()),
                    read => buffer.get(..read).unwrap_or_default(),
                };
                let text = bytes.to_ascii_lowercase();
                let found = text.windows(13).filter(|part| part == b"x-amz-target:").count();
                calls.0.fetch_add(found, Ordering::SeqCst);
                to.write_all(bytes).await?;
            }
        });
    }
}

/// Serves an empty database at the address that it gives.
async fn serve() -> io::Result<String> {
    let database = Database::memory().map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(dynoxide::server::serve_with_shutdown(listener, database, std::future::pending()));
    Ok(url)
}
