#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use crate::RestockId;
use crate::cursor::Cursor;
use crate::product::Product;
use crate::stock::{Place, Version};

fn at(n: u64) -> Position {
    Position::new(n, 0)
}

fn second(n: i64) -> Timestamp {
    Timestamp::from_second(n).unwrap()
}

fn product(bound: Option<u64>, quantity: u64) -> Product {
    Product {
        quantity: Some(quantity),
        version: Version::following(None, Place { partition: 0, offset: 0 }),
        restock_id: RestockId::parse("r").unwrap(),
        recent: vec![],
        bound: bound.map(at),
        bound_of: None,
        planned: None,
        product: None,
    }
}

/// The table that a request is answered from; its clock says millisecond 10 at every step.
#[derive(Default)]
struct Table {
    found: Option<Found>,
    committed: u64,
    entry: bool,
    /// At each look at the product; the last one stays.
    products: Vec<Product>,
    /// How many writes are refused, another request being in the way.
    refused: u32,
}

impl Table {
    /// Answers every step, and gives them as texts.
    fn run(mut self) -> (String, Outcome) {
        let (mut subscribing, mut trace) = (Subscribing::new(Shard(2)), Vec::new());
        loop {
            trace.push(match subscribing.next(Timestamp::from_millisecond(10).unwrap(), 0) {
                Step::Finished(outcome) => return (trace.join(", "), outcome),
                step => named(step),
            });
            self.answer(&mut subscribing);
        }
    }

    fn answer(&mut self, subscribing: &mut Subscribing) {
        match subscribing.next(Timestamp::from_millisecond(10).unwrap(), 0) {
            Step::BackOff(_) => subscribing.on_waited(),
            Step::Insert { position, .. } => {
                let answer = match self.found {
                    Some(found) => Insertion::Found(found),
                    None => match self.write() {
                        Write::Applied => Insertion::Inserted,
                        Write::Refused => Insertion::Conflict,
                    },
                };
                subscribing.on_inserted(position, answer);
            }
            Step::ReadCursor(_) => {
                let cursor = Cursor { committed: at(self.committed), ..Cursor::default() };
                subscribing.on_cursor(&cursor, second(100));
            }
            Step::ReadEntry { .. } => subscribing.on_entry(self.entry),
            Step::TakeOver(_) => subscribing.on_taken_over(self.write()),
            Step::ReadProduct => {
                subscribing.on_product(self.products.first());
                if self.products.len() > 1 {
                    self.products.remove(0);
                }
            }
            Step::Replace { position, .. } => subscribing.on_replaced(position, self.write()),
            Step::Move { to, .. } => subscribing.on_moved(to, self.write()),
            step => panic!("{step:?}"),
        }
    }

    fn write(&mut self) -> Write {
        let is_refused = self.refused > 0;
        self.refused = self.refused.saturating_sub(1);
        if is_refused { Write::Refused } else { Write::Applied }
    }
}

fn named(step: Step<'_>) -> String {
    let n = Position::time_ms;
    match step {
        Step::BackOff(_) => "wait".to_owned(),
        Step::Insert { shard, position } => format!("insert {shard}/{}", n(position)),
        Step::ReadCursor(shard) => format!("cursor {shard}"),
        Step::ReadEntry { shard, position } => format!("entry {shard}/{}", n(position)),
        Step::Replace { found, shard, position } => {
            format!("replace {} by {shard}/{}", n(found), n(position))
        }
        Step::ReadProduct => "product".to_owned(),
        Step::TakeOver(position) => format!("take over {}", n(position)),
        Step::Move { shard, from, to, looked: None } => format!("move {shard}/{} to {}", n(from), n(to)),
        Step::Move { shard, from, to, looked: Some(looked) } => {
            assert_eq!(looked.version, product(None, 0).version);
            format!("move {shard}/{} to {} while {}", n(from), n(to), n(looked.bound))
        }
        step => format!("{step:?}"),
    }
}

/// A subscription in a shard of its own, as an earlier number of shards left it.
fn found(position: u64, ttl: i64) -> Option<Found> {
    Some(Found { shard: Shard(1), position: at(position), ttl })
}

fn subscribed(new: bool, shard: u16, position: Position, in_stock: bool) -> Outcome {
    Outcome::Subscribed(Subscribed { new, shard: Shard(shard), position, in_stock })
}

#[test]
fn a_new_subscriber_writes_and_then_looks_at_the_product() {
    for (products, in_stock) in [
        (vec![], false),
        (vec![product(None, 0)], false),
        (vec![product(None, 5)], true),
        (vec![product(Some(9), 0)], false),
    ] {
        let run = Table { products, ..Table::default() }.run();
        assert_eq!(run, ("insert 2/10, product".to_owned(), subscribed(true, 2, at(10), in_stock)));
    }
}

