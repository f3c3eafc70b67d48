//! What Lambda's own failure destination `kafka://TOPIC` writes: not the record, but a JSON document about the failed invocation
//! with the records in it, as an event has them ("Capturing discarded batches" and "Using a Kafka topic as an on-failure
//! destination" in the Lambda developer guide). Each of these records is a dead letter of its own here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::letter::{Letter, VALUE_BYTES};

impl Letter {
    /// The dead letters in this one: the records of Lambda's document, or else itself. A document without records (they
    /// were too large for it) stands in for them, as one whose value is at its source only.
    pub(super) fn unwrapped(self) -> Vec<Self> {
        let Some(document) = self.value.as_deref().and_then(document) else { return vec![self] };
        let reason = document.pointer("/requestContext/condition").and_then(Value::as_str);
        let error = document.pointer("/responseContext/functionError").and_then(Value::as_str);
        let about: Vec<(&str, String)> = [("failure.reason", reason), ("failure.error", error)]
            .into_iter()
            .filter_map(|(name, text)| Some((name, text?.to_owned())))
            .collect();
        let records = records(&document);
        if records.is_empty() {
            let info = &document["KafkaBatchInfo"];
            let bytes = info.get("payloadSize").map_or_else(|| "0".to_owned(), Value::to_string);
            return vec![self.with(None, None, Vec::new(), &about, vec![(VALUE_BYTES, bytes)])];
        }
        records
            .iter()
            .map(|(lane, record)| {
                let (topic, partition) = lane.rsplit_once('-').unwrap_or((lane, "0"));
                let offset = record.get("offset").map_or_else(|| "-1".to_owned(), Value::to_string);
                let text = |name: &str| record.get(name).and_then(Value::as_str).map(str::to_owned);
                let place = vec![
                    ("failure.topic", text("topic").unwrap_or_else(|| topic.to_owned())),
                    ("failure.partition", partition.to_owned()),
                    ("failure.offset", offset),
                ];
                let bytes =
                    |name: &str| text(name).map(|text| STANDARD.decode(&text).unwrap_or(text.into_bytes()));
                self.with(bytes("key"), bytes("value"), headers(&record["headers"]), &about, place)
            })
            .collect()
    }

    /// A dead letter at this one's place with these parts.
    fn with(
        &self,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        own: Vec<(String, Option<Vec<u8>>)>,
        about: &[(&str, String)],
        more: Vec<(&str, String)>,
    ) -> Self {
        let texts = about.iter().map(|(name, text)| (*name, text.clone())).chain(more);
        let texts = texts.map(|(name, text)| (name.to_owned(), Some(text.into_bytes())));
        Self {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            written_ms: self.written_ms,
            key,
            value,
            headers: own.into_iter().chain(texts).collect(),
        }
    }
}

/// Lambda's document, if it is one: no record of ours has these two fields.
fn document(value: &[u8]) -> Option<Value> {
    let document: Value = serde_json::from_slice(value).ok()?;
    (document.get("KafkaBatchInfo").is_some() && document.get("requestContext").is_some()).then_some(document)
}

/// The records with the lists that they stand in; the payload is an event, or its text.
fn records(document: &Value) -> Vec<(String, Value)> {
    let payload = match document.get("payload") {
        Some(Value::String(text)) => serde_json::from_str(text).unwrap_or_default(),
        Some(payload) => payload.clone(),
        None => Value::Null,
    };
    let lanes = payload.get("records").and_then(Value::as_object).into_iter().flatten();
    let of_lane = |(lane, list): (&String, &Value)| -> Vec<(String, Value)> {
        list.as_array().into_iter().flatten().map(|record| (lane.clone(), record.clone())).collect()
    };
    lanes.flat_map(of_lane).collect()
}

/// Header values as an event has them: signed bytes.
fn headers(headers: &Value) -> Vec<(String, Option<Vec<u8>>)> {
    let byte = |number: &Value| i8::try_from(number.as_i64()?).ok().map(i8::cast_unsigned);
    let bytes = |value: &Value| value.as_array()?.iter().map(byte).collect::<Option<Vec<u8>>>();
    let objects = headers.as_array().into_iter().flatten().filter_map(Value::as_object).flatten();
    objects.map(|(name, value)| (name.clone(), bytes(value))).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
    use super::*;
    use serde_json::json;

    fn letter(value: &Value) -> Letter {
        Letter {
            topic: "item-restocked-dlq".to_owned(),
            partition: 0,
            offset: 7,
            written_ms: Some(0),
            key: None,
            value: Some(value.to_string().into_bytes()),
            headers: Vec::new(),
        }
    }

    fn document(payload: Value) -> Value {
        json!({
            "requestContext": { "requestId": "r", "functionArn": "arn:f", "condition": "RetryAttemptsExhausted",
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
            let letters = letter(&document(payload)).unwrapped();
            assert_eq!(letters.len(), 2);
            let first = &letters[0];
            assert_eq!(first.reason().as_deref(), Some("RetryAttemptsExhausted: Unhandled"));
            assert_eq!(first.source().as_deref(), Some("item-restocked-2@41"));
            assert_eq!((first.key.as_deref(), first.value.as_deref()), (Some(&b"p1"[..]), Some(&b"p1"[..])));
            assert_eq!(first.headers[0], ("trace".to_owned(), Some("aä".as_bytes().to_vec())));
            assert_eq!(first.place(), "item-restocked-dlq-0@7");
            assert_eq!((letters[1].value.as_deref(), letters[1].is_stand_in()), (None, false), "a tombstone");
        }
    }

    #[test]
    fn a_document_without_its_records_stands_in_for_them() {
        for payload in [json!(null), json!({}), json!("")] {
            let letters = letter(&document(payload)).unwrapped();
            assert_eq!((letters.len(), letters[0].is_stand_in()), (1, true));
            assert_eq!(letters[0].value_bytes(), Some(162));
        }
    }

    #[test]
    fn any_other_letter_stays_as_it_is() {
        for value in [json!({ "productId": "p" }), json!("p"), json!({ "requestContext": {} })] {
            let letters = letter(&value).unwrapped();
            assert_eq!(
                (letters.len(), letters[0].value.clone().unwrap()),
                (1, value.to_string().into_bytes())
            );
        }
    }
}
