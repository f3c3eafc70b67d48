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
    use tracing_subscriber::layer::SubscriberExt as _;
    use tracing_subscriber::util::SubscriberInitExt as _;
    use tracing_subscriber::{EnvFilter, fmt};
    // The embedded DynamoDB warns of every refusal, a failed condition among them, which is part
    // of normal work.
    const DEFAULT: &str = "warn,dynoxide=error,notify_me=info,notify_me::poller=warn";
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT));
    let lines = fmt::layer().compact().with_writer(std::io::stderr);
    // What passes through this program holds addresses too, and so do detailed lines of what carries it.
    let cap = platform::logs::cap();
    // Only the first call of a process decides.
    let _ = tracing_subscriber::registry().with(lines).with(filter).with(cap).try_init();
}
