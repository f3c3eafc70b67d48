//! From a stock update on Apache Kafka to its first email, through the whole system on one machine: `notify-me up` with its
//! event source mapping, the function's process, and a table.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use notify_me::report::{Goal, Plot, Report};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::percentile;
use crate::rig::Rig;

const PRODUCTS: usize = 300;
/// Those that come first are not counted.
const BEFORE: usize = 20;
const LIMIT: Duration = Duration::from_secs(30);
/// How far apart the updates are.
const EVERY: Duration = Duration::from_millis(100);

/// Measures it.
///
/// # Errors
/// When the system does not start, or a subscriber gets no email.
pub(crate) async fn run(rig: &Rig, servers: &str, apache: bool) -> anyhow::Result<Report> {
    let broker = if apache { "Apache Kafka" } else { "the embedded Kafka" };
    let mut report = Report::new(
        "latency",
        "Stock update to first mail",
        format!(
            "{PRODUCTS} products come back one after the other, {} ms apart, each waited for by one person. From the producer's \
             call to the moment at which SES takes the mail: {broker}, the event source mapping of notify-me (window 5 ms), \
             plan, claim and send. On AWS the mapping is Lambda's own, with a window of 0 where pollers are provisioned.",
            EVERY.as_millis(),
        ),
    );
    let directory = tempfile::tempdir()?;
    let ready_file = directory.path().join("ready.json");
    let mut system = Command::new(&rig.binaries.notify_me)
        .args(["up", "--port", "0", "--kafka", servers, "--ready-file"])
        .arg(&ready_file)
        .env("RUST_LOG", "warn")
        .kill_on_drop(true)
        .spawn()
        .context("notify-me does not start")?;
    let addresses = ready(&ready_file, &mut system).await?;
    let measured = measure(&addresses, servers).await;
    interrupt(&mut system).await?;
    let times = measured?;
    let (p50, p99) = (percentile(&times, 50.0), percentile(&times, 99.0));
    report.goal(Goal::at_most("stock update to first mail, p99 (ms)", 100.0), p99);
    let most = times.iter().copied().fold(0.0, f64::max);
    for (figure, value) in
        [("p50 (ms)", p50), ("p90 (ms)", percentile(&times, 90.0)), ("p99 (ms)", p99), ("most (ms)", most)]
    {
        report.row(vec![("figure", json!(figure)), ("value", json!(value))]);
    }
    let share =
        (1..=100).map(|percent| (percentile(&times, f64::from(percent)), f64::from(percent))).collect();
    report.plot = Some(Plot::Lines {
        title: "Stock update to first mail",
        x: "ms",
        y: "percent told",
        lines: vec![("told".to_owned(), share)],
    });
    Ok(report)
}

async fn ready(file: &std::path::Path, system: &mut Child) -> anyhow::Result<Value> {
    let started = Instant::now();
    loop {
        if let Ok(text) = std::fs::read_to_string(file)
            && let Ok(addresses) = serde_json::from_str(&text)
        {
            return Ok(addresses);
        }
        if let Some(status) = system.try_wait()? {
            anyhow::bail!("notify-me ended: {status}");
        }
        ensure!(started.elapsed() < LIMIT, "notify-me does not get ready");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn measure(addresses: &Value, servers: &str) -> anyhow::Result<Vec<f64>> {
    let api = addresses["api"].as_str().context("no address of the system")?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let run = jiff::Timestamp::now().as_millisecond();
    let product = |number: usize| format!("latency-{run}-{number}");
    for number in 0..PRODUCTS + BEFORE {
        let url = format!("{api}/products/{}/subscriptions", product(number));
        let body = json!({ "email": format!("{number}.{run}@example.com") });
        client.post(url).json(&body).send().await?.error_for_status()?;
    }
    let producer: FutureProducer = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("linger.ms", "0")
        .set("acks", "all")
        .create()?;
    let mut sent = Vec::new();
    for number in 0..PRODUCTS + BEFORE {
        let product = product(number);
        let value = json!({ "productId": product, "restockId": product, "quantity": 1 }).to_string();
        sent.push(jiff::Timestamp::now());
        let record = FutureRecord::to("item-restocked").key(&product).payload(&value);
        producer.send(record, LIMIT).await.map_err(|(error, _)| error)?;
        tokio::time::sleep(EVERY).await;
    }
    let inbox = addresses["inbox"].as_str().context("no inbox")?;
    let mut times = Vec::new();
    for (number, sent) in sent.into_iter().enumerate().skip(BEFORE) {
        let took = told(&client, inbox, &format!("{number}.{run}@example.com")).await?;
        times.push(super::round(took.duration_since(sent).as_secs_f64() * 1_000.0));
    }
    Ok(times)
}

/// When the email to this address was taken.
async fn told(client: &reqwest::Client, inbox: &str, address: &str) -> anyhow::Result<jiff::Timestamp> {
    let started = Instant::now();
    loop {
        let found: Value = client.get(inbox).query(&[("to", address)]).send().await?.json().await?;
        if let Some(at) = found["messages"][0]["Timestamp"].as_str() {
            return Ok(at.parse()?);
        }
        ensure!(started.elapsed() < LIMIT, "a subscriber got no email");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Lets the system finish and end.
async fn interrupt(system: &mut Child) -> anyhow::Result<()> {
    if let Some(id) = system.id() {
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(i32::try_from(id)?),
            nix::sys::signal::Signal::SIGINT,
        )?;
    }
    let _ = tokio::time::timeout(LIMIT, system.wait()).await;
    Ok(())
}
