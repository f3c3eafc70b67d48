//! The event source mapping: between a Kafka and a function.

use std::time::Duration;

/// What to poll and what to invoke.
pub(crate) struct Mapping {
    pub(crate) bootstrap_servers: String,
    pub(crate) group: String,
    pub(crate) topics: Vec<String>,
    pub(crate) function: String,
    pub(crate) window: Duration,
}

impl Mapping {
    pub(crate) fn new(bootstrap: &str, topics: &[&str], function: &str) -> Self {
        Self {
            bootstrap_servers: bootstrap.to_owned(),
            group: crate::embedded::kafka::GROUP.to_owned(),
            topics: topics.iter().map(|t| (*t).to_owned()).collect(),
            function: function.to_owned(),
            window: Duration::from_millis(500),
        }
    }
}

/// Where functions are invoked.
pub(crate) enum LambdaEndpoint {
    Url(String),
    Aws,
}

/// How far one partition has been read.
#[derive(Debug, Clone)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) partition: i32,
    pub(crate) fetched: i64,
    pub(crate) committed: i64,
    pub(crate) held_bytes: u64,
}

/// A running mapping.
pub(crate) struct Poller;

impl Poller {
    pub(crate) fn start(_: Mapping, _: LambdaEndpoint) -> anyhow::Result<Self> {
        Ok(Self)
    }
    pub(crate) fn progress(&self) -> Vec<Partition> {
        Vec::new()
    }
    pub(crate) async fn stop(&self) {}
}
