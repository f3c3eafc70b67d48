//! One partition's worker: does what the plan says, one batch at a time, and keeps trying.
//! Decides nothing about batches or limits; that is the plan's.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::UnboundedReceiver;

use super::consumer::Link;
use super::destination::{Cause, Destination};
use super::event::Envelope;
use super::invoke::{Answer, Function, Trouble};
use super::lane::Lane;
use super::plan::{Discarded, Next, Outcome, Plan, Settled};
use super::record::Record;
use super::response::{Verdict, judge};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// A failing function is retried at least this often, an endpoint that is down more often,
/// because a developer is probably starting it.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE_UNAVAILABLE: Duration = Duration::from_secs(2);

/// What all workers of a poller share.
pub(super) struct Work {
    pub(super) function: Function,
    pub(super) envelope: Envelope,
    pub(super) destination: Option<Destination>,
    pub(super) group: String,
    pub(super) partial: bool,
    pub(super) counted: Counted,
}

/// Counters since the start.
#[derive(Default)]
pub(super) struct Counted {
    pub(super) invocations: AtomicU64,
    pub(super) failures: AtomicU64,
    pub(super) done: AtomicU64,
    pub(super) given_up: AtomicU64,
}

impl Counted {
    /// Counts an invocation with these records.
    fn invocation(&self, outcome: Outcome, records: &[Record]) {
        let done = match outcome {
            Outcome::Succeeded => records.len(),
            Outcome::Failed => 0,
            Outcome::FailedFrom(offset) => records.partition_point(|record| record.offset < offset),
        };
        self.invocations.fetch_add(1, Ordering::Relaxed);
        self.failures.fetch_add(u64::from(outcome != Outcome::Succeeded), Ordering::Relaxed);
        self.done.fetch_add(done as u64, Ordering::Relaxed);
    }
}

pub(super) struct Worker {
    pub(super) hands: Hands,
    pub(super) records: UnboundedReceiver<Record>,
    pub(super) plan: Plan,
}

/// The part of a worker that acts while its plan is being looked at.
pub(super) struct Hands {
    pub(super) link: Arc<Link>,
    pub(super) lane: Arc<Lane>,
    pub(super) work: Arc<Work>,
    pub(super) last_error: Option<String>,
}

impl Worker {
    /// Runs until the partition is given up or the poller stops. A batch in flight is finished;
    /// what is waiting for another attempt is not.
    pub(super) async fn run(mut self) {
        loop {
            while let Ok(record) = self.records.try_recv() {
                self.plan.push(record, Instant::now());
            }
            if self.hands.lane.drain.is_cancelled() {
                return;
            }
            let held = self.plan.weight();
            let pause = match self.plan.next(Instant::now(), clock()) {
                Next::Wait(until) => {
                    if !self.wait(until).await {
                        return;
                    }
                    continue;
                }
                Next::Invoke(records) => {
                    let Some(outcome) = self.hands.show(records).await else { return };
                    self.settle(outcome)
                }
                Next::Discard(discarded) => {
                    if !self.hands.give_up(discarded).await {
                        return;
                    }
                    self.plan.discarded();
                    None
                }
            };
            if let Some(position) = self.plan.position() {
                self.hands.link.commit(&self.hands.lane, position);
            }
            self.hands.link.release(&self.hands.lane, held - self.plan.weight());
            if let Some(pause) = pause
                && !self.hands.pause(pause).await
            {
                return;
            }
        }
    }

    fn settle(&mut self, outcome: Outcome) -> Option<Duration> {
        match self.plan.settle(outcome) {
            Settled::Done | Settled::GivenUp => None,
            Settled::Halved => Some(FIRST_PAUSE),
            Settled::Retry { failures } => Some(backoff(failures, LONGEST_PAUSE)),
        }
    }

