//! The event that a function gets for a batch: Lambda's payload for Kafka event sources.
//! Decides the form only; which records are in it is decided elsewhere.

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::Record;

/// Lambda's limit on the payload of one invocation, in bytes of JSON.
pub(super) const PAYLOAD_LIMIT: usize = 6 * 1024 * 1024;

/// What is the same in every event of a mapping.
#[derive(Clone, Debug)]
pub(super) struct Envelope {
    bootstrap_servers: String,
    event_source_arn: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    event_source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    event_source_arn: Option<&'a str>,
    bootstrap_servers: &'a str,
    records: BTreeMap<String, &'a [Record]>,
}

impl Envelope {
    /// An ARN makes the event look like one from MSK; without one it is a self-managed Kafka's.
    pub(super) fn new(bootstrap_servers: &str, event_source_arn: Option<&str>) -> Self {
        Self {
            bootstrap_servers: bootstrap_servers.to_owned(),
            event_source_arn: event_source_arn.map(str::to_owned),
        }
    }

    /// The event for records that all come from this one partition.
    pub(super) fn encode(
        &self,
        topic: &str,
        partition: i32,
        records: &[Record],
    ) -> serde_json::Result<Vec<u8>> {
        serde_json::to_vec(&Event {
            event_source: if self.event_source_arn.is_some() { "aws:kafka" } else { "SelfManagedKafka" },
            event_source_arn: self.event_source_arn.as_deref(),
            bootstrap_servers: &self.bootstrap_servers,
            records: BTreeMap::from([(format!("{topic}-{partition}"), records)]),
        })
    }

    /// Bytes of an event of this partition before its first record.
    pub(super) fn overhead(&self, topic: &str, partition: i32) -> usize {
        self.encode(topic, partition, &[]).map_or(PAYLOAD_LIMIT, |event| event.len())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::record::TimestampType;
    use super::*;

    fn record(offset: i64) -> Record {
        Record {
            topic: Arc::from("stock"),
            partition: 3,
            offset,
            timestamp: 1_700_000_000_123,
            timestamp_type: TimestampType::CreateTime,
            key: Some(b"iphone15".to_vec()),
            value: Some(b"productId=iphone15".to_vec()),
            headers: vec![("trace".to_owned(), Some(vec![0x00, 0x7f, 0x80, 0xff]))],
        }
    }

    fn read(envelope: &Envelope, records: &[Record]) -> Value {
        serde_json::from_slice(&envelope.encode("stock", 3, records).unwrap()).unwrap()
    }

    #[test]
    fn an_event_has_the_form_that_lambda_documents() {
        let envelope = Envelope::new("a:9092,b:9092", None);
        assert_eq!(
            read(&envelope, &[record(7)]),
            json!({
                "eventSource": "SelfManagedKafka",
                "bootstrapServers": "a:9092,b:9092",
                "records": {"stock-3": [{
                    "topic": "stock", "partition": 3, "offset": 7,
                    "timestamp": 1_700_000_000_123_i64, "timestampType": "CREATE_TIME",
                    "key": "aXBob25lMTU=", "value": "cHJvZHVjdElkPWlwaG9uZTE1",
                    "headers": [{"trace": [0, 127, -128, -1]}],
                }]},
            })
        );
    }

    #[test]
    fn an_event_with_an_arn_is_one_from_msk() {
        let event = read(&Envelope::new("a:9092", Some("arn:aws:kafka:eu-west-1:1:cluster/c/1")), &[]);
        assert_eq!(event["eventSource"], "aws:kafka");
        assert_eq!(event["eventSourceArn"], "arn:aws:kafka:eu-west-1:1:cluster/c/1");
    }

    #[test]
    fn a_tombstone_has_no_value_and_an_empty_value_stays_a_value() {
        let tombstone = Record { value: None, key: None, headers: vec![], ..record(1) };
        let empty = Record { value: Some(vec![]), ..record(2) };
        let event = read(&Envelope::new("a", None), &[tombstone, empty]);
        let records = event["records"]["stock-3"].as_array().unwrap();
        assert!(records[0].get("value").is_none() && records[0].get("key").is_none());
        assert_eq!(records[0]["headers"], json!([]));
        assert_eq!(records[1]["value"], "");
    }

    #[test]
    fn an_event_can_be_read_by_the_published_event_type() {
        let bare = Record { key: None, value: None, headers: vec![("h".into(), None)], ..record(1) };
        let bytes = Envelope::new("a", None).encode("stock", 3, &[record(0), bare]).unwrap();
        #[derive(serde::Deserialize)]
        struct Typed {
            records: std::collections::HashMap<String, Vec<TypedRecord>>,
        }
        #[derive(serde::Deserialize)]
        struct TypedRecord {
            headers: Vec<std::collections::HashMap<String, Vec<i8>>>,
        }
        let typed: Typed = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(typed.records["stock-3"][0].headers[0]["trace"], [0, 127, -128, -1]);
        assert!(typed.records["stock-3"][1].headers[0]["h"].is_empty());
    }

    proptest! {
        #[test]
        fn the_counted_length_is_the_encoded_length(
            key in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40)),
            value in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..200)),
            headers in proptest::collection::vec(
                (".{0,8}", proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20))), 0..4),
            offset in 0_i64..i64::MAX,
            copies in 1_usize..4,
        ) {
            let records = vec![Record { key, value, headers, ..record(offset) }; copies];
            let envelope = Envelope::new("a:1", None);
            let counted = envelope.overhead("stock", 3)
                + records.iter().map(Record::encoded_len).sum::<usize>() + (copies - 1);
            prop_assert_eq!(envelope.encode("stock", 3, &records).unwrap().len(), counted);
        }
    }
}
