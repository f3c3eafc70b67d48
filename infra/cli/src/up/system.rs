//! Starts the parts in order and stops them in the opposite one.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use aws_config::{Region, SdkConfig};
use kafka_poller::{Mapping, Poller};
use lambda::aws::{loader, loader_for_stand_in};
use lambda::settings::PERSON_KEY;
use lambda_host::front::{Backpressure, Front};
use lambda_host::{Host, NOTIFY};
use ses_inbox::Ses;
use store::Store;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::data::{self, DataDir};
use super::feedback::Queue;
use super::parts;
use super::ready::Addresses;
use super::schedule::{self, Schedule};
use crate::embedded::dynamodb::DynamoDb;
use crate::embedded::kafka::{self, Kafka};
use crate::embedded::watch::Watch;
use crate::functions::Wiring;

/// The name of this machine's table.
pub(crate) const TABLE: &str = "notify-me";
/// The region that the stand-ins are in.
pub(crate) const REGION: &str = "us-east-1";

/// How long requests that came in before the stop may take.
const REQUESTS_LIMIT: Duration = Duration::from_secs(30);
/// How long the stock updates in the embedded Kafka, which forgets them, may take to be planned.
const DRAIN_LIMIT: Duration = Duration::from_secs(20);
/// How long the batches in flight may take.
const POLLERS_LIMIT: Duration = Duration::from_secs(65);
/// The topics that `notify` reads, and the consumer group of each: on AWS, every event source
/// mapping needs a group of its own.
pub(crate) const MAPPINGS: [(&str, &str); 2] =
    [(kafka::RESTOCKS, kafka::GROUP), (kafka::BATCHES, kafka::BATCHES_GROUP)];
/// How long a batch may wait to fill.
const WINDOW: Duration = Duration::from_millis(5);
/// Bytes that a partition's poller reads ahead.
const HOLD: usize = 8 * 1024 * 1024;
/// The same of the embedded Kafka.
const EMBEDDED_HOLD: usize = 64 * 1024 * 1024;
/// How long asynchronous invocations may take.
const HOST_LIMIT: Duration = Duration::from_secs(10);
/// How long connections may take to close.
const CONNECTIONS_LIMIT: Duration = Duration::from_secs(3);

/// Where a part of the cloud is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// At this endpoint.
    Url(String),
    /// Where the AWS SDK finds it, with the caller's credentials.
    Aws,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "aws" {
            return Ok(Self::Aws);
        }
        match url::Url::parse(text) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                Ok(Self::Url(text.trim_end_matches('/').to_owned()))
            }
            _ => Err("give an address such as http://127.0.0.1:8000, or aws".to_owned()),
        }
    }
}

impl Target {
    pub(super) fn url(&self) -> Option<String> {
        match self {
            Self::Url(url) => Some(url.clone()),
            Self::Aws => None,
        }
    }
}

/// What to start, and what to use instead of an embedded part.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// The port on 127.0.0.1; 0 picks a free one.
    pub(crate) port: u16,
    /// Where table and inbox are kept; `None` keeps them in memory.
    pub(crate) data: Option<PathBuf>,
    /// The bootstrap servers of another Kafka.
    pub(crate) kafka: Option<String>,
    /// Another DynamoDB.
    pub(crate) dynamodb: Option<Target>,
    /// Another SES.
    pub(crate) ses: Option<Target>,
    /// Variables for the functions, beside those of this process.
    pub(crate) environment: Vec<(String, String)>,
    /// How many processes `notify` may have; `None` is the default.
    pub(crate) notify_processes: Option<usize>,
    /// The time from one sweep to the next; `None` is the default.
    pub(crate) sweep: Option<Duration>,
}

/// A running system. Dropping it kills the functions' processes; [`System::stop`] is the way to
/// end it.
pub(crate) struct System {
    addresses: Addresses,
    data: Option<DataDir>,
    kafka: Option<Kafka>,
    watch: Option<Watch>,
    dynamodb: Option<DynamoDb>,
    ses: Option<Ses>,
    feedback: Option<Queue>,
    host: Arc<Host>,
    front: Front,
    server: JoinHandle<()>,
    pollers: Arc<Vec<Poller>>,
    schedule: JoinHandle<()>,
    stop_schedule: CancellationToken,
    stop_server: CancellationToken,
}

/// What the program serves beside the functions, where it captures emails: the inbox, and what the page shows of products.
fn extra(ses: Option<&Ses>, table: Store) -> axum::Router {
    ses.map_or_else(axum::Router::new, |ses| ses.router().merge(crate::page::rules::router(table)))
}

