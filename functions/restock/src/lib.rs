//! The function `restock`: the inventory service's way in. It takes a stock update over HTTP
//! (`PUT /products/{productId}/stock`), or one or up to [`MAX_UPDATES`] of them by direct
//! invocation, and writes each to the topic of stock updates. What an update means is decided by
//! the topic's consumers; the only state is which requests came under an `Idempotency-Key`, and the rules that products have
//! of their own (`/products/{productId}/rules`). It also says what a restock would tell, and releases one that is held back.

use std::time::Duration;

use domain::setting::{BadSettings, Setting, Settings};
use domain::stock::{Received, StockUpdate};
use domain::{Invalid, ProductId, RestockId};
use http::StatusCode;
use jiff::Timestamp;
use kafka::{ClientError, DELIVERY_MS, KafkaConfig, PublishError, Publisher, Record, Signer, Written};
use lambda::http::Problem;
use lambda::settings::{BODY_BYTES, MAX_BODY_BYTES, TABLE_NAME};
use lambda::{clock, entropy};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use store::Store;
use tokio::sync::OnceCell;

mod once;
mod over_http;
mod release;
mod route;
mod rules;

/// The most updates of one direct invocation.
pub const MAX_UPDATES: usize = 1_000;

const DELIVERY_TIMEOUT_MS: Setting = Setting::with_default(
    "DELIVERY_TIMEOUT_MS",
    "5000",
    "how long Kafka may take to confirm an update, 1 to 900000 ms; less than the function's time-out",
);

/// Every setting of this function, beside those of logging and [`kafka::SETTINGS`].
pub const SETTINGS: &[Setting] = &[DELIVERY_TIMEOUT_MS, MAX_BODY_BYTES, TABLE_NAME];

/// The settings, from the environment: [`SETTINGS`] and Kafka's.
#[derive(Debug, Clone)]
pub struct Config {
    kafka: KafkaConfig,
    delivery: Duration,
    max_body: usize,
    table: String,
}

impl Config {
    /// Reads the settings from `lookup`.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, BadSettings> {
        let mut settings = Settings::new(lookup);
        let delivery = settings.whole_number(&DELIVERY_TIMEOUT_MS, DELIVERY_MS).map(Duration::from_millis);
        let max_body = settings.whole_number(&MAX_BODY_BYTES, BODY_BYTES);
        let table = settings.or(&TABLE_NAME);
        let kafka = KafkaConfig::from_settings(&mut settings);
        let config = (|| {
            let max_body = usize::try_from(max_body?).ok()?;
            Some(Self { kafka: kafka?, delivery: delivery?, max_body, table: table? })
        })();
        settings.finish(config)
    }
}

/// What the function is made of.
pub struct App {
    config: Config,
    publisher: Publisher,
    /// Made when the first request with a key comes: most start without one.
    store: OnceCell<Store>,
}

impl App {
    /// The function with these settings. Nothing is connected yet.
    ///
    /// # Errors
    /// When the settings of Kafka make no client.
    pub fn new(config: Config) -> Result<Self, ClientError> {
        let signer = Some(Signer::from_environment());
        let publisher = Publisher::new(&config.kafka, signer, config.delivery, Duration::ZERO)?;
        Ok(Self { config, publisher, store: OnceCell::new() })
    }

    /// The same on this table, in place of the one that the environment names.
    #[must_use]
    pub fn on(self, store: Store) -> Self {
        Self { store: OnceCell::new_with(Some(store)), ..self }
    }

    async fn store(&self) -> &Store {
        let made = async { Store::new(&lambda::aws::config().await, self.config.table.clone()) };
        self.store.get_or_init(|| Box::pin(made)).await
    }
}

/// Serves invocations until the runtime stops.
pub async fn run() -> Result<(), Error> {
    lambda::logs::init();
    let config = Config::read(&|name| std::env::var(name).ok())?;
    let app = &App::new(config)?;
    app.publisher.warm_up(&app.config.kafka.restocks).await;
    // The payload as it was written: a parsed number would not say whether a price was 20.00 or 20.0.
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| async move {
        handle(app, event.payload.get()).await
    }))
    .await
}

