//! How long an answer takes that must not tell whether an email was sent: as long as the last one did for which one was.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// What is taken for it before the first: about what a call to SES takes with the requests to the table beside it.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait, for SES may have been slow once.
const LONGEST: Duration = Duration::from_secs(2);

/// The pace of the answers.
#[derive(Debug)]
pub(crate) struct Pace(AtomicU64);

impl Default for Pace {
    fn default() -> Self {
        Self(AtomicU64::new(micros(FIRST)))
    }
}

impl Pace {
    /// An email was sent for a request that began then, and its answer is ready now.
    pub(crate) fn set(&self, began: Instant) {
        self.0.store(micros(began.elapsed()), Ordering::Relaxed);
    }

    /// Waits until an answer without an email is as old as the last one with one was.
    pub(crate) async fn keep(&self, began: Instant) {
        tokio::time::sleep_until(began + self.last()).await;
    }

    fn last(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed)).min(LONGEST)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_without_an_email_takes_as_long_as_the_last_with_one() {
        let pace = Pace::default();
        for (took, waits) in [(30, 30), (5, 5), (60_000, 2_000)] {
            // A moment that may lie before the machine was started has no instant.
            let Some(began) = Instant::now().checked_sub(Duration::from_millis(took)) else { continue };
            pace.set(began);
            assert!(pace.last() >= Duration::from_millis(waits), "{took}: {pace:?}");
            assert!(pace.last() < Duration::from_millis(waits + 500), "{took}: {pace:?}");
        }
        pace.0.store(20_000, Ordering::Relaxed);
        let began = Instant::now();
        pace.keep(began).await;
        assert!(began.elapsed() >= Duration::from_millis(20));
    }
}
