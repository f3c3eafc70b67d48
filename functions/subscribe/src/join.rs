//! Joining a waitlist. The order of the steps is what keeps everybody: the subscription and its
//! entry, in one transaction, then a look at the product. Whoever is answered has an entry that
//! the next fan-out sees: one that was planned before it was written would have left its bound on
//! the product, and then the entry moves past it.
//!
//! Subscription and entry are one step because an entry that came later than its subscription
//! could be told under two places: by a request that stalled between the two while another one of
//! the same shopper went by.

use std::time::Duration;

use domain::{Position, ProductId, Shard};
use lambda::{clock, entropy};
use store::subscription::Subscription;
use store::waitlist::Entry;
use store::{Outcome, StoreError};

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

pub(crate) async fn join(app: &App, product: &ProductId, wish: &Wish) -> Result<Joined, StoreError> {
    let subscriptions = app.store.subscriptions();
    for round in 0..ROUNDS {
        give_way(round).await;
        let mine = new_place(app, wish, None);
        // Step 1: the subscription, if there is none, and its entry.
        let (mut place, new) =
            match subscriptions.insert(&wish.subscriber, product, &mine.subscription, &mine.entry).await? {
                Outcome::Applied(()) => (mine, true),
                // Somebody was in the way, or has just left.
                Outcome::Refused(None) => continue,
                Outcome::Refused(Some(found)) => match again(app, product, wish, found).await? {
                    Some(place) => place,
                    None => continue,
                },
            };
        // Step 2: look whether a fan-out may have passed by, until the place stands.
        let mut just_written = new;
        loop {
            let known = app.store.products().get(product).await?;
            let at = place.subscription.position;
            let Some(bound) = known.as_ref().and_then(|known| known.must_move_past(at, just_written)) else {
                let in_stock = known.is_some_and(|known| known.in_stock());
                return Ok(Joined { new, shard: place.subscription.shard, in_stock });
            };
            let past = Position::past(Some(bound), clock::now_ms(), entropy::random());
            let Place { subscription, entry } = &place;
            let moved = subscriptions.move_to(&wish.subscriber, product, subscription, entry, past).await?;
            if !moved.is_applied() {
                // Another request of the same shopper moved or ended the subscription.
                break;
            }
            place.subscription.position = past;
            just_written = true;
        }
    }
    Err(StoreError::contended("a subscription"))
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
    found: Subscription,
) -> Result<Option<(Place, bool)>, StoreError> {
    let stored = app.store.cursors().read(product, found.shard).await?;
    let expired = found.ttl <= clock::now().as_second();
    if !expired && !stored.cursor.is_consumed(found.position) {
        match app.store.waitlist(product, found.shard).entry(found.position).await {
            Ok(Some(entry)) => return Ok(Some((Place { subscription: found, entry }, false))),
            // One that cannot be read would never be told: it is replaced like one that is gone.
            Ok(None) => {}
            Err(error) if error.is_corrupt() => {}
            Err(error) => return Err(error),
        }
    }
    let bound = app.store.products().get(product).await?.and_then(|known| known.bound);
    let bound = bound.max(Some(stored.cursor.committed));
    let place = new_place(app, wish, bound);
    let Place { subscription, entry } = &place;
    let subscriptions = app.store.subscriptions();
    let replaced =
        subscriptions.replace(&wish.subscriber, product, found.position, subscription, entry).await?;
    Ok(replaced.is_applied().then_some((place, true)))
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
