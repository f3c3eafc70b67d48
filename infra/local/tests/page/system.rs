//! What the page is tested on: an address with the API, the page and the inbox.
//!
//! [`System::start`] is the one place that decides what that is. Now it is the real inbox and page with a plain
//! in-memory API in front; `notify-me up --port 0 --ready-file FILE` takes its place by giving `origin` and `ses`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::ses::{Options, Ses};

pub(crate) struct System {
    /// The address of API, page and inbox.
    pub(crate) origin: String,
    /// The address of SES.
    ses_url: String,
    http: reqwest::Client,
    running: Option<(Ses, JoinHandle<()>)>,
}

impl System {
    pub(crate) async fn start() -> Self {
        let ses = Ses::start(Options::default()).await.unwrap();
        let shop = Shop {
            ses: ses.url(),
            http: reqwest::Client::new(),
            waiting: Arc::default(),
        };
        let api = Router::new()
            .route("/products/{id}/subscriptions", post(subscribe))
            .route("/products/{id}/subscriptions/count", get(count))
            .route("/products/{id}/stock", put(stock))
            .with_state(shop)
            .merge(ses.router());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, api).await.unwrap() });
        Self {
            origin,
            ses_url: ses.url(),
            http: reqwest::Client::new(),
            running: Some((ses, server)),
        }
    }

    pub(crate) async fn stop(mut self) {
        if let Some((ses, server)) = self.running.take() {
            ses.stop().await;
            server.abort();
        }
    }

    /// Everything in the inbox, oldest first.
    pub(crate) async fn messages(&self) -> Vec<Value> {
        let list: Value = self
            .http
            .get(format!("{}/_aws/ses", self.origin))
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        list["messages"].as_array().unwrap().clone()
    }

    /// Sends a mail as any program with an AWS SDK would.
    pub(crate) async fn send(&self, to: &str, subject: &str, html: &str) {
        let content = json!({"Subject": {"Data": subject}, "Body": {"Html": {"Data": html}}});
        let mail = json!({
            "FromEmailAddress": "shop@example.com",
            "Destination": {"ToAddresses": [to]},
            "Content": {"Simple": content},
        });
        post_to(
            &self.http,
            &format!("{}/v2/email/outbound-emails", self.ses_url),
            &mail,
        )
        .await;
    }

    pub(crate) async fn send_many(&self, call: usize, mails: usize) {
        let entries: Vec<_> = (0..mails)
            .map(|mail| json!({"Destination": {"ToAddresses": [format!("shopper-{call}-{mail}@example.com")]}}))
            .collect();
        send_bulk(&self.http, &self.ses_url, &entries, "{}").await;
    }
}

#[derive(Clone)]
struct Shop {
    ses: String,
    http: reqwest::Client,
    waiting: Arc<Mutex<BTreeMap<String, Vec<Value>>>>,
}

async fn subscribe(
    State(shop): State<Shop>,
    Path(id): Path<String>,
    Json(wish): Json<Value>,
) -> Response {
    let email = wish["email"].as_str().unwrap_or_default();
    if !email.contains('@') {
        return refused(
            StatusCode::BAD_REQUEST,
            problem("email", "This is not an email address.", "user@domain.tld"),
        );
    }
    shop.waiting
        .lock()
        .unwrap()
        .entry(id.clone())
        .or_default()
        .push(wish);
    (
        StatusCode::CREATED,
        Json(json!({"productId": id, "status": "waiting", "inStock": false})),
    )
        .into_response()
}

async fn count(State(shop): State<Shop>, Path(id): Path<String>) -> Json<Value> {
    let waiting = shop.waiting.lock().unwrap().get(&id).map_or(0, Vec::len);
    Json(json!({"productId": id, "waiting": waiting, "precision": "exact"}))
}

async fn stock(
    State(shop): State<Shop>,
    Path(id): Path<String>,
    Json(update): Json<Value>,
) -> Response {
    let Some(quantity) = update["quantity"].as_u64() else {
        return refused(
            StatusCode::BAD_REQUEST,
            problem("quantity", "There is no quantity.", "0 or more"),
        );
    };
    if quantity > 0 {
        let told = shop.waiting.lock().unwrap().remove(&id).unwrap_or_default();
        let entries: Vec<_> = told
            .iter()
            .map(|wish| {
                json!({
                    "Destination": {"ToAddresses": [wish["email"]]},
                    "ReplacementHeaders": [
                        {"Name": "List-Unsubscribe", "Value": format!("<{}/unsubscribe/token>", shop.ses)},
                        {"Name": "List-Unsubscribe-Post", "Value": "List-Unsubscribe=One-Click"},
                    ],
                })
            })
            .collect();
        if !entries.is_empty() {
            send_bulk(
                &shop.http,
                &shop.ses,
                &entries,
                &update["product"].to_string(),
            )
            .await;
        }
    }
    let restock = json!({"restockId": "01JD0000000000000000000000", "productId": id, "partition": 0, "offset": 7});
    (StatusCode::ACCEPTED, Json(restock)).into_response()
}

async fn send_bulk(http: &reqwest::Client, ses: &str, entries: &[Value], data: &str) {
    let html = "<div style=\"font-family:sans-serif;padding:24px\"><h1 style=\"font-size:22px\">{{#if name}}{{name}}{{else}}It\
        {{/if}} is back</h1><p><a href=\"{{#if url}}{{url}}{{/if}}\">See it in the shop</a> {{#if price}}for {{price}}{{/if}}</p>\
        {{#if imageUrl}}<img src=\"{{imageUrl}}\" alt=\"\" width=\"320\">{{/if}}</div>";
    let call = json!({
        "FromEmailAddress": "Shop <shop@example.com>",
        "DefaultContent": {"Template": {
            "TemplateContent": {
                "Subject": "{{#if name}}{{name}}{{else}}It{{/if}} is back in stock",
                "Text": "It is back in stock.",
                "Html": html,
            },
            "TemplateData": data,
        }},
        "BulkEmailEntries": entries,
    });
    post_to(http, &format!("{ses}/v2/email/outbound-bulk-emails"), &call).await;
}

async fn post_to(http: &reqwest::Client, url: &str, body: &Value) {
    let answer = http.post(url).json(body).send().await.unwrap();
    assert!(
        answer.status().is_success(),
        "{}",
        answer.text().await.unwrap()
    );
}

fn problem(field: &str, detail: &str, accepted: &str) -> Value {
    json!({
        "type": "about:blank", "title": "Bad request", "status": 400, "detail": detail, "field": field, "accepted": accepted,
    })
}

fn refused(status: StatusCode, problem: Value) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "application/problem+json")],
        Json(problem),
    )
        .into_response()
}
