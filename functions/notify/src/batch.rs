//! A batch of records: each is done, poison, or to be tried again. Records of one product (or of
//! one shard) run in their order, different ones side by side.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Invalid;
use domain::job::Job;
use domain::record::Record;
use domain::stock::StockUpdate;
use futures::{StreamExt, stream};
use kafka::{KafkaConfig, PublishError, Record as Outgoing, Written};
use lambda::clock;
use serde_json::Value;
use tokio::time::Instant;

use crate::event::{Failed, PartialResponse};
use crate::poison::PoisonPolicy;
use crate::{App, deliver, metrics, plan};

/// How many products or shards are worked on side by side in one invocation.
const SIDE_BY_SIDE: usize = 16;

/// A record that could be read.
enum Task {
    Plan(Box<StockUpdate>),
    Deliver(Job),
}

/// Works off a batch and gives the partial response.
pub(crate) async fn work(app: &App, records: Vec<Record>, until: Instant) -> Result<Value, Failed> {
    if let Some(age) = age(&records, clock::now_ms()) {
        metrics::lag(age);
    }
    let count = records.len();
    let (mut lanes, mut poison) = (BTreeMap::<String, Vec<(Record, Task)>>::new(), Vec::new());
    for record in records {
        if record.value.is_none() && record.fault.is_none() {
            tracing::info!(record = %record.place(), "a tombstone: nothing to do");
            continue;
        }
        match read(app, &record) {
            Ok(task) => lanes.entry(task.lane()).or_default().push((record, task)),
            Err(reason) => poison.push((record, reason)),
        }
    }
    let policy = PoisonPolicy { mapping_gives_up: app.config.report_failures };
    if policy.fails_loudly(poison.len(), count - poison.len())
        && let Some((first, reason)) = poison.first()
    {
        return Err(Failed::AllPoison { count, first: first.place(), reason: reason.clone() });
    }
    let mut failed = bury(app, poison).await;
    let mut lanes = stream::iter(lanes.into_values().map(|lane| in_order(app, lane, until)))
        .buffer_unordered(SIDE_BY_SIDE);
    while let Some(of_lane) = lanes.next().await {
        failed.extend(of_lane);
    }
    if !app.config.report_failures && !failed.is_empty() {
        // A source that does not look at the response would take the failed records for done.
        return Err(failed.remove(0).1);
    }
    let response = PartialResponse::of(failed.iter().map(|(record, _)| record));
    #[expect(clippy::expect_used, reason = "names and numbers; an empty answer would say that all is done")]
    let response = serde_json::to_value(response).expect("a partial response is JSON");
    Ok(response)
}

/// How old the oldest record is. One without a time (-1, or 0 from some writers) has no age, and one from the future none yet.
fn age(records: &[Record], now_ms: u64) -> Option<Duration> {
    let times = records.iter().filter_map(|record| u64::try_from(record.written_ms).ok());
    let oldest_ms = times.filter(|ms| *ms > 0).min()?;
    Some(Duration::from_millis(now_ms.saturating_sub(oldest_ms)))
}

impl Task {
    /// Tasks of one lane run one after the other.
    fn lane(&self) -> String {
        match self {
            Self::Plan(update) => format!("plan {}", update.product_id),
            Self::Deliver(job) => format!("deliver {}", job.key()),
        }
    }
}

fn read(app: &App, record: &Record) -> Result<Task, Invalid> {
    if let Some(fault) = &record.fault {
        return Err(fault.clone());
    }
    let value = record.value.as_deref();
    if record.topic == app.kafka().batches {
        return Job::from_record(value).map(Task::Deliver);
    }
    let read = StockUpdate::from_record(value)?;
    for reason in &read.ignored {
        tracing::warn!(product = %read.update.product_id, %reason, "a field counts as absent");
    }
    Ok(Task::Plan(Box::new(read.update)))
}

/// Works off the tasks of one lane. The first that fails ends it, so that none overtakes it; one that an unreadable item of
/// the table stands in the way of goes to the dead letters, since trying again cannot help it.
async fn in_order(app: &App, lane: Vec<(Record, Task)>, until: Instant) -> Vec<(Record, Failed)> {
    let mut failed = Vec::new();
    for (record, task) in lane {
        let done = match task {
            Task::Plan(update) => plan::plan(app, &record, *update, until).await,
            Task::Deliver(job) => deliver::deliver(app, &job, until).await,
        };
        if let Err(Failed::Table(error)) = &done
            && error.is_corrupt()
        {
            let reason = Invalid::new("table", error.to_string(), "items as this project writes them");
            failed.extend(bury(app, vec![(record, reason)]).await);
        } else if let Err(error) = done {
            tracing::error!(record = %record.place(), error = %lambda::error_chain(&error), "will be tried again");
            failed.push((record, error));
            break;
        }
    }
    failed
}

/// The longest key that a shortened dead letter keeps, in bytes.
const MAX_KEPT_KEY: usize = 1_024;

