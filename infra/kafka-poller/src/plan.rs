//! What happens next on one partition: which records go to the function, what an outcome means
//! for them, and up to where the partition is done. Pure: no I/O, no clock, no Kafka.
//!
//! The rules are those of Lambda's event source mappings. Records leave in exactly two ways: a
//! function took them, or the limits on attempts, age and size gave them up.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::batch::{Cut, Limits, Pending};
use super::record::Record;

/// How a mapping treats failures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    pub(super) limits: Limits,
    /// Halve a failed batch instead of counting a failure, as long as it holds more than one record.
    pub(super) bisect: bool,
    /// Failures after the first before a batch is given up; `None` is never.
    pub(super) maximum_retry_attempts: Option<u32>,
    /// Older records are not shown to the function; `None` is any age.
    pub(super) maximum_record_age: Option<Duration>,
}

/// Why records were given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    RetryAttemptsExhausted,
    RecordAgeExceeded,
    PayloadTooLarge,
}

impl Reason {
    /// The word for logs and for the failure destination.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::RetryAttemptsExhausted => "RetryAttemptsExhausted",
            Self::RecordAgeExceeded => "RecordAgeExceeded",
            Self::PayloadTooLarge => "PayloadTooLarge",
        }
    }
}

/// Records that are given up together, and still to be put where failures go.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Discarded {
    pub(super) records: Vec<Record>,
    pub(super) reason: Reason,
    /// How often the function failed on them.
    pub(super) failures: u32,
}

/// The one thing to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<'a> {
    /// Wait for records, or until a window closes.
    Wait(Option<Instant>),
    /// Show these to the function, then call [`Plan::settle`].
    Invoke(&'a [Record]),
    /// Put these where failures go, then call [`Plan::discarded`].
    Discard(&'a Discarded),
}

/// What became of the records of [`Next::Invoke`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Succeeded,
    Failed,
    /// The function did what is below this offset, which is one of the batch's.
    FailedFrom(i64),
}

/// What an outcome led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Settled {
    Done,
    Retry { failures: u32 },
    Halved,
    GivenUp,
}

/// One partition's records, from the first that is not done.
#[derive(Debug)]
pub(super) struct Plan {
    rules: Rules,
    pending: Pending,
    /// Batches that were cut, oldest first; more than one only after a halving.
    batches: VecDeque<Batch>,
    discarding: Option<Discarded>,
    /// One past the last record that was ever pushed.
    end: Option<i64>,
    weight: usize,
}

#[derive(Debug)]
struct Batch {
    records: Vec<Record>,
    failures: u32,
}

impl Plan {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            rules,
            pending: Pending::new(rules.limits),
            batches: VecDeque::new(),
            discarding: None,
            end: None,
            weight: 0,
        }
    }

    /// Takes the next record of the partition. Offsets rise; gaps are normal.
    pub(super) fn push(&mut self, record: Record, now: Instant) {
        self.end = Some(record.offset + 1);
        self.weight += record.weight();
        self.pending.push(record, now);
    }

    /// Everything below this offset is done: what to commit. `None` before the first record.
    ///
    /// Derived from what is not done, so that no path can commit past a failure.
    pub(super) fn position(&self) -> Option<i64> {
        let discarding = self.discarding.as_ref().and_then(|given_up| given_up.records.first());
        let batched = self.batches.front().and_then(|batch| batch.records.first());
        [discarding.map(|record| record.offset), batched.map(|record| record.offset)]
            .into_iter()
            .chain([self.pending.first_offset()])
            .flatten()
            .min()
            .or(self.end)
    }

    /// Bytes of the records that are not done.
    pub(super) fn weight(&self) -> usize {
        self.weight
    }

    /// Decides what to do at `now`, which is `clock` milliseconds since the epoch.
    pub(super) fn next(&mut self, now: Instant, clock: i64) -> Next<'_> {
        if self.discarding.is_none() {
            if self.batches.is_empty() {
                match self.pending.cut(now) {
                    Cut::Nothing => return Next::Wait(None),
                    Cut::Wait(until) => return Next::Wait(Some(until)),
                    Cut::Batch(records) => self.batches.push_front(Batch { records, failures: 0 }),
                    Cut::TooLarge(record) => {
                        self.discarding = Some(Discarded {
                            records: vec![record],
                            reason: Reason::PayloadTooLarge,
                            failures: 0,
                        });
                    }
                }
            }
            self.discard_expired(clock);
        }
        match (&self.discarding, self.batches.front()) {
            (Some(given_up), _) => Next::Discard(given_up),
            (None, Some(batch)) => Next::Invoke(&batch.records),
            (None, None) => Next::Wait(None),
        }
    }

    /// Takes the outcome of the batch that was shown to the function.
    pub(super) fn settle(&mut self, outcome: Outcome) -> Settled {
        let Some(mut batch) = self.batches.pop_front() else { return Settled::Done };
        let progress = match outcome {
            Outcome::Succeeded => {
                self.forget(&batch.records);
                return Settled::Done;
            }
            Outcome::Failed => false,
            Outcome::FailedFrom(offset) => {
                let done = batch.records.partition_point(|record| record.offset < offset);
                let done: Vec<Record> = batch.records.drain(..done).collect();
                self.forget(&done);
                !done.is_empty()
            }
        };
        if progress {
            // The record that failed was first in line never before: its count starts here.
            batch.failures = 0;
        } else if self.rules.bisect && batch.records.len() > 1 {
            // Halving does not use up an attempt: it ends by itself, at one record. The failures so
            // far were those of the first record; nothing says that the second half has any.
            let second = batch.records.split_off(batch.records.len() / 2);
            self.batches.push_front(Batch { records: second, failures: 0 });
            self.batches.push_front(batch);
            return Settled::Halved;
        }
        batch.failures = batch.failures.saturating_add(1);
        if self.rules.maximum_retry_attempts.is_some_and(|most| batch.failures > most) {
            self.discarding = Some(Discarded {
                records: batch.records,
                reason: Reason::RetryAttemptsExhausted,
                failures: batch.failures,
            });
            return Settled::GivenUp;
        }
        let failures = batch.failures;
        self.batches.push_front(batch);
        Settled::Retry { failures }
    }

    /// The records of [`Next::Discard`] are where failures go.
    pub(super) fn discarded(&mut self) {
        if let Some(given_up) = self.discarding.take() {
            self.forget(&given_up.records);
        }
    }

    fn forget(&mut self, records: &[Record]) {
        self.weight -= records.iter().map(Record::weight).sum::<usize>();
    }

    /// Takes every record out of the next batch that grew too old, wherever it stands: timestamps
    /// are set by producers and need not rise with the offset.
    fn discard_expired(&mut self, clock: i64) {
        let (Some(age), Some(batch)) = (self.rules.maximum_record_age, self.batches.front_mut()) else {
            return;
        };
        if self.discarding.is_some() {
            return;
        }
        let oldest = clock.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX));
        let expired = |record: &mut Record| record.timestamp >= 0 && record.timestamp < oldest;
        let records: Vec<Record> = batch.records.extract_if(.., expired).collect();
        let failures = batch.failures;
        if batch.records.is_empty() {
            self.batches.pop_front();
        }
        if !records.is_empty() {
            self.discarding = Some(Discarded { records, reason: Reason::RecordAgeExceeded, failures });
        }
    }
}
