//! Watches the embedded Kafka, which drops the oldest records of a full partition without a word,
//! and stops stock updates before it would drop an unread one.
//!
//! How many bytes lie unread in a partition cannot be asked for, only how many records. So the
//! rule is a cautious one:
//! - unread records may be at most half of what the partition holds once it has begun to drop, so
//!   that records of twice the usual size still fit, and at most [`MAX_UNREAD`] at any time;
//! - the poller may hold at most three quarters of the bytes that it has room for, because it
//!   stops reading when that is full.
//!
//! Updates are taken again when a quarter of these is left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use kafka_poller::Partition;
use lambda_host::front::Backpressure;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use super::kafka::{BATCHES, RESTOCKS, TOPICS, observer};

/// What the pollers may hold in memory, fetched and not yet committed, in bytes.
pub(crate) const HELD_LIMIT: u64 = 64 * 1024 * 1024;
/// Unread records a partition may have: records of up to 2.6 kB then fit in its 5 MiB.
const MAX_UNREAD: i64 = 2_000;
/// How often the partitions are looked at.
const INTERVAL: Duration = Duration::from_millis(200);
/// How long the broker may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

/// What the pollers of all mappings have read.
pub(crate) type Progress = Arc<dyn Fn() -> Vec<Partition> + Send + Sync>;

/// One look at one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Look {
    topic: &'static str,
    partition: i32,
    /// The oldest record that is still there.
    low: i64,
    /// The next record to be written.
    high: i64,
    /// The next record to be read.
    position: i64,
}

impl Look {
    fn unread(&self) -> i64 {
        (self.high - self.position.max(self.low)).max(0)
    }

    /// The unread records that this partition may have before updates are stopped.
    fn limit(&self) -> i64 {
        if self.low == 0 {
            return MAX_UNREAD;
        }
        ((self.high - self.low) / 2).min(MAX_UNREAD)
    }
}

/// Why updates must be stopped, `stopped` being whether they are now. `None`: they may be taken.
fn judge(looks: &[Look], held: u64, stopped: bool) -> Option<String> {
    let share = if stopped { 4 } else { 1 };
    if let Some(look) = looks.iter().find(|look| look.unread() > look.limit() / share) {
        return Some(format!(
            "{} records wait unread in {}-{}, and the embedded Kafka would soon drop the oldest.",
            look.unread(),
            look.topic,
            look.partition
        ));
    }
    (held > HELD_LIMIT * 3 / 4 / share.unsigned_abs())
        .then(|| format!("{held} bytes of records wait to be worked on, {HELD_LIMIT} have room."))
}

/// A thread that looks at the partitions until it is stopped.
pub(crate) struct Watch {
    /// Dropping it ends the thread.
    end: Sender<()>,
    thread: JoinHandle<()>,
}

impl Watch {
    /// Starts to watch.
    ///
    /// # Errors
    /// When the client or the thread cannot be made.
    pub(crate) fn start(
        servers: &str,
        progress: Progress,
        backpressure: Backpressure,
    ) -> Result<Self, KafkaError> {
        let consumer = observer(servers)?;
        let (end, ended) = channel();
        let mut state =
            State { consumer, progress, backpressure, positions: BTreeMap::new(), lost: BTreeMap::new() };
        let thread = std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                while ended.recv_timeout(INTERVAL) == Err(RecvTimeoutError::Timeout) {
                    if let Err(error) = state.look() {
                        tracing::warn!(%error, "cannot look at the embedded Kafka");
                    }
                }
            })
            .map_err(|error| KafkaError::ClientCreation(error.to_string()))?;
        Ok(Self { end, thread })
    }

    /// Ends it.
    pub(crate) fn stop(self) {
        drop(self.end);
        if self.thread.join().is_err() {
            tracing::error!("the watch over the embedded Kafka ended badly");
        }
    }
}

