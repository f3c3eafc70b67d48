//! `notify-me poll`: the poller by itself, from its command line.
//! Only reads arguments, shows progress and decides when to end; the poller does the rest.

mod once;

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use kafka_poller::{LambdaEndpoint, Mapping, Partition, Poller, StartingPosition};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use self::once::Standing;

const REFRESH: Duration = Duration::from_millis(200);
/// How long the poller may take to end where Kafka does not answer.
const FAREWELL: Duration = Duration::from_secs(5);

const MORE: &str = "\
What this is:
  On AWS, an event source mapping reads a Kafka topic and hands batches of records to a Lambda
  function. `sam local` has no such thing. This command is one: it joins a consumer group, makes
  the event that Lambda makes, invokes the function, and commits the records that it processed.

  Each partition is processed in order, with one batch in flight; partitions run side by side. A
  failed batch is retried until it succeeds, or until the limits that you set give it up. The
  poller waits for throttling (429) and for an endpoint that is down; neither counts as a failure.
  Delivery is at least once: a function may see a record again after a crash.

Examples:
  Against `sam local start-lambda` (port 3001, any credentials do):
    sam local start-lambda
    notify-me poll --kafka localhost:9092 --topic orders --function OrdersFunction

  Against AWS, with the credentials and the region of your shell:
    notify-me poll --kafka localhost:9092 --topic orders --function orders --endpoint aws

  A batch job: process everything that is in the topic now, then end:
    notify-me poll --kafka localhost:9092 --topic orders --function OrdersFunction --once

  Isolate the record that a function fails on, and set it aside:
    notify-me poll --kafka localhost:9092 --topic orders --function OrdersFunction \\
      --bisect --maximum-retry-attempts 2 --on-failure kafka://orders-dlq

  A broker that wants TLS and a password:
    notify-me poll --kafka broker:9096 --topic orders --function OrdersFunction \\
      --kafka-config security.protocol=SASL_SSL --kafka-config sasl.mechanisms=SCRAM-SHA-512 \\
      --kafka-config sasl.username=me --kafka-config sasl.password=\"$KAFKA_PASSWORD\"";

#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// Kafka's bootstrap servers; also the event's `bootstrapServers`.
    #[arg(long, value_name = "HOST:PORT[,...]")]
    kafka: String,

    /// A topic to read; may be repeated.
    #[arg(long = "topic", value_name = "TOPIC", required = true)]
    topics: Vec<String>,

    /// The function to invoke.
    #[arg(long, value_name = "NAME|ARN")]
    function: String,

    /// The Lambda Invoke API: an address, or `aws`. Over http, requests carry made-up credentials.
    #[arg(long, value_name = "URL|aws", default_value = "http://127.0.0.1:3001", value_parser = endpoint)]
    endpoint: LambdaEndpoint,

    /// The consumer group.
    #[arg(long, default_value = "notification-service")]
    group: String,

    /// The most records in one invocation (1 to 10000).
    #[arg(long, value_name = "N", default_value_t = 100)]
    batch_size: usize,

    /// The longest that a batch waits to fill: `500ms`, `5s`, or a number of seconds (at most 300 s).
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = time)]
    window: Duration,

    /// The position at which a new group starts: LATEST, TRIM_HORIZON (the oldest record), or an RFC 3339 time.
    #[arg(long, value_name = "POSITION", default_value = "TRIM_HORIZON", value_parser = position)]
    starting_position: StartingPosition,

    /// Halve a batch that failed (BisectBatchOnFunctionError).
    #[arg(long)]
    bisect: bool,

    /// Retries of a failed batch [default: unlimited; 10 with --on-failure, as on AWS].
    #[arg(long, value_name = "N")]
    maximum_retry_attempts: Option<u32>,

    /// Give up records older than this: `90s`, `15m`, `24h`.
    #[arg(long, value_name = "TIME", value_parser = time)]
    maximum_record_age: Option<Duration>,

    /// The destination of records that are given up. Without it they are logged and lost.
    #[arg(long, value_name = "kafka://TOPIC", value_parser = destination)]
    on_failure: Option<String>,

    /// Read `batchItemFailures` from the function's answer (ReportBatchItemFailures).
    #[arg(long)]
    report_batch_item_failures: bool,

    /// Make events look like MSK's, with this `eventSourceArn`.
    #[arg(long, value_name = "ARN")]
    event_source_arn: Option<String>,

    /// A setting of the Kafka client, by librdkafka's name; may be repeated. Never logged.
    #[arg(long = "kafka-config", value_name = "KEY=VALUE", value_parser = setting, hide_default_value = true)]
    kafka_config: Vec<Setting>,

    /// End when everything in the topics is processed; fail if Kafka does not answer or assigns no partition.
    #[arg(long)]
    once: bool,
}

