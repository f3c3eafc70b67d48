#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::rules::Rules;

fn rules(value: Value) -> Rules {
    Rules::read(&value).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_window_is_open_by_the_clocks_of_its_zone() {
    const DAY: (&str, &str, &str) = ("08:00", "20:00", "Europe/Berlin");
    const NIGHT: (&str, &str, &str) = ("20:00", "08:00", "Europe/Berlin");
    const SKIPPED: (&str, &str, &str) = ("02:15", "02:45", "Europe/Berlin");
    const HALF_SKIPPED: (&str, &str, &str) = ("02:30", "04:00", "Europe/Berlin");
    for ((from, to, zone), now, opens, closes) in [
        (DAY, "2026-11-23T06:59:59Z", "2026-11-23T07:00:00Z", "2026-11-23T19:00:00Z"),
        (DAY, "2026-11-23T07:00:00Z", "2026-11-23T07:00:00Z", "2026-11-23T19:00:00Z"),
        (DAY, "2026-11-23T18:59:59.9Z", "2026-11-23T18:59:59.9Z", "2026-11-23T19:00:00Z"),
        (DAY, "2026-11-23T19:00:00Z", "2026-11-24T07:00:00Z", "2026-11-24T19:00:00Z"),
        // Over midnight: open before it and after it.
        (NIGHT, "2026-11-23T23:30:00Z", "2026-11-23T23:30:00Z", "2026-11-24T07:00:00Z"),
        (NIGHT, "2026-11-24T05:00:00Z", "2026-11-24T05:00:00Z", "2026-11-24T07:00:00Z"),
        (NIGHT, "2026-11-24T07:00:00Z", "2026-11-24T19:00:00Z", "2026-11-25T07:00:00Z"),
        (("18:00", "00:00", "UTC"), "2026-11-24T03:00:00Z", "2026-11-24T18:00:00Z", "2026-11-25T00:00:00Z"),
        // The clocks go forward on 29 March 2026 at 01:00Z, and back on 25 October at 01:00Z.
        (DAY, "2026-03-28T22:00:00Z", "2026-03-29T06:00:00Z", "2026-03-29T18:00:00Z"),
        (DAY, "2026-10-24T22:00:00Z", "2026-10-25T07:00:00Z", "2026-10-25T19:00:00Z"),
        (NIGHT, "2026-03-28T20:00:00Z", "2026-03-28T20:00:00Z", "2026-03-29T06:00:00Z"),
        (HALF_SKIPPED, "2026-03-28T22:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"),
        (SKIPPED, "2026-03-28T22:00:00Z", "2026-03-30T00:15:00Z", "2026-03-30T00:45:00Z"),
        // Shown twice, it opens the first time only.
        (SKIPPED, "2026-10-25T00:00:00Z", "2026-10-25T00:15:00Z", "2026-10-25T00:45:00Z"),
        (SKIPPED, "2026-10-25T01:20:00Z", "2026-10-26T01:15:00Z", "2026-10-26T01:45:00Z"),
        // Samoa had no 30 December 2011.
        (
            ("08:00", "20:00", "Pacific/Apia"),
            "2011-12-30T08:00:00Z",
            "2011-12-30T18:00:00Z",
            "2011-12-31T06:00:00Z",
        ),
        (
            ("09:00", "17:00", "Asia/Kathmandu"),
            "2026-11-23T00:00:00Z",
            "2026-11-23T03:15:00Z",
            "2026-11-23T11:15:00Z",
        ),
    ] {
        let rules = rules(json!({"window": {"from": from, "to": to, "zone": zone}}));
        let found = (rules.opens(at(now)), rules.closes(at(now)));
        assert_eq!(found, (at(opens), Some(at(closes))), "{from} to {to} in {zone} at {now}");
    }
}

#[test]
fn without_a_window_it_is_always_open() {
    let now = at("2026-11-23T03:00:00Z");
    assert_eq!((Rules::default().opens(now), Rules::default().closes(now)), (now, None));
    // One that cannot be told keeps nobody waiting for ever.
    let unknown =
        Window { from: "08:00".to_owned(), to: "20:00".to_owned(), zone: "Europe/Nowhere".to_owned() };
    let unknown = Rules { window: Some(unknown), ..Rules::default() };
    assert_eq!((unknown.opens(now), unknown.closes(now)), (now, None));
    let ends = rules(json!({"window": {"from": "08:00", "to": "20:00", "zone": "UTC"}}));
    for end in [Timestamp::MAX, Timestamp::MIN] {
        assert!(ends.opens(end) >= end);
    }
}

proptest! {
    #[test]
    fn a_window_opens_within_two_days_and_is_open_from_then_until_it_closes(
        from in 0u32..1_440, length in 1u32..1_440, second in 1_700_000_000i64..1_900_000_000, zone in 0usize..5,
    ) {
        let zones = ["Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Asia/Tokyo", "America/New_York"];
        let text = |minute: u32| format!("{:02}:{:02}", minute / 60 % 24, minute % 60);
        let window = json!({"from": text(from), "to": text(from + length), "zone": zones[zone]});
        let rules = rules(json!({"window": window}));
        let now = Timestamp::from_second(second).unwrap();
        let (opens, closes) = (rules.opens(now), rules.closes(now).unwrap());
        prop_assert!(now <= opens && opens < closes);
        prop_assert!(opens.duration_since(now).as_hours() <= 49);
        prop_assert_eq!((rules.opens(opens), rules.closes(opens)), (opens, Some(closes)));
        prop_assert!(rules.opens(closes) >= closes);
    }
}
