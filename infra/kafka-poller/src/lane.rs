//! One assigned partition as the consumer thread and its worker share it. Owning a partition means
//! standing in [`Lanes`]; a worker whose lane does not stand there commits nothing.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::record::Record;

/// Stands for an offset that is not known yet.
const UNKNOWN: i64 = -1;

/// The client's statistics lag behind a pause or a seek by a second or so; what they say alone
/// counts only after this.
const SETTLES: Duration = Duration::from_secs(5);

#[derive(Default)]
struct End {
    read: bool,
    passed: Option<Instant>,
}

pub(super) struct Lane {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    /// To the worker. Bounded in bytes, by pausing the partition.
    pub(super) records: UnboundedSender<Record>,
    /// Cancelled when the worker is to finish its batch and end.
    pub(super) drain: CancellationToken,
    pub(super) worker: Mutex<Option<JoinHandle<()>>>,
    pub(super) fetched: Offset,
    /// What the worker wants committed, and what the broker has.
    pub(super) done: Offset,
    pub(super) committed: Offset,
    pub(super) held: AtomicUsize,
    /// Changed only while [`Lanes`] is locked.
    pub(super) paused: AtomicBool,
    end: Mutex<End>,
}

/// An offset that two threads look at.
pub(super) struct Offset(AtomicI64);

impl Offset {
    pub(super) fn new(offset: Option<i64>) -> Self {
        Self(AtomicI64::new(offset.unwrap_or(UNKNOWN)))
    }

    pub(super) fn get(&self) -> Option<i64> {
        Some(self.0.load(Ordering::SeqCst)).filter(|offset| *offset != UNKNOWN)
    }

    pub(super) fn set(&self, offset: i64) {
        self.0.store(offset, Ordering::SeqCst);
    }
}

impl Lane {
    pub(super) fn new(
        topic: &str,
        partition: i32,
        start: Option<i64>,
        done: Option<i64>,
        committed: Option<i64>,
        records: UnboundedSender<Record>,
    ) -> Self {
        Self {
            topic: Arc::from(topic),
            partition,
            records,
            drain: CancellationToken::new(),
            worker: Mutex::new(None),
            fetched: Offset::new(start),
            done: Offset::new(done),
            committed: Offset::new(committed),
            held: AtomicUsize::new(0),
            paused: AtomicBool::new(false),
            end: Mutex::new(End::default()),
        }
    }

    pub(super) fn take_worker(&self) -> Option<JoinHandle<()>> {
        self.worker.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends the worker where it stands. Its handle stays, to be waited for.
    pub(super) fn abort(&self) {
        if let Some(worker) = &*self.worker.lock().unwrap_or_else(PoisonError::into_inner) {
            worker.abort();
        }
    }

    /// Takes note whether the last record was read, and whether the client passed the end even so:
    /// a topic may end in records that are never shown.
    pub(super) fn saw_end(&self, read: bool, passed: bool) {
        let passed = passed && !self.paused.load(Ordering::SeqCst);
        let mut end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        end.read = read;
        end.passed = if passed { end.passed.or_else(|| Some(Instant::now())) } else { None };
    }

    /// Whether everything is done that was there when the client last looked.
    pub(super) fn at_end(&self) -> bool {
        let end = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = end.passed.is_some_and(|since| since.elapsed() >= SETTLES);
        self.held.load(Ordering::SeqCst) == 0 && (end.read || passed)
    }

    /// Whether something is done that the broker does not know of.
    pub(super) fn behind(&self) -> bool {
        self.done.get() > self.committed.get()
    }
}

/// The partitions that are ours, by topic and number.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<String, HashMap<i32, Arc<Lane>>>>);

pub(super) type Locked<'a> = MutexGuard<'a, HashMap<String, HashMap<i32, Arc<Lane>>>>;

impl Lanes {
    pub(super) fn lock(&self) -> Locked<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, topic: &str, partition: i32) -> Option<Arc<Lane>> {
        self.lock().get(topic)?.get(&partition).cloned()
    }

    pub(super) fn all(&self) -> Vec<Arc<Lane>> {
        self.lock().values().flat_map(HashMap::values).cloned().collect()
    }

    pub(super) fn insert(&self, lane: &Arc<Lane>) {
        let mut lanes = self.lock();
        lanes.entry(lane.topic.to_string()).or_default().insert(lane.partition, Arc::clone(lane));
    }

    pub(super) fn remove(&self, lane: &Lane) {
        if let Some(partitions) = self.lock().get_mut(&*lane.topic) {
            partitions.remove(&lane.partition);
        }
    }
}

/// Whether this lane, not an earlier one of the same partition, is ours.
pub(super) fn owns(lanes: &Locked<'_>, lane: &Arc<Lane>) -> bool {
    lanes
        .get(&*lane.topic)
        .and_then(|partitions| partitions.get(&lane.partition))
        .is_some_and(|current| Arc::ptr_eq(current, lane))
}