/// Writes poison to the dead letters of its topic, with its headers, where it came from, and what
/// was wrong. What is too large for that topic goes there shortened: it would fail its batch for
/// ever otherwise, and its partition with it.
async fn bury(app: &App, poison: Vec<(Record, Invalid)>) -> Vec<(Record, Failed)> {
    let topics: Vec<String> =
        poison.iter().map(|(record, _)| dead_letters_of(app.kafka(), &record.topic)).collect();
    let outgoing: Vec<Outgoing<'_>> =
        poison.iter().zip(&topics).map(|((record, reason), topic)| whole(record, reason, topic)).collect();
    let mut written = app.publisher.publish(&outgoing).await;
    for ((written, outgoing), (record, reason)) in written.iter_mut().zip(&outgoing).zip(&poison) {
        if !too_large(written) {
            continue;
        }
        if poison.len() > 1 {
            // A broker refuses the records of one request together; this one may be small.
            *written = app.publisher.publish_one(outgoing).await;
        }
        if too_large(written) {
            *written = app.publisher.publish_one(&shortened(record, reason, outgoing.topic)).await;
        }
    }
    let mut failed = Vec::new();
    for ((record, reason), written) in poison.into_iter().zip(written) {
        match written {
            Ok(_) => {
                metrics::poison();
                tracing::error!(record = %record.place(), %reason, "poison: written to the dead letters");
            }
            Err(error) => failed.push((record, error.into())),
        }
    }
    failed
}

/// Where a record's dead letter goes. What is no job is taken for a stock update, so it lies with those whatever its topic
/// is called: the function may write to no other topic, and a record that can go nowhere would come again for ever.
fn dead_letters_of(kafka: &KafkaConfig, topic: &str) -> String {
    KafkaConfig::dead_letters(if topic == kafka.batches { topic } else { &kafka.restocks })
}

fn too_large(written: &Result<Written, PublishError>) -> bool {
    written.as_ref().is_err_and(PublishError::is_too_large)
}

/// A dead letter with all that the record had.
fn whole<'a>(record: &'a Record, reason: &Invalid, topic: &'a str) -> Outgoing<'a> {
    let mut headers: Vec<(&str, Vec<u8>)> =
        record.headers.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    headers.push(("notify-me-reason", reason.to_string().into_bytes()));
    headers.push(("notify-me-source", record.place().into_bytes()));
    Outgoing { topic, key: record.key.as_deref(), value: record.value.as_deref(), headers }
}

/// A dead letter that stands in for a record that is too large: it says how large, and that the
/// record stays where it is until the retention there ends. Whether key, value or headers made it
/// so is not known, so a long key and all headers are left out as well.
fn shortened<'a>(record: &'a Record, reason: &Invalid, topic: &'a str) -> Outgoing<'a> {
    let bytes = record.value.as_ref().map_or(0, Vec::len);
    let reason = format!(
        "{reason}; too large for the dead letters: it stays at its source until the retention there ends"
    );
    let headers = vec![
        ("notify-me-reason", reason.into_bytes()),
        ("notify-me-source", record.place().into_bytes()),
        ("notify-me-value-bytes", bytes.to_string().into_bytes()),
    ];
    let key = record.key.as_deref().filter(|key| key.len() <= MAX_KEPT_KEY);
    Outgoing { topic, key, value: None, headers }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: usize) -> Record {
        Record {
            topic: "t".to_owned(),
            partition: 2,
            offset: 7,
            written_ms: 0,
            key: Some(vec![b'k'; key]),
            value: Some(vec![b'x'; 1_500_000]),
            headers: vec![("trace".to_owned(), vec![b'h'; 1_000_000])],
            fault: None,
        }
    }

    #[test]
    fn the_oldest_record_with_a_time_gives_the_age_whatever_times_the_others_have() {
        let ages = |times: &[i64]| {
            let records: Vec<Record> = times
                .iter()
                .map(|ms| Record { written_ms: *ms, value: None, headers: Vec::new(), ..record(1) })
                .collect();
            age(&records, 1_795_426_200_000).map(|age| age.as_millis())
        };
        assert_eq!(ages(&[]), None);
        for odd in [-1, 0, i64::MIN] {
            assert_eq!(ages(&[odd]), None, "{odd}");
        }
        for odd in [-1, 0, i64::MIN, i64::MAX, 1_795_426_200_000_000_000] {
            assert_eq!(ages(&[odd, 1_795_426_199_750]), Some(250), "{odd}");
        }
        assert_eq!(ages(&[i64::MAX]), Some(0));
    }

    #[test]
    fn a_shortened_dead_letter_is_small_whatever_was_large_and_says_where_the_record_stays() {
        let reason = Invalid::new("value", "is not JSON", "JSON");
        let small_key = record(10);
        let letter = shortened(&small_key, &reason, "t-dlq");
        assert_eq!((letter.key.map(<[u8]>::len), letter.value), (Some(10), None));
        let header = |name: &str| {
            let found = letter.headers.iter().find(|(found, _)| *found == name);
            found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
        };
        assert_eq!(header("notify-me-value-bytes"), "1500000");
        assert_eq!(header("notify-me-source"), "t-2@7");
        assert!(header("notify-me-reason").contains("not JSON"), "{}", header("notify-me-reason"));
        assert!(header("notify-me-reason").contains("stays at its source"), "{}", header("notify-me-reason"));
        assert_eq!(header("trace"), "");
        assert_eq!(shortened(&record(2_000), &reason, "t-dlq").key, None);
    }
}
