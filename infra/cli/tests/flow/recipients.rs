//! What becomes of a shard when SES refuses one of its recipients, or all of them. SES is a stand-in of these tests: it refuses
//! whole calls, as SES does for one bad entry, and takes the rest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Shop, System, until};

/// What SES was asked for and took.
#[derive(Default)]
struct Ses {
    /// Whom it has taken, and how often.
    taken: Mutex<BTreeMap<String, usize>>,
    calls: Mutex<usize>,
    /// How many of the next calls it throttles.
    throttled: Mutex<usize>,
    /// How many of the next requests for the account it leaves unanswered.
    accounts_lost: Mutex<usize>,
    /// How often it was asked for the account.
    accounts: Mutex<usize>,
    /// How many of the next calls fail at SES, under a name that a refusal might have.
    failing: Mutex<usize>,
    /// Whether every recipient is refused by itself, as in the sandbox, but those verified.
    sandbox: Mutex<bool>,
    /// Whether the sandbox refuses a call as a whole for one of its recipients, as it refuses a single email.
    whole_calls: Mutex<bool>,
}

fn refused(status: StatusCode, kind: &str, message: &str) -> Response {
    (status, [("x-amzn-errortype", kind)], json!({ "message": message }).to_string()).into_response()
}

async fn account(State(ses): State<Arc<Ses>>) -> Response {
    *ses.accounts.lock().unwrap() += 1;
    let mut lost = ses.accounts_lost.lock().unwrap();
    if *lost > 0 {
        *lost -= 1;
        return refused(StatusCode::INTERNAL_SERVER_ERROR, "InternalServiceErrorException", "");
    }
    let quota = json!({ "Max24HourSend": 1e6, "MaxSendRate": 1000.0, "SentLast24Hours": 0.0 });
    let production = !*ses.sandbox.lock().unwrap();
    json!({ "SendQuota": quota, "SendingEnabled": true, "ProductionAccessEnabled": production })
        .to_string()
        .into_response()
}

