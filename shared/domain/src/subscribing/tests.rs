#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use crate::RestockId;
use crate::cursor::Cursor;
use crate::product::{Product, StoredProduct};
use crate::rules::Rules;
use crate::stock::{Place, Version};

fn at(n: u64) -> Position {
    Position::new(n, 0)
}

fn second(n: i64) -> Timestamp {
    Timestamp::from_second(n).unwrap()
}

fn product(bound: Option<u64>, quantity: u64) -> Product {
    let version = Version::following(None, Place { partition: 0, offset: 0 });
    Product {
        quantity: Some(quantity),
        bound: bound.map(at),
        ..Product::bare(version, RestockId::parse("r").unwrap())
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
    /// The shards on the product's item; the default is what the request knows, eight.
    shards: Option<Shards>,
    /// The lane of a new place; the default is [`Lane::Mail`].
    lane: Option<Lane>,
    /// Whether the request counts what waits, of a list that is to have sixteen shards, and what it finds.
    waiting: Option<Option<u64>>,
    /// Whether the raise fails.
    raise_fails: bool,
    /// What a confirmation finds; without it the request confirms nothing.
    standing: Option<Standing>,
}

/// In the third of eight shards, and in the eleventh of sixteen.
const SUBSCRIBER: SubscriberHash = SubscriberHash(10);

fn shards(count: u16) -> ShardCount {
    ShardCount::new(count).unwrap()
}

impl Table {
    fn subscribing(&self) -> Subscribing {
        let known = Shards::mail(if self.waiting.is_some() { ShardCount::ONE } else { shards(8) });
        let new = if self.standing.is_some() { Subscribing::confirming } else { Subscribing::new };
        new(SUBSCRIBER, self.lane.unwrap_or(Lane::Mail), known, shards(16), self.waiting.is_some())
    }

    fn stored(&self) -> StoredProduct {
        StoredProduct {
            product: self.products.first().cloned(),
            shards: self.shards.unwrap_or(Shards::mail(shards(8))),
            rules: Rules::default(),
        }
    }

    /// Answers every step, and gives them as texts.
    fn run(mut self) -> (String, Outcome) {
        let (mut subscribing, mut trace) = (self.subscribing(), Vec::new());
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
                subscribing.on_product(&self.stored());
                if self.products.len() > 1 {
                    self.products.remove(0);
                }
            }
            Step::Replace { position, .. } => subscribing.on_replaced(position, self.write()),
            Step::Move { to, .. } => subscribing.on_moved(to, self.write()),
            Step::CountWaiting(_) => subscribing.on_counted(self.waiting.flatten()),
            Step::RaiseShards(..) => subscribing.on_raised(!self.raise_fails),
            Step::OpenLane(_) => subscribing.on_lane_opened(self.write()),
            Step::ReadSubscription => subscribing.on_subscription(self.standing.unwrap()),
            Step::Confirm { .. } => subscribing.on_confirmed(self.write()),
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
        Step::ReadSubscription => "subscription".to_owned(),
        Step::Confirm { asked, shard } => format!("confirm {shard}/{}", n(asked)),
        Step::CountWaiting(shard) => format!("count {shard}"),
        Step::RaiseShards(lane, count) => format!("raise {} to {}", Shard::first(lane), count.get()),
        Step::OpenLane(lane) => format!("open {}", Shard::first(lane)),
        step => format!("{step:?}"),
    }
}

/// A subscription in a shard of its own, as an earlier number of shards left it.
fn found(position: u64, ttl: i64) -> Option<Found> {
    Some(Found { shard: Shard::mail(1), position: at(position), ttl })
}

fn subscribed(new: bool, shard: u16, position: Position, in_stock: bool) -> Outcome {
    Outcome::Subscribed(Subscribed { new, shard: Shard::mail(shard), position, in_stock })
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
        assert_eq!(run, ("insert m0.2/10, product".to_owned(), subscribed(true, 2, at(10), in_stock)));
    }
}

#[test]
fn an_entry_that_a_fan_out_may_have_missed_moves_past_its_bound_and_looks_again() {
    let products = vec![product(Some(20), 0), product(Some(20), 0)];
    let (steps, outcome) = Table { products, ..Table::default() }.run();
    assert_eq!(steps, "insert m0.2/10, product, move m0.2/10 to 20, product");
    assert_eq!(outcome, subscribed(true, 2, at(20).next(), false));
    // Another one was planned meanwhile.
    let products = vec![product(Some(20), 0), product(Some(30), 5), product(Some(30), 5)];
    let (steps, outcome) = Table { products, ..Table::default() }.run();
    assert_eq!(steps, "insert m0.2/10, product, move m0.2/10 to 20, product, move m0.2/20 to 30, product");
    assert_eq!(outcome, subscribed(true, 2, at(30).next(), true));
}

