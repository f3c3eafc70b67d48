//! What SES reported of emails: a mark for each event that was worked on, so that none counts twice, and the counts that events
//! add up to, per restock and per hour of a sender.
//!
//! Marks and counts are written in one transaction, after the work: an event whose work failed has no mark and comes again, and
//! one that comes again after that adds nothing.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Put, TransactWriteItem, Update};
use domain::RestockId;
use domain::backoff::Backoff;
use domain::breaker::hour;
use domain::feedback::{Came, EventId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{KEPT_SECONDS, PK, TTL, number, text, to_item};
use crate::sending::{BOUNCED, COMPLAINED, hour_key};
use crate::{ItemKey, Store, StoreError, summary};

const KIND: &str = "feedback";
const SORT_KEY: &str = "EVENT";
const PREFIX: &str = "F#";
/// How long an event is remembered: SNS tries for 23 days to hand it to a queue ("Amazon SNS message delivery retries"), a queue
/// keeps it for 14 at most, and so does the queue of dead letters that it may come back from.
const REMEMBERED_SECONDS: i64 = 60 * 86_400;
/// How long the counts of an hour are kept.
const HOUR_SECONDS: i64 = 2 * 86_400;
/// The events of one transaction, which may have 100 items: each event has a mark, at most one restock, and all an hour.
const AT_ONCE: usize = 40;
/// How often a transaction is tried that others were in the way of, or that had events in it that were known.
const ROUNDS: u32 = 10;
const PAUSE: Backoff = Backoff::new(Duration::from_millis(30), 5);

fn mark_key(event: EventId) -> ItemKey {
    ItemKey::new(format!("{PREFIX}{}", event.key_part()), SORT_KEY)
}

/// The key of what came back of a restock's emails.
pub fn key(restock: &RestockId) -> ItemKey {
    ItemKey::new(summary::partition(restock), "FEEDBACK")
}

/// An event that was worked on, and what it adds up to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worked {
    /// The event.
    pub id: EventId,
    /// What its restock counts.
    pub of_restock: Option<(RestockId, Came)>,
    /// What its sender counts.
    pub of_sender: Option<Came>,
}

/// What came back of a restock's emails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CameBack {
    /// How many bounced, for good or for now.
    pub bounced: u64,
    /// How many were reported as spam.
    pub complained: u64,
}

impl CameBack {
    fn add(&mut self, came: Came) {
        match came {
            Came::Bounced => self.bounced += 1,
            Came::Complained => self.complained += 1,
        }
    }
}

/// The mark of an event.
#[derive(Serialize)]
struct Mark {
    ttl: i64,
}

/// What SES reported.
#[derive(Clone, Copy)]
pub struct Feedback<'a>(pub(crate) &'a Store);