/// A client setting, perhaps a password: its value does not show in debug output.
#[derive(Clone)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) value: String,
}

impl std::fmt::Debug for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}=…", self.name)
    }
}

impl Args {
    fn mapping(&self) -> Mapping {
        let mut mapping = Mapping::new(&self.kafka, &self.topics, &self.function);
        mapping.group.clone_from(&self.group);
        mapping.batch_size = self.batch_size;
        mapping.window = self.window;
        mapping.starting_position = self.starting_position;
        mapping.bisect_on_error = self.bisect;
        mapping.maximum_retry_attempts = self.maximum_retry_attempts;
        mapping.maximum_record_age = self.maximum_record_age;
        mapping.on_failure.clone_from(&self.on_failure);
        mapping.report_batch_item_failures = self.report_batch_item_failures;
        mapping.event_source_arn.clone_from(&self.event_source_arn);
        mapping.kafka =
            self.kafka_config.iter().map(|setting| (setting.name.clone(), setting.value.clone())).collect();
        if self.once {
            // Where the end is comes from the client's statistics; a run to the end wants them often.
            mapping.kafka.push(("statistics.interval.ms".to_owned(), "200".to_owned()));
        }
        mapping
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let bar = summary_line();
    log_above(&bar);
    let mapping = args.mapping();
    tracing::info!(
        kafka = mapping.bootstrap_servers,
        topics = mapping.topics.join(","),
        group = mapping.group,
        function = mapping.function,
        endpoint = ?args.endpoint,
        "polling; Ctrl-C finishes the batches in flight"
    );
    let poller = Poller::start(mapping, args.endpoint.clone()).await.context("cannot start polling")?;
    let (started, mut had_partitions) = (tokio::time::Instant::now(), false);
    let mut refresh = tokio::time::interval(REFRESH);
    let interrupted = loop {
        tokio::select! {
            signal = tokio::signal::ctrl_c() => {
                signal.context("cannot wait for Ctrl-C")?;
                break true;
            }
            _ = refresh.tick() => {
                let partitions = poller.progress();
                bar.set_message(summary(&poller, &partitions));
                had_partitions |= !partitions.is_empty();
                let standing =
                    Standing { running: started.elapsed(), heard: poller.heard(), had_partitions };
                if let Some(given_up) = standing.given_up().filter(|_| args.once) {
                    let trouble = poller.trouble();
                    // The group may have no coordinator to leave.
                    let _ = tokio::time::timeout(FAREWELL, poller.stop()).await;
                    bar.finish_and_clear();
                    let topics = args.topics.join(", ");
                    return Err(given_up.error(&args.kafka, &topics, &args.group, trouble.as_deref()));
                }
                if args.once && !partitions.is_empty() && partitions.iter().all(|partition| partition.at_end) {
                    break false;
                }
            }
        }
    };
    if interrupted {
        tracing::info!("stopping: batches in flight are finished first");
    }
    let totals = tokio::select! {
        totals = poller.stop() => totals,
        _ = tokio::signal::ctrl_c(), if interrupted => {
            anyhow::bail!("stopped hard: batches in flight will be delivered again");
        }
    };
    bar.finish_and_clear();
    tracing::info!(
        invocations = totals.invocations,
        failures = totals.failures,
        records = totals.records,
        given_up = totals.given_up,
        "stopped"
    );
    Ok(())
}

fn log_above(bar: &ProgressBar) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_writer(Above(bar.clone()))
        .finish()
        // Records hold addresses, and so do detailed lines of what carries them.
        .with(lambda::logs::cap())
        .init();
}

