//! SES v2, captured: what a shop would have emailed, kept in an inbox.
//!
//! A server on loopback that any AWS SDK takes for SES v2 (`AWS_ENDPOINT_URL_SESV2`); signatures are not looked at.
//! It keeps to the limits a program meets in production (50 destinations a call, rate and daily quota, what a header
//! or a tag may hold, templates rendered by SES's rules), and nothing leaves the machine. What the inbox looks like over HTTP
//! is in `view`; a page that shows it comes from the caller. It knows nothing of products or waitlists.

mod api;
mod became;
mod faults;
mod inbox;
pub mod limits;
mod raw;
pub mod serve;
mod suppression;
mod template;
#[cfg(test)]
mod tests;
mod view;
pub mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::became::Became;
use self::faults::Faults;
use self::inbox::{Inbox, Mail};
use self::limits::{Quota, Rate};

/// The largest message SES v2 takes, in bytes.
const MAX_BODY: usize = 40 * 1024 * 1024;
/// Emails a live listener may lag behind before it is asked to read the list instead.
const LIVE_BACKLOG: usize = 4_096;

/// What kind of account to be.
#[derive(Clone, Debug)]
pub struct Options {
    /// Keeps the inbox over restarts in this file (JSON lines, made if missing); in memory only when `None`.
    pub file: Option<PathBuf>,
    /// Recipients a second.
    pub max_send_rate: f64,
    /// Recipients in any 24 hours.
    pub max_24_hour_send: f64,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Routes that are served beside the inbox's, such as a page that shows it.
    pub page: Router,
    /// Where events of emails go, each as the JSON that SES publishes.
    pub events: Option<UnboundedSender<String>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            file: None,
            max_send_rate: 5_000.0,
            max_24_hour_send: 100_000_000.0,
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            page: Router::new(),
            events: None,
        }
    }
}

/// An email that was taken.
pub struct Captured {
    /// Its recipient.
    pub to: String,
    /// The restock it tells of.
    pub restock: String,
    /// When it was taken, in Unix milliseconds.
    pub at_ms: i64,
    /// What became of it, as far as anything is told of it.
    pub became: Option<Became>,
}

/// What has happened since the start.
#[derive(Debug, Clone, Copy)]
pub struct Counts {
    /// Emails taken.
    pub mails: usize,
    /// Calls, whatever came of them.
    pub calls: u64,
    /// Calls refused as too fast.
    pub throttled: u64,
}

/// The running server. Dropping it without [`Ses::stop`] stops it without waiting for what is in flight.
pub struct Ses {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: CancellationToken,
    server: Option<JoinHandle<()>>,
}

impl Ses {
    /// Reads the inbox file, if any, and starts to serve.
    ///
    /// # Errors
    /// Where the file is not an inbox or can't be opened, or the address can't be listened on.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let file = options.file.clone();
        let inbox = match file {
            Some(file) => tokio::task::spawn_blocking(move || Inbox::open(&file)).await??,
            None => Inbox::in_memory(),
        };
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("the captured SES can't listen on {}", options.listen))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::new(options, inbox));
        let api = Router::new()
            .route("/v2/email/outbound-bulk-emails", post(api::send_bulk_email).fallback(api::unknown))
            .route("/v2/email/outbound-emails", post(api::send_email).fallback(api::unknown))
            .route("/v2/email/suppression/addresses", get(suppression::list).fallback(api::unknown))
            .route("/v2/email/account", get(api::get_account).fallback(api::unknown))
            .merge(view::faults_router())
            .fallback(api::unknown)
            .layer(DefaultBodyLimit::max(MAX_BODY))
            .with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        let mut ses = Self { shared, address, stop: stop.clone(), server: None };
        ses.server = Some(tokio::spawn(serve::serve(listener, ses.router().merge(api), stop)));
        Ok(ses)
    }

    /// The endpoint for SES clients, such as `http://127.0.0.1:41234`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every email that was taken, oldest first.
    pub fn captured(&self) -> Vec<Captured> {
        let mails = self.shared.inbox().after(None).to_vec();
        let taken = mails.iter().filter_map(|mail| {
            let entry = mail.entry();
            let restock =
                entry.replacement_tags.iter().chain(&mail.call.tags).find(|tag| tag.name == "restock");
            let to = entry.destination.all().next()?.to_owned();
            Some(Captured {
                to,
                restock: restock.map(|tag| tag.value.clone()).unwrap_or_default(),
                at_ms: mail.at,
                became: mail.became,
            })
        });
        taken.collect()
    }

    /// When each email of a restock was taken, in Unix milliseconds.
    pub fn of_restock(&self, restock: &str) -> Vec<i64> {
        self.captured().into_iter().filter(|mail| mail.restock == restock).map(|mail| mail.at_ms).collect()
    }

    /// How many emails were taken, calls made, and calls throttled.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(std::sync::atomic::Ordering::Relaxed);
        let counters = &self.shared.counters;
        let mails = self.shared.inbox().after(None).len();
        Counts { mails, calls: read(&counters.calls), throttled: read(&counters.throttled) }
    }

    /// The inbox (`/_aws/ses` and below it) and [`Options::page`], to be merged into another router.
    pub fn router(&self) -> Router {
        view::router().with_state(Arc::clone(&self.shared)).merge(self.shared.options.page.clone())
    }

    /// Ends the open `/_aws/ses/events` streams, here and in every router made by [`Ses::router`]: a server that waits
    /// for its connections before it stops would wait for these for ever.
    pub fn end_live_streams(&self) {
        self.shared.stop_live.cancel();
    }

    /// Takes no more calls, finishes those in flight, and returns.
    pub async fn stop(mut self) {
        self.end_live_streams();
        self.stop.cancel();
        if let Some(server) = self.server.take() {
            // Its failure would be a panic, which the runtime has reported.
            let _ = server.await;
        }
    }
}

impl Drop for Ses {
    fn drop(&mut self) {
        self.end_live_streams();
        self.stop.cancel();
    }
}

/// What the calls share.
struct Shared {
    options: Options,
    inbox: Mutex<Inbox>,
    rate: Mutex<Rate>,
    quota: Mutex<Quota>,
    faults: Mutex<Faults>,
    counters: Counters,
    started_at: Timestamp,
    /// Every new email with its subject.
    live: broadcast::Sender<(Arc<Mail>, String)>,
    stop_live: CancellationToken,
}

#[derive(Default)]
struct Counters {
    calls: AtomicU64,
    throttled: AtomicU64,
    over_quota: AtomicU64,
    rendering_failures: AtomicU64,
}

impl Shared {
    fn new(options: Options, inbox: Inbox) -> Self {
        let mut quota = Quota::new(options.max_24_hour_send);
        for mail in inbox.after(None) {
            quota.add(mail.at.div_euclid(60_000), mail.entry().destination.all().count() as u64);
        }
        Self {
            rate: Mutex::new(Rate::new(options.max_send_rate, Instant::now())),
            quota: Mutex::new(quota),
            inbox: Mutex::new(inbox),
            faults: Mutex::default(),
            counters: Counters::default(),
            started_at: Timestamp::now(),
            live: broadcast::Sender::new(LIVE_BACKLOG),
            stop_live: CancellationToken::new(),
            options,
        }
    }

    // A poisoned lock is taken all the same: each holder leaves its part whole at every point where it could panic.
    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rate(&self) -> MutexGuard<'_, Rate> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn quota(&self) -> MutexGuard<'_, Quota> {
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
