//! Waves and what is due: the conditions of their writes, the timers, and how far a wave is found to come.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use domain::planning::{Fix, Found, Line, Update};
use domain::product::{Awaited, Due, Reach, Wave};
use domain::rules::{Availability, Rules};
use domain::stock::{Place, Version};
use domain::{Address, Locale, PersonId, Position, ProductId, RestockId, Shard};
use jiff::{SignedDuration, Timestamp};
use notify_me_store::timer::{self, Timer};
use notify_me_store::waitlist::Entry;
use notify_me_store::{Outcome, Store, test_util, wave};

const APPLIED: Outcome = Outcome::Applied(());
const REFUSED: Outcome = Outcome::Refused(());

async fn store() -> Store {
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    test_util::store(&aws).await.unwrap()
}

fn product() -> ProductId {
    ProductId::parse("p#1").unwrap()
}

fn at(n: u64) -> Position {
    Position::new(n, 0)
}

fn second(n: i64) -> Timestamp {
    Timestamp::from_second(n).unwrap()
}

fn version(n: i64) -> Version {
    Version::new(Some(second(n)), None, second(n), Place { partition: 0, offset: n }).unwrap()
}

fn due(n: i64, what: Awaited) -> Option<Due> {
    Some(Due::new(second(n), what))
}

fn update(seen: Option<i64>, second: i64, quantity: u64, due: Option<Due>) -> Update {
    Update {
        seen: seen.map(version),
        version: version(second),
        restock: RestockId::parse("r").unwrap(),
        quantity: Some(quantity),
        availability: Availability::FewLeft,
        rules: Some(Box::new(Rules { min_stock: Some(2), ..Rules::default() })),
        own_rules: Some(Box::new(Rules { reserve: Some(2), ..Rules::default() })),
        variant: None,
        variants: vec![],
        due,
        details: None,
        recent: vec![],
        keeps_plan: false,
    }
}

fn fix(turn: u64, wave: Option<Wave>, due: Option<Due>, is_next_wave: bool) -> Fix {
    let (restock, bound) = (RestockId::parse("r").unwrap(), Some(at(90)));
    let rules = Some(Box::new(Rules { wave_size: Some(3), ..Rules::default() }));
    let farthest = wave.map(|wave| wave.reach);
    Fix { restock, version: version(1), bound, turn, wave, farthest, due, rules, is_next_wave }
}

#[tokio::test]
async fn a_product_keeps_its_rules_its_wave_and_what_it_waits_for() {
    let (store, id) = (store().await, product());
    let products = store.products();
    let held = update(None, 1, 5, due(60, Awaited::Plan));
    assert!(products.record_stock_update(&id, &held).await.unwrap().is_applied());
    let known = products.get(&id).await.unwrap().unwrap();
    assert_eq!(known, held.clone().recorded_over(None));
    // A level leaves what it waits for.
    let level = update(Some(1), 2, 4, None);
    assert!(products.record_sale(&id, &level).await.unwrap().is_applied());
    assert_eq!(products.get(&id).await.unwrap(), Some(level.level_over(known.clone())));
    // One that has read the product before its bound was fixed is refused, and decided anew.
    let bound = Fix { version: version(2), ..fix(0, None, due(9, Awaited::End), false) };
    assert!(products.fix_bound(&id, &bound).await.unwrap().is_applied());
    let late = update(Some(2), 3, 3, None);
    assert!(!products.record_sale(&id, &late).await.unwrap().is_applied());
    let planned = Update { keeps_plan: true, ..late };
    assert!(products.record_sale(&id, &planned).await.unwrap().is_applied());
    assert!(products.get(&id).await.unwrap().unwrap().is_planned());
    // A sell-out does not.
    let sold_out = update(Some(3), 4, 0, None);
    assert!(products.record_stock_update(&id, &sold_out).await.unwrap().is_applied());
    assert_eq!(products.get(&id).await.unwrap().unwrap().due, None);
}

#[tokio::test]
async fn a_wave_is_opened_once_and_only_over_the_one_that_was_seen() {
    let (store, id) = (store().await, product());
    let products = store.products();
    assert!(products.record_stock_update(&id, &update(None, 1, 5, None)).await.unwrap().is_applied());
    let wave = |number| Some(Wave { number, reach: Reach::all(at(number * 10)), size: Some(3) });
    let next = fix(1, wave(2), due(9, Awaited::End), true);
    assert!(!products.fix_bound(&id, &next).await.unwrap().is_applied(), "no bound stands");
    let first = fix(0, wave(1), due(7, Awaited::End), false);
    let before = products.get(&id).await.unwrap().unwrap();
    assert!(products.fix_bound(&id, &first).await.unwrap().is_applied());
    let stands = products.get(&id).await.unwrap().unwrap();
    assert_eq!(stands, first.written_over(before));
    assert_eq!((stands.reach(), stands.turn), (Some(Reach::all(at(10))), 1));
    assert!(first.applies_to(&stands) == products.fix_bound(&id, &first).await.unwrap().is_applied());
    assert!(next.applies_to(&stands) && products.fix_bound(&id, &next).await.unwrap().is_applied());
    assert!(!products.fix_bound(&id, &next).await.unwrap().is_applied(), "another sweep has opened it");
    // The last one has no wave any more.
    let all = fix(2, None, None, true);
    assert!(products.fix_bound(&id, &all).await.unwrap().is_applied());
    let known = products.get(&id).await.unwrap().unwrap();
    assert_eq!((known.reach(), known.wave, known.due), (Some(Reach::all(at(90))), None, None));
}

