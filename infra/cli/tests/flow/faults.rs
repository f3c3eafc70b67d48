//! SES misbehaves: which emails go out, and how often.

use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Shop, System, until};

async fn crowd(shop: &Shop, product: &str, count: usize) -> Vec<String> {
    let waiting: Vec<String> = (0..count).map(|n| format!("{product}-{n}@example.com")).collect();
    join_all(waiting.iter().map(|to| shop.subscribe(product, to))).await;
    waiting
}

async fn times_told(shop: &Shop, to: &[String]) -> Vec<usize> {
    shop.rest().await;
    join_all(to.iter().map(async |to| shop.inbox(to).await.len())).await
}

/// The sweep, as the schedule sends it, for every fan-out that is not finished.
async fn sweep(shop: &Shop) -> Value {
    let event = json!({ "detail-type": "Scheduled Event", "detail": { "olderThanSeconds": 0 } });
    shop.invoke("notify", &event).await.unwrap()
}

#[tokio::test]
async fn recipients_that_are_throttled_are_told_in_a_later_call_and_rejected_ones_are_passed() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    let waiting = crowd(&shop, "patchy", 120).await;
    shop.ses_faults(json!({ "statuses": {
        "patchy-3@example.com": { "status": "ACCOUNT_THROTTLED", "times": 2 },
        "patchy-50@example.com": { "status": "TRANSIENT_FAILURE", "times": 1 },
        "patchy-77@example.com": { "status": "MESSAGE_REJECTED" },
    } }))
    .await;
    shop.stock("patchy", json!({ "quantity": 5 })).await;
    for (n, to) in waiting.iter().enumerate() {
        if n != 77 {
            shop.mails(to, 1).await;
        }
    }
    let told = times_told(&shop, &waiting).await;
    assert!(told.iter().enumerate().all(|(n, times)| *times == usize::from(n != 77)), "{told:?}");
    assert_eq!(shop.waiting("patchy").await, 0);
}

#[tokio::test]
async fn calls_that_ses_refuses_for_their_speed_lose_and_double_nobody() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    let waiting = crowd(&shop, "too-fast", 100).await;
    shop.ses_faults(json!({ "throttleNext": 4 })).await;
    shop.stock("too-fast", json!({ "quantity": 5 })).await;
    for to in &waiting {
        shop.mails(to, 1).await;
    }
    let told = times_told(&shop, &waiting).await;
    assert!(told.iter().all(|times| *times == 1), "{told:?}");
}

#[tokio::test]
async fn a_call_whose_answer_is_lost_is_sent_again_under_resend_and_only_that_call() {
    let system = System::start(&[], &[("SHARDS", "1")]);
    let shop = system.shop();
    let waiting = crowd(&shop, "unanswered", 120).await;
    shop.ses_faults(json!({ "dropNext": 1 })).await;
    shop.stock("unanswered", json!({ "quantity": 5 })).await;
    for to in &waiting {
        shop.mails(to, 1).await;
    }
    let told = times_told(&shop, &waiting).await;
    assert_eq!(told.iter().filter(|times| **times == 2).count(), 50, "{told:?}");
    assert_eq!(told.iter().filter(|times| **times == 1).count(), 70, "{told:?}");
}

#[tokio::test]
async fn a_call_whose_answer_is_lost_is_passed_under_skip_and_nobody_is_told_twice() {
    let system = System::start(&[], &[("SHARDS", "1"), ("ON_UNKNOWN", "skip")]);
    let shop = system.shop();
    let waiting = crowd(&shop, "passed-by", 120).await;
    // The first call is lost before it counts, and its outcome is unknown: those are the missed ones.
    shop.ses_faults(json!({ "failNext": 1 })).await;
    shop.stock("passed-by", json!({ "quantity": 5 })).await;
    until("the rest told", async || (shop.everything().await.len() >= 70).then_some(())).await;
    let told = times_told(&shop, &waiting).await;
    assert_eq!(told.iter().filter(|times| **times == 0).count(), 50, "{told:?}");
    assert_eq!(told.iter().filter(|times| **times == 1).count(), 70, "{told:?}");
}

