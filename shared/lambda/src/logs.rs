//! What the functions log, and where a level ends: at every level that the template offers, no address, name, user id or
//! token is in a log. This project's own lines hold none. Other crates' lines do, as soon as they are detailed: the AWS
//! SDK's hold whole requests and answers at level trace and parts of them at level debug, the Lambda runtime's hold the
//! event. So only this project's lines follow the level; whatever the environment says, other crates log no more than
//! [`OTHERS`].
//!
//! `RUST_LOG` goes before `AWS_LAMBDA_LOG_LEVEL`, which Lambda sets from `ApplicationLogLevel`: that is a constant TRACE in
//! the template, because Lambda would drop the metrics' lines at any level above INFO. With `AWS_LAMBDA_LOG_FORMAT=JSON` each line is a document.

use std::io;

use domain::setting::Setting;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

/// The settings of logging, which every function has.
pub const SETTINGS: &[Setting] = &[Setting::with_default(
    "RUST_LOG",
    "info",
    "what is logged: `error`, `warn`, `info`, `debug` or `trace`, or directives of tracing-subscriber's `EnvFilter`. Other \
     crates' lines are kept at `info`, because more detailed ones hold what people sent.",
)];

/// The most that other crates log: what is more detailed may hold addresses.
const OTHERS: LevelFilter = LevelFilter::INFO;

/// How the targets of this project's lines begin: all of its crates have this prefix.
const OURS: &str = "notify_me";

/// Where the Lambda runtime logs an event that it cannot decode, with what it found instead of what it expected. The
/// caller is told the same as the invocation's error.
const EVENTS: &str = "lambda_runtime::layers::api_response";

/// Lets through what can hold nothing of people, whatever other filters let through beside it.
pub fn cap<S: Subscriber>() -> impl Layer<S> {
    Targets::new()
        .with_default(OTHERS)
        .with_target(OURS, LevelFilter::TRACE)
        .with_target(EVENTS, LevelFilter::OFF)
}

/// Sends what a function logs to standard output. Only the first call of a process has an effect.
pub fn init() {
    let variable = |name: &str| std::env::var(name).ok();
    let level = variable("RUST_LOG").or_else(|| variable("AWS_LAMBDA_LOG_LEVEL"));
    let json = variable("AWS_LAMBDA_LOG_FORMAT").is_some_and(|format| format.eq_ignore_ascii_case("json"));
    let directives = variable("RUST_LOG").unwrap_or_default();
    let subscriber = subscriber(level.as_deref(), &directives, json, io::stdout);
    // The first one stays; so it is in tests, which share a process.
    let _ = subscriber.try_init();
}

fn subscriber<W>(
    level: Option<&str>,
    directives: &str,
    json: bool,
    writer: W,
) -> impl Subscriber + Send + Sync
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let level = level.and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO);
    let chosen = EnvFilter::builder().with_default_directive(level.into()).parse_lossy(directives);
    tracing_subscriber::registry().with(lines(json, writer)).with(chosen).with(cap())
}

/// Lines without time and target, both of which CloudWatch's reader does not need.
fn lines<S, W>(json: bool, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_target(false).without_time().with_writer(writer);
    if json { lines.json().boxed() } else { lines.boxed() }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use super::*;

    /// What is logged at this level and with these directives, of lines that would hold an address.
    fn logged(level: Option<&str>, directives: &str, json: bool) -> String {
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber = subscriber(level, directives, json, move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::trace!(target: "aws_smithy_runtime::client", "ann@example.com");
            tracing::debug!(target: "hyper::proto", "ann@example.com");
            tracing::error!(target: "lambda_runtime::layers::api_response", "ann@example.com");
            tracing::info!(target: "aws_config", "others at info");
            tracing::trace!(target: "notify_me_notify::deliver", "ours at trace");
            tracing::info!(target: "notify_me_subscribe", "ours at info");
            let span = tracing::debug_span!(target: "aws_sdk_dynamodb", "GetItem", key = "ann@example.com");
            span.in_scope(|| tracing::info!(target: "notify_me_store::table", "within"));
        });
        let bytes = lines.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    #[test]
    fn no_level_and_no_directive_lets_out_what_other_crates_say_in_detail() {
        for json in [false, true] {
            for (level, directives) in [
                (None, ""),
                (Some("TRACE"), ""),
                (Some("trace"), "trace"),
                (Some("DEBUG"), "debug"),
                (None, "aws_smithy_runtime=trace,hyper=trace,lambda_runtime=trace"),
                (Some("warn"), "trace,aws_sdk_dynamodb=trace"),
            ] {
                let logged = logged(level, directives, json);
                assert!(!logged.contains("ann@"), "{level:?} {directives}: {logged}");
                assert!(!logged.contains("GetItem"), "{level:?} {directives}: {logged}");
            }
        }
    }

    #[test]
    fn our_own_lines_follow_the_level() {
        let all = logged(Some("TRACE"), "", false);
        for line in ["ours at trace", "ours at info", "others at info", "within"] {
            assert!(all.contains(line), "{line}: {all}");
        }
        let usual = logged(None, "", false);
        assert!(!usual.contains("ours at trace") && usual.contains("ours at info"), "{usual}");
        assert_eq!(logged(Some("ERROR"), "", false), "");
        assert_eq!(logged(Some("off"), "off", false), "");
    }

    #[test]
    fn the_format_for_cloudwatch_is_a_document_a_line() {
        let json = logged(None, "", true);
        let documents: Result<Vec<serde_json::Value>, _> = json.lines().map(serde_json::from_str).collect();
        let documents = documents.unwrap_or_default();
        assert_eq!(documents.len(), 3, "{json}");
        assert!(documents.iter().all(|line| line["level"] == "INFO"), "{json}");
        assert_eq!(documents[1]["fields"]["message"], "ours at info", "{json}");
    }
}