fn summary_line() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(REFRESH);
    bar
}

fn summary(poller: &Poller, partitions: &[Partition]) -> String {
    let totals = poller.totals();
    if partitions.is_empty() {
        return "waiting for partitions".to_owned();
    }
    let held: u64 = partitions
        .iter()
        .filter_map(|partition| Some(partition.fetched? - partition.committed.unwrap_or(partition.fetched?)))
        .map(|count| u64::try_from(count).unwrap_or(0))
        .sum();
    let waiting = partitions.iter().filter(|partition| !partition.at_end).count();
    format!(
        "{} records in {} invocations, {} failed, {} given up; {held} in hand; {} partitions, {waiting} busy",
        totals.records,
        totals.invocations,
        totals.failures,
        totals.given_up,
        partitions.len(),
    )
}

/// Log lines go above the summary line instead of through it.
#[derive(Clone)]
struct Above(ProgressBar);

impl<'a> MakeWriter<'a> for Above {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Above {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().write(line))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

fn endpoint(text: &str) -> Result<LambdaEndpoint, String> {
    match text {
        "aws" => Ok(LambdaEndpoint::Aws),
        url if url.starts_with("http://") || url.starts_with("https://") => {
            Ok(LambdaEndpoint::Url(url.to_owned()))
        }
        _ => Err("an address such as http://127.0.0.1:3001, or aws".to_owned()),
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| "a time such as 500ms, 5s, 15m or 24h".to_owned())?;
    let seconds = |each: u64| number.checked_mul(each).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "" | "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3600),
        _ => None,
    }
    .ok_or_else(|| "a time such as 500ms, 5s, 15m or 24h".to_owned())
}

fn position(text: &str) -> Result<StartingPosition, String> {
    match text {
        "LATEST" => Ok(StartingPosition::Latest),
        "TRIM_HORIZON" => Ok(StartingPosition::TrimHorizon),
        time => time
            .parse::<jiff::Timestamp>()
            .map(|time| StartingPosition::AtTimestamp(SystemTime::from(time)))
            .map_err(|_| "LATEST, TRIM_HORIZON, or a time such as 2026-11-23T08:00:00Z".to_owned()),
    }
}

fn destination(text: &str) -> Result<String, String> {
    match text.strip_prefix("kafka://") {
        Some(topic) if !topic.is_empty() => Ok(topic.to_owned()),
        _ => Err("kafka:// and the name of a topic".to_owned()),
    }
}

/// Reads `KEY=VALUE`.
pub(crate) fn setting(text: &str) -> Result<Setting, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok(Setting { name: name.trim().to_owned(), value: value.to_owned() })
        }
        // The text itself is not repeated: it may be a password.
        _ => Err("a name, =, and a value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit_and_nothing_else() {
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("5"), Ok(Duration::from_secs(5)));
        assert_eq!(time("15m"), Ok(Duration::from_secs(900)));
        for text in ["", "ms", "-1s", "1.5s", "5d", "99999999999999999999s", "18446744073709551615h"] {
            assert!(time(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_starting_position_is_a_word_or_a_time() {
        assert_eq!(position("LATEST"), Ok(StartingPosition::Latest));
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        assert_eq!(position("1970-01-02T00:00:00Z"), Ok(StartingPosition::AtTimestamp(time)));
        assert!(position("yesterday").is_err());
    }

    #[test]
    fn a_client_setting_does_not_show_its_value() {
        let Ok(setting) = setting("sasl.password=hunter=2") else { panic!("a setting") };
        assert_eq!(setting.value, "hunter=2");
        assert!(!format!("{setting:?}").contains("hunter"));
    }
}
