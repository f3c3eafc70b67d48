#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use crate::cursor::Cursor;
use crate::job::Ticket;
use crate::product::StoredProduct;
use crate::shard::WaitlistShards;

fn at(n: u64) -> Position {
    Position::new(n, 0)
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
    let update = StockUpdate::from_record(Some(json.as_bytes())).unwrap().update;
    Planning::new(&record(7), update, Timestamp::from_second(1_000).unwrap())
}

const RESTOCK: &str = r#"{"productId":"p","quantity":5}"#;

/// The table that a planning is answered from: four shards, of which the last was never used.
struct Table {
    /// The product as it stands, where that refuses the update.
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
    let shards = WaitlistShards { recorded: ShardCount::new(count), unrecorded: ShardCount::ONE };
    StoredProduct { product, shards }
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

    fn answer(&self, planning: &mut Planning) {
        match planning.next() {
            Step::TakeName(name) => planning.on_name(RestockId::parse(&format!("{name}~1")).unwrap()),
            Step::ReadDetails => planning.on_details(stored(None, 2)),
            Step::RecordStockUpdate { .. } => match &self.refused {
                Some(known) => planning.on_refused(stored(Some(known.clone()), 4)),
                None => planning.on_recorded(stored(self.before.clone(), 4)),
            },
            Step::RecordSale { .. } => planning.on_sale_recorded(),
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
            Step::FixBound { .. } => planning.on_bound(self.bound_write),
            Step::ReadCursors(_) => {
                let cursors: Vec<Option<Cursor>> = self
                    .shards
                    .iter()
                    .map(|(_, committed)| Some(Cursor { committed: at((*committed)?), ..Cursor::default() }))
                    .collect();
                planning.on_cursors(|shard| cursors[usize::from(shard.0)].as_ref());
            }
            Step::CloseDelivered(_) => planning.on_closed(),
            Step::RecordPlan { .. } => planning.on_plan_recorded(),
            Step::OpenFanOuts(jobs) => {
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
        let shards: Vec<String> = jobs.iter().map(|job| job.shard.to_string()).collect();
        format!("{what} [{}]", shards.join(" "))
    };
    match step {
        Step::TakeName(name) => format!("name {name}"),
        Step::ReadDetails => "details".to_owned(),
        Step::RecordStockUpdate { restock, .. } => format!("record {restock}"),
        Step::RecordSale { quantity, .. } => format!("sale {quantity}"),
        Step::ReadEnds(count) => {
            assert_eq!(count.get(), 4, "as step 1 found it");
            "ends".to_owned()
        }
        Step::FixBound { bound, .. } => format!("fix {}", bound.map_or(0, Position::time_ms)),
        Step::ReadCursors(ends) => format!("cursors {}", ends.len()),
        Step::CloseDelivered(list) => jobs("close", list),
        Step::RecordPlan { bound, shards, jobs: list, .. } => {
            assert_eq!(shards.get(), 4);
            jobs(&format!("plan {}", bound.map_or(0, Position::time_ms)), list)
        }
        Step::OpenFanOuts(list) => jobs("open", list),
        Step::DeliverInline { jobs: list, .. } => jobs("deliver", list),
        Step::Emit(list) => jobs("emit", list),
        Step::Finished(outcome) => format!("{outcome:?}"),
    }
}

/// The product as [`RESTOCK`] leaves it.
fn recorded(bound_of: Option<&str>, bound: Option<Position>) -> Product {
    let planning = planning(RESTOCK);
    Product {
        quantity: Some(5),
        version: planning.version,
        restock_id: planning.restock,
        bound,
        bound_of: bound_of.map(|id| RestockId::parse(id).unwrap()),
        product: None,
    }
}

#[test]
fn a_restock_goes_through_all_steps_in_their_order() {
    let whole = r#"{"productId":"p","restockId":"r","quantity":5,
        "product":{"name":"n","url":"https://s.example/p","imageUrl":"https://s.example/i"}}"#;
    let rest = "ends, fix 40, cursors 3, plan 40 [0], open [0], deliver [0]";
    for (update, first_steps) in [
        (RESTOCK, "details, record stock-0-7"),
        (r#"{"productId":"p"}"#, "details, record stock-0-7"),
        (r#"{"productId":"p","restockId":"r"}"#, "name r, details, record r~1"),
        (whole, "name r, record r~1"),
    ] {
        let run = Table::default().run(&mut planning(update));
        assert_eq!(run, (format!("{first_steps}, {rest}"), Outcome::Planned), "{update}");
    }
}

#[test]
fn nothing_is_read_or_written_for_an_update_that_asks_for_nothing_more() {
    let sold_out = r#"{"productId":"p","quantity":0}"#;
    let later = Product { version: Version::new(None, None, Timestamp::MAX, 0, 0), ..recorded(None, None) };
    let later = Product { restock_id: RestockId::parse("later").unwrap(), ..later };
    for (update, refused, outcome) in [
        (sold_out, None, Outcome::SoldOut),
        (RESTOCK, Some(later), Outcome::Stale),
        // The restock is recorded, and the product has been sold out since under the same name.
        (RESTOCK, Some(Product { quantity: Some(0), ..recorded(None, None) }), Outcome::Stale),
    ] {
        let run = Table { refused, ..Table::default() }.run(&mut planning(update));
        assert_eq!(run, ("details, record stock-0-7".to_owned(), outcome), "{update}");
    }
}

#[test]
fn a_restock_that_comes_again_goes_on_from_where_it_was() {
    for (known, steps) in [
        // Its bound does not stand yet.
        (recorded(None, None), "fix 40, cursors 3, plan 40 [0], open [0], deliver [0]"),
        (recorded(Some("before"), Some(at(50))), "fix 50, cursors 3, plan 50 [0], open [0], deliver [0]"),
        // It stands: it is not fixed anew, and what is delivered up to it is closed.
        (
            recorded(Some("stock-0-7"), Some(at(35))),
            "cursors 3, close [1 2], plan 35 [0], open [0], emit [0]",
        ),
        (recorded(Some("stock-0-7"), None), "plan 0 [], open []"),
    ] {
        let run = Table { refused: Some(known), ..Table::default() }.run(&mut planning(RESTOCK));
        assert_eq!(run, (format!("details, record stock-0-7, ends, {steps}"), Outcome::Planned));
    }
}

#[test]
fn a_restock_of_what_is_in_stock_and_planned_begins_nothing_where_it_is_planned() {
    let restock_id = RestockId::parse("r").unwrap();
    let before = Some(Product { restock_id, ..recorded(Some("r"), Some(at(30))) });
    let run = Table { before, ..Table::default() }.run(&mut planning(RESTOCK));
    assert!(run.0.ends_with("open [0], emit [0]"), "{}", run.0);
    assert_eq!(run.1, Outcome::Planned);
}

#[test]
fn a_sale_is_recorded_and_nothing_is_planned() {
    let of = |quantity, bound_of: &str| {
        let version = Version::new(None, None, Timestamp::UNIX_EPOCH, 0, 0);
        let restock_id = RestockId::parse("r").unwrap();
        Product { quantity, version, restock_id, ..recorded(Some(bound_of), Some(at(30))) }
    };
    let table = Table { refused: Some(of(Some(6), "r")), ..Table::default() };
    let run = table.run(&mut planning(RESTOCK));
    assert_eq!(run, ("details, record stock-0-7, sale 5".to_owned(), Outcome::Sale));
    // It is decided anew where another update came in between.
    for (known, next) in [
        (of(Some(0), "r"), "record stock-0-7"),
        (of(Some(7), "r"), "sale 5"),
        (of(Some(7), "before"), "record stock-0-7"),
    ] {
        let mut planning = planning(RESTOCK);
        planning.on_details(stored(None, 2));
        planning.on_refused(stored(Some(of(Some(6), "r")), 4));
        planning.on_refused(stored(Some(known), 4));
        assert_eq!(named(planning.next()), next);
    }
}

#[test]
fn no_job_is_made_for_a_restock_that_was_overtaken_before_its_bound_stood() {
    let table = Table { bound_write: BoundWrite::Overtaken, ..Table::default() };
    let run = table.run(&mut planning(RESTOCK));
    assert_eq!(run, ("details, record stock-0-7, ends, fix 40".to_owned(), Outcome::Overtaken));
}

#[test]
fn a_restock_whose_bound_another_planner_has_fixed_goes_on_with_that_one() {
    let stands = |known: Product| {
        let table = Table {
            bound_write: BoundWrite::refused(Some(&known), &known.restock_id.clone()),
            ..Table::default()
        };
        table.run(&mut planning(RESTOCK)).0
    };
    let steps = "details, record stock-0-7, ends, fix 40";
    // What was delivered up to the earlier bound is closed, as with a restock that comes again.
    let of_35 = "cursors 3, close [1 2], plan 35 [0], open [0], emit [0]";
    assert_eq!(stands(recorded(Some("stock-0-7"), Some(at(35)))), format!("{steps}, {of_35}"));
    assert_eq!(stands(recorded(Some("stock-0-7"), None)), format!("{steps}, plan 0 [], open []"));
    assert_eq!(stands(recorded(Some("before"), Some(at(35)))), steps);
}

#[test]
fn the_bound_covers_every_shard_and_never_goes_back() {
    for (bound, fixed) in [(None, "fix 40"), (Some(at(39)), "fix 40"), (Some(at(41)), "fix 41")] {
        let before = bound.map(|_| Product { quantity: Some(0), ..recorded(Some("before"), bound) });
        let run = Table { before, ..Table::default() }.run(&mut planning(RESTOCK));
        assert!(run.0.contains(fixed), "{}", run.0);
    }
}

#[test]
fn a_restock_that_nobody_waits_for_is_planned_all_the_same() {
    let run = Table { shards: [(None, None); 4], ..Table::default() }.run(&mut planning(RESTOCK));
    let steps = "details, record stock-0-7, ends, fix 0, plan 0 [], open []";
    assert_eq!(run, (steps.to_owned(), Outcome::Planned));
}

#[test]
fn shards_that_could_not_be_begun_are_emitted_and_only_those() {
    let shards = [(Some(9), Some(0)), (Some(9), None), (Some(9), Some(9)), (Some(9), Some(1))];
    let table = Table { shards, left: vec![Shard(1), Shard(3)], ..Table::default() };
    let (steps, outcome) = table.run(&mut planning(RESTOCK));
    // The second one's cursor cannot be read: a job is made, for the worker on it to find out more.
    assert!(steps.ends_with("open [0 1 3], deliver [0 1 3], emit [1 3]"), "{steps}");
    assert_eq!(outcome, Outcome::Planned);
}

#[test]
fn jobs_and_the_product_of_a_delivery_have_the_fixed_bound() {
    let before = Some(Product { quantity: Some(0), ..recorded(Some("before"), Some(at(60))) });
    let (table, mut planning) = (Table { before, ..Table::default() }, planning(RESTOCK));
    while !matches!(planning.next(), Step::DeliverInline { .. }) {
        table.answer(&mut planning);
    }
    let Step::DeliverInline { product, jobs, .. } = planning.next() else { unreachable!() };
    assert_eq!((product.bound, product.bound_of.as_ref()), (Some(at(60)), Some(planning.restock())));
    assert_eq!((jobs[0].bound, &jobs[0].restock_id), (at(60), planning.restock()));
    assert!(jobs[0].ticket.is_some());
}

#[test]
#[should_panic(expected = "another step")]
fn an_answer_to_another_step_is_a_mistake() {
    planning(RESTOCK).on_bound(BoundWrite::Fixed);
}