impl Feedback<'_> {
    /// Which of these events were worked on, strongly consistent.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn known(
        self,
        events: impl IntoIterator<Item = EventId>,
    ) -> Result<HashSet<EventId>, StoreError> {
        let by_pk: BTreeMap<String, EventId> =
            events.into_iter().map(|event| (mark_key(event).pk, event)).collect();
        let items = self.0.batch(by_pk.values().map(|event| mark_key(*event)), |all| all).await?;
        Ok(items.iter().filter_map(|item| by_pk.get(text(item, PK)?).copied()).collect())
    }

    /// What came back of a restock's emails, strongly consistent.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn of_restock(self, restock: &RestockId) -> Result<CameBack, StoreError> {
        Ok(self.0.get(&key(restock), KIND).await?.unwrap_or_default())
    }

    /// Marks events as worked on and adds to the counts, one update for each restock and one for the `sender`; gives those that
    /// were not marked before. All of them or, of each [`AT_ONCE`], none.
    ///
    /// # Errors
    /// Every kind of [`StoreError`]. Those of earlier transactions are marked then.
    pub async fn record(
        self,
        sender: &str,
        events: &[Worked],
        now: Timestamp,
    ) -> Result<HashSet<EventId>, StoreError> {
        let mut new = HashSet::new();
        // One that came twice in a batch is marked once: no transaction has two writes of one item.
        let mut seen = HashSet::new();
        let once: Vec<&Worked> = events.iter().filter(|event| seen.insert(event.id)).collect();
        for chunk in once.chunks(AT_ONCE) {
            new.extend(self.record_chunk(sender, chunk.to_vec(), now).await?);
        }
        Ok(new)
    }

    async fn record_chunk(
        self,
        sender: &str,
        mut events: Vec<&Worked>,
        now: Timestamp,
    ) -> Result<Vec<EventId>, StoreError> {
        for round in 1..=ROUNDS {
            if events.is_empty() {
                return Ok(vec![]);
            }
            let writes = self.writes(sender, &events, now)?;
            let sent = self.0.client.transact_write_items().set_transact_items(Some(writes)).send().await;
            let Err(error) = sent else { return Ok(events.iter().map(|event| event.id).collect()) };
            let Some(known) = error.as_service_error().and_then(marked_before) else {
                return Err(StoreError::of("TransactWriteItems", &error));
            };
            // The marks come first, in the order of the events.
            let mut index = 0;
            events.retain(|_| {
                index += 1;
                !known.contains(&(index - 1))
            });
            if known.is_empty() {
                tokio::time::sleep(PAUSE.jittered(round, rand::random())).await;
            }
        }
        Err(StoreError::contended("the feedback of a restock"))
    }

    fn writes(
        self,
        sender: &str,
        events: &[&Worked],
        now: Timestamp,
    ) -> Result<Vec<TransactWriteItem>, StoreError> {
        let mut writes = Vec::with_capacity(events.len() + 2);
        let mut restocks: BTreeMap<&RestockId, CameBack> = BTreeMap::new();
        let mut of_sender = CameBack::default();
        for event in events {
            let mark = Mark { ttl: now.as_second() + REMEMBERED_SECONDS };
            let put = Put::builder()
                .table_name(&self.0.table)
                .set_item(Some(to_item(&mark_key(event.id), &mark, KIND)?))
                .condition_expression("attribute_not_exists(pk)")
                .build()
                .map_err(StoreError::built)?;
            writes.push(TransactWriteItem::builder().put(put).build());
            if let Some((restock, came)) = &event.of_restock {
                restocks.entry(restock).or_default().add(*came);
            }
            if let Some(came) = event.of_sender {
                of_sender.add(came);
            }
        }
        for (restock, came) in restocks {
            writes.push(self.add(&key(restock), came, now.as_second() + KEPT_SECONDS)?);
        }
        if of_sender != CameBack::default() {
            let ttl = now.as_second() + HOUR_SECONDS;
            writes.push(self.add(&hour_key(sender, hour(now)), of_sender, ttl)?);
        }
        Ok(writes)
    }

    fn add(self, key: &ItemKey, came: CameBack, ttl: i64) -> Result<TransactWriteItem, StoreError> {
        let update = Update::builder()
            .table_name(&self.0.table)
            .set_key(Some(key.attributes()))
            .update_expression("SET #ttl = :ttl ADD #bounced :bounced, #complained :complained")
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_names("#bounced", BOUNCED)
            .expression_attribute_names("#complained", COMPLAINED)
            .expression_attribute_values(":ttl", number(ttl))
            .expression_attribute_values(":bounced", number(came.bounced))
            .expression_attribute_values(":complained", number(came.complained))
            .build()
            .map_err(StoreError::built)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

/// Which writes of a transaction met their mark, where it was cancelled for nothing but that and other transactions.
fn marked_before(error: &TransactWriteItemsError) -> Option<Vec<usize>> {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { return None };
    let codes: Vec<&str> =
        cancelled.cancellation_reasons().iter().map(|reason| reason.code().unwrap_or("None")).collect();
    let expected = |code: &&str| matches!(*code, "None" | "ConditionalCheckFailed" | "TransactionConflict");
    let marked = codes.iter().enumerate().filter(|(_, code)| **code == "ConditionalCheckFailed");
    codes.iter().all(expected).then(|| marked.map(|(index, _)| index).collect())
}
