//! The guarantees of the conditional writes and the meaning of the reads, on a DynamoDB in memory.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;

use domain::budget::{Cut, Rate};
use domain::cursor::{Answer, Cursor, Tally};
use domain::job::{Job, Ticket};
use domain::planning::{Fix, Update};
use domain::product::{Product, StockEvent, StoredProduct};
use domain::rules::{Availability, Rules};
use domain::stock::{Place, Version};
use domain::subscribing::Looked;
use domain::suppression::Reason;
use domain::{
    Address, Lane, Locale, PersonId, Position, ProductId, RestockId, Shard, ShardCount, Shards, UserId,
};
use jiff::Timestamp;
use notify_me_store::budget::{BudgetState, SlotCount};
use notify_me_store::consent::Consent;
use notify_me_store::cursor::{StoredCursor, Swapped};
use notify_me_store::fanout::BUCKETS;
use notify_me_store::name::Named;
use notify_me_store::person::Person;
use notify_me_store::subscription::{Confirmation, Move, Pending, RequestId, Subscription};
use notify_me_store::summary::{IN_DOUBT, Planned, UNREADABLE};
use notify_me_store::waitlist::{Count, Counting, Entry, Row};
use notify_me_store::{Outcome, Store, test_util};

const APPLIED: Outcome = Outcome::Applied(());
const REFUSED: Outcome = Outcome::Refused(());
const SHARD: Shard = Shard::mail(3);

async fn aws() -> aws_config::SdkConfig {
    lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await
}

