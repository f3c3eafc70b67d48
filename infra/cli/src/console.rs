//! What the program says. Standard output is for people and scripts and only `say` writes there;
//! errors and logs go to standard error.

use std::fmt::Display;
use std::io::Write;

/// Writes a line to standard output. A reader that went away is not an error.
pub fn say(line: impl Display) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}");
    let _ = output.flush();
}

/// Says on standard error why the program ends, with all causes in one line.
pub(crate) fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr().lock(), "notify-me: {error:#}");
}

/// Sends what the program logs to standard error, in one line each. `RUST_LOG` overrides the
/// default, which is what happens on this machine at level info and all else at level warn.
pub(crate) fn log_to_stderr() {
    // The embedded DynamoDB warns of every refusal, a failed condition among them, which is part
    // of normal work.
    log_to_stderr_at("warn,dynoxide=error,notify_me=info,notify_me_kafka_poller=warn");
}

/// The same with another default. Whatever `RUST_LOG` says, other crates' lines are capped: what passes through this
/// program holds addresses, and so do detailed lines of what carries it.
pub(crate) fn log_to_stderr_at(default: &str) {
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let lines = fmt::layer().compact().with_writer(std::io::stderr);
    // Only the first call of a process decides.
    let _ = tracing_subscriber::registry().with(lines).with(filter).with(lambda::logs::cap()).try_init();
}
