//! Where records go that were given up: a topic, with their own key, value and headers, and
//! headers that say why and from where. Never gives up itself: a record is there, or not done.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};

use super::plan::Discarded;
use super::record::Record;

/// What is said about a batch besides its records.
pub(super) struct Cause<'a> {
    pub(super) function: &'a str,
    pub(super) group: &'a str,
    /// The last failure's type, where the function ever failed.
    pub(super) error: Option<&'a str>,
}

pub(super) struct Destination {
    topic: String,
    producer: FutureProducer,
}

impl Destination {
    pub(super) fn new(topic: &str, mut config: ClientConfig) -> Result<Self, KafkaError> {
        config
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("linger.ms", "0")
            .set("message.timeout.ms", "30000");
        Ok(Self { topic: topic.to_owned(), producer: config.create()? })
    }

    pub(super) fn topic(&self) -> &str {
        &self.topic
    }

    /// Writes all, in order, and returns when the broker has them. After an error some may be there
    /// already: writing them again is what at least once means here.
    pub(super) async fn put(&self, discarded: &Discarded, cause: &Cause<'_>) -> Result<(), KafkaError> {
        let mut deliveries = Vec::with_capacity(discarded.records.len());
        for record in &discarded.records {
            let headers = headers(record, discarded, cause);
            let mut message: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&self.topic).headers(headers);
            if let Some(key) = &record.key {
                message = message.key(key);
            }
            if let Some(value) = &record.value {
                message = message.payload(value);
            }
            deliveries.push(self.queue(message).await?);
        }
        for delivery in deliveries {
            // Cancelled only when the producer is gone, which this one outlives.
            delivery.await.map_err(|_| KafkaError::Canceled)?.map_err(|(error, _)| error)?;
        }
        Ok(())
    }

    async fn queue(
        &self,
        mut message: FutureRecord<'_, [u8], [u8]>,
    ) -> Result<rdkafka::producer::DeliveryFuture, KafkaError> {
        loop {
            match self.producer.send_result(message) {
                Ok(delivery) => return Ok(delivery),
                Err((KafkaError::MessageProduction(rdkafka::types::RDKafkaErrorCode::QueueFull), back)) => {
                    message = back;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}

fn headers(record: &Record, discarded: &Discarded, cause: &Cause<'_>) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(record.headers.len() + 9);
    for (key, value) in &record.headers {
        headers = headers.insert(Header { key, value: value.as_deref() });
    }
    let said = [
        ("failure.reason", discarded.reason.name().to_owned()),
        ("failure.topic", record.topic.to_string()),
        ("failure.partition", record.partition.to_string()),
        ("failure.offset", record.offset.to_string()),
        ("failure.timestamp", record.timestamp.to_string()),
        ("failure.attempts", discarded.failures.to_string()),
        ("failure.function", cause.function.to_owned()),
        ("failure.group", cause.group.to_owned()),
    ];
    for (key, value) in &said {
        headers = headers.insert(Header { key, value: Some(value) });
    }
    match cause.error {
        Some(error) => headers.insert(Header { key: "failure.error", value: Some(error) }),
        None => headers,
    }
}
