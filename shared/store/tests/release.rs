//! A restock that is held back: whom it would tell, and what its release writes.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use domain::planning::{Fix, Update};
use domain::product::{Awaited, Due, Reach, Wave};
use domain::rules::{Availability, Rules};
use domain::stock::{Place, Version};
use domain::{Address, Lane, Locale, PersonId, Position, ProductId, RestockId, Shard, ShardCount};
use jiff::Timestamp;
use notify_me_store::release::{NotHeld, Release, outlook, release};
use notify_me_store::summary::Planned;
use notify_me_store::timer::{self, Timer};
use notify_me_store::waitlist::{Counting, Entry};
use notify_me_store::{Store, test_util};

const THOROUGH: Counting = Counting::Thorough;

async fn store() -> Store {
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    test_util::store(&aws).await.unwrap()
}

fn product() -> ProductId {
    ProductId::parse("p#1").unwrap()
}

fn restock(id: &str) -> RestockId {
    RestockId::parse(id).unwrap()
}

fn second(n: i64) -> Timestamp {
    Timestamp::from_second(n).unwrap()
}

fn version(n: i64) -> Version {
    Version::new(Some(second(n)), None, second(n), Place { partition: 0, offset: n }).unwrap()
}

/// Records an update of second `n` as the planner does, with what it waits for.
async fn record(store: &Store, id: &str, seen: Option<i64>, n: i64, quantity: u64, due: Option<Due>) {
    let update = Update {
        seen: seen.map(version),
        version: version(n),
        restock: restock(id),
        quantity: Some(quantity),
        availability: Availability::InStock,
        rules: Some(Box::new(Rules { wave_size: Some(2), ..Rules::default() })),
        own_rules: None,
        variant: None,
        variants: vec![],
        due,
        details: None,
        recent: vec![],
        keeps_plan: false,
    };
    assert!(store.products().record_stock_update(&product(), &update).await.unwrap().is_applied());
    let planned = Planned {
        restock_id: restock(id),
        product_id: product(),
        bound: None,
        shard_count: 1,
        priority_shard_count: None,
        shards: vec![],
        planned_at: second(n),
    };
    store.summaries().record_plan(&planned).await.unwrap();
}

fn held(n: i64) -> Option<Due> {
    Some(Due::new(second(n), Awaited::Release))
}

async fn due(store: &Store) -> Option<Due> {
    store.products().get(&product()).await.unwrap().unwrap().due
}

async fn timers(store: &Store) -> Vec<Timer> {
    let mut found = Vec::new();
    for bucket in 0..timer::BUCKETS.get() {
        let mut pages = store.timers().run_down(bucket, second(1_000_000));
        while let Some(page) = pages.next().await.unwrap() {
            found.extend(page.into_iter().map(|row| row.ok().unwrap()));
        }
    }
    found
}

#[tokio::test]
async fn a_held_restock_is_planned_from_its_release_on_or_once_its_stock_has_held() {
    for (settles, now, begins) in [(60, 100, 100), (500, 100, 500)] {
        let store = store().await;
        record(&store, "r", None, 1, 5, held(settles)).await;
        let released = release(&store, &restock("r"), second(now)).await.unwrap();
        assert_eq!(released, Release::Released { product: product(), at: second(begins) });
        let plan = Due::new(second(begins), Awaited::Plan);
        assert_eq!(due(&store).await, Some(plan));
        assert_eq!(timers(&store).await, [Timer { product_id: product(), due: plan }]);

        let again = release(&store, &restock("r"), second(now + 1)).await.unwrap();
        assert_eq!(again, Release::NotHeld { product: product(), why: NotHeld::BeginsByItself });
        assert_eq!(due(&store).await, Some(plan), "it is not put off");
    }
}

#[tokio::test]
async fn of_many_who_release_at_once_one_does() {
    let store = store().await;
    record(&store, "r", None, 1, 5, held(60)).await;
    let (id, calls) = (restock("r"), 0..8);
    let all = calls.map(|n| release(&store, &id, second(100 + n)));
    let all = futures::future::try_join_all(all).await.unwrap();
    let released: Vec<&Release> = all.iter().filter(|one| matches!(one, Release::Released { .. })).collect();
    assert_eq!(released.len(), 1, "{all:?}");
    let Some(Release::Released { at, .. }) = released.first() else { unreachable!() };
    assert_eq!(due(&store).await, Some(Due::new(*at, Awaited::Plan)));
}

