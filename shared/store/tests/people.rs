//! What is kept of a person, and its end, on a DynamoDB in memory.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use domain::alert::State;
use domain::cursor::Cursor;
use domain::suppression::{Reason, Suppression};
use domain::{
    Address, Lane, Locale, PersonId, PersonKey, Position, ProductId, Shard, ShardCount, SubscriberHash,
    UserId,
};
use jiff::Timestamp;
use notify_me_store::consent::Consent;
use notify_me_store::cursor::Swapped;
use notify_me_store::person::Person;
use notify_me_store::subscription::{Pending, RequestId, Subscription};
use notify_me_store::waitlist::Entry;
use notify_me_store::{Outcome, Store, erase, people, test_util};
use serde_json::json;

const WHO: PersonId = PersonId::from_bytes([7; 16]);
const OTHER: PersonId = PersonId::from_bytes([8; 16]);

async fn store() -> Store {
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    test_util::store(&aws).await.unwrap()
}

fn now() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

fn product(id: &str) -> ProductId {
    ProductId::parse(id).unwrap()
}

fn user() -> UserId {
    UserId::parse("user/1").unwrap()
}

fn address() -> Address {
    Address::parse("jo@example.com").unwrap()
}

fn shard(who: PersonId) -> Shard {
    ShardCount::ONE.of(Lane::Mail, SubscriberHash::of(who))
}

fn subscription(who: PersonId, position: Position, ttl: i64) -> Subscription {
    Subscription {
        position,
        shard: shard(who),
        created_at: now(),
        confirmed_at: None,
        channel: "email".to_owned(),
        locale: Locale::parse("de").unwrap(),
        user_id: None,
        by: Some(RequestId::new(1)),
        pending: None,
        emailed: None,
        ttl: now().as_second() + ttl,
    }
}

fn entry(who: PersonId) -> Entry {
    Entry {
        subscriber: who,
        address: address(),
        locale: Locale::default(),
        name: Some("Jo".to_owned()),
        moved: false,
        ttl: now().as_second() + 1_000,
    }
}

/// Lets a person wait for a product at a position.
async fn wait(store: &Store, who: PersonId, id: &str, n: u64) {
    let one = Subscription { user_id: Some(user()), ..subscription(who, Position::new(n, 0), 1_000) };
    let inserted = store.subscriptions().insert(who, &product(id), &one, &entry(who)).await.unwrap();
    assert!(inserted.is_applied());
}

async fn ask(store: &Store, who: PersonId, id: &str, n: u64, ttl: i64) {
    let pending = Pending { address: address(), name: None };
    let one = Subscription { pending: Some(pending), ..subscription(who, Position::new(n, 0), ttl) };
    let asked = store.subscriptions().ask(who, &product(id), None, &one).await.unwrap();
    assert!(asked.is_applied());
}

async fn consent(store: &Store, who: PersonId, id: &str, n: u64) {
    let consent = Consent {
        product_id: product(id),
        asked_at: now(),
        confirmed_at: None,
        source: "api".to_owned(),
        page: None,
        locale: Locale::parse("fr").unwrap(),
        words: None,
        ttl: now().as_second() + 5_000,
    };
    assert!(store.consents().keep(who, Position::new(n, 0), &consent).await.unwrap().is_applied());
}

async fn listed(store: &Store) -> Vec<(PersonId, Suppression)> {
    let (mut list, mut found) = (store.suppressed(), Vec::new());
    while let Some(part) = list.next().await.unwrap() {
        assert_eq!(part.unreadable, 0);
        found.extend(part.found);
    }
    found.sort_by_key(|(person, _)| *person);
    found
}

#[tokio::test]
async fn each_alert_has_the_state_that_its_place_and_its_shards_cursor_make() {
    let store = store().await;
    wait(&store, WHO, "told", 5).await;
    wait(&store, WHO, "waits", 5).await;
    ask(&store, WHO, "asked", 5, 100).await;
    ask(&store, WHO, "lapsed", 5, -1).await;
    wait(&store, OTHER, "waits", 6).await;
    let id = product("told");
    let passed = Cursor::default().pass(Position::new(5, 0), 0);
    let swapped = store.cursors().swap(&id, shard(WHO), &passed, (None, 0), "t").await.unwrap();
    assert_eq!(swapped, Swapped::Applied);

    let found = people::everything(&store, WHO, now()).await.unwrap();
    let mut states: Vec<(&str, State)> =
        found.alerts.iter().map(|alert| (alert.title(), alert.state)).collect();
    states.sort_unstable_by_key(|(title, _)| *title);
    let expected = [
        ("asked", State::Pending),
        ("lapsed", State::Expired),
        ("told", State::Told),
        ("waits", State::Waiting),
    ];
    assert_eq!(states, expected);
    assert_eq!((found.unreadable, found.locale().map(Locale::as_str)), (0, Some("de")));
}

