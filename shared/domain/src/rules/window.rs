//! The hours of the day at which emails go out, in the wall-clock time of a zone.

use jiff::Timestamp;
use jiff::civil::{DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::Serialize;
use serde_json::Value;

use crate::fields::{Fields, Invalid};

#[cfg(test)]
mod tests;

const ACCEPTED: &str = r#"an object such as {"from":"08:00","to":"20:00","zone":"Europe/Berlin"}"#;
const ACCEPTED_TIME: &str = "a time of day from 00:00 to 23:59, such as 08:00";
const ACCEPTED_END: &str = "a time of day from 00:00 to 23:59, such as 20:00, other than `from`";
const ACCEPTED_ZONE: &str = "an IANA time zone, such as Europe/Berlin";
/// How many days are looked at for the next opening. A change of the clocks or of the date line can skip one.
const DAYS: usize = 7;

/// Hours of the day in a time zone. It opens once on every day on which it is not skipped by a change of the clocks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// From this time of day, `08:00`.
    pub from: String,
    /// Up to this one, `20:00`; where it is not after `from`, that of the next day.
    pub to: String,
    /// An IANA time zone, such as `Europe/Berlin`.
    pub zone: String,
}

/// Reads the field `rules.window`.
pub(super) fn read(value: &Value) -> Result<Window, Invalid> {
    const WINDOW: &str = "rules.window";
    let fields = Fields::of(value, WINDOW).map_err(|invalid| Invalid { accepted: ACCEPTED, ..invalid })?;
    let known = |name: &String| ["from", "to", "zone"].contains(&name.as_str());
    if value.as_object().is_some_and(|object| !object.keys().all(known)) {
        return Err(Invalid::new(WINDOW, "has a field that is not known", ACCEPTED));
    }
    let text = |name, field, accepted| {
        fields.required_text(name, accepted).map_err(|invalid| Invalid { field, ..invalid })
    };
    let from = text("from", "rules.window.from", ACCEPTED_TIME)?;
    let to = text("to", "rules.window.to", ACCEPTED_END)?;
    let zone = text("zone", "rules.window.zone", ACCEPTED_ZONE)?;
    let refuse = |field, accepted| Invalid::new(field, "is no time of day", accepted);
    time(from).ok_or_else(|| refuse("rules.window.from", ACCEPTED_TIME))?;
    time(to).ok_or_else(|| refuse("rules.window.to", ACCEPTED_END))?;
    if from == to {
        return Err(Invalid::new("rules.window.to", "is the same as `from`", ACCEPTED_END));
    }
    let zone = known_zone(zone)
        .and_then(|zone| zone.iana_name().map(str::to_owned))
        .ok_or_else(|| Invalid::new("rules.window.zone", "is not known", ACCEPTED_ZONE))?;
    Ok(Window { from: from.to_owned(), to: to.to_owned(), zone })
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |digits: &str| {
        let two = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_digit());
        two.then(|| digits.parse::<i8>().ok()).flatten()
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

fn known_zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().filter(|zone| !zone.is_unknown())
}

impl Window {
    /// From when to when it is open next: from `now`, where it is open. `None` where it cannot be told: its zone is not
    /// known, or time ends.
    pub(super) fn next(&self, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let (zone, from, to) = (known_zone(&self.zone)?, time(&self.from)?, time(&self.to)?);
        // Over midnight, the one that opened yesterday may be open.
        let mut day = zone.to_datetime(now).date().yesterday().ok()?;
        for _ in 0..DAYS {
            let tomorrow = day.tomorrow().ok()?;
            let opens = reached(&zone, day.to_datetime(from))?;
            let last = if to > from { day } else { tomorrow };
            let closes = reached(&zone, last.to_datetime(to))?;
            if opens < closes && now < closes {
                return Some((opens.max(now), closes));
            }
            day = tomorrow;
        }
        None
    }
}

/// When the clocks of a zone show this or more for the first time: where they are put back, the earlier of the two; where
/// they are put forward over it, that moment.
fn reached(zone: &TimeZone, wall: DateTime) -> Option<Timestamp> {
    let shown = zone.to_ambiguous_timestamp(wall);
    let is_skipped = matches!(shown.offset(), AmbiguousOffset::Gap { .. });
    let earlier = shown.earlier().ok()?;
    if is_skipped {
        return zone.following(earlier).next().map(|change| change.timestamp());
    }
    Some(earlier)
}
