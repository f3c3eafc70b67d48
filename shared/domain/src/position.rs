//! Places in a product's waitlist: ULIDs (<https://github.com/ulid/spec>), ordered by time and
//! unique by their random part.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// A place in a waitlist; also what a bound and a committed offset are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Position(Ulid);

/// A text that is not a position: 26 characters of Crockford's base 32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position: expected 26 Crockford base-32 characters")]
pub struct NotAPosition;

impl Position {
    /// Before every position that is ever given out.
    pub const START: Self = Self(Ulid(0));

    /// After every position that is ever given out.
    pub const END: Self = Self(Ulid(u128::MAX));

    /// The position of a subscriber who asks at `now_ms` (Unix milliseconds); of `random` the low
    /// 80 bits count.
    pub const fn new(now_ms: u64, random: u128) -> Self {
        Self(Ulid::from_parts(now_ms, random))
    }

    /// A position for a subscriber who asks at `now_ms` and must stand past `bound`, whatever this
    /// clock says. Where the clock is behind the bound, 64 random bits keep two such places apart.
    pub fn past(bound: Option<Self>, now_ms: u64, random: u128) -> Self {
        let asked = Self::new(now_ms, random);
        match bound {
            Some(bound) if asked <= bound => {
                let step = 1 + (random & u128::from(u64::MAX));
                Self(Ulid(bound.0.0.saturating_add(step)))
            }
            _ => asked,
        }
    }

    /// The least place after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(Ulid(self.0.0.saturating_add(1)))
    }

    /// When its holder asked, in Unix milliseconds; or, where it was moved past a bound by a clock
    /// behind it, the time of that bound.
    pub const fn time_ms(self) -> u64 {
        self.0.timestamp_ms()
    }

    /// Its 16 bytes, which sort as it does.
    pub const fn to_bytes(self) -> [u8; 16] {
        self.0.0.to_be_bytes()
    }

    /// Reads what [`Position::to_bytes`] gave.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Ulid(u128::from_be_bytes(bytes)))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Position {
    type Err = NotAPosition;
    fn from_str(text: &str) -> Result<Self, NotAPosition> {
        // The first of 26 characters holds three bits; more would overflow.
        if text.len() != 26 || !matches!(text.as_bytes().first(), Some(b'0'..=b'7')) {
            return Err(NotAPosition);
        }
        Ulid::from_string(text).map(Self).map_err(|_| NotAPosition)
    }
}

impl TryFrom<String> for Position {
    type Error = NotAPosition;
    fn try_from(text: String) -> Result<Self, NotAPosition> {
        text.parse()
    }
}

impl From<Position> for String {
    fn from(position: Position) -> Self {
        position.to_string()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_text_of_positions_sorts_as_they_do(a: u128, b: u128) {
            let (a, b) = (Position(Ulid(a)), Position(Ulid(b)));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
            prop_assert_eq!(a.to_string().parse::<Position>().unwrap(), a);
        }

        #[test]
        fn a_place_past_a_bound_is_past_it_whatever_the_clock_says(
            bound in 0..u128::MAX - u128::from(u64::MAX) - 1, now in 0u64..1 << 48, random: u128,
        ) {
            let bound = Position(Ulid(bound));
            prop_assert!(Position::past(Some(bound), now, random) > bound);
            prop_assert_eq!(Position::past(None, now, random), Position::new(now, random));
            prop_assert_eq!(Position::new(now, random).time_ms(), now);
        }

        #[test]
        fn who_asks_later_stands_later(now in 0u64..(1 << 48) - 1, a: u128, b: u128) {
            prop_assert!(Position::new(now, a) < Position::new(now + 1, b));
        }

        #[test]
        fn any_text_is_read_or_refused_without_panic(text in "\\PC{0,30}") {
            let _ = text.parse::<Position>();
        }
    }

    #[test]
    fn two_who_are_moved_past_one_bound_by_slow_clocks_do_not_meet() {
        let bound = Some(Position::new(2_000, 7));
        assert_ne!(Position::past(bound, 1_000, 1), Position::past(bound, 1_000, 2));
    }

    #[test]
    fn what_is_no_position_is_refused() {
        for text in ["", "0", "81ARYZ6S41TSV4RRFFQ69G5FAV", "0!ARYZ6S41TSV4RRFFQ69G5FAV"] {
            assert!(text.parse::<Position>().is_err(), "{text}");
        }
    }
}
