//! `notify-me dead-letters list`.

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Serialize;

use super::TOPICS;
use super::letter::Letter;
use super::read::Topic;
use crate::console::say;
use crate::operate::place::KafkaArgs;
use crate::operate::preview::preview;
use crate::operate::show;

/// How many characters of a value are shown.
const PREVIEW: usize = 120;
/// How many characters of a key are shown.
const KEY: usize = 40;

const MORE: &str = "\
Records that cannot be read go to `<topic>-dlq` with the headers notify-me-reason and notify-me-source. Records that
`notify-me poll` gave up go there with failure.* headers. Lambda itself writes a JSON document with the whole batch; its
records are listed one by one. Keys and values are cut, control characters are escaped, and anything that looks like an
email address is masked.

--json: {deadLetters: [{topic, partition, offset, writtenAt, key, reason, source, valueBytes, valueIsKept, preview,
replayedFrom}], notShown}. `valueBytes` is null for a tombstone. `valueIsKept` is false if the value was too large
for the dead letters: it stays at `source` until the retention there ends. `replayedFrom` says that the record was
replayed before, and failed again.";

/// Which dead letters.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The topic that the records came from: item-restocked, notification-batches, or another name [default: both].
    #[arg(long = "topic", value_name = "TOPIC")]
    topics: Vec<String>,
    /// How many to list of each partition, the newest.
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    kafka: KafkaArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct List {
    dead_letters: Vec<Shown>,
    not_shown: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    topic: String,
    partition: i32,
    offset: i64,
    written_at: Option<Timestamp>,
    key: Option<String>,
    reason: Option<String>,
    source: Option<String>,
    value_bytes: Option<u64>,
    value_is_kept: bool,
    preview: Option<String>,
    replayed_from: Option<String>,
}

impl Shown {
    fn of(letter: &Letter) -> Self {
        Self {
            topic: letter.topic.clone(),
            partition: letter.partition,
            offset: letter.offset,
            written_at: letter.written_at(),
            key: letter.key.as_deref().map(|key| preview(key, KEY)),
            reason: letter.reason(),
            source: letter.source(),
            value_bytes: letter.value_bytes(),
            value_is_kept: !letter.is_stand_in(),
            preview: letter.value.as_deref().map(|value| preview(value, PREVIEW)),
            replayed_from: letter.replayed_from(),
        }
    }
}

/// Shows them.
///
/// # Errors
/// When Kafka does not answer, or has no such topic.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.kafka.client()?;
    let topics =
        if args.topics.is_empty() { TOPICS.map(str::to_owned).to_vec() } else { args.topics.clone() };
    let list = tokio::task::spawn_blocking(move || {
        let mut list = List { dead_letters: Vec::new(), not_shown: 0 };
        for topic in topics {
            let topic = Topic::open(&config, &kafka::KafkaConfig::dead_letters(&topic))?;
            let mut read = 0_u64;
            topic.read(Some(args.limit), |letter| {
                read += 1;
                list.dead_letters.extend(letter.unwrapped().iter().map(Shown::of));
                true
            })?;
            list.not_shown += topic.length().saturating_sub(read);
        }
        list.dead_letters
            .sort_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
        Ok::<_, anyhow::Error>(list)
    });
    let list = list.await.context("reading was interrupted")??;
    if args.json {
        return show::json(&list);
    }
    list.tell();
    Ok(())
}

impl List {
    fn tell(&self) {
        let now = Timestamp::now();
        if self.dead_letters.is_empty() {
            say("No dead letters.");
        }
        for letter in &self.dead_letters {
            let missing = || "-".to_owned();
            let bytes = letter.value_bytes.map_or("a tombstone".to_owned(), |bytes| format!("{bytes} bytes"));
            let value = match &letter.preview {
                _ if !letter.value_is_kept => {
                    format!("{bytes}, too large to be kept here; it is at its source")
                }
                Some(preview) => format!("{bytes}: {preview}"),
                None => bytes,
            };
            say(format_args!("{}  partition {}  offset {}", letter.topic, letter.partition, letter.offset));
            let mut facts = vec![
                ("  written", letter.written_at.map_or_else(missing, |at| show::when(at, now))),
                ("  reason", letter.reason.clone().unwrap_or_else(missing)),
                ("  from", letter.source.clone().unwrap_or_else(missing)),
                ("  key", letter.key.clone().unwrap_or_else(missing)),
                ("  value", value),
            ];
            if let Some(from) = &letter.replayed_from {
                facts.push(("  replayed", format!("before, from {from}")));
            }
            show::facts(&facts);
        }
        if self.not_shown > 0 {
            say(format_args!("{} older dead letters are not shown (--limit).", self.not_shown));
        }
    }
}
