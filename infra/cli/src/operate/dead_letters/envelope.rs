//! What Lambda's own failure destination `kafka://TOPIC` writes: not the record, but a JSON document about the failed
//! invocation with the event in it ("Using a Kafka topic as an on-failure destination" in the Lambda developer guide). Each
//! of the event's records is a dead letter of its own here. Where the event was left out, its place is all that is known.

use domain::record::{self, Record};
use serde_json::{Map, Value};

use super::letter::{Letter, VALUE_BYTES};

impl Letter {
    /// The dead letters in this one: the records of Lambda's document, or else itself.
    ///
    /// What `notify` wrote is never opened: a record whose value only looks like such a document would say where it is to
    /// be written back, and a producer that may write to one topic could have it written to another.
    pub(super) fn unwrapped(self) -> Vec<Self> {
        if self.is_of_notify() {
            return vec![self];
        }
        let Some(document) = self.value.as_deref().and_then(Document::read) else { return vec![self] };
        let records = document.records();
        if records.is_empty() {
            return document.places(&self).into_iter().map(|place| self.left_out(&document, place)).collect();
        }
        records.into_iter().map(|record| self.enclosed(&document, record)).collect()
    }

    /// A record of the document.
    fn enclosed(&self, document: &Document, record: Record) -> Self {
        let place = [record.topic.clone(), record.partition.to_string(), record.offset.to_string()];
        let own = record.headers.into_iter().map(|(name, value)| (name, Some(value)));
        Self {
            key: record.key,
            value: record.value,
            headers: own.chain(document.about(place)).collect(),
            own_topic: Some(record.topic).filter(|topic| is_topic(topic) && *topic != self.topic),
            fault: record.fault.map(|fault| format!("what Lambda wrote of it cannot be used: {fault}")),
            ..self.at_its_place()
        }
    }

    /// What stands in for records that Lambda left out.
    fn left_out(&self, document: &Document, place: [String; 3]) -> Self {
        let bytes = document.batch.get("payloadSize").and_then(Value::as_u64).unwrap_or_default();
        let size = (VALUE_BYTES.to_owned(), Some(bytes.to_string().into_bytes()));
        Self { headers: document.about(place).chain([size]).collect(), ..self.at_its_place() }
    }

    /// An empty letter where this one lies.
    fn at_its_place(&self) -> Self {
        Self {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            written_ms: self.written_ms,
            key: None,
            value: None,
            headers: Vec::new(),
            own_topic: None,
            fault: None,
        }
    }
}

/// Lambda's document.
struct Document {
    /// `KafkaBatchInfo`.
    batch: Map<String, Value>,
    condition: Option<String>,
    error: Option<String>,
    /// The event's lists of records, by topic and partition.
    lanes: Map<String, Value>,
}

impl Document {
    /// Reads it, if it is one: no record of ours has these two fields.
    fn read(value: &[u8]) -> Option<Self> {
        let Ok(Value::Object(mut document)) = serde_json::from_slice(value) else { return None };
        let mut object = |name: &str| match document.remove(name) {
            Some(Value::Object(fields)) => Some(fields),
            _ => None,
        };
        let (request, batch) = (object("requestContext")?, object("KafkaBatchInfo")?);
        let response = object("responseContext").unwrap_or_default();
        // Other destinations have the event as text.
        let payload = match document.remove("payload") {
            Some(Value::String(text)) => serde_json::from_str(&text).unwrap_or_default(),
            payload => payload.unwrap_or_default(),
        };
        let lanes = match payload {
            Value::Object(mut event) => event.remove("records"),
            _ => None,
        };
        let text = |fields: &Map<String, Value>, name: &str| fields.get(name)?.as_str().map(str::to_owned);
        Some(Self {
            condition: text(&request, "condition"),
            error: text(&response, "functionError"),
            lanes: lanes.and_then(|lanes| lanes.as_object().cloned()).unwrap_or_default(),
            batch,
        })
    }

    fn records(&self) -> Vec<Record> {
        self.lanes.iter().flat_map(|(lane, list)| record::lane(lane, list.clone())).collect()
    }

