//! What rules make of the steps: restocks that are held back, waves, and what is due.

use super::*;
use crate::product::{Awaited, Due, Reach, Wave};
use crate::rules::Release;

fn second(n: i64) -> Timestamp {
    Timestamp::from_second(n).unwrap()
}

/// Two shards with entries 1 to 40 and 1 to 30, of which the second is delivered up to 10.
fn table() -> Table {
    Table {
        shards: [(Some(40), Some(0)), (Some(30), Some(10)), (None, None), (None, None)],
        ..Table::default()
    }
}

fn waves_of(size: u64) -> Rules {
    Rules { wave_size: Some(size), wave_every: Some(60), ..Rules::default() }
}

/// The product after [`RESTOCK`] and its first wave of ten, which waits for this since second 1,000.
fn waved(what: Awaited) -> Product {
    let wave = Wave { number: 1, reach: Reach::all(at(8)), size: Some(10) };
    Product {
        rules: Some(Box::new(waves_of(10))),
        wave: Some(wave),
        due: Some(Due::new(second(1_000), what)),
        turn: 1,
        ..recorded(Some(Some(at(40))), None)
    }
}

fn due(product: &Product, rules: Rules, now: i64) -> Planning {
    let id = ProductId::parse("p").unwrap();
    Planning::of_due(id, product.due.unwrap(), Arc::new(rules), second(now))
}

fn run_due(table: Table, product: Product, now: i64) -> (String, Outcome) {
    let mut planning = due(&product, waves_of(10), now);
    Table { before: Some(product), ..table }.run(&mut planning)
}

#[test]
fn a_wave_is_cut_from_the_oldest_of_all_shards_before_its_bound_is_fixed() {
    let run = table().run(&mut by_rules(RESTOCK, waves_of(10)));
    // 1 to 10 of the first shard: the second is delivered up to there, and its next is the eleventh place.
    let steps = "product, record stock-0-7, ends, cursors 2, wave of 10 to 40, timer 1000, fix 40 wave 1 to 10, \
                 plan 10 [0], open [0], deliver [0]";
    assert_eq!(run, (steps.to_owned(), Outcome::Planned));
    let run = table().run(&mut by_rules(RESTOCK, waves_of(13)));
    assert!(run.0.ends_with("fix 40 wave 1 to 12, plan 12 [0 1], open [0 1], deliver [0 1]"), "{}", run.0);
    // More than wait.
    let run = table().run(&mut by_rules(RESTOCK, waves_of(1_000)));
    assert!(run.0.contains("fix 40 wave 1 to 40"), "{}", run.0);
}

