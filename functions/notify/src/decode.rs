//! Records as an event source mapping gives them: key and value in base 64, header values as signed bytes. What a record
//! carries beside its value is not needed to plan by, so whatever form it has, it is read as far as it is understood
//! (`aws_lambda_events` refuses the whole event for one time past its calendar). A record that is of no use is a fault of
//! its own, and no reason to refuse those beside it.

use base64::{Engine, engine::general_purpose::STANDARD};
use domain::Invalid;
use serde_json::{Map, Value};

use crate::event::Record;

const ACCEPTED: &str = "a record with topic, partition, offset and a value in base 64";

/// The records of one list of an event, which stands there under `lane`: topic, hyphen, partition.
pub(crate) fn lane(lane: &str, list: Value) -> Vec<Record> {
    match list {
        Value::Array(list) => list.into_iter().map(|value| record(lane, value)).collect(),
        Value::Null => Vec::new(),
        other => vec![useless(lane, &other, "is in no list")],
    }
}

fn record(lane: &str, value: Value) -> Record {
    let Value::Object(fields) = &value else { return useless(lane, &value, "is not an object") };
    let (topic, partition) = named(lane);
    let Some(offset) = fields.get("offset").and_then(integer) else {
        return useless(lane, &value, "has no offset");
    };
    let mut record = Record {
        topic: fields.get("topic").and_then(Value::as_str).map_or(topic, str::to_owned),
        partition: fields.get("partition").and_then(integer).unwrap_or(partition),
        offset,
        written_ms: fields.get("timestamp").and_then(integer).unwrap_or(-1),
        key: fields.get("key").and_then(bytes),
        value: None,
        headers: fields.get("headers").map(headers).unwrap_or_default(),
        fault: None,
    };
    match value_of(fields) {
        Ok(value) => record.value = value,
        Err((raw, problem)) => {
            record.value = Some(raw);
            record.fault = Some(Invalid::new("value", problem, ACCEPTED));
        }
    }
    record
}

/// A record that says too little of itself: all of it is its value, so that nothing is lost.
fn useless(lane: &str, value: &Value, problem: &str) -> Record {
    let (topic, partition) = named(lane);
    Record {
        topic,
        partition,
        offset: value.get("offset").and_then(integer).unwrap_or(-1),
        written_ms: -1,
        key: None,
        value: Some(value.to_string().into_bytes()),
        headers: Vec::new(),
        fault: Some(Invalid::new("record", problem, ACCEPTED)),
    }
}

/// Topic and partition of a lane. Topics may have hyphens themselves.
fn named(lane: &str) -> (String, i64) {
    let parts =
        lane.rsplit_once('-').and_then(|(topic, number)| Some((topic.to_owned(), number.parse().ok()?)));
    parts.unwrap_or_else(|| (lane.to_owned(), -1))
}

/// A whole number in any of the forms that JSON writers give it.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// The value; `None` is a tombstone. One that is not base 64 is given as it stands, with what is wrong.
fn value_of(fields: &Map<String, Value>) -> Result<Option<Vec<u8>>, (Vec<u8>, &'static str)> {
    match fields.get("value") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => match STANDARD.decode(text) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err((text.clone().into_bytes(), "is not base 64")),
        },
        Some(other) => Err((other.to_string().into_bytes(), "is not text")),
    }
}

/// Bytes in base 64, as signed or unsigned numbers, or, failing that, as what stands there.
fn bytes(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(STANDARD.decode(text).unwrap_or_else(|_| text.clone().into_bytes())),
        Value::Array(numbers) => {
            let byte = |number: &Value| {
                let number = number.as_i64()?;
                i8::try_from(number).map(i8::cast_unsigned).or_else(|_| u8::try_from(number)).ok()
            };
            let bytes: Option<Vec<u8>> = numbers.iter().map(byte).collect();
            Some(bytes.unwrap_or_else(|| value.to_string().into_bytes()))
        }
        other => Some(other.to_string().into_bytes()),
    }
}

