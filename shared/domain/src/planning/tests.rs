#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use std::sync::Arc;

use crate::cursor::Cursor;
use crate::job::Ticket;
use crate::product::StoredProduct;
use crate::rules::Rules;
use crate::{Lane, ShardCount};

mod variants;
mod waves;

fn at(n: u64) -> Position {
    Position::new(n, 0)
}

/// The number of a position that [`at`] has made.
fn n(position: Position) -> u64 {
    position.time_ms()
}

/// How far a wave comes: in the mail lane, and with priority where that is another place.
fn told(reach: Reach) -> String {
    match (n(reach.mail), n(reach.priority)) {
        (mail, 0) => mail.to_string(),
        (mail, priority) => format!("{mail} and {priority}"),
    }
}

fn record(offset: i64) -> Record {
    Record {
        topic: "stock".to_owned(),
        partition: 0,
        offset,
        written_ms: -1,
        key: None,
        value: None,
        headers: vec![],
        fault: None,
    }
}

fn planning(json: &str) -> Planning {
    by_rules(json, Rules::default())
}

/// A planning for a shop with these rules, at second 1,000.
fn by_rules(json: &str, rules: Rules) -> Planning {
    let update = StockUpdate::from_record(Some(json.as_bytes())).unwrap().update;
    Planning::new(&record(7), update, Arc::new(rules), Timestamp::from_second(1_000).unwrap())
}

const RESTOCK: &str = r#"{"productId":"p","quantity":5}"#;

/// The table that a planning is answered from: four shards, of which the last was never used.
struct Table {
    /// The product as it stands by the time of the write, where another update came in between.
    refused: Option<Product>,
    bound_write: BoundWrite,
    /// The product before, where it is there.
    before: Option<Product>,
    /// Of each shard, its last entry, and up to where it is delivered.
    shards: [(Option<u64>, Option<u64>); 4],
    left: Vec<Shard>,
}

impl Default for Table {
    fn default() -> Self {
        let shards = [(Some(40), Some(0)), (Some(30), Some(30)), (None, Some(0)), (None, None)];
        Self { refused: None, before: None, bound_write: BoundWrite::Fixed, shards, left: vec![] }
    }
}

/// The number of shards that the table has recorded at the first step, and another one that was read before.
fn stored(product: Option<Product>, count: u16) -> StoredProduct {
    StoredProduct { product, shards: Shards::mail(ShardCount::new(count).unwrap()), rules: Rules::default() }
}

impl Table {
    /// Answers every step, and gives them as texts.
    fn run(&self, planning: &mut Planning) -> (String, Outcome) {
        let mut trace = Vec::new();
        loop {
            trace.push(match planning.next() {
                Step::Finished(outcome) => return (trace.join(", "), outcome),
                step => named(step),
            });
            self.answer(planning);
        }
    }

    /// The places that wait in each shard are its last entry and those before it, down to where it is delivered.
    fn wave(&self, lines: &[Line], size: u64) -> Option<Found> {
        let waiting = |line: &&Line| {
            let (last, _) = self.shards[usize::from(line.shard.number)];
            let last = last.unwrap_or(0).min(n(line.through));
            (n(line.after) + 1..=last).map(at).collect::<Vec<_>>()
        };
        let mut found = Found { reach: Reach::all(Position::START), firsts: vec![] };
        let mut left = usize::try_from(size).unwrap();
        for lane in [Lane::PriorityMail, Lane::Mail] {
            let lines: Vec<&Line> = lines.iter().filter(|line| line.shard.lane == lane).collect();
            let firsts = lines.iter().filter_map(|line| Some((line.shard, *waiting(line).first()?)));
            found.firsts.extend(firsts);
            let mut all: Vec<Position> = lines.iter().flat_map(waiting).collect();
            all.sort_unstable();
            all.truncate(left);
            left -= all.len();
            found.reach = found.reach.with(lane, all.last().copied().unwrap_or(Position::START));
        }
        Some(found).filter(|found| !found.firsts.is_empty())
    }

