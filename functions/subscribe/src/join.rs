//! Joining a waitlist. The order of the steps is what keeps everybody: the subscription, then the
//! entry, then a look at the product. Whoever is answered has an entry that the next fan-out sees:
//! one that was planned before it was written would have left its bound on the product, and then
//! the entry moves past it.

use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, ConditionCheck, Delete, Put, TransactWriteItem, Update},
};
use domain::{Position, ProductId, Shard};
use platform::{
    chance,
    table::{Entry, Item, ItemKey, Subscription, TableError, item, read},
};

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

const SECONDS_PER_DAY: i64 = 86_400;
/// Two requests of one shopper at a time get in each other's way a few times at most.
const ROUNDS: u32 = 10;

pub(crate) async fn join(app: &App, product: &ProductId, wish: &Wish) -> Result<Joined, TableError> {
    let key = ItemKey::subscription(&wish.subscriber, product);
    for _ in 0..ROUNDS {
        let mine = new_place(app, wish, None);
        // Step 1: the subscription, if there is none.
        let found = app
            .table
            .put_if(item(&key, &mine.subscription)?, "attribute_not_exists(pk)", &[], vec![])
            .await?;
        let (mut place, new) = match found {
            Ok(()) => (mine, true),
            // It was there and is gone again: somebody has just left.
            Err(None) => continue,
            Err(Some(found)) => match again(app, product, wish, &key, read(found, "subscription")?).await? {
                Some(place) => place,
                None => continue,
            },
        };
        // Step 2: the entry.
        if new {
            put_entry(app, product, &place).await?;
        }
        // Step 3: look whether a fan-out may have passed by, until the place stands.
        loop {
            let known = app.table.product(product).await?;
            let at = place.subscription.position;
            let Some(bound) = known.as_ref().and_then(|known| known.must_move_past(at)) else {
                let in_stock = known.is_some_and(|known| known.in_stock());
                return Ok(Joined { new, shard: place.subscription.shard, in_stock });
            };
            let past = Position::past(Some(bound), chance::now_ms(), chance::random());
            if !move_to(app, product, &key, &mut place, past).await? {
                // Another request of the same shopper moved or ended the subscription; what we
                // wrote in step 2 may be in nobody's name now.
                leave_no_stray(app, product, &key, &place).await?;
                break;
            }
        }
    }
    Err(TableError::contended("a subscription"))
}

/// A repeated request: waits on, with the entry put again if it is missing; or, where its turn has
/// come and gone, a new place past the bound, so that one restock tells it once. `None`: somebody
/// else was quicker, look again.
async fn again(
    app: &App,
    product: &ProductId,
    wish: &Wish,
    key: &ItemKey,
    found: Subscription,
) -> Result<Option<(Place, bool)>, TableError> {
    let stored = app.table.cursor(product, found.shard).await?;
    let expired = found.ttl <= chance::now().as_second();
    if !expired && !stored.cursor.is_consumed(found.position) {
        let entry_key = ItemKey::entry(product, found.shard, found.position);
        if let Some(entry) = app.table.get(&entry_key, "entry").await? {
            return Ok(Some((Place { subscription: found, entry }, false)));
        }
        let entry = new_entry(app, wish);
        let same = check_position(app, key, found.position)?;
        let put = put_item(app, item(&entry_key, &entry)?)?;
        let put = transact(app, vec![same, put]).await?;
        return Ok(put.then_some((Place { subscription: found, entry }, false)));
    }
    let bound = app.table.product(product).await?.and_then(|known| known.bound);
    let bound = bound.max(Some(stored.cursor.committed));
    let place = new_place(app, wish, bound);
    let old = vec![(":old", AttributeValue::S(found.position.to_string()))];
    let names = [("#position", "position")];
    let replaced = app.table.put_if(item(key, &place.subscription)?, "#position = :old", &names, old).await?;
    Ok(replaced.is_ok().then_some((place, true)))
}

fn new_entry(app: &App, wish: &Wish) -> Entry {
    Entry {
        subscriber: wish.subscriber.as_key().to_owned(),
        address: wish.address.clone(),
        locale: wish.locale.clone(),
        name: wish.name.clone(),
        ttl: chance::now().as_second() + i64::from(app.config.wait_days) * SECONDS_PER_DAY,
    }
}

fn new_place(app: &App, wish: &Wish, bound: Option<Position>) -> Place {
    let entry = new_entry(app, wish);
    let subscription = Subscription {
        position: Position::past(bound, chance::now_ms(), chance::random()),
        shard: app.config.shards.of(&wish.subscriber),
        created_at: chance::now(),
        channel: "email".to_owned(),
        consent: "asked for one mail per restock of this product".to_owned(),
        locale: wish.locale.clone(),
        ttl: entry.ttl,
    };
    Place { subscription, entry }
}

async fn put_entry(app: &App, product: &ProductId, place: &Place) -> Result<(), TableError> {
    let Subscription { shard, position, .. } = place.subscription;
    app.table.put(item(&ItemKey::entry(product, shard, position), &place.entry)?).await
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
    let put = put_item(app, item(&ItemKey::entry(product, shard, to), &place.entry)?)?;
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
    let moved = transact(app, vec![put, delete, point]).await?;
    if moved {
        place.subscription.position = to;
    }
    Ok(moved)
}

/// Takes away the entry that a lost move leaves behind, unless it is the subscription's after all.
async fn leave_no_stray(
    app: &App,
    product: &ProductId,
    key: &ItemKey,
    place: &Place,
) -> Result<(), TableError> {
    let Subscription { shard, position, .. } = place.subscription;
    let now: Option<Subscription> = app.table.get(key, "subscription").await?;
    if now.is_some_and(|now| now.position == position) {
        return Ok(());
    }
    let stray = ItemKey::entry(product, shard, position).attributes();
    let delete = app.table.client.delete_item().table_name(&app.table.name).set_key(Some(stray));
    delete.send().await.map(drop).map_err(|e| TableError::of("DeleteItem", &e))
}

fn check_position(app: &App, key: &ItemKey, position: Position) -> Result<TransactWriteItem, TableError> {
    let check = ConditionCheck::builder()
        .table_name(&app.table.name)
        .set_key(Some(key.attributes()))
        .condition_expression("#position = :position")
        .expression_attribute_names("#position", "position")
        .expression_attribute_values(":position", AttributeValue::S(position.to_string()))
        .build()
        .map_err(TableError::built)?;
    Ok(TransactWriteItem::builder().condition_check(check).build())
}

fn put_item(app: &App, item: Item) -> Result<TransactWriteItem, TableError> {
    let put =
        Put::builder().table_name(&app.table.name).set_item(Some(item)).build().map_err(TableError::built)?;
    Ok(TransactWriteItem::builder().put(put).build())
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

/// Writes all or nothing; false where a condition did not hold or another transaction was in the
/// way, which a look at the items then tells apart.
pub(crate) async fn transact(app: &App, items: Vec<TransactWriteItem>) -> Result<bool, TableError> {
    let sent = app.table.client.transact_write_items().set_transact_items(Some(items)).send().await;
    match sent {
        Ok(_) => Ok(true),
        Err(error) => match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
                let reasons = cancelled.cancellation_reasons();
                let expected =
                    |code: &str| matches!(code, "None" | "ConditionalCheckFailed" | "TransactionConflict");
                if reasons.iter().all(|reason| reason.code().is_none_or(expected)) {
                    Ok(false)
                } else {
                    Err(TableError::of("TransactWriteItems", &error))
                }
            }
            _ => Err(TableError::of("TransactWriteItems", &error)),
        },
    }
}
