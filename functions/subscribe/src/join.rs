//! Joining a waitlist. The order of the steps is what keeps everybody: the subscription and its
//! entry, in one transaction, then a look at the product. Whoever is answered has an entry that
//! the next fan-out sees: one that was planned before it was written would have left its bound on
//! the product, and then the entry moves past it.
//!
//! Subscription and entry are one step because an entry that came later than its subscription
//! could be told under two places: by a request that stalled between the two while another one of
//! the same shopper went by.

use std::time::Duration;

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{
        AttributeValue, Delete, Put, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update,
        builders::PutBuilder,
    },
};
use domain::{Position, ProductId, Shard};
use lambda::table::{Entry, Item, ItemKey, Subscription, TableError, item, read};
use lambda::{clock, entropy};

use crate::{App, request::Wish};

/// How a shopper stands now.
pub(crate) struct Joined {
    pub(crate) new: bool,
    pub(crate) shard: Shard,
    pub(crate) in_stock: bool,
}

/// Where somebody stands, and what their mail needs.
struct Place {
    subscription: Subscription,
    entry: Entry,
}

/// What came of a transaction.
pub(crate) enum Transacted {
    /// Everything is written.
    Done,
    /// Nothing is: a condition did not hold, or another transaction was in the way. With what the
    /// first item is, where its condition asked for that.
    Refused(Option<Item>),
}

const SECONDS_PER_DAY: i64 = 86_400;
/// Two requests of one shopper at a time get in each other's way a few times at most.
const ROUNDS: u32 = 10;

pub(crate) async fn join(app: &App, product: &ProductId, wish: &Wish) -> Result<Joined, TableError> {
    let key = ItemKey::subscription(&wish.subscriber, product);
    for round in 0..ROUNDS {
        give_way(round).await;
        let mine = new_place(app, wish, None);
        // Step 1: the subscription, if there is none, and its entry.
        let (mut place, new) = match enter(app, product, &key, &mine, None).await? {
            Transacted::Done => (mine, true),
            // Somebody was in the way, or has just left.
            Transacted::Refused(None) => continue,
            Transacted::Refused(Some(found)) => {
                match again(app, product, wish, &key, read(found, "subscription")?).await? {
                    Some(place) => place,
                    None => continue,
                }
            }
        };
        // Step 2: look whether a fan-out may have passed by, until the place stands.
        let mut just_written = new;
        loop {
            let known = app.table.product(product).await?;
            let at = place.subscription.position;
            let Some(bound) = known.as_ref().and_then(|known| known.must_move_past(at, just_written)) else {
                let in_stock = known.is_some_and(|known| known.in_stock());
                return Ok(Joined { new, shard: place.subscription.shard, in_stock });
            };
            let past = Position::past(Some(bound), clock::now_ms(), entropy::random());
            if !move_to(app, product, &key, &mut place, past).await? {
                // Another request of the same shopper moved or ended the subscription.
                break;
            }
            just_written = true;
        }
    }
    Err(TableError::contended("a subscription"))
}

/// Lets whoever was in the way finish: not before the first round, and longer each time.
pub(crate) async fn give_way(round: u32) {
    if round > 0 {
        let spread = u64::try_from(entropy::random() % 8).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis((4 + spread) << round.min(5))).await;
    }
}

/// A repeated request: waits on as before, whatever name, language or user id it brings, for
/// anybody can send one for anybody's address; or, where its turn has come and gone, takes a new place past the
/// bound, so that one restock tells it once. `None`: somebody else was quicker, look again.
async fn again(
    app: &App,
    product: &ProductId,
    wish: &Wish,
    key: &ItemKey,
    found: Subscription,
) -> Result<Option<(Place, bool)>, TableError> {
    let stored = app.table.cursor(product, found.shard).await?;
    let expired = found.ttl <= clock::now().as_second();
    if !expired && !stored.cursor.is_consumed(found.position) {
        let entry_key = ItemKey::entry(product, found.shard, found.position);
        match app.table.get(&entry_key, "entry").await {
            Ok(Some(entry)) => return Ok(Some((Place { subscription: found, entry }, false))),
            // One that cannot be read would never be told: it is replaced like one that is gone.
            Ok(None) => {}
            Err(error) if error.is_corrupt() => {}
            Err(error) => return Err(error),
        }
    }
    let bound = app.table.product(product).await?.and_then(|known| known.bound);
    let bound = bound.max(Some(stored.cursor.committed));
    let place = new_place(app, wish, bound);
    let entered = enter(app, product, key, &place, Some(found.position)).await?;
    Ok(matches!(entered, Transacted::Done).then_some((place, true)))
}

