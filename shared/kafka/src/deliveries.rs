//! A producer with a thread of its own that waits for deliveries and for what librdkafka calls back.
//!
//! rdkafka's `FutureProducer` does the same in rounds of 100 ms, and asks without a pause in the last millisecond of each,
//! because it waits in whole milliseconds: up to 3 % of a processor, all the time. Here a round is long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::types::RDKafkaErrorCode;

use super::ClientError;
use super::context::Context;

/// How long a round is, and so how long after the last use of a producer its thread ends at the latest.
const ROUND: Duration = Duration::from_secs(5);

/// The producer. Its thread ends some seconds after this is dropped.
pub(super) struct Deliveries {
    producer: Arc<BaseProducer<Context>>,
    stop: Arc<AtomicBool>,
}

impl Deliveries {
    /// # Errors
    /// When the settings make no client.
    pub(super) fn new(config: &ClientConfig, context: Context) -> Result<Self, ClientError> {
        let made: KafkaResult<BaseProducer<Context>> = config.create_with_context(context);
        let (producer, stop) = (Arc::new(made?), Arc::new(AtomicBool::new(false)));
        let (polled, stopped) = (producer.clone(), stop.clone());
        let polling = move || {
            while !stopped.load(Ordering::Relaxed) {
                polled.poll(ROUND);
            }
        };
        std::thread::Builder::new().name("kafka deliveries".to_owned()).spawn(polling)?;
        Ok(Self { producer, stop })
    }

    pub(super) fn producer(&self) -> &Arc<BaseProducer<Context>> {
        &self.producer
    }

    /// What ended the producer, where `error` only follows from that.
    pub(super) fn end(&self, error: &KafkaError) -> Option<KafkaError> {
        use RDKafkaErrorCode::{Fatal, PurgeInflight, PurgeQueue};
        let (code, _) = self.producer.client().fatal_error()?;
        matches!(error.rdkafka_error_code(), Some(Fatal | PurgeInflight | PurgeQueue))
            .then_some(KafkaError::MessageProduction(code))
    }
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// A producer, and a new one when a fatal error has ended it.
///
/// With a fatal error an idempotent producer takes no record any more (librdkafka's introduction, "Fatal producer errors"), and a
/// warm sandbox outlives what caused it: a right that was given late, a broker that had lost its state. Deliveries in
/// flight are still reported, so the old one goes on for as long as a caller waits for one.
pub(super) struct Renewed {
    config: ClientConfig,
    context: Context,
    current: Mutex<Arc<Deliveries>>,
}

impl Renewed {
    /// # Errors
    /// When the settings make no client.
    pub(super) fn new(config: ClientConfig, context: Context) -> Result<Self, ClientError> {
        let current = Mutex::new(Arc::new(Deliveries::new(&config, context.clone())?));
        Ok(Self { config, context, current })
    }

    /// The producer, a new one if the last had a fatal error. Hold it until its records' deliveries are told.
    pub(super) fn usable(&self) -> Arc<Deliveries> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((code, _)) = current.producer().client().fatal_error() {
            tracing::warn!(%code, "the Kafka client has had a fatal error, and a new one takes its place");
            match Deliveries::new(&self.config, self.context.clone()) {
                Ok(new) => *current = Arc::new(new),
                // The old one says at each record why it takes none.
                Err(error) => {
                    tracing::error!(error = %lambda::error_chain(&error), "there is no new Kafka client")
                }
            }
        }
        current.clone()
    }
}