async fn send(State(ses): State<Arc<Ses>>, body: String) -> Response {
    *ses.calls.lock().unwrap() += 1;
    let asked: Value = serde_json::from_str(&body).unwrap();
    let to = |entry: &Value| entry["Destination"]["ToAddresses"][0].as_str().unwrap().to_owned();
    let to: Vec<String> = asked["BulkEmailEntries"].as_array().unwrap().iter().map(to).collect();
    {
        let mut throttled = ses.throttled.lock().unwrap();
        if *throttled > 0 {
            *throttled -= 1;
            return refused(
                StatusCode::TOO_MANY_REQUESTS,
                "TooManyRequestsException",
                "Maximum sending rate exceeded.",
            );
        }
    }
    {
        let mut failing = ses.failing.lock().unwrap();
        if *failing > 0 {
            *failing -= 1;
            return refused(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailableException", "");
        }
    }
    if to.iter().any(|one| one.starts_with("refused")) {
        return refused(StatusCode::BAD_REQUEST, "BadRequestException", "Domain contains illegal character");
    }
    let sandbox = *ses.sandbox.lock().unwrap();
    let unverified = |one: &String| sandbox && !one.starts_with("verified");
    if *ses.whole_calls.lock().unwrap() && to.iter().any(unverified) {
        return refused(StatusCode::BAD_REQUEST, "MessageRejected", "Email address is not verified.");
    }
    let mut results = Vec::new();
    for one in to {
        if unverified(&one) {
            results.push(json!({ "Status": "MESSAGE_REJECTED", "Error": "Email address is not verified." }));
            continue;
        }
        results.push(json!({ "Status": "SUCCESS", "MessageId": "m" }));
        *ses.taken.lock().unwrap().entry(one).or_default() += 1;
    }
    json!({ "BulkEmailEntryResults": results }).to_string().into_response()
}

/// Such an SES, and a system that sends through it.
async fn system() -> (Arc<Ses>, System) {
    system_with(&[]).await
}

/// The same, with these settings.
async fn system_with(settings: &[(&'static str, &str)]) -> (Arc<Ses>, System) {
    let ses = Arc::new(Ses::default());
    let router = Router::new()
        .route("/v2/email/account", get(account))
        .route("/v2/email/outbound-bulk-emails", post(send))
        .with_state(ses.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let started = tokio::task::spawn_blocking({
        let settings: Vec<(&str, String)> =
            settings.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        move || {
            let settings: Vec<(&str, &str)> =
                settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
            System::start(&["--ses", &url], &settings)
        }
    });
    (ses, started.await.unwrap())
}

async fn wait_for(shop: &Shop, product: &str, names: Vec<String>) -> Vec<String> {
    let people: Vec<String> = names.into_iter().map(|name| format!("{name}.{product}@example.com")).collect();
    join_all(people.iter().map(|to| shop.subscribe(product, to))).await;
    people
}

fn taken(ses: &Ses) -> BTreeMap<String, usize> {
    ses.taken.lock().unwrap().clone()
}

#[tokio::test]
async fn four_of_160_whom_ses_refuses_call_by_call_are_found_and_the_others_told_once() {
    for shards in [1, 8] {
        let (ses, system) = system().await;
        let shop = system.shop();
        system.raise_shards("spoiled", shards).await;
        let names = (0..160).map(|n| if n % 40 == 7 { format!("refused{n}") } else { format!("good{n}") });
        let people = wait_for(&shop, "spoiled", names.collect()).await;
        shop.stock("spoiled", json!({ "quantity": 5 })).await;
        until("156 told", async || (taken(&ses).len() >= 156).then_some(())).await;
        shop.rest().await;
        let told = taken(&ses);
        assert!(told.values().all(|times| *times == 1), "no subscriber gets two: {told:?}");
        assert!(people.iter().all(|one| one.starts_with("refused") != told.contains_key(one)));
        // Written down, and not tried again by a sweep.
        let calls = *ses.calls.lock().unwrap();
        let sweep = json!({ "detail-type": "Scheduled Event", "detail": { "olderThanSeconds": 0 } });
        assert_eq!(shop.invoke("notify", &sweep).await.unwrap()["open"], 0);
        shop.rest().await;
        assert_eq!(*ses.calls.lock().unwrap(), calls);
    }
}

#[tokio::test]
async fn a_sandbox_consumes_nobody_and_everybody_is_told_once_it_is_left() {
    let (ses, system) = system().await;
    let shop = system.shop();
    system.raise_shards("sandbox", 2).await;
    *ses.sandbox.lock().unwrap() = true;
    wait_for(&shop, "sandbox", (0..90).map(|n| format!("a{n}")).collect()).await;
    wait_for(&shop, "one", vec!["alone".to_owned()]).await;
    for product in ["sandbox", "one"] {
        shop.stock(product, json!({ "quantity": 5 })).await;
    }
    until("refusals", async || (*ses.calls.lock().unwrap() >= 3).then_some(())).await;
    shop.rest().await;
    assert_eq!(taken(&ses).len(), 0);
    assert!(*ses.calls.lock().unwrap() <= 20, "a handful of calls");
    assert!(system.log().contains("not verified"), "SES's own words are in the log");
    assert!(system.log().contains("ProductionAccessEnabled: false"), "and what the account says");
    *ses.sandbox.lock().unwrap() = false;
    let sweep = json!({ "detail-type": "Scheduled Event", "detail": { "olderThanSeconds": 0 } });
    shop.invoke("notify", &sweep).await.unwrap();
    until("all 91 told", async || (taken(&ses).len() >= 91).then_some(())).await;
    shop.rest().await;
    assert!(taken(&ses).values().all(|times| *times == 1));
}

#[tokio::test]
async fn a_throttle_and_a_lost_answer_of_get_account_delay_an_email_without_a_sweep() {
    let (ses, system) = system().await;
    let shop = system.shop();
    *ses.accounts_lost.lock().unwrap() = 5;
    *ses.throttled.lock().unwrap() = 8;
    wait_for(&shop, "throttled", vec!["a".to_owned()]).await;
    shop.stock("throttled", json!({ "quantity": 5 })).await;
    until("told without a sweep", async || (taken(&ses).len() == 1).then_some(())).await;
    shop.rest().await;
    assert!(taken(&ses).values().all(|times| *times == 1));
}

#[tokio::test]
async fn a_sandbox_tells_those_verified_and_keeps_the_others_for_later() {
    for whole_calls in [false, true] {
        let (ses, system) = system().await;
        let shop = system.shop();
        *ses.sandbox.lock().unwrap() = true;
        *ses.whole_calls.lock().unwrap() = whole_calls;
        let name = |n: usize| if n.is_multiple_of(4) { format!("verified{n}") } else { format!("other{n}") };
        // One after the other: of so many unverified in a row that it looks like everybody, the sweep takes the rest.
        for n in 0..40 {
            shop.subscribe("mixed", &format!("{}.mixed@example.com", name(n))).await;
        }
        shop.stock("mixed", json!({ "quantity": 5 })).await;
        until("the 10 verified are told", async || (taken(&ses).len() >= 10).then_some(())).await;
        shop.rest().await;
        assert_eq!(taken(&ses).len(), 10);
        *ses.sandbox.lock().unwrap() = false;
        let sweep = json!({ "detail-type": "Scheduled Event", "detail": { "olderThanSeconds": 0 } });
        shop.invoke("notify", &sweep).await.unwrap();
        until("all 40 told", async || (taken(&ses).len() >= 40).then_some(())).await;
        shop.rest().await;
        assert!(taken(&ses).values().all(|times| *times == 1), "whole calls: {whole_calls}");
    }
}

#[tokio::test]
async fn a_call_at_which_ses_fails_is_in_doubt_whatever_the_failure_is_called_and_waits_for_no_sweep() {
    let (ses, system) = system().await;
    let shop = system.shop();
    *ses.failing.lock().unwrap() = 1;
    wait_for(&shop, "failing", vec!["a".to_owned()]).await;
    shop.stock("failing", json!({ "quantity": 5 })).await;
    until("told without a sweep", async || (taken(&ses).len() == 1).then_some(())).await;
    shop.rest().await;
    assert!(system.log().contains("a call is in doubt"));
}

#[tokio::test]
async fn ses_is_greeted_before_the_first_call_after_twenty_seconds_of_silence() {
    let (ses, system) = system_with(&[("SHARDS", "1"), ("SEND_RATE", "100")]).await;
    let shop = system.shop();
    for (product, asked) in [("first", 0), ("at-once", 0), ("after-silence", 1)] {
        if product == "after-silence" {
            tokio::time::sleep(std::time::Duration::from_secs(21)).await;
        }
        wait_for(&shop, product, vec!["a".to_owned()]).await;
        let before = taken(&ses).len();
        shop.stock(product, json!({ "quantity": 5 })).await;
        until("told", async || (taken(&ses).len() > before).then_some(())).await;
        shop.rest().await;
        assert_eq!(*ses.accounts.lock().unwrap(), asked, "{product}");
    }
}