async fn store() -> Store {
    test_util::store(&aws().await).await.unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn at(n: u64) -> Position {
    Position::new(n, 0)
}

fn product(id: &str) -> ProductId {
    ProductId::parse(id).unwrap()
}

fn restock(id: &str) -> RestockId {
    RestockId::parse(id).unwrap()
}

fn version(second: i64) -> Version {
    let place = Place { partition: 0, offset: 0 };
    Version::new(Some(Timestamp::from_second(second).unwrap()), None, now(), place).unwrap()
}

fn subscriber(n: u64) -> PersonId {
    PersonId::from_bytes(u128::from(n).to_be_bytes())
}

/// An entry that expires in `seconds`.
fn entry(n: u64, seconds: i64) -> Entry {
    Entry {
        subscriber: subscriber(n),
        address: Address::parse(&format!("{n}@example.com")).unwrap(),
        locale: Locale::default(),
        name: None,
        moved: false,
        ttl: now().as_second() + seconds,
    }
}

fn subscription(n: u64) -> Subscription {
    Subscription {
        position: at(n),
        shard: SHARD,
        created_at: now(),
        channel: "email".to_owned(),
        confirmed_at: None,
        locale: Locale::default(),
        user_id: None,
        by: Some(RequestId::new(1)),
        pending: None,
        emailed: None,
        ttl: now().as_second() + 9,
    }
}

/// An update of a product that was seen at this second.
fn update(seen: Option<i64>, second: i64, restock: &RestockId, quantity: Option<u64>) -> Update {
    Update {
        seen: seen.map(version),
        version: version(second),
        restock: restock.clone(),
        quantity,
        details: None,
        recent: vec![],
        availability: Availability::InStock,
        rules: None,
        own_rules: None,
        variant: None,
        variants: vec![],
        due: None,
        keeps_plan: true,
    }
}

/// The bound of the update of this second.
fn fix(name: &RestockId, second: i64, bound: Option<Position>) -> Fix {
    let (restock, version) = (name.clone(), version(second));
    Fix {
        restock,
        version,
        bound,
        turn: 0,
        wave: None,
        farthest: None,
        due: None,
        rules: None,
        is_next_wave: false,
    }
}

#[tokio::test]
async fn a_stock_update_is_recorded_where_the_product_is_as_it_was_seen() {
    let store = store().await;
    let (id, r, s) = (product("p"), restock("r"), restock("s"));
    // The number of shards may be there before anything else, and decides nothing.
    let shards = ShardCount::new(4).unwrap();
    assert_eq!(store.products().raise_shards(&id, Lane::Mail, shards).await.unwrap(), APPLIED);
    let record = async |update: &Update| {
        let recorded = store.products().record_stock_update(&id, update).await.unwrap();
        let (Outcome::Applied(before) | Outcome::Refused(before)) = &recorded;
        assert_eq!(before.shards, Shards::mail(shards), "as it was, and stays");
        let applied = recorded.is_applied();
        let (Outcome::Applied(stored) | Outcome::Refused(stored)) = recorded;
        if applied { Outcome::Applied(stored.product) } else { Outcome::Refused(stored.product) }
    };
    assert_eq!(record(&update(Some(1), 2, &r, Some(5))).await, Outcome::Refused(None));
    assert_eq!(record(&update(None, 2, &r, Some(5))).await, Outcome::Applied(None));
    let first = store.products().get(&id).await.unwrap();
    assert_eq!(
        store.products().fix_bound(&id, &fix(&r, 2, Some(at(50)))).await.unwrap(),
        Outcome::Applied(())
    );
    let stands = store.products().get(&id).await.unwrap();
    for seen in [None, Some(1), Some(3)] {
        let refused = record(&update(seen, 4, &s, Some(0))).await;
        assert_eq!(refused, Outcome::Refused(stands.clone()), "{seen:?}");
    }
    assert_ne!(first, stands);
    // A version may be any: whether it is newer was decided before.
    let event = StockEvent {
        restock: s.clone(),
        quantity: None,
        availability: Availability::InStock,
        version: None,
        place: Place { partition: 3, offset: 4 },
        told_by_id: false,
    };
    let recent = Product::recent_after(None, &event);
    let unknown = Update { recent: recent.clone(), ..update(Some(2), 1, &s, None) };
    assert_eq!(record(&unknown).await, Outcome::Applied(stands));
    let known = store.products().get(&id).await.unwrap().unwrap();
    assert_eq!((&known.version, known.quantity, &known.recent), (&version(1), None, &recent));
    assert_eq!((known.bound, known.bound_of.as_ref()), (Some(at(50)), Some(&r)), "the bound stays");
    assert!(!known.is_planned());
}

#[tokio::test]
async fn a_sale_is_recorded_of_the_version_that_was_seen_and_leaves_the_restock() {
    let store = store().await;
    let (id, name, of) = (product("p"), restock("r"), restock("sale"));
    let products = store.products();
    assert!(products.record_stock_update(&id, &update(None, 1, &name, Some(9))).await.unwrap().is_applied());
    assert!(products.fix_bound(&id, &fix(&name, 1, Some(at(5)))).await.unwrap().is_applied());
    assert_eq!(
        products.record_sale(&id, &update(Some(1), 2, &of, Some(4))).await.unwrap(),
        Outcome::Applied(())
    );
    let sold = products.get(&id).await.unwrap().unwrap();
    assert_eq!((&sold.version, sold.quantity, &sold.restock_id), (&version(2), Some(4), &name));
    assert!(sold.is_planned() && sold.bound == Some(at(5)));
    let late = update(Some(1), 3, &of, Some(3));
    let stands = StoredProduct { product: Some(sold), shards: Shards::ONE, rules: Rules::default() };
    assert_eq!(products.record_sale(&id, &late).await.unwrap(), Outcome::Refused(stands));
}

#[tokio::test]
async fn the_rules_of_a_product_stand_beside_it_whether_it_is_known_or_not() {
    let store = store().await;
    let (id, name, products) = (product("ruled"), restock("r"), store.products());
    products.set_rules(&id, None).await.unwrap();
    let rules: Rules =
        r#"{"minStock":5,"perUnit":2.5,"window":{"from":"08:00","to":"20:00","zone":"Europe/Berlin"}}"#
            .parse()
            .unwrap();
    products.set_rules(&id, Some(&rules)).await.unwrap();
    assert_eq!(products.get(&id).await.unwrap(), None, "no stock update has come");
    let before = StoredProduct { product: None, shards: Shards::ONE, rules: rules.clone() };
    assert_eq!(products.read(&id).await.unwrap(), before);

    // Neither a stock update nor the number of shards touches them, nor they those.
    let update = update(None, 1, &name, Some(9));
    assert_eq!(products.record_stock_update(&id, &update).await.unwrap(), Outcome::Applied(before));
    assert_eq!(products.raise_shards(&id, Lane::Mail, ShardCount::new(4).unwrap()).await.unwrap(), APPLIED);
    let known = products.get(&id).await.unwrap();
    let fewer: Rules = r#"{"reserve":1}"#.parse().unwrap();
    for (set, stands) in [(Some(&fewer), fewer.clone()), (None, Rules::default()), (None, Rules::default())] {
        products.set_rules(&id, set).await.unwrap();
        let shards = Shards::mail(ShardCount::new(4).unwrap());
        assert_eq!(
            products.read(&id).await.unwrap(),
            StoredProduct { product: known.clone(), shards, rules: stands }
        );
    }
    products.set_rules(&id, Some(&fewer)).await.unwrap();
    products.set_rules(&id, Some(&Rules::default())).await.unwrap();
    assert!(products.read(&id).await.unwrap().rules.is_empty(), "empty ones are none");
}

#[tokio::test]
async fn the_bound_is_fixed_once_and_for_the_current_update_alone() {
    let store = store().await;
    let (id, products) = (product("p"), store.products());
    let (r, s) = (restock("r"), restock("s"));
    let fix = async |name: &RestockId, second, bound| {
        products.fix_bound(&id, &self::fix(name, second, bound)).await.unwrap()
    };
    assert_eq!(fix(&r, 1, Some(at(1))).await, Outcome::Refused(None));
    for (seen, name, second) in [(None, &r, 1), (Some(1), &s, 2)] {
        let update = update(seen, second, name, None);
        assert!(products.record_stock_update(&id, &update).await.unwrap().is_applied());
    }
    let stands = products.get(&id).await.unwrap();
    assert_eq!(fix(&r, 1, Some(at(1))).await, Outcome::Refused(stands), "overtaken");
    assert_eq!(fix(&s, 2, None).await, Outcome::Applied(()));
    let planned = products.get(&id).await.unwrap().unwrap();
    assert!(planned.is_planned() && planned.bound.is_none() && planned.quantity.is_none());
    assert_eq!(fix(&s, 2, Some(at(7))).await, Outcome::Refused(Some(planned)), "it stands");
    // Another delivery under the same name has a bound of its own.
    assert!(products.record_stock_update(&id, &update(Some(2), 3, &s, None)).await.unwrap().is_applied());
    assert_eq!(fix(&s, 3, Some(at(7))).await, Outcome::Applied(()));
}

#[tokio::test]
async fn of_two_workers_that_saw_one_cursor_the_second_is_refused() {
    let store = store().await;
    let (id, cursors) = (product("p"), store.cursors());
    assert_eq!(cursors.read(&id, SHARD).await.unwrap().token, None);
    let cursor = Cursor { committed: at(7), ..Cursor::default() };
    for (seen, token, outcome) in [
        (None, "a", Swapped::Applied),
        (None, "b", Swapped::Lost),
        (None, "a", Swapped::Applied),
        (Some("a"), "c", Swapped::Applied),
        (Some("a"), "d", Swapped::Lost),
        (Some("a"), "c", Swapped::Applied),
    ] {
        let swapped = cursors.swap(&id, SHARD, &cursor, (seen, 0), token).await.unwrap();
        assert_eq!(swapped, outcome, "{seen:?} {token}");
    }
    let stored = cursors.read(&id, SHARD).await.unwrap();
    assert_eq!((stored.cursor, stored.token.as_deref()), (cursor, Some("c")));
}

#[tokio::test]
async fn a_worker_that_read_before_a_subscriber_left_is_refused_once_and_then_not() {
    let store = store().await;
    let (id, cursors, subscriptions) = (product("p"), store.cursors(), store.subscriptions());
    let cursor = Cursor { committed: at(1), ..Cursor::default() };
    let swap = async |seen: (Option<&str>, u64), token: &str| {
        cursors.swap(&id, SHARD, &cursor, seen, token).await.unwrap()
    };
    for n in 1..=4 {
        let inserted = subscriptions.insert(subscriber(n), &id, &subscription(n), &entry(n, 9)).await;
        assert!(inserted.unwrap().is_applied());
    }
    // Before the shard was ever delivered.
    assert_eq!(subscriptions.end(subscriber(4), &id, &subscription(4)).await.unwrap(), APPLIED);
    assert_eq!(cursors.read(&id, SHARD).await.unwrap(), StoredCursor { ended: 1, ..StoredCursor::default() });
    assert_eq!(swap((None, 0), "a").await, Swapped::EntryEnded(1));
    assert_eq!(swap((None, 1), "a").await, Swapped::Applied);
    // One whose turn was over leaves, which concerns no worker.
    assert_eq!(subscriptions.end(subscriber(1), &id, &subscription(1)).await.unwrap(), APPLIED);
    assert_eq!(swap((Some("a"), 1), "b").await, Swapped::Applied);
    // And then two who wait.
    for n in 2..=3 {
        assert_eq!(subscriptions.end(subscriber(n), &id, &subscription(n)).await.unwrap(), APPLIED);
    }
    assert_eq!(swap((Some("a"), 1), "c").await, Swapped::Lost, "the token comes first");
    assert_eq!(swap((Some("b"), 1), "c").await, Swapped::EntryEnded(3));
    assert_eq!(swap((Some("b"), 3), "c").await, Swapped::Applied);
    let stored = cursors.read(&id, SHARD).await.unwrap();
    assert_eq!((stored.cursor, stored.token.as_deref(), stored.ended), (cursor, Some("c"), 3));
}

#[tokio::test]
async fn an_ask_is_confirmed_once_and_until_then_has_no_entry() {
    let store = store().await;
    let (id, who, subscriptions) = (product("p"), subscriber(1), store.subscriptions());
    let pending = Pending { address: Address::parse("1@example.com").unwrap(), name: None };
    let ask = |n: u64, seconds: i64| Subscription {
        pending: Some(pending.clone()),
        ttl: now().as_second() + seconds,
        ..subscription(n)
    };
    let by = RequestId::new(1);
    let confirm = async |asked: u64| {
        let confirmation =
            Confirmation { asked: at(asked), shard: SHARD, position: at(asked), by: &by, at: now() };
        subscriptions.confirm(who, &id, confirmation, &entry(1, 900)).await.unwrap()
    };
    assert_eq!(confirm(1).await, REFUSED, "it was never asked for");
    assert!(subscriptions.ask(who, &id, None, &ask(1, -1)).await.unwrap().is_applied());
    assert_eq!(confirm(1).await, REFUSED, "its time is over");
    match subscriptions.ask(who, &id, None, &ask(2, 9)).await.unwrap() {
        Outcome::Refused(Some(found)) => assert_eq!(found.position, at(1)),
        _ => panic!("asked twice"),
    }
    for (seen, applied) in [(ask(9, -1), false), (ask(1, 900), false), (ask(1, -1), true)] {
        let asked = subscriptions.ask(who, &id, Some(&seen), &ask(2, 9)).await.unwrap();
        assert_eq!(asked.is_applied(), applied, "{}", seen.position);
    }
    for (position, at_and_since, outcome) in
        [(1, (100, 0), REFUSED), (2, (100, 0), APPLIED), (2, (150, 99), REFUSED), (2, (200, 100), APPLIED)]
    {
        let noted = subscriptions.note_email(who, &id, at(position), at_and_since).await.unwrap();
        assert_eq!(noted, outcome, "{position} {at_and_since:?}");
    }
    assert_eq!(subscriptions.forget_email(who, &id, 100).await.unwrap(), REFUSED, "another was sent");
    assert_eq!(subscriptions.forget_email(who, &id, 200).await.unwrap(), APPLIED);
    let has_entry = async || store.waitlist(&id, SHARD).entry(at(2)).await.unwrap().is_some();
    assert!(!has_entry().await);
    for (asked, outcome) in [(1, REFUSED), (2, APPLIED), (2, REFUSED)] {
        assert_eq!(confirm(asked).await, outcome, "{asked}");
    }
    assert!(has_entry().await);
    let late_repeat = subscriptions.ask(who, &id, Some(&ask(2, 9)), &ask(2, 99)).await.unwrap();
    assert!(!late_repeat.is_applied(), "what is confirmed is not asked for again");
    let found = subscriptions.find(who, &id).await.unwrap().unwrap();
    assert!(found.pending.is_none() && found.confirmed_at.is_some() && found.by.as_ref() == Some(&by));
    let (all, unreadable) = subscriptions.all_of(who, now()).await.unwrap();
    assert_eq!((all.len(), unreadable), (1, 0));
    assert!(all[0].0 == id && all[0].1 == found);
    let late = now() + jiff::SignedDuration::from_secs(1_000);
    assert!(subscriptions.all_of(who, late).await.unwrap().0.is_empty(), "expired");
}

#[tokio::test]
async fn a_person_is_suppressed_by_the_strongest_reason_and_gets_so_many_emails_a_day() {
    let store = store().await;
    let (persons, who) = (store.persons(), subscriber(1));
    assert_eq!(persons.read(who).await.unwrap(), Person::default());
    for (reason, outcome, is) in [
        (Reason::Bounce, APPLIED, Reason::Bounce),
        (Reason::Bounce, REFUSED, Reason::Bounce),
        (Reason::Complaint, APPLIED, Reason::Complaint),
        (Reason::Manual, REFUSED, Reason::Complaint),
    ] {
        assert_eq!(persons.suppress(who, reason, now()).await.unwrap(), outcome, "{reason}");
        assert_eq!(persons.read(who).await.unwrap().suppressed.unwrap().reason, is);
    }
    for (reason, outcome) in
        [(Reason::Bounce, REFUSED), (Reason::Complaint, APPLIED), (Reason::Complaint, REFUSED)]
    {
        assert_eq!(persons.lift(who, reason).await.unwrap(), outcome, "{reason}");
    }
    for (day, most, outcome) in [
        (1, 0, REFUSED),
        (1, 2, APPLIED),
        (1, 2, APPLIED),
        (1, 2, REFUSED),
        (2, 2, APPLIED),
        (1, 9, REFUSED),
        (2, 1, REFUSED),
    ] {
        assert_eq!(persons.count_email(who, day, most).await.unwrap(), outcome, "{day} {most}");
    }
    assert_eq!(persons.confirm(who, now()).await.unwrap(), APPLIED);
    assert_eq!(persons.confirm(who, now()).await.unwrap(), REFUSED);
}

#[tokio::test]
async fn a_subscription_has_one_entry_whatever_requests_meet() {
    let store = store().await;
    let (id, who) = (product("p"), subscriber(1));
    let subscriptions = store.subscriptions();
    let (first, second) = (subscription(1), subscription(2));
    let present = async |positions: &[u64]| {
        for n in 1..=4 {
            let found = store.waitlist(&id, SHARD).entry(at(n)).await.unwrap();
            assert_eq!(found.is_some(), positions.contains(&n), "{n}");
        }
    };
    assert!(subscriptions.insert(who, &id, &first, &entry(1, 9)).await.unwrap().is_applied());
    match subscriptions.insert(who, &id, &second, &entry(1, 9)).await.unwrap() {
        Outcome::Refused(Some(found)) => assert_eq!(found.position, at(1)),
        _ => panic!("inserted twice"),
    }
    present(&[1]).await;
    for (old, outcome) in [(at(9), REFUSED), (at(1), APPLIED)] {
        let replaced = subscriptions.replace(who, &id, old, &second, &entry(1, 9)).await.unwrap();
        assert_eq!(replaced, outcome, "{old}");
    }
    present(&[1, 2]).await;
    let by = RequestId::new(1);
    for (from, outcome) in [(&first, REFUSED), (&second, APPLIED)] {
        let to = Move { shard: SHARD, from: from.position, to: at(3), by: &by, looked: None };
        assert_eq!(subscriptions.move_to(who, &id, to, &entry(1, 9)).await.unwrap(), outcome);
    }
    // What it left stays, for the link of an email.
    present(&[1, 2, 3]).await;
    assert!(store.waitlist(&id, SHARD).subscriber(at(2)).await.unwrap().is_some());
    // The email was for the first entry; the subscription stands at the third by now.
    let stale = subscriptions.leave(&id, (SHARD, at(1)), Some((who, &second))).await.unwrap();
    assert_eq!(stale, REFUSED);
    present(&[1, 2, 3]).await;
    let found = subscriptions.find(who, &id).await.unwrap().unwrap();
    assert_eq!(subscriptions.leave(&id, (SHARD, at(1)), Some((who, &found))).await.unwrap(), APPLIED);
    present(&[2]).await;
    assert!(subscriptions.find(who, &id).await.unwrap().is_none());
    assert_eq!(subscriptions.leave(&id, (SHARD, at(1)), None).await.unwrap(), APPLIED, "harmless again");
}

#[tokio::test]
async fn a_place_is_moved_by_the_request_that_speaks_for_it_while_the_product_is_as_it_was_looked_at() {
    let store = store().await;
    let (id, who) = (product("p"), subscriber(1));
    let (subscriptions, products) = (store.subscriptions(), store.products());
    let (writer, repeat) = (RequestId::new(1), RequestId::new(2));
    assert!(subscriptions.insert(who, &id, &subscription(1), &entry(1, 9)).await.unwrap().is_applied());
    for (position, outcome) in [(at(2), REFUSED), (at(1), APPLIED)] {
        assert_eq!(subscriptions.take_over(who, &id, position, &repeat).await.unwrap(), outcome);
    }
    assert_eq!(subscriptions.take_over(subscriber(2), &id, at(1), &repeat).await.unwrap(), REFUSED);

    let (first, second, restock) = (version(1), version(2), restock("r"));
    assert!(
        products.record_stock_update(&id, &update(None, 1, &restock, Some(0))).await.unwrap().is_applied()
    );
    assert!(
        products
            .fix_bound(&id, &Fix { version: first.clone(), ..fix(&restock, 1, Some(at(1))) })
            .await
            .unwrap()
            .is_applied()
    );
    let looked = |version: &Version, bound| Looked { version: version.clone(), bound: at(bound) };
    let (early, late, is) = (looked(&second, 1), looked(&first, 0), looked(&first, 1));
    for (by, looked, outcome) in [
        (&writer, None, REFUSED),
        (&writer, Some(&is), REFUSED),
        (&repeat, Some(&early), REFUSED),
        (&repeat, Some(&late), REFUSED),
        (&repeat, Some(&is), APPLIED),
    ] {
        let to = Move { shard: SHARD, from: at(1), to: at(3), by, looked };
        assert_eq!(subscriptions.move_to(who, &id, to, &entry(1, 9)).await.unwrap(), outcome, "{looked:?}");
    }
    let found = subscriptions.find(who, &id).await.unwrap().unwrap();
    assert_eq!((found.position, found.by.as_ref()), (at(3), Some(&repeat)));

    // An entry that is gone is not made anew by the mark of a move.
    assert_eq!(subscriptions.leave(&id, (SHARD, at(3)), None).await.unwrap(), APPLIED);
    let to = Move { shard: SHARD, from: at(3), to: at(4), by: &repeat, looked: None };
    assert_eq!(subscriptions.move_to(who, &id, to, &entry(1, 9)).await.unwrap(), REFUSED);
    assert!(store.waitlist(&id, SHARD).entry(at(3)).await.unwrap().is_none());
}

#[tokio::test]
async fn a_moved_entry_is_passed_by_every_read_of_those_that_wait() {
    let store = store().await;
    let id = product("p");
    let (waitlist, subscriptions) = (store.waitlist(&id, SHARD), store.subscriptions());
    for n in 1..=4 {
        let inserted = subscriptions.insert(subscriber(n), &id, &subscription(n), &entry(n, 9)).await;
        assert!(inserted.unwrap().is_applied());
    }
    let by = RequestId::new(1);
    for n in [1, 2, 4] {
        let to = Move { shard: SHARD, from: at(n), to: at(n + 10), by: &by, looked: None };
        assert_eq!(subscriptions.move_to(subscriber(n), &id, to, &entry(n, 9)).await.unwrap(), APPLIED);
    }
    let waiting = [3, 11, 12, 14].map(at);
    // Of one item each, so that there are pages of nothing but a moved entry.
    for limit in [1, 2, 9] {
        let (mut found, mut after) = (vec![], Position::START);
        loop {
            let page = waitlist.page(after, Position::END, limit, now()).await.unwrap();
            assert_eq!(page.strays, 0);
            let Some((last, _)) = page.entries.last() else { break };
            after = *last;
            found.extend(page.entries.into_iter().map(|(position, _)| position));
        }
        assert_eq!(found, waiting, "{limit}");
    }
    let mut found: Vec<_> =
        waitlist.entries_at(&[1, 3, 4, 14].map(at), now()).await.unwrap().into_keys().collect();
    found.sort_unstable();
    assert_eq!(found, [3, 14].map(at));
    let carried = Cursor { pending_retries: vec![at(1), at(3)], committed: at(4), ..Cursor::default() };
    for (cursor, waiting) in [(Cursor::default(), &waiting[..]), (carried, &waiting)] {
        let first = waitlist.first(&cursor, 9, now()).await.unwrap();
        assert_eq!(first.iter().map(|one| one.position).collect::<Vec<_>>(), waiting);
    }
    for counting in [Counting::AtMost(99), Counting::Thorough] {
        let count = waitlist.count(&Cursor::default(), Position::END, counting, now()).await.unwrap();
        assert_eq!(count, Count { number: 4, exact: true, read: 7 });
    }
}

#[tokio::test]
async fn an_earlier_fan_out_neither_opens_nor_closes_a_later_one() {
    let store = store().await;
    let job = |restock_id: &str, turn| Job {
        restock_id: restock(restock_id),
        product_id: product("p"),
        shard: SHARD,
        // A later wave may end before an earlier one did.
        bound: at(9 - turn),
        turn,
        ticket: None,
    };
    let (earlier, later) = (job("r", 1), job("s", 2));
    assert_eq!(store.fan_outs().close(&later).await.unwrap(), APPLIED, "none is open");
    for (job, outcome) in [(&earlier, APPLIED), (&later, APPLIED), (&earlier, REFUSED), (&later, APPLIED)] {
        assert_eq!(store.fan_outs().open(job, now()).await.unwrap(), outcome, "{job:?}");
    }
    assert_eq!(store.fan_outs().close(&earlier).await.unwrap(), REFUSED);
    let mut bucket = store.fan_outs().bucket(SHARD.bucket(&product("p"), BUCKETS));
    let page = bucket.next().await.unwrap().unwrap();
    let found: Vec<Job> = page.into_iter().map(|row| row.unwrap().job).collect();
    assert_eq!(found, std::slice::from_ref(&later));
    assert!(bucket.next().await.unwrap().is_none());
    assert_eq!(store.fan_outs().close(&later).await.unwrap(), APPLIED);
    assert!(store.fan_outs().get(&product("p"), SHARD).await.unwrap().is_none());
}

#[tokio::test]
async fn a_fan_out_is_its_tickets_and_passed_on_and_closed_by_nobody_else() {
    let store = store().await;
    let (fan_outs, id, ticket) =
        (store.fan_outs(), product("p"), |ticket: &str| Ticket::parse(ticket).unwrap());
    let (restock_id, product_id) = (restock("r"), id.clone());
    let without = Job { restock_id, product_id, shard: SHARD, bound: at(5), turn: 5, ticket: None };
    let [first, second, third] = ["1", "2", "3"].map(|name| without.with_ticket(ticket(name)));
    let stands = async || fan_outs.get(&id, SHARD).await.unwrap().map(|open| open.job);
    let pass_on = async |from: &str, to: &Job| fan_outs.pass_on(&ticket(from), to, now()).await.unwrap();
    assert_eq!(pass_on("1", &second).await, REFUSED, "none is open");
    assert_eq!(fan_outs.close(&first).await.unwrap(), REFUSED, "none is open");
    assert_eq!(fan_outs.open(&without, now()).await.unwrap(), APPLIED);
    assert_eq!(pass_on("1", &second).await, REFUSED, "an earlier version's has no ticket");
    assert_eq!(fan_outs.open(&first, now()).await.unwrap(), APPLIED);
    assert_eq!(pass_on("1", &second).await, APPLIED);
    assert_eq!(pass_on("1", &third).await, REFUSED, "it is another's");
    for stranger in [&first, &third, &without] {
        assert_eq!(fan_outs.close(stranger).await.unwrap(), REFUSED);
    }
    assert_eq!(stands().await.as_ref(), Some(&second));
    assert_eq!(fan_outs.close(&second).await.unwrap(), APPLIED);
    assert_eq!(stands().await, None);
    // Whatever is delivered is closed, whosever it is, but not a later one.
    assert_eq!(fan_outs.open(&third, now()).await.unwrap(), APPLIED);
    let before = Job { turn: 4, ..first.clone() };
    assert_eq!(fan_outs.close_delivered(&before).await.unwrap(), REFUSED);
    assert_eq!(fan_outs.close_delivered(&first).await.unwrap(), APPLIED);
    assert_eq!(stands().await, None);
}

#[tokio::test]
async fn the_numbers_of_shards_only_grow_each_for_itself_and_are_there_without_a_stock_update() {
    let store = store().await;
    let (id, count) = (product("p"), |count| ShardCount::new(count).unwrap());
    let raise = async |lane, to| store.products().raise_shards(&id, lane, count(to)).await.unwrap();
    let read = async || store.products().read(&id).await.unwrap();
    let unread = read().await;
    assert_eq!((unread.product, unread.shards), (None, Shards::ONE));
    for (raised, outcome, stands) in [(4, APPLIED, 4), (4, APPLIED, 4), (2, REFUSED, 4), (8, APPLIED, 8)] {
        assert_eq!(raise(Lane::Mail, raised).await, outcome, "{raised}");
        assert_eq!(read().await.shards, Shards::mail(count(stands)), "{raised}");
    }
    // The lane is opened once, however often, and refuses a smaller number as the other does.
    for (raised, outcome, stands) in [(1, APPLIED, 1), (1, APPLIED, 1), (2, APPLIED, 2), (1, REFUSED, 2)] {
        assert_eq!(raise(Lane::PriorityMail, raised).await, outcome, "{raised}");
        let both = Shards { mail: count(8), priority: Some(count(stands)) };
        assert_eq!(read().await.shards, both, "{raised}");
    }
    assert_eq!(store.products().get(&id).await.unwrap(), None, "no stock update was recorded");
    assert_eq!(read().await.product, None);
}

#[tokio::test]
async fn the_shards_of_two_lanes_share_nothing() {
    let store = store().await;
    let (id, priority) = (product("p"), Shard::first(Lane::PriorityMail));
    let mail = Shard::first(Lane::Mail);
    store.seed_entries(&id, [(mail, at(1), entry(1, 9)), (priority, at(2), entry(2, 9))]).await.unwrap();
    for (shard, last) in [(mail, 1), (priority, 2)] {
        let end = store.waitlist(&id, shard).end().await.unwrap();
        assert_eq!((end.last, end.used), (Some(at(last)), true), "{shard}");
    }
    let cursor = Cursor { committed: at(1), ..Cursor::default() };
    let swapped = store.cursors().swap(&id, mail, &cursor, (None, 0), "t").await.unwrap();
    assert_eq!(swapped, Swapped::Applied);
    let cursors = store.cursors().read_all(&id, &[priority, mail]).await.unwrap();
    assert_eq!((cursors[&priority].token.as_deref(), cursors[&mail].token.as_deref()), (None, Some("t")));
    let job = Job {
        restock_id: restock("r"),
        product_id: id.clone(),
        shard: priority,
        bound: at(5),
        turn: 1,
        ticket: None,
    };
    assert!(store.fan_outs().open(&job, now()).await.unwrap().is_applied());
    assert_eq!(store.fan_outs().get(&id, priority).await.unwrap().unwrap().job, job);
    assert!(store.fan_outs().get(&id, mail).await.unwrap().is_none());
    let tally = Tally::new(restock("r"));
    store.summaries().put_shard(priority, &tally, now()).await.unwrap();
    assert_eq!(store.summaries().shard(&restock("r"), mail, now()).await.unwrap(), None);
    assert_eq!(store.summaries().shard(&restock("r"), priority, now()).await.unwrap(), Some(tally));
}

#[tokio::test]
async fn a_subscription_keeps_the_lane_of_its_place_when_it_is_confirmed_and_leaves_by_it() {
    let store = store().await;
    let (id, who, subscriptions) = (product("p"), subscriber(1), store.subscriptions());
    let (shard, by) = (Shard::first(Lane::PriorityMail), RequestId::new(1));
    let pending = Pending { address: Address::parse("1@example.com").unwrap(), name: None };
    let asked = Subscription { pending: Some(pending), ttl: now().as_second() + 900, ..subscription(2) };
    assert!(subscriptions.ask(who, &id, None, &asked).await.unwrap().is_applied());
    let confirmation = Confirmation { asked: at(2), shard, position: at(2), by: &by, at: now() };
    assert_eq!(subscriptions.confirm(who, &id, confirmation, &entry(1, 900)).await.unwrap(), APPLIED);
    let found = subscriptions.find(who, &id).await.unwrap().unwrap();
    assert_eq!((found.shard, found.position), (shard, at(2)));
    assert!(store.waitlist(&id, shard).entry(at(2)).await.unwrap().is_some());
    assert_eq!(subscriptions.end(who, &id, &found).await.unwrap(), APPLIED);
    assert!(store.waitlist(&id, shard).entry(at(2)).await.unwrap().is_none());
    assert_eq!(store.cursors().read(&id, shard).await.unwrap().ended, 1);
}

#[tokio::test]
async fn slots_are_taken_once() {
    let store = store().await;
    let budget = store.send_budget("example.com");
    let counted = SlotCount { slots: 0, hour: 7, forget: &[] };
    let sent = || BTreeMap::from([(7, 0)]);
    let state = |arrival_us: u64| BudgetState {
        arrival_us: Some(arrival_us),
        sent: sent(),
        ..BudgetState::default()
    };
    let none = BudgetState::default();
    assert_eq!(
        budget.queue(10, 0, 99, counted).await.unwrap(),
        Outcome::Refused(none),
        "no slot was ever taken"
    );
    assert_eq!(budget.start(10, 100, counted).await.unwrap(), Outcome::Applied(state(110)));
    for (cost, now, latest, outcome) in [
        (10, 100, 110, Outcome::Applied(state(120))),
        (10, 100, 110, Outcome::Refused(state(120))),
        (10, 121, 200, Outcome::Refused(state(120))),
        (10, 120, 120, Outcome::Applied(state(130))),
    ] {
        assert_eq!(budget.queue(cost, now, latest, counted).await.unwrap(), outcome, "{now} {latest}");
    }
    assert_eq!(budget.start(10, 130, counted).await.unwrap(), Outcome::Refused(state(130)), "not free yet");
    let cut = Cut { to: Rate::new(2.5).unwrap(), at_us: 131 };
    budget.cut(cut).await.unwrap();
    let after = BudgetState { arrival_us: Some(141), cut: Some(cut), sent: sent(), ..BudgetState::default() };
    assert_eq!(
        budget.start(10, 131, counted).await.unwrap(),
        Outcome::Applied(after),
        "other workers see the cut"
    );
}

#[tokio::test]
async fn a_name_is_its_first_products_until_its_time_is_over() {
    let store = store().await;
    let (name, p, q) = (restock("delivery-1"), product("p"), product("q"));
    let take =
        async |id: &ProductId, now| store.names().take(&name, &Named::new(id, None, now), now).await.unwrap();
    assert_eq!(take(&p, now()).await, (name.clone(), None));
    let (again, known) = take(&p, now()).await;
    assert_eq!((again, known.unwrap().product_id), (name.clone(), p.clone()));
    assert_eq!(take(&q, now()).await, (name.of_product(&q), None));
    assert!(take(&q, now()).await.1.is_some());
    let over = now() + jiff::SignedDuration::from_secs(401 * 86_400);
    assert_eq!(take(&q, over).await, (name.clone(), None), "free again");
}

#[tokio::test]
async fn a_plan_is_written_once_and_found_by_the_entries_that_it_covers() {
    let store = store().await;
    let id = product("p");
    let planned = |name: &str, bound: Option<u64>, shards: &[u16]| Planned {
        restock_id: restock(name),
        product_id: id.clone(),
        bound: bound.map(at),
        shard_count: 8,
        priority_shard_count: None,
        shards: shards.iter().copied().map(Shard::mail).collect(),
        planned_at: now(),
    };
    for plan in [planned("r", Some(5), &[1, 2]), planned("r", Some(5), &[2]), planned("s", Some(9), &[1])] {
        store.summaries().record_plan(&plan).await.unwrap();
    }
    store.summaries().record_plan(&planned("t", None, &[])).await.unwrap();
    assert_eq!(
        store.summaries().plan(&restock("r"), now()).await.unwrap().unwrap().shards.len(),
        2,
        "the first"
    );
    for (position, names) in [(5, &["r", "s"][..]), (6, &["s"]), (10, &[])] {
        let plans = store.summaries().plans_covering(&id, at(position), 50, now()).await.unwrap();
        let found: Vec<&str> = plans.iter().map(|plan| plan.restock_id.as_str()).collect();
        assert_eq!(found, names, "{position}");
    }
    let tally = Tally { sent: 4, ..Tally::new(restock("r")) };
    store.summaries().put_shard(SHARD, &tally, now()).await.unwrap();
    assert_eq!(store.summaries().shard(&restock("r"), SHARD, now()).await.unwrap(), Some(tally));
    let failed = [(at(1), IN_DOUBT), (at(2), UNREADABLE), (at(3), IN_DOUBT)];
    let failed = failed.map(|(position, reason)| (position, reason.to_owned()));
    store.summaries().put_failures(&restock("r"), &failed, now()).await.unwrap();
    let reasons = store.summaries().failures(&restock("r"), now()).await.unwrap();
    assert_eq!(
        reasons.into_iter().collect::<Vec<_>>(),
        [(IN_DOUBT.to_owned(), 2), (UNREADABLE.to_owned(), 1)]
    );
    assert_eq!(
        store.summaries().failure(&restock("r"), at(2), now()).await.unwrap().unwrap().reason,
        UNREADABLE
    );
}

/// Ten entries, of which the second has expired; the cursor is at the fifth, with one carried and one in the call in flight.
#[tokio::test]
async fn whoever_counts_has_the_same_answer_of_who_waits() {
    let store = store().await;
    let id = product("p");
    let waitlist = store.waitlist(&id, SHARD);
    assert_eq!(waitlist.end().await.unwrap().last, None);
    let entries = (1..=10).map(|n| (SHARD, at(n), entry(n, if n == 8 { 0 } else { 9 })));
    store.seed_entries(&id, entries).await.unwrap();
    let again = Answer { retry: vec![at(2), at(4)], ..Answer::default() };
    let cursor = Cursor::default().announce(0, Some(at(5)), 5, Timestamp::UNIX_EPOCH).commit(again).announce(
        1,
        Some(at(6)),
        2,
        Timestamp::UNIX_EPOCH,
    );
    // Past the cursor: 6, 7, 9, 10; owed a retry: 2 (in flight) and 4 (carried).
    for (through, number) in [(Position::END, 6), (at(7), 4), (at(3), 1), (at(1), 0)] {
        for counting in [Counting::Thorough, Counting::AtMost(50)] {
            let count = waitlist.count(&cursor, through, counting, now()).await.unwrap();
            assert_eq!((count.number, count.exact), (number, true), "{through} {counting:?}");
        }
    }
    let few = waitlist.count(&cursor, Position::END, Counting::AtMost(2), now()).await.unwrap();
    assert_eq!(few, Count { number: 4, exact: false, read: 2 });
    let first = waitlist.first(&cursor, 4, now()).await.unwrap();
    let first: Vec<Position> = first.into_iter().map(|waiting| waiting.position).collect();
    assert_eq!(first, [at(2), at(4), at(6), at(7)]);
    let end = waitlist.end().await.unwrap();
    assert!(end.used && end.last == Some(at(10)));
}

#[tokio::test]
async fn a_page_ends_at_its_limit_or_its_bound_and_shows_what_expired() {
    let store = store().await;
    let id = product("p");
    let waitlist = store.waitlist(&id, SHARD);
    store.seed_entries(&id, (1..=5).map(|n| (SHARD, at(n), entry(n, i64::from(n != 2) * 9)))).await.unwrap();
    for (after, through, limit, positions, last) in [
        (Position::START, Position::END, 9, &[1, 2, 3, 4, 5][..], true),
        (at(1), at(4), 9, &[2, 3, 4], true),
        (at(1), at(4), 2, &[2, 3], false),
        (at(4), at(4), 9, &[], true),
    ] {
        let page = waitlist.page(after, through, limit, now()).await.unwrap();
        let found: Vec<Position> = page.entries.iter().map(|(position, _)| *position).collect();
        assert_eq!(found, positions.iter().copied().map(at).collect::<Vec<_>>(), "{after} {through} {limit}");
        assert_eq!((page.last, page.strays), (last, 0), "{after} {through} {limit}");
    }
    let rows = waitlist.entries_at(&[at(1), at(2), at(77)], now()).await.unwrap();
    assert_eq!(rows.len(), 2);
    assert!(matches!(rows[&at(1)], Row::Waiting(_)) && matches!(rows[&at(2)], Row::Expired));
    assert_eq!(waitlist.subscriber(at(3)).await.unwrap(), Some(subscriber(3)));
}

#[tokio::test]
async fn a_consent_is_kept_as_it_was_given_and_a_user_leads_to_their_persons() {
    let store = store().await;
    let (consents, who) = (store.consents(), subscriber(1));
    let consent = Consent {
        product_id: product("p"),
        asked_at: now(),
        confirmed_at: None,
        source: "api".to_owned(),
        page: None,
        locale: Locale::default(),
        words: Some("v1".to_owned()),
        ttl: now().as_second() + 9,
    };
    assert_eq!(consents.confirm(who, at(1), now()).await.unwrap(), REFUSED, "it is not kept");
    assert_eq!(consents.keep(who, at(1), &consent).await.unwrap(), APPLIED);
    let later = Consent { source: "form".to_owned(), ..consent.clone() };
    assert_eq!(consents.keep(who, at(1), &later).await.unwrap(), REFUSED);
    for outcome in [APPLIED, REFUSED] {
        assert_eq!(consents.confirm(who, at(1), now()).await.unwrap(), outcome);
    }
    let confirmed = Consent { confirmed_at: Some(now()), ..consent };
    assert_eq!(consents.find(who, at(1)).await.unwrap(), Some(confirmed));
    assert_eq!(consents.find(who, at(2)).await.unwrap(), None);

    let (users, user) = (store.users(), UserId::parse("user#1").unwrap());
    for person in [1, 2, 1].map(subscriber) {
        users.link(&user, person, now().as_second()).await.unwrap();
    }
    assert_eq!(users.persons_of(&user).await.unwrap(), [1, 2].map(subscriber));
    users.unlink(&user, subscriber(1)).await.unwrap();
    users.unlink(&user, subscriber(1)).await.unwrap();
    assert_eq!(users.persons_of(&user).await.unwrap(), [subscriber(2)]);
    assert!(users.persons_of(&UserId::parse("user").unwrap()).await.unwrap().is_empty());
}
