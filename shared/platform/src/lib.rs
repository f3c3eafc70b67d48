//! What the functions share of the outside world: the table, Kafka, AWS clients, HTTP answers,
//! the clock. It knows how to speak to each; what to say is the functions' and `domain`'s.

pub mod aws;
pub mod chance;
pub mod http;
pub mod kafka;
pub mod logs;
pub mod settings;
pub mod table;

use std::fmt;

/// An error's causes in one line: `Display` of each, outermost first. Unlike `{:?}`, it never
/// prints a response's body, where the table would show somebody's address.
pub fn causes(error: &(dyn std::error::Error + 'static)) -> impl fmt::Display {
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
