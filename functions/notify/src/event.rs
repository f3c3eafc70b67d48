//! What `notify` is invoked with, and what it answers. Records are decoded one by one, so that one
//! that cannot be read does not take its batch along.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::Invalid;
use domain::record::{self, Record};
use kafka::PublishError;
use serde::Serialize;
use serde_json::Value;
use store::StoreError;

/// What invoked the function.
#[derive(Debug)]
pub(crate) enum Trigger {
    /// An event source mapping, with records in their order per partition.
    Records(Vec<Record>),
    /// The schedule.
    Schedule {
        /// How long a fan-out must have stood still; unset: as configured.
        older_than: Option<Duration>,
    },
}

/// Why an invocation failed as a whole. The name of the kind is the `errorType` in metrics.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The payload is neither records nor a schedule's.
    #[error("the event cannot be used: {0}")]
    Event(Invalid),
    /// Every record of a large batch is unreadable: see [`crate::poison`].
    #[error("none of {count} records can be read; the first, {first}: {reason}")]
    AllPoison {
        /// How many there are.
        count: usize,
        /// Where the first one lies.
        first: String,
        /// What is wrong with it.
        reason: Invalid,
    },
    /// The function's time-out is too short for a call to SES.
    #[error(
        "{} s are left of the invocation, too few for a call to SES and its commits: the function's time-out must be at \
         least {} s",
        left.as_secs(),
        least.as_secs()
    )]
    TimeoutTooShort {
        /// What is left of it.
        left: Duration,
        /// What the time-out must be.
        least: Duration,
    },
    /// The table did not do its part.
    #[error(transparent)]
    Table(#[from] StoreError),
    /// Kafka did not take a record.
    #[error(transparent)]
    Kafka(#[from] PublishError),
}

impl From<Failed> for lambda_runtime::Diagnostic {
    fn from(failed: Failed) -> Self {
        let error_type = match &failed {
            Failed::Event(_) => "UnusableEvent",
            Failed::AllPoison { .. } => "AllPoison",
            Failed::Table(StoreError::Denied { .. }) => "TableDenied",
            Failed::Table(StoreError::Corrupt { .. }) => "TableCorrupt",
            Failed::TimeoutTooShort { .. } => "TimeoutTooShort",
            Failed::Table(_) => "TableUnavailable",
            Failed::Kafka(_) => "KafkaUnavailable",
        };
        Self { error_type: error_type.to_owned(), error_message: lambda::error_chain(&failed).to_string() }
    }
}

const ACCEPTED: &str = "a Kafka event source's event, or a schedule's";

impl Trigger {
    /// Reads an invocation's payload. The source's name is not looked at: it comes in several
    /// spellings.
    pub(crate) fn read(payload: Value) -> Result<Self, Failed> {
        let refuse = |problem: &str| Failed::Event(Invalid::new("event", problem, ACCEPTED));
        let Value::Object(mut event) = payload else { return Err(refuse("is not an object")) };
        if let Some(Value::Object(topics)) = event.remove("records") {
            let mut records: Vec<Record> =
                topics.into_iter().flat_map(|(lane, list)| record::lane(&lane, list)).collect();
            records.sort_by(|a, b| (&a.topic, a.partition, a.offset).cmp(&(&b.topic, b.partition, b.offset)));
            return Ok(Self::Records(records));
        }
        if event.get("detail-type").and_then(Value::as_str) == Some("Scheduled Event") {
            let seconds = event.get("detail").and_then(|detail| detail.get("olderThanSeconds"));
            return Ok(Self::Schedule {
                older_than: seconds.and_then(Value::as_u64).map(Duration::from_secs),
            });
        }
        Err(refuse("has neither records nor the detail type of a schedule"))
    }
}

/// The partial batch response: the lowest offset that failed of each partition. What was done
/// past it comes again, which is harmless. The field is called `partition` and holds topic and partition
/// ("Configuring error handling controls for Kafka event sources" in the Lambda developer guide, and Powertools for
/// AWS Lambda); older copies of that page have `topic-partition`, which Lambda would take for a failure of the whole batch.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PartialResponse {
    batch_item_failures: Vec<ItemFailure>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: ItemIdentifier,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct ItemIdentifier {
    partition: String,
    offset: i64,
}

impl PartialResponse {
    /// The response for these failed records.
    pub(crate) fn of<'a>(failed: impl IntoIterator<Item = &'a Record>) -> Self {
        let mut lowest: BTreeMap<String, i64> = BTreeMap::new();
        for record in failed {
            let offset =
                lowest.entry(format!("{}-{}", record.topic, record.partition)).or_insert(record.offset);
            *offset = record.offset.min(*offset);
        }
        let failure =
            |(partition, offset)| ItemFailure { item_identifier: ItemIdentifier { partition, offset } };
        Self { batch_item_failures: lowest.into_iter().map(failure).collect() }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(records: Value) -> Value {
        json!({"eventSource": "SelfManagedKafka", "bootstrapServers": "b:9092", "records": records})
    }

    fn record(partition: i64, offset: i64) -> Value {
        json!({"topic": "t", "partition": partition, "offset": offset, "timestamp": 1_700_000_000_000_i64,
            "timestampType": "CREATE_TIME", "key": "aw==", "value": "dg==", "headers": [{"h": [104, -61, -92]}]})
    }

    fn records(payload: Value) -> Vec<Record> {
        match Trigger::read(payload).unwrap() {
            Trigger::Records(records) => records,
            Trigger::Schedule { .. } => panic!("a schedule"),
        }
    }

    #[test]
    fn records_come_out_in_their_order_whatever_the_maps_was() {
        let read = records(event(json!({"t-1": [record(1, 5)], "t-0": [record(0, 8), record(0, 9)]})));
        let places: Vec<_> = read.iter().map(|r| (r.partition, r.offset)).collect();
        assert_eq!(places, [(0, 8), (0, 9), (1, 5)]);
        assert_eq!(read[0].headers, [("h".to_owned(), "hä".as_bytes().to_vec())]);
        assert_eq!((read[0].key.as_deref(), read[0].value.as_deref()), (Some(&b"k"[..]), Some(&b"v"[..])));
    }

    #[test]
    fn tombstones_and_records_without_headers_are_read() {
        let mut bare = record(0, 1);
        for field in ["value", "key", "headers", "timestampType"] {
            bare.as_object_mut().unwrap().remove(field);
        }
        let read = records(event(json!({"t-0": [bare]})));
        assert_eq!((read[0].value.clone(), read[0].headers.len()), (None, 0));
    }

    /// What `aws_lambda_events` can read, it and we read alike.
    #[test]
    fn sample_events_are_read_as_the_lambda_crates_read_them() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events");
        let mut compared = 0;
        for file in std::fs::read_dir(folder).unwrap() {
            let file = file.unwrap().path();
            if !file.file_name().unwrap().to_string_lossy().starts_with("kafka-") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            let Ok(event) = serde_json::from_str::<aws_lambda_events::kafka::KafkaEvent>(&text) else {
                continue;
            };
            // Their times go through a floating-point number, and may be a millisecond off.
            let mut theirs: Vec<_> = event
                .records
                .into_values()
                .flatten()
                .map(|record| (record.topic.unwrap(), record.partition, record.offset))
                .collect();
            theirs.sort();
            let ours: Vec<_> = records(serde_json::from_str(&text).unwrap())
                .into_iter()
                .map(|record| (record.topic, record.partition, record.offset))
                .collect();
            assert_eq!(ours, theirs, "{}", file.display());
            compared += 1;
        }
        assert!(compared >= 8, "{compared} samples were compared");
    }

    #[test]
    fn a_schedule_is_told_from_records_and_anything_else_is_refused() {
        let schedule = json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {"olderThanSeconds": 0}});
        assert!(matches!(
            Trigger::read(schedule).unwrap(),
            Trigger::Schedule { older_than: Some(Duration::ZERO) }
        ));
        for payload in [json!({}), json!([]), json!({"records": []})] {
            assert!(matches!(Trigger::read(payload), Err(Failed::Event(_))));
        }
    }

    #[test]
    fn a_partial_response_names_the_lowest_failed_offset_of_each_partition() {
        let read = records(event(json!({"t-0": [record(0, 8), record(0, 9)], "t-1": [record(1, 5)]})));
        let response = serde_json::to_value(PartialResponse::of(&read)).unwrap();
        assert_eq!(
            response,
            json!({"batchItemFailures": [
                {"itemIdentifier": {"partition": "t-0", "offset": 8}},
                {"itemIdentifier": {"partition": "t-1", "offset": 5}},
            ]})
        );
        assert_eq!(serde_json::to_value(PartialResponse::of([])).unwrap(), json!({"batchItemFailures": []}));
    }
}
