//! A producer with a thread of its own that waits for deliveries and for what librdkafka calls back.
//!
//! rdkafka's `FutureProducer` does the same in rounds of 100 ms, and asks without a pause in the last millisecond of each,
//! because it waits in whole milliseconds: up to 3 % of a processor, all the time. Here a round is long.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rdkafka::{ClientConfig, error::KafkaResult, producer::BaseProducer};

use super::{ClientError, context::Context};

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
}

impl Drop for Deliveries {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
