//! The Kafka side: one consumer on a thread of its own, which polls, deals records out to the
//! partitions' workers, and gives partitions up in good order. Knows nothing of functions.
//!
//! A thread rather than a task, because giving up a partition has to wait for its worker, and
//! leaving the group blocks.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use futures::future::join_all;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers, Message, Timestamp};
use rdkafka::statistics::Statistics;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::lane::{Lane, Lanes, owns};
use super::mapping::{Mapping, StartingPosition};
use super::record::{Record, TimestampType};

const POLL: Duration = Duration::from_millis(100);
/// A commit that failed is tried again after this.
const COMMIT_AGAIN: Duration = Duration::from_millis(500);
/// How long a partition that goes to another member waits for its batch in flight. The other
/// member waits as long, so it is short; a batch that takes longer is told again there.
const REVOKE_GRACE: Duration = Duration::from_secs(3);
const LOOKUP: Duration = Duration::from_secs(10);
/// An error that goes on is said again after this.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Client settings that every Kafka client of a mapping shares.
pub(super) fn client_config(mapping: &Mapping) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &mapping.bootstrap_servers)
        .set("client.id", "notify-me-poller")
        .set("log.connection.close", "false");
    for (name, value) in &mapping.kafka {
        config.set(name, value);
    }
    config
}

fn consumer_config(mapping: &Mapping) -> ClientConfig {
    let mut config = client_config(mapping);
    let mut default = |name: &str, value: &str| {
        if config.get(name).is_none() {
            config.set(name, value);
        }
    };
    default("partition.assignment.strategy", "cooperative-sticky");
    default("isolation.level", "read_committed");
    default("session.timeout.ms", "10000");
    default("heartbeat.interval.ms", "2000");
    // A topic that is made after the start is found within this.
    default("topic.metadata.refresh.interval.ms", "5000");
    // An empty poll must not hold back the first record of a burst, nor a failed fetch.
    default("fetch.wait.max.ms", "100");
    default("fetch.error.backoff.ms", "100");
    default("statistics.interval.ms", "1000");
    // Also how long a commit waits for a coordinator that is away, so that a stop ends.
    default("coordinator.query.interval.ms", "5000");
    // That small queue is often full: look again soon, not after a second.
    default("fetch.queue.backoff.ms", "20");
    // What the client holds itself is thrown away by a pause and fetched again.
    default("queued.max.messages.kbytes", &(mapping.hold_bytes / 1024).clamp(64, 1024 * 1024).to_string());
    config
        .set("group.id", &mapping.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Only for a committed offset that is gone: what is left is better than a gap.
        .set("auto.offset.reset", "earliest");
    config
}

/// What the poller wants of its consumer thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Running = 0,
    /// Commit what is done and leave the group.
    Closing = 1,
    /// Leave without committing: as near to a crash as an orderly program comes.
    Abandoned = 2,
}

/// What the consumer's callbacks and the workers share.
pub(super) struct Shared {
    pub(super) lanes: Lanes,
    /// New partitions are not worked on any more.
    pub(super) draining: AtomicBool,
    phase: AtomicU8,
    runtime: Handle,
    start: StartingPosition,
    hold_bytes: usize,
    topics: Vec<String>,
    assigned: Mutex<Vec<Assigned>>,
    said: Mutex<HashMap<String, Instant>>,
    /// When a broker was last connected, as the statistics say it.
    heard: Mutex<Option<Instant>>,
    /// What the client complained of last.
    trouble: Mutex<Option<String>>,
    /// Something is done that is not committed, or the phase changed.
    news: Mutex<bool>,
    wake: Condvar,
    /// Held during a commit, and while partitions are given up: a commit comes wholly before
    /// that or not at all.
    committing: Mutex<()>,
}

struct Assigned {
    topic: String,
    partition: i32,
    start: Option<i64>,
    committed: Option<i64>,
}

