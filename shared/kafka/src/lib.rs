//! Writing to Kafka: an idempotent producer whose every delivery is awaited, because a function's
//! sandbox is frozen once it answers and would take unsent records along.

mod admin;
mod broker_error;
mod by_token;
mod context;
mod deliveries;
mod msk_iam;
mod pem;
mod security;
mod settings;

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::setting::Settings;
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::oneshot;

pub use self::admin::{Admin, AdminError, NewTopic, Seen};
pub use self::broker_error::{BrokerError, BrokerErrorKind};
pub use self::by_token::ByTokenError;
use self::context::{Context, LastError};
use self::deliveries::{Deliveries, Renewed};
pub use self::msk_iam::Signer;
pub use self::security::{Mode, Security};
pub use self::settings::{DELIVERY_MS, SETTINGS};

/// Where Kafka is, how to log in, and what its topics are called.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    bootstrap_servers: String,
    /// How to log in.
    pub security: Security,
    /// The topic of stock updates.
    pub restocks: String,
    /// The topic of fan-out jobs.
    pub batches: String,
}

impl KafkaConfig {
    /// Reads `KAFKA_BOOTSTRAP_SERVERS`, `KAFKA_RESTOCK_TOPIC`, `KAFKA_BATCHES_TOPIC` and what
    /// [`Security::from_settings`] does.
    pub fn from_settings(settings: &mut Settings<'_>) -> Option<Self> {
        let restocks = settings.or(&settings::RESTOCK_TOPIC);
        let batches = settings.or(&settings::BATCHES_TOPIC);
        let bootstrap_servers = settings.required("KAFKA_BOOTSTRAP_SERVERS");
        let security = Security::from_settings(settings);
        Some(Self {
            bootstrap_servers: bootstrap_servers?,
            security: security?,
            restocks: restocks?,
            batches: batches?,
        })
    }

    /// What every client of it needs: where it is, and how to log in.
    fn client_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", "notify-me")
            .set("socket.connection.setup.timeout.ms", "3000")
            // The reason for a broken connection may come as a line of this level.
            .set_log_level(RDKafkaLogLevel::Info);
        for (name, value) in self.security.client_settings() {
            config.set(name, value);
        }
        config
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
#[error("Kafka did not confirm a record for {topic}")]
pub struct PublishError {
    topic: String,
    // Boxed, so that the good results of a batch stay small.
    #[source]
    source: Box<RequestError>,
}

impl PublishError {
    /// What stood between the client and the brokers, where that is why.
    pub fn broker_error(&self) -> Option<&BrokerError> {
        self.source.broker_error()
    }

    /// Whether the record is larger than this client or the topic takes, so that it never will be taken.
    pub fn is_too_large(&self) -> bool {
        use RDKafkaErrorCode::{InvalidMessageSize, MessageSizeTooLarge};
        matches!(self.source.error.rdkafka_error_code(), Some(MessageSizeTooLarge | InvalidMessageSize))
    }
}

/// What Kafka did not do, and what stood between the client and the brokers, if that is known.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct RequestError {
    error: KafkaError,
    #[source]
    broker_error: Option<BrokerError>,
}

impl RequestError {
    /// What stood between the client and the brokers.
    pub fn broker_error(&self) -> Option<&BrokerError> {
        self.broker_error.as_ref()
    }
}

/// A client that cannot be made of its settings.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// librdkafka does not take them together: a key, for example, that is not the certificate's.
    #[error("the Kafka client cannot be made")]
    Creation(#[source] KafkaError),
    /// It does not take one of them. The value is not repeated: it may be a secret.
    #[error("the Kafka client does not accept the setting {0}")]
    Setting(String),
    /// The thread that waits for its deliveries cannot be started.
    #[error("the Kafka client has no thread")]
    Thread(#[from] std::io::Error),
    /// The login is MSK's by IAM, and there is no signer.
    #[error("the login msk-iam needs AWS credentials")]
    NoSigner,
}

impl From<KafkaError> for ClientError {
    fn from(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, _, name, _) => Self::Setting(name),
            other => Self::Creation(other),
        }
    }
}

/// Resolves once librdkafka reports on a delivery.
type DeliveryReport = oneshot::Receiver<Result<Written, KafkaError>>;

/// How long a full queue is given to empty a little.
const QUEUE_PAUSE: Duration = Duration::from_millis(20);

/// Writes records.
#[derive(Clone)]
pub struct Publisher {
    producer: Arc<Renewed>,
    last_error: LastError,
    delivery: Duration,
}

impl Publisher {
    /// A producer whose every delivery ends within `delivery`, one way or the other: keep it
    /// below the function's time-out. `linger` is how long a record may wait for company.
    /// `signer` is needed for MSK's IAM login and not used for any other.
    ///
    /// # Errors
    /// When the settings make no client. Brokers are not asked yet.
    pub fn new(
        kafka: &KafkaConfig,
        signer: Option<Signer>,
        delivery: Duration,
        linger: Duration,
    ) -> Result<Self, ClientError> {
        if kafka.security.mode() == Mode::MskIam && signer.is_none() {
            return Err(ClientError::NoSigner);
        }
        let mut config = kafka.client_config();
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            // As the Java client partitions, so that producers of both kinds agree.
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", delivery.as_millis().to_string())
            .set("request.timeout.ms", (delivery.as_millis() / 2).max(1_000).to_string())
            .set("reconnect.backoff.max.ms", "1000")
            .set("linger.ms", linger.as_millis().to_string());
        let last_error = LastError::default();
        let context = Context::new(&kafka.security, signer, last_error.clone());
        Ok(Self { producer: Arc::new(Renewed::new(config, context)?), last_error, delivery })
    }