#[test]
fn an_entry_that_a_fan_out_may_have_missed_moves_past_its_bound_and_looks_again() {
    let products = vec![product(Some(20), 0), product(Some(20), 0)];
    let (steps, outcome) = Table { products, ..Table::default() }.run();
    assert_eq!(steps, "insert 2/10, product, move 2/10 to 20, product");
    assert_eq!(outcome, subscribed(true, 2, at(20).next(), false));
    // Another one was planned meanwhile.
    let products = vec![product(Some(20), 0), product(Some(30), 5), product(Some(30), 5)];
    let (steps, outcome) = Table { products, ..Table::default() }.run();
    assert_eq!(steps, "insert 2/10, product, move 2/10 to 20, product, move 2/20 to 30, product");
    assert_eq!(outcome, subscribed(true, 2, at(30).next(), true));
}

#[test]
fn a_repeat_before_its_turn_keeps_its_place() {
    // Also while a fan-out is under way that will deliver it; past one that has stopped it moves, while the product is as
    // it was looked at, and that is the answer.
    for (products, moves, position, in_stock) in [
        (vec![product(None, 0)], "", at(7), false),
        (vec![product(Some(7), 5)], "", at(7), true),
        (vec![product(Some(7), 0)], ", move 1/7 to 10 while 7", at(10), false),
    ] {
        let run = Table { found: found(7, 200), entry: true, products, committed: 6, refused: 0 }.run();
        let steps = format!("insert 2/10, cursor 1, entry 1/7, take over 7, product{moves}");
        assert_eq!(run, (steps, subscribed(false, 1, position, in_stock)));
    }
}

#[test]
fn a_repeat_after_its_turn_takes_a_place_past_bound_and_cursor() {
    for (case, ttl, committed, bound, entry_read, past) in [
        ("consumed", 200, 7, Some(20), "", at(20).next()),
        ("consumed up to the cursor", 200, 30, Some(20), "", at(30).next()),
        ("consumed long ago", 200, 7, Some(8), "", at(10)),
        ("expired", 100, 3, Some(20), "", at(20).next()),
        ("its entry is gone", 101, 3, Some(20), "entry 1/7, ", at(20).next()),
    ] {
        let products = vec![product(bound, 5)];
        let (steps, outcome) =
            Table { found: found(7, ttl), entry: false, products, committed, refused: 0 }.run();
        let to = past.time_ms();
        assert_eq!(
            steps,
            format!("insert 2/10, cursor 1, {entry_read}product, replace 7 by 2/{to}, product"),
            "{case}"
        );
        assert_eq!(outcome, subscribed(true, 2, past, true), "{case}");
    }
}

#[test]
fn a_refused_write_begins_anew_after_a_wait_and_gives_up_after_ten_rounds() {
    let (steps, outcome) = Table { refused: 2, ..Table::default() }.run();
    assert_eq!(steps, "insert 2/10, wait, insert 2/10, wait, insert 2/10, product");
    assert_eq!(outcome, subscribed(true, 2, at(10), false));
    let (steps, outcome) =
        Table { products: vec![product(Some(20), 0)], refused: 99, ..Table::default() }.run();
    assert_eq!((steps.matches("insert").count(), steps.matches("wait").count()), (10, 9));
    assert_eq!(outcome, Outcome::Contended);
}

#[test]
fn a_refused_take_over_move_or_replacement_begins_anew() {
    let products = vec![product(Some(20), 0)];
    let (steps, _) = Table { found: found(7, 200), entry: true, products, committed: 0, refused: 1 }.run();
    assert!(steps.contains("take over 7, wait, insert 2/10, cursor 1"), "{steps}");
    let mut subscribing = Subscribing::new(Shard(2));
    let products = vec![product(Some(20), 0)];
    let mut table = Table { found: found(7, 200), entry: true, products, ..Table::default() };
    while !matches!(subscribing.next(second(0), 0), Step::Move { .. }) {
        table.answer(&mut subscribing);
    }
    subscribing.on_moved(at(21), Write::Refused);
    assert!(matches!(subscribing.next(second(0), 0), Step::BackOff(_)));
    let products = vec![product(Some(20), 0)];
    let (steps, _) = Table { found: found(7, 200), entry: true, products, committed: 7, refused: 1 }.run();
    assert!(steps.contains("replace 7 by 2/20, wait, insert 2/10, cursor 1"), "{steps}");
}

#[test]
fn each_wait_is_longer_than_the_one_before_up_to_a_limit() {
    for (round, least, most) in [(0, 0, 0), (1, 8, 22), (2, 16, 44), (5, 128, 352), (9, 128, 352)] {
        let waits: Vec<u128> = (0..8).map(|random| backoff(round, random).as_millis()).collect();
        assert_eq!((waits[0], waits[7]), (least, most), "{round}");
    }
}

#[test]
#[should_panic(expected = "another step")]
fn an_answer_to_another_step_is_a_mistake() {
    Subscribing::new(Shard(0)).on_moved(at(1), Write::Applied);
}
