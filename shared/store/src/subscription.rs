//! A subscription: the position of a subscriber in a product's waitlist. It and its entry are written and deleted in one
//! transaction, because an entry that came later than its subscription could be delivered under two positions.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::builders::PutBuilder;
use aws_sdk_dynamodb::types::{
    AttributeValue, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem,
    Update,
};
use domain::subscribing::Looked;
use domain::{Address, Locale, PersonId, Position, ProductId, Shard, UserId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{Item, SK, TTL, from_item, number, string, text, to_item};
use crate::request::{Condition, Pages, apply};
use crate::waitlist::{self, Entry, MOVED};
use crate::{ItemKey, Outcome, Store, StoreError, cursor, person, product};

const KIND: &str = "subscription";
const POSITION: &str = "position";
const BY: &str = "by";
const EMAILED: &str = "emailed";
pub(crate) const PRODUCT: &str = "P#";

/// The key of a subscriber's subscription to a product.
pub fn key(subscriber: PersonId, product: &ProductId) -> ItemKey {
    ItemKey::new(person::partition(subscriber), format!("{PRODUCT}{}", product.key_part()))
}

/// The identity of a request to subscribe: 128 random bits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// The request with these random bits.
    pub fn new(random: u128) -> Self {
        Self(format!("{random:032x}"))
    }
}

/// A subscription.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// The position of its entry.
    pub position: Position,
    /// The shard of its entry.
    pub shard: Shard,
    /// When the subscriber asked.
    pub created_at: Timestamp,
    /// When the subscriber confirmed the ask, where they were asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// The channel of the notification.
    pub channel: String,
    /// The language of the email.
    pub locale: Locale,
    /// The shop's id of the shopper, as the request had it. Any client can write one into a request,
    /// so no subscriber is known by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// The request that speaks for its place: the one that wrote it, or the last repeat. Only that may move it. `None` in
    /// one that an earlier version wrote and no repeat has taken over since: no request moves it before one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<RequestId>,
    /// What its entry will hold, as long as the ask is not confirmed: until then there is no entry, and no fan-out knows of
    /// it. Its position is that of the ask.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Pending>,
    /// When the last email about the subscription itself was sent, in Unix seconds: one that asks for a confirmation, or that
    /// says that the person waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub emailed: Option<i64>,
    /// When the table may forget it, in Unix seconds: from then on it counts as gone.
    pub ttl: i64,
}

impl Subscription {
    /// Whether its time is over.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.ttl <= now.as_second()
    }
}

/// What the entry of an ask will hold that is not confirmed yet.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The address of the emails.
    pub address: Address,
    /// The name that they greet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// The confirmation of an ask.
#[derive(Debug, Clone, Copy)]
pub struct Confirmation<'a> {
    /// The position of the ask.
    pub asked: Position,
    /// The shard to take a place in.
    pub shard: Shard,
    /// The position to take.
    pub position: Position,
    /// The request that confirms it.
    pub by: &'a RequestId,
    /// When.
    pub at: Timestamp,
}

/// A move of a subscription from one position of its shard to another.
#[derive(Debug, Clone, Copy)]
pub struct Move<'a> {
    /// The shard.
    pub shard: Shard,
    /// The position to leave.
    pub from: Position,
    /// The position to take.
    pub to: Position,
    /// The request that moves it, which must speak for it still.
    pub by: &'a RequestId,
    /// The product must be as it was looked at; `None`: it may be as it will.
    pub looked: Option<&'a Looked>,
}

/// The subscriptions, each with its waitlist entry.
#[derive(Clone, Copy)]
pub struct Subscriptions<'a>(pub(crate) &'a Store);

