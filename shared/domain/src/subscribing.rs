//! Subscribing to a product. The order of the steps is what loses no subscriber: the subscription and its entry, in one
//! transaction, then a look at the product. Every answered subscriber has an entry that the next fan-out sees: a fan-out
//! that was planned before the entry was written would have left its bound on the product, and then the entry moves past
//! it.
//!
//! An entry is moved only by the request that speaks for its subscriber. Without that a request that stalled between its
//! write and its look would, once it wakes, take the entry out of a fan-out that another request of the same subscriber
//! was answered to wait for. So the subscription names the request that spoke last: the one that wrote it, or a repeat,
//! which takes the place over before it looks. Each move is on condition that this is the mover still; a repeat's also
//! on condition that the product is as it was looked at, in the same transaction, so that no restock was planned since.
//!
//! Subscription and entry are one step because an entry that came later than its subscription could be delivered at two
//! positions: by a request that stalled between the two while another one of the same subscriber went by.
//!
//! A new place goes into a shard by a number of shards that the product's item had at any time before (see
//! [`crate::shard`]). Now and then a request whose new place went into the first shard of a lane counts what waits there, and
//! raises the number where that is long. That comes after the answer stands, so that a failure of it does not matter.
//!
//! A lane that is not known to be there is opened before the first step that writes an entry, because a plan reads no lane
//! that is not recorded. A place that waits stays in the lane where it is, whatever a repeat is vouched for with.
//!
//! An ask that is to be confirmed first is a subscription without an entry, so no fan-out knows of it. To confirm it is to
//! subscribe from the second step on: one transaction turns the ask into a subscription and writes its entry, at the position
//! of the ask, and then comes the look at the product, which moves the entry where a fan-out may have passed it by. That
//! the position is past all that is delivered would not do in place of the look: a worker reads ahead of what it delivers.
//! A confirmation that finds a confirmed subscription goes on as a repeat does; where its turn is over, it is
//! [over](Outcome::Over) only if an earlier confirmation came to its end. One that died before its look may have left an entry
//! behind that a fan-out had passed by.
//!
//! A machine without I/O, clock or random bits: [`Subscribing::next`] is handed those and names the one thing to do, and
//! the `on_` method of that step takes what came of it. A failure has no method: the request is dropped, and whatever it
//! did until then is repeatable.

use std::time::Duration;

use jiff::Timestamp;

use crate::backoff::Backoff;
use crate::stock::Version;
use crate::{Lane, Position, Shard, ShardCount, Shards, SubscriberHash};

mod confirm;
#[cfg(test)]
mod mutant;
mod order;
mod place;
mod shards;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use mutant::Mutant;
use place::Place;

/// Rounds before a request gives up: two requests of one subscriber at a time get in each other's way a few times at most.
const ROUNDS: u32 = 10;
/// The wait before each round but the first, with a random part.
pub const BACKOFF: Backoff = Backoff::new(Duration::from_millis(16), 4);
/// One in so many new places counts what waits in its shard.
const COUNTED_ONE_IN: u128 = 64;
/// A list with so many waiting entries in its first shard is long.
pub const LONG: u16 = 256;

/// The next thing to do for a request: one access of the table, or a wait. The method that takes what came of it stands
/// beside each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Wait this long, so that the request in the way can finish: [`Subscribing::on_waited`].
    BackOff(Duration),
    /// Record that the lane has a shard, unless the product's item has one there, or more: [`Subscribing::on_lane_opened`].
    OpenLane(Lane),
    /// Write the subscription, on condition that there is none, and its entry, in one transaction, so that this request
    /// speaks for the place: [`Subscribing::on_inserted`].
    Insert {
        /// The shard of the subscriber.
        shard: Shard,
        /// The position to take.
        position: Position,
    },
    /// Read the subscription: [`Subscribing::on_subscription`].
    ReadSubscription,
    /// Make the ask at `asked` a subscription, on condition that it waits for that still, and write its entry, in one
    /// transaction, so that this request speaks for the place: [`Subscribing::on_confirmed`].
    Confirm {
        /// The position of the ask, and of the entry.
        asked: Position,
        /// The shard of the subscriber.
        shard: Shard,
    },
    /// Read the cursor of the shard: [`Subscribing::on_cursor`].
    ReadCursor(Shard),
    /// Read the entry that the subscription points to: [`Subscribing::on_entry`].
    ReadEntry {
        /// Its shard.
        shard: Shard,
        /// Its position.
        position: Position,
    },
    /// Write that this request speaks for the place, on condition that the subscription points to it still:
    /// [`Subscribing::on_taken_over`].
    TakeOver(Position),
    /// Write the subscription, on condition that it points to `found` still, and its entry, in one transaction, so that
    /// this request speaks for the place: [`Subscribing::on_replaced`].
    Replace {
        /// The position whose turn is over.
        found: Position,
        /// The shard of the subscriber.
        shard: Shard,
        /// The position to take.
        position: Position,
    },
    /// Read the product: [`Subscribing::on_product`].
    ReadProduct,
    /// Write the entry at `to`, mark the one at `from` as moved, and point the subscription to the new one, on condition
    /// that it points to the old one still and this request speaks for it, in one transaction: [`Subscribing::on_moved`].
    Move {
        /// The shard of both.
        shard: Shard,
        /// The position to leave.
        from: Position,
        /// The position to take.
        to: Position,
        /// The product must be as it was looked at, in the same transaction; `None`: it may be as it will.
        looked: Option<&'a Looked>,
    },
    /// Count what waits in this shard, up to [`LONG`]: [`Subscribing::on_counted`].
    CountWaiting(Shard),
    /// Record this number of shards of the lane, unless the product's item has it, or a larger one:
    /// [`Subscribing::on_raised`].
    RaiseShards(Lane, ShardCount),
    /// Nothing more is to be done.
    Finished(Outcome),
    /// Write the subscription without its entry, which comes later: a mutant's.
    #[cfg(test)]
    InsertBare(Position),
    /// Write the entry that is missing: a mutant's.
    #[cfg(test)]
    WriteEntry(Position),
}