#[tokio::test]
async fn what_is_not_held_is_left_as_it_is_and_said_why() {
    let store = store().await;
    let of = async |id: &str| release(&store, &restock(id), second(100)).await.unwrap();
    let not_held = |why| Release::NotHeld { product: product(), why };
    assert_eq!(of("r").await, Release::Unknown);
    assert_eq!(outlook(&store, &restock("r"), THOROUGH, second(100)).await.unwrap(), None);

    let plan = Some(Due::new(second(60), Awaited::Plan));
    record(&store, "r", None, 1, 5, plan).await;
    assert_eq!(of("r").await, not_held(NotHeld::BeginsByItself));
    record(&store, "s", Some(1), 2, 5, held(60)).await;
    assert_eq!(of("r").await, not_held(NotHeld::Overtaken));
    assert_eq!(due(&store).await, held(60), "another restock is held still");
    record(&store, "gone", Some(2), 3, 0, None).await;
    assert_eq!(of("s").await, not_held(NotHeld::SoldOut));

    record(&store, "t", Some(3), 4, 5, None).await;
    let wave = Some(Wave { number: 1, reach: Reach::all(Position::new(10, 0)), size: Some(2) });
    let end = Some(Due::new(second(5), Awaited::End));
    let fix = Fix {
        restock: restock("t"),
        version: version(4),
        bound: Some(Position::new(90, 0)),
        turn: 0,
        wave,
        farthest: None,
        due: end,
        rules: None,
        is_next_wave: false,
    };
    assert!(store.products().fix_bound(&product(), &fix).await.unwrap().is_applied());
    assert_eq!(of("t").await, not_held(NotHeld::Begun));
    assert_eq!(timers(&store).await, [], "none was written for nothing");
    let begun = outlook(&store, &restock("t"), THOROUGH, second(100)).await.unwrap().unwrap();
    assert_eq!((begun.wave, begun.due, begun.is_held()), (wave, end, false));
    // Nothing of the current restock is another's.
    let before = outlook(&store, &restock("r"), THOROUGH, second(100)).await.unwrap().unwrap();
    assert_eq!((before.wave, before.due, before.not_held), (None, None, Some(NotHeld::Overtaken)));
}

#[tokio::test]
async fn the_outlook_counts_who_waits_over_all_shards_and_says_the_size_of_the_first_wave() {
    let store = store().await;
    store
        .products()
        .raise_shards(&product(), Lane::Mail, ShardCount::new(3).unwrap())
        .await
        .unwrap()
        .is_applied();
    record(&store, "r", None, 1, 5, held(60)).await;
    let entry = |n: u64, ttl| Entry {
        subscriber: PersonId::from_bytes([u8::try_from(n).unwrap(); 16]),
        address: Address::parse(&format!("shopper{n}@example.com")).unwrap(),
        locale: Locale::default(),
        name: None,
        moved: n == 9,
        ttl,
    };
    // Seven, of whom one has moved and the time of one is over.
    let entries = [(0, 3), (0, 6), (0, 9), (1, 1), (1, 2), (2, 4), (2, 5)];
    let entries = entries.map(|(shard, n)| {
        (Shard::mail(shard), Position::new(n, 0), entry(n, if n == 6 { 99 } else { 10_000 }))
    });
    store.seed_entries(&product(), entries).await.unwrap();

    let known = outlook(&store, &restock("r"), THOROUGH, second(100)).await.unwrap().unwrap();
    assert_eq!((known.waiting.number, known.waiting.exact), (5, true));
    assert_eq!((known.product, known.in_stock, known.first_wave), (product(), true, Some(2)));
    assert_eq!((known.due, known.not_held, known.wave), (held(60), None, None));
    let some = outlook(&store, &restock("r"), Counting::AtMost(1), second(100)).await.unwrap().unwrap();
    assert!(!some.waiting.exact && some.waiting.number < 5, "{:?}", some.waiting);
}
