//! Limits and used solutions, on a DynamoDB in memory.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use domain::limit::Limit;
use domain::{PersonId, PersonKey};
use futures::future::join_all;
use notify_me_store::{Outcome, Store, test_util};

const SECOND: u64 = 1_000_000;
const NOW: u64 = 1_800_000_000 * SECOND;

async fn store() -> Store {
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    test_util::store(&aws).await.unwrap()
}

fn hash(text: &str) -> PersonId {
    PersonKey::new("a secret of some length").unwrap().other("source", text)
}

fn limit() -> Limit {
    Limit::new(3, 30 * SECOND).unwrap()
}

#[tokio::test]
async fn a_limit_is_used_up_by_its_burst_and_comes_back_one_by_one() {
    let store = store().await;
    let take = async |second: u64| {
        store.limits().take("source", hash("a"), limit(), NOW + second * SECOND).await.unwrap()
    };
    for _ in 0..3 {
        assert_eq!(take(0).await, Outcome::Applied(()));
    }
    assert_eq!(take(0).await, Outcome::Refused(NOW + 30 * SECOND));
    assert_eq!(take(29).await, Outcome::Refused(NOW + 30 * SECOND), "a refusal uses nothing");
    assert_eq!(take(30).await, Outcome::Applied(()));
    assert_eq!(take(30).await, Outcome::Refused(NOW + 60 * SECOND));
    // Unused for long, the whole burst is there again, and not more.
    for _ in 0..3 {
        assert_eq!(take(1_000).await, Outcome::Applied(()));
    }
    assert_eq!(take(1_000).await, Outcome::Refused(NOW + 1_030 * SECOND));
}

#[tokio::test]
async fn what_is_limited_is_limited_by_itself() {
    let store = store().await;
    let one = Limit::new(1, SECOND).unwrap();
    let take = async |kind, text| store.limits().take(kind, hash(text), one, NOW).await.unwrap().is_applied();
    assert!(take("source", "a").await && take("source", "b").await && take("address", "a").await);
    assert!(!take("source", "a").await && !take("source", "b").await && !take("address", "a").await);
}

#[tokio::test]
async fn of_many_at_once_only_the_burst_is_allowed() {
    let store = store().await;
    let limit = Limit::new(5, 3_600 * SECOND).unwrap();
    let limits = store.limits();
    let takes = (0..20).map(|_| limits.take("product", hash("p"), limit, NOW));
    let taken = join_all(takes).await;
    let allowed = taken.iter().filter(|taken| matches!(taken, Ok(Outcome::Applied(())))).count();
    assert_eq!(allowed, 5, "{taken:?}");
    assert!(taken.iter().all(|taken| taken.is_ok()), "{taken:?}");
}

#[tokio::test]
async fn an_item_whose_time_is_over_limits_nothing_although_the_table_has_it_still() {
    let store = store().await;
    let one = Limit::new(1, 10 * SECOND).unwrap();
    let take = async |now| store.limits().take("source", hash("a"), one, now).await.unwrap().is_applied();
    assert!(take(NOW).await && !take(NOW + 10 * SECOND - 1).await);
    let forgotten = u64::try_from(one.forgotten(NOW)).unwrap() * SECOND;
    assert!(forgotten >= NOW + 10 * SECOND);
    assert!(take(forgotten).await, "the same as if it were gone");
}

#[tokio::test]
async fn a_solution_is_used_once() {
    let store = store().await;
    let use_up = async |nonce| store.limits().use_up(hash(nonce), 1_800_000_600).await.unwrap().is_applied();
    assert!(use_up("n").await && !use_up("n").await && use_up("m").await);
}
