//! How often something may be done: so many times at once, then once in so much time. What is kept of each source, address or
//! product is one theoretical arrival time (GCRA, ITU-T I.371), as the [send budget](crate::budget) keeps of a sender; it
//! only grows, so a refusal stands until the time that it names, whoever else comes meanwhile.

use std::str::FromStr;

/// What a limit may be, as refusals say it.
pub const ACCEPTED_LIMIT: &str = "BURST/TIME, such as 10/30s: ten at once, then one every 30 seconds; 1 to 1000000, and a time in ms, s, m or h of at most 24h";

const MOST_BURST: u32 = 1_000_000;
const LONGEST_US: u64 = 24 * 3_600_000_000;

/// `burst` at once, then one per `interval`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    burst: u32,
    interval_us: u64,
}

impl Limit {
    /// One of `burst` at once, and of one in `interval_us` microseconds; `None` where either is nothing or more than
    /// [`ACCEPTED_LIMIT`] says.
    pub fn new(burst: u32, interval_us: u64) -> Option<Self> {
        let fits = (1..=MOST_BURST).contains(&burst) && (1..=LONGEST_US).contains(&interval_us);
        fits.then_some(Self { burst, interval_us })
    }

    /// How far one use moves the arrival time, in microseconds.
    pub fn cost_us(self) -> u64 {
        self.interval_us
    }

    /// The latest arrival time at which one more is allowed at `now_us`.
    pub fn latest_us(self, now_us: u64) -> u64 {
        now_us.saturating_add(self.slack_us())
    }

    /// From when on one more is allowed, given the arrival time.
    pub fn open_us(self, arrival_us: u64) -> u64 {
        arrival_us.saturating_sub(self.slack_us())
    }

    /// From when on an arrival time that was moved at `now_us` says nothing any more, in Unix seconds.
    pub fn forgotten(self, now_us: u64) -> i64 {
        let full_us = self.latest_us(now_us).saturating_add(self.interval_us);
        i64::try_from(full_us.div_ceil(1_000_000)).unwrap_or(i64::MAX)
    }

    fn slack_us(self) -> u64 {
        u64::from(self.burst - 1).saturating_mul(self.interval_us)
    }
}

impl FromStr for Limit {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        parse(text.trim()).ok_or(ACCEPTED_LIMIT)
    }
}

fn parse(text: &str) -> Option<Limit> {
    let (burst, time) = text.split_once('/')?;
    let digits = time.bytes().take_while(u8::is_ascii_digit).count();
    let (count, unit) = time.split_at(digits);
    let unit_us: u64 = match unit {
        "ms" => 1_000,
        "s" => 1_000_000,
        "m" => 60_000_000,
        "h" => 3_600_000_000,
        _ => return None,
    };
    Limit::new(burst.parse().ok()?, count.parse::<u64>().ok()?.checked_mul(unit_us)?)
}

/// For how many seconds a refusal stands that ends at `open_us`, as `Retry-After` says it: at least one.
pub fn retry_after(open_us: u64, now_us: u64) -> u32 {
    let seconds = open_us.saturating_sub(now_us).div_ceil(1_000_000).max(1);
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_limit_is_read_in_one_form_and_in_no_other() {
        for (text, burst, interval_us) in [
            ("10/30s", 10, 30_000_000),
            ("3/3m", 3, 180_000_000),
            ("300/50ms", 300, 50_000),
            ("1/1h", 1, 3_600_000_000),
            (" 1000000/24h ", 1_000_000, LONGEST_US),
        ] {
            assert_eq!(text.parse(), Ok(Limit { burst, interval_us }), "{text}");
        }
        for text in [
            "",
            "10",
            "10/",
            "/30s",
            "10/s",
            "10/30",
            "0/30s",
            "10/0s",
            "10/25h",
            "1000001/1s",
            "-1/30s",
            "10/-30s",
            "10/1.5s",
            "10/30 s",
            "10/30s/2",
            "20ps",
            "10/99999999999999999999s",
            "10/9999999999999999999h",
            "10/30S",
        ] {
            assert_eq!(text.parse::<Limit>(), Err(ACCEPTED_LIMIT), "{text}");
        }
    }

    #[test]
    fn a_retry_is_told_in_whole_seconds_and_never_at_once() {
        for (open_us, now_us, seconds) in
            [(5, 9, 1), (1_000_000, 0, 1), (1_000_001, 0, 2), (30_000_000, 1, 30), (u64::MAX, 0, u32::MAX)]
        {
            assert_eq!(retry_after(open_us, now_us), seconds, "{open_us} {now_us}");
        }
    }

    /// One use at `now_us`, as the table does it: the new arrival time, or from when on one more is allowed.
    fn take(limit: Limit, arrival_us: u64, now_us: u64) -> Result<u64, u64> {
        if arrival_us > limit.latest_us(now_us) {
            return Err(limit.open_us(arrival_us));
        }
        Ok(arrival_us.max(now_us) + limit.cost_us())
    }

    proptest! {
        /// In no stretch of time there is more than the burst and what its length allows, and a refusal ends exactly when
        /// it says.
        #[test]
        fn no_more_is_allowed_than_the_burst_and_the_rate_and_a_refusal_says_how_long_it_stands(
            burst in 1_u32..20, interval_us in 1_u64..5_000, pauses in prop::collection::vec(0_u64..4_000, 1..200),
        ) {
            let limit = Limit::new(burst, interval_us).unwrap();
            let (mut arrival, mut now, mut taken) = (0, 1_000_000, vec![]);
            for pause in pauses {
                now += pause;
                match take(limit, arrival, now) {
                    Ok(next) => {
                        arrival = next;
                        taken.push(now);
                        prop_assert!(limit.forgotten(now) as u64 * 1_000_000 >= arrival);
                    }
                    Err(open) => {
                        prop_assert!(open > now);
                        prop_assert!(take(limit, arrival, open - 1).is_err());
                        prop_assert!(take(limit, arrival, open).is_ok());
                    }
                }
            }
            for (index, from) in taken.iter().enumerate() {
                for (more, to) in taken[index..].iter().enumerate() {
                    prop_assert!(more as u64 <= u64::from(burst) + (to - from) / interval_us);
                }
            }
        }
    }
}