    fn answer(&self, planning: &mut Planning) {
        match planning.next() {
            Step::TakeName(name) => planning.on_name(RestockId::parse(&format!("{name}~1")).unwrap()),
            Step::ReadProduct => {
                // Of an update that is recorded already, this look comes after step 1; of another one, before.
                let recorded = self
                    .before
                    .as_ref()
                    .is_some_and(|known| planning.restock().is_none_or(|of| *of == known.restock_id));
                planning.on_product(stored(self.before.clone(), if recorded { 4 } else { 2 }));
            }
            Step::RecordStockUpdate(_) => match &self.refused {
                Some(known) => planning.on_refused(stored(Some(known.clone()), 4)),
                None => planning.on_recorded(stored(self.before.clone(), 4)),
            },
            Step::RecordSale(_) => planning.on_sale_recorded(),
            Step::ReadEnds(count) => planning.on_ends(
                count
                    .all()
                    .zip(self.shards)
                    .map(|(shard, (last, committed))| {
                        let last = last.map(at);
                        ShardEnd { shard, last, used: last.is_some() || committed.is_some() }
                    })
                    .collect(),
            ),
            Step::WriteTimer(_) => planning.on_timer(),
            Step::PutOff { .. } => planning.on_put_off(),
            Step::FindWave { lines, size } => planning.on_wave(self.wave(lines, size)),
            Step::FixBound(_) => planning.on_bound(self.bound_write.clone()),
            Step::ReadCursors(_) => {
                let cursors: Vec<Option<Cursor>> = self
                    .shards
                    .iter()
                    .map(|(_, committed)| Some(Cursor { committed: at((*committed)?), ..Cursor::default() }))
                    .collect();
                planning.on_cursors(|shard| cursors[usize::from(shard.number)].as_ref());
            }
            Step::CloseDelivered(_) => planning.on_closed(),
            Step::RecordPlan { .. } => planning.on_plan_recorded(),
            Step::OpenFanOuts(jobs) | Step::OpenMissing(jobs) => {
                let ticket = || Ticket::parse("t").unwrap();
                planning.on_opened(jobs.iter().map(|job| job.with_ticket(ticket())).collect());
            }
            Step::DeliverInline { .. } => planning.on_delivered(&self.left),
            Step::Emit(_) => planning.on_emitted(),
            Step::Finished(_) => {}
        }
    }
}

fn named(step: Step<'_>) -> String {
    let jobs = |what: &str, jobs: &[Job]| {
        let shards: Vec<String> = jobs.iter().map(|job| job.shard.number.to_string()).collect();
        format!("{what} [{}]", shards.join(" "))
    };
    match step {
        Step::TakeName(name) => format!("name {name}"),
        Step::ReadProduct => "product".to_owned(),
        Step::RecordStockUpdate(update) => format!("record {}", update.restock),
        Step::RecordSale(sale) => format!("sale {}", sale.quantity.unwrap()),
        Step::ReadEnds(count) => {
            assert_eq!(count.total(), 4, "as step 1 found it");
            "ends".to_owned()
        }
        Step::WriteTimer(due) => format!("timer {}", due.at.as_second()),
        Step::PutOff { next, .. } => {
            format!(
                "put off {}",
                next.map_or("for ever".to_owned(), |due| format!("{:?} {}", due.what, due.at.as_second()))
            )
        }
        Step::FindWave { lines, size } => format!("wave of {size} to {}", n(lines[0].through)),
        Step::FixBound(Fix { bound, wave, .. }) => {
            let wave =
                wave.map_or(String::new(), |wave| format!(" wave {} to {}", wave.number, told(wave.reach)));
            format!("fix {}{wave}", bound.map_or(0, Position::time_ms))
        }
        Step::OpenMissing(list) => jobs("open missing", list),
        Step::ReadCursors(ends) => format!("cursors {}", ends.len()),
        Step::CloseDelivered(list) => jobs("close", list),
        Step::RecordPlan { bound, shards, jobs: list, .. } => {
            assert_eq!(shards.total(), 4);
            jobs(&format!("plan {}", bound.map_or(0, Position::time_ms)), list)
        }
        Step::OpenFanOuts(list) => jobs("open", list),
        Step::DeliverInline { jobs: list, .. } => jobs("deliver", list),
        Step::Emit(list) => jobs("emit", list),
        Step::Finished(outcome) => format!("{outcome:?}"),
    }
}

/// The product as [`RESTOCK`] leaves it, planned with this bound or not yet.
fn recorded(planned: Option<Option<Position>>, before: Option<Position>) -> Product {
    let mut planning = planning(RESTOCK);
    planning.on_product(stored(None, 4));
    let Step::RecordStockUpdate(update) = planning.next() else { unreachable!() };
    let update = update.clone();
    Product {
        bound: planned.unwrap_or(before),
        bound_of: planned.map(|_| update.restock.clone()),
        planned: planned.map(|_| update.version.clone()),
        turn: 1,
        ..update.recorded_over(None)
    }
}

/// A product that another restock has left, at a time of its own.
fn other(second: i64, quantity: Option<u64>, planned: bool) -> Product {
    let place = Place { partition: 0, offset: second };
    let time = Timestamp::from_second(second).unwrap();
    let version = Version::new(Some(time), None, time, place).unwrap();
    Product {
        quantity,
        restock_id: RestockId::parse("r").unwrap(),
        planned: planned.then(|| version.clone()),
        version,
        recent: vec![],
        ..recorded(None, Some(at(30)))
    }
}

