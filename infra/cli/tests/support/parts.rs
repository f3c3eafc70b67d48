//! The Kafka and the DynamoDB under the systems: those inside `notify-me`, or, with `NOTIFY_ME_PARTS=real`,
//! Apache Kafka and DynamoDB Local from `infra/real-parts`.
//!
//! A system has real parts to itself. Starting them takes seconds of processor time, so they are used again: a
//! test that takes used ones finds no topic, group or table in them.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use serde::Deserialize;

use super::PATIENCE;

/// How many real parts there are at most at a time, one of them for the shared system. About 450 MB each.
const AT_MOST: usize = 4;
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// For JVMs that live for minutes: the quick compiler alone, and no threads for a collector of small heaps.
const JAVA_OPTIONS: &str = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC";

/// The parts of one system, or of several one after the other.
#[derive(Clone)]
pub(crate) struct Parts(Option<Arc<Lease>>);

/// Whether the tests run on the real parts.
pub(crate) fn are_real() -> bool {
    match std::env::var("NOTIFY_ME_PARTS").as_deref() {
        Err(std::env::VarError::NotPresent) | Ok("" | "embedded") => false,
        Ok("real") => true,
        other => panic!("NOTIFY_ME_PARTS is {other:?}; embedded and real are accepted"),
    }
}

impl Parts {
    /// Parts of this test's own, and empty. Waits for some where there are enough already.
    pub(crate) fn new() -> Self {
        Self(are_real().then(|| Arc::new(Lease::take())))
    }

    /// What `notify-me up` is to be told of them.
    pub(crate) fn arguments(&self) -> Vec<String> {
        let Some(parts) = self.real() else { return Vec::new() };
        ["--kafka", &parts.kafka, "--dynamodb", &parts.dynamodb].map(str::to_owned).to_vec()
    }

    /// Where Kafka is.
    pub(crate) fn kafka(&self) -> &str {
        &self.only_real().kafka
    }

    /// Stops Kafka in the middle of whatever it does, without a word to its clients, or lets it go on.
    pub(crate) fn pause_kafka(&self, pause: bool) {
        let id = self.only_real().kafka_pid.to_string();
        let sent = Command::new("kill").args([if pause { "-STOP" } else { "-CONT" }, &id]).status();
        assert!(sent.unwrap().success());
    }

    /// A DynamoDB client.
    pub(crate) fn table(&self) -> aws_sdk_dynamodb::Client {
        self.only_real().table()
    }

    fn only_real(&self) -> &Addresses {
        self.real().unwrap_or_else(|| panic!("the embedded parts belong to their system"))
    }

    fn real(&self) -> Option<&Addresses> {
        self.0.as_ref().and_then(|lease| lease.real.as_ref()).map(|real| &real.addresses)
    }
}

/// Parts for as long as a test uses them.
struct Lease {
    /// Taken when it ends.
    real: Option<Real>,
}

/// One pair of real parts. They end with this process, however it ends: `infra/real-parts run` reads a pipe from it.
struct Real {
    addresses: Addresses,
    _process: Child,
}

/// What `infra/real-parts` prints.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Addresses {
    kafka: String,
    kafka_pid: u32,
    dynamodb: String,
}

/// All real parts of this process.
#[derive(Default)]
struct Pool {
    started: usize,
    /// Unused ones, the longest unused first: Kafka has forgotten killed members by then.
    free: VecDeque<Real>,
}

static POOL: LazyLock<(Mutex<Pool>, Condvar)> = LazyLock::new(Default::default);

impl Lease {
    fn take() -> Self {
        let (pool, returned) = &*POOL;
        let mut pool = pool.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(real) = pool.free.pop_front() {
                drop(pool);
                real.addresses.empty();
                return Self { real: Some(real) };
            }
            if pool.started < AT_MOST {
                pool.started += 1;
                let number = pool.started;
                drop(pool);
                return Self { real: Some(Real::start(number)) };
            }
            pool = returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (pool, returned) = &*POOL;
        pool.lock().unwrap_or_else(PoisonError::into_inner).free.extend(self.real.take());
        returned.notify_one();
    }
}

impl Real {
    fn start(number: usize) -> Self {
        let name = format!("flow-{}-{number}", std::process::id());
        let mut process = Command::new(repository().join("infra/real-parts"))
            .args(["run", "--name", &name])
            .env("JAVA_TOOL_OPTIONS", JAVA_OPTIONS)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let addresses = serde_json::from_str(&line);
        let addresses = addresses.unwrap_or_else(|_| {
            panic!("infra/real-parts did not start (it says why above); it needs Java 17 or newer and Maven")
        });
        Self { addresses, _process: process }
    }
}

impl Addresses {
    /// Removes whatever a system that is gone has left.
    fn empty(&self) {
        // Tests call this in and out of a runtime, so it has one on a thread of its own.
        let emptied = std::thread::scope(|threads| {
            let everything = || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    self.delete_groups().await;
                    self.delete_topics().await;
                    self.delete_table().await;
                });
            };
            threads.spawn(everything).join()
        });
        emptied.unwrap();
    }

    async fn delete_table(&self) {
        if let Err(error) = self.table().delete_table().table_name("notify-me").send().await {
            let missing =
                error.as_service_error().is_some_and(|error| error.is_resource_not_found_exception());
            assert!(missing, "{error:?}");
        }
    }

    async fn delete_groups(&self) {
        let admin = self.admin();
        let started = Instant::now();
        loop {
            let groups = admin.inner().fetch_group_list(None, ANSWER_LIMIT).unwrap();
            let names: Vec<&str> = groups.groups().iter().map(rdkafka::groups::GroupInfo::name).collect();
            if names.is_empty() {
                return;
            }
            // A killed consumer is a member until Kafka misses its heartbeats for ten seconds.
            let deleted = admin.delete_groups(&names, &AdminOptions::new()).await.unwrap();
            let kept: Vec<_> = deleted.into_iter().filter_map(Result::err).collect();
            if kept.is_empty() {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "groups of a system that is gone: {kept:?}");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn delete_topics(&self) {
        let admin = self.admin();
        let started = Instant::now();
        loop {
            let metadata = admin.inner().fetch_metadata(None, ANSWER_LIMIT).unwrap();
            let names = metadata.topics().iter().map(rdkafka::metadata::MetadataTopic::name);
            let names: Vec<&str> = names.filter(|name| !name.starts_with("__")).collect();
            if names.is_empty() {
                return;
            }
            assert!(started.elapsed() < PATIENCE, "topics that do not go: {names:?}");
            // One that is on its way out already is unknown.
            let unknown = |(_, code)| code == RDKafkaErrorCode::UnknownTopicOrPartition;
            let options = AdminOptions::new().operation_timeout(Some(ANSWER_LIMIT));
            let deleted: KafkaResult<Vec<_>> = admin.delete_topics(&names, &options).await;
            assert!(deleted.unwrap().into_iter().all(|topic| topic.map_or_else(unknown, |_| true)));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        ClientConfig::new().set("bootstrap.servers", &self.kafka).create().unwrap()
    }

    fn table(&self) -> aws_sdk_dynamodb::Client {
        dynamodb_at(&self.dynamodb)
    }
}

/// A client of the DynamoDB at `endpoint`.
pub(crate) fn dynamodb_at(endpoint: &str) -> aws_sdk_dynamodb::Client {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "flow"))
        .endpoint_url(endpoint)
        .http_client(aws_smithy_http_client::Builder::new().build_http());
    aws_sdk_dynamodb::Client::from_conf(config.build())
}

/// The repository's root.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
