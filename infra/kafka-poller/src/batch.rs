//! Cuts one partition's records into batches: by number, by time, by bytes of JSON.
//! Keeps them in order; does no I/O and reads no clock.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::record::Record;

/// When a batch is full. A batch ends at whichever comes first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) records: usize,
    /// Counted from the arrival of a batch's first record.
    pub(super) window: Duration,
    /// The most bytes of an event, of which `overhead` are there before the first record.
    pub(super) payload: usize,
    pub(super) overhead: usize,
}

/// What can be cut right now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cut {
    Nothing,
    /// Not full yet: the window closes then.
    Wait(Instant),
    Batch(Vec<Record>),
    /// This record alone makes an event that is too large to send.
    TooLarge(Record),
}

/// Records of one partition that are in no batch yet.
#[derive(Debug)]
pub(super) struct Pending {
    limits: Limits,
    queue: VecDeque<Arrived>,
    /// How many from the front fit into one event, as far as looked at, and their bytes.
    fitting: usize,
    bytes: usize,
}

#[derive(Debug)]
struct Arrived {
    record: Record,
    encoded: usize,
    at: Instant,
}

impl Pending {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, queue: VecDeque::new(), fitting: 0, bytes: limits.overhead }
    }

    pub(super) fn push(&mut self, record: Record, now: Instant) {
        let encoded = record.encoded_len();
        self.queue.push_back(Arrived { record, encoded, at: now });
    }

    /// The offset of the first record that is in no batch.
    pub(super) fn first_offset(&self) -> Option<i64> {
        self.queue.front().map(|arrived| arrived.record.offset)
    }

    pub(super) fn cut(&mut self, now: Instant) -> Cut {
        let Some(first) = self.queue.front() else { return Cut::Nothing };
        let closes = first.at + self.limits.window;
        let full = self.look_ahead();
        if self.fitting == 0 {
            self.bytes = self.limits.overhead;
            return self.queue.pop_front().map_or(Cut::Nothing, |first| Cut::TooLarge(first.record));
        }
        if !full && now < closes {
            return Cut::Wait(closes);
        }
        let batch = self.queue.drain(..self.fitting).map(|arrived| arrived.record).collect();
        (self.fitting, self.bytes) = (0, self.limits.overhead);
        Cut::Batch(batch)
    }

    /// Says whether the batch at the front can take no more.
    fn look_ahead(&mut self) -> bool {
        while let Some(next) = self.queue.get(self.fitting) {
            let comma = usize::from(self.fitting > 0);
            let bytes = self.bytes.saturating_add(next.encoded).saturating_add(comma);
            if self.fitting == self.limits.records || bytes > self.limits.payload {
                return true;
            }
            self.fitting += 1;
            self.bytes = bytes;
        }
        self.fitting == self.limits.records
    }
}
