//! The topics, on any Kafka and with any login: `notify-me topics` makes those that are missing, and so does `up` with a Kafka
//! of one's own. What is there stays as it is.

use std::time::Duration;

use domain::setting::Settings;
use kafka::{Admin, AdminError, ClientError, KafkaConfig, NewTopic, Publisher, RequestError, Seen, Signer};

use crate::console::say;

/// How long a broker may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// Copies of a partition, where there are brokers enough.
const REPLICAS: i32 = 3;
/// Thirty days: an operator has to look at dead letters.
const DEAD_LETTERS_MS: &str = "2592000000";

const AFTER_HELP: &str = "\
The login is that of the functions: KAFKA_USERNAME and KAFKA_PASSWORD for plain, scram-256 and scram; KAFKA_CLIENT_CERTIFICATE
and KAFKA_CLIENT_KEY for mtls; KAFKA_CA_CERTIFICATE for brokers with a CA of their own; AWS_REGION and your AWS credentials
for msk-iam. KAFKA_RESTOCK_TOPIC and KAFKA_BATCHES_TOPIC name other topics.";

/// Which Kafka, and what is made there.
#[derive(clap::Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct Args {
    /// Kafka's bootstrap servers: host:port,host:port.
    #[arg(long, value_name = "SERVERS", env = "KAFKA_BOOTSTRAP_SERVERS")]
    kafka: String,
    /// How to log in: plaintext, tls, plain, scram-256, scram, mtls or msk-iam.
    #[arg(long, value_name = "LOGIN", env = "KAFKA_SECURITY", default_value = "plaintext")]
    login: String,
    /// Partitions of the topic of stock updates: how many products can be planned side by side.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    partitions: i32,
    /// Partitions of the topic of fan-out jobs: how many shards can be delivered side by side.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(i32).range(1..=10_000))]
    batch_partitions: i32,
    /// Copies of each partition [default: 3, or as many as there are brokers].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=100))]
    replication_factor: Option<i32>,
    /// Create nothing; fail if a topic is missing.
    #[arg(long)]
    check: bool,
}

/// Why topics could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The settings make no client.
    #[error("cannot log in to Kafka")]
    Login(#[source] ClientError),
    /// The brokers do not answer, or not to this login.
    #[error("Kafka does not answer")]
    Request(#[source] Box<RequestError>),
    /// They answered before, and then no more.
    #[error("Kafka does not list its topics")]
    Look(#[source] AdminError),
    /// A topic could not be made.
    #[error("cannot create topic {topic}")]
    Topic {
        /// Its name.
        topic: String,
        /// What the broker had against it.
        #[source]
        source: AdminError,
    },
}

/// A topic as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    name: String,
    partitions: i32,
    is_dead_letters: bool,
}

/// What became of a topic.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is there, with so many partitions.
    There(usize),
    /// It was made.
    Made,
    /// It is not there, and was not to be made.
    Missing,
}

/// The topics that the system reads and writes.
pub(crate) fn wanted(kafka: &KafkaConfig, partitions: i32, batch_partitions: i32) -> [Wanted; 4] {
    let topic = |name: &str, partitions| Wanted { name: name.to_owned(), partitions, is_dead_letters: false };
    let dead =
        |name: &str| Wanted { name: KafkaConfig::dead_letters(name), partitions: 1, is_dead_letters: true };
    [
        topic(&kafka.restocks, partitions),
        topic(&kafka.batches, batch_partitions),
        dead(&kafka.restocks),
        dead(&kafka.batches),
    ]
}

/// Makes the topics that are missing, or says what is missing.
///
/// # Errors
/// When the login is unusable, Kafka does not answer within seconds, it refuses a topic, or one is missing with `--check`.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    crate::console::log_to_stderr();
    let lookup = |name: &str| match name {
        "KAFKA_BOOTSTRAP_SERVERS" => Some(args.kafka.clone()),
        "KAFKA_SECURITY" => Some(args.login.clone()),
        _ => std::env::var(name).ok(),
    };
    let mut settings = Settings::new(&lookup);
    let kafka = KafkaConfig::from_settings(&mut settings);
    let kafka = settings.finish(kafka)?;
    // Only MSK's IAM login looks for credentials.
    let signer = match kafka.security.mode() {
        kafka::Mode::MskIam => lambda::aws::config().await.credentials_provider().map(Signer::new),
        _ => None,
    };
    let wanted = wanted(&kafka, args.partitions, args.batch_partitions);
    let found = look_and_make(&kafka, signer, &wanted, args.replication_factor, !args.check).await?;
    let mut missing = Vec::new();
    for (topic, found) in wanted.iter().zip(found) {
        say(line(topic, &found));
        if found == Found::Missing {
            missing.push(topic.name.as_str());
        }
    }
    anyhow::ensure!(missing.is_empty(), "missing: {}", missing.join(", "));
    Ok(())
}

