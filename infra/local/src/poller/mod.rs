//! The event source mapping: between a Kafka and a function.
mod batch;
mod event;
mod plan;
mod record;
mod response;
#[cfg(test)]
#[expect(clippy::panic, reason = "a test fails by panicking")]
mod plan_tests;