impl Shared {
    pub(super) fn new(mapping: &Mapping, runtime: Handle) -> Self {
        Self {
            lanes: Lanes::default(),
            draining: AtomicBool::new(false),
            phase: AtomicU8::new(Phase::Running as u8),
            runtime,
            start: mapping.starting_position,
            hold_bytes: mapping.hold_bytes.max(1),
            topics: mapping.topics.clone(),
            assigned: Mutex::new(Vec::new()),
            said: Mutex::new(HashMap::new()),
            heard: Mutex::new(None),
            trouble: Mutex::new(None),
            news: Mutex::new(false),
            wake: Condvar::new(),
            committing: Mutex::new(()),
        }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
        self.wake_committer();
    }

    pub(super) fn heard(&self) -> Option<Duration> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn wake_committer(&self) {
        *self.news.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.wake.notify_all();
    }

    /// Commits what is done and waits for the answer: of all partitions in one request, because
    /// the client reports the outcome of a commit only to callers that wait for it.
    fn commit_done(&self, consumer: &BaseConsumer<Context>) -> KafkaResult<()> {
        let _turn = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        let behind: Vec<(Arc<Lane>, i64)> = self
            .lanes
            .all()
            .into_iter()
            .filter(|lane| lane.behind())
            .filter_map(|lane| lane.done.get().map(|offset| (lane, offset)))
            .collect();
        if behind.is_empty() {
            return Ok(());
        }
        let mut offsets = TopicPartitionList::with_capacity(behind.len());
        for (lane, offset) in &behind {
            offsets.add_partition_offset(&lane.topic, lane.partition, Offset::Offset(*offset))?;
        }
        consumer.commit(&offsets, CommitMode::Sync)?;
        for (lane, offset) in behind {
            lane.committed.set(offset);
        }
        Ok(())
    }

    fn in_phase(&self, phase: Phase) -> bool {
        self.phase.load(Ordering::SeqCst) == phase as u8
    }