#[test]
fn a_repeat_before_its_turn_keeps_its_place() {
    // Also while a fan-out is under way that will deliver it; past one that has stopped it moves, while the product is as
    // it was looked at, and that is the answer.
    for (products, moves, position, in_stock) in [
        (vec![product(None, 0)], "", at(7), false),
        (vec![product(Some(7), 5)], "", at(7), true),
        (vec![product(Some(7), 0)], ", move m0.1/7 to 10 while 7", at(10), false),
    ] {
        let run =
            Table { found: found(7, 200), entry: true, products, committed: 6, ..Table::default() }.run();
        let steps = format!("insert m0.2/10, cursor m0.1, entry m0.1/7, take over 7, product{moves}");
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
        ("its entry is gone", 101, 3, Some(20), "entry m0.1/7, ", at(20).next()),
    ] {
        let products = vec![product(bound, 5)];
        let (steps, outcome) =
            Table { found: found(7, ttl), entry: false, products, committed, ..Table::default() }.run();
        let to = past.time_ms();
        assert_eq!(
            steps,
            format!("insert m0.2/10, cursor m0.1, {entry_read}product, replace 7 by m0.2/{to}, product"),
            "{case}"
        );
        assert_eq!(outcome, subscribed(true, 2, past, true), "{case}");
    }
}

#[test]
fn a_refused_write_begins_anew_after_a_wait_and_gives_up_after_ten_rounds() {
    let (steps, outcome) = Table { refused: 2, ..Table::default() }.run();
    assert_eq!(steps, "insert m0.2/10, wait, insert m0.2/10, wait, insert m0.2/10, product");
    assert_eq!(outcome, subscribed(true, 2, at(10), false));
    let (steps, outcome) =
        Table { products: vec![product(Some(20), 0)], refused: 99, ..Table::default() }.run();
    assert_eq!((steps.matches("insert").count(), steps.matches("wait").count()), (10, 9));
    assert_eq!(outcome, Outcome::Contended);
}

#[test]
fn a_refused_take_over_move_or_replacement_begins_anew() {
    let products = vec![product(Some(20), 0)];
    let (steps, _) =
        Table { found: found(7, 200), entry: true, products, refused: 1, ..Table::default() }.run();
    assert!(steps.contains("take over 7, wait, insert m0.2/10, cursor m0.1"), "{steps}");
    let mut subscribing = Table::default().subscribing();
    let products = vec![product(Some(20), 0)];
    let mut table = Table { found: found(7, 200), entry: true, products, ..Table::default() };
    while !matches!(subscribing.next(second(0), 0), Step::Move { .. }) {
        table.answer(&mut subscribing);
    }
    subscribing.on_moved(at(21), Write::Refused);
    assert!(matches!(subscribing.next(second(0), 0), Step::BackOff(_)));
    let products = vec![product(Some(20), 0)];
    let (steps, _) =
        Table { found: found(7, 200), entry: true, products, committed: 7, refused: 1, ..Table::default() }
            .run();
    assert!(steps.contains("replace 7 by m0.2/20, wait, insert m0.2/10, cursor m0.1"), "{steps}");
}

#[test]
fn a_confirmation_takes_the_place_of_the_ask_and_looks_at_the_product() {
    let pending = Some(Standing::Pending { asked: at(5), lane: Lane::Mail });
    let table = Table { standing: pending, ..Table::default() };
    assert_eq!(
        table.run(),
        ("subscription, confirm m0.2/5, product".to_owned(), subscribed(true, 2, at(5), false))
    );
    let products = vec![product(Some(7), 9), product(Some(7), 9)];
    let (steps, outcome) = Table { standing: pending, products, ..Table::default() }.run();
    assert_eq!(
        steps, "subscription, confirm m0.2/5, product, move m0.2/5 to 10, product",
        "a fan-out has passed by"
    );
    assert!(matches!(outcome, Outcome::Subscribed(Subscribed { new: true, in_stock: true, .. })));
    let (steps, _) = Table { standing: pending, refused: 1, ..Table::default() }.run();
    assert_eq!(steps, "subscription, confirm m0.2/5, wait, subscription, confirm m0.2/5, product");
}

