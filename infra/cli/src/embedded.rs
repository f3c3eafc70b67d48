//! What stands in for the cloud inside this process: Kafka and DynamoDB.

pub(crate) mod dynamodb;
pub mod kafka;
pub(crate) mod kafka_frames;
mod kafka_front;
pub(crate) mod watch;
