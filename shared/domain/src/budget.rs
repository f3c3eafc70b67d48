//! The send budget: SES takes so many recipients per second from an account, and says nothing of
//! when to come back. So slots are reserved before a call, by moving one theoretical arrival time
//! (GCRA, ITU-T I.371): the worker that moves it knows when to send, without polling or a coordinator.

/// Recipients per second.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// A rate above 0 and up to a million a second.
    pub fn new(per_second: f64) -> Option<Self> {
        (per_second > 0.0 && per_second <= 1_000_000.0).then_some(Self(per_second))
    }

    /// Recipients per second.
    pub fn per_second(self) -> f64 {
        self.0
    }

    /// How far `recipients` move the arrival time, in microseconds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive, and far below 2^63"
    )]
    pub fn cost_us(self, recipients: usize) -> u64 {
        (recipients as f64 * 1_000_000.0 / self.0).ceil() as u64
    }

    /// The most recipients of one call: about a second's worth, so that a slow account is not
    /// kept in debt by one call, and never more than `most`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a million")]
    pub fn call_size(self, most: usize) -> usize {
        (self.0 as usize).clamp(1, most)
    }

    /// The rate at `now_us` after it was cut to `cut` at `cut_us`: it comes back to itself in a
    /// straight line over [`RECOVERY_US`].
    pub fn recovering(self, cut: Option<Cut>, now_us: u64) -> Self {
        let Some(cut) = cut else { return self };
        let passed = now_us.saturating_sub(cut.at_us).min(RECOVERY_US) as f64 / RECOVERY_US as f64;
        let from = cut.to.0.min(self.0);
        Self(from + (self.0 - from) * passed)
    }

    /// The rate after a throttle of this share of a call, 0 to 1: that share less, at most half,
    /// and at least one a second (or the rate itself where that is less).
    #[must_use]
    pub fn cut_by(self, share: f64) -> Self {
        Self((self.0 * (1.0 - share).max(0.5)).max(1.0).min(self.0))
    }

    /// The rate that is left where this share of it, 0 to 1, is kept for other email.
    #[must_use]
    pub fn without(self, share: f64) -> Self {
        Self(self.0 * (1.0 - share))
    }
}

/// How long a rate that was cut takes to come back, in microseconds: two minutes.
pub const RECOVERY_US: u64 = 120_000_000;

/// A throttle's mark: the rate was cut to this, then.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cut {
    /// What it was cut to.
    pub to: Rate,
    /// When, in Unix microseconds.
    pub at_us: u64,
}

/// Slots that were reserved together: the first recipient may go at `start_us`, each further one
/// `1 / rate` later.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lease {
    start_us: u64,
    rate: Rate,
    left: usize,
}

impl Lease {
    /// The lease of `slots`, given the arrival time before it was moved.
    pub fn new(arrival_us: u64, now_us: u64, rate: Rate, slots: usize) -> Self {
        Self { start_us: arrival_us.max(now_us), rate, left: slots }
    }

    /// Takes `slots` of it and says when (Unix microseconds) the call for them may go; `None`
    /// where fewer are left.
    pub fn take(&mut self, slots: usize) -> Option<u64> {
        self.left = self.left.checked_sub(slots)?;
        let at = self.start_us;
        self.start_us += self.rate.cost_us(slots);
        Some(at)
    }

    /// How many slots are left.
    pub fn left(&self) -> usize {
        self.left
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn calls_shrink_where_the_rate_is_low() {
        assert_eq!(Rate::new(14.0).unwrap().call_size(50), 14);
        assert_eq!(Rate::new(0.5).unwrap().call_size(50), 1);
        assert_eq!(Rate::new(5_000.0).unwrap().call_size(50), 50);
        assert!(Rate::new(0.0).is_none() && Rate::new(f64::NAN).is_none());
    }

    #[test]
    fn a_refused_call_halves_the_rate_and_one_that_is_throttled_in_part_takes_that_part() {
        let rate = Rate::new(100.0).unwrap();
        assert_eq!(rate.cut_by(1.0).per_second(), 50.0);
        assert_eq!(rate.cut_by(0.02).per_second(), 98.0);
        assert_eq!(Rate::new(1.5).unwrap().cut_by(1.0).per_second(), 1.0);
        assert_eq!(Rate::new(0.5).unwrap().cut_by(1.0).per_second(), 0.5);
    }

    #[test]
    fn a_cut_rate_comes_back_slowly() {
        let rate = Rate::new(100.0).unwrap();
        let cut = Some(Cut { to: rate.cut_by(1.0), at_us: 0 });
        assert_eq!(rate.recovering(cut, 0).per_second(), 50.0);
        assert_eq!(rate.recovering(cut, RECOVERY_US / 2).per_second(), 75.0);
        assert_eq!(rate.recovering(cut, RECOVERY_US * 9).per_second(), 100.0);
    }

    proptest! {
        /// Whatever workers reserve in whatever sizes, no second sees more than its rate and one
        /// call, and a busy budget leaves no gap.
        #[test]
        fn reserved_slots_keep_the_rate_and_leave_no_gap(
            per_second in 1.0f64..5_000.0, sizes in prop::collection::vec(1usize..=50, 1..200),
        ) {
            let rate = Rate::new(per_second).unwrap();
            let (mut arrival, now) = (0_u64, 1_000_000);
            let mut sent: Vec<(u64, usize)> = vec![];
            for size in sizes {
                let mut lease = Lease::new(arrival, now, rate, size);
                let at = lease.take(size).unwrap();
                prop_assert_eq!(lease.take(1), None);
                if let Some((before, count)) = sent.last() {
                    prop_assert_eq!(at, before + rate.cost_us(*count), "no gap and no overlap");
                }
                arrival = at + rate.cost_us(size);
                sent.push((at, size));
            }
            for (start, _) in &sent {
                let within: usize = sent.iter().filter(|(at, _)| at >= start && *at < start + 1_000_000).map(|(_, n)| n).sum();
                prop_assert!(within as f64 <= per_second + 50.0);
            }
        }
    }
}