#[test]
fn a_confirmation_without_an_ask_is_gone_and_a_second_one_goes_on_as_a_repeat() {
    let gone = Table { standing: Some(Standing::Gone), ..Table::default() };
    assert_eq!(gone.run(), ("subscription".to_owned(), Outcome::Gone));
    let second = |settled, committed| {
        let found = Found { shard: Shard::mail(1), position: at(5), ttl: i64::MAX };
        let standing = Some(Standing::Confirmed { found, settled });
        Table { standing, committed, entry: true, ..Table::default() }.run()
    };
    for settled in [false, true] {
        let (steps, outcome) = second(settled, 4);
        assert_eq!(steps, "subscription, cursor m0.1, entry m0.1/5, take over 5, product");
        assert_eq!(outcome, subscribed(false, 1, at(5), false));
    }
    assert_eq!(second(true, 5), ("subscription, cursor m0.1".to_owned(), Outcome::Over), "told already");
    let (steps, outcome) = second(false, 5);
    assert_eq!(
        steps, "subscription, cursor m0.1, product, replace 5 by m0.2/10, product",
        "passed by before a look"
    );
    assert!(matches!(outcome, Outcome::Subscribed(Subscribed { new: true, .. })));
}

#[test]
fn a_request_that_counts_raises_a_list_that_is_long_after_its_answer_stands() {
    let long = u64::from(LONG);
    for (waiting, raise_fails, steps, known) in [
        (Some(long), false, "count m0.0, raise m0.0 to 16", 16),
        (Some(long), true, "count m0.0, raise m0.0 to 16", 1),
        (Some(long - 1), false, "count m0.0", 1),
        (None, false, "count m0.0", 1),
    ] {
        let one = Some(Shards::ONE);
        let mut table = Table { waiting: Some(waiting), shards: one, raise_fails, ..Table::default() };
        let mut subscribing = table.subscribing();
        let mut trace = Vec::new();
        let outcome = loop {
            match subscribing.next(second(1), 0) {
                Step::Finished(outcome) => break outcome,
                step => trace.push(named(step)),
            }
            table.answer(&mut subscribing);
        };
        assert_eq!(trace.join(", "), format!("insert m0.0/1000, product, {steps}"), "{waiting:?}");
        assert_eq!(outcome, subscribed(true, 0, at(10), false));
        // No writer uses a shard of the new number before it is written.
        assert_eq!(subscribing.known_shards(), Shards::mail(shards(known)), "{waiting:?} {raise_fails}");
    }
}

const PRIORITY: Option<Lane> = Some(Lane::PriorityMail);

/// What the product's item has with an open priority lane.
fn opened() -> Option<Shards> {
    Some(Shards::mail(shards(8)).raised(Lane::PriorityMail, ShardCount::ONE))
}

#[test]
fn a_lane_that_is_not_known_to_be_there_is_opened_before_an_entry_is_written_to_it() {
    let priority = || Table { lane: PRIORITY, ..Table::default() };
    assert_eq!(priority().run().0, "open m1.0, insert m1.0/10, product");
    let (steps, outcome) = Table { refused: 1, ..priority() }.run();
    assert_eq!(steps, "open m1.0, wait, open m1.0, insert m1.0/10, product", "another was in the way");
    let shard = Shard::first(Lane::PriorityMail);
    let new = Subscribed { new: true, shard, position: at(10), in_stock: false };
    assert_eq!(outcome, Outcome::Subscribed(new));
    // Known, it is not opened again; and what this request has opened, a later one knows.
    let mut first = priority().subscribing();
    first.on_lane_opened(Write::Applied);
    let most = shards(16);
    for known in [first.known_shards(), opened().unwrap()] {
        let later = Subscribing::new(SUBSCRIBER, Lane::PriorityMail, known, most, false);
        assert_eq!(named(later.next(second(0), 0)), "insert m1.0/0", "{known:?}");
    }
    let ordinary = Table { shards: opened(), ..Table::default() };
    assert_eq!(ordinary.run().0, "insert m0.2/10, product");
}