#[test]
fn units_decide_how_many_a_wave_tells() {
    let per_unit = |number: f64| Rules { per_unit: number.try_into().ok(), ..Rules::default() };
    for (rules, size) in [
        (per_unit(1.0), "wave of 5 "),
        (per_unit(2.5), "wave of 13 "),
        (Rules { reserve: Some(3), ..per_unit(1.0) }, "wave of 2 "),
        (Rules { wave_size: Some(4), ..per_unit(1.0) }, "wave of 4 "),
    ] {
        let run = table().run(&mut by_rules(RESTOCK, rules.clone()));
        assert!(run.0.contains(size), "{rules:?}: {}", run.0);
    }
    // Of an unknown quantity, everybody.
    let run = table().run(&mut by_rules(r#"{"productId":"p"}"#, per_unit(1.0)));
    assert!(!run.0.contains("wave"), "{}", run.0);
}

#[test]
fn a_wave_that_nobody_waits_for_is_none() {
    let shards = [(Some(40), Some(40)), (None, None), (None, None), (None, None)];
    let run = Table { shards, ..Table::default() }.run(&mut by_rules(RESTOCK, waves_of(10)));
    let steps = "product, record stock-0-7, ends, cursors 1, wave of 10 to 40, fix 40";
    assert_eq!(run, (steps.to_owned(), Outcome::Planned));
}

#[test]
fn a_restock_is_held_back_until_its_stock_has_held_or_a_person_lets_it_begin() {
    let settle = |seconds| Rules { settle: Some(seconds), ..Rules::default() };
    let run = table().run(&mut by_rules(RESTOCK, settle(300)));
    assert_eq!(run, ("product, timer 1300, record stock-0-7".to_owned(), Outcome::Held));
    let manual = Rules { release: Some(Release::Manual), ..Rules::default() };
    let run = table().run(&mut by_rules(RESTOCK, manual));
    assert_eq!(run, ("product, record stock-0-7".to_owned(), Outcome::Held));
    // Its record came late; so may the sell-out's.
    let early = r#"{"productId":"p","quantity":5,"occurredAt":"1970-01-01T00:10:00Z"}"#;
    assert_eq!(table().run(&mut by_rules(early, settle(300))).1, Outcome::Held);
    // A sell-out waits for nothing.
    let sold_out = r#"{"productId":"p","quantity":0}"#;
    assert_eq!(table().run(&mut by_rules(sold_out, settle(300))).0, "product, record stock-0-7");
}

#[test]
fn a_level_of_a_held_restock_is_recorded_and_a_redelivery_of_it_plans_nothing() {
    let settle = Rules { settle: Some(300), ..Rules::default() };
    let held = |restock: Product| Product {
        due: Some(Due::new(second(1_300), Awaited::Plan)),
        rules: Some(Box::new(settle.clone())),
        ..restock
    };
    let before = Some(held(other(9, Some(9), false)));
    let run = Table { before, ..table() }.run(&mut by_rules(RESTOCK, settle.clone()));
    assert_eq!(run, ("product, sale 5".to_owned(), Outcome::Sale));
    let before = Some(held(recorded(None, None)));
    let run = Table { before, ..table() }.run(&mut by_rules(RESTOCK, settle.clone()));
    assert_eq!(run, ("product".to_owned(), Outcome::Held));
}

#[test]
fn a_held_restock_is_planned_once_it_is_due_and_watched_to_its_end() {
    let held = Product { due: Some(Due::new(second(1_300), Awaited::Plan)), ..recorded(None, None) };
    let run = run_due(table(), held.clone(), 1_300);
    let steps = "product, ends, cursors 2, wave of 10 to 40, timer 1300, fix 40 wave 1 to 10, plan 10 [0], open [0], \
                 deliver [0]";
    assert_eq!(run, (steps.to_owned(), Outcome::Planned));
    let mut planning = due(&held, Rules::default(), 1_300);
    let run = Table { before: Some(held), ..table() }.run(&mut planning);
    let steps = "product, ends, timer 1300, fix 40, cursors 2, plan 40 [0 1], open [0 1], deliver [0 1]";
    assert_eq!(run, (steps.to_owned(), Outcome::Planned));
}

#[test]
fn what_is_not_due_any_more_is_left_alone() {
    let planned = waved(Awaited::Wave);
    let planning = || due(&planned, waves_of(10), 2_000);
    let sold_out = Product { due: None, quantity: Some(0), ..planned.clone() };
    let later = Product { due: Some(Due::new(second(1_001), Awaited::Wave)), ..planned.clone() };
    for before in [None, Some(sold_out), Some(later)] {
        let run = Table { before, ..table() }.run(&mut planning());
        assert_eq!(run, ("product".to_owned(), Outcome::Stale));
    }
}

#[test]
fn a_wave_ends_once_all_of_it_is_delivered_and_the_next_is_due_a_while_after_that() {
    let shards = [(Some(40), Some(8)), (Some(30), Some(10)), (None, None), (None, None)];
    let run = run_due(Table { shards, ..Table::default() }, waved(Awaited::End), 1_200);
    let steps = "product, ends, cursors 2, wave of 1 to 8, timer 1260, put off Wave 1260";
    assert_eq!(run, (steps.to_owned(), Outcome::Awaits));
    // It is being delivered: where its planner died before the fan-outs were open, they are opened.
    let shards = [(Some(40), Some(7)), (Some(30), Some(10)), (None, None), (None, None)];
    let run = run_due(Table { shards, ..Table::default() }, waved(Awaited::End), 1_200);
    let steps = "product, ends, cursors 2, wave of 1 to 8, open missing [0], emit [0]";
    assert_eq!(run, (steps.to_owned(), Outcome::Planned));
    // Its ceiling is reached.
    let last = Product { bound: Some(at(8)), ..waved(Awaited::End) };
    let shards = [(Some(40), Some(8)), (Some(30), Some(10)), (None, None), (None, None)];
    let run = run_due(Table { shards, ..Table::default() }, last, 1_200);
    let steps = "product, ends, cursors 2, wave of 1 to 8, put off for ever";
    assert_eq!(run, (steps.to_owned(), Outcome::Over));
}

#[test]
fn the_next_wave_counts_the_stock_anew_and_begins_where_the_one_before_ended() {
    let shards = [(Some(40), Some(8)), (Some(50), Some(10)), (None, None), (None, None)];
    let rules = || Rules { per_unit: 1.0.try_into().ok(), wave_every: Some(60), ..Rules::default() };
    let sold = Product { quantity: Some(3), rules: Some(Box::new(rules())), ..waved(Awaited::Wave) };
    let mut planning = due(&sold, rules(), 1_300);
    let run = Table { shards, before: Some(sold.clone()), ..Table::default() }.run(&mut planning);
    let steps = "product, ends, cursors 2, wave of 3 to 40, timer 1300, fix 40 wave 2 to 11, plan 11 [0 1], open [0 1], \
                 deliver [0 1]";
    assert_eq!(run, (steps.to_owned(), Outcome::Planned));
    // Who joined since stands past the ceiling.
    let shards = [(Some(50), Some(40)), (Some(50), Some(40)), (None, None), (None, None)];
    let mut planning = due(&sold, rules(), 1_300);
    let run = Table { shards, before: Some(sold.clone()), ..Table::default() }.run(&mut planning);
    assert_eq!(
        run,
        ("product, ends, cursors 2, wave of 3 to 40, put off for ever".to_owned(), Outcome::Over)
    );
    // Another sweep was faster.
    let shards = [(Some(40), Some(8)), (Some(50), Some(10)), (None, None), (None, None)];
    let bound_write = BoundWrite::Stands(Box::new(sold.clone()));
    let mut planning = due(&sold, rules(), 1_300);
    let run = Table { shards, before: Some(sold), bound_write, ..Table::default() }.run(&mut planning);
    assert_eq!(run.1, Outcome::Awaits);
}

#[test]
fn a_restock_over_an_unfinished_wave_begins_with_those_whom_it_left_out() {
    let sold_out = Product { quantity: Some(0), due: None, ..waved(Awaited::End) };
    let shards = [(Some(60), Some(3)), (Some(30), Some(30)), (None, None), (None, None)];
    let again = r#"{"productId":"p","quantity":5,"occurredAt":"1970-01-01T00:16:00Z"}"#;
    let version = other(900, None, false).version;
    let before = Some(Product { version, recent: vec![], ..sold_out });
    let run = Table { shards, before, ..Table::default() }.run(&mut by_rules(again, waves_of(10)));
    assert!(run.0.contains("wave of 10 to 60, timer 1000, fix 60 wave 1 to 13"), "{}", run.0);
}

/// Answers the steps of a planning for a list with priority in its first shard, of which both lanes have this last place and
/// are delivered up to that one, until it opens its fan-outs; and says what it fixes and opens.
fn with_priority(planning: &mut Planning, known: Option<Product>, lanes: [(u64, u64); 2]) -> String {
    let shards = Shards { priority: Some(ShardCount::ONE), ..Shards::ONE };
    let [of_priority, of_mail] = lanes;
    let of = |lane| if lane == Lane::PriorityMail { of_priority } else { of_mail };
    let mut said = String::new();
    loop {
        match planning.next() {
            Step::ReadProduct => {
                let product = known.clone();
                planning.on_product(StoredProduct { product, shards, rules: Rules::default() });
            }
            Step::RecordStockUpdate(_) => {
                let product = known.clone();
                planning.on_recorded(StoredProduct { product, shards, rules: Rules::default() });
            }
            Step::ReadEnds(shards) => {
                let end = |shard: Shard| ShardEnd { shard, last: Some(at(of(shard.lane).0)), used: true };
                planning.on_ends(shards.all().map(end).collect());
            }
            Step::ReadCursors(_) => {
                let cursor = |lane| Cursor { committed: at(of(lane).1), ..Cursor::default() };
                let cursors = [cursor(Lane::PriorityMail), cursor(Lane::Mail)];
                planning.on_cursors(|shard| cursors.get(usize::from(shard.lane == Lane::Mail)));
            }
            Step::FindWave { lines, size } => {
                let shards = [of_priority, of_mail].map(|(last, committed)| (Some(last), Some(committed)));
                let places = |line: &Line| -> Vec<(Shard, u64)> {
                    let (last, _) = shards[usize::from(line.shard.lane == Lane::Mail)];
                    let places = n(line.after) + 1..=last.unwrap().min(n(line.through));
                    places.map(|place| (line.shard, place)).collect()
                };
                let all: Vec<(Shard, u64)> = lines.iter().flat_map(places).collect();
                let taken = &all[..all.len().min(usize::try_from(size).unwrap())];
                let mut reach = Reach::all(Position::START);
                for (shard, place) in taken {
                    reach = reach.with(shard.lane, at(*place));
                }
                let firsts = lines.iter().filter_map(|line| places(line).first().copied());
                let firsts = firsts.map(|(shard, place)| (shard, at(place))).collect();
                planning.on_wave(Some(Found { reach, firsts }).filter(|found| !found.firsts.is_empty()));
            }
            Step::WriteTimer(_) => planning.on_timer(),
            Step::FixBound(fix) => {
                let wave = fix.wave.map_or("all".to_owned(), |wave| told(wave.reach));
                let due = fix.due.map(|due| format!("{:?} {}", due.what, due.at.as_second()));
                said.push_str(&format!("{wave}; {}: ", due.unwrap_or_default()));
                planning.on_bound(BoundWrite::Fixed);
            }
            Step::RecordPlan { .. } => planning.on_plan_recorded(),
            Step::OpenFanOuts(jobs) => {
                let job = |job: &Job| format!("{} to {}", job.shard, n(job.bound));
                return said + &jobs.iter().map(job).collect::<Vec<_>>().join(", ");
            }
            step => return said + &named(step),
        }
    }
}

#[test]
fn the_priority_lane_has_a_head_start_and_the_others_follow_after_it() {
    let rules = || Rules { head_start: Some(60), ..Rules::default() };
    let heads_off = with_priority(&mut by_rules(RESTOCK, rules()), None, [(20, 0), (40, 0)]);
    assert_eq!(heads_off, "0 and 40; Lanes 1060: m1.0 to 40");
    // Then the others, beside those of the first lane whose turn was not over yet.
    let wave = Wave { number: 1, reach: Reach { priority: at(40), mail: Position::START }, size: None };
    let due_at = Some(Due::new(second(1_060), Awaited::Lanes));
    let headed = Product { wave: Some(wave), due: due_at, ..recorded(Some(Some(at(40))), None) };
    let follow = |lanes| with_priority(&mut due(&headed, rules(), 1_060), Some(headed.clone()), lanes);
    assert_eq!(follow([(20, 20), (40, 0)]), "all; End 1060: m0.0 to 40");
    assert_eq!(follow([(20, 19), (40, 0)]), "all; End 1060: m1.0 to 40, m0.0 to 40");
    // Nobody waits with priority, or there is no head start: everybody at once.
    let none = with_priority(&mut by_rules(RESTOCK, rules()), None, [(20, 20), (40, 0)]);
    assert_eq!(none, "all; : m0.0 to 40");
    let without = with_priority(&mut by_rules(RESTOCK, Rules::default()), None, [(20, 0), (40, 0)]);
    assert_eq!(without, "all; : m1.0 to 40, m0.0 to 40");
}

#[test]
fn a_wave_takes_those_with_priority_first() {
    let lanes = [(20, 15), (40, 0)];
    let wave = |size, head_start| {
        let rules = Rules { head_start, ..waves_of(size) };
        with_priority(&mut by_rules(RESTOCK, rules), None, lanes)
    };
    assert_eq!(wave(3, None), "0 and 18; End 1000: m1.0 to 18");
    assert_eq!(wave(8, None), "3 and 20; End 1000: m1.0 to 20, m0.0 to 3");
    assert_eq!(wave(8, Some(60)), "0 and 20; Lanes 1060: m1.0 to 20");
    assert_eq!(wave(3, Some(60)), "0 and 18; Lanes 1060: m1.0 to 18");
}