    /// Topic, partition and first offset of each list that was left out, as far as they are known: the guide shows
    /// `recordsInfo` for a batch, by topic and partition, and `recordInfo` with no more than an offset for one record.
    fn places(&self, letter: &Letter) -> Vec<[String; 3]> {
        let offset = |info: &Value, name: &str| match info.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) => number.to_string(),
            _ => UNKNOWN.to_owned(),
        };
        if let Some(lanes) =
            self.batch.get("recordsInfo").and_then(Value::as_object).filter(|l| !l.is_empty())
        {
            return lanes
                .iter()
                .map(|(lane, info)| {
                    let (topic, partition) = lane.rsplit_once('-').unwrap_or((lane, UNKNOWN));
                    [topic.to_owned(), partition.to_owned(), offset(info, "firstRecordOffset")]
                })
                .collect();
        }
        let topic = letter.topic.strip_suffix("-dlq").unwrap_or(UNKNOWN).to_owned();
        let info = self.batch.get("recordInfo").unwrap_or(&Value::Null);
        vec![[topic, UNKNOWN.to_owned(), offset(info, "offset")]]
    }

    /// What is said about a record of this place, in the headers that `notify-me poll` adds.
    fn about(&self, place: [String; 3]) -> impl Iterator<Item = (String, Option<Vec<u8>>)> + use<> {
        let [topic, partition, offset] = place;
        let said = [
            ("failure.reason", self.condition.clone()),
            ("failure.error", self.error.clone()),
            ("failure.topic", Some(topic)),
            ("failure.partition", Some(partition)),
            ("failure.offset", Some(offset)),
        ];
        said.into_iter().filter_map(|(name, text)| Some((name.to_owned(), Some(text?.into_bytes()))))
    }
}

/// Stands for a part of a place that is not given.
const UNKNOWN: &str = "?";

