//! What stands between SES and `feedback`: an SNS topic, an SQS queue and its event source mapping, in memory. Messages go in
//! batches, those that failed come again, and those that failed too often are dropped and said.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use jiff::Timestamp;
use lambda_host::{ACCOUNT, FEEDBACK, Host, Outcome, request_id};
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The messages of a batch: SQS's default.
const BATCH: usize = 10;
/// How many batches are worked on at once.
const SIDE_BY_SIDE: usize = 4;
/// How often a message is received before it is dead.
const MOST_RECEIVES: u32 = 3;
/// How long a message that failed is out of sight. A queue of AWS takes longer; here somebody waits.
const OUT_OF_SIGHT: Duration = Duration::from_secs(1);
/// How long a batch may wait for a free process.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long what is in the queue may take at the end.
const DRAIN_LIMIT: Duration = Duration::from_secs(10);

/// A message of the queue.
struct Message {
    id: String,
    body: String,
    receives: u32,
    visible_at: Instant,
}

/// The queue, and what invokes the function with its messages.
pub(crate) struct Queue {
    task: JoinHandle<()>,
    stop: CancellationToken,
}

impl Queue {
    /// Takes SES's events from `events`, and has the function of `host` work on them.
    pub(crate) fn start(host: Arc<Host>, region: String, events: UnboundedReceiver<String>) -> Self {
        let stop = CancellationToken::new();
        let task = tokio::spawn(work(host, region, events, stop.clone()));
        Self { task, stop }
    }

    /// Lets what is in the queue be worked on, for a bounded time.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the queue of SES's events ended badly");
        }
    }
}

async fn work(
    host: Arc<Host>,
    region: String,
    mut events: UnboundedReceiver<String>,
    stop: CancellationToken,
) {
    let mut waiting: VecDeque<Message> = VecDeque::new();
    let mut running: JoinSet<Vec<Message>> = JoinSet::new();
    let mut until: Option<Instant> = None;
    let mut open = true;
    loop {
        while running.len() < SIDE_BY_SIDE
            && let Some(batch) = batch(&mut waiting, Instant::now())
        {
            running.spawn(invoke(host.clone(), region.clone(), batch));
        }
        if until.is_some_and(|until| waiting.is_empty() && running.is_empty() || Instant::now() >= until) {
            break;
        }
        let next = waiting.iter().map(|message| message.visible_at).min();
        let full = running.len() >= SIDE_BY_SIDE;
        tokio::select! {
            () = stop.cancelled(), if until.is_none() => {
                until = Some(Instant::now() + DRAIN_LIMIT);
                // What SES has said until now.
                while let Ok(event) = events.try_recv() {
                    waiting.push_back(Message::new(&event, &region));
                }
            }
            event = events.recv(), if open && until.is_none() => match event {
                Some(event) => {
                    waiting.push_back(Message::new(&event, &region));
                    while let Ok(event) = events.try_recv() {
                        waiting.push_back(Message::new(&event, &region));
                    }
                }
                None => open = false,
            },
            Some(failed) = running.join_next() => waiting.extend(failed.unwrap_or_default()),
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() && !full => {}
            () = tokio::time::sleep_until(until.unwrap_or_else(Instant::now)), if until.is_some() => {}
        }
    }
    if !waiting.is_empty() {
        tracing::warn!(count = waiting.len(), "events of SES's were not worked on before the end");
    }
}

/// The next batch of those that are in sight.
fn batch(waiting: &mut VecDeque<Message>, now: Instant) -> Option<Vec<Message>> {
    let (mut batch, mut hidden) = (Vec::new(), VecDeque::new());
    while batch.len() < BATCH
        && let Some(message) = waiting.pop_front()
    {
        if message.visible_at <= now { batch.push(message) } else { hidden.push_back(message) }
    }
    waiting.append(&mut hidden);
    (!batch.is_empty()).then_some(batch)
}