/// Answers one invocation, whichever way it came. `payload` is JSON.
pub async fn handle(app: &App, payload: &str) -> Result<Value, Refused> {
    if is_http(payload) {
        let request = serde_json::from_str(payload).map_err(|_| {
            Invalid::new("event", "cannot be read", "an API Gateway event, payload format 2.0")
        })?;
        let answered = over_http::answer(app, &request).await.unwrap_or_else(|problem| problem.response());
        return serde_json::to_value(answered).map_err(Refused::Answer);
    }
    if payload.trim_start().starts_with('[') {
        return in_one_flight(app, payload).await;
    }
    let update = complete(StockUpdate::from_request(payload.as_bytes(), None)?);
    let written = publish(app, std::slice::from_ref(&update)).await.remove(0)?;
    serde_json::to_value(Accepted::new(&update, written)).map_err(Refused::Answer)
}

/// Whether a payload is the event of an HTTP request.
fn is_http(payload: &str) -> bool {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Event {
        #[serde(rename = "requestContext")]
        _request_context: IgnoredAny,
    }
    payload.trim_start().starts_with('{') && serde_json::from_str::<Event>(payload).is_ok()
}

/// Why a direct invocation failed. The name of the kind is the `errorType` that callers see.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The update cannot be used as it is.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Kafka did not take it; another try later may do.
    #[error(transparent)]
    Kafka(#[from] PublishError),
    /// The answer could not be written.
    #[error("the answer cannot be written")]
    Answer(#[source] serde_json::Error),
}

impl From<Refused> for lambda_runtime::Diagnostic {
    fn from(refused: Refused) -> Self {
        let error_type = match &refused {
            Refused::Invalid(_) => "InvalidStockUpdate",
            Refused::Kafka(_) => "KafkaUnavailable",
            Refused::Answer(_) => "Internal",
        };
        Self { error_type: error_type.to_owned(), error_message: lambda::error_chain(&refused).to_string() }
    }
}

/// An update as it is written: with a restock id, and with the time at which it was received, so that it is the same at
/// every reading.
struct Complete {
    update: StockUpdate,
    restock_id: RestockId,
    /// What of the request counted as absent.
    ignored: Vec<Invalid>,
}

impl Complete {
    /// The update of a request that was `received_at`, or whose first try was. When it happened is left to its sender: a
    /// retry of one that does not say has a later time, and is told by its id.
    fn new(received: Received, restock_id: RestockId, received_at: Timestamp) -> Self {
        let Received { update, ignored } = received;
        let update =
            StockUpdate { restock_id: Some(restock_id.clone()), received_at: Some(received_at), ..update };
        Self { update, restock_id, ignored }
    }
}

/// Fills in what the sender left open.
fn complete(mut received: Received) -> Complete {
    let now = clock::now();
    leave_out_the_future(&mut received, now);
    let restock_id = received.update.restock_id.clone().unwrap_or_else(|| {
        received.update.generated_id = true;
        new_id()
    });
    Complete::new(received, restock_id, now)
}

/// An update that has not happened by the time it comes has no time of its own.
fn leave_out_the_future(received: &mut Received, now: Timestamp) {
    if received.update.occurred_at.is_some_and(|at| at > now) {
        received.update.occurred_at = None;
        let accepted = "a time that is not in the future";
        received.ignored.push(Invalid::new("occurredAt", "is in the future", accepted));
    }
}

fn new_id() -> RestockId {
    #[expect(clippy::expect_used, reason = "a ULID is 26 letters and digits")]
    RestockId::parse(&entropy::new_id()).expect("a ULID is an id")
}

/// An update that Kafka has taken.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted<'a> {
    restock_id: &'a RestockId,
    product_id: &'a ProductId,
    partition: i32,
    offset: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ignored: Vec<Ignored<'a>>,
}

/// A field that counted as absent.
#[derive(Serialize)]
struct Ignored<'a> {
    field: &'a str,
    problem: &'a str,
    accepted: &'a str,
}

impl<'a> Accepted<'a> {
    fn new(complete: &'a Complete, written: Written) -> Self {
        let ignored = complete.ignored.iter();
        Self {
            restock_id: &complete.restock_id,
            product_id: &complete.update.product_id,
            partition: written.partition,
            offset: written.offset,
            ignored: ignored
                .map(|one| Ignored { field: one.field, problem: &one.problem, accepted: one.accepted })
                .collect(),
        }
    }
}

