//! Reads a function's answer when the mapping takes partial batch responses.
//! An answer that cannot be trusted is a failure of the whole batch, as on AWS.

use serde_json::Value;

use super::record::Record;

/// What an answer says about its batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Success,
    /// Everything below this offset is done; it and what follows is to be tried again.
    FailedFrom(i64),
    /// Not a partial batch response, or it names what was not in the batch.
    Invalid(&'static str),
}

/// Judges an answer against the batch, which holds at least one record of one partition.
///
/// A null answer, an empty object, and a null or empty list are full successes.
pub(super) fn judge(answer: &[u8], batch: &[Record]) -> Verdict {
    if answer.iter().all(u8::is_ascii_whitespace) {
        return Verdict::Success;
    }
    let Ok(answer) = serde_json::from_slice::<Value>(answer) else {
        return Verdict::Invalid("the answer is not JSON");
    };
    let failures = match &answer {
        Value::Null => return Verdict::Success,
        Value::Object(fields) => match fields.get("batchItemFailures") {
            None | Some(Value::Null) => return Verdict::Success,
            Some(Value::Array(failures)) => failures,
            Some(_) => return Verdict::Invalid("batchItemFailures is not a list"),
        },
        _ => return Verdict::Invalid("the answer is not an object"),
    };
    let mut lowest = None;
    for failure in failures {
        match offset_of(failure, batch) {
            Ok(offset) => lowest = Some(lowest.map_or(offset, |low: i64| low.min(offset))),
            Err(reason) => return Verdict::Invalid(reason),
        }
    }
    lowest.map_or(Verdict::Success, Verdict::FailedFrom)
}

fn offset_of(failure: &Value, batch: &[Record]) -> Result<i64, &'static str> {
    let identifier = failure
        .get("itemIdentifier")
        .and_then(Value::as_object)
        .ok_or("an item has no itemIdentifier object")?;
    // AWS's documentation has had both names; Powertools and we write the first.
    let lane = ["partition", "topic-partition"].iter().find_map(|name| identifier.get(*name));
    let lane = lane.and_then(Value::as_str).ok_or("an itemIdentifier has no partition")?;
    let offset = identifier.get("offset").and_then(Value::as_i64).ok_or("an itemIdentifier has no offset")?;
    batch
        .iter()
        .find(|record| record.offset == offset)
        .filter(|record| lane == format!("{}-{}", record.topic, record.partition))
        .map(|record| record.offset)
        .ok_or("an itemIdentifier names a record that was not in the batch")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::record::TimestampType;
    use super::*;

    fn batch() -> Vec<Record> {
        [4, 5, 9]
            .map(|offset| Record {
                topic: Arc::from("t"),
                partition: 0,
                offset,
                timestamp: 0,
                timestamp_type: TimestampType::CreateTime,
                key: None,
                value: None,
                headers: vec![],
            })
            .to_vec()
    }

    fn verdict(answer: &str) -> Verdict {
        judge(answer.as_bytes(), &batch())
    }

    fn item(lane: &str, offset: i64) -> String {
        format!(r#"{{"itemIdentifier":{{"partition":"{lane}","offset":{offset}}}}}"#)
    }

    #[test]
    fn both_names_that_the_partition_has_had_are_read() {
        let older = item("t-0", 9).replace("partition", "topic-partition");
        for answer in [item("t-0", 9), older] {
            assert_eq!(verdict(&format!(r#"{{"batchItemFailures":[{answer}]}}"#)), Verdict::FailedFrom(9));
        }
    }

    #[test]
    fn nothing_reported_is_a_full_success() {
        for answer in ["", "null", "{}", r#"{"batchItemFailures":null}"#, r#"{"batchItemFailures":[]}"#] {
            assert_eq!(verdict(answer), Verdict::Success, "{answer}");
        }
    }

    #[test]
    fn the_lowest_reported_offset_counts() {
        let answer = format!(r#"{{"batchItemFailures":[{},{}]}}"#, item("t-0", 9), item("t-0", 5));
        assert_eq!(verdict(&answer), Verdict::FailedFrom(5));
    }

    #[test]
    fn what_cannot_be_trusted_is_a_failure_of_the_whole_batch() {
        let list = |items: &str| format!(r#"{{"batchItemFailures":[{items}]}}"#);
        for answer in [
            "{".to_owned(),
            r#""ok""#.to_owned(),
            r#"{"batchItemFailures":7}"#.to_owned(),
            list(&item("t-0", 6)),
            list(&item("t-1", 5)),
            list(&item("other-0", 5)),
            list(r#"{"itemIdentifier":""}"#),
            list(r#"{"itemIdentifier":null}"#),
            list(r#"{"itemidentifier":{"topic-partition":"t-0","offset":5}}"#),
            list(r#"{"itemIdentifier":{"topic-partition":"t-0","offset":"5"}}"#),
            list(&format!("{},{}", item("t-0", 5), item("t-0", 77))),
        ] {
            assert!(matches!(verdict(&answer), Verdict::Invalid(_)), "{answer}");
        }
    }
}