/// The keys of links and of persons: those of the data directory, or new ones.
fn keys(data: Option<&DataDir>) -> anyhow::Result<(String, String)> {
    let unsubscribe = data.map_or_else(|| Ok(data::new_key()), DataDir::unsubscribe_key)?;
    let person = match std::env::var(PERSON_KEY.name) {
        Ok(given) => given,
        Err(_) => data.map_or_else(|| Ok(data::new_key()), DataDir::person_key)?,
    };
    Ok((unsubscribe, person))
}

/// Where the inbox is, if one is known: this machine's, or that of another SES endpoint.
fn inbox(ses: Option<&Target>, captures: bool, api: &str) -> Option<String> {
    let here = captures.then(|| api.to_owned());
    here.or_else(|| ses.and_then(Target::url)).map(|at| format!("{at}/_aws/ses"))
}

/// Where the parts are that the functions use.
fn addresses(wiring: &Wiring, sender: String, inbox: Option<String>) -> Addresses {
    let region = wiring.region.clone();
    let or_aws = |url: &Option<String>, service: &str| {
        url.clone().unwrap_or_else(|| format!("https://{service}.{region}.amazonaws.com"))
    };
    Addresses {
        inbox,
        api: wiring.api.clone(),
        kafka: wiring.kafka.clone(),
        dynamodb: or_aws(&wiring.dynamodb, "dynamodb"),
        ses: or_aws(&wiring.ses, "email"),
        table: wiring.table.clone(),
        person_key: wiring.person_key.clone(),
        sender,
        region,
    }
}

impl System {
    /// Starts everything and returns when all of it accepts work.
    ///
    /// # Errors
    /// The first part that cannot be started.
    pub(crate) async fn start(options: Options) -> anyhow::Result<Self> {
        let listener = bind(options.port).await?;
        let local = listener.local_addr()?;
        let api = format!("http://{local}");
        let data = options.data.as_deref().map(DataDir::open).transpose()?;
        let kafka = parts::kafka(options.kafka).await?;
        let (dynamodb, dynamodb_url) = parts::dynamodb(options.dynamodb.as_ref(), data.as_ref()).await?;
        let (captured, ses_url) = parts::ses(options.ses.as_ref(), data.as_ref()).await?;
        let aws = aws(dynamodb_url.is_none() || ses_url.is_none()).await;
        let region = aws.region().map_or(REGION, Region::as_ref).to_owned();
        parts::table(&aws, dynamodb_url.as_deref()).await?;

        let (unsubscribe_key, person_key) = keys(data.as_ref())?;
        let wiring = Wiring {
            api: api.clone(),
            kafka: kafka.servers.clone(),
            kafka_login: kafka.embedded.is_none(),
            dynamodb: dynamodb_url.clone(),
            ses: ses_url.clone(),
            region: region.clone(),
            table: TABLE.to_owned(),
            unsubscribe_key,
            person_key,
        };
        let inbox = inbox(options.ses.as_ref(), captured.is_some(), &api);
        let sender = crate::functions::sender(&options.environment);
        let addresses = addresses(&wiring, sender, inbox);
        let (ses, events) = captured.unzip();
        let host = parts::host(&wiring, options.environment, options.notify_processes).await?;
        let feedback = events.map(|events| Queue::start(host.clone(), region.clone(), events));
        let backpressure = Backpressure::default();
        let front = Front::new(host.clone(), backpressure.clone(), local);
        let table = Store::at(&aws, dynamodb_url.as_deref(), TABLE);
        let stop_server = CancellationToken::new();
        let routes = front.router(extra(ses.as_ref(), table));
        let server = serve(listener, routes, stop_server.clone());

        let pollers = parts::pollers(&kafka, &api).await?;
        let watch = parts::watch(&kafka, &pollers, backpressure)?;
        let stop_schedule = CancellationToken::new();
        let (period, at_start) = (options.sweep.unwrap_or(schedule::PERIOD), data.is_some());
        let schedule = Schedule { host: host.clone(), region, period, at_start };
        let schedule = tokio::spawn(schedule.run(stop_schedule.clone()));
        Ok(Self {
            addresses,
            data,
            kafka: kafka.embedded,
            watch,
            dynamodb,
            ses,
            feedback,
            host,
            front,
            server,
            pollers,
            schedule,
            stop_schedule,
            stop_server,
        })
    }

    /// Where the parts are.
    pub(crate) fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The functions' processes.
    pub(crate) fn host(&self) -> &Arc<Host> {
        &self.host
    }

