//! The function `restock`: the inventory service's way in. It takes a stock update over HTTP
//! (`PUT /products/{productId}/stock`), or one or up to [`MAX_UPDATES`] of them by direct
//! invocation, and writes each to the topic of stock updates. It keeps no state: what an update
//! means is decided by whoever reads the topic.

use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::{
    Invalid, ProductId, RestockId,
    setting::{BadSettings, Setting, Settings},
    stock::StockUpdate,
};
use http::StatusCode;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use platform::{
    chance,
    http::{Problem, header, json, json_body},
    kafka::{DELIVERY_MS, Kafka, PublishError, Publisher, Record, Signer, Written},
    settings::{BODY_BYTES, MAX_BODY_BYTES},
};
use serde::Serialize;
use serde_json::Value;

/// The most updates of one direct invocation.
pub const MAX_UPDATES: usize = 1_000;

const DELIVERY_TIMEOUT_MS: Setting = Setting::with_default(
    "DELIVERY_TIMEOUT_MS",
    "5000",
    "how long Kafka has to take an update, 1 to 900000 ms; below the function's time-out",
);

/// Every setting of this function, beside those of logging and [`platform::kafka::SETTINGS`].
pub const SETTINGS: &[Setting] = &[DELIVERY_TIMEOUT_MS, MAX_BODY_BYTES];

/// The settings, from the environment: [`SETTINGS`] and Kafka's.
#[derive(Debug, Clone)]
pub struct Config {
    kafka: Kafka,
    delivery: Duration,
    max_body: usize,
}

impl Config {
    /// Reads the settings from `lookup`.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, BadSettings> {
        let mut settings = Settings::new(lookup);
        let delivery = settings.whole_number(&DELIVERY_TIMEOUT_MS, DELIVERY_MS).map(Duration::from_millis);
        let max_body = settings.whole_number(&MAX_BODY_BYTES, BODY_BYTES);
        let kafka = Kafka::read(&mut settings);
        let config = (|| {
            let max_body = usize::try_from(max_body?).ok()?;
            Some(Self { kafka: kafka?, delivery: delivery?, max_body })
        })();
        settings.finish(config)
    }
}

/// What the function is made of.
pub struct App {
    config: Config,
    publisher: Publisher,
}

/// Serves invocations until the runtime stops.
pub async fn run() -> Result<(), Error> {
    platform::logs::init();
    let config = Config::read(&|name| std::env::var(name).ok())?;
    let publisher =
        Publisher::new(&config.kafka, Some(Signer::from_environment()), config.delivery, Duration::ZERO)?;
    publisher.warm_up(&config.kafka.restocks).await;
    let app = &App { publisher, config };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| handle(app, event.payload))).await
}

/// Answers one invocation, whichever way it came.
pub async fn handle(app: &App, payload: Value) -> Result<Value, Refused> {
    if payload.get("requestContext").is_some() {
        let request = serde_json::from_value(payload).map_err(|_| {
            Invalid::new("event", "is not readable", "an API Gateway event, payload format 2.0")
        })?;
        let answered = over_http(app, &request).await.unwrap_or_else(|problem| problem.response());
        return serde_json::to_value(answered).map_err(Refused::Answer);
    }
    match &payload {
        Value::Array(list) => in_one_flight(app, list).await,
        one => {
            let update = complete(StockUpdate::from_request(one, None)?, None);
            let written = publish(app, std::slice::from_ref(&update)).await.remove(0)?;
            serde_json::to_value(Accepted::new(&update, written)).map_err(Refused::Answer)
        }
    }
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
        Self { error_type: error_type.to_owned(), error_message: platform::causes(&refused).to_string() }
    }
}

/// An update that Kafka has taken.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Accepted<'a> {
    restock_id: Option<&'a RestockId>,
    product_id: &'a ProductId,
    partition: i32,
    offset: i64,
}

impl<'a> Accepted<'a> {
    fn new(update: &'a StockUpdate, written: Written) -> Self {
        Self {
            restock_id: update.restock_id.as_ref(),
            product_id: &update.product_id,
            partition: written.partition,
            offset: written.offset,
        }
    }
}