/// A sold-out product as a repeat has looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Looked {
    /// The last stock update that counted.
    pub version: Version,
    /// The bound of its fan-outs.
    pub bound: Position,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The subscriber waits.
    Subscribed(Subscribed),
    /// There is nothing to confirm: the ask has expired, or the subscriber has left.
    Gone,
    /// There is nothing left to confirm: the ask was confirmed, and its turn is over.
    Over,
    /// Other requests were in the way in every round.
    Contended,
}

/// Where a subscriber waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Subscribed {
    /// Whether they did not wait before, or their turn was over.
    pub new: bool,
    /// The shard of their entry.
    pub shard: Shard,
    /// The position of their entry.
    pub position: Position,
    /// Whether the product is in stock.
    pub in_stock: bool,
}

/// What became of the write of a subscription where there should be none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Insertion {
    /// It is written, and its entry.
    Inserted,
    /// There is one already; nothing is written.
    Found(Found),
    /// Another request was in the way, or has just ended the subscription; nothing is written.
    Conflict,
}

/// What a confirmation finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// No subscription, or one whose time is over.
    Gone,
    /// An ask that is to be confirmed.
    Pending {
        /// Its position.
        asked: Position,
        /// The lane that its maker was vouched for with.
        lane: Lane,
    },
    /// A subscription with an entry.
    Confirmed {
        /// It.
        found: Found,
        /// Whether a confirmation of it came to its end: then its entry was where a fan-out would see it.
        settled: bool,
    },
}

/// A subscription that was there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Found {
    /// The shard of its entry.
    pub shard: Shard,
    /// The position of its entry.
    pub position: Position,
    /// From when on the table may delete it, in Unix seconds, as the table has it.
    pub ttl: i64,
}

/// What became of a write to a subscription that was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// It is applied.
    Applied,
    /// Another request moved, took over or ended the subscription, or was in the way, or the product is not as it was
    /// looked at; nothing is written.
    Refused,
}

/// A request to subscribe. See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Subscribing {
    subscriber: SubscriberHash,
    /// The lane of a new place.
    lane: Lane,
    /// Numbers that the product's item had at some time before: by these a new place is put into a shard.
    shards: Shards,
    /// The number that a long lane is raised to.
    most: ShardCount,
    /// Whether it counts what waits in the first shard of its lane, if its place is new there.
    counts: bool,
    /// Whether it confirms an ask, and if so, whether an earlier confirmation came to its end.
    confirms: Option<Settled>,
    round: u32,
    state: State,
    #[cfg(test)]
    mutant: mutant::Switch,
}

/// How far a request is: what its next steps need, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum State {
    BackOff,
    Insert,
    ReadSubscription,
    /// The ask at this position is to be confirmed.
    Confirm(Position),
    ReadCursor(Found),
    ReadEntry(Found, CommittedPosition),
    /// Speak for the found one, whose entry is there.
    TakeOver(Found),
    /// The turn of the found one is over: see how far the product's bound is.
    ReadBound(Found, CommittedPosition),
    /// Take a position past this one, in place of the found one.
    Replace(Found, Option<Position>),
    /// See whether a fan-out may have passed the entry by.
    Look(Place),
    /// It may have: move past its bound, or, as a repeat, past that of the product as looked at.
    Move(Place, Position, Option<Looked>),
    /// The subscriber waits there: see how long the list is.
    Count(Subscribed),
    /// It is long.
    Raise(Subscribed),
    Finished(Outcome),
    #[cfg(test)]
    WriteEntry(Position),
}

/// Up to where the shard of a found subscription is delivered.
type CommittedPosition = Position;
/// Whether an earlier confirmation came to its end.
type Settled = bool;

impl Subscribing {
    /// Begins a request of a subscriber whose new place is to be in `lane`. `known` are numbers of shards that the product's
    /// item had at any time before, [`Shards::ONE`] where none are known; `most` is the number that a long lane is to have;
    /// and the request [counts](counts) what waits or does not.
    pub fn new(
        subscriber: SubscriberHash,
        lane: Lane,
        known: Shards,
        most: ShardCount,
        counts: bool,
    ) -> Self {
        Self {
            subscriber,
            lane,
            shards: known,
            most,
            counts,
            confirms: None,
            round: 0,
            state: State::Insert,
            #[cfg(test)]
            mutant: mutant::Switch::default(),
        }
    }

    /// Begins the confirmation of an ask of this subscriber. Its new place is in `lane`, or in that of the ask, whichever comes
    /// first. The rest is as with [`Subscribing::new`].
    pub fn confirming(
        subscriber: SubscriberHash,
        lane: Lane,
        known: Shards,
        most: ShardCount,
        counts: bool,
    ) -> Self {
        let asking = Self::new(subscriber, lane, known, most, counts);
        Self { confirms: Some(false), state: State::ReadSubscription, ..asking }
    }
}

/// Whether a request with these random bits counts what waits: one in 64 does.
pub fn counts(random: u128) -> bool {
    random.is_multiple_of(COUNTED_ONE_IN)
}

fn unix_ms(now: Timestamp) -> u64 {
    // A clock before 1970 gives the least of all positions, which a look at the product then moves.
    u64::try_from(now.as_millisecond()).unwrap_or_default()
}