struct State {
    consumer: BaseConsumer,
    progress: Progress,
    backpressure: Backpressure,
    /// The last known position, by topic and partition.
    positions: BTreeMap<(&'static str, i32), i64>,
    /// Up to where a loss has been reported, by topic and partition.
    lost: BTreeMap<(&'static str, i32), i64>,
}

impl State {
    fn look(&mut self) -> Result<(), KafkaError> {
        // First the marks, then the positions: the other way round, what was read in between
        // would look lost.
        let mut looks = Vec::new();
        for (topic, partitions) in TOPICS {
            if topic == RESTOCKS || topic == BATCHES {
                for partition in 0..partitions {
                    let (low, high) = self.consumer.fetch_watermarks(topic, partition, ANSWER_LIMIT)?;
                    looks.push(Look { topic, partition, low, high, position: 0 });
                }
            }
        }
        let progress = (self.progress)();
        for look in &mut looks {
            let known =
                progress.iter().find(|known| known.topic == look.topic && known.partition == look.partition);
            // Between two owners of a partition it is unknown; at first the group is at its start.
            let position = self.positions.entry((look.topic, look.partition)).or_insert(0);
            *position = known.and_then(|known| known.fetched).unwrap_or(*position);
            look.position = *position;
        }
        for look in looks.iter().filter(|look| look.low > look.position) {
            self.report(look);
        }
        let held = progress.iter().map(|known| known.held_bytes as u64).sum();
        let before = self.backpressure.reason();
        let now = judge(&looks, held, before.is_some());
        match (&before, &now) {
            (None, Some(reason)) => tracing::error!("no stock updates are taken: {reason}"),
            (Some(_), None) => tracing::info!("stock updates are taken again"),
            _ => {}
        }
        if before != now {
            self.backpressure.set(now);
        }
        Ok(())
    }

    fn report(&mut self, look: &Look) {
        let reported = self.lost.entry((look.topic, look.partition)).or_insert(look.position);
        let from = (*reported).max(look.position);
        if look.low > from {
            tracing::error!(
                topic = look.topic,
                partition = look.partition,
                from,
                until = look.low,
                "the embedded Kafka dropped unread records"
            );
            *reported = look.low;
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::sync::Mutex;
    use std::time::Instant;

    use rdkafka::config::ClientConfig;
    use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

    use super::super::kafka::Kafka;
    use super::*;

    fn look(low: i64, high: i64, position: i64) -> Look {
        Look { topic: RESTOCKS, partition: 1, low, high, position }
    }

    #[test]
    fn a_backlog_stops_updates_until_three_quarters_of_it_are_gone() {
        let stops = |look: Look, stopped| judge(&[look], 0, stopped).is_some();
        assert!(!stops(look(0, 2_000, 0), false));
        assert!(stops(look(0, 2_001, 0), false));
        assert!(stops(look(0, 2_001, 1_400), true));
        assert!(!stops(look(0, 2_001, 1_600), true));
    }

    #[test]
    fn in_a_partition_that_drops_records_half_of_what_it_holds_may_be_unread() {
        let stops = |look: Look| judge(&[look], 0, false).is_some();
        assert!(!stops(look(100, 110, 105)));
        assert!(stops(look(100, 110, 104)));
        // Read to the end: nothing to worry about, however full it is.
        assert!(!stops(look(100, 110, 110)));
        // One huge record that fills the partition, unread.
        assert!(stops(look(7, 8, 7)));
    }

    #[test]
    fn what_the_poller_holds_counts_as_well() {
        let stops = |held, stopped| judge(&[], held, stopped).is_some();
        assert!(!stops(48 << 20, false));
        assert!(stops((48 << 20) + 1, false));
        assert!(stops((12 << 20) + 1, true));
        assert!(!stops(12 << 20, true));
    }

    fn produce(servers: &str, records: usize, bytes: usize) {
        let producer: BaseProducer = ClientConfig::new().set("bootstrap.servers", servers).create().unwrap();
        let value = vec![b'x'; bytes];
        for _ in 0..records {
            let record = BaseRecord::<(), _>::to(RESTOCKS).partition(1).payload(&value);
            producer.send(record).map_err(|(error, _)| error).unwrap();
            producer.flush(Duration::from_secs(10)).unwrap();
        }
    }

    fn until(what: impl Fn() -> bool) -> bool {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
            if what() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    #[test]
    fn updates_stop_before_the_embedded_kafka_drops_an_unread_record_and_go_on_afterwards() {
        let kafka = Kafka::start().unwrap();
        let position = Arc::new(Mutex::new(0));
        let read = position.clone();
        let progress: Progress = Arc::new(move || {
            vec![Partition {
                topic: RESTOCKS.to_owned(),
                partition: 1,
                fetched: Some(*read.lock().unwrap()),
                committed: None,
                held_bytes: 0,
                at_end: false,
            }]
        });
        let backpressure = Backpressure::default();
        let watch = Watch::start(kafka.servers(), progress, backpressure.clone()).unwrap();
        let observer = observer(kafka.servers()).unwrap();
        let low = || observer.fetch_watermarks(RESTOCKS, 1, ANSWER_LIMIT).unwrap().0;

        // Read up to the end, however much it is: the log turns over and nothing is stopped.
        produce(kafka.servers(), 60, 100_000);
        *position.lock().unwrap() = 60;
        assert!(low() > 0, "the embedded Kafka did not drop anything");
        std::thread::sleep(INTERVAL * 4);
        // The first look may have seen records before they were read.
        assert!(until(|| backpressure.reason().is_none()));

        // From here on no consumer reads.
        let mut written = 0;
        while backpressure.reason().is_none() && written < 60 {
            produce(kafka.servers(), 1, 100_000);
            std::thread::sleep(INTERVAL);
            written += 1;
        }
        assert!(backpressure.reason().is_some_and(|reason| reason.contains("item-restocked-1")));
        assert!(low() <= 60, "an unread record was dropped first");

        *position.lock().unwrap() = 60 + written;
        assert!(until(|| backpressure.reason().is_none()), "{:?}", backpressure.reason());
        watch.stop();
        kafka.stop();
    }
}
