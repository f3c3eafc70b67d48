#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::{Value, json};

use super::Availability::{Backorder, FewLeft, InStock, Preorder};
use super::*;

fn rules(value: Value) -> Rules {
    Rules::read(&value).unwrap()
}

/// How many of those who wait a wave tells.
fn told(rules: &Rules, units: u64, waiting: u64) -> u64 {
    rules.wave(InStock, Some(units)).map_or(waiting, |most| most.min(waiting))
}

#[test]
fn the_worked_examples_of_other_systems_come_out_as_they_say() {
    for (example, rule, waiting, waves) in [
        ("everybody", json!({}), 1_000, &[(80, 1_000)][..]),
        ("1 per unit, and a count before the next wave", json!({"perUnit": 1}), 1_000, &[(80, 80), (40, 40)]),
        (
            "5 per unit, nothing sold",
            json!({"perUnit": 5}),
            100,
            &[(5, 25), (5, 25), (5, 25), (5, 25), (5, 0)],
        ),
        ("2 per unit", json!({"perUnit": 2}), 500, &[(50, 100)]),
        ("people are units, half a day later fewer", json!({"perUnit": 1}), 100, &[(10, 10), (5, 5)]),
        ("a batch of 50", json!({"waveSize": 50}), 120, &[(3, 50), (3, 50), (3, 20)]),
        ("the smaller of both", json!({"waveSize": 50, "perUnit": 10}), 120, &[(3, 30), (9, 50), (1, 10)]),
        ("the reserve is none of it", json!({"reserve": 3, "perUnit": 1}), 100, &[(10, 7), (4, 1), (3, 0)]),
        ("part of a person is a person", json!({"perUnit": 0.1}), 100, &[(1, 1), (10, 1), (11, 2), (25, 3)]),
        ("so is part of a unit's", json!({"perUnit": 1.5}), 100, &[(1, 2), (2, 3), (3, 5)]),
    ] {
        let rule = rules(rule);
        let mut left = waiting;
        for (units, expected) in waves {
            let now = told(&rule, *units, left);
            assert_eq!(now, *expected, "{example}: {units} units, {left} wait");
            left -= now;
        }
    }
}

#[test]
fn four_waves_of_a_list_that_nobody_buys_from_end_after_three_intervals() {
    let rule = rules(json!({"perUnit": 5, "waveEvery": 3_600}));
    let waves = (0..).scan(100, |left, _| {
        let now = told(&rule, 5, *left);
        *left -= now;
        (now > 0).then_some(now)
    });
    let last = u32::try_from(waves.count() - 1).unwrap();
    assert_eq!(rule.wave_every() * last, Duration::from_hours(3));
    assert_eq!(Rules::default().wave_every(), Duration::from_hours(1));
}

#[test]
fn a_threshold_is_the_new_zero() {
    let at_five = rules(json!({"minStock": 5}));
    for (rule, said, units, in_stock) in [
        (&Rules::default(), InStock, Some(0), false),
        (&Rules::default(), InStock, Some(1), true),
        (&Rules::default(), FewLeft, None, true),
        (&at_five, InStock, Some(4), false),
        (&at_five, InStock, Some(5), true),
        (&at_five, FewLeft, Some(3), false),
        (&at_five, InStock, Some(6), true),
        (&at_five, InStock, None, true),
        (&rules(json!({"reserve": 3})), InStock, Some(3), false),
        (&rules(json!({"reserve": 3})), InStock, Some(4), true),
        (&rules(json!({"reserve": 3, "minStock": 5})), InStock, Some(7), false),
        (&rules(json!({"reserve": 3, "minStock": 5})), InStock, Some(8), true),
    ] {
        assert_eq!(rule.in_stock(said, units), in_stock, "{rule:?} {said:?} {units:?}");
    }
}