    /// Takes no more requests, finishes what is in flight for a bounded time, and ends every
    /// process.
    pub(crate) async fn stop(mut self) {
        self.front.close(REQUESTS_LIMIT).await;
        self.stop_schedule.cancel();
        if self.kafka.is_some() {
            self.drain().await;
        }
        // The watch looks at the pollers, so it goes first.
        let watch = self.watch.take();
        report(tokio::task::spawn_blocking(move || watch.map(Watch::stop)).await.map(drop));
        let pollers = Arc::into_inner(self.pollers).unwrap_or_default();
        let stopped = futures::future::join_all(pollers.into_iter().map(Poller::stop));
        if tokio::time::timeout(POLLERS_LIMIT, stopped).await.is_err() {
            tracing::warn!("gave up on batches in flight");
        }
        if let Some(feedback) = self.feedback.take() {
            feedback.stop().await;
        }
        self.host.stop(HOST_LIMIT).await;
        report(self.schedule.await);

        if let Some(ses) = &self.ses {
            ses.end_live_streams();
        }
        self.stop_server.cancel();
        if tokio::time::timeout(CONNECTIONS_LIMIT, &mut self.server).await.is_err() {
            self.server.abort();
        }
        if let Some(ses) = self.ses.take() {
            ses.stop().await;
        }
        if let Some(dynamodb) = self.dynamodb.take() {
            dynamodb.stop().await;
        }
        let kafka = self.kafka.take();
        let ended = tokio::task::spawn_blocking(move || kafka.map(Kafka::stop));
        report(ended.await.map(drop));
        drop(self.data.take());
    }

    /// Lets every stock update be planned: the embedded Kafka keeps nothing, and what is planned
    /// is in the table.
    async fn drain(&self) {
        let servers = self.addresses.kafka.clone();
        let drained =
            tokio::task::spawn_blocking(move || kafka::drain(&servers, kafka::RESTOCKS, DRAIN_LIMIT));
        match drained.await {
            Ok(Ok(true)) => {}
            Ok(Ok(false)) => {
                tracing::error!("stock updates in the embedded Kafka are lost: not planned in time");
            }
            Ok(Err(error)) => tracing::error!(%error, "cannot see whether stock updates are lost"),
            Err(error) => report(Err(error)),
        }
    }
}

fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a part ended badly");
    }
}

/// The event source mapping of a topic: as `template.yaml` has it, but for the window, which is
/// short here because invocations cost nothing.
pub(crate) fn mapping(servers: &str, topic: &str, group: &str, embedded: bool) -> Mapping {
    Mapping {
        group: group.to_owned(),
        window: WINDOW,
        bisect_on_error: true,
        report_batch_item_failures: true,
        // The embedded Kafka drops what is not read, so it is read at once.
        hold_bytes: if embedded { EMBEDDED_HOLD } else { HOLD },
        stop_grace: POLLERS_LIMIT,
        ..Mapping::new(servers, [topic], NOTIFY)
    }
}

async fn bind(port: u16) -> anyhow::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(|error| {
        if error.kind() == std::io::ErrorKind::AddrInUse {
            anyhow!(
                "port {port} on 127.0.0.1 is in use; stop what uses it, or choose another with --port (0 picks a free one)"
            )
        } else {
            anyhow!(error).context(format!("cannot listen on 127.0.0.1:{port}"))
        }
    })
}

fn serve(listener: TcpListener, router: axum::Router, stop: CancellationToken) -> JoinHandle<()> {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move {
        let served = axum::serve(listener, service).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "the front ended");
        }
    })
}

/// What this program's own AWS clients use: what the functions use, see `functions::table`.
pub(crate) async fn aws(uses_aws: bool) -> SdkConfig {
    let loader = if uses_aws { loader() } else { loader_for_stand_in(REGION.to_owned()) };
    loader.load().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_an_address_or_aws() {
        assert_eq!("aws".parse(), Ok(Target::Aws));
        assert_eq!("http://h:8000/".parse(), Ok(Target::Url("http://h:8000".to_owned())));
        for wrong in ["", "AWS", "localhost:8000", "ftp://h", "h"] {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn a_taken_port_is_named_with_what_to_do() {
        let Ok(taken) = bind(0).await else { panic!("no free port") };
        let Ok(address) = taken.local_addr() else { panic!("no address") };
        let Err(error) = bind(address.port()).await else { panic!("the port was free") };
        let text = error.to_string();
        assert!(text.contains(&address.port().to_string()) && text.contains("--port"), "{text}");
    }
}
