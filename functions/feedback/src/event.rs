//! What `feedback` is invoked with, and what it answers.

use domain::Invalid;
use domain::feedback::ACCEPTED_EVENT;
use serde::Serialize;
use serde_json::Value;

use crate::InVain;

const ACCEPTED: &str = "an SQS event source's event, an SNS event, or an event of SES's";

/// A message of a queue or of a topic, or an event that came alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// The id under which the answer names it.
    pub(crate) id: String,
    /// What it holds.
    pub(crate) body: String,
}

/// What invoked the function.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Trigger {
    messages: Vec<Message>,
    /// A queue, which takes messages back one by one.
    is_queue: bool,
}

/// Why an invocation failed as a whole. The name of the kind is the `errorType` in metrics.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The payload is nothing that the function takes.
    #[error("the event cannot be used: {0}")]
    Event(Invalid),
    /// What came without a queue could not be worked on.
    #[error("{count} events could not be worked on; the first: {first}")]
    Work {
        /// How many.
        count: usize,
        /// Why.
        first: String,
    },
}

impl From<Failed> for lambda_runtime::Diagnostic {
    fn from(failed: Failed) -> Self {
        let error_type = match &failed {
            Failed::Event(_) => "UnusableEvent",
            Failed::Work { .. } => "WorkFailed",
        };
        Self { error_type: error_type.to_owned(), error_message: failed.to_string() }
    }
}

impl Trigger {
    /// Reads an invocation's payload.
    pub(crate) fn read(payload: Value) -> Result<Self, Failed> {
        if let Some(records) = payload.get("Records").and_then(Value::as_array) {
            let read = records.iter().map(|record| queued(record).or_else(|| published(record)));
            let messages: Option<Vec<Message>> = read.collect();
            let messages = messages.ok_or_else(|| {
                Failed::Event(Invalid::new("Records", "holds neither messages of SQS nor of SNS", ACCEPTED))
            })?;
            let is_queue = records.iter().all(|record| queued(record).is_some());
            return Ok(Self { messages, is_queue });
        }
        if !payload.is_object() {
            return Err(Failed::Event(Invalid::new("event", "is not an object", ACCEPTED_EVENT)));
        }
        let alone = Message { id: String::new(), body: payload.to_string() };
        Ok(Self { messages: vec![alone], is_queue: false })
    }

    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// The answer where these messages must come again: a queue is told which.
    pub(crate) fn answer(&self, in_vain: &InVain) -> Result<Value, Failed> {
        if !self.is_queue {
            return match in_vain.values().next() {
                Some(first) => Err(Failed::Work { count: in_vain.len(), first: first.clone() }),
                None => Ok(Value::Null),
            };
        }
        let failed = in_vain.keys().filter_map(|index| self.messages.get(*index));
        let failures = failed.map(|message| ItemFailure { item_identifier: &message.id }).collect();
        let response = PartialResponse { batch_item_failures: failures };
        serde_json::to_value(response)
            .map_err(|error| Failed::Work { count: in_vain.len(), first: error.to_string() })
    }
}

/// A message of SQS: "Using Lambda with Amazon SQS", Lambda developer guide.
fn queued(record: &Value) -> Option<Message> {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    Some(Message { id: text("messageId")?.to_owned(), body: text("body")?.to_owned() })
}

/// A message of SNS, for a topic that invokes the function itself.
fn published(record: &Value) -> Option<Message> {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    let body = serde_json::json!({ "Type": "Notification", "Message": text("/Sns/Message")? });
    Some(Message { id: text("/Sns/MessageId").unwrap_or_default().to_owned(), body: body.to_string() })
}

/// The partial batch response: "Handling errors for an SQS event source in Lambda", Lambda developer guide.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartialResponse<'a> {
    batch_item_failures: Vec<ItemFailure<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure<'a> {
    item_identifier: &'a str,
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_queue_is_told_which_messages_must_come_again_and_any_other_source_that_it_failed() {
        let message = |id: &str| json!({ "messageId": id, "body": "{}", "eventSource": "aws:sqs" });
        let queue = Trigger::read(json!({ "Records": [message("a"), message("b"), message("c")] })).unwrap();
        let in_vain = InVain::from([(1, "x".to_owned()), (2, "y".to_owned())]);
        let answer = queue.answer(&in_vain).unwrap();
        assert_eq!(
            answer,
            json!({ "batchItemFailures": [{ "itemIdentifier": "b" }, { "itemIdentifier": "c" }] })
        );
        assert_eq!(queue.answer(&InVain::new()).unwrap(), json!({ "batchItemFailures": [] }));
        let topic = json!({ "Records": [{ "EventSource": "aws:sns", "Sns": { "Message": "{}" } }] });
        for alone in [json!({ "detail-type": "Email Bounced", "detail": {} }), topic] {
            let alone = Trigger::read(alone).unwrap();
            assert_eq!(alone.messages().len(), 1);
            assert!(alone.answer(&InVain::new()).is_ok());
            let failed = alone.answer(&InVain::from([(0, "x".to_owned())])).unwrap_err();
            assert_eq!(lambda_runtime::Diagnostic::from(failed).error_type, "WorkFailed");
        }
    }

    #[test]
    fn what_is_no_batch_and_no_event_is_refused() {
        for payload in [json!([]), json!("x"), json!({ "Records": [{ "kinesis": {} }] })] {
            assert!(matches!(Trigger::read(payload), Err(Failed::Event(_))));
        }
    }
}
