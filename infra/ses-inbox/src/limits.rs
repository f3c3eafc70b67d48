//! What SES lets an account send: so many recipients a second, and so many in 24 hours.
//!
//! Both count recipients, not calls, and both let the call that crosses the line through. Knows no clock:
//! the caller says what time it is.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How much of a debt is forgiven, so that a sender that keeps exactly to the rate
/// is not refused because one call took a few milliseconds less than the one before.
const SLACK: Duration = Duration::from_millis(100);
const DAY_MINUTES: i64 = 24 * 60;

/// The sending rate: one second's worth of recipients at once, refilled at the rate.
///
/// A call is taken while anything is left, and may take more than is left. That is a debt, and
/// until all it took has been refilled every call is refused: 50 recipients at once at 14 a second mean 3.6 s of
/// refusals, 5 at 1 a second mean 5 s (less [`SLACK`]).
pub struct Rate {
    per_second: f64,
    left: f64,
    as_of: Instant,
    in_debt: bool,
}

impl Rate {
    pub fn new(per_second: f64, now: Instant) -> Self {
        Self { per_second, left: per_second.max(1.0), as_of: now, in_debt: false }
    }

    /// Whether a call to this many recipients is taken now.
    pub fn take(&mut self, recipients: usize, now: Instant) -> bool {
        let most = self.per_second.max(1.0);
        let refilled = now.saturating_duration_since(self.as_of).as_secs_f64() * self.per_second;
        self.left = (self.left + refilled).min(most);
        self.as_of = now;
        let enough = if self.in_debt { most - SLACK.as_secs_f64() * self.per_second } else { 1.0 };
        // A refill is a sum of rounded parts; without this a full bucket can look a hair short of full.
        if self.left + 1e-9 < enough {
            return false;
        }
        #[expect(clippy::cast_precision_loss, reason = "a call has at most a few thousand recipients")]
        let recipients = recipients as f64;
        self.left -= recipients;
        self.in_debt = self.left < 0.0;
        true
    }
}

/// What was sent in the last 24 hours, to the minute.
pub(super) struct Quota {
    per_day: f64,
    sent: u64,
    /// (minute since the epoch, recipients), oldest first.
    minutes: VecDeque<(i64, u64)>,
}

impl Quota {
    pub(super) fn new(per_day: f64) -> Self {
        Self { per_day, sent: 0, minutes: VecDeque::new() }
    }

    pub(super) fn sent(&mut self, now_minute: i64) -> u64 {
        while let Some(&(minute, recipients)) = self.minutes.front() {
            if minute + DAY_MINUTES > now_minute {
                break;
            }
            self.sent -= recipients;
            self.minutes.pop_front();
        }
        self.sent
    }

    /// Whether anything is left of the day's quota.
    pub(super) fn open(&mut self, now_minute: i64) -> bool {
        #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53 recipients a day")]
        let sent = self.sent(now_minute) as f64;
        sent < self.per_day
    }

    pub(super) fn add(&mut self, minute: i64, recipients: u64) {
        self.sent += recipients;
        match self.minutes.back_mut() {
            Some((last, count)) if *last >= minute => *count += recipients,
            _ => self.minutes.push_back((minute, recipients)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_ms(rate: &mut Rate, from: Instant) -> u128 {
        let step = Duration::from_millis(1);
        let mut now = from;
        while !rate.take(1, now) {
            now += step;
        }
        (now - from).as_millis()
    }

    #[test]
    fn fifty_at_once_at_fourteen_a_second_are_paid_back_for_three_and_a_half_seconds() {
        let start = Instant::now();
        let mut rate = Rate::new(14.0, start);
        assert!(rate.take(50, start));
        let refused = refused_ms(&mut rate, start);
        assert!((3_471..=3_473).contains(&refused), "refused for {refused} ms; 50 / 14 s less 100 ms");
    }

    #[test]
    fn singles_pass_up_to_one_second_worth_and_a_refusal_makes_no_debt() {
        let start = Instant::now();
        let mut rate = Rate::new(14.0, start);
        assert_eq!((0..20).filter(|_| rate.take(1, start)).count(), 14);
        assert_eq!(refused_ms(&mut rate, start), 72, "one recipient's time at 14 a second");
    }

    #[test]
    fn a_sender_that_keeps_to_the_rate_is_never_refused_even_with_jitter() {
        for per_second in [1.0, 14.0, 50.0, 75.0, 500.0] {
            let start = Instant::now();
            let mut rate = Rate::new(per_second, start);
            for call in 0..200_u32 {
                let due = Duration::from_secs_f64(f64::from(call) * 50.0 / per_second);
                let jitter = Duration::from_millis(u64::from(call * 7 % 80));
                assert!(rate.take(50, start + due + jitter), "call {call} at {per_second} a second");
            }
        }
    }

    #[test]
    fn the_quota_forgets_what_is_older_than_a_day() {
        let mut quota = Quota::new(100.0);
        quota.add(0, 60);
        quota.add(600, 40);
        assert!(!quota.open(600));
        assert_eq!(quota.sent(DAY_MINUTES - 1), 100);
        assert_eq!(quota.sent(DAY_MINUTES), 40);
        assert!(quota.open(DAY_MINUTES));
    }
}