/// Whether Kafka takes a text as a topic's name ("topic naming" in its documentation).
fn is_topic(name: &str) -> bool {
    (1..=249).contains(&name.len())
        && name != "."
        && name != ".."
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use serde_json::json;

    use super::*;

    fn letter(value: &Value) -> Letter {
        Letter {
            topic: "item-restocked-dlq".to_owned(),
            partition: 0,
            offset: 7,
            written_ms: Some(0),
            key: None,
            value: Some(value.to_string().into_bytes()),
            headers: Vec::new(),
            own_topic: None,
            fault: None,
        }
    }

    fn document(payload: &Value) -> Value {
        json!({
            "requestContext": { "requestId": "r", "functionArn": "arn:f", "condition": "RetriesExhausted",
                "approximateInvokeCount": 101 },
            "responseContext": { "statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled" },
            "version": "1.0",
            "timestamp": "2026-11-25T00:00:00.000Z",
            "KafkaBatchInfo": { "batchSize": 2, "eventSourceArn": "arn:k", "payloadSize": 162 },
            "payload": payload,
        })
    }

    fn event() -> Value {
        json!({ "eventSource": "aws:kafka", "records": { "item-restocked-2": [
            { "topic": "item-restocked", "partition": 2, "offset": 41, "timestamp": 1, "key": "cDE=", "value": "cDE=",
              "headers": [{ "trace": [97, -61, -92] }] },
            { "topic": "item-restocked", "partition": 2, "offset": 42, "timestamp": 1, "value": null, "headers": [] },
        ] } })
    }

    #[test]
    fn each_record_of_lambdas_document_is_a_letter_that_says_why_and_from_where() {
        for payload in [event(), json!(event().to_string())] {
            let letters = letter(&document(&payload)).unwrapped();
            assert_eq!(letters.len(), 2);
            let first = &letters[0];
            assert_eq!(first.reason().as_deref(), Some("RetriesExhausted: Unhandled"));
            assert_eq!(first.source().as_deref(), Some("item-restocked-2@41"));
            assert_eq!((first.key.as_deref(), first.value.as_deref()), (Some(&b"p1"[..]), Some(&b"p1"[..])));
            assert_eq!(first.headers[0], ("trace".to_owned(), Some("aä".as_bytes().to_vec())));
            assert_eq!(
                (first.place(), first.own_topic.as_deref()),
                (letters[1].place(), Some("item-restocked"))
            );
            assert_eq!(first.place(), "item-restocked-dlq-0@7");
            assert_eq!((letters[1].value.as_deref(), letters[1].why_not()), (None, None), "a tombstone");
        }
    }

    #[test]
    fn the_document_is_read_without_what_aws_may_leave_out_and_with_what_it_may_write_otherwise() {
        let mut bare = document(&event());
        for field in ["responseContext", "version", "timestamp"] {
            bare[field] = Value::Null;
        }
        bare["KafkaBatchInfo"] = json!({});
        let record = &mut bare["payload"]["records"]["item-restocked-2"][0];
        for field in ["topic", "partition", "timestamp"] {
            record.as_object_mut().unwrap().remove(field);
        }
        record["offset"] = json!("41");
        record["headers"] = json!([{ "trace": "YcOk" }]);
        let letters = letter(&bare).unwrapped();
        assert_eq!(letters[0].reason().as_deref(), Some("RetriesExhausted"));
        assert_eq!(letters[0].source().as_deref(), Some("item-restocked-2@41"));
        assert_eq!(letters[0].headers[0], ("trace".to_owned(), Some("aä".as_bytes().to_vec())));
        assert_eq!((letters[0].own_topic.as_deref(), letters[0].why_not()), (Some("item-restocked"), None));
    }

    #[test]
    fn what_is_no_record_there_is_shown_and_not_written_back_and_those_beside_it_are() {
        for useless in
            [json!(null), json!(5), json!({ "offset": 9, "value": "%%" }), json!({ "value": "cDE=" })]
        {
            let mut event = event();
            event["records"]["item-restocked-2"].as_array_mut().unwrap().insert(0, useless.clone());
            let letters = letter(&document(&event)).unwrapped();
            assert_eq!(letters.len(), 3, "{useless}");
            assert!(letters[0].value.is_some(), "{useless}: it is no tombstone");
            let why = letters[0].why_not().unwrap();
            assert!(why.contains("cannot be used"), "{useless}: {why}");
            assert_eq!((letters[1].why_not(), letters[2].why_not()), (None, None), "{useless}");
        }
    }

    #[test]
    fn a_document_without_its_records_stands_in_for_them_and_says_where_they_are() {
        let none = [json!(null), json!({}), json!(""), json!("{"), json!({ "records": {} })];
        let lanes = json!({
            "item-restocked-0": { "firstRecordOffset": "41", "lastRecordOffset": "43" },
            "item-restocked-2": { "firstRecordOffset": 7 },
        });
        for (info, about, sources) in [
            ("recordsInfo", lanes, vec!["item-restocked-0@41", "item-restocked-2@7"]),
            ("recordInfo", json!({ "offset": "49601" }), vec!["item-restocked-?@49601"]),
            ("recordInfo", Value::Null, vec!["item-restocked-?@?"]),
        ] {
            for payload in &none {
                let mut document = document(payload);
                document["KafkaBatchInfo"][info] = about.clone();
                let letters = letter(&document).unwrapped();
                let said: Vec<String> = letters.iter().map(|letter| letter.source().unwrap()).collect();
                assert_eq!(said, sources, "{payload}");
                for letter in letters {
                    assert!(letter.is_stand_in() && letter.own_topic.is_none());
                    assert_eq!(letter.value_bytes(), Some(162));
                    assert!(letter.why_not().unwrap().contains("too large"), "{:?}", letter.why_not());
                }
            }
        }
    }

    #[test]
    fn any_other_letter_stays_as_it_is() {
        for value in [
            json!({ "productId": "p" }),
            json!("p"),
            json!({ "requestContext": {} }),
            json!({ "requestContext": 1, "KafkaBatchInfo": {} }),
        ] {
            let letters = letter(&value).unwrapped();
            assert_eq!(
                (letters.len(), letters[0].value.clone().unwrap()),
                (1, value.to_string().into_bytes())
            );
        }
    }

    #[test]
    fn a_record_that_only_looks_like_lambdas_document_is_not_opened() {
        let mut forged = letter(&document(&event()));
        forged.headers.push(("notify-me-reason".to_owned(), Some(b"body: no product".to_vec())));
        let letters = forged.unwrapped();
        assert_eq!((letters.len(), letters[0].own_topic.as_deref()), (1, None));
    }

    #[test]
    fn a_record_goes_back_to_a_topic_and_never_to_where_its_letter_lies() {
        for (lane, own) in [
            ("orders-3", Some("orders")),
            ("notification-batches-0", Some("notification-batches")),
            ("item-restocked-dlq-0", None),
            ("a b-0", None),
            ("..-0", None),
        ] {
            let mut event = event();
            let list = event["records"]["item-restocked-2"].take();
            event["records"] = json!({ lane: list });
            let letters = letter(&document(&event)).unwrapped();
            assert_eq!(letters[0].own_topic.as_deref(), own, "{lane}");
        }
    }
}
