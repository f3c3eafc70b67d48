//! Reading a topic of dead letters from one end to the other, as it is when the reading begins. Blocks.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::Message as _;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::letter::Letter;

/// How long Kafka may take to answer, and how long nothing may come of a topic that is not at its end.
const ANSWER_LIMIT: Duration = Duration::from_secs(15);

/// A topic, and how far it reaches.
pub(super) struct Topic {
    consumer: BaseConsumer,
    name: String,
    /// The first offset, and the one after the last, of each partition.
    ends: BTreeMap<i32, (i64, i64)>,
}

impl Topic {
    pub(super) fn open(config: &ClientConfig, name: &str) -> anyhow::Result<Self> {
        let consumer: BaseConsumer = config
            .clone()
            // Never joined and never committed to; the client asks for one.
            .set("group.id", "notify-me-operator")
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("allow.auto.create.topics", "false")
            .set("enable.partition.eof", "true")
            .create()
            .context("cannot use these settings for Kafka")?;
        let metadata = consumer.fetch_metadata(Some(name), ANSWER_LIMIT).context("Kafka does not answer")?;
        let found = metadata.topics().iter().find(|topic| topic.name() == name);
        let Some(found) = found.filter(|topic| topic.error().is_none() && !topic.partitions().is_empty())
        else {
            bail!("this Kafka has no topic {name}");
        };
        let mut ends = BTreeMap::new();
        for partition in found.partitions() {
            let watermarks = consumer.fetch_watermarks(name, partition.id(), ANSWER_LIMIT);
            ends.insert(partition.id(), watermarks.context("Kafka does not tell the length of the topic")?);
        }
        Ok(Self { consumer, name: name.to_owned(), ends })
    }

    /// How many records there are, at most: some of them may be gone.
    pub(super) fn length(&self) -> u64 {
        self.ends.values().map(|(low, high)| u64::try_from(high - low).unwrap_or_default()).sum()
    }

    /// Gives every record, of each partition the last `newest` at most, until `each` says that it has enough.
    pub(super) fn read(
        &self,
        newest: Option<u32>,
        mut each: impl FnMut(Letter) -> bool,
    ) -> anyhow::Result<()> {
        let mut left: BTreeMap<i32, i64> = BTreeMap::new();
        let mut from = TopicPartitionList::new();
        for (partition, (low, high)) in &self.ends {
            let first = newest.map_or(*low, |newest| (high - i64::from(newest)).max(*low));
            if first < *high {
                left.insert(*partition, *high);
                from.add_partition_offset(&self.name, *partition, Offset::Offset(first))?;
            }
        }
        self.consumer.assign(&from).context("cannot read the topic")?;
        let mut heard = Instant::now();
        while !left.is_empty() {
            match self.consumer.poll(Duration::from_millis(200)) {
                None if heard.elapsed() > ANSWER_LIMIT => bail!("Kafka stopped serving topic {}", self.name),
                None => continue,
                // What is before the end may be gone, or no record: a transaction's mark.
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    left.remove(&partition);
                }
                // The client goes on by itself; if it cannot, nothing is heard any more.
                Some(Err(error)) => tracing::warn!(%error, "Kafka reports a problem"),
                Some(Ok(record)) => {
                    heard = Instant::now();
                    let Some(end) = left.get(&record.partition()).copied() else { continue };
                    if record.offset() < end && !each(Letter::of(&record)) {
                        break;
                    }
                    if record.offset() + 1 >= end {
                        left.remove(&record.partition());
                    }
                }
            }
        }
        self.consumer.unassign().context("cannot stop reading")
    }
}