fn line(topic: &Wanted, found: &Found) -> String {
    let Wanted { name, partitions, .. } = topic;
    match found {
        Found::Made => format!("{name}: created, partitions: {partitions}"),
        Found::Missing => format!("{name}: missing"),
        Found::There(there) if usize::try_from(*partitions) == Ok(*there) => {
            format!("{name}: exists, partitions: {there}")
        }
        Found::There(there) => {
            format!("{name}: exists, partitions: {there} (not {partitions}; left as it is)")
        }
    }
}

/// Makes the topics that are missing, with as many copies as there are brokers, three at the most.
///
/// # Errors
/// Any of [`Error`].
pub(crate) async fn make_missing(kafka: &KafkaConfig) -> Result<(), Error> {
    let [(_, partitions), (_, batch_partitions), ..] = crate::embedded::kafka::TOPICS;
    let wanted = wanted(kafka, partitions, batch_partitions);
    for (topic, found) in wanted.iter().zip(look_and_make(kafka, None, &wanted, None, true).await?) {
        if found == Found::Made {
            tracing::info!(topic = topic.name, "created the topic");
        }
    }
    Ok(())
}

async fn look_and_make(
    kafka: &KafkaConfig,
    signer: Option<Signer>,
    wanted: &[Wanted],
    replicas: Option<i32>,
    make: bool,
) -> Result<Vec<Found>, Error> {
    // The admin client does not say why brokers do not answer. The publisher does.
    Publisher::new(kafka, signer.clone(), ANSWER_LIMIT, Duration::ZERO)
        .map_err(Error::Login)?
        .reach(None, ANSWER_LIMIT)
        .await
        .map_err(|source| Error::Request(Box::new(source)))?;
    let admin = Admin::new(kafka, signer, ANSWER_LIMIT).map_err(Error::Look)?;
    let seen = admin.look().await.map_err(Error::Look)?;
    let copies = replicas.unwrap_or_else(|| i32::try_from(seen.brokers).unwrap_or(1).clamp(1, REPLICAS));
    let mut found: Vec<Found> = wanted.iter().map(|topic| look(&seen, topic)).collect();
    if make {
        for (topic, found) in wanted.iter().zip(&mut found) {
            if *found == Found::Missing {
                *found = create(&admin, topic, copies).await?;
            }
        }
    }
    Ok(found)
}

fn look(seen: &Seen, topic: &Wanted) -> Found {
    let known = seen.topics.iter().find(|(name, _)| *name == topic.name);
    known.map_or(Found::Missing, |(_, partitions)| Found::There(*partitions))
}

async fn create(admin: &Admin, topic: &Wanted, copies: i32) -> Result<Found, Error> {
    let settings: &[_] = if topic.is_dead_letters { &[("retention.ms", DEAD_LETTERS_MS)] } else { &[] };
    let new = NewTopic { name: &topic.name, partitions: topic.partitions, copies, settings };
    let failed = |source| Error::Topic { topic: topic.name.clone(), source };
    if admin.create(&new).await.map_err(failed)? {
        return Ok(Found::Made);
    }
    // Another program was faster, perhaps with another size.
    Ok(look(&admin.look().await.map_err(Error::Look)?, topic))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn kafka() -> KafkaConfig {
        let lookup = |name: &str| (name == "KAFKA_BOOTSTRAP_SERVERS").then(|| "127.0.0.1:1".to_owned());
        KafkaConfig::from_settings(&mut Settings::new(&lookup)).unwrap()
    }

    #[test]
    fn the_topics_are_those_that_the_embedded_kafka_has() {
        let made = wanted(&kafka(), 3, 8).map(|topic| (topic.name, topic.partitions));
        assert_eq!(made, crate::embedded::kafka::TOPICS.map(|(name, count)| (name.to_owned(), count)));
    }

    #[test]
    fn a_topic_of_another_size_is_named_and_stays() {
        let [restocks, ..] = wanted(&kafka(), 3, 8);
        assert_eq!(line(&restocks, &Found::Made), "item-restocked: created, partitions: 3");
        assert_eq!(line(&restocks, &Found::There(3)), "item-restocked: exists, partitions: 3");
        assert!(line(&restocks, &Found::There(1)).contains("partitions: 1 (not 3; left as it is)"));
    }

    #[tokio::test]
    async fn a_kafka_that_is_not_there_is_an_error_and_no_wait() {
        let error = look_and_make(&kafka(), None, &wanted(&kafka(), 1, 1), None, true).await.unwrap_err();
        assert!(matches!(error, Error::Request(_)), "{error}");
    }
}
