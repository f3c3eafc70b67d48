//! What the functions share of their surroundings: AWS clients, HTTP answers, logs, settings, the clock and the random
//! source. Kafka and the table have crates of their own.

pub mod aws;
pub mod clock;
pub mod entropy;
pub mod http;
pub mod logs;
mod roots;
pub mod settings;

use std::fmt;

/// An error's causes in one line: `Display` of each, outermost first. Unlike `{:?}`, it never
/// prints a response's body, where the table would show a subscriber's address.
pub fn error_chain(error: &(dyn std::error::Error + 'static)) -> impl fmt::Display {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        next = cause.source();
    }
    line
}
