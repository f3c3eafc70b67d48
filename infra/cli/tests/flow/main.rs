//! The whole flow in real processes: from "Notify me" to the email. On the embedded Kafka and DynamoDB, and with
//! `NOTIFY_ME_PARTS=real` on Apache Kafka and DynamoDB Local.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test stops where it fails, and says why")]

#[path = "../support/mod.rs"]
mod support;

mod alerts;
mod challenge;
mod confirmation;
mod dead_letters;
mod faults;
mod feedback;
mod fields;
mod forms;
mod ids;
mod limits;
mod operator;
mod outages;
mod people;
mod persons;
mod places;
mod real_parts;
mod recipients;
mod records;
mod refusals;
mod restocks;
mod rules;
mod samples;
mod shards;
mod simulation;
mod surroundings;
mod tutorial;
mod unreadable;
mod waves;
