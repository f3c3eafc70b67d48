//! What the commands say to people and to scripts: standard output, and nothing else writes there.

use std::fmt::Display;
use std::io::Write;

/// Writes a line to standard output. A reader that went away is not an error.
pub(crate) fn say(line: impl Display) {
    let mut output = std::io::stdout().lock();
    let _ = writeln!(output, "{line}");
    let _ = output.flush();
}

/// Sends what the program logs to standard error, in one line each. `RUST_LOG` overrides the
/// default, which is what happens on this machine at level info and all else at level warn.
pub(crate) fn log_to_stderr() {
    use tracing_subscriber::EnvFilter;
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn,notify_me=info"));
    // Only the first call of a process decides.
    let _ = tracing_subscriber::fmt()
        .compact()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}
