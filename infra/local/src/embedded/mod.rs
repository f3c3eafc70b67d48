//! What stands in for the cloud inside this process: Kafka and DynamoDB.

pub(crate) mod dynamodb;
pub mod kafka;
pub(crate) mod kafka_frames;
mod kafka_front;
pub(crate) mod watch;

use std::sync::{Arc, PoisonError, RwLock};

/// Whether stock updates are taken, shared by whoever decides that and whoever takes them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Backpressure(Arc<RwLock<Option<String>>>);

impl Backpressure {
    /// Why no stock updates are taken now; `None` if they are.
    pub(crate) fn reason(&self) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes no stock updates (`Some`, with the reason for people) or takes them again.
    pub(crate) fn set(&self, reason: Option<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}
