//! How answers look: times, aligned columns, and a subscriber as a short hash.

use std::fmt::Display;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use domain::PersonId;
use jiff::Timestamp;
use serde::Serialize;

use crate::console::say;

/// A time in Unix milliseconds, in RFC 3339; one that is out of range is shown as the last there is.
pub(super) fn at(ms: u64) -> Timestamp {
    i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or(Timestamp::MAX)
}

/// A time for people: `2026-11-23T09:30:00Z, 3 min ago`.
pub(super) fn when(time: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second() - time.as_second();
    format!("{}, {}", Timestamp::from_second(time.as_second()).unwrap_or(time), ago(seconds))
}

fn ago(seconds: i64) -> String {
    let (size, unit) = match seconds.unsigned_abs() {
        0 => return "just now".to_owned(),
        s @ 1..120 => (s, "s"),
        s @ 120..7_200 => (s / 60, "min"),
        s @ 7_200..172_800 => (s / 3_600, "h"),
        s => (s / 86_400, "days"),
    };
    if seconds > 0 { format!("{size} {unit} ago") } else { format!("in {size} {unit}") }
}

/// The beginning of a subscriber's hash: enough to recognise one.
pub(super) fn hashed(subscriber: PersonId) -> String {
    subscriber.to_bytes().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a table whose first `left` columns are text and the others numbers.
pub(super) fn table(left: usize, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().copied());
    table.add_rows(rows);
    for (index, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if index >= left {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    say(table.trim_fmt());
}

/// Writes a list of named facts.
pub(super) fn facts(facts: &[(&str, String)]) {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    for (name, value) in facts {
        say(format_args!("{name:width$}  {value}"));
    }
}

/// Writes the one document of `--json`.
pub(super) fn json(document: &impl Serialize) -> anyhow::Result<()> {
    say(serde_json::to_string_pretty(document)?);
    Ok(())
}

/// A number for people, where more may be there than were counted.
pub(super) fn number(number: impl Display, whole: bool) -> String {
    if whole { number.to_string() } else { format!("{number}+") }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_time_is_said_in_full_and_by_how_long_ago_it_was() {
        let now: Timestamp = "2026-11-23T09:30:00.9Z".parse().unwrap();
        for (time, said) in [
            ("2026-11-23T09:30:00.1Z", "2026-11-23T09:30:00Z, just now"),
            ("2026-11-23T09:28:01Z", "2026-11-23T09:28:01Z, 119 s ago"),
            ("2026-11-23T09:27:00Z", "2026-11-23T09:27:00Z, 3 min ago"),
            ("2026-11-23T05:31:00Z", "2026-11-23T05:31:00Z, 3 h ago"),
            ("2026-11-20T09:30:00Z", "2026-11-20T09:30:00Z, 3 days ago"),
            ("2026-11-23T09:31:00Z", "2026-11-23T09:31:00Z, in 60 s"),
        ] {
            assert_eq!(when(time.parse().unwrap(), now), said);
        }
    }

    #[test]
    fn a_subscriber_is_shown_as_eight_digits_that_do_not_tell_the_address() {
        let hash = hashed(PersonId::from_bytes([0xab; 16]));
        assert_eq!(hash.len(), 8);
        assert!(hash == "abababab" && hash != hashed(PersonId::from_bytes([0; 16])), "{hash}");
    }
}