    /// True once per minute for each kind of error.
    fn is_new(&self, kind: String) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let news = said.get(&kind).is_none_or(|at| at.elapsed() >= SAY_AGAIN);
        if news {
            said.insert(kind, Instant::now());
        }
        news
    }

    /// Where each partition starts: at what the group has committed, else at the starting position.
    fn positions(
        &self,
        consumer: &BaseConsumer<Context>,
        assigned: &TopicPartitionList,
    ) -> KafkaResult<Vec<Assigned>> {
        let mut positions = Vec::with_capacity(assigned.count());
        let mut fresh = TopicPartitionList::new();
        for element in consumer.committed_offsets(names(assigned), LOOKUP)?.elements() {
            match element.offset() {
                Offset::Offset(offset) => positions.push(Assigned {
                    topic: element.topic().to_owned(),
                    partition: element.partition(),
                    start: Some(offset),
                    committed: Some(offset),
                }),
                _ => {
                    fresh.add_partition(element.topic(), element.partition());
                }
            }
        }
        if fresh.count() == 0 {
            return Ok(positions);
        }
        let wanted = match self.start {
            StartingPosition::Latest => Offset::End,
            StartingPosition::TrimHorizon => Offset::Beginning,
            StartingPosition::AtTimestamp(time) => {
                let since = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
                Offset::Offset(i64::try_from(since).unwrap_or(i64::MAX))
            }
        };
        fresh.set_all_offsets(wanted)?;
        let mut found = consumer.offsets_for_times(fresh, LOOKUP)?;
        // Nothing that young: the next record is.
        let mut ends = TopicPartitionList::new();
        for element in found.elements().iter().filter(|element| element.offset() == Offset::End) {
            ends.add_partition_offset(element.topic(), element.partition(), Offset::End)?;
        }
        if ends.count() > 0 {
            for element in consumer.offsets_for_times(ends, LOOKUP)?.elements() {
                found.set_partition_offset(element.topic(), element.partition(), element.offset())?;
            }
        }
        positions.extend(found.elements().iter().map(|element| Assigned {
            topic: element.topic().to_owned(),
            partition: element.partition(),
            start: match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            },
            committed: None,
        }));
        Ok(positions)
    }

    fn assign(&self, consumer: &BaseConsumer<Context>, assigned: &TopicPartitionList) -> KafkaResult<()> {
        let positions = self.positions(consumer, assigned).unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot look up where the group stands: Kafka's own default applies");
            let unknown = |topic: &str, partition| Assigned {
                topic: topic.to_owned(),
                partition,
                start: None,
                committed: None,
            };
            assigned.elements().iter().map(|element| unknown(element.topic(), element.partition())).collect()
        });
        let mut start = TopicPartitionList::new();
        for position in &positions {
            let Assigned { topic, partition, .. } = position;
            let offset = position.start.map_or(Offset::Stored, Offset::Offset);
            start.add_partition_offset(topic, *partition, offset)?;
            tracing::info!(topic, partition, offset = position.start, "partition assigned");
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&start)?,
            _ => consumer.assign(&start)?,
        }
        self.assigned.lock().unwrap_or_else(PoisonError::into_inner).extend(positions);
        Ok(())
    }

    fn revoke(&self, consumer: &BaseConsumer<Context>, revoked: &TopicPartitionList) -> KafkaResult<()> {
        let elements = revoked.elements();
        let is_revoked = |topic: &str, partition| {
            elements.iter().any(|element| element.topic() == topic && element.partition() == partition)
        };
        self.assigned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|assigned| !is_revoked(&assigned.topic, assigned.partition));
        let lanes: Vec<Arc<Lane>> =
            self.lanes.all().into_iter().filter(|lane| is_revoked(&lane.topic, lane.partition)).collect();
        // When the group has already given the partitions away, nothing can be committed any more.
        let grace = if consumer.assignment_lost() { Duration::ZERO } else { REVOKE_GRACE };
        self.end_workers(&lanes, grace);
        if !grace.is_zero()
            && !self.in_phase(Phase::Abandoned)
            && let Err(error) = self.commit_done(consumer)
        {
            tracing::warn!(%error, "cannot commit before giving partitions up: their last batch comes again");
        }
        let _turn = self.committing.lock().unwrap_or_else(PoisonError::into_inner);
        for lane in &lanes {
            self.lanes.remove(lane);
            tracing::info!(topic = &*lane.topic, partition = lane.partition, "partition revoked");
        }
        match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(revoked),
            _ => consumer.unassign(),
        }
    }

    /// Lets workers finish their batch for so long, then ends them.
    fn end_workers(&self, lanes: &[Arc<Lane>], grace: Duration) {
        for lane in lanes {
            lane.drain.cancel();
        }
        let workers: Vec<_> = lanes.iter().filter_map(|lane| lane.take_worker()).collect();
        if workers.is_empty() {
            return;
        }
        self.runtime.block_on(finish(workers, grace));
    }
}

/// Waits for workers to end by themselves, and ends those that do not.
pub(super) async fn finish(mut workers: Vec<tokio::task::JoinHandle<()>>, grace: Duration) {
    if grace.is_zero() || tokio::time::timeout(grace, join_all(&mut workers)).await.is_err() {
        for worker in &workers {
            worker.abort();
        }
        // A finished handle must not be awaited again.
        while workers.iter().any(|worker| !worker.is_finished()) {
            tokio::task::yield_now().await;
        }
    }
}

fn names(partitions: &TopicPartitionList) -> TopicPartitionList {
    let mut names = TopicPartitionList::with_capacity(partitions.count());
    for element in partitions.elements() {
        names.add_partition(element.topic(), element.partition());
    }
    names
}

