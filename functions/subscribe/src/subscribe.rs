//! The hands of [`Subscribing`], which has the order of the steps and its reasons. A failure on the way drops it; whatever
//! was done until then is repeatable.

use domain::subscribing::{
    self, Found, Insertion, LONG, Outcome as Ended, Step, Subscribed, Subscribing, Write,
};
use domain::{PersonId, Position, ProductId, Shard, ShardCount, SubscriberHash};
use lambda::{clock, entropy};
use store::subscription::{Move, RequestId, Subscription};
use store::waitlist::{Counting, Entry};
use store::{Outcome, Store, StoreError};

use crate::App;
use crate::request::Wish;

const SECONDS_PER_DAY: i64 = 86_400;

/// Subscribes a shopper to a product, or finds that they wait already.
///
/// # Errors
/// When the table fails, or too many requests of one subscriber are in each other's way.
pub(crate) async fn subscribe(app: &App, product: &ProductId, wish: &Wish) -> Result<Subscribed, StoreError> {
    let (store, subscriber) = (&app.store, app.config.person_key.person(&wish.address));
    let (hash, counts) = (SubscriberHash::of(subscriber), subscribing::counts(entropy::random()));
    let mut subscribing = Subscribing::new(hash, app.shards.of(product), app.config.shards, counts);
    let (by, new) = (RequestId::new(entropy::random()), new_entry(app, subscriber, wish));
    // The entry of an earlier request, which a move takes along.
    let mut found = None;
    loop {
        match subscribing.next(clock::now(), entropy::random()) {
            Step::BackOff(wait) => {
                tokio::time::sleep(wait).await;
                subscribing.on_waited();
            }
            Step::Insert { shard, position } => {
                found = None;
                let subscription = new_subscription(wish, &by, shard, position, &new);
                let inserted = store.subscriptions().insert(subscriber, product, &subscription, &new).await?;
                subscribing.on_inserted(position, insertion(inserted));
            }
            Step::ReadCursor(shard) => {
                let stored = store.cursors().read(product, shard).await?;
                subscribing.on_cursor(&stored.cursor, clock::now());
            }
            Step::ReadEntry { shard, position } => {
                let read = match store.waitlist(product, shard).entry(position).await {
                    Err(error) if error.is_corrupt() => None,
                    read => read?,
                };
                found = read.filter(|entry| !entry.moved);
                subscribing.on_entry(found.is_some());
            }
            Step::TakeOver(position) => {
                let taken = store.subscriptions().take_over(subscriber, product, position, &by).await;
                subscribing.on_taken_over(write(unless_in_the_way(taken)?));
            }
            Step::ReadProduct => {
                subscribing.on_product(&store.products().read(product).await?);
            }
            Step::Replace { found: old, shard, position } => {
                found = None;
                let subscription = new_subscription(wish, &by, shard, position, &new);
                let subscriptions = store.subscriptions();
                let replaced = subscriptions.replace(subscriber, product, old, &subscription, &new).await?;
                subscribing.on_replaced(position, write(replaced));
            }
            Step::Move { shard, from, to, looked } => {
                let move_to = Move { shard, from, to, by: &by, looked };
                let entry = found.as_ref().unwrap_or(&new);
                let moved = store.subscriptions().move_to(subscriber, product, move_to, entry).await?;
                subscribing.on_moved(to, write(moved));
            }
            Step::CountWaiting(shard) => subscribing.on_counted(waiting(store, product, shard).await),
            Step::RaiseShards(shards) => subscribing.on_raised(raise(store, product, shards).await),
            Step::Finished(Ended::Subscribed(subscribed)) => {
                app.shards.keep(product, subscribing.known_shards());
                return Ok(subscribed);
            }
            Step::Finished(_) => return Err(StoreError::contended("a subscription")),
            Step::ReadSubscription | Step::Confirm { .. } => {
                unreachable!("an ask that needs no confirmation")
            }
        }
    }
}

/// The number that waits in a shard, counted as far as it matters; `None` where that failed. The subscriber waits already,
/// and a later request counts again.
async fn waiting(store: &Store, product: &ProductId, shard: Shard) -> Option<u64> {
    let counted = async {
        let cursor = store.cursors().read(product, shard).await?.cursor;
        let counting = Counting::AtMost(i32::from(LONG));
        store.waitlist(product, shard).count(&cursor, Position::END, counting, clock::now()).await
    };
    let counted = counted.await.inspect_err(|error| tracing::warn!(%error, %product, "not counted"));
    counted.ok().map(|count| count.number)
}

/// Raises the number of shards of a product. Whether the item has it by now.
async fn raise(store: &Store, product: &ProductId, shards: ShardCount) -> bool {
    match store.products().raise_shards(product, shards).await {
        Ok(raised) => {
            tracing::info!(%product, shards = shards.get(), raised = raised.is_applied(), "the list is long");
            // Refused, the item has a larger one.
            true
        }
        Err(error) => {
            tracing::warn!(%error, %product, "not raised");
            false
        }
    }
}

/// Waits before round `round` of requests that get in each other's way.
pub(crate) async fn backoff(round: u32) {
    if round > 0 {
        tokio::time::sleep(subscribing::BACKOFF.jittered(round, entropy::random())).await;
    }
}

fn insertion(inserted: Outcome<(), Option<Subscription>>) -> Insertion {
    match inserted {
        Outcome::Applied(()) => Insertion::Inserted,
        Outcome::Refused(Some(Subscription { shard, position, ttl, .. })) => {
            Insertion::Found(Found { shard, position, ttl })
        }
        Outcome::Refused(None) => Insertion::Conflict,
    }
}

fn write(outcome: Outcome) -> Write {
    if outcome.is_applied() { Write::Applied } else { Write::Refused }
}

/// A transaction that is under way refuses a write for the moment, as another request's would.
fn unless_in_the_way(outcome: Result<Outcome, StoreError>) -> Result<Outcome, StoreError> {
    match outcome {
        Err(StoreError::Contended { .. }) => Ok(Outcome::Refused(())),
        outcome => outcome,
    }
}

fn new_entry(app: &App, subscriber: PersonId, wish: &Wish) -> Entry {
    Entry {
        subscriber,
        address: wish.address.clone(),
        locale: wish.locale.clone(),
        name: wish.name.clone(),
        moved: false,
        ttl: clock::now().as_second() + i64::from(app.config.wait_days) * SECONDS_PER_DAY,
    }
}

/// The subscription to `entry`, which lies at `position` of `shard`.
fn new_subscription(
    wish: &Wish,
    by: &RequestId,
    shard: Shard,
    position: Position,
    entry: &Entry,
) -> Subscription {
    Subscription {
        position,
        shard,
        created_at: clock::now(),
        channel: "email".to_owned(),
        confirmed_at: None,
        locale: wish.locale.clone(),
        user_id: wish.user.clone(),
        by: Some(by.clone()),
        pending: None,
        ttl: entry.ttl,
    }
}
