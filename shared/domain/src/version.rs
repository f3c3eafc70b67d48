//! The order of a product's stock updates.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::record::Record;

/// How much later than its record an update may claim to have happened and still be taken for one with a clock that is
/// ahead, or in another zone, rather than for one whose record has a wrong time.
const ZONE: SignedDuration = SignedDuration::from_hours(24);

/// The order of a product's updates: when each happened, then where its record lies. Kept as a
/// text that sorts as it does, because the table compares it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

/// Where the record of an update lies in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Place {
    /// The partition; below zero where it is not known.
    pub partition: i64,
    /// The offset; below zero where it is not known.
    pub offset: i64,
}

impl Place {
    /// The place of a record.
    pub fn of(record: &Record) -> Self {
        Self { partition: record.partition, offset: record.offset }
    }
}

impl Version {
    /// The version of an update whose sender says that it happened at `said_at`, and whose record was `written_at`; `None`
    /// where no time is to be believed, and the update [follows](Version::following) what is recorded.
    ///
    /// A time that has not come by `now` is not believed: an update that claims to be from the future would otherwise
    /// make each one until then look stale, and its restocks would be lost. Such an update has the time of its record,
    /// which is the same at each delivery. Where that has not come either, the update has no time, rather than `now`: an
    /// update that lies behind it in the topic, and says truthfully that it happened before `now`, would be lost.
    pub fn new(
        said_at: Option<Timestamp>,
        written_at: Option<Timestamp>,
        now: Timestamp,
        place: Place,
    ) -> Option<Self> {
        let written = written_at.filter(|written| *written <= now);
        let at = match (said_at, written) {
            // Nothing happens after it was written down, by whatever clock; as long as the record's is to be believed.
            (Some(at), Some(written)) if at > now || (at > written && at.duration_since(written) < ZONE) => {
                written
            }
            (Some(at), _) if at > now => return None,
            (Some(at), _) => at,
            (None, written) => written?,
        };
        Some(Self::at_micros(at.as_microsecond(), place))
    }

    /// The version of an update without a time of its own: it happened right after what is recorded, `known`.
    pub fn following(known: Option<&Self>, place: Place) -> Self {
        let after = known.and_then(Self::micros).map_or(0, |micros| micros.saturating_add(1));
        Self::at_micros(after, place)
    }

    fn at_micros(micros: i64, place: Place) -> Self {
        // 17 digits hold microseconds until the year 5138.
        Self(format!("{:017}-{:06}-{:020}", micros.max(0), place.partition.max(0), place.offset.max(0)))
    }

    /// When the update happened, as far as that was known; `None` for one without a time that follows nothing.
    pub fn at(&self) -> Option<Timestamp> {
        const SECOND: i64 = 1_000_000;
        Timestamp::from_microsecond(self.micros().filter(|micros| *micros >= SECOND)?).ok()
    }

    /// Whether both happened in one microsecond.
    pub(crate) fn is_of_the_time_of(&self, other: &Self) -> bool {
        self.micros() == other.micros()
    }

    fn micros(&self) -> Option<i64> {
        self.0.split_once('-')?.0.parse().ok()
    }

    /// The text that sorts as versions do.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use proptest::prelude::*;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn place(offset: i64) -> Place {
        Place { partition: 0, offset }
    }

    #[test]
    fn versions_sort_by_time_then_by_offset() {
        let version = |said, offset| Version::new(Some(at(said)), None, at(1_000), place(offset)).unwrap();
        assert!(version(10, 9) < version(11, 1));
        assert!(version(10, 9) < version(10, 10));
        assert_eq!(version(10, 9), version(10, 9));
    }

    #[test]
    fn a_time_that_has_not_come_is_not_believed() {
        const DAY: i64 = 86_400;
        let (now, year) = (at(1_000 * DAY), 365 * DAY);
        for (said, written, expected) in [
            // As it is said, where that can be.
            (Some(500 * DAY), Some(1_000 * DAY), Some(500 * DAY)),
            (Some(500 * DAY), None, Some(500 * DAY)),
            // From the future: when its record was written, which does not change with the reader's clock.
            (Some(1_000 * DAY + year), Some(1_000 * DAY - 9), Some(1_000 * DAY - 9)),
            (Some(1_000 * DAY + 30), Some(1_000 * DAY - 9), Some(1_000 * DAY - 9)),
            (Some(1_000 * DAY - 3), Some(1_000 * DAY - 9), Some(1_000 * DAY - 9)),
            // And none, where that has not come either, or is not known.
            (Some(1_000 * DAY + year), Some(1_000 * DAY + year), None),
            (Some(1_000 * DAY + 1), None, None),
            (None, Some(1_000 * DAY + 1), None),
            (None, None, None),
            (None, Some(1_000 * DAY - 1), Some(1_000 * DAY - 1)),
            // A record from a clock that was never set says nothing about its update.
            (Some(500 * DAY), Some(DAY), Some(500 * DAY)),
        ] {
            let version = Version::new(said.map(at), written.map(at), now, place(0));
            assert_eq!(
                version.map(|version| version.at().unwrap()),
                expected.map(at),
                "{said:?} {written:?}"
            );
        }
    }

    #[test]
    fn an_update_without_a_time_follows_what_is_recorded_and_keeps_back_nothing_that_is_true() {
        let known = Version::new(Some(at(10)), None, at(20), place(7)).unwrap();
        let ahead = Version::following(Some(&known), place(3));
        assert!(known < ahead);
        // It was read at 20, and the update behind it happened at 11.
        assert!(ahead < Version::new(Some(at(11)), None, at(20), place(4)).unwrap());
        assert!(Version::following(None, place(0)) < known);
    }

    proptest! {
        #[test]
        fn no_version_is_later_than_now(said: Option<u32>, written: Option<u32>, now: u32) {
            let time = |seconds: u32| at(i64::from(seconds));
            let version = Version::new(said.map(time), written.map(time), time(now), place(0));
            prop_assert!(version.and_then(|version| version.at()).is_none_or(|at| at <= time(now)));
        }

        #[test]
        fn what_follows_is_later(micros in 0..i64::MAX / 100, offset: u32) {
            let known = Version::at_micros(micros, place(i64::MAX));
            prop_assert!(known < Version::following(Some(&known), place(offset.into())));
        }
    }
}