#[test]
fn what_can_be_ordered_ahead_counts_where_it_is_ruled_and_knows_no_waves_and_no_least() {
    let ahead =
        rules(json!({"sellable": "backorder", "minStock": 5, "reserve": 2, "perUnit": 1, "waveSize": 10}));
    let units = rules(json!({"sellable": "stock", "perUnit": 1}));
    for said in [Backorder, Preorder] {
        for quantity in [None, Some(0), Some(3)] {
            assert!(ahead.in_stock(said, quantity), "{said:?}");
            assert_eq!(ahead.wave(said, quantity), None);
            assert!(!units.in_stock(said, quantity) && !Rules::default().in_stock(said, quantity));
        }
    }
    assert!(!ahead.in_stock(InStock, Some(6)), "units still count by their own rules");
    assert_eq!(ahead.wave(FewLeft, Some(9)), Some(7));
}

#[test]
fn of_an_unknown_quantity_only_the_size_of_a_wave_is_known() {
    assert_eq!(rules(json!({"perUnit": 2, "reserve": 9})).wave(InStock, None), None);
    assert_eq!(rules(json!({"perUnit": 2, "waveSize": 7})).wave(InStock, None), Some(7));
}

#[test]
fn the_nearer_rules_hold_field_by_field() {
    let shop = rules(json!({"minStock": 2, "perUnit": 2, "waveSize": 10, "release": "manual"}));
    let product = rules(json!({"perUnit": 3, "waveSize": 20}));
    let update = rules(json!({"waveSize": 30, "release": "auto"}));
    assert_eq!(
        serde_json::to_value(Rules::in_force(&shop, &product, Some(&update))).unwrap(),
        json!({"minStock": 2, "perUnit": 3, "waveSize": 30, "release": "auto"})
    );
    assert_eq!(Rules::in_force(&shop, &Rules::default(), None), shop);
    assert!(shop.is_manual() && !update.is_manual() && Rules::default().is_empty());
}