#[test]
fn a_waiting_place_stays_in_its_lane_and_a_replaced_one_goes_to_that_of_the_request() {
    let (steps, outcome) =
        Table { lane: PRIORITY, found: found(7, 200), entry: true, shards: opened(), ..Table::default() }
            .run();
    assert_eq!(steps, "open m1.0, insert m1.0/10, cursor m0.1, entry m0.1/7, take over 7, product");
    assert_eq!(outcome, subscribed(false, 1, at(7), false));
    let (steps, _) = Table { lane: PRIORITY, found: found(7, 200), committed: 7, ..Table::default() }.run();
    assert!(steps.ends_with("cursor m0.1, product, replace 7 by m1.0/10, product"), "{steps}");
    let shard = Shard::first(Lane::PriorityMail);
    let with_priority = Some(Found { shard, position: at(7), ttl: 200 });
    let (steps, _) = Table { found: with_priority, committed: 7, ..Table::default() }.run();
    assert_eq!(steps, "insert m0.2/10, cursor m1.0, product, replace 7 by m0.2/10, product");
}

#[test]
fn a_confirmation_takes_the_lane_of_the_ask_or_its_own_whichever_comes_first() {
    for (asked_in, own, steps) in [
        (Lane::Mail, None, "subscription, confirm m0.2/5, product"),
        (Lane::PriorityMail, None, "subscription, open m1.0, confirm m1.0/5, product"),
        (Lane::Mail, PRIORITY, "subscription, open m1.0, confirm m1.0/5, product"),
    ] {
        let standing = Some(Standing::Pending { asked: at(5), lane: asked_in });
        assert_eq!(Table { standing, lane: own, ..Table::default() }.run().0, steps, "{asked_in:?} {own:?}");
    }
    // One that died before its look, and whose entry a fan-out has passed by: the same ask takes its new place.
    let found = Found { shard: Shard::first(Lane::PriorityMail), position: at(5), ttl: i64::MAX };
    let standing = Some(Standing::Confirmed { found, settled: false });
    let (steps, _) = Table { standing, committed: 5, ..Table::default() }.run();
    assert_eq!(steps, "subscription, cursor m1.0, product, open m1.0, replace 5 by m1.0/10, product");
}

#[test]
fn a_lane_grows_as_the_first_one_does() {
    let shards = Some(Shards::ONE.raised(Lane::PriorityMail, ShardCount::ONE));
    let table = Table { lane: PRIORITY, waiting: Some(Some(u64::from(LONG))), shards, ..Table::default() };
    let steps = "open m1.0, insert m1.0/10, product, count m1.0, raise m1.0 to 16";
    assert_eq!(table.run().0, steps);
}

#[test]
#[should_panic(expected = "another step")]
fn a_place_in_a_lane_that_is_not_opened_is_a_mistake() {
    let mut subscribing = Table { lane: PRIORITY, ..Table::default() }.subscribing();
    subscribing.on_inserted(at(1), Insertion::Inserted);
}

#[test]
fn only_a_new_place_in_the_first_shard_of_a_list_that_may_be_raised_is_counted() {
    let recorded = |count| Some(Shards::mail(shards(count)));
    let counting = || Table { waiting: Some(Some(999)), ..Table::default() };
    for (case, table, counts) in [
        ("new", Table { shards: recorded(1), ..counting() }, true),
        ("raised meanwhile", Table { shards: recorded(16), ..counting() }, false),
        ("a repeat", Table { found: found(7, 200), entry: true, shards: recorded(1), ..counting() }, false),
        (
            "replaced, by the number that was read with the bound",
            Table { found: found(7, 200), committed: 7, shards: recorded(8), ..counting() },
            false,
        ),
        ("one that does not", Table { waiting: None, shards: recorded(1), ..counting() }, false),
    ] {
        assert_eq!(table.run().0.contains("count m0.0"), counts, "{case}");
    }
    let counted = (0..6_400_u128).filter(|random| counts(*random)).count();
    assert_eq!(counted, 100);
}

#[test]
fn a_contended_request_waits_longer_each_time_and_gives_up_after_ten_rounds() {
    let mut subscribing = Table::default().subscribing();
    let mut waits = Vec::new();
    loop {
        match subscribing.next(second(0), 0) {
            Step::Insert { position, .. } => subscribing.on_inserted(position, Insertion::Conflict),
            Step::BackOff(wait) => {
                waits.push(wait.as_millis());
                subscribing.on_waited();
            }
            step => break assert_eq!(step, Step::Finished(Outcome::Contended)),
        }
    }
    assert_eq!(waits, [8, 16, 32, 64, 128, 128, 128, 128, 128]);
}

#[test]
#[should_panic(expected = "another step")]
fn an_answer_to_another_step_is_a_mistake() {
    Table::default().subscribing().on_moved(at(1), Write::Applied);
}