    /// Fetches a topic's metadata, so that the first record need not wait for it. Best effort: a
    /// Kafka that is away now may be back when there is something to write.
    pub async fn warm_up(&self, topic: &str) {
        if let Err(error) = self.reach(Some(topic), Duration::from_secs(2)).await {
            tracing::warn!(topic, error = %lambda::error_chain(&error), "Kafka does not answer yet");
        }
    }

    /// Fetches the metadata of a topic, or of all, or says why not, within `limit`.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn reach(&self, topic: Option<&str>, limit: Duration) -> Result<(), RequestError> {
        let (producer, name) = (self.producer.usable().producer().clone(), topic.map(str::to_owned));
        let fetch = move || producer.client().fetch_metadata(name.as_deref(), limit).map(drop);
        let fetched = tokio::task::spawn_blocking(fetch).await.unwrap_or(Err(KafkaError::Canceled));
        fetched.inspect(|()| self.last_error.clear()).map_err(|error| self.request_error(error))
    }

    /// Writes the records in one flight and gives each one's result, in their order.
    pub async fn publish(&self, records: &[Record<'_>]) -> Vec<Result<Written, PublishError>> {
        // All are queued before any is waited for; waiting in their order wakes this task a few times, not once for each.
        let deliveries = self.producer.usable();
        let mut queued = Vec::with_capacity(records.len());
        for record in records {
            queued.push(self.queue(&deliveries, record).await);
        }
        let mut results = Vec::with_capacity(records.len());
        for (record, queued) in records.iter().zip(queued) {
            results.push(self.result(&deliveries, record, queued).await);
        }
        results
    }

    /// Writes one record.
    pub async fn publish_one(&self, record: &Record<'_>) -> Result<Written, PublishError> {
        let deliveries = self.producer.usable();
        let queued = self.queue(&deliveries, record).await;
        self.result(&deliveries, record, queued).await
    }

    /// Hands a record to librdkafka, which tells of its delivery.
    async fn queue(
        &self,
        deliveries: &Deliveries,
        record: &Record<'_>,
    ) -> Result<DeliveryReport, KafkaError> {
        let (tell, told) = oneshot::channel();
        let mut message = BaseRecord::<[u8], [u8], _>::with_opaque_to(record.topic, Box::new(tell));
        message.key = record.key;
        message.payload = record.value;
        if !record.headers.is_empty() {
            let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(Header { key, value: Some(value) })
            });
            message = message.headers(headers);
        }
        let started = Instant::now();
        while let Err((error, unsent)) = deliveries.producer().send(message) {
            let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
            if !full || started.elapsed() >= self.delivery {
                return Err(error);
            }
            message = unsent;
            tokio::time::sleep(QUEUE_PAUSE).await;
        }
        Ok(told)
    }

    async fn result(
        &self,
        deliveries: &Deliveries,
        record: &Record<'_>,
        queued: Result<DeliveryReport, KafkaError>,
    ) -> Result<Written, PublishError> {
        let delivered = match queued {
            // The producer is there for as long as this, and tells of every record.
            Ok(told) => told.await.unwrap_or(Err(KafkaError::Canceled)),
            Err(error) => Err(error),
        };
        match delivered {
            Ok(written) => {
                self.last_error.clear();
                Ok(written)
            }
            Err(error) => {
                let source = Box::new(match deliveries.end(&error) {
                    // Nothing stands between the client and the brokers: they have answered.
                    Some(error) => RequestError { error, broker_error: None },
                    None => self.request_error(error),
                });
                Err(PublishError { topic: record.topic.to_owned(), source })
            }
        }
    }

    fn request_error(&self, error: KafkaError) -> RequestError {
        RequestError { error, broker_error: self.last_error.get() }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    #[tokio::test]
    async fn after_a_fatal_error_the_next_record_is_taken() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("item-restocked", 1, 1).unwrap();
        // As a broker answers a producer without the right to write idempotently, once.
        let denied = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED];
        cluster.request_errors(RDKafkaApiKey::InitProducerId, &denied);
        let servers = cluster.bootstrap_servers();
        let lookup = |name: &str| (name == "KAFKA_BOOTSTRAP_SERVERS").then(|| servers.clone());
        let kafka = KafkaConfig::from_settings(&mut Settings::new(&lookup)).unwrap();
        let publisher = Publisher::new(&kafka, None, Duration::from_secs(20), Duration::ZERO).unwrap();
        let record = Record { topic: "item-restocked", value: Some(b"iphone15"), ..Record::default() };

        let refused = publisher.publish_one(&record).await.unwrap_err();
        let said = lambda::error_chain(&refused).to_string();
        assert!(said.contains("Cluster authorization failed"), "{said}");
        assert!(!said.contains("cannot be reached"), "{said}");
        let flight = publisher.publish(&[record.clone(), record]).await;
        let offsets: Vec<_> = flight.into_iter().map(|written| written.unwrap().offset).collect();
        assert_eq!(offsets, [0, 1]);
    }
}