impl Subscriptions<'_> {
    /// A subscriber's subscription to a product, strongly consistent.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn find(
        self,
        subscriber: PersonId,
        product: &ProductId,
    ) -> Result<Option<Subscription>, StoreError> {
        self.0.get(&key(subscriber, product), KIND).await
    }

    /// Writes a new subscription and its entry, as long as there is no subscription: so of two requests of one subscriber
    /// at once, one is applied. Refused, the subscription that stands there, or `None` where another transaction was in
    /// the way.
    ///
    /// # Errors
    /// Every kind of [`StoreError`].
    pub async fn insert(
        self,
        subscriber: PersonId,
        product: &ProductId,
        subscription: &Subscription,
        entry: &Entry,
    ) -> Result<Outcome<(), Option<Subscription>>, StoreError> {
        let put = self.put_subscription(subscriber, product, subscription)?;
        let put = put.condition_expression("attribute_not_exists(pk)");
        Ok(match self.enter(put, product, subscription, entry).await? {
            Outcome::Applied(()) => Outcome::Applied(()),
            Outcome::Refused(found) => Outcome::Refused(found.map(|item| from_item(item, KIND)).transpose()?),
        })
    }

    /// Writes an ask that is to be confirmed, without an entry, as long as there is no subscription, or it is as `seen` still:
    /// one that was confirmed meanwhile has another time to live. Refused, the subscription that stands there, or `None` where another transaction was in the way.
    ///
    /// # Errors
    /// Every kind of [`StoreError`].
    pub async fn ask(
        self,
        subscriber: PersonId,
        product: &ProductId,
        seen: Option<&Subscription>,
        ask: &Subscription,
    ) -> Result<Outcome<(), Option<Subscription>>, StoreError> {
        let item = to_item(&key(subscriber, product), ask, KIND)?;
        let condition = match seen {
            None => Condition::absent(),
            Some(seen) => Condition::new("#position = :position AND #ttl = :ttl")
                .name("#position", POSITION)
                .name("#ttl", TTL)
                .value(":position", string(seen.position))
                .value(":ttl", number(seen.ttl)),
        };
        Ok(match self.0.put_if(item, condition).await? {
            Outcome::Applied(()) => Outcome::Applied(()),
            Outcome::Refused(found) => Outcome::Refused(found.map(|item| from_item(item, KIND)).transpose()?),
        })
    }

    /// Makes an ask that is to be confirmed a subscription with its entry. Refused where the ask was confirmed, replaced or
    /// ended already, or its time is over.
    ///
    /// # Errors
    /// Every kind of [`StoreError`].
    pub async fn confirm(
        self,
        subscriber: PersonId,
        product: &ProductId,
        confirmation: Confirmation<'_>,
        entry: &Entry,
    ) -> Result<Outcome, StoreError> {
        let Confirmation { asked, shard, position, by, at } = confirmation;
        let put = self.put(to_item(&waitlist::key(product, shard, position), entry, waitlist::KIND)?);
        let confirmed = Update::builder()
            .table_name(&self.0.table)
            .set_key(Some(key(subscriber, product).attributes()))
            .update_expression(
                "SET #position = :position, #shard = :shard, #by = :by, #confirmed = :at, #ttl = :ttl REMOVE #pending",
            )
            .condition_expression("#position = :asked AND attribute_exists(#pending) AND #ttl > :now")
            .expression_attribute_names("#position", POSITION)
            .expression_attribute_names("#shard", "shard")
            .expression_attribute_names("#by", BY)
            .expression_attribute_names("#confirmed", "confirmedAt")
            .expression_attribute_names("#pending", "pending")
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_values(":asked", string(asked))
            .expression_attribute_values(":position", string(position))
            .expression_attribute_values(":shard", string(shard))
            .expression_attribute_values(":by", string(&by.0))
            .expression_attribute_values(":at", string(at))
            .expression_attribute_values(":ttl", number(entry.ttl))
            .expression_attribute_values(":now", number(at.as_second()))
            .build()
            .map_err(StoreError::built)?;
        Ok(self
            .transact(vec![TransactWriteItem::builder().update(confirmed).build(), built(put)?])
            .await?
            .plain())
    }

    /// Every subscription of a person that has not expired by `now`, strongly consistent, and how many cannot be read.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn all_of(
        self,
        subscriber: PersonId,
        now: Timestamp,
    ) -> Result<(Vec<(ProductId, Subscription)>, usize), StoreError> {
        // `P#` to `P#` and the highest character: without the person's own item.
        let range = (PRODUCT.to_owned(), format!("{PRODUCT}\u{10ffff}"));
        let mut pages =
            Pages::of(self.0.query(person::partition(subscriber), Some(range)).consistent_read(true));
        let (mut found, mut unreadable) = (Vec::new(), 0);
        while let Some(items) = pages.items().await? {
            for item in items {
                let product = text(&item, SK).and_then(|sk| sk.strip_prefix(PRODUCT));
                let product = product.and_then(ProductId::from_key_part);
                match product.map(|product| Ok((product, from_item::<Subscription>(item, KIND)?))) {
                    Some(Ok((_, subscription))) if subscription.is_expired(now) => {}
                    Some(Ok::<_, StoreError>(one)) => found.push(one),
                    Some(Err(_)) | None => unreadable += 1,
                }
            }
        }
        Ok((found, unreadable))
    }

    /// Writes that an email about a subscription is sent at `at`, as long as it points to `position` and none was sent since
    /// `since`; both in Unix seconds. So of requests at once, one sends it.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn note_email(
        self,
        subscriber: PersonId,
        product: &ProductId,
        position: Position,
        (at, since): (i64, i64),
    ) -> Result<Outcome, StoreError> {
        let condition = "#position = :position AND (attribute_not_exists(#emailed) OR #emailed <= :since)";
        let update = self
            .0
            .update(&key(subscriber, product), condition)
            .update_expression("SET #emailed = :at")
            .expression_attribute_names("#position", POSITION)
            .expression_attribute_names("#emailed", EMAILED)
            .expression_attribute_values(":position", string(position))
            .expression_attribute_values(":since", number(since))
            .expression_attribute_values(":at", number(at));
        Ok(apply(update).await?.plain())
    }

    /// Takes back that an email was sent at `at`: it was not. Refused where another one was noted since.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn forget_email(
        self,
        subscriber: PersonId,
        product: &ProductId,
        at: i64,
    ) -> Result<Outcome, StoreError> {
        let update = self
            .0
            .update(&key(subscriber, product), "#emailed = :at")
            .update_expression("REMOVE #emailed")
            .expression_attribute_names("#emailed", EMAILED)
            .expression_attribute_values(":at", number(at));
        Ok(apply(update).await?.plain())
    }

    /// Ends a subscription as it was found: deletes it and its entry. Refused where it points elsewhere by now.
    ///
    /// # Errors
    /// Every kind of [`StoreError`].
    pub async fn end(
        self,
        subscriber: PersonId,
        product: &ProductId,
        found: &Subscription,
    ) -> Result<Outcome, StoreError> {
        self.leave(product, (found.shard, found.position), Some((subscriber, found))).await
    }

    /// Writes a subscription and its entry over one that points to `old`, whose entry stays where it is: delivered, expired,
    /// or gone. Refused where the subscription points elsewhere by now, or has ended.
    ///
    /// # Errors
    /// Every kind of [`StoreError`].
    pub async fn replace(
        self,
        subscriber: PersonId,
        product: &ProductId,
        old: Position,
        subscription: &Subscription,
        entry: &Entry,
    ) -> Result<Outcome, StoreError> {
        let put = self
            .put_subscription(subscriber, product, subscription)?
            .condition_expression("#position = :old")
            .expression_attribute_names("#position", POSITION)
            .expression_attribute_values(":old", string(old));
        Ok(self.enter(put, product, subscription, entry).await?.plain())
    }

    /// Makes `by` the request that speaks for a subscription that points to `position`: from then on no move of an earlier
    /// one is applied. Refused where the subscription points elsewhere by now, or has ended.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`, and `Contended` where a transaction was in the way.
    pub async fn take_over(
        self,
        subscriber: PersonId,
        product: &ProductId,
        position: Position,
        by: &RequestId,
    ) -> Result<Outcome, StoreError> {
        let update = self
            .0
            .update(&key(subscriber, product), "#position = :position")
            .update_expression("SET #by = :by")
            .expression_attribute_names("#position", POSITION)
            .expression_attribute_names("#by", BY)
            .expression_attribute_values(":position", string(position))
            .expression_attribute_values(":by", string(&by.0));
        Ok(apply(update).await?.plain())
    }

    /// Moves a subscription: new entry there, old one marked as moved, subscription pointing to the new one. So at no moment
    /// it has two entries, or none. Refused where it does not point to the old one any more, where another request speaks
    /// for it, or where the product is not as it was looked at, if that is asked for.
    ///
    /// The old entry stays because an email may have gone out for it, or be on its way, whose link must find its
    /// subscriber. Every reader of entries passes it.
    ///
    /// # Errors
    /// Every kind of [`StoreError`].
    pub async fn move_to(
        self,
        subscriber: PersonId,
        product: &ProductId,
        to: Move<'_>,
        entry: &Entry,
    ) -> Result<Outcome, StoreError> {
        let put = self.put(to_item(&waitlist::key(product, to.shard, to.to), entry, waitlist::KIND)?);
        let point = Update::builder()
            .table_name(&self.0.table)
            .set_key(Some(key(subscriber, product).attributes()))
            .update_expression("SET #position = :to")
            .condition_expression("#position = :from AND #by = :by")
            .expression_attribute_names("#position", POSITION)
            .expression_attribute_names("#by", BY)
            .expression_attribute_values(":to", string(to.to))
            .expression_attribute_values(":from", string(to.from))
            .expression_attribute_values(":by", string(&to.by.0))
            .build()
            .map_err(StoreError::built)?;
        let mut writes = vec![
            built(put)?,
            self.mark_moved(product, to.shard, to.from)?,
            TransactWriteItem::builder().update(point).build(),
        ];
        if let Some(looked) = to.looked {
            writes.push(self.check_product(product, looked)?);
        }
        Ok(self.transact(writes).await?.plain())
    }

    /// Deletes the entry at `mailed`, the one that an email was sent for, and the `subscription` as it was found with
    /// its entry, which may be another one by then. Refused where the subscription does not point there any more, so
    /// that a subscriber who subscribes again at the same moment is not left with half a subscription. Applied, no call is
    /// announced from then on that has the subscriber among its recipients.
    ///
    /// # Errors
    /// Every kind of [`StoreError`].
    pub async fn leave(
        self,
        product: &ProductId,
        mailed: (Shard, Position),
        subscription: Option<(PersonId, &Subscription)>,
    ) -> Result<Outcome, StoreError> {
        let mut places = vec![mailed];
        let mut writes = Vec::new();
        if let Some((subscriber, &Subscription { shard, position, .. })) = subscription {
            writes.push(self.delete_subscription(subscriber, product, position)?);
            places.extend(Some((shard, position)).filter(|place| *place != mailed));
        }
        let mut shards = Vec::new();
        for (shard, position) in places {
            writes.push(self.delete_entry(product, shard, position)?);
            let is_pending =
                subscription.is_some_and(|(_, found)| found.pending.is_some() && found.position == position);
            if !is_pending && !shards.contains(&shard) && !self.is_consumed(product, shard, position).await? {
                writes.push(self.count_ended(product, shard)?);
                shards.push(shard);
            }
        }
        Ok(self.transact(writes).await?.plain())
    }

    /// Whether the turn of an entry is over: nothing that a worker does from here on concerns it. A cursor that cannot be read
    /// says nothing.
    async fn is_consumed(
        self,
        product: &ProductId,
        shard: Shard,
        position: Position,
    ) -> Result<bool, StoreError> {
        match self.0.cursors().read(product, shard).await {
            Err(error) if error.is_corrupt() => Ok(false),
            stored => Ok(stored?.cursor.is_consumed(position)),
        }
    }

    /// Counts on the cursor that an entry ends before its turn: whichever worker has read it ahead is refused its next write.
    fn count_ended(self, product: &ProductId, shard: Shard) -> Result<TransactWriteItem, StoreError> {
        let count = Update::builder()
            .table_name(&self.0.table)
            .set_key(Some(cursor::key(product, shard).attributes()))
            .update_expression("ADD #ended :one")
            .expression_attribute_names("#ended", cursor::ENDED)
            .expression_attribute_values(":one", number(1))
            .build()
            .map_err(StoreError::built)?;
        Ok(TransactWriteItem::builder().update(count).build())
    }

    fn put_subscription(
        self,
        subscriber: PersonId,
        product: &ProductId,
        subscription: &Subscription,
    ) -> Result<PutBuilder, StoreError> {
        let item = to_item(&key(subscriber, product), subscription, KIND)?;
        Ok(self
            .put(item)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld))
    }

    /// Writes a subscription and its entry.
    async fn enter(
        self,
        subscription_put: PutBuilder,
        product: &ProductId,
        subscription: &Subscription,
        entry: &Entry,
    ) -> Result<Outcome<(), Option<Item>>, StoreError> {
        let entry_key = waitlist::key(product, subscription.shard, subscription.position);
        let entry_put = self.put(to_item(&entry_key, entry, waitlist::KIND)?);
        self.transact(vec![built(subscription_put)?, built(entry_put)?]).await
    }

    fn put(self, item: Item) -> PutBuilder {
        Put::builder().table_name(&self.0.table).set_item(Some(item))
    }

    fn delete_entry(
        self,
        product: &ProductId,
        shard: Shard,
        position: Position,
    ) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(&self.0.table)
            .set_key(Some(waitlist::key(product, shard, position).attributes()))
            .build()
            .map_err(StoreError::built)?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// An entry that is gone is not made anew by its mark.
    fn mark_moved(
        self,
        product: &ProductId,
        shard: Shard,
        position: Position,
    ) -> Result<TransactWriteItem, StoreError> {
        let mark = Update::builder()
            .table_name(&self.0.table)
            .set_key(Some(waitlist::key(product, shard, position).attributes()))
            .update_expression("SET #moved = :true")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#moved", MOVED)
            .expression_attribute_values(":true", AttributeValue::Bool(true))
            .build()
            .map_err(StoreError::built)?;
        Ok(TransactWriteItem::builder().update(mark).build())
    }

    /// No stock update was recorded, and no bound fixed, since the product was looked at.
    fn check_product(self, product: &ProductId, looked: &Looked) -> Result<TransactWriteItem, StoreError> {
        let check = ConditionCheck::builder()
            .table_name(&self.0.table)
            .set_key(Some(product::key(product).attributes()))
            .condition_expression("#version = :version AND #bound = :bound")
            .expression_attribute_names("#version", product::VERSION)
            .expression_attribute_names("#bound", product::BOUND)
            .expression_attribute_values(":version", string(looked.version.as_str()))
            .expression_attribute_values(":bound", string(looked.bound))
            .build()
            .map_err(StoreError::built)?;
        Ok(TransactWriteItem::builder().condition_check(check).build())
    }

    fn delete_subscription(
        self,
        subscriber: PersonId,
        product: &ProductId,
        position: Position,
    ) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder()
            .table_name(&self.0.table)
            .set_key(Some(key(subscriber, product).attributes()))
            .condition_expression("#position = :position")
            .expression_attribute_names("#position", POSITION)
            .expression_attribute_values(":position", string(position))
            .build()
            .map_err(StoreError::built)?;
        Ok(TransactWriteItem::builder().delete(delete).build())
    }

    /// Writes all or nothing. Refused, the first item as it stands, where its condition asked for that.
    async fn transact(self, items: Vec<TransactWriteItem>) -> Result<Outcome<(), Option<Item>>, StoreError> {
        let sent = self.0.client.transact_write_items().set_transact_items(Some(items)).send().await;
        let Err(error) = sent else { return Ok(Outcome::Applied(())) };
        let refused = error.as_service_error().and_then(refused);
        refused.map(Outcome::Refused).ok_or_else(|| StoreError::of("TransactWriteItems", &error))
    }
}