/// The callbacks of the consumer. They run on its thread, inside a poll.
pub(super) struct Context(pub(super) Arc<Shared>);

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
                tracing::error!(facility, "{message}");
            }
            _ => tracing::debug!(facility, "{message}"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let kind = error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| format!("{code:?}"));
        // Of all brokers being away something else is the cause.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            *self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
        }
        if !is_topic_missing(&error) && self.0.is_new(kind) {
            tracing::warn!(reason, "Kafka: {error}; waiting");
        }
    }

    fn stats(&self, statistics: Statistics) {
        // The client has one broker that is no broker, for itself.
        let mut brokers = statistics.brokers.values().filter(|broker| broker.source != "internal");
        if brokers.any(|broker| broker.state == "UP") {
            *self.0.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
        for lane in self.0.lanes.all() {
            let partition =
                statistics.topics.get(&*lane.topic).and_then(|topic| topic.partitions.get(&lane.partition));
            if let Some(partition) = partition {
                let end = if partition.ls_offset >= 0 { partition.ls_offset } else { partition.hi_offset };
                // The client's position counts control records, which never arrive as records.
                let passed = partition.next_offset >= end && partition.fetchq_cnt == 0;
                let active = partition.fetch_state == "active" && end >= 0;
                lane.saw_end(active && lane.fetched.get() >= Some(end), active && passed);
            }
        }
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        what: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let done = if what == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.0.assign(consumer, partitions)
        } else {
            self.0.revoke(consumer, partitions)
        };
        if let Err(error) = done {
            tracing::error!(%error, "the change of assignment failed");
        }
    }
}

/// The consumer, as the thread and the workers hold it.
pub(super) struct Link {
    consumer: BaseConsumer<Context>,
    pub(super) shared: Arc<Shared>,
}

impl Link {
    pub(super) fn new(mapping: &Mapping, shared: Arc<Shared>) -> KafkaResult<Self> {
        let consumer: BaseConsumer<Context> =
            consumer_config(mapping).create_with_context(Context(Arc::clone(&shared)))?;
        let topics: Vec<&str> = mapping.topics.iter().map(String::as_str).collect();
        consumer.subscribe(&topics)?;
        Ok(Self { consumer, shared })
    }

    /// Has everything below `offset` committed soon, unless the partition is given up before.
    pub(super) fn commit(&self, lane: &Arc<Lane>, offset: i64) {
        if lane.done.get() != Some(offset) {
            lane.done.set(offset);
            self.shared.wake_committer();
        }
    }

    /// The committer's thread: one request at a time, for whatever is done by then.
    fn keep_committing(&self) {
        while self.shared.in_phase(Phase::Running) {
            let mut news = self.shared.news.lock().unwrap_or_else(PoisonError::into_inner);
            while !*news {
                news = self.shared.wake.wait(news).unwrap_or_else(PoisonError::into_inner);
            }
            *news = false;
            drop(news);
            if self.shared.in_phase(Phase::Running)
                && let Err(error) = self.shared.commit_done(&self.consumer)
            {
                if self.shared.is_new(format!("commit: {error}")) {
                    tracing::warn!(%error, "cannot commit: tried again");
                }
                std::thread::sleep(COMMIT_AGAIN);
                self.shared.wake_committer();
            }
        }
    }

    /// Takes note that so many bytes of a partition are done, and reads on if it was paused.
    pub(super) fn release(&self, lane: &Arc<Lane>, bytes: usize) {
        let held = lane.held.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        if held > self.shared.hold_bytes / 2 || !lane.paused.load(Ordering::SeqCst) {
            return;
        }
        let lanes = self.shared.lanes.lock();
        if owns(&lanes, lane) && lane.paused.swap(false, Ordering::SeqCst) {
            lane.saw_end(false, false);
            let resumed = self.consumer.resume(&only(lane));
            if let Err(error) = resumed {
                lane.paused.store(true, Ordering::SeqCst);
                tracing::warn!(topic = &*lane.topic, partition = lane.partition, %error, "cannot read on yet");
            }
        }
    }

    fn pause_if_full(&self, lane: &Arc<Lane>) {
        let lanes = self.shared.lanes.lock();
        let full = lane.held.load(Ordering::SeqCst) >= self.shared.hold_bytes;
        if full && owns(&lanes, lane) && !lane.paused.swap(true, Ordering::SeqCst) {
            match self.consumer.pause(&only(lane)) {
                Ok(()) => tracing::debug!(topic = &*lane.topic, partition = lane.partition, "paused"),
                Err(_) => lane.paused.store(false, Ordering::SeqCst),
            }
        }
    }