/// Headers: a list of objects, each with names and values, or one such object.
fn headers(value: &Value) -> Vec<(String, Vec<u8>)> {
    let of = |fields: &Map<String, Value>| -> Vec<(String, Vec<u8>)> {
        fields.iter().map(|(name, value)| (name.clone(), bytes(value).unwrap_or_default())).collect()
    };
    match value {
        Value::Object(fields) => of(fields),
        Value::Array(list) => list.iter().filter_map(Value::as_object).flat_map(of).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(field: &str, value: Option<Value>) -> Record {
        let mut fields = json!({"topic": "a-b", "partition": 3, "offset": 8, "timestamp": 1_700_000_000_000_i64,
            "timestampType": "CREATE_TIME", "key": "aw==", "value": "dg==", "headers": [{"h": [104, -61, -92]}]});
        match value {
            Some(value) => fields[field] = value,
            None => drop(fields.as_object_mut().and_then(|fields| fields.remove(field))),
        }
        record("a-b-3", fields)
    }

    #[test]
    fn whatever_a_record_carries_beside_its_value_it_is_read() {
        let odd = [
            json!(null),
            json!(true),
            json!(-1),
            json!(1.5),
            json!(u64::MAX),
            json!(i64::MAX),
            json!(i64::MIN),
            json!("2026-11-25T00:00:00Z"),
            json!("not base 64!"),
            json!([]),
            json!([null, 5, "x", {"n": null}, {"n": {"deep": []}}, {"n": [300]}]),
            json!({}),
            json!({"h": "aGk="}),
        ];
        for field in ["timestamp", "timestampType", "key", "headers", "topic", "partition", "unknown"] {
            for value in odd.iter().cloned().map(Some).chain([None]) {
                let record = read(field, value.clone());
                assert!(record.fault.is_none(), "{field} {value:?}");
                assert_eq!(
                    (record.value.as_deref(), record.offset),
                    (Some(&b"v"[..]), 8),
                    "{field} {value:?}"
                );
            }
        }
        assert_eq!(read("timestamp", None).written_ms, -1);
        assert_eq!(read("timestamp", Some(json!(i64::MAX))).written_ms, i64::MAX);
    }

    #[test]
    fn a_record_takes_its_place_from_its_list_where_it_does_not_say() {
        let record = record("a-b-3", json!({"offset": 8, "value": "dg=="}));
        assert_eq!((record.topic.as_str(), record.partition, record.offset), ("a-b", 3, 8));
    }

    #[test]
    fn header_values_are_read_as_bytes_as_base_64_and_as_they_stand() {
        for (value, expected) in [
            (json!([104, -61, -92]), "hä".as_bytes()),
            (json!([104, 195, 164]), "hä".as_bytes()),
            (json!("aGk="), b"hi"),
            (json!("h i"), b"h i"),
            (json!(null), b""),
        ] {
            for headers in [json!([{"h": value}]), json!({"h": value})] {
                let record = read("headers", Some(headers));
                assert_eq!(record.headers, [("h".to_owned(), expected.to_vec())], "{value}");
            }
        }
    }

    #[test]
    fn a_record_that_is_of_no_use_is_a_fault_of_its_own_and_keeps_what_it_had() {
        for value in [json!(5), json!({"v": 1}), json!("not base 64!"), json!([1])] {
            let record = read("value", Some(value.clone()));
            assert!(record.fault.is_some() && record.value.is_some(), "{value}");
        }
        for (list, count) in
            [(json!([5, null, "x", [], {}]), 5), (json!({}), 1), (json!("x"), 1), (json!(null), 0)]
        {
            let records = lane("t-0", list.clone());
            assert_eq!(records.len(), count, "{list}");
            assert!(records.iter().all(|record| record.fault.is_some() && record.topic == "t"), "{list}");
        }
        assert!(read("value", None).value.is_none() && read("value", None).fault.is_none(), "a tombstone");
    }
}