#[test]
fn a_restock_goes_through_all_steps_in_their_order() {
    let rest = "ends, fix 40, cursors 3, plan 40 [0], open [0], deliver [0]";
    for (update, first_steps) in [
        (RESTOCK, "product, record stock-0-7"),
        (r#"{"productId":"p"}"#, "product, record stock-0-7"),
        (r#"{"productId":"p","restockId":"r"}"#, "name r, product, record r~1"),
    ] {
        let run = Table::default().run(&mut planning(update));
        assert_eq!(run, (format!("{first_steps}, {rest}"), Outcome::Planned), "{update}");
    }
}

#[test]
fn nothing_is_written_for_an_update_that_is_known_or_too_late() {
    let timed = r#"{"productId":"p","quantity":5,"occurredAt":"1970-01-01T00:10:00Z"}"#;
    let later = Some(other(900, Some(5), true));
    // The restock is recorded, and the product has been sold out since under the same name.
    let sold_out = Some(Product { quantity: Some(0), ..recorded(None, None) });
    for (update, before) in [(timed, &later), (RESTOCK, &sold_out)] {
        let run = Table { before: before.clone(), ..Table::default() }.run(&mut planning(update));
        assert_eq!(run, ("product".to_owned(), Outcome::Stale), "{update}");
        let run = Table { refused: before.clone(), ..Table::default() }.run(&mut planning(update));
        assert_eq!(run, ("product, record stock-0-7".to_owned(), Outcome::Stale), "{update}");
    }
    let run = Table::default().run(&mut planning(r#"{"productId":"p","quantity":0}"#));
    assert_eq!(run, ("product, record stock-0-7".to_owned(), Outcome::SoldOut));
}

#[test]
fn a_restock_that_comes_again_goes_on_from_where_it_was() {
    for (known, steps) in [
        // Its bound does not stand yet.
        (recorded(None, None), "fix 40, cursors 3, plan 40 [0], open [0], deliver [0]"),
        (recorded(None, Some(at(50))), "fix 50, cursors 3, plan 50 [0], open [0], deliver [0]"),
        // It stands: it is not fixed anew, and what is delivered up to it is closed.
        (recorded(Some(Some(at(35))), None), "cursors 3, close [1 2], plan 35 [0], open [0], emit [0]"),
        (recorded(Some(None), None), ""),
    ] {
        let run = Table { before: Some(known.clone()), ..Table::default() }.run(&mut planning(RESTOCK));
        let steps = if steps.is_empty() { "ends".to_owned() } else { format!("ends, {steps}") };
        assert_eq!(run, (format!("product, {steps}"), Outcome::Planned));
        // The same where a second planner recorded it in between.
        let run = Table { refused: Some(known), ..Table::default() }.run(&mut planning(RESTOCK));
        assert_eq!(run, (format!("product, record stock-0-7, {steps}"), Outcome::Planned));
    }
}

#[test]
fn a_restock_of_what_is_in_stock_and_planned_begins_nothing_where_it_is_planned() {
    let before = Some(other(9, Some(5), true));
    let run = Table { before, ..Table::default() }.run(&mut planning(RESTOCK));
    assert!(run.0.ends_with("open [0], emit [0]"), "{}", run.0);
    assert_eq!(run.1, Outcome::Planned);
}

#[test]
fn a_sale_is_recorded_and_nothing_is_planned() {
    let before = Some(other(9, Some(6), true));
    let run = Table { before: before.clone(), ..Table::default() }.run(&mut planning(RESTOCK));
    assert_eq!(run, ("product, sale 5".to_owned(), Outcome::Sale));
    // It is decided anew where another update came in between.
    for (known, next) in [
        (other(9, Some(0), true), "record stock-0-7"),
        (other(9, Some(7), true), "sale 5"),
        (other(9, Some(7), false), "record stock-0-7"),
    ] {
        let mut planning = planning(RESTOCK);
        planning.on_product(stored(before.clone(), 2));
        planning.on_refused(stored(Some(known), 4));
        assert_eq!(named(planning.next()), next);
    }
}

#[test]
fn an_update_without_a_time_follows_what_is_recorded() {
    let mut planning = planning(RESTOCK);
    planning.on_product(stored(Some(other(9, Some(0), false)), 4));
    let Step::RecordStockUpdate(update) = planning.next() else { unreachable!() };
    let (known, update) = (other(9, None, false).version, update.clone());
    assert_eq!(update.seen.as_ref(), Some(&known));
    assert!(known < update.version && update.version.at() < Timestamp::from_second(10).ok());
    // And what came in between.
    planning.on_refused(stored(Some(other(99, Some(0), false)), 4));
    let Step::RecordStockUpdate(update) = planning.next() else { unreachable!() };
    assert!(other(99, None, false).version < update.version);
}

#[test]
fn no_job_is_made_for_a_restock_that_was_overtaken_before_its_bound_stood() {
    let table = Table { bound_write: BoundWrite::Overtaken, ..Table::default() };
    let run = table.run(&mut planning(RESTOCK));
    assert_eq!(run, ("product, record stock-0-7, ends, fix 40".to_owned(), Outcome::Overtaken));
}

#[test]
fn a_restock_whose_bound_another_planner_has_fixed_goes_on_with_that_one() {
    let stands = |known: Product| {
        let table = Table {
            bound_write: BoundWrite::refused(Some(known.clone()), &known.restock_id),
            ..Table::default()
        };
        table.run(&mut planning(RESTOCK)).0
    };
    let steps = "product, record stock-0-7, ends, fix 40";
    // What was delivered up to the earlier bound is closed, as with a restock that comes again.
    let of_35 = "cursors 3, close [1 2], plan 35 [0], open [0], emit [0]";
    assert_eq!(stands(recorded(Some(Some(at(35))), None)), format!("{steps}, {of_35}"));
    assert_eq!(stands(recorded(Some(None), None)), steps);
    assert_eq!(stands(recorded(None, Some(at(35)))), steps);
}

#[test]
fn the_bound_covers_every_shard_and_never_goes_back() {
    for (bound, fixed) in [(None, "fix 40"), (Some(at(39)), "fix 40"), (Some(at(41)), "fix 41")] {
        let before = bound.map(|_| Product { bound, ..other(9, Some(0), false) });
        let run = Table { before, ..Table::default() }.run(&mut planning(RESTOCK));
        assert!(run.0.contains(fixed), "{}", run.0);
    }
}

#[test]
fn a_restock_that_nobody_waits_for_is_planned_all_the_same() {
    let run = Table { shards: [(None, None); 4], ..Table::default() }.run(&mut planning(RESTOCK));
    let steps = "product, record stock-0-7, ends, fix 0";
    assert_eq!(run, (steps.to_owned(), Outcome::Planned));
}

#[test]
fn the_shards_of_every_lane_are_planned_those_with_priority_first() {
    let mut planning = planning(RESTOCK);
    let table = Table::default();
    let shards = Shards::ONE.raised(Lane::PriorityMail, ShardCount::ONE);
    let mut begun = Vec::new();
    loop {
        match planning.next() {
            Step::RecordStockUpdate(_) => {
                planning.on_recorded(StoredProduct { product: None, shards, rules: Rules::default() })
            }
            Step::ReadEnds(of) => {
                assert_eq!(of, shards);
                let end = |shard| ShardEnd { shard, last: Some(at(9)), used: true };
                planning.on_ends(of.all().map(end).collect());
            }
            Step::ReadCursors(_) => planning.on_cursors(|_| None),
            Step::RecordPlan { shards: of, .. } => {
                assert_eq!(of, shards);
                planning.on_plan_recorded();
            }
            Step::DeliverInline { jobs, .. } => {
                begun.extend(jobs.iter().map(|job| job.shard.to_string()));
                planning.on_delivered(&[]);
            }
            Step::Finished(_) => break,
            _ => table.answer(&mut planning),
        }
    }
    assert_eq!(begun, ["m1.0", "m0.0"]);
}

#[test]
fn shards_that_could_not_be_begun_are_emitted_and_only_those() {
    let shards = [(Some(9), Some(0)), (Some(9), None), (Some(9), Some(9)), (Some(9), Some(1))];
    let table = Table { shards, left: vec![Shard::mail(1), Shard::mail(3)], ..Table::default() };
    let (steps, outcome) = table.run(&mut planning(RESTOCK));
    // The second one's cursor cannot be read: a job is made, for the worker on it to find out more.
    assert!(steps.ends_with("open [0 1 3], deliver [0 1 3], emit [1 3]"), "{steps}");
    assert_eq!(outcome, Outcome::Planned);
}

#[test]
fn jobs_and_the_product_of_a_delivery_have_the_fixed_bound() {
    let before = Some(Product { bound: Some(at(60)), ..other(9, Some(0), false) });
    let (table, mut planning) = (Table { before, ..Table::default() }, planning(RESTOCK));
    while !matches!(planning.next(), Step::DeliverInline { .. }) {
        table.answer(&mut planning);
    }
    let Step::DeliverInline { product, jobs, .. } = planning.next() else { unreachable!() };
    assert_eq!((product.bound, product.bound_of.as_ref()), (Some(at(60)), planning.restock()));
    assert_eq!((jobs[0].bound, &jobs[0].restock_id), (at(60), planning.restock().unwrap()));
    assert!(jobs[0].ticket.is_some());
}

#[test]
#[should_panic(expected = "another step")]
fn an_answer_to_another_step_is_a_mistake() {
    planning(RESTOCK).on_bound(BoundWrite::Fixed);
}
