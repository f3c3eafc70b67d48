//! `notify-me dead-letters replay`: writes dead letters back to the topic they came from.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _};
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use serde::Serialize;
use tokio::sync::mpsc;

use super::TOPICS;
use super::letter::Letter;
use super::read::Topic;
use crate::console::say;
use crate::operate::place::KafkaArgs;
use crate::operate::show;

/// How long Kafka has to take a record.
const DELIVERY: Duration = Duration::from_secs(30);
/// How many records are in memory at a time.
const AHEAD: usize = 100;

const MORE: &str = "\
A record is written back with its key, its value and the headers that it came with, and with the header
notify-me-replayed-from, which says where the dead letter lies. The dead letter stays where it is: replaying it twice
writes it twice. That is harmless for a stock update with a restockId and for a fan-out job, which are recognised. A
stock update without a restockId is a new restock each time.

A document that Lambda's own failure destination wrote holds the records of a batch: each goes back to its own topic, with
its own key and headers.

A dead letter whose value was too large to be kept is passed: its value is at its source only. So is anything that is not
a record.

--json: {replayed: [{topic, partition, offset, to: {topic, partition, offset}}], passed: [{topic, partition, offset,
why}], notFound: [text]}";

/// Which dead letters.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The topic that the records came from: item-restocked, notification-batches, or another name [default with --all:
    /// both].
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// The offset of a dead letter, with its partition unless that is 0; may be repeated.
    #[arg(long = "offset", value_name = "[PARTITION@]OFFSET", conflicts_with = "all", requires = "topics")]
    offsets: Vec<Place>,
    /// Replay every dead letter. Without --all and --offset, the command asks.
    #[arg(long)]
    all: bool,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    kafka: KafkaArgs,
}

/// A place in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    partition: i32,
    offset: i64,
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (partition, offset) = text.split_once('@').unwrap_or(("0", text));
        match (partition.parse(), offset.parse()) {
            (Ok(partition), Ok(offset)) if partition >= 0 && offset >= 0 => Ok(Self { partition, offset }),
            _ => Err("an offset such as 7, or with its partition 2@7"),
        }
    }
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    replayed: Vec<Replayed>,
    passed: Vec<Passed>,
    not_found: Vec<String>,
}

#[derive(Serialize)]
struct Replayed {
    topic: String,
    partition: i32,
    offset: i64,
    to: Written,
}

#[derive(Serialize)]
struct Written {
    topic: String,
    partition: i32,
    offset: i64,
}

#[derive(Serialize)]
struct Passed {
    topic: String,
    partition: i32,
    offset: i64,
    why: String,
}

/// Writes them back.
///
/// # Errors
/// When Kafka does not answer, does not take a record, or has no such record.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.kafka.client()?;
    let topics =
        if args.topics.is_empty() { TOPICS.map(str::to_owned).to_vec() } else { args.topics.clone() };
    if topics.len() > 1 && !args.offsets.is_empty() {
        bail!("--offset needs one --topic");
    }
    if args.offsets.is_empty() && !args.all && !confirmed(&config, &topics).await? {
        bail!("nothing was replayed");
    }
    let mut done = Done::default();
    let mut failed = None;
    for topic in &topics {
        if let Err(error) = replay(&config, topic, &args.offsets, args.json, &mut done).await {
            // What was written before is said all the same.
            failed = Some(error);
            break;
        }
    }
    if args.json {
        show::json(&done)?;
    } else {
        say(format_args!("{} replayed, {} passed", done.replayed.len(), done.passed.len()));
    }
    if let Some(error) = failed {
        return Err(error);
    }
    if !done.not_found.is_empty() {
        bail!("not found: {}", done.not_found.join(", "));
    }
    Ok(())
}

