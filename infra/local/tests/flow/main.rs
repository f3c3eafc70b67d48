//! The whole flow in real processes: from "Notify me" to the mail.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test stops where it fails, and says why")]

#[path = "../support/mod.rs"]
mod support;

mod faults;
mod operator;
mod outages;
mod people;
mod refusals;
mod restocks;
mod samples;
mod simulation;
mod tutorial;
