//! What stands between `notify` and the parts that it speaks to: every request to the table, to
//! SES and to Kafka is counted here, and a rule decides what becomes of it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// A request, as a rule sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// How many were seen before it since the wire was armed.
    pub(super) number: u64,
    /// What it asks for, such as `table PutItem`, `SES SendBulkEmail` or `Kafka Produce`.
    pub(super) what: String,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Fate {
    /// It is passed on, and its answer back.
    Passed,
    /// `notify` is killed before it is passed on: it never arrives.
    KilledBefore,
    /// It is passed on, and `notify` is killed before it sees the answer.
    KilledAfter,
    /// It is passed on, and the answer is lost.
    AnswerLost,
    /// It is refused as too many (the table only).
    Throttled,
    /// It is passed on after so long.
    Delayed(Duration),
}

type Rule = Box<dyn FnMut(&Seen) -> Fate + Send>;

/// What a request to send emails is called.
pub(super) const SEND: &str = "SES SendBulkEmail";

/// The requests of one system.
#[derive(Default)]
pub(super) struct Wire {
    armed: AtomicBool,
    count: AtomicU64,
    disturbed: AtomicU64,
    sending: AtomicU64,
    rule: Mutex<Option<Rule>>,
    log: Mutex<Vec<String>>,
    kill: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// Kafka takes no connection and keeps none.
    pub(super) kafka_is_down: Arc<AtomicBool>,
}

impl Wire {
    /// Says how `notify` is killed.
    pub(super) fn kills_with(&self, kill: impl Fn() + Send + Sync + 'static) {
        // Once, by the laboratory.
        let _ = self.kill.set(Box::new(kill));
    }

    /// Counts from nought, under this rule.
    pub(super) fn arm(&self, rule: impl FnMut(&Seen) -> Fate + Send + 'static) {
        *lock(&self.rule) = Some(Box::new(rule));
        lock(&self.log).clear();
        self.count.store(0, Ordering::SeqCst);
        self.disturbed.store(0, Ordering::SeqCst);
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Passes everything, and gives what was asked for since it was armed, in order.
    pub(super) fn disarm(&self) -> Vec<String> {
        self.armed.store(false, Ordering::SeqCst);
        *lock(&self.rule) = None;
        std::mem::take(&mut *lock(&self.log))
    }

    /// What becomes of a request.
    pub(super) fn judge(&self, what: String) -> Fate {
        if !self.armed.load(Ordering::SeqCst) {
            return Fate::Passed;
        }
        let number = self.count.fetch_add(1, Ordering::SeqCst);
        lock(&self.log).push(what.clone());
        let fate = lock(&self.rule).as_mut().map_or(Fate::Passed, |rule| rule(&Seen { number, what }));
        if fate != Fate::Passed {
            self.disturbed.fetch_add(1, Ordering::SeqCst);
        }
        fate
    }

    /// How many requests were not simply passed on since the wire was armed.
    pub(super) fn disturbed(&self) -> u64 {
        self.disturbed.load(Ordering::SeqCst)
    }

    /// Whether SES has a call that it has not answered.
    pub(super) fn is_sending(&self) -> bool {
        self.sending.load(Ordering::SeqCst) > 0
    }

    /// A call that SES has, until this is dropped.
    pub(super) fn sends(self: &Arc<Self>) -> Sending {
        self.sending.fetch_add(1, Ordering::SeqCst);
        Sending(self.clone())
    }

    /// Kills `notify`.
    pub(super) fn kill(&self) {
        if let Some(kill) = self.kill.get() {
            kill();
        }
    }
}

/// A call that SES has not answered.
pub(super) struct Sending(Arc<Wire>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.sending.fetch_sub(1, Ordering::SeqCst);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
