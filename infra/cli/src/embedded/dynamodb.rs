//! The embedded DynamoDB.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use dynoxide::Database;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How often expired items are removed. On AWS that takes up to two days.
const SWEEP: Duration = Duration::from_secs(60);
/// How long requests may take to finish when the server stops.
const END_LIMIT: Duration = Duration::from_secs(5);

/// Why there is no DynamoDB.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The embedded database could not be opened.
    #[error("cannot open the embedded DynamoDB")]
    Open(#[source] dynoxide::DynoxideError),
    /// No port could be had.
    #[error("no port for the embedded DynamoDB")]
    Port(#[source] std::io::Error),
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