#[tokio::test]
async fn a_glance_knows_those_of_whom_more_is_kept_than_that_somebody_asked_for_an_email() {
    let store = store().await;
    let known = async || people::glance(&store, WHO, now()).await.unwrap();
    assert!(!known().await.known);
    assert!(store.persons().count_email(WHO, 1, 3).await.unwrap().is_applied());
    ask(&store, WHO, "lapsed", 5, -1).await;
    assert!(!known().await.known, "an email of the day and an ask that has expired");
    consent(&store, WHO, "p", 5).await;
    let glance = known().await;
    assert_eq!(glance.locale.as_ref().map(Locale::as_str), Some("fr"));
    assert!(!glance.known, "a consent alone is the proof that outlives an erasure");
    wait(&store, WHO, "p", 5).await;
    let glance = known().await;
    assert_eq!(
        (glance.known, glance.locale.as_ref().map(Locale::as_str)),
        (true, Some("de")),
        "asked for last"
    );
}

#[tokio::test]
async fn a_suppression_is_listed_with_the_persons_own_item_and_goes_with_it() {
    let store = store().await;
    let persons = store.persons();
    assert!(persons.suppress(WHO, Reason::Bounce, now()).await.unwrap().is_applied());
    assert!(!persons.suppress(WHO, Reason::Bounce, now()).await.unwrap().is_applied(), "no stronger");
    assert!(persons.suppress(OTHER, Reason::Manual, now()).await.unwrap().is_applied());
    let of = |who, reason| (who, Suppression::new(reason, now()));
    assert_eq!(listed(&store).await, [of(WHO, Reason::Bounce), of(OTHER, Reason::Manual)]);
    assert!(!persons.suppress(WHO, Reason::Manual, now()).await.unwrap().is_applied());
    assert!(persons.suppress(WHO, Reason::Abuse, now()).await.unwrap().is_applied());
    assert_eq!(listed(&store).await, [of(WHO, Reason::Abuse), of(OTHER, Reason::Manual)]);
    assert!(!persons.lift(WHO, Reason::Bounce).await.unwrap().is_applied(), "it is another reason now");
    assert_eq!(listed(&store).await.len(), 2);
    assert!(persons.lift(WHO, Reason::Abuse).await.unwrap().is_applied());
    assert_eq!(listed(&store).await, [of(OTHER, Reason::Manual)]);
    assert_eq!(persons.read(WHO).await.unwrap().suppressed, None);
}

#[tokio::test]
async fn of_those_who_suppress_and_lift_at_once_the_list_and_the_persons_agree() {
    let store = store().await;
    let writes = (0..12).map(|n| {
        let store = store.clone();
        async move {
            let who = PersonId::from_bytes([n % 3; 16]);
            if n % 2 == 0 {
                store.persons().suppress(who, Reason::Manual, now()).await.unwrap()
            } else {
                store.persons().lift(who, Reason::Manual).await.unwrap()
            }
        }
    });
    futures::future::join_all(writes).await;
    for n in 0..3 {
        let who = PersonId::from_bytes([n; 16]);
        let own = store.persons().read(who).await.unwrap().suppressed;
        let in_list = listed(&store).await.into_iter().find(|(found, _)| *found == who);
        assert_eq!(own, in_list.map(|(_, found)| found));
    }
}

#[tokio::test]
async fn who_is_suppressed_waits_for_nothing_any_more() {
    let store = store().await;
    wait(&store, WHO, "a", 5).await;
    ask(&store, WHO, "b", 5, 100).await;
    wait(&store, OTHER, "a", 6).await;
    assert!(erase::suppress(&store, WHO, Reason::Abuse, now()).await.unwrap().is_applied());
    assert!(people::everything(&store, WHO, now()).await.unwrap().alerts.is_empty());
    let entry = store.waitlist(&product("a"), shard(WHO)).entry(Position::new(5, 0)).await.unwrap();
    assert!(entry.is_none());
    assert_eq!(people::everything(&store, OTHER, now()).await.unwrap().alerts.len(), 1);
    wait(&store, WHO, "c", 5).await;
    let again = erase::suppress(&store, WHO, Reason::Manual, now()).await.unwrap();
    assert_eq!(again, Outcome::Refused(()), "a stronger reason stands");
    assert!(
        people::everything(&store, WHO, now()).await.unwrap().alerts.is_empty(),
        "and the alerts end all the same"
    );
}

#[tokio::test]
async fn an_alert_that_moves_or_is_asked_for_again_meanwhile_ends_all_the_same() {
    let store = store().await;
    wait(&store, WHO, "a", 5).await;
    let ends = (0..4).map(|_| erase::end(&store, WHO, &ID));
    static ID: std::sync::LazyLock<ProductId> = std::sync::LazyLock::new(|| product("a"));
    let ended: Vec<bool> = futures::future::try_join_all(ends).await.unwrap();
    assert_eq!(ended.iter().filter(|ended| **ended).count(), 1, "one of four ends it");
    assert!(!erase::end(&store, WHO, &ID).await.unwrap());
}