async fn over_http(
    app: &App,
    request: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let product = request.path_parameters.get("productId").map(String::as_str).unwrap_or_default();
    let product = ProductId::parse(product)?;
    let key = header(request, "idempotency-key").map(idempotency_key).transpose()?;
    let body = json_body(request, app.config.max_body)?;
    let update = complete(StockUpdate::from_request(&body, Some(product))?, key);
    match publish(app, std::slice::from_ref(&update)).await.remove(0) {
        Ok(written) => Ok(json(StatusCode::ACCEPTED, &Accepted::new(&update, written))),
        Err(error) => {
            tracing::error!(product = %update.product_id, error = %platform::causes(&error), "not published");
            Err(Problem::try_later(
                "Kafka did not confirm the update in time; please send it again, with the same \
                 Idempotency-Key so that it counts once",
                5,
            ))
        }
    }
}

/// A list of updates: each is answered in its place, with where it was written or with what was
/// wrong. One that is refused keeps none of the others back.
async fn in_one_flight(app: &App, list: &[Value]) -> Result<Value, Refused> {
    if list.is_empty() || list.len() > MAX_UPDATES {
        let problem = format!("has {} updates", list.len());
        return Err(Invalid::new("list", problem, "a list of 1 to 1000 stock updates").into());
    }
    let read: Vec<Result<StockUpdate, Invalid>> = list
        .iter()
        .map(|one| StockUpdate::from_request(one, None).map(|update| complete(update, None)))
        .collect();
    let good: Vec<StockUpdate> = read.iter().filter_map(|one| one.as_ref().ok()).cloned().collect();
    let mut written = publish(app, &good).await.into_iter();
    let answers = read.iter().map(|one| match one {
        Err(invalid) => serde_json::to_value(Problem::from(invalid.clone())),
        Ok(update) => match written.next() {
            Some(Ok(written)) => serde_json::to_value(Accepted::new(update, written)),
            _ => serde_json::to_value(Problem::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "Kafka did not take this update",
            )),
        },
    });
    answers.collect::<Result<_, _>>().map_err(Refused::Answer)
}

/// An `Idempotency-Key` is the restock's id; the IETF draft of the header has it in quotes.
fn idempotency_key(value: &str) -> Result<RestockId, Invalid> {
    let bare = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
    RestockId::parse(bare).map_err(|invalid| Invalid { field: "Idempotency-Key", ..invalid })
}

/// Fills in what the sender left open, so that the record is the same at every reading.
fn complete(update: StockUpdate, key: Option<RestockId>) -> StockUpdate {
    StockUpdate {
        restock_id: key.or(update.restock_id).or_else(|| RestockId::parse(&chance::new_id()).ok()),
        occurred_at: update.occurred_at.or_else(|| Some(chance::now())),
        ..update
    }
}

async fn publish(app: &App, updates: &[StockUpdate]) -> Vec<Result<Written, PublishError>> {
    let values: Vec<Vec<u8>> =
        updates.iter().map(|update| serde_json::to_vec(update).unwrap_or_default()).collect();
    let records: Vec<Record<'_>> = updates
        .iter()
        .zip(&values)
        .map(|(update, value)| Record {
            topic: &app.config.kafka.restocks,
            key: Some(update.product_id.as_str().as_bytes()),
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
    use serde_json::json;

    #[test]
    fn an_idempotency_key_is_the_restock_whatever_the_body_says() {
        let body = json!({"productId": "p", "quantity": 1, "restockId": "from-the-body"});
        let update = StockUpdate::from_request(&body, None).unwrap();
        let with_key = complete(update.clone(), Some(idempotency_key("\"k-1\"").unwrap()));
        assert_eq!(with_key.restock_id.unwrap().as_str(), "k-1");
        assert_eq!(complete(update, None).restock_id.unwrap().as_str(), "from-the-body");
    }

    #[test]
    fn an_update_without_id_and_time_gets_both() {
        let update = complete(
            StockUpdate::from_request(&json!({"productId": "p", "quantity": 0}), None).unwrap(),
            None,
        );
        assert!(update.restock_id.is_some() && update.occurred_at.is_some());
    }

    #[test]
    fn an_unusable_idempotency_key_is_named() {
        assert_eq!(idempotency_key("a b").unwrap_err().field, "Idempotency-Key");
    }

    #[test]
    fn every_missing_setting_is_named() {
        let refusal = Config::read(&|_| None).unwrap_err().to_string();
        assert!(refusal.contains("KAFKA_BOOTSTRAP_SERVERS"), "{refusal}");
    }
}
