//! The send slots that a worker holds: those it uses, and those after them, which it reserves early, because a late reservation
//! wastes slots. Beside the machine and not in it: rates are no whole numbers, and which slots a call takes changes nothing about
//! what is delivered.

use super::limits::{AHEAD_SECONDS, MAX_PAGE};
use crate::budget::{Lease, Rate};
use crate::cursor::MAX_CALL;

/// How fast the worker may go, in whole entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pace {
    /// The most recipients of a call, 1 to [`MAX_CALL`].
    pub call_size: usize,
    /// How many entries are read ahead.
    pub ahead: usize,
}

impl Pace {
    /// The pace at `rate`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most three million")]
    pub fn of(rate: Rate) -> Self {
        Self { call_size: rate.call_size(MAX_CALL), ahead: (rate.per_second() * AHEAD_SECONDS) as usize }
    }
}

/// The slots that a worker has reserved and not used.
#[derive(Debug, Clone, PartialEq)]
pub struct Leases {
    /// How many shards of the product are delivered side by side: this worker's among them.
    shards: usize,
    current: Option<Lease>,
    next: Option<Lease>,
}

impl Leases {
    /// None yet, for one of so many shards that are delivered side by side.
    pub fn new(shards: usize) -> Self {
        Self { shards, current: None, next: None }
    }

    /// Lets all go.
    pub fn clear(&mut self) {
        (self.current, self.next) = (None, None);
    }

    /// How many slots to reserve at once: at least `wanted` and never more than for the `sendable` entries.
    pub fn size(&self, rate: Rate, wanted: usize, sendable: usize) -> usize {
        lease_size(rate, self.shards, wanted, sendable)
    }

    /// Takes `wanted` slots and says when they may be used, in Unix microseconds; `None` where so many must be reserved first.
    pub fn take(&mut self, wanted: usize) -> Option<u64> {
        if let Some(at) = self.current.as_mut().and_then(|lease| lease.take(wanted)) {
            return Some(at);
        }
        self.current = self.next.take().filter(|lease| lease.left() >= wanted);
        self.current.as_mut()?.take(wanted)
    }

    /// Goes on with `reserved` in place of what was left.
    pub fn go_on_with(&mut self, reserved: Option<Lease>) {
        self.current = reserved;
    }

    /// How many slots to reserve for the calls after the one that has just taken `wanted`, of `sendable` entries in all; `None`
    /// where enough are left, or no entry is. The answer belongs into [`Leases::put_by`].
    pub fn short_of(&self, rate: Rate, wanted: usize, sendable: usize) -> Option<usize> {
        let after = sendable.saturating_sub(wanted);
        let is_short = self.current.is_some_and(|lease| lease.left() < wanted.min(after));
        (is_short && self.next.is_none()).then(|| self.size(rate, wanted.min(after), after))
    }

    /// Keeps `reserved` for when the current ones are used.
    pub fn put_by(&mut self, reserved: Option<Lease>) {
        self.next = reserved;
    }
}

/// How many slots are reserved at once. All shards of a product together hold about half a second's worth at a time, and as
/// much again for when that is used: another product's emails come behind what is reserved, and must not come much later.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1000 counts")]
fn lease_size(rate: Rate, shards: usize, wanted: usize, sendable: usize) -> usize {
    let half_second = (rate.per_second() / 2.0 / shards.max(1) as f64).min(MAX_PAGE as f64) as usize;
    // Whole calls: what is left of a lease and does not suffice for one is let go.
    let whole_calls = half_second - half_second.checked_rem(wanted).unwrap_or_default();
    whole_calls.clamp(wanted, sendable.max(wanted))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn rate(per_second: f64) -> Rate {
        Rate::new(per_second).unwrap()
    }

    fn lease(at_us: u64, slots: usize) -> Option<Lease> {
        Some(Lease::new(at_us, 0, rate(100.0), slots))
    }

    #[test]
    fn half_a_second_is_reserved_but_never_more_than_entries_wait() {
        for (per_second, shards, wanted, sendable, slots) in [
            (100.0, 1, 10, 500, 50),
            (100.0, 1, 10, 30, 30),
            (10.0, 1, 10, 500, 10),
            (100_000.0, 1, 50, 5_000, 1_000),
            (0.5, 1, 1, 1, 1),
            (100.0, 1, 10, 5, 10),
            (5_000.0, 8, 50, 5_000, 300),
            (2_000.0, 8, 50, 5_000, 100),
            (2_000.0, 8, 50, 70, 70),
            (100.0, 1, 0, 0, 0),
            (100.0, 8, 10, 500, 10),
            (100.0, 0, 10, 500, 50),
        ] {
            let size = lease_size(rate(per_second), shards, wanted, sendable);
            assert_eq!(size, slots, "{per_second} {shards} {wanted} {sendable}");
        }
    }

    #[test]
    fn the_next_slots_are_reserved_before_the_current_ones_run_out() {
        let mut leases = Leases::new(1);
        assert_eq!(leases.take(10), None);
        leases.go_on_with(lease(1_000, 25));
        assert_eq!(leases.take(10), Some(1_000));
        assert_eq!(leases.short_of(rate(100.0), 10, 100), None, "15 are left");
        assert_eq!(leases.take(10), Some(101_000));
        assert_eq!(leases.short_of(rate(100.0), 10, 90), Some(50), "5 are left");
        assert_eq!(leases.short_of(rate(100.0), 10, 10), None, "no entry is left");
        leases.put_by(lease(900_000, 50));
        assert_eq!(leases.short_of(rate(100.0), 10, 90), None);
        assert_eq!(leases.take(10), Some(900_000));
    }

    #[test]
    fn slots_that_do_not_suffice_for_a_call_are_let_go() {
        let mut leases = Leases::new(1);
        leases.go_on_with(lease(1_000, 5));
        leases.put_by(lease(2_000, 5));
        assert_eq!(leases.take(10), None);
        assert_eq!(leases, Leases::new(1));
        leases.go_on_with(None);
        assert_eq!(leases.take(10), None, "the first slot is too late");
    }

    #[test]
    fn a_slow_account_makes_small_calls_and_reads_little_ahead() {
        assert_eq!(Pace::of(rate(14.0)), Pace { call_size: 14, ahead: 42 });
        assert_eq!(Pace::of(rate(0.2)), Pace { call_size: 1, ahead: 0 });
        assert_eq!(Pace::of(rate(5_000.0)), Pace { call_size: 50, ahead: 15_000 });
    }
}