/// A list of updates: each is answered in its place, with where it was written or with what was
/// wrong. One that is refused keeps none of the others back.
async fn in_one_flight(app: &App, payload: &str) -> Result<Value, Refused> {
    let accepted = "a list of 1 to 1000 stock updates";
    let list: Vec<&RawValue> =
        serde_json::from_str(payload).map_err(|_| Invalid::new("list", "cannot be read", accepted))?;
    if list.is_empty() || list.len() > MAX_UPDATES {
        return Err(Invalid::new("list", format!("has {} updates", list.len()), accepted).into());
    }
    let mut good: Vec<Complete> = Vec::new();
    let read: Vec<Result<usize, Invalid>> = list
        .iter()
        .map(|one| {
            good.push(complete(StockUpdate::from_request(one.get().as_bytes(), None)?));
            Ok(good.len() - 1)
        })
        .collect();
    let mut written = publish(app, &good).await.into_iter();
    let answers = read.iter().map(|one| match one {
        Err(invalid) => serde_json::to_value(Problem::from(invalid.clone())),
        Ok(index) => match (good.get(*index), written.next()) {
            (Some(update), Some(Ok(written))) => serde_json::to_value(Accepted::new(update, written)),
            _ => serde_json::to_value(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Kafka did not confirm this update",
            )),
        },
    });
    answers.collect::<Result<_, _>>().map_err(Refused::Answer)
}

async fn publish(app: &App, updates: &[Complete]) -> Vec<Result<Written, PublishError>> {
    #[expect(clippy::expect_used, reason = "an update is texts and numbers under fixed names")]
    let values: Vec<Vec<u8>> =
        updates.iter().map(|one| serde_json::to_vec(&one.update).expect("an update is JSON")).collect();
    let records: Vec<Record<'_>> = updates
        .iter()
        .zip(&values)
        .map(|(one, value)| Record {
            topic: &app.config.kafka.restocks,
            key: Some(one.update.product_id.as_str().as_bytes()),
            value: Some(value),
            headers: Vec::new(),
        })
        .collect();
    app.publisher.publish(&records).await
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn received(body: &str) -> Received {
        StockUpdate::from_request(body.as_bytes(), None).unwrap()
    }

    #[test]
    fn an_update_without_id_and_time_gets_both() {
        let one = complete(received(r#"{"productId":"p","quantity":0}"#));
        assert_eq!(one.update.restock_id, Some(one.restock_id));
        assert!(one.update.generated_id);
        assert!(!complete(received(r#"{"productId":"p","quantity":0,"restockId":"r"}"#)).update.generated_id);
        assert!(one.update.received_at.is_some() && one.ignored.is_empty());
        assert_eq!(one.update.occurred_at, None, "its sender did not say");
    }

    #[test]
    fn a_time_that_has_not_come_is_left_out_and_the_answer_says_so() {
        let before = clock::now();
        let one = complete(received(
            r#"{"productId":"p","quantity":0,"restockId":"r","occurredAt":"2999-01-01T00:00:00Z"}"#,
        ));
        assert!((before..=clock::now()).contains(&one.update.received_at.unwrap()));
        assert_eq!(one.update.occurred_at, None);
        let answer = Accepted::new(&one, Written { partition: 1, offset: 2 });
        let answer = serde_json::to_value(answer).unwrap();
        assert_eq!(answer["restockId"], "r");
        assert_eq!(answer["ignored"][0]["field"], "occurredAt");
        let past =
            complete(received(r#"{"productId":"p","quantity":0,"occurredAt":"2026-01-01T00:00:00Z"}"#));
        assert_eq!(past.update.occurred_at.unwrap().to_string(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_request_is_told_from_a_direct_invocation() {
        assert!(is_http(r#" {"version":"2.0","requestContext":{"http":{}}}"#));
        for direct in [r#"{"productId":"p"}"#, r#"[{"requestContext":{}}]"#, r#""requestContext""#] {
            assert!(!is_http(direct), "{direct}");
        }
    }

    #[test]
    fn a_payload_stays_as_it_was_written_on_its_way_through_the_runtime() {
        // The runtime reads payloads this way.
        let payload = r#"{"product":{"price": 20.00}}"#;
        let deserializer = &mut serde_json::Deserializer::from_slice(payload.as_bytes());
        let raw: Box<RawValue> = Deserialize::deserialize(deserializer).unwrap();
        assert_eq!(raw.get(), payload);
    }

    #[test]
    fn every_missing_setting_is_named() {
        let refusal = Config::read(&|_| None).unwrap_err().to_string();
        assert!(refusal.contains("KAFKA_BOOTSTRAP_SERVERS"), "{refusal}");
    }
}
