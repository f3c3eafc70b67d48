//! What has expired is gone for every reader, although the table has it still: DynamoDB removes such items within days, and
//! the one in memory here never does.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use domain::cursor::{Answer, Cursor, Tally};
use domain::{Address, Locale, PersonId, Position, ProductId, RestockId, Shard};
use jiff::Timestamp;
use notify_me_store::consent::Consent;
use notify_me_store::name::Named;
use notify_me_store::subscription::{Confirmation, Pending, RequestId, Subscription};
use notify_me_store::summary::{IN_DOUBT, Planned};
use notify_me_store::waitlist::{Counting, Entry};
use notify_me_store::{Store, test_util};

const SHARD: Shard = Shard::mail(3);
/// When what is written here expires, in Unix seconds.
const END: i64 = 1_800_000_000;
/// How long the table keeps what came of a restock.
const KEPT: i64 = 400 * 86_400;

async fn store() -> Store {
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    test_util::store(&aws).await.unwrap()
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// The last moment at which it is there, and the first at which it is not.
const LOOKS: [(i64, bool); 2] = [(END - 1, true), (END, false)];

fn at(n: u64) -> Position {
    Position::new(n, 0)
}

fn product() -> ProductId {
    ProductId::parse("p").unwrap()
}

fn person() -> PersonId {
    PersonId::from_bytes([7; 16])
}

fn entry() -> Entry {
    Entry {
        subscriber: person(),
        address: Address::parse("jo@example.com").unwrap(),
        locale: Locale::default(),
        name: None,
        moved: false,
        ttl: END,
    }
}

fn subscription(pending: bool) -> Subscription {
    Subscription {
        position: at(1),
        shard: SHARD,
        created_at: second(END - 9),
        channel: "email".to_owned(),
        confirmed_at: None,
        locale: Locale::default(),
        user_id: None,
        by: Some(RequestId::new(1)),
        pending: pending.then(|| Pending { address: entry().address, name: None }),
        emailed: None,
        ttl: END,
    }
}

#[tokio::test]
async fn an_entry_that_expired_waits_for_nobody_who_looks_also_where_it_is_owed_a_retry() {
    let store = store().await;
    let id = product();
    let waitlist = store.waitlist(&id, SHARD);
    store.seed_entries(&id, [(SHARD, at(1), entry()), (SHARD, at(2), entry())]).await.unwrap();
    let again = Answer { retry: vec![at(1)], ..Answer::default() };
    let retried = Cursor::default().announce(0, Some(at(1)), 1, Timestamp::UNIX_EPOCH).commit(again);
    for (cursor, number) in [(Cursor::default(), 2), (retried, 2)] {
        for (now, is_there) in LOOKS {
            let first = waitlist.first(&cursor, 9, second(now)).await.unwrap();
            assert_eq!(first.len(), if is_there { number } else { 0 }, "{now} {cursor:?}");
        }
    }
    for counting in [Counting::Thorough, Counting::AtMost(9)] {
        for (now, is_there) in LOOKS {
            let count =
                waitlist.count(&Cursor::default(), Position::END, counting, second(now)).await.unwrap();
            assert_eq!(count.number, if is_there { 2 } else { 0 }, "{now} {counting:?}");
        }
    }
}

#[tokio::test]
async fn a_subscription_that_expired_is_none_of_its_persons() {
    for pending in [false, true] {
        let store = store().await;
        let asked =
            store.subscriptions().ask(person(), &product(), None, &subscription(pending)).await.unwrap();
        assert!(asked.is_applied());
        for (now, is_there) in LOOKS {
            let (all, unreadable) = store.subscriptions().all_of(person(), second(now)).await.unwrap();
            assert_eq!((all.len(), unreadable), (usize::from(is_there), 0), "{now} {pending}");
        }
    }
}

#[tokio::test]
async fn an_ask_whose_time_is_over_cannot_be_confirmed() {
    for (now, is_there) in LOOKS {
        let store = store().await;
        let asked = store.subscriptions().ask(person(), &product(), None, &subscription(true)).await.unwrap();
        assert!(asked.is_applied());
        let confirmation = Confirmation {
            asked: at(1),
            shard: SHARD,
            position: at(1),
            by: &RequestId::new(2),
            at: second(now),
        };
        let confirmed =
            store.subscriptions().confirm(person(), &product(), confirmation, &entry()).await.unwrap();
        assert_eq!(confirmed.is_applied(), is_there, "{now}");
        assert_eq!(store.waitlist(&product(), SHARD).entry(at(1)).await.unwrap().is_some(), is_there);
    }
}

#[tokio::test]
async fn a_consent_that_expired_is_shown_to_nobody() {
    let store = store().await;
    let consent = Consent {
        product_id: product(),
        asked_at: second(END - 9),
        confirmed_at: None,
        source: "api".to_owned(),
        page: None,
        locale: Locale::default(),
        words: None,
        ttl: END,
    };
    assert!(store.consents().keep(person(), at(1), &consent).await.unwrap().is_applied());
    for (now, is_there) in LOOKS {
        let (all, unreadable) = store.consents().all_of(person(), second(now)).await.unwrap();
        assert_eq!((all.len(), unreadable), (usize::from(is_there), 0), "{now}");
    }
}

#[tokio::test]
async fn what_came_of_a_restock_is_gone_once_its_time_is_over() {
    let store = store().await;
    let (id, restock) = (product(), RestockId::parse("r").unwrap());
    let written = second(END - KEPT);
    let planned = Planned {
        restock_id: restock.clone(),
        product_id: id.clone(),
        bound: Some(at(5)),
        shard_count: 1,
        priority_shard_count: None,
        shards: vec![SHARD],
        planned_at: written,
    };
    let summaries = store.summaries();
    summaries.record_plan(&planned).await.unwrap();
    summaries.put_shard(SHARD, &Tally::new(restock.clone()), written).await.unwrap();
    summaries.put_failures(&restock, &[(at(1), IN_DOUBT.to_owned())], written).await.unwrap();
    for (now, is_there) in LOOKS {
        let now = second(now);
        assert_eq!(summaries.plan(&restock, now).await.unwrap().is_some(), is_there, "{now}");
        assert_eq!(
            !summaries.plans_covering(&id, at(1), 9, now).await.unwrap().is_empty(),
            is_there,
            "{now}"
        );
        assert_eq!(summaries.shard(&restock, SHARD, now).await.unwrap().is_some(), is_there, "{now}");
        assert_eq!(summaries.failure(&restock, at(1), now).await.unwrap().is_some(), is_there, "{now}");
        assert_eq!(!summaries.failures(&restock, now).await.unwrap().is_empty(), is_there, "{now}");
    }
}

#[tokio::test]
async fn the_name_of_a_restock_that_expired_is_free_for_another() {
    for (now, is_there) in [(END - 1, true), (END + 1, false)] {
        let store = store().await;
        let name = RestockId::parse("r").unwrap();
        let named = |product: &ProductId, at: i64| Named::new(product, None, second(at));
        store.names().take(&name, &named(&product(), END - KEPT), second(END - KEPT)).await.unwrap();
        let other = ProductId::parse("q").unwrap();
        let (taken, known) = store.names().take(&name, &named(&other, now), second(now)).await.unwrap();
        assert_eq!((taken == name, known), (!is_there, None), "{now}");
    }
}