#[test]
fn every_field_is_read_and_written_as_it_was_and_null_is_absent() {
    let whole = json!({
        "minStock": 5, "reserve": 0, "perUnit": 2.5, "waveSize": 500, "waveEvery": 1, "settle": 604_800, "cooldown": 0,
        "headStart": 0, "sellable": "backorder", "again": 1,
        "window": {"from": "08:00", "to": "20:00", "zone": "Europe/Berlin"}, "release": "manual",
    });
    let read = rules(whole.clone());
    assert_eq!(serde_json::to_value(&read).unwrap(), whole);
    assert_eq!(serde_json::from_value::<Rules>(whole.clone()).unwrap(), read);
    assert_eq!((read.settle(), read.head_start()), (Duration::from_hours(168), Duration::ZERO));

    let absent: serde_json::Map<String, Value> =
        whole.as_object().unwrap().keys().map(|name| (name.clone(), Value::Null)).collect();
    assert!(rules(absent.into()).is_empty());
    let written = |value: Value| serde_json::to_string(&rules(value)).unwrap();
    assert_eq!(written(json!({"perUnit": 2.0, "minStock": 5.0})), r#"{"minStock":5,"perUnit":2}"#);
    assert_eq!(
        rules(json!({"window": {"from": "20:00", "to": "08:00", "zone": "europe/berlin"}}))
            .window
            .unwrap()
            .zone,
        "Europe/Berlin"
    );
}

/// Rules that cannot be kept, and the field that a refusal names.
fn refused() -> Vec<(Value, &'static str)> {
    let window =
        |from: Value, to: Value, zone: Value| json!({"window": {"from": from, "to": to, "zone": zone}});
    let zone = || json!("Europe/Berlin");
    let (open, shut) = (json!("08:00"), json!("20:00"));
    vec![
        (json!("secret"), "rules"),
        (json!([]), "rules"),
        (json!({"minstock": 5}), "rules"),
        (json!({"secret@example.com": 5}), "rules"),
        (json!({"minStock": 0}), "rules.minStock"),
        (json!({"minStock": -1}), "rules.minStock"),
        (json!({"minStock": 1.5}), "rules.minStock"),
        (json!({"minStock": "secret"}), "rules.minStock"),
        (json!({"minStock": 9_007_199_254_740_992_u64}), "rules.minStock"),
        (json!({"reserve": -1}), "rules.reserve"),
        (json!({"perUnit": 0.09}), "rules.perUnit"),
        (json!({"perUnit": 1_000.1}), "rules.perUnit"),
        (json!({"perUnit": "1"}), "rules.perUnit"),
        (json!({"waveSize": 0}), "rules.waveSize"),
        (json!({"waveEvery": 0}), "rules.waveEvery"),
        (json!({"waveEvery": 604_801}), "rules.waveEvery"),
        (json!({"settle": 604_801}), "rules.settle"),
        (json!({"cooldown": 1}), "rules.cooldown"),
        (json!({"headStart": 0.5}), "rules.headStart"),
        (json!({"sellable": "secret"}), "rules.sellable"),
        (json!({"sellable": true}), "rules.sellable"),
        (json!({"again": 0}), "rules.again"),
        (json!({"again": 2}), "rules.again"),
        (json!({"release": "Auto"}), "rules.release"),
        (json!({"window": "08:00"}), "rules.window"),
        (json!({"window": {}}), "rules.window.from"),
        (
            json!({"window": {"from": "08:00", "to": "20:00", "zone": "UTC", "days": "secret"}}),
            "rules.window",
        ),
        (window(json!("8:00"), shut.clone(), zone()), "rules.window.from"),
        (window(json!("08:60"), shut.clone(), zone()), "rules.window.from"),
        (window(json!("+8:00"), shut.clone(), zone()), "rules.window.from"),
        (window(json!(8), shut.clone(), zone()), "rules.window.from"),
        (window(open.clone(), json!("24:00"), zone()), "rules.window.to"),
        (window(open.clone(), open.clone(), zone()), "rules.window.to"),
        (window(open.clone(), shut.clone(), json!("Europe/Secret")), "rules.window.zone"),
        (window(open.clone(), shut.clone(), json!("+01:00")), "rules.window.zone"),
        (window(open.clone(), shut.clone(), json!("")), "rules.window.zone"),
        (window(open.clone(), shut.clone(), json!("Etc/Unknown")), "rules.window.zone"),
        (window(open, shut, Value::Null), "rules.window.zone"),
    ]
}

#[test]
fn what_cannot_be_kept_is_refused_by_its_field_and_never_repeated() {
    for (value, field) in refused() {
        let refusal = Rules::read(&value).unwrap_err();
        assert_eq!(refusal.field, field, "{value}: {refusal}");
        assert!(!refusal.to_string().to_lowercase().contains("secret"), "{refusal}");
        let bare = Rules::from_json(value.to_string().as_bytes()).unwrap_err();
        assert_eq!(bare.field, field.strip_prefix("rules.").unwrap_or("body"));
    }
    for body in ["", " ", "{", "\u{feff}", "null"] {
        assert_eq!(Rules::from_json(body.as_bytes()).unwrap_err().field, "body", "{body}");
    }
    assert_eq!(Rules::from_json(&[0xff]).unwrap_err().field, "body");
    assert_eq!("{\"reserve\":2}".parse::<Rules>().unwrap().reserve, Some(2));
    let setting = |text: &str| text.parse::<Rules>().unwrap_err().to_string();
    assert_eq!(
        setting(r#"{"again":9}"#),
        "again: is out of range; accepted: 1: no more than once is kept yet"
    );
    assert!(setting("[]").starts_with("it is a list; accepted: an object"), "{}", setting("[]"));
}

#[test]
fn stored_rules_hold_as_far_as_they_are_understood() {
    for (mut value, field) in refused() {
        if let Some(object) = value.as_object_mut() {
            let name = field.split('.').nth(1).unwrap_or_default();
            let good = if name == "settle" { ("reserve", 7) } else { ("settle", 7) };
            object.insert(good.0.to_owned(), good.1.into());
            let kept: Rules = serde_json::from_value(value.clone()).unwrap();
            assert_eq!(serde_json::to_value(kept).unwrap(), json!({ good.0: 7 }), "{value}");
        } else {
            assert!(serde_json::from_value::<Rules>(value).unwrap().is_empty());
        }
    }
}
