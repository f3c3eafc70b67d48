//! The shop's side of a simulation: it subscribes the shoppers and updates the stock over HTTP, and records each request
//! with its answer.

use std::time::Duration;

use anyhow::{Context as _, bail};
use domain::backoff::Backoff;
use jiff::Timestamp;
use reqwest::{Client, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::judge::{Answer, Ask};
use super::story::{Product, Shopper};
use crate::loopback::client_for;

/// Requests of shoppers at a time.
const AT_ONCE: usize = 32;
/// How long a request may take.
const REQUEST_LIMIT: Duration = Duration::from_secs(40);
/// How often a request is made whose answer asks for a retry.
const TRIES: u32 = 20;
/// The wait after each try that is not the last word.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), 5);

/// The API, and room for so many requests at a time.
pub(crate) struct Shop {
    api: String,
    http: Client,
    room: Semaphore,
}

/// What a subscription is answered with, as far as it matters here.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Waiting {
    in_stock: bool,
}

impl Shop {
    pub(crate) fn new(api: String) -> anyhow::Result<Self> {
        let http = client_for(&api).timeout(REQUEST_LIMIT).build()?;
        Ok(Self { api, http, room: Semaphore::new(AT_ONCE) })
    }

    /// Subscribes a shopper. Retries where the answer asks for it; every try goes to `record`, because
    /// the outcome of a failed one is unknown.
    ///
    /// # Errors
    /// When it is refused, or still not taken after many tries.
    pub(crate) async fn ask(
        &self,
        product: &Product,
        number: usize,
        shopper: &Shopper,
        record: impl Fn(Ask),
    ) -> anyhow::Result<()> {
        let _room = self.room.acquire().await?;
        let mut body = json!({ "email": shopper.email });
        for (field, value) in
            [("userId", shopper.user_id.as_deref()), ("locale", shopper.locale), ("name", shopper.name)]
        {
            if let Some(value) = value {
                body[field] = value.into();
            }
        }
        let url = format!("{}/products/{}/subscriptions", self.api, product.id);
        for attempt in 0..TRIES {
            let sent_us = now_us();
            let answered = self.http.post(&url).json(&body).send().await;
            let answer = match read(answered).await? {
                Some(answer) => {
                    let Waiting { in_stock } =
                        serde_json::from_value(answer).context("a subscription's answer cannot be read")?;
                    Some(Answer { at_us: now_us(), in_stock })
                }
                None => None,
            };
            let taken = answer.is_some();
            record(Ask { shopper: number, sent_us, answer });
            if taken {
                return Ok(());
            }
            pause(attempt).await;
        }
        bail!("a subscription was not accepted in {TRIES} tries")
    }

    /// Says how many there are, under a restock id of our own, until it is taken.
    ///
    /// # Errors
    /// When it is refused, or still not taken after many tries.
    pub(crate) async fn update(&self, product: &Product, restock: &str, quantity: u32) -> anyhow::Result<()> {
        let mut body = json!({ "quantity": quantity });
        if quantity > 0 {
            body["product"] = json!({ "name": product.name, "url": product.url, "price": "9.99 €" });
        }
        let url = format!("{}/products/{}/stock", self.api, product.id);
        for attempt in 0..TRIES {
            let request = self.http.put(&url).header("idempotency-key", restock).json(&body);
            if read(request.send().await).await?.is_some() {
                return Ok(());
            }
            pause(attempt).await;
        }
        bail!("a stock update was not accepted in {TRIES} tries")
    }
}

/// The clock that everything here is timed with.
pub(crate) fn now_us() -> i64 {
    Timestamp::now().as_microsecond()
}

/// The body of an answer that takes the request; `None` where another try may do.
async fn read(answered: reqwest::Result<Response>) -> anyhow::Result<Option<Value>> {
    let Ok(answer) = answered else { return Ok(None) };
    let status = answer.status();
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Ok(None);
    }
    if !status.is_success() {
        let why = answer.text().await.unwrap_or_default();
        bail!("a request was refused with {status}: {why}");
    }
    // A body that was torn off is an answer that never came.
    Ok(answer.json().await.ok())
}

async fn pause(attempt: u32) {
    tokio::time::sleep(BACKOFF.after(attempt + 1)).await;
}
