//! What an event source mapping is told: the settings, their limits and defaults.

use std::time::{Duration, SystemTime};

/// Lambda's largest batch.
pub(crate) const MAXIMUM_BATCH_SIZE: usize = 10_000;
/// Lambda's longest batching window.
pub(crate) const MAXIMUM_WINDOW: Duration = Duration::from_secs(300);
/// What Lambda allows when a failure destination is set and attempts are not limited.
const ATTEMPTS_WITH_DESTINATION: u32 = 10;

/// Client settings that the poller's guarantees rest on.
const RESERVED: [&str; 6] = [
    "bootstrap.servers",
    "group.id",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
];

/// Where a group starts that has committed nothing yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartingPosition {
    /// With what is written from now on.
    Latest,
    /// With the oldest record there is.
    TrimHorizon,
    /// With the first record that is not older.
    AtTimestamp(SystemTime),
}

/// An event source mapping: which topics go to which function, and how. It cannot be printed:
/// settings of the Kafka client may be secrets.
#[derive(Clone)]
pub struct Mapping {
    /// `host:port`, several parted by commas. Also shown to the function.
    pub bootstrap_servers: String,
    /// The consumer group. Offsets are committed under it.
    pub group: String,
    /// The topics to read.
    pub topics: Vec<String>,
    /// A name or an ARN.
    pub function: String,
    /// Records in one invocation: 1 to 10,000.
    pub batch_size: usize,
    /// How long a batch may wait to fill, from its first record: up to 300 s.
    pub window: Duration,
    /// Where the group starts that has committed nothing yet.
    pub starting_position: StartingPosition,
    /// Halve a batch that failed, so that one bad record does not hold up its neighbours.
    pub bisect_on_error: bool,
    /// Attempts after the first; `None` is without end, or 10 when `on_failure` is set, as on AWS.
    pub maximum_retry_attempts: Option<u32>,
    /// Older records are given up; `None` is any age.
    pub maximum_record_age: Option<Duration>,
    /// The topic for records that were given up. Without one they are logged and passed.
    pub on_failure: Option<String>,
    /// Read `batchItemFailures` from the function's answer.
    pub report_batch_item_failures: bool,
    /// Bytes read ahead per partition before it is paused. A floor, not a cap: what the Kafka
    /// client has fetched already comes on top.
    pub hold_bytes: usize,
    /// Makes events look like those of MSK (`eventSource` is then `aws:kafka`).
    pub event_source_arn: Option<String>,
    /// Further settings of the Kafka client, for TLS and SASL. Values are never logged.
    pub kafka: Vec<(String, String)>,
    /// How long [`crate::Poller::stop`] waits for batches in flight.
    pub stop_grace: Duration,
}

impl Mapping {
    /// A mapping with Lambda's defaults, group `notification-service`, from the oldest record.
    pub fn new(
        bootstrap_servers: impl Into<String>,
        topics: impl IntoIterator<Item = impl Into<String>>,
        function: impl Into<String>,
    ) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.into(),
            group: "notification-service".to_owned(),
            topics: topics.into_iter().map(Into::into).collect(),
            function: function.into(),
            batch_size: 100,
            window: Duration::from_millis(500),
            starting_position: StartingPosition::TrimHorizon,
            bisect_on_error: false,
            maximum_retry_attempts: None,
            maximum_record_age: None,
            on_failure: None,
            report_batch_item_failures: false,
            hold_bytes: 8 * 1024 * 1024,
            event_source_arn: None,
            kafka: Vec::new(),
            stop_grace: Duration::from_secs(30),
        }
    }

    /// The limit on attempts that is in force.
    pub(super) fn retry_attempts(&self) -> Option<u32> {
        self.maximum_retry_attempts.or_else(|| self.on_failure.as_ref().map(|_| ATTEMPTS_WITH_DESTINATION))
    }

    /// Names the first setting that cannot work.
    pub(super) fn check(&self) -> Result<(), InvalidMapping> {
        let empty = |text: &String| text.trim().is_empty();
        if empty(&self.bootstrap_servers) {
            return Err(InvalidMapping::Empty("bootstrap servers"));
        }
        if empty(&self.group) {
            return Err(InvalidMapping::Empty("consumer group"));
        }
        if self.topics.is_empty() || self.topics.iter().any(empty) {
            return Err(InvalidMapping::Empty("topics"));
        }
        if empty(&self.function) {
            return Err(InvalidMapping::Empty("function"));
        }
        if !(1..=MAXIMUM_BATCH_SIZE).contains(&self.batch_size) {
            return Err(InvalidMapping::BatchSize(self.batch_size));
        }
        if self.window > MAXIMUM_WINDOW {
            return Err(InvalidMapping::Window(self.window));
        }
        if let Some(topic) = self.on_failure.as_ref().filter(|topic| self.topics.contains(topic)) {
            return Err(InvalidMapping::Loop(topic.clone()));
        }
        match self.kafka.iter().find(|(name, _)| RESERVED.contains(&name.as_str())) {
            Some((name, _)) => Err(InvalidMapping::Reserved(name.clone())),
            None => Ok(()),
        }
    }
}

/// A setting that cannot work.
#[derive(Debug, thiserror::Error)]
pub enum InvalidMapping {
    /// A setting without a text.
    #[error("the {0} must not be empty")]
    Empty(&'static str),
    /// See [`Mapping::batch_size`].
    #[error("a batch holds 1 to 10,000 records, not {0}")]
    BatchSize(usize),
    /// See [`Mapping::window`].
    #[error("a batching window is at most 300 s, not {0:?}")]
    Window(Duration),
    /// See [`Mapping::on_failure`].
    #[error("failed records of topic {0} cannot go to the topic itself")]
    Loop(String),
    /// See [`Mapping::kafka`].
    #[error("the Kafka setting {0} is the poller's own")]
    Reserved(String),
}