#[tokio::test]
async fn an_erasure_leaves_hashes_alone_and_may_be_repeated() {
    let store = store().await;
    let (users, persons) = (store.users(), store.persons());
    for n in 0..120 {
        wait(&store, WHO, &format!("p{n}"), 5).await;
    }
    ask(&store, WHO, "asked", 5, 100).await;
    wait(&store, OTHER, "p0", 6).await;
    // An ask that was delivered, and one that another has replaced: the consent says where the entry was left.
    consent(&store, WHO, "p0", 3).await;
    let left =
        Subscription { position: Position::new(4, 0), ..subscription(OTHER, Position::new(4, 0), 1_000) };
    assert!(
        store.subscriptions().insert(OTHER, &product("q"), &left, &entry(OTHER)).await.unwrap().is_applied()
    );
    consent(&store, WHO, "q", 4).await;
    let priority = Shard::first(Lane::PriorityMail);
    let left_behind = [shard(WHO), priority].map(|shard| (shard, Position::new(3, 0), entry(WHO)));
    store.seed_entries(&product("p0"), left_behind).await.unwrap();
    let opened = store.products().raise_shards(&product("p0"), Lane::PriorityMail, ShardCount::ONE).await;
    assert!(opened.unwrap().is_applied());
    users.link(&user(), WHO, i64::MAX).await.unwrap();
    users.link(&user(), OTHER, i64::MAX).await.unwrap();
    assert!(persons.confirm(WHO, now()).await.unwrap().is_applied());
    assert!(persons.suppress(WHO, Reason::Abuse, now()).await.unwrap().is_applied());

    let erased = erase::erase(&store, WHO, None).await.unwrap();
    assert_eq!(erased, erase::Erased { subscriptions: 121, consents_kept: 2, suppression_kept: true });
    let found = people::everything(&store, WHO, now()).await.unwrap();
    assert_eq!((found.alerts.len(), found.consents.len()), (0, 2));
    let suppressed = Some(Suppression::new(Reason::Abuse, now()));
    assert_eq!(found.person, Person { suppressed, ..Person::default() });
    assert_eq!(users.persons_of(&user()).await.unwrap(), [OTHER]);
    for (id, n, stays) in [("p0", 5, false), ("p0", 3, false), ("p0", 6, true), ("q", 4, true)] {
        let entry = store.waitlist(&product(id), shard(WHO)).entry(Position::new(n, 0)).await.unwrap();
        assert_eq!(entry.is_some(), stays, "{id} {n}");
    }
    let left_behind = store.waitlist(&product("p0"), priority).entry(Position::new(3, 0)).await.unwrap();
    assert!(left_behind.is_none());
    let again = erase::erase(&store, WHO, Some(&user())).await.unwrap();
    assert_eq!(again, erase::Erased { subscriptions: 0, consents_kept: 2, suppression_kept: true });
    assert!(persons.lift(WHO, Reason::Abuse).await.unwrap().is_applied());
    assert!(!erase::erase(&store, WHO, None).await.unwrap().suppression_kept);
    assert_eq!(persons.read(WHO).await.unwrap(), Person::default());
}

#[tokio::test]
async fn an_export_has_the_address_of_what_waits_and_of_nothing_else() {
    let store = store().await;
    let key = PersonKey::new("a secret of some length").unwrap();
    let jo = key.person(&address());
    wait(&store, jo, "waits", 5).await;
    ask(&store, jo, "asked", 6, 100).await;
    consent(&store, jo, "waits", 5).await;
    store.users().link(&user(), jo, i64::MAX).await.unwrap();
    for name in ["jo@example.com", " Jo@Example.com", "user/1"] {
        assert_eq!(people::named(&store, &key, name).await.unwrap(), [jo], "{name}");
    }
    assert_eq!(people::named(&store, &key, "user/2").await.unwrap(), []);
    let export = people::export(&store, &[jo, OTHER], now()).await.unwrap();
    let export = serde_json::to_value(export).unwrap();
    let one = &export["subscribers"][0];
    assert_eq!(export["subscribers"].as_array().unwrap().len(), 1, "nothing is kept of the other");
    assert_eq!(one["subscriber"], json!(jo));
    assert_eq!(one["consents"][0]["source"], "api");
    assert!(!one["consents"].to_string().contains('@'));
    let mut states: Vec<_> = one["subscriptions"].as_array().unwrap().iter().collect();
    states.sort_by_key(|one| one["productId"].as_str().unwrap().to_owned());
    for (found, (id, state)) in states.into_iter().zip([("asked", "pending"), ("waits", "waiting")]) {
        assert_eq!((&found["productId"], &found["state"]), (&json!(id), &json!(state)));
        assert_eq!(found["email"], "jo@example.com");
    }
    assert!(people::export(&store, &[OTHER], now()).await.unwrap().is_empty());
}