#[tokio::test]
async fn subscribers_get_two_emails_at_most_however_slow_ses_is() {
    let system = System::start(&[], &[("SHARDS", "1")]);
    let shop = system.shop();
    let waiting = crowd(&shop, "slow", 70).await;
    // Longer than a worker waits for an answer.
    shop.ses_faults(json!({ "answerMs": 13_000 })).await;
    shop.stock("slow", json!({ "quantity": 5 })).await;
    let begun = std::time::Instant::now();
    until("the first call", async || (!shop.everything().await.is_empty()).then_some(())).await;
    assert_eq!(shop.everything().await.len(), 50);
    until("the second try", async || (shop.everything().await.len() > 50).then_some(())).await;
    assert!(begun.elapsed().as_secs() >= 30, "the second try came after {:?}", begun.elapsed());
    assert_eq!(shop.everything().await.len(), 100);
    // SES recovers, but not for the second try, which is under way.
    shop.ses_faults(json!({})).await;
    until("the rest told", async || (shop.everything().await.len() >= 120).then_some(())).await;
    let told = times_told(&shop, &waiting).await;
    assert_eq!(told.iter().filter(|times| **times == 2).count(), 50, "{told:?}");
    assert_eq!(told.iter().filter(|times| **times == 1).count(), 20, "{told:?}");
    assert_eq!(shop.waiting("slow").await, 0);
    assert_eq!(sweep(&shop).await["open"], 0, "nothing is left to sweep");
}

#[tokio::test]
async fn an_answer_that_comes_late_but_in_time_leaves_no_call_in_doubt() {
    let system = System::start(&[], &[("SHARDS", "1")]);
    let shop = system.shop();
    let waiting = crowd(&shop, "late", 70).await;
    shop.ses_faults(json!({ "answerMs": 6_000 })).await;
    shop.stock("late", json!({ "quantity": 5 })).await;
    until("all told", async || (shop.everything().await.len() >= 70).then_some(())).await;
    until("all answered", async || (shop.waiting("late").await == 0).then_some(())).await;
    let told = times_told(&shop, &waiting).await;
    assert!(told.iter().all(|times| *times == 1), "{told:?}");
    assert!(!system.log().contains("in doubt"), "{}", system.log());
}

#[tokio::test]
async fn no_email_goes_out_later_than_about_a_second_after_a_sell_out() {
    // Eight shards share so few slots that each call waits for its own for seconds.
    let system = System::start(&[], &[("SHARDS", "8"), ("SEND_RATE", "14")]);
    let shop = system.shop();
    let waiting = crowd(&shop, "gone-again", 300).await;
    shop.stock("gone-again", json!({ "quantity": 5 })).await;
    until("a good part told", async || (shop.everything().await.len() >= 60).then_some(())).await;
    shop.stock("gone-again", json!({ "quantity": 0 })).await;
    until("the sell-out in the table", async || {
        let shown = shop.request("GET", "/products/gone-again", &[], "").await;
        (shown.json()["inStock"] == false).then_some(())
    })
    .await;
    // A call that was announced goes out; the rest of this time is for a machine that is busy.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let told = shop.everything().await.len();
    assert!(told < waiting.len(), "the fan-out was over too soon");
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    assert_eq!(shop.everything().await.len(), told, "emails went out long after the sell-out");
    assert_eq!(shop.waiting("gone-again").await, (waiting.len() - told) as u64, "the others still wait");
}

#[tokio::test]
async fn an_account_that_may_not_send_consumes_nobody_and_the_sweep_tells_them_once_it_may() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    let waiting = crowd(&shop, "paused", 60).await;
    let paused = waiting.iter().map(|to| (to.clone(), json!({ "status": "ACCOUNT_SENDING_PAUSED" })));
    shop.ses_faults(json!({ "statuses": paused.collect::<serde_json::Map<_, _>>() })).await;
    shop.stock("paused", json!({ "quantity": 5 })).await;
    until("the stop is said", async || system.log().contains("ACCOUNT_SENDING_PAUSED").then_some(())).await;
    assert!(times_told(&shop, &waiting).await.iter().all(|times| *times == 0));
    assert_eq!(shop.waiting("paused").await, 60, "they still wait");

    shop.ses_faults(json!({})).await;
    assert!(sweep(&shop).await["putBack"].as_u64().unwrap() > 0);
    for to in &waiting {
        shop.mails(to, 1).await;
    }
    let told = times_told(&shop, &waiting).await;
    assert!(told.iter().all(|times| *times == 1), "{told:?}");
    assert_eq!(sweep(&shop).await["open"], 0, "nothing is left to sweep");
}
