//! Publishing 10,000 stock updates, against librdkafka's own producer with the same settings and the same records, in
//! turn, to Apache Kafka (or the embedded one).

use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use domain::setting::Settings;
use kafka::{KafkaConfig, Publisher, Record};
use notify_me::report::{Goal, Report};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};
use serde_json::{Value, json};

use super::{median, ms, round};
use crate::contender::Running;
use crate::rig::Rig;

const UPDATES: usize = 10_000;
const TIMES: usize = 9;
/// What the function takes in one invocation.
const AT_ONCE: usize = 1_000;
/// Partitions of the topic, as `notify-me topics` makes it.
const PARTITIONS: i32 = 3;
const LIMIT: Duration = Duration::from_secs(30);

/// Measures both, and the function.
///
/// # Errors
/// When Kafka does not take a record.
pub(crate) async fn run(rig: &Rig, servers: &str, apache: bool) -> anyhow::Result<Report> {
    let broker = if apache { "Apache Kafka" } else { "the embedded Kafka" };
    let mut report = Report::new(
        "publish",
        "Publishing 10,000 stock updates",
        format!(
            "To {broker}, acknowledged by all replicas, idempotent, partitioned as Java does. The publisher of the functions \
             waits for every delivery and gives each one's offset; librdkafka's own producer queues, and its deliveries are counted. \
             In turn, {TIMES} times; the ratio is of pairs."
        ),
    );
    let records: Vec<(String, Vec<u8>)> = (0..UPDATES).map(update).collect();
    let lookup = |name: &str| (name == "KAFKA_BOOTSTRAP_SERVERS").then(|| servers.to_owned());
    let mut settings = Settings::new(&lookup);
    let kafka = KafkaConfig::from_settings(&mut settings).context("no Kafka")?;
    let publisher = Publisher::new(&kafka, None, LIMIT, Duration::ZERO)?;
    let topic = &rig.new_topic(PARTITIONS).await?[1].1;
    publisher.warm_up(topic).await;
    let (delivered, deliveries) = mpsc::channel();
    let own: ThreadedProducer<Deliveries> = ClientConfig::new()
        .set("bootstrap.servers", servers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "0")
        .create_with_context(Deliveries(delivered))?;
    let deliveries = Arc::new(Mutex::new(deliveries));
    let (mut ours, mut theirs, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..=TIMES {
        let our = published(&publisher, topic, &records).await?;
        let (producer, topic, batch, deliveries) =
            (own.clone(), topic.clone(), records.clone(), deliveries.clone());
        let their =
            tokio::task::spawn_blocking(move || queued(&producer, &topic, &batch, &deliveries)).await??;
        if number > 0 {
            ours.push(UPDATES as f64 / our.as_secs_f64());
            theirs.push(UPDATES as f64 / their.as_secs_f64());
            ratios.push(their.as_secs_f64() / our.as_secs_f64());
        }
    }
    let ratio = round(median(&ratios));
    report.goal(Goal::at_least("publishing, as a share of librdkafka's own producer", 0.8), ratio);
    let (invocation, cpu) = through_the_function(rig, servers, topic).await?;
    let figures = [
        ("publisher of the functions (updates a second)", json!(median(&ours).round())),
        ("librdkafka's own producer (updates a second)", json!(median(&theirs).round())),
        ("ratio", json!(ratio)),
        ("function restock: 1,000 updates in one invocation (ms)", json!(invocation)),
        ("function restock: CPU of 1,000 updates (ms)", json!(cpu)),
    ];
    for (figure, value) in figures {
        report.row(vec![("figure", json!(figure)), ("value", value)]);
    }
    Ok(report)
}

fn update(number: usize) -> (String, Vec<u8>) {
    let value = json!({
        "restockId": format!("r-{number}"), "productId": format!("p-{number}"), "quantity": 25,
        "occurredAt": "2026-11-23T09:30:00Z",
    });
    (format!("p-{number}"), value.to_string().into_bytes())
}

async fn published(
    publisher: &Publisher,
    topic: &str,
    records: &[(String, Vec<u8>)],
) -> anyhow::Result<Duration> {
    let started = Instant::now();
    let outgoing: Vec<Record<'_>> = records
        .iter()
        .map(|(key, value)| Record {
            topic,
            key: Some(key.as_bytes()),
            value: Some(value),
            headers: Vec::new(),
        })
        .collect();
    for written in publisher.publish(&outgoing).await {
        written?;
    }
    Ok(started.elapsed())
}

/// Tells of each delivery whether it succeeded.
struct Deliveries(mpsc::Sender<bool>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, delivered: &DeliveryResult<'_>, (): ()) {
        // The receiver counts for as long as records are sent.
        let _ = self.0.send(delivered.is_ok());
    }
}

fn queued(
    producer: &ThreadedProducer<Deliveries>,
    topic: &str,
    records: &[(String, Vec<u8>)],
    deliveries: &Mutex<mpsc::Receiver<bool>>,
) -> anyhow::Result<Duration> {
    let deliveries = deliveries.lock().unwrap_or_else(PoisonError::into_inner);
    let started = Instant::now();
    for (key, value) in records {
        producer.send(BaseRecord::to(topic).key(key).payload(value)).map_err(|(error, _)| error)?;
    }
    for _ in records {
        ensure!(deliveries.recv_timeout(LIMIT)?, "Kafka did not take a record");
    }
    Ok(started.elapsed())
}

/// What an invocation of 1,000 updates takes, and its CPU.
async fn through_the_function(rig: &Rig, servers: &str, topic: &str) -> anyhow::Result<(f64, f64)> {
    let more = [("KAFKA_BOOTSTRAP_SERVERS", servers.to_owned()), ("KAFKA_RESTOCK_TOPIC", topic.to_owned())];
    let mut running = Running::start(&rig.function("restock"), &rig.stub, &more).await?;
    running.ready().await?;
    let updates: Vec<Value> =
        (0..AT_ONCE).map(|number| json!({ "productId": format!("p-{number}"), "quantity": 25 })).collect();
    let payload = Value::Array(updates);
    let (mut times, mut cpus) = (Vec::new(), Vec::new());
    for number in 0..=UPDATES / AT_ONCE {
        let (started, cpu) = (Instant::now(), running.cpu()?);
        let answer = running.invoke(&payload).await?;
        let taken =
            answer.as_array().map_or(0, |list| list.iter().filter(|one| one["offset"].is_i64()).count());
        ensure!(taken == AT_ONCE, "{taken} of {AT_ONCE} updates were taken");
        if number > 0 {
            times.push(ms(started.elapsed()));
            cpus.push(ms(running.cpu()?.saturating_sub(cpu)));
        }
    }
    running.stop().await;
    Ok((median(&times), median(&cpus)))
}
