//! Writing to Kafka: an idempotent producer whose every delivery is awaited, because a function's
//! sandbox is frozen once it answers and would take unsent records along.

use std::time::Duration;

use domain::setting::Settings;
use futures::future::join_all;
use rdkafka::{
    ClientConfig,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord, Producer},
    util::Timeout,
};

/// Where Kafka is, and what its topics are called.
#[derive(Debug, Clone)]
pub struct Kafka {
    bootstrap_servers: String,
    /// The topic of stock updates.
    pub restocks: String,
    /// The topic of fan-out jobs.
    pub batches: String,
}

impl Kafka {
    /// Reads `KAFKA_BOOTSTRAP_SERVERS`, `KAFKA_RESTOCK_TOPIC` and `KAFKA_BATCHES_TOPIC`.
    ///
    /// `KAFKA_SECURITY` may be left out or `plaintext`: this build has no other login, and says so
    /// here rather than by brokers that do not answer.
    pub fn read(settings: &mut Settings<'_>) -> Option<Self> {
        settings.optional_by("KAFKA_SECURITY", |text| match text {
            "plaintext" => Ok(()),
            _ => Err("plaintext is the only login of this build"),
        });
        Some(Self {
            restocks: settings.or("KAFKA_RESTOCK_TOPIC", "item-restocked".to_owned()),
            batches: settings.or("KAFKA_BATCHES_TOPIC", "notification-batches".to_owned()),
            bootstrap_servers: settings.required("KAFKA_BOOTSTRAP_SERVERS")?,
        })
    }

    /// The topic for records of `topic` that cannot be read.
    pub fn dead_letters(topic: &str) -> String {
        format!("{topic}-dlq")
    }
}

/// A record to write.
#[derive(Debug, Clone, Default)]
pub struct Record<'a> {
    /// Its topic.
    pub topic: &'a str,
    /// Its key, if it has one.
    pub key: Option<&'a [u8]>,
    /// Its value, if it has one.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: Vec<(&'a str, Vec<u8>)>,
}

/// Where a record was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// A record that was not acknowledged.
#[derive(Debug, thiserror::Error)]
#[error("Kafka did not take a record for {topic}")]
pub struct PublishError {
    topic: String,
    #[source]
    source: KafkaError,
}

impl PublishError {
    /// Whether the record is larger than this client or the topic takes, so that it never will be taken.
    pub fn is_too_large(&self) -> bool {
        use rdkafka::types::RDKafkaErrorCode::{InvalidMessageSize, MessageSizeTooLarge};
        matches!(self.source.rdkafka_error_code(), Some(MessageSizeTooLarge | InvalidMessageSize))
    }
}

/// Writes records.
#[derive(Clone)]
pub struct Publisher {
    producer: FutureProducer,
    delivery: Duration,
}

impl Publisher {
    /// A producer whose every delivery ends within `delivery`, one way or the other: keep it
    /// below the function's time-out. `linger` is how long a record may wait for company.
    pub fn new(kafka: &Kafka, delivery: Duration, linger: Duration) -> Result<Self, KafkaError> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", &kafka.bootstrap_servers)
            .set("client.id", "notify-me")
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // As the Java client partitions, so that producers of both kinds agree.
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", delivery.as_millis().to_string())
            .set("request.timeout.ms", (delivery.as_millis() / 2).max(1_000).to_string())
            .set("socket.connection.setup.timeout.ms", "3000")
            .set("reconnect.backoff.max.ms", "1000")
            .set("linger.ms", linger.as_millis().to_string())
            .create()?;
        Ok(Self { producer, delivery })
    }

    /// Fetches a topic's metadata, so that the first record need not wait for it. Best effort: a
    /// Kafka that is away now may be back when there is something to write.
    pub async fn warm_up(&self, topic: &str) {
        let (producer, name) = (self.producer.clone(), topic.to_owned());
        let fetch = move || producer.client().fetch_metadata(Some(&name), Duration::from_secs(2)).map(drop);
        if let Ok(Err(error)) = tokio::task::spawn_blocking(fetch).await {
            tracing::warn!(topic, error = %crate::causes(&error), "Kafka does not answer yet");
        }
    }

    /// Writes the records in one flight and gives each one's result, in their order.
    pub async fn publish(&self, records: &[Record<'_>]) -> Vec<Result<Written, PublishError>> {
        join_all(records.iter().map(|record| self.publish_one(record))).await
    }

    /// Writes one record.
    pub async fn publish_one(&self, record: &Record<'_>) -> Result<Written, PublishError> {
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let mut message = FutureRecord::<[u8], [u8]>::to(record.topic);
        if !record.headers.is_empty() {
            message = message.headers(headers);
        }
        message.key = record.key;
        message.payload = record.value;
        let sent = self.producer.send(message, Timeout::After(self.delivery)).await;
        match sent {
            Ok(delivery) => Ok(Written { partition: delivery.partition, offset: delivery.offset }),
            Err((source, _)) => Err(PublishError { topic: record.topic.to_owned(), source }),
        }
    }
}