    fn deal(&self, message: &BorrowedMessage<'_>) {
        let Some(lane) = self.shared.lanes.get(message.topic(), message.partition()) else { return };
        let record = own(message, &lane.topic);
        lane.saw_end(false, false);
        lane.held.fetch_add(record.weight(), Ordering::SeqCst);
        lane.fetched.set(record.offset + 1);
        // A worker that ended has no use for it; it is read again from the committed offset.
        let _ = lane.records.send(record);
        if lane.held.load(Ordering::SeqCst) >= self.shared.hold_bytes {
            self.pause_if_full(&lane);
        }
    }

    /// Says which topics are missing. Every other error has been said by the client's callback.
    fn complain(&self, error: &KafkaError) {
        if !is_topic_missing(error) || !self.shared.is_new(error.to_string()) {
            return;
        }
        for topic in self.missing_topics() {
            tracing::warn!(topic, "the topic does not exist (yet): waiting for it");
        }
    }

    fn missing_topics(&self) -> Vec<&str> {
        let missing = |topic: &&String| {
            let metadata = self.consumer.fetch_metadata(Some(topic), LOOKUP);
            metadata.is_ok_and(|found| found.topics().iter().all(|topic| topic.partitions().is_empty()))
        };
        self.shared.topics.iter().filter(missing).map(String::as_str).collect()
    }
}

fn is_topic_missing(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{UnknownPartition, UnknownTopic, UnknownTopicOrPartition};
    matches!(error.rdkafka_error_code(), Some(UnknownTopicOrPartition | UnknownTopic | UnknownPartition))
}

fn only(lane: &Lane) -> TopicPartitionList {
    let mut partitions = TopicPartitionList::with_capacity(1);
    partitions.add_partition(&lane.topic, lane.partition);
    partitions
}

fn own(message: &BorrowedMessage<'_>, topic: &Arc<str>) -> Record {
    let (timestamp, timestamp_type) = match message.timestamp() {
        Timestamp::CreateTime(at) => (at, TimestampType::CreateTime),
        Timestamp::LogAppendTime(at) => (at, TimestampType::LogAppendTime),
        Timestamp::NotAvailable => (-1, TimestampType::None),
    };
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
    });
    Record {
        topic: Arc::clone(topic),
        partition: message.partition(),
        offset: message.offset(),
        timestamp,
        timestamp_type,
        key: message.key().map(<[u8]>::to_vec),
        value: message.payload().map(<[u8]>::to_vec),
        headers,
    }
}

/// The consumer thread. `work` starts the worker of a newly assigned partition.
pub(super) fn run(link: Arc<Link>, mut work: impl FnMut(&Arc<Link>, Arc<Lane>, UnboundedReceiver<Record>)) {
    let shared = Arc::clone(&link.shared);
    std::thread::scope(|threads| {
        threads.spawn(|| link.keep_committing());
        while shared.in_phase(Phase::Running) {
            let polled = link.consumer.poll(POLL);
            // A rebalance happens inside a poll, and its partitions' records come after it.
            let assigned =
                std::mem::take(&mut *shared.assigned.lock().unwrap_or_else(PoisonError::into_inner));
            for Assigned { topic, partition, start, committed } in assigned {
                let (sender, records) = unbounded_channel();
                // "From now on" is decided once: committed at the first chance, so that a restart
                // before the first batch does not decide it again and skip what came between.
                let pinned = if shared.start == StartingPosition::TrimHorizon { committed } else { start };
                let lane = Arc::new(Lane::new(&topic, partition, start, pinned, committed, sender));
                shared.lanes.insert(&lane);
                if lane.behind() {
                    shared.wake_committer();
                }
                if !shared.draining.load(Ordering::SeqCst) {
                    work(&link, lane, records);
                }
            }
            match polled {
                Some(Ok(message)) => link.deal(&message),
                Some(Err(error)) => link.complain(&error),
                None => {}
            }
        }
    });
    let lanes = shared.lanes.all();
    shared.end_workers(&lanes, Duration::ZERO);
    if shared.in_phase(Phase::Closing)
        && let Err(error) = shared.commit_done(&link.consumer)
    {
        tracing::warn!(%error, "the last commit failed: its records will come again");
    }
    for lane in &lanes {
        shared.lanes.remove(lane);
    }
    // The last reference: leaving the group happens here, on this thread.
    drop(link);
}