#[tokio::test]
async fn what_is_due_is_put_off_only_where_the_product_waits_for_it() {
    let (store, id) = (store().await, product());
    let products = store.products();
    let [plan, later, wave] = [due(60, Awaited::Plan), due(90, Awaited::Plan), due(60, Awaited::Wave)];
    let put_off =
        async |turn, seen: Option<Due>, next| products.put_off(&id, turn, seen.unwrap(), next).await.unwrap();
    assert_eq!(put_off(0, plan, later).await, REFUSED, "there is no product");
    assert!(products.record_stock_update(&id, &update(None, 1, 5, plan)).await.unwrap().is_applied());
    for (turn, seen) in [(1, plan), (0, later), (0, wave)] {
        assert_eq!(put_off(turn, seen, None).await, REFUSED);
    }
    assert_eq!(put_off(0, plan, later).await, APPLIED);
    assert_eq!(products.get(&id).await.unwrap().unwrap().due, later);
    assert!(products.fix_bound(&id, &fix(0, None, wave, false)).await.unwrap().is_applied());
    assert_eq!(put_off(0, wave, None).await, REFUSED, "a bound was fixed since");
    assert_eq!(put_off(1, wave, None).await, APPLIED);
    assert_eq!(products.get(&id).await.unwrap().unwrap().due, None);
}

#[tokio::test]
async fn timers_that_have_run_down_come_in_their_order_and_only_those() {
    let store = store().await;
    let timer = |n: i64| Timer { product_id: product(), due: due(n, Awaited::Wave).unwrap() };
    for n in [30, 10, 20, 40] {
        store.timers().put(&timer(n)).await.unwrap();
    }
    let run_down = async |now: i64| {
        let mut found = Vec::new();
        for bucket in 0..timer::BUCKETS.get() {
            let mut pages = store.timers().run_down(bucket, second(now));
            while let Some(page) = pages.next().await.unwrap() {
                found.extend(page.into_iter().map(|row| row.ok().unwrap()));
            }
        }
        found
    };
    assert_eq!(run_down(9).await, []);
    assert_eq!(run_down(30).await, [timer(10), timer(20), timer(30)]);
    store.timers().remove(&timer(20)).await.unwrap();
    assert_eq!(run_down(1_000_000).await, [timer(10), timer(30), timer(40)]);
}

fn entry(n: u64, moved: bool, ttl: i64) -> Entry {
    Entry {
        subscriber: PersonId::from_bytes([u8::try_from(n % 256).unwrap(); 16]),
        address: Address::parse(&format!("shopper{n}@example.com")).unwrap(),
        locale: Locale::default(),
        name: None,
        moved,
        ttl,
    }
}

#[tokio::test]
async fn a_wave_comes_to_the_place_of_its_last_subscriber_over_all_shards() {
    let (store, id, now) = (store().await, product(), second(1_000));
    let future = (now + SignedDuration::from_hours(1)).as_second();
    // Three shards: every multiple of 3, the rest of the even numbers, and one that is empty.
    let shards = [Shard::mail(0), Shard::mail(1), Shard::mail(2)];
    let places = [(1..=150).map(|n| n * 3).collect::<Vec<u64>>(), vec![1, 2, 4, 8, 16, 100, 400], vec![]];
    for (shard, places) in shards.iter().zip(&places) {
        for part in places.chunks(25) {
            let ttl = |n: u64| if n == 12 { 999 } else { future };
            let entries = part.iter().map(|n| (*shard, at(*n), entry(*n, *n == 9, ttl(*n))));
            store.seed_entries(&id, entries).await.unwrap();
        }
    }
    let lines = |after: [u64; 3], through: u64| -> Vec<Line> {
        let through = at(through);
        let line =
            |(shard, after): (&Shard, u64)| Line { shard: *shard, after: at(after), through, is_idle: true };
        shards.iter().zip(after).map(line).collect()
    };
    let find = async |after, ceiling, size| {
        wave::find(&store, &id, (&lines(after, ceiling), size), now).await.unwrap()
    };
    let firsts =
        |all: &[(u16, u64)]| all.iter().map(|(shard, n)| (Shard::mail(*shard), at(*n))).collect::<Vec<_>>();
    for (after, ceiling, size, bound, first) in [
        // 1, 2, 3, 4, 6, 8, 15, 16: without 9, which has moved, and 12, whose time is over.
        ([0, 0, 0], 500, 1, 1, vec![(0, 3), (1, 1)]),
        ([0, 0, 0], 500, 6, 8, vec![(0, 3), (1, 1)]),
        ([0, 0, 0], 500, 7, 15, vec![(0, 3), (1, 1)]),
        ([6, 4, 0], 500, 2, 15, vec![(0, 15), (1, 8)]),
        // Far into the first shard: 146 of it are waiting past 15, and two of the other before 447.
        ([15, 16, 0], 500, 140, 429, vec![(0, 18), (1, 100)]),
        // Fewer wait than it has room for, and none past the ceiling is taken.
        ([0, 0, 0], 500, 10_000, 450, vec![(0, 3), (1, 1)]),
        ([0, 0, 0], 5, 10_000, 4, vec![(0, 3), (1, 1)]),
        ([450, 100, 0], 500, 3, 400, vec![(1, 400)]),
    ] {
        let expected = Some(Found {
            reach: Reach { mail: at(bound), priority: Position::START },
            firsts: firsts(&first),
        });
        assert_eq!(find(after, ceiling, size).await, expected, "{after:?} {ceiling} {size}");
    }
    assert_eq!(find([450, 400, 0], 500, 3).await, None);
    assert_eq!(find([3, 3, 3], 3, 3).await, None);
}