    /// False when the worker is to end.
    async fn wait(&mut self, until: Option<Instant>) -> bool {
        let window = async {
            match until {
                Some(until) => tokio::time::sleep_until(until.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.hands.lane.drain.cancelled() => false,
            record = self.records.recv() => match record {
                Some(record) => {
                    self.plan.push(record, Instant::now());
                    true
                }
                None => false,
            },
            () = window => true,
        }
    }
}

impl Hands {
    /// Shows records to the function until it has seen them: an endpoint that is down or busy is
    /// not an outcome. `None` when the worker is to end.
    async fn show(&mut self, records: &[Record]) -> Option<Outcome> {
        let (first, last) = (records.first()?.offset, records.last()?.offset);
        let lane = Arc::clone(&self.lane);
        let (topic, partition) = (&*lane.topic, lane.partition);
        let payload = match self.work.envelope.encode(topic, partition, records) {
            Ok(payload) => payload,
            Err(error) => {
                tracing::error!(topic, partition, first, last, %error, "records that make no event");
                return Some(Outcome::Failed);
            }
        };
        let (count, bytes) = (records.len(), payload.len());
        let mut unavailable = 0;
        let (answer, took) = loop {
            let begun = Instant::now();
            match self.work.function.invoke(payload.clone()).await {
                Answer::Unavailable(trouble) => {
                    unavailable += 1;
                    if !self.wait_for(&trouble, unavailable).await {
                        return None;
                    }
                }
                answer => break (answer, begun.elapsed()),
            }
        };
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let outcome = self.outcome(answer, records);
        self.work.counted.invocation(outcome, records);
        let error = self.last_error.as_deref();
        match outcome {
            Outcome::Succeeded => {
                tracing::info!(topic, partition, first, last, count, bytes, ms, "done");
            }
            Outcome::Failed => {
                tracing::warn!(topic, partition, first, last, count, bytes, ms, error, "failed");
            }
            Outcome::FailedFrom(from) => {
                tracing::warn!(
                    topic,
                    partition,
                    first,
                    last,
                    from,
                    count,
                    bytes,
                    ms,
                    error,
                    "failed in part"
                );
            }
        }
        Some(outcome)
    }

    fn outcome(&mut self, answer: Answer, records: &[Record]) -> Outcome {
        let (outcome, error) = match answer {
            Answer::Payload(payload) if self.work.partial => match judge(&payload, records) {
                Verdict::Success => (Outcome::Succeeded, None),
                Verdict::FailedFrom(offset) => {
                    (Outcome::FailedFrom(offset), Some("BatchItemFailure".to_owned()))
                }
                Verdict::Invalid(reason) => {
                    (Outcome::Failed, Some(format!("InvalidPartialResponse: {reason}")))
                }
            },
            Answer::Payload(_) => (Outcome::Succeeded, None),
            Answer::FunctionError(kind) => (Outcome::Failed, Some(kind)),
            Answer::TooLarge => (Outcome::Failed, Some("RequestTooLargeException".to_owned())),
            // Never handed here; a failure is the side that loses nothing.
            Answer::Unavailable(_) => (Outcome::Failed, None),
        };
        self.last_error = error;
        outcome
    }

    async fn wait_for(&self, trouble: &Trouble, times: u32) -> bool {
        self.work.function.complain(trouble);
        self.pause(backoff(times, LONGEST_PAUSE_UNAVAILABLE)).await
    }

    /// Puts records where failures go. False when the worker is to end, and they are not there.
    async fn give_up(&self, discarded: &Discarded) -> bool {
        let (topic, partition) = (&*self.lane.topic, self.lane.partition);
        let (Some(first), Some(last)) = (discarded.records.first(), discarded.records.last()) else {
            return true;
        };
        let (first, last, count) = (first.offset, last.offset, discarded.records.len());
        let reason = discarded.reason.name();
        let Some(destination) = &self.work.destination else {
            tracing::error!(
                topic,
                partition,
                first,
                last,
                count,
                reason,
                "records given up and LOST: there is no failure destination"
            );
            self.work.counted.given_up.fetch_add(count as u64, Ordering::Relaxed);
            return true;
        };
        let cause = Cause {
            function: self.work.function.name(),
            group: &self.work.group,
            error: self.last_error.as_deref(),
        };
        let mut failures = 0;
        while let Err(error) = destination.put(discarded, &cause).await {
            failures += 1;
            if failures == 1 {
                tracing::error!(destination = destination.topic(), %error, "the failure destination takes nothing: tried again");
            }
            if !self.pause(backoff(failures, LONGEST_PAUSE)).await {
                return false;
            }
        }
        tracing::error!(
            topic,
            partition,
            first,
            last,
            count,
            reason,
            destination = destination.topic(),
            "records given up"
        );
        self.work.counted.given_up.fetch_add(count as u64, Ordering::Relaxed);
        true
    }

    /// False when the worker is to end.
    async fn pause(&self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            () = self.lane.drain.cancelled() => false,
            () = tokio::time::sleep(pause) => true,
        }
    }
}

/// Doubles from 100 ms, with jitter so that partitions that failed together do not come back together.
fn backoff(failures: u32, longest: Duration) -> Duration {
    let doubled = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10));
    doubled.min(longest).mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