fn built(put: PutBuilder) -> Result<TransactWriteItem, StoreError> {
    Ok(TransactWriteItem::builder().put(put.build().map_err(StoreError::built)?).build())
}

/// The first item where a transaction was cancelled for nothing but its conditions and other transactions.
fn refused(error: &TransactWriteItemsError) -> Option<Option<Item>> {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { return None };
    let reasons = cancelled.cancellation_reasons();
    let expected = |code: &str| matches!(code, "None" | "ConditionalCheckFailed" | "TransactionConflict");
    let expected = reasons.iter().all(|reason| reason.code().is_none_or(expected));
    expected.then(|| reasons.first().and_then(|reason| reason.item().cloned()))
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::CancellationReason;
    use aws_sdk_dynamodb::types::error::TransactionCanceledException;

    use super::*;

    #[test]
    fn a_transaction_is_refused_for_its_conditions_and_for_others_and_fails_for_all_else() {
        let found = Item::from([(POSITION.to_owned(), string("x"))]);
        for (codes, expected) in [
            (&["ConditionalCheckFailed", "None"][..], Some(Some(found.clone()))),
            (&["None", "TransactionConflict"], Some(Some(found.clone()))),
            (&["TransactionConflict"], Some(Some(found.clone()))),
            (&[], Some(None)),
            (&["ConditionalCheckFailed", "ThrottlingError"], None),
            (&["ProvisionedThroughputExceeded"], None),
            (&["ValidationError", "None"], None),
        ] {
            let reasons = codes
                .iter()
                .map(|code| CancellationReason::builder().code(*code).set_item(Some(found.clone())).build());
            let cancelled = TransactionCanceledException::builder()
                .set_cancellation_reasons(Some(reasons.collect()))
                .build();
            let error = TransactWriteItemsError::TransactionCanceledException(cancelled);
            assert_eq!(refused(&error), expected, "{codes:?}");
        }
    }
}
