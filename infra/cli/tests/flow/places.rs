//! A place in a waitlist is moved only by the request that speaks for it, and every link ends what it says it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use domain::{Address, PersonKey};
use futures::future::join_all;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::support::{Shop, System, are_real, link_after, until};

/// A proxy before the table that holds back one read of a product.
struct Gate {
    table: String,
    product: &'static str,
    armed: AtomicBool,
    holds: AtomicBool,
    open: watch::Sender<bool>,
    http: reqwest::Client,
}

impl Gate {
    async fn before(table: &str, product: &'static str) -> (Arc<Self>, String) {
        let gate = Arc::new(Self {
            table: table.to_owned(),
            product,
            armed: AtomicBool::new(false),
            holds: AtomicBool::new(false),
            open: watch::Sender::new(false),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(pass).with_state(gate.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (gate, url)
    }

    fn is_to_hold(&self, headers: &HeaderMap, body: &[u8]) -> bool {
        let reads =
            headers.get("x-amz-target").is_some_and(|target| target.as_bytes().ends_with(b".GetItem"));
        let asked: Value = serde_json::from_slice(body).unwrap_or_default();
        let of_product = asked["Key"]["pk"]["S"] == format!("P#{}", self.product);
        reads && of_product && self.armed.swap(false, Ordering::SeqCst)
    }
}

async fn pass(State(gate): State<Arc<Gate>>, mut headers: HeaderMap, body: Bytes) -> Response {
    if gate.is_to_hold(&headers, &body) {
        gate.holds.store(true, Ordering::SeqCst);
        gate.open.subscribe().wait_for(|open| *open).await.unwrap();
    }
    headers.remove("host");
    match gate.http.post(&gate.table).headers(headers).body(body).send().await {
        Ok(answer) => {
            (answer.status(), answer.headers().clone(), answer.bytes().await.unwrap()).into_response()
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}

#[tokio::test]
async fn a_request_that_stalls_takes_nobody_out_of_the_fan_out_that_another_one_was_promised() {
    if are_real() {
        // The table of this test lies behind a proxy of its own, and systems on real parts have theirs given.
        return;
    }
    let behind = System::start(&[], &[]);
    let (gate, url) = Gate::before(&behind.ready.dynamodb, "stalled").await;
    let system = tokio::task::spawn_blocking(move || {
        System::start(&["--dynamodb", &url], &[("SHARDS", "1"), ("SEND_RATE", "15")])
    });
    let system = system.await.unwrap();
    let shop = system.shop();
    // Enough for the fan-out to last until the request that stalls goes on.
    let crowd: Vec<String> = (0..75).map(|n| format!("crowd{n}@example.com")).collect();
    join_all(crowd.iter().map(|to| shop.subscribe("stalled", to))).await;

    gate.armed.store(true, Ordering::SeqCst);
    let wish = || json!({ "email": "victim@example.com" });
    let stalls = shop.ask("stalled", wish());
    let meanwhile = async {
        until("it stalls before its look", async || gate.holds.load(Ordering::SeqCst).then_some(())).await;
        let repeat = shop.ask("stalled", wish()).await;
        assert_eq!((repeat.status, &repeat.json()["inStock"]), (200, &json!(false)), "{repeat:?}");
        shop.stock("stalled", json!({ "quantity": 5 })).await;
        until("the fan-out begins", async || (!shop.everything().await.is_empty()).then_some(())).await;
        assert!(shop.everything().await.len() < crowd.len(), "the fan-out is over too soon");
        gate.open.send_replace(true);
    };
    let (stalled, ()) = tokio::join!(stalls, meanwhile);
    assert!([200, 201].contains(&stalled.status), "{stalled:?}");
    until("all are told", async || (shop.everything().await.len() > crowd.len()).then_some(())).await;
    assert_eq!(shop.told("victim@example.com").await, 1);
}

/// An item of the table, in words.
async fn item(system: &System, pk: &str, sk: &str) -> String {
    let key = |text: &str| aws_sdk_dynamodb::types::AttributeValue::S(text.to_owned());
    let request = system.dynamodb().get_item().table_name(&system.ready.table);
    let got = request.key("pk", key(pk)).key("sk", key(sk)).send().await.unwrap();
    format!("{:?}", got.item.unwrap_or_default().get(if sk == "CURSOR" { "flight" } else { "position" }))
}

async fn sell_out(shop: &Shop, product: &str) {
    shop.stock(product, json!({ "quantity": 0 })).await;
    until("it is sold out", async || {
        let shown = shop.request("GET", &format!("/products/{product}"), &[], "").await;
        (shown.json()["inStock"] == false).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_link_of_an_email_that_was_on_its_way_while_its_subscriber_moved_ends_the_subscription() {
    let system = System::start(&[], &[("SHARDS", "1"), ("SEND_RATE", "10")]);
    let shop = system.shop();
    // Enough for her email to go out after the planner's head start, so that the sell-out is not behind it in line.
    for n in 0..24 {
        shop.subscribe("linked", &format!("ahead{n}@example.com")).await;
    }
    shop.subscribe("linked", "mover@example.com").await;
    let key = PersonKey::new(&system.ready.person_key).unwrap();
    let mover = key.person(&Address::parse("mover@example.com").unwrap());
    let position = item(&system, &format!("S#{}", mover.key_part()), "P#linked").await;
    let position = position.split('"').nth(1).unwrap();
    shop.stock("linked", json!({ "quantity": 5 })).await;
    until("the first call", async || (shop.everything().await.len() >= 10).then_some(())).await;
    shop.ses_faults(json!({ "latencyMs": 2_500 })).await;
    until("her call is announced", async || {
        item(&system, "W#linked#m0.0", "CURSOR").await.contains(position).then_some(())
    })
    .await;
    sell_out(&shop, "linked").await;
    let again = shop.ask("linked", json!({ "email": "mover@example.com" })).await;
    assert_eq!((again.status, &again.json()["inStock"]), (200, &json!(false)), "{again:?}");
    assert!(shop.inbox("mover@example.com").await.is_empty(), "the call is over too soon");

    let mail = shop.only_mail("mover@example.com").await;
    assert_eq!(
        shop.waiting("linked").await,
        1,
        "for the next restock, and no entry is left where she moved from"
    );
    let link = link_after(&mail, "alert: ").to_owned();
    for _ in 0..2 {
        let done = shop.request("POST", &link, &[], "List-Unsubscribe=One-Click").await;
        assert_eq!(done.status, 200, "{done:?}");
    }
    assert_eq!(shop.waiting("linked").await, 0);
    shop.ses_faults(json!({})).await;
    shop.stock("linked", json!({ "quantity": 6 })).await;
    assert_eq!(shop.told("mover@example.com").await, 1, "only the mail from before");
}
