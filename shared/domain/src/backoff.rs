//! The growing pause between two tries. No dice inside: a random part is made of bits that the caller hands in.

use std::time::Duration;

/// The steps of a random part.
const STEPS: u32 = 1_024;

/// A pause that doubles with each failure, so many times at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    doublings: u32,
}

impl Backoff {
    /// The pause after the first failure, and how often a further one doubles it.
    pub const fn new(first: Duration, doublings: u32) -> Self {
        Self { first, doublings }
    }

    /// The pause after so many failures in a row; none after none.
    pub fn after(self, failures: u32) -> Duration {
        match failures.checked_sub(1) {
            Some(further) => {
                self.first.saturating_mul(1_u32.checked_shl(further.min(self.doublings)).unwrap_or(u32::MAX))
            }
            None => Duration::ZERO,
        }
    }

    /// The same, from half of it to one and a half, so that callers that got in each other's way do not meet again.
    pub fn jittered(self, failures: u32, random: u128) -> Duration {
        let pause = self.after(failures);
        let steps = u32::try_from(random % u128::from(STEPS + 1)).unwrap_or_default();
        (pause / 2).saturating_add((pause / STEPS).saturating_mul(steps))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSES: Backoff = Backoff::new(Duration::from_millis(16), 4);

    #[test]
    fn each_pause_is_twice_the_one_before_up_to_a_limit() {
        for (failures, ms) in [(0, 0), (1, 16), (2, 32), (4, 128), (5, 256), (6, 256), (u32::MAX, 256)] {
            assert_eq!(PAUSES.after(failures), Duration::from_millis(ms), "{failures}");
        }
    }

    #[test]
    fn a_random_part_keeps_the_pause_between_half_of_it_and_one_and_a_half() {
        for (failures, least, most) in [(0, 0, 0), (1, 8, 24), (5, 128, 384), (9, 128, 384)] {
            let pause = |random| PAUSES.jittered(failures, random);
            let expected = (Duration::from_millis(least), Duration::from_millis(most));
            assert_eq!((pause(0), pause(u128::from(STEPS))), expected, "{failures}");
            assert!((0..=u128::from(STEPS)).map(pause).is_sorted(), "{failures}");
            assert!(pause(u128::MAX) <= expected.1, "{failures}");
        }
    }

    #[test]
    fn no_number_of_doublings_overflows() {
        assert_eq!(Backoff::new(Duration::MAX, 99).after(u32::MAX), Duration::MAX);
    }
}