fn new_place(app: &App, wish: &Wish, bound: Option<Position>) -> Place {
    let ttl = clock::now().as_second() + i64::from(app.config.wait_days) * SECONDS_PER_DAY;
    let entry = Entry {
        subscriber: wish.subscriber.as_key().to_owned(),
        address: wish.address.clone(),
        locale: wish.locale.clone(),
        name: wish.name.clone(),
        ttl,
    };
    let subscription = Subscription {
        position: Position::past(bound, clock::now_ms(), entropy::random()),
        shard: app.config.shards.of(&wish.subscriber),
        created_at: clock::now(),
        channel: "email".to_owned(),
        consent: "asked for one mail per restock of this product".to_owned(),
        locale: wish.locale.clone(),
        user_id: wish.user.clone(),
        ttl,
    };
    Place { subscription, entry }
}

/// Writes a subscription and its entry, where the subscription points to `instead_of` so far
/// (`None`: where there is none).
async fn enter(
    app: &App,
    product: &ProductId,
    key: &ItemKey,
    place: &Place,
    instead_of: Option<Position>,
) -> Result<Transacted, TableError> {
    let Subscription { shard, position, .. } = place.subscription;
    let subscription = put(app, item(key, &place.subscription)?)
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    let subscription = match instead_of {
        None => subscription.condition_expression("attribute_not_exists(pk)"),
        Some(old) => subscription
            .condition_expression("#position = :old")
            .expression_attribute_names("#position", "position")
            .expression_attribute_values(":old", AttributeValue::S(old.to_string())),
    };
    let entry = put(app, item(&ItemKey::entry(product, shard, position), &place.entry)?);
    transact(app, vec![built(subscription)?, built(entry)?]).await
}

/// Moves a place in one transaction: new entry there, old one gone, subscription pointing to the
/// new one. False where the subscription no longer points to the old one.
async fn move_to(
    app: &App,
    product: &ProductId,
    key: &ItemKey,
    place: &mut Place,
    to: Position,
) -> Result<bool, TableError> {
    let Subscription { shard, position: from, .. } = place.subscription;
    let put = built(put(app, item(&ItemKey::entry(product, shard, to), &place.entry)?))?;
    let delete = delete_item(app, &ItemKey::entry(product, shard, from))?;
    let point = Update::builder()
        .table_name(&app.table.name)
        .set_key(Some(key.attributes()))
        .update_expression("SET #position = :to")
        .condition_expression("#position = :from")
        .expression_attribute_names("#position", "position")
        .expression_attribute_values(":to", AttributeValue::S(to.to_string()))
        .expression_attribute_values(":from", AttributeValue::S(from.to_string()))
        .build()
        .map_err(TableError::built)?;
    let point = TransactWriteItem::builder().update(point).build();
    let moved = matches!(transact(app, vec![put, delete, point]).await?, Transacted::Done);
    if moved {
        place.subscription.position = to;
    }
    Ok(moved)
}

fn put(app: &App, item: Item) -> PutBuilder {
    Put::builder().table_name(&app.table.name).set_item(Some(item))
}

fn built(put: PutBuilder) -> Result<TransactWriteItem, TableError> {
    Ok(TransactWriteItem::builder().put(put.build().map_err(TableError::built)?).build())
}

pub(crate) fn delete_item(app: &App, key: &ItemKey) -> Result<TransactWriteItem, TableError> {
    let delete = Delete::builder()
        .table_name(&app.table.name)
        .set_key(Some(key.attributes()))
        .build()
        .map_err(TableError::built)?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// Deletes a subscription where it still points to `position`.
pub(crate) fn delete_subscription(
    app: &App,
    key: &ItemKey,
    position: Position,
) -> Result<TransactWriteItem, TableError> {
    let delete = Delete::builder()
        .table_name(&app.table.name)
        .set_key(Some(key.attributes()))
        .condition_expression("#position = :position")
        .expression_attribute_names("#position", "position")
        .expression_attribute_values(":position", AttributeValue::S(position.to_string()))
        .build()
        .map_err(TableError::built)?;
    Ok(TransactWriteItem::builder().delete(delete).build())
}

/// Writes all or nothing.
pub(crate) async fn transact(app: &App, items: Vec<TransactWriteItem>) -> Result<Transacted, TableError> {
    let sent = app.table.client.transact_write_items().set_transact_items(Some(items)).send().await;
    let Err(error) = sent else { return Ok(Transacted::Done) };
    if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() {
        let reasons = cancelled.cancellation_reasons();
        let expected = |code: &str| matches!(code, "None" | "ConditionalCheckFailed" | "TransactionConflict");
        if reasons.iter().all(|reason| reason.code().is_none_or(expected)) {
            return Ok(Transacted::Refused(reasons.first().and_then(|reason| reason.item().cloned())));
        }
    }
    Err(TableError::of("TransactWriteItems", &error))
}
