//! The hands of [`Subscribing`], which has the order of the steps and its reasons: for an ask that needs no confirmation, and for
//! the confirmation of one. A failure on the way drops it; whatever was done until then is repeatable.

use domain::subscribing::{self, LONG, Outcome as Ended, Step, Subscribed, Subscribing, Write};
use domain::{Lane, Locale, PersonId, Position, ProductId, Shard, ShardCount, Shards, SubscriberHash};
use lambda::{clock, entropy};
use store::subscription::{Move, RequestId};
use store::waitlist::Counting;
use store::{Store, StoreError};

use crate::App;
use crate::hands::{Hands, New};
use crate::request::Wish;

/// How a confirmation ended.
pub(crate) struct Confirmed {
    pub(crate) outcome: Ended,
    /// The language of the ask, where it was found.
    pub(crate) locale: Option<Locale>,
}

impl Confirmed {
    /// Where the person waits, if they do.
    pub(crate) fn subscribed(&self) -> Option<Subscribed> {
        match self.outcome {
            Ended::Subscribed(subscribed) => Some(subscribed),
            Ended::Gone | Ended::Over | Ended::Contended => None,
        }
    }
}

/// Subscribes a shopper to a product, in this lane, or finds that they wait already.
///
/// # Errors
/// When the table fails, or too many requests of one subscriber are in each other's way.
pub(crate) async fn subscribe(
    app: &App,
    product: &ProductId,
    wish: &Wish,
    lane: Lane,
) -> Result<Subscribed, StoreError> {
    let subscriber = app.config.person_key.person(&wish.address);
    let subscribing = begin(app, product, (subscriber, lane), Subscribing::new);
    let mut hands = Hands::new(app, product, subscriber, Position::START);
    hands.new = Some(New::of(app, subscriber, wish));
    match carry_out(app, subscribing, &mut hands).await? {
        Ended::Subscribed(subscribed) => Ok(subscribed),
        Ended::Gone | Ended::Over | Ended::Contended => Err(StoreError::contended("a subscription")),
    }
}

/// Confirms the ask that was made at `asked`, for a place in this lane or in that of the ask, whichever comes first.
///
/// # Errors
/// When the table fails, or too many requests of one subscriber are in each other's way.
pub(crate) async fn confirm(
    app: &App,
    subscriber: PersonId,
    product: &ProductId,
    asked: Position,
    lane: Lane,
) -> Result<Confirmed, StoreError> {
    let subscribing = begin(app, product, (subscriber, lane), Subscribing::confirming);
    let mut hands = Hands::new(app, product, subscriber, asked);
    let outcome = carry_out(app, subscribing, &mut hands).await?;
    if outcome == Ended::Contended {
        return Err(StoreError::contended("a subscription"));
    }
    Ok(Confirmed { outcome, locale: hands.new.map(|new| new.entry.locale) })
}

fn begin(
    app: &App,
    product: &ProductId,
    (subscriber, lane): (PersonId, Lane),
    make: fn(SubscriberHash, Lane, Shards, ShardCount, bool) -> Subscribing,
) -> Subscribing {
    let counts = subscribing::counts(entropy::random());
    make(SubscriberHash::of(subscriber), lane, app.shards.of(product), app.config.shards, counts)
}

async fn carry_out(
    app: &App,
    mut subscribing: Subscribing,
    hands: &mut Hands<'_>,
) -> Result<Ended, StoreError> {
    let (store, product, by) = (&app.store, hands.product, RequestId::new(entropy::random()));
    loop {
        match subscribing.next(clock::now(), entropy::random()) {
            Step::BackOff(wait) => {
                tokio::time::sleep(wait).await;
                subscribing.on_waited();
            }
            Step::OpenLane(lane) => subscribing.on_lane_opened(open(app, product, lane).await?),
            Step::Insert { shard, position } => {
                subscribing.on_inserted(position, hands.insert(&by, shard, position).await?);
            }
            Step::ReadSubscription => subscribing.on_subscription(hands.standing().await?),
            Step::Confirm { asked, shard } => {
                subscribing.on_confirmed(hands.confirm(&by, shard, asked).await?);
            }
            Step::ReadCursor(shard) => {
                let stored = store.cursors().read(product, shard).await?;
                subscribing.on_cursor(&stored.cursor, clock::now());
            }
            Step::ReadEntry { shard, position } => {
                subscribing.on_entry(hands.read_entry(shard, position).await?);
            }
            Step::TakeOver(position) => subscribing.on_taken_over(hands.take_over(&by, position).await?),
            Step::ReadProduct => subscribing.on_product(&store.products().read(product).await?),
            Step::Replace { found, shard, position } => {
                subscribing.on_replaced(position, hands.replace(&by, found, shard, position).await?);
            }
            Step::Move { shard, from, to, looked } => {
                let moved = hands.move_to(Move { shard, from, to, by: &by, looked }).await?;
                subscribing.on_moved(to, moved);
            }
            Step::CountWaiting(shard) => subscribing.on_counted(waiting(store, product, shard).await),
            Step::RaiseShards(lane, shards) => {
                subscribing.on_raised(raise(store, product, lane, shards).await);
            }
            Step::Finished(outcome) => {
                app.shards.keep(product, subscribing.known_shards());
                return Ok(outcome);
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

/// Opens a lane of a product's waitlist. Unlike a later raise it must be written before the entry is.
async fn open(app: &App, product: &ProductId, lane: Lane) -> Result<Write, StoreError> {
    match app.store.products().raise_shards(product, lane, ShardCount::ONE).await {
        Ok(opened) => {
            tracing::info!(%product, lane = %Shard::first(lane), opened = opened.is_applied(), "a lane is open");
            // Refused, the item has a larger number. Kept at once, so that a request that fails later opens it once too.
            app.shards.keep(product, Shards::ONE.raised(lane, ShardCount::ONE));
            Ok(Write::Applied)
        }
        Err(StoreError::Contended { .. }) => Ok(Write::Refused),
        Err(error) => Err(error),
    }
}

/// Raises the number of shards of a lane of a product. Whether the item has it by now.
async fn raise(store: &Store, product: &ProductId, lane: Lane, shards: ShardCount) -> bool {
    match store.products().raise_shards(product, lane, shards).await {
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
