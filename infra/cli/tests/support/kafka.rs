//! Kafka, as any other program uses it.

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer as _, ThreadedProducer};
use rdkafka::{Offset, TopicPartitionList};

use super::{PATIENCE, Shop, until};

/// A record to be written.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Record<'a> {
    pub(crate) key: Option<&'a str>,
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [(&'a str, &'a [u8])],
    pub(crate) partition: Option<i32>,
}

impl<'a> Record<'a> {
    pub(crate) fn text(value: &'a str) -> Self {
        Self { value: Some(value.as_bytes()), ..Self::default() }
    }
}

/// A record that was read: its value and its headers.
pub(crate) type Read = (Option<Vec<u8>>, Vec<(String, Vec<u8>)>);

/// All topics and their partitions.
pub(crate) const TOPICS: [(&str, i32); 4] = [
    ("item-restocked", 3),
    ("notification-batches", 8),
    ("item-restocked-dlq", 1),
    ("notification-batches-dlq", 1),
];
/// The topics that `notify` reads and the groups that read them, in the order of the flow.
const READ: [(&str, &str); 2] =
    [("item-restocked", "notification-service"), ("notification-batches", "notification-service-batches")];
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

impl Shop {
    /// Writes records to a topic, in one go where they share a partition.
    pub(crate) fn produce(&self, topic: &str, records: &[Record<'_>]) {
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", &self.kafka)
            .set("linger.ms", "50")
            // More than the functions write, as other programs may.
            .set("message.max.bytes", "5000000")
            .set("message.timeout.ms", "10000")
            // Others may write what a broker takes, which is more than this client's default.
            .create()
            .unwrap();
        for record in records {
            let mut headers = OwnedHeaders::new();
            for (key, value) in record.headers {
                headers = headers.insert(Header { key, value: Some(*value) });
            }
            let mut outgoing = BaseRecord::<str, [u8]>::to(topic).headers(headers);
            outgoing.key = record.key;
            outgoing.payload = record.value;
            outgoing.partition = record.partition;
            producer.send(outgoing).map_err(|(error, _)| error).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
    }

    /// Everything in the first partition of a topic.
    pub(crate) fn records(&self, topic: &str) -> Vec<Read> {
        let consumer = self.consumer("another-consumer");
        let (_, end) = consumer.fetch_watermarks(topic, 0, ANSWER_LIMIT).unwrap();
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
        consumer.assign(&from).unwrap();
        let mut read = Vec::new();
        let started = Instant::now();
        let mut next = 0;
        while next < end && started.elapsed() < PATIENCE {
            let Some(record) = consumer.poll(Duration::from_millis(100)) else { continue };
            let record = record.unwrap();
            next = record.offset() + 1;
            let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
            let headers =
                headers.map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()));
            read.push((record.payload().map(<[u8]>::to_vec), headers.collect()));
        }
        read
    }

    /// How many records were ever written to a topic.
    pub(crate) fn count_of(&self, topic: &str) -> i64 {
        let consumer = self.consumer("another-consumer");
        let metadata = consumer.fetch_metadata(Some(topic), ANSWER_LIMIT).unwrap();
        let partitions = metadata.topics()[0].partitions().iter();
        partitions.map(|one| consumer.fetch_watermarks(topic, one.id(), ANSWER_LIMIT).unwrap().1).sum()
    }

    /// Waits until all that is in both topics now, and the jobs that come of it, is worked off.
    pub(crate) async fn rest(&self) {
        for (topic, group) in READ {
            let consumer = self.consumer(group);
            let metadata = consumer.fetch_metadata(Some(topic), ANSWER_LIMIT).unwrap();
            let partitions = metadata.topics()[0].partitions();
            let mut wanted = TopicPartitionList::new();
            for partition in partitions {
                let (_, end) = consumer.fetch_watermarks(topic, partition.id(), ANSWER_LIMIT).unwrap();
                wanted.add_partition_offset(topic, partition.id(), Offset::Offset(end)).unwrap();
            }
            until(&format!("the group {group} at rest"), async || {
                let committed = consumer.committed_offsets(wanted.clone(), ANSWER_LIMIT).unwrap();
                let done = wanted.elements().iter().all(|want| {
                    let Offset::Offset(end) = want.offset() else { return false };
                    let have = committed.find_partition(topic, want.partition());
                    let have = have.map_or(0, |have| have.offset().to_raw().unwrap_or(0).max(0));
                    have >= end
                });
                done.then_some(())
            })
            .await;
        }
    }

    fn consumer(&self, group: &str) -> BaseConsumer {
        ClientConfig::new()
            .set("bootstrap.servers", &self.kafka)
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .create()
            .unwrap()
    }
}
