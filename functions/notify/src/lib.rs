//! The function `notify`: reads stock updates, plans the fan-out of each, and delivers it.
//!
//! It is invoked with records of two topics, by an event source mapping, and by a schedule:
//! `item-restocked` → [`plan`], `notification-batches` → [`deliver`], the schedule → [`sweep`].

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use kafka::{ClientError, KafkaConfig, Publisher, Signer};
use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use serde_json::Value;
use store::Store;
use tokio::time::Instant;

mod batch;
mod budget;
mod config;
mod deliver;
mod event;
mod fanout;
mod mailer;
mod metrics;
mod plan;
mod poison;
mod sweep;
mod unreadable;

pub use config::{Config, SETTINGS};
pub use deliver::FLIGHT_LIMIT;

/// What the function is made of.
pub struct App {
    config: Config,
    store: Store,
    publisher: Publisher,
    mailer: mailer::Mailer,
    budget: budget::Budget,
}

impl App {
    /// The function with these settings, on this table; `aws` is SES's, and signs for Kafka. Nothing is connected yet.
    ///
    /// # Errors
    /// When the settings of Kafka make no client.
    pub fn new(config: Config, aws: &SdkConfig, store: Store) -> Result<Self, ClientError> {
        let signer = aws.credentials_provider().map(Signer::new);
        let publisher = Publisher::new(&config.kafka, signer, config.delivery, Duration::from_millis(1))?;
        let mailer = mailer::Mailer::new(aws, &config);
        let budget = budget::Budget::new(&store, &config.sender, config.rate, config.reserved);
        Ok(Self { config, store, publisher, mailer, budget })
    }

    fn kafka(&self) -> &KafkaConfig {
        &self.config.kafka
    }
}

/// Serves invocations until the runtime stops.
pub async fn run() -> Result<(), Error> {
    lambda::logs::init();
    let config = Config::read(&|name| std::env::var(name).ok())?;
    let metrics = metrics::start(config.function_name.clone())?;
    let aws = lambda::aws::config().await;
    let store = Store::new(&aws, config.table.clone());
    let app = Arc::new(App::new(config, &aws, store)?);
    // Not waited for: most restocks are told without a word to Kafka, and it may be away.
    let (warmed, topic) = (app.publisher.clone(), app.kafka().batches.clone());
    tokio::spawn(async move { warmed.warm_up(&topic).await });
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let app = Arc::clone(&app);
        async move {
            let answer = match time_limit(&event.context) {
                Ok(until) => handle(&app, event.payload, until).await,
                Err(too_short) => Err(too_short),
            };
            metrics::write(metrics);
            answer
        }
    }))
    .await
}

/// Works off one invocation, starting nothing new after `until`.
pub async fn handle(app: &App, payload: Value, until: Instant) -> Result<Value, event::Failed> {
    match event::Trigger::read(payload)? {
        event::Trigger::Records(records) => batch::work(app, records, until).await,
        event::Trigger::Schedule { older_than } => sweep::sweep(app, older_than, until).await,
    }
}

/// What is kept of an invocation's time for the end: a call to SES and the commits after it.
const LAST_CALL: Duration = domain::delivery::CALL_TIMEOUT.saturating_add(Duration::from_secs(5));
/// The least time to work in beside that.
const LEAST_WORK: Duration = Duration::from_secs(1);
/// The least that the function's time-out may be.
pub const LEAST_TIMEOUT: Duration = LAST_CALL.saturating_add(LEAST_WORK);

/// How long an invocation may work: its time-out, less [`LAST_CALL`]. Lambda tells the time-out with each invocation only.
///
/// # Errors
/// When nothing would be left: each job would go back in line at once, for ever, and no email would be sent.
fn time_limit(context: &Context) -> Result<Instant, event::Failed> {
    let left = Duration::from_millis(context.deadline.saturating_sub(lambda::clock::now_ms()));
    // Lambda's clock is this one, but some of the time-out has passed by now.
    let work = left.saturating_sub(LAST_CALL);
    if work.is_zero() {
        return Err(event::Failed::TimeoutTooShort { left, least: LEAST_TIMEOUT });
    }
    Ok(Instant::now() + work)
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_that_leaves_no_time_for_a_call_fails_and_says_what_it_needs() {
        let limit = |seconds: u64| {
            let mut context = Context::default();
            context.deadline = lambda::clock::now_ms() + seconds * 1_000;
            time_limit(&context)
        };
        for seconds in [0, 1, 10, 15] {
            let failed = lambda_runtime::Diagnostic::from(limit(seconds).unwrap_err());
            assert_eq!(failed.error_type, "TimeoutTooShort");
            assert!(failed.error_message.contains("at least 16 s"), "{}", failed.error_message);
        }
        assert!(limit(16).unwrap() > Instant::now());
        assert!(limit(60).unwrap() > Instant::now() + Duration::from_secs(44));
    }
}
