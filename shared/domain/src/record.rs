//! Records as an event source mapping gives them: key and value in base 64, header values as signed bytes. What a record
//! carries beside its value is not needed to plan by, so whatever form it has, it is read as far as it is understood
//! (`aws_lambda_events` refuses the whole event for one time past its calendar). A record that is of no use is a fault of
//! its own, and no reason to refuse those beside it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use crate::Invalid;

const ACCEPTED: &str = "a record with an offset and a base64 value";

/// A record of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its topic.
    pub topic: String,
    /// Its partition; -1 where it is unknown.
    pub partition: i64,
    /// Its offset; -1 where it is unknown.
    pub offset: i64,
    /// When it was written, in Unix milliseconds; not to be trusted further than its writer. -1 where it is unknown.
    pub written_ms: i64,
    /// Its key.
    pub key: Option<Vec<u8>>,
    /// Its value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Its headers, in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Why it is of no use, where that is known already: it goes to the dead letters, by itself.
    pub fault: Option<Invalid>,
}

impl Record {
    /// Where it lies: topic, partition and offset.
    pub fn place(&self) -> String {
        format!("{}-{}@{}", self.topic, self.partition, self.offset)
    }

    /// A record that says too little of itself: all of it is its value, so that nothing is lost.
    fn useless(place: (String, i64), value: &Value, problem: &str) -> Self {
        let (topic, partition) = place;
        Self {
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
}

/// The records of one list of an event, which stands there under `lane`: topic, hyphen, partition.
pub fn lane(lane: &str, list: Value) -> Vec<Record> {
    match list {
        Value::Array(list) => list.into_iter().map(|value| record(lane, value)).collect(),
        Value::Null => Vec::new(),
        other => vec![Record::useless(place(lane, &other), &other, "is not in a list")],
    }
}

fn record(lane: &str, value: Value) -> Record {
    let (topic, partition) = place(lane, &value);
    let Value::Object(fields) = &value else {
        return Record::useless((topic, partition), &value, "is not an object");
    };
    let Some(offset) = fields.get("offset").and_then(integer) else {
        return Record::useless((topic, partition), &value, "has no offset");
    };
    let mut record = Record {
        topic,
        partition,
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

/// Topic and partition: what the lane says, because by that name the mapping knows the record in a partial response. Only
/// where the lane does not say is the record itself asked.
fn place(lane: &str, value: &Value) -> (String, i64) {
    if let Some(place) = named(lane) {
        return place;
    }
    let topic = value.get("topic").and_then(Value::as_str).filter(|topic| !topic.is_empty()).unwrap_or(lane);
    (topic.to_owned(), value.get("partition").and_then(integer).unwrap_or(-1))
}

/// Topic and partition of a lane. Topics may have hyphens themselves.
fn named(lane: &str) -> Option<(String, i64)> {
    let (topic, partition) = lane.rsplit_once('-')?;
    let partition: i32 = partition.parse().ok()?;
    (!topic.is_empty() && partition >= 0).then(|| (topic.to_owned(), partition.into()))
}

/// A whole number in any of the forms that JSON writers give it: `7`, `"7"`, `7.0`, `7e0`.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().or_else(|| whole(number.as_f64()?)),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

/// A number with a point that is whole, as far as such numbers can tell.
fn whole(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "it is whole and within bounds")]
    (number.fract() == 0.0 && number.abs() < EXACT).then_some(number as i64)
}

/// The value; `None` is a tombstone. One that is not base 64 is given as it stands, with what is wrong.
fn value_of(fields: &Map<String, Value>) -> Result<Option<Vec<u8>>, (Vec<u8>, &'static str)> {
    match fields.get("value") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => match STANDARD.decode(text) {
            Ok(value) => Ok(Some(value)),
            Err(_) => Err((text.clone().into_bytes(), "is not valid base64")),
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
    use serde_json::json;

    use super::*;

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
    fn a_record_has_the_place_of_its_list_whatever_it_says_itself_or_its_own_where_the_list_says_none() {
        let place = |lane: &str, fields: Value| {
            let record = record(lane, fields);
            assert!(record.fault.is_none(), "{lane}");
            record.place()
        };
        assert_eq!(place("a-b-3", json!({"offset": 8, "value": "dg=="})), "a-b-3@8");
        for odd in [json!({}), json!(""), json!("c"), json!(-1), json!("7"), json!(1e300), json!(u64::MAX)] {
            let fields = json!({"topic": odd, "partition": odd, "offset": 8, "value": "dg=="});
            assert_eq!(place("a-b-3", fields), "a-b-3@8", "{odd}");
        }
        for lane in ["", "0", "t", "-0", "t-", "t-x", "t--1"] {
            let fields = json!({"topic": "c", "partition": 2, "offset": 8, "value": "dg=="});
            let expected = if lane == "t--1" { "t--1@8" } else { "c-2@8" };
            assert_eq!(place(lane, fields), expected, "{lane}");
        }
    }

    #[test]
    fn offsets_and_times_are_read_in_any_form_of_a_whole_number() {
        for eight in [json!(8), json!("8"), json!(" 8 "), json!(8.0), json!(8e0)] {
            let record = record("t-0", json!({"offset": eight, "timestamp": eight, "value": "dg=="}));
            assert_eq!((record.offset, record.written_ms), (8, 8), "{eight}");
        }
        for odd in [json!(8.5), json!(1e300), json!(-1e300), json!(u64::MAX), json!("8.0.0"), json!([8])] {
            let record = record("t-0", json!({"offset": odd, "value": "dg=="}));
            assert!(record.fault.is_some() && record.offset == -1, "{odd}");
        }
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
