//! The event source mapping: between a Kafka and a function.