/// Asks the person at the terminal.
async fn confirmed(config: &ClientConfig, topics: &[String]) -> anyhow::Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("give --topic TOPIC and --offset N, or --all");
    }
    let (config, topics) = (config.clone(), topics.to_vec());
    let asked = tokio::task::spawn_blocking(move || {
        for topic in topics {
            let length = Topic::open(&config, &kafka::KafkaConfig::dead_letters(&topic))?.length();
            say(format_args!("{length} dead letters of {topic}"));
        }
        say("Replay all of them? (yes/no)");
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer).context("cannot read the answer")?;
        Ok::<_, anyhow::Error>(answer.trim().eq_ignore_ascii_case("yes"))
    });
    asked.await.context("the question was interrupted")?
}

async fn replay(
    config: &ClientConfig,
    topic: &str,
    offsets: &[Place],
    quiet: bool,
    done: &mut Done,
) -> anyhow::Result<()> {
    let producer: FutureProducer = config
        .clone()
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .set("partitioner", "murmur2_random")
        // The brokers decide what is too large.
        .set("message.max.bytes", "20000000")
        .set("message.timeout.ms", DELIVERY.as_millis().to_string())
        .create()
        .context("cannot use these settings for Kafka")?;
    let mut wanted: BTreeSet<Place> = offsets.iter().copied().collect();
    let all = wanted.is_empty();
    let (give, mut letters) = mpsc::channel::<Letter>(AHEAD);
    let (config, name) = (config.clone(), kafka::KafkaConfig::dead_letters(topic));
    let mut left = wanted.clone();
    let dead_letters = name.clone();
    let reading = tokio::task::spawn_blocking(move || {
        Topic::open(&config, &name)?.read(None, |letter| {
            let place = Place { partition: letter.partition, offset: letter.offset };
            if !all && !left.remove(&place) {
                return true;
            }
            // The receiver is gone only after a failed write.
            give.blocking_send(letter).is_ok() && (all || !left.is_empty())
        })
    });
    while let Some(letter) = letters.recv().await {
        wanted.remove(&Place { partition: letter.partition, offset: letter.offset });
        for letter in letter.unwrapped() {
            put_back(&producer, topic, letter, quiet, done).await?;
        }
    }
    reading.await.context("reading was interrupted")??;
    let missing =
        wanted.into_iter().map(|place| format!("{dead_letters}-{}@{}", place.partition, place.offset));
    done.not_found.extend(missing);
    Ok(())
}

async fn put_back(
    producer: &FutureProducer,
    to: &str,
    letter: Letter,
    quiet: bool,
    done: &mut Done,
) -> anyhow::Result<()> {
    let place = letter.place();
    let Letter { topic, partition, offset, .. } = &letter;
    let (topic, partition, offset) = (topic.clone(), *partition, *offset);
    if let Some(why) = letter.why_not() {
        if !quiet {
            say(format_args!("{place}  passed: {why}"));
        }
        done.passed.push(Passed { topic, partition, offset, why });
        return Ok(());
    }
    // A record knows its topic where Lambda wrote the letter; else it is the one that the letters are of.
    let to = letter.own_topic.as_deref().unwrap_or(to);
    let mut record = FutureRecord::<[u8], [u8]>::to(to).headers(letter.original_headers());
    record.key = letter.key.as_deref();
    record.payload = letter.value.as_deref();
    let sent = producer.send(record, Timeout::After(DELIVERY)).await.map_err(|(error, _)| error);
    let written = sent.with_context(|| format!("Kafka did not confirm {place}"))?;
    if !quiet {
        say(format_args!("{place}  → {to}-{}@{}", written.partition, written.offset));
    }
    let to = Written { topic: to.to_owned(), partition: written.partition, offset: written.offset };
    done.replayed.push(Replayed { topic, partition, offset, to });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_offset_with_or_without_its_partition() {
        assert_eq!("7".parse(), Ok(Place { partition: 0, offset: 7 }));
        assert_eq!("2@7".parse(), Ok(Place { partition: 2, offset: 7 }));
        for text in ["", "-1", "a", "1@", "@1", "1@2@3", "-1@2"] {
            assert!(text.parse::<Place>().is_err(), "{text}");
        }
    }
}
