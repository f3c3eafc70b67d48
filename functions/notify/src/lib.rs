//! The function `notify`: reads stock updates, plans who is told of each, and tells them.
//!
//! It is invoked with records of two topics, by an event source mapping, and by a schedule:
//! `item-restocked` → [`plan`], `notification-batches` → [`deliver`], the schedule → [`sweep`].

use std::{sync::Arc, time::Duration};

use domain::ShardCount;
use lambda_runtime::{Context, Error, LambdaEvent, service_fn};
use platform::{
    kafka::{Kafka, Publisher, Signer},
    table::Table,
};
use serde_json::Value;
use tokio::time::Instant;

mod batch;
mod budget;
mod config;
mod decode;
mod deliver;
mod event;
mod fanout;
mod mailer;
mod metrics;
mod plan;
mod poison;
mod sweep;
mod unreadable;

pub use config::Config;

/// What the function is made of.
pub struct App {
    config: Config,
    table: Table,
    publisher: Publisher,
    mailer: mailer::Mailer,
    budget: budget::Budget,
}

impl App {
    fn kafka(&self) -> &Kafka {
        &self.config.kafka
    }

    fn shards(&self) -> ShardCount {
        self.config.shards
    }
}

/// Serves invocations until the runtime stops.
pub async fn run() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let config = Config::read(&|name| std::env::var(name).ok())?;
    let metrics = metrics::start(config.function_name.clone())?;
    let aws = platform::aws::config().await;
    let signer = aws.credentials_provider().map(Signer::new);
    let publisher = Publisher::new(&config.kafka, signer, config.delivery, Duration::from_millis(1))?;
    // Not waited for: most restocks are told without a word to Kafka, and it may be away.
    let (warmed, topic) = (publisher.clone(), config.kafka.batches.clone());
    tokio::spawn(async move { warmed.warm_up(&topic).await });
    let table = Table::new(aws_sdk_dynamodb::Client::new(&aws), config.table.clone());
    let mailer = mailer::Mailer::new(&aws, &config);
    let budget = budget::Budget::new(table.clone(), config.sender.clone(), config.rate, config.reserved);
    let app = Arc::new(App { config, table, publisher, mailer, budget });
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        let app = Arc::clone(&app);
        async move {
            let answer = handle(&app, event.payload, time_limit(&event.context)).await;
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
        event::Trigger::Schedule { older_than } => sweep::sweep(app, older_than).await,
    }
}

/// How long an invocation may work: its time-out, less what a call to SES and the commits after it
/// can take.
fn time_limit(context: &Context) -> Instant {
    let left = Duration::from_millis(context.deadline.saturating_sub(platform::chance::now_ms()));
    Instant::now() + left.saturating_sub(mailer::CALL_TIMEOUT + Duration::from_secs(5))
}
