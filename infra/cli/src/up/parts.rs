//! Starts each part of a system, or takes the one that is given instead.

use std::ffi::OsString;
use std::sync::Arc;

use anyhow::Context as _;
use aws_config::SdkConfig;
use kafka_poller::{LambdaEndpoint, Poller};
use lambda_host::front::Backpressure;
use lambda_host::{Host, NOTIFY};
use ses_inbox::Ses;
use store::Store;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::data::DataDir;
use super::login;
use super::system::{MAPPINGS, TABLE, Target, mapping};
use crate::embedded::dynamodb::DynamoDb;
use crate::embedded::kafka::Kafka;
use crate::embedded::watch::Watch;
use crate::functions::{self, Wiring};

/// Kafka, and how to reach it.
pub(super) struct KafkaPart {
    /// The embedded one, where there is no other.
    pub(super) embedded: Option<Kafka>,
    /// The bootstrap servers.
    pub(super) servers: String,
    /// The client's settings for the login.
    pub(super) login: Vec<(&'static str, String)>,
}

/// Makes the missing topics of the Kafka at `servers`, or starts the embedded one.
pub(super) async fn kafka(servers: Option<String>) -> anyhow::Result<KafkaPart> {
    let variable = |name: &str| std::env::var(name).ok();
    if let Some(servers) = servers {
        let at = login::read(&servers, &variable)?;
        let made = crate::topics::make_missing(&at).await;
        made.with_context(|| format!("no topics on Kafka at {servers}"))?;
        return Ok(KafkaPart { embedded: None, servers, login: at.security.client_settings() });
    }
    let unused = login::unused(&variable).join(", ");
    if !unused.is_empty() {
        tracing::warn!("the embedded Kafka has no login: without --kafka, {unused} is ignored");
    }
    let kafka = tokio::task::spawn_blocking(Kafka::start).await??;
    let servers = kafka.servers().to_owned();
    Ok(KafkaPart { embedded: Some(kafka), servers, login: Vec::new() })
}

/// DynamoDB and its address, which is `None` for AWS.
pub(super) async fn dynamodb(
    instead: Option<&Target>,
    data: Option<&DataDir>,
) -> anyhow::Result<(Option<DynamoDb>, Option<String>)> {
    if let Some(target) = instead {
        return Ok((None, target.url()));
    }
    let dynamodb = DynamoDb::start(data.map(DataDir::table).as_deref()).await?;
    let url = dynamodb.url().to_owned();
    Ok((Some(dynamodb), Some(url)))
}

/// The table, made where it is missing.
pub(super) async fn table(aws: &SdkConfig, url: Option<&str>) -> anyhow::Result<()> {
    let made = Store::at(aws, url, TABLE).create_if_missing().await;
    made.with_context(|| format!("DynamoDB at {}", url.unwrap_or("the AWS endpoint")))
}

/// The captured SES, with the events of its emails.
pub(super) type Captured = (Ses, UnboundedReceiver<String>);

/// SES and its address, which is `None` for AWS.
pub(super) async fn ses(
    instead: Option<&Target>,
    data: Option<&DataDir>,
) -> anyhow::Result<(Option<Captured>, Option<String>)> {
    if let Some(target) = instead {
        return Ok((None, target.url()));
    }
    let file = data.map(DataDir::inbox);
    let (sender, events) = unbounded_channel();
    let page = crate::page::router();
    let options = ses_inbox::Options { file, page, events: Some(sender), ..ses_inbox::Options::default() };
    let ses = Ses::start(options).await?;
    let url = ses.url();
    Ok((Some((ses, events)), Some(url)))
}

/// The host, with a warm process of each function.
pub(super) async fn host(
    wiring: &Wiring,
    environment: Vec<(String, String)>,
    notify_processes: Option<usize>,
) -> anyhow::Result<Arc<Host>> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let own = environment.into_iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let mut table = functions::table(&program, wiring, std::env::vars_os().chain(own));
    for notify in table.iter_mut().filter(|function| function.name == NOTIFY) {
        notify.concurrency = notify_processes.unwrap_or(notify.concurrency);
    }
    let host = Arc::new(Host::new(table));
    host.warm().await?;
    Ok(host)
}

/// A poller for each topic that `notify` reads.
pub(super) async fn pollers(kafka: &KafkaPart, api: &str) -> anyhow::Result<Arc<Vec<Poller>>> {
    let mut pollers = Vec::new();
    for (topic, group) in MAPPINGS {
        let mut mapping = mapping(&kafka.servers, topic, group, kafka.embedded.is_some());
        mapping.kafka.extend(kafka.login.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        pollers.push(Poller::start(mapping, LambdaEndpoint::Url(api.to_owned())).await?);
    }
    Ok(Arc::new(pollers))
}

/// The watch of the embedded Kafka, which is the one that drops records.
pub(super) fn watch(
    kafka: &KafkaPart,
    pollers: &Arc<Vec<Poller>>,
    backpressure: Backpressure,
) -> anyhow::Result<Option<Watch>> {
    if kafka.embedded.is_none() {
        return Ok(None);
    }
    let pollers = pollers.clone();
    let progress = move || pollers.iter().flat_map(Poller::progress).collect();
    Ok(Some(Watch::start(&kafka.servers, Arc::new(progress), backpressure)?))
}
