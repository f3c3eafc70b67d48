//! The embedded Kafka, and what the topics are, wherever Kafka is.
//!
//! The embedded one is librdkafka's mock cluster: it speaks the protocol to any client, keeps
//! nothing on disk, and drops the oldest records of a partition beyond 5 MiB or 100,000 batches
//! without a word (`watch.rs` is about that).

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};

use super::kafka_front::Front;

/// Where stock updates go.
pub(crate) const RESTOCKS: &str = "item-restocked";
/// Where the slices of a fan-out go.
pub(crate) const BATCHES: &str = "notification-batches";
/// The consumer group of the event source mapping for stock updates.
pub(crate) const GROUP: &str = "notification-service";
/// The consumer group of the one for fan-out jobs.
pub(crate) const BATCHES_GROUP: &str = "notification-service-batches";

/// Every topic and its number of partitions.
pub(crate) const TOPICS: [(&str, i32); 4] =
    [(RESTOCKS, 3), (BATCHES, 8), ("item-restocked-dlq", 1), ("notification-batches-dlq", 1)];

/// How long a broker may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Why there is no embedded Kafka.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be started.
    #[error("cannot start the embedded Kafka")]
    Start(#[source] KafkaError),
    /// Nothing could be put in front of it.
    #[error("cannot start the embedded Kafka's front")]
    Front(#[source] std::io::Error),
    /// Its thread could not be started, or ended at once.
    #[error("cannot start the thread of the embedded Kafka")]
    Thread,
}

/// A Kafka inside this process, on a port of the loopback interface.
pub struct Kafka {
    front: Front,
    /// What its thread is to do with it; dropping it ends the thread.
    orders: Sender<Order>,
    thread: JoinHandle<()>,
}

type Order = Box<dyn FnOnce(&MockCluster<'_, DefaultProducerContext>) + Send>;

impl Kafka {
    /// Starts one broker with all topics.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn start() -> Result<Self, Error> {
        // The cluster cannot move between threads, so it lives and ends on one of its own.
        let (orders, ordered) = channel();
        let (tell, told) = channel();
        let thread = std::thread::Builder::new()
            .name("kafka".to_owned())
            .spawn(move || run(&tell, &ordered))
            .map_err(|_| Error::Thread)?;
        let servers = told.recv().map_err(|_| Error::Thread)?.map_err(Error::Start)?;
        let front = Front::start(servers).map_err(Error::Front)?;
        Ok(Self { front, orders, thread })
    }

    /// Its bootstrap servers, `127.0.0.1:port`.
    pub fn servers(&self) -> &str {
        self.front.servers()
    }

    /// What, when called, answers the next so many writes as those of a producer whose time is over.
    pub(crate) fn fence(&self, writes: usize) -> impl Fn() + Send + use<> {
        let orders = self.orders.clone();
        move || {
            let errors = vec![RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH; writes];
            // It listens for as long as it runs.
            let _ =
                orders.send(Box::new(move |cluster| cluster.request_errors(RDKafkaApiKey::Produce, &errors)));
        }
    }

    /// Ends it; everything in it is gone.
    pub(crate) fn stop(self) {
        self.front.stop();
        drop(self.orders);
        if self.thread.join().is_err() {
            tracing::error!("the embedded Kafka ended badly");
        }
    }
}

fn run(tell: &Sender<Result<String, KafkaError>>, ordered: &Receiver<Order>) {
    let started = MockCluster::new(1).and_then(|cluster| {
        for (topic, partitions) in TOPICS {
            cluster.create_topic(topic, partitions, 1)?;
        }
        Ok(cluster)
    });
    match started {
        Ok(cluster) => {
            // The receiver is gone only with the caller, and then `ordered` is closed as well.
            let _ = tell.send(Ok(cluster.bootstrap_servers()));
            while let Ok(order) = ordered.recv() {
                order(&cluster);
            }
        }
        Err(error) => {
            let _ = tell.send(Err(error));
        }
    }
}

/// A client that asks about topics and groups and reads no records. Its calls block.
///
/// # Errors
/// When the client cannot be made.
pub(crate) fn observer(servers: &str) -> Result<BaseConsumer, KafkaError> {
    ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("group.id", GROUP)
        .set("enable.auto.commit", "false")
        .set("allow.auto.create.topics", "false")
        .create()
}

/// Waits, for `limit` at most, until the group has committed everything in `topic`. Blocks.
/// True if it has.
///
/// # Errors
/// When Kafka does not answer.
pub(crate) fn drain(servers: &str, topic: &str, limit: Duration) -> Result<bool, KafkaError> {
    let consumer = observer(servers)?;
    let deadline = Instant::now() + limit;
    loop {
        if partitions(topic).try_fold(true, |all, partition| {
            Ok::<_, KafkaError>(all && is_drained(&consumer, topic, partition)?)
        })? {
            return Ok(true);
        }
        if Instant::now() >= deadline {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How many records were ever written to `topic`. Blocks.
///
/// # Errors
/// When Kafka does not answer.
pub(crate) fn written(servers: &str, topic: &str) -> Result<i64, KafkaError> {
    let consumer = observer(servers)?;
    partitions(topic).try_fold(0, |sum, partition| {
        let (_, high) = consumer.fetch_watermarks(topic, partition, ANSWER_LIMIT)?;
        Ok(sum + high)
    })
}

/// The offset up to which the group of the stock updates has committed each partition of them: records before it are worked
/// on. Blocks.
///
/// # Errors
/// When Kafka does not answer.
pub(crate) fn committed(consumer: &BaseConsumer) -> Result<Vec<i64>, KafkaError> {
    let mut wanted = TopicPartitionList::new();
    for partition in partitions(RESTOCKS) {
        wanted.add_partition(RESTOCKS, partition);
    }
    let committed = consumer.committed_offsets(wanted, ANSWER_LIMIT)?;
    let offset = |partition| match committed.find_partition(RESTOCKS, partition).map(|found| found.offset()) {
        Some(Offset::Offset(offset)) => offset,
        _ => 0,
    };
    Ok(partitions(RESTOCKS).map(offset).collect())
}

/// The partitions of a topic of [`TOPICS`].
fn partitions(topic: &str) -> std::ops::Range<i32> {
    0..TOPICS.iter().find(|(name, _)| *name == topic).map_or(0, |(_, count)| *count)
}

fn is_drained(consumer: &BaseConsumer, topic: &str, partition: i32) -> Result<bool, KafkaError> {
    let (low, high) = consumer.fetch_watermarks(topic, partition, ANSWER_LIMIT)?;
    let mut wanted = TopicPartitionList::new();
    wanted.add_partition(topic, partition);
    let committed = consumer.committed_offsets(wanted, ANSWER_LIMIT)?;
    let position = match committed.find_partition(topic, partition).map(|found| found.offset()) {
        Some(Offset::Offset(offset)) => offset,
        _ => low,
    };
    Ok(position >= high)
}