/// Invokes the function with a batch, and gives the messages that come again.
async fn invoke(host: Arc<Host>, region: String, batch: Vec<Message>) -> Vec<Message> {
    let records: Vec<Value> = batch.iter().map(|message| message.record(&region)).collect();
    let payload = Bytes::from(json!({ "Records": records }).to_string());
    let failed = match host.invoke(FEEDBACK, payload, PATIENCE).await {
        Ok(Outcome::Answer(answer)) => failures(&answer),
        Ok(Outcome::Error(error)) => {
            tracing::warn!(cause = ?error.cause, "feedback failed; its batch comes again");
            None
        }
        Err(error) => {
            tracing::warn!(%error, "feedback was not run; its batch comes again");
            None
        }
    };
    let again =
        batch.into_iter().filter(|message| failed.as_ref().is_none_or(|ids| ids.contains(&message.id)));
    again.filter_map(Message::again).collect()
}

/// The messages that an answer names as failed; `None`: all of them, as Lambda takes an answer that it cannot read.
fn failures(answer: &[u8]) -> Option<Vec<String>> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let failures = answer.get("batchItemFailures")?.as_array()?;
    failures.iter().map(|failure| failure.get("itemIdentifier")?.as_str().map(str::to_owned)).collect()
}

impl Message {
    /// An event of SES's in the envelope that a topic puts it into.
    fn new(event: &str, region: &str) -> Self {
        let body = json!({
            "Type": "Notification",
            "MessageId": request_id(),
            "TopicArn": format!("arn:aws:sns:{region}:{ACCOUNT}:notify-me-feedback"),
            "Subject": "Amazon SES Email Event Notification",
            "Message": event,
            "Timestamp": Timestamp::now().to_string(),
        });
        Self { id: request_id(), body: body.to_string(), receives: 0, visible_at: Instant::now() }
    }

    /// As the event source mapping hands it on.
    fn record(&self, region: &str) -> Value {
        json!({
            "messageId": self.id,
            "receiptHandle": self.id,
            "body": self.body,
            "attributes": { "ApproximateReceiveCount": (self.receives + 1).to_string() },
            "messageAttributes": {},
            "eventSource": "aws:sqs",
            "eventSourceARN": format!("arn:aws:sqs:{region}:{ACCOUNT}:notify-me-feedback"),
            "awsRegion": region,
        })
    }

    /// The same for the next time; `None` where it came too often.
    fn again(self) -> Option<Self> {
        let receives = self.receives + 1;
        if receives >= MOST_RECEIVES {
            tracing::error!(
                message = self.id,
                receives,
                "an event of SES's is dead: feedback could not work on it"
            );
            return None;
        }
        Some(Self { receives, visible_at: Instant::now() + OUT_OF_SIGHT, ..self })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_the_messages_that_come_again_and_one_that_cannot_be_read_is_all_of_them() {
        let ids = |ids: &[&str]| Some(ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>());
        for (answer, failed) in [
            (r#"{"batchItemFailures":[]}"#, ids(&[])),
            (r#"{"batchItemFailures":[{"itemIdentifier":"a"},{"itemIdentifier":"b"}]}"#, ids(&["a", "b"])),
            (r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#, None),
            ("null", None),
            ("", None),
        ] {
            assert_eq!(failures(answer.as_bytes()), failed, "{answer}");
        }
    }

    #[tokio::test]
    async fn a_message_is_out_of_sight_after_it_failed_and_dead_after_the_third_time() {
        let mut waiting = VecDeque::from([Message::new("{}", "r"), Message::new("{}", "r")]);
        let first = waiting.pop_front().and_then(Message::again);
        waiting.extend(first);
        let now = Instant::now();
        assert_eq!(batch(&mut waiting, now).map(|batch| batch.len()), Some(1));
        assert!(batch(&mut waiting, now).is_none(), "the other is out of sight");
        let Some(mut again) = batch(&mut waiting, now + OUT_OF_SIGHT * 2) else { panic!("it is back") };
        let dead = again.pop().and_then(Message::again).and_then(Message::again);
        assert!(dead.is_none());
    }

    #[test]
    fn a_batch_takes_ten() {
        let mut waiting: VecDeque<Message> = (0..25).map(|_| Message::new("{}", "r")).collect();
        let now = Instant::now();
        let sizes: Vec<usize> =
            std::iter::from_fn(|| batch(&mut waiting, now)).map(|batch| batch.len()).collect();
        assert_eq!(sizes, [10, 10, 5]);
    }
}
