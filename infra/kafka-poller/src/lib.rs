#![doc = include_str!("../README.md")]
#![warn(missing_docs)]

// What happens to records is decided in `plan`, without I/O; `consumer` is the Kafka side, `invoke` the Lambda side,
// `worker` joins them. This file knows none of the rules.

mod batch;
mod consumer;
mod destination;
mod event;
mod invoke;
mod lane;
mod mapping;
mod plan;
#[cfg(test)]
mod plan_tests;
mod record;
mod response;
#[cfg(test)]
mod tests;
mod worker;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::error::KafkaError;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use batch::Limits;
use consumer::{Link, Phase, Shared};
use destination::Destination;
use event::{Envelope, PAYLOAD_LIMIT};
use invoke::Function;
pub use invoke::{EndpointError, LambdaEndpoint};

pub use mapping::{InvalidMapping, Mapping, StartingPosition};
use plan::{Plan, Rules};
use worker::{Counted, Hands, Work, Worker};

/// How long the last commit and leaving the group may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(10);

/// Why a poller cannot start. What can pass by itself (a broker, a topic, an endpoint that is not
/// there yet) is no error: it is waited for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting of the mapping.
    #[error("the event source mapping is not valid")]
    Mapping(#[from] InvalidMapping),
    /// Where the function is.
    #[error("the Lambda endpoint cannot be used")]
    Endpoint(#[from] EndpointError),
    /// A setting of the Kafka client, as librdkafka names it.
    #[error("the Kafka client cannot be made")]
    Kafka(#[from] KafkaError),
    /// The operating system gives no thread.
    #[error("the consumer's thread cannot be started")]
    Thread(#[from] std::io::Error),
}

/// One partition that is assigned to this poller. Offsets are "the next one", as Kafka counts them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Its topic.
    pub topic: String,
    /// Its number in the topic.
    pub partition: i32,
    /// The next offset to be read; `None` while unknown, for a moment after assignment.
    pub fetched: Option<i64>,
    /// The next offset after a restart; `None` when the group has committed nothing here.
    pub committed: Option<i64>,
    /// Bytes read and not done, as held in memory.
    pub held_bytes: usize,
    /// Everything is done that was there when the client last looked.
    pub at_end: bool,
}

/// What a poller did since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Totals {
    /// Invocations that were answered, whatever the answer.
    pub invocations: u64,
    /// Invocations that failed, wholly or in part. Throttles and outages are none.
    pub failures: u64,
    /// Records that the function took.
    pub records: u64,
    /// Records that the limits on attempts, age and size gave up.
    pub given_up: u64,
}

/// A running event source mapping. Dropped without [`Poller::stop`], it commits nothing more.
pub struct Poller {
    shared: Arc<Shared>,
    work: Arc<Work>,
    grace: Duration,
    left: Option<oneshot::Receiver<()>>,
}

impl Poller {
    /// Starts polling. Returns at once: joining the group goes on in the background.
    ///
    /// # Errors
    /// For settings that can never work; see [`Error`].
    pub async fn start(mapping: Mapping, endpoint: LambdaEndpoint) -> Result<Self, Error> {
        mapping.check()?;
        let function = Function::new(&mapping.function, &endpoint).await?;
        let destination = match &mapping.on_failure {
            Some(topic) => Some(Destination::new(topic, consumer::client_config(&mapping))?),
            None => None,
        };
        let work = Arc::new(Work {
            function,
            envelope: Envelope::new(&mapping.bootstrap_servers, mapping.event_source_arn.as_deref()),
            destination,
            group: mapping.group.clone(),
            partial: mapping.report_batch_item_failures,
            counted: Counted::default(),
        });
        let runtime = Handle::current();
        let shared = Arc::new(Shared::new(&mapping, runtime.clone()));
        let link = Arc::new(Link::new(&mapping, Arc::clone(&shared))?);
        let (leave, left) = oneshot::channel();
        let grace = mapping.stop_grace;
        let workers = Arc::clone(&work);
        std::thread::Builder::new().name("kafka-consumer".to_owned()).spawn(move || {
            consumer::run(link, |link, lane, records| {
                let overhead = workers.envelope.overhead(&lane.topic, lane.partition);
                let worker = Worker {
                    plan: Plan::new(rules(&mapping, overhead)),
                    hands: Hands {
                        link: Arc::clone(link),
                        lane: Arc::clone(&lane),
                        work: Arc::clone(&workers),
                        last_error: None,
                    },
                    records,
                };
                let handle = runtime.spawn(worker.run());
                *lane.worker.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(handle);
            });
            let _ = leave.send(());
        })?;
        Ok(Self { shared, work, grace, left: Some(left) })
    }

    /// The partitions assigned right now, in order of topic and number.
    pub fn progress(&self) -> Vec<Partition> {
        let mut partitions: Vec<Partition> = self
            .shared
            .lanes
            .all()
            .iter()
            .map(|lane| {
                let held_bytes = lane.held.load(Ordering::SeqCst);
                Partition {
                    topic: lane.topic.to_string(),
                    partition: lane.partition,
                    fetched: lane.fetched.get(),
                    committed: lane.committed.get(),
                    held_bytes,
                    at_end: lane.at_end(),
                }
            })
            .collect();
        partitions.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        partitions
    }

    /// How long ago a broker was last connected; `None` where none ever was. Known to the client's statistics' interval.
    pub fn heard(&self) -> Option<Duration> {
        self.shared.heard()
    }

    /// What the Kafka client complained of last: an address that is refused, a login, a certificate.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble()
    }

    /// What it did since its start.
    pub fn totals(&self) -> Totals {
        let counted = &self.work.counted;
        Totals {
            invocations: counted.invocations.load(Ordering::Relaxed),
            failures: counted.failures.load(Ordering::Relaxed),
            records: counted.done.load(Ordering::Relaxed),
            given_up: counted.given_up.load(Ordering::Relaxed),
        }
    }

    /// Takes no new batch, finishes those in flight (for `stop_grace` at most), commits, and leaves
    /// the group. What was not done comes again after the next start. Returns the final counts.
    pub async fn stop(mut self) -> Totals {
        self.shared.draining.store(true, Ordering::SeqCst);
        let lanes = self.shared.lanes.all();
        for lane in &lanes {
            lane.drain.cancel();
        }
        consumer::finish(lanes.iter().filter_map(|lane| lane.take_worker()).collect(), self.grace).await;
        self.shared.set_phase(Phase::Closing);
        if let Some(left) = self.left.take()
            && tokio::time::timeout(LEAVE_LIMIT, left).await.is_err()
        {
            tracing::warn!(
                "Kafka does not answer: left without the last commit, its records will come again"
            );
        }
        self.totals()
    }
}

impl Drop for Poller {
    fn drop(&mut self) {
        if self.left.is_some() {
            self.shared.set_phase(Phase::Abandoned);
            for lane in self.shared.lanes.all() {
                lane.abort();
            }
        }
    }
}

fn rules(mapping: &Mapping, overhead: usize) -> Rules {
    Rules {
        limits: Limits {
            records: mapping.batch_size,
            window: mapping.window,
            payload: PAYLOAD_LIMIT,
            overhead,
        },
        bisect: mapping.bisect_on_error,
        maximum_retry_attempts: mapping.retry_attempts(),
        maximum_record_age: mapping.maximum_record_age,
    }
}
