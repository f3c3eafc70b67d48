//! Planning a restock: which subscribers get an email of it. The order of the steps is what loses no subscriber. A
//! subscriber who was answered "you wait" had written their entry and then read "not in stock", so the entry was there before step 1,
//! step 2 sees it, and the bound covers it.
//!
//! A machine without I/O: [`Planning::next`] names the one thing to do, and the `on_` method of that step takes what came
//! of it. A failure has no method: the planning is dropped, the record comes again, and a new planning goes on from what
//! the table says.

use std::sync::Arc;

use jiff::Timestamp;

use crate::job::Job;
use crate::product::{Due, Heard, Product, Reach, StockEvent, Wave};
use crate::record::Record;
use crate::rules::{Availability, Rules};
use crate::stock::{Place, ProductInfo, StockUpdate, Version};
use crate::{Position, ProductId, RestockId, Shard, Shards};

mod bound;
mod decide;
mod due;
mod fan_out;
#[cfg(test)]
mod mutant;
mod order;
mod state;
#[cfg(test)]
mod tests;
mod variant;
mod wave;

#[cfg(test)]
pub(crate) use mutant::Mutant;
use state::State;

/// The next thing to do for a stock update: one access of the table, several side by side, or a publication. The method
/// that takes what came of it stands beside each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step<'a> {
    /// Take this name, which the sender gave, for a restock of the product: [`Planning::on_name`].
    TakeName(&'a RestockId),
    /// Read the product, strongly consistent: [`Planning::on_product`].
    ReadProduct,
    /// Step 1. Record the update, on condition that the product is as it was read: [`Planning::on_recorded`], or
    /// [`Planning::on_refused`] where the condition does not hold.
    RecordStockUpdate(&'a Update),
    /// Record a sale, or another level, of a product that is in stock and planned, or held back, on the same condition:
    /// [`Planning::on_sale_recorded`], or [`Planning::on_refused`]. Its restock stays the current one, so that nothing of the
    /// fan-out under way changes, nor of what is due.
    RecordSale(&'a Update),
    /// Write a timer for what is due, before the product names it: the sweep finds by the timer what the product says. One
    /// that the product does not name any more is of no effect. [`Planning::on_timer`].
    WriteTimer(Due),
    /// Put off what is due, or end it, on condition that the product is at this turn and waits for `seen`:
    /// [`Planning::on_put_off`].
    PutOff {
        /// The number of bounds and waves that were fixed.
        turn: u64,
        /// What the product waits for.
        seen: Due,
        /// What it is to wait for; `None`: nothing more comes by itself.
        next: Option<Due>,
    },
    /// Step 2. Read the end of every shard, side by side: [`Planning::on_ends`]. There are as many as step 1 found recorded:
    /// a number that was read before could lack the shard of a subscriber who was answered "you wait" since.
    ReadEnds(Shards),
    /// Find the places of the subscribers up to whom a wave of this size comes, among those who wait in these shards: those of
    /// the priority lane first, and then as many of the mail lane as are left: [`Planning::on_wave`].
    FindWave {
        /// The shards, and what part of each may be told.
        lines: &'a [Line],
        /// The number of subscribers.
        size: u64,
    },
    /// Step 3. Fix the bound for this restock, on condition that this version of the product is the current one still and
    /// has no bound yet; or open it up to the next wave, on condition that it has the bound of this turn:
    /// [`Planning::on_bound`].
    FixBound(&'a Fix),
    /// Read the cursors of these shards, side by side: [`Planning::on_cursors`].
    ReadCursors(&'a [ShardEnd]),
    /// Close the fan-outs of these, side by side: they are delivered, and a crash may have kept that from being written.
    /// [`Planning::on_closed`].
    CloseDelivered(&'a [Job]),
    /// Record what is planned, unless that is recorded already: [`Planning::on_plan_recorded`].
    RecordPlan {
        /// The restock.
        restock: &'a RestockId,
        /// Its bound.
        bound: Option<Position>,
        /// How many shards were looked at.
        shards: Shards,
        /// The shards with entries to deliver.
        jobs: &'a [Job],
    },
    /// Open a fan-out for each of these under a new ticket, side by side, where none is open: their planner may have died
    /// before it did. [`Planning::on_opened`].
    OpenMissing(&'a [Job]),
    /// Step 4. Open a fan-out for each under a new ticket, side by side, so that the sweep finds it and earlier jobs of the
    /// shard are dropped: [`Planning::on_opened`].
    OpenFanOuts(&'a [Job]),
    /// Begin each where it was planned, side by side, but those that another worker has, and those whose cursor cannot be
    /// read: [`Planning::on_delivered`]. No other worker can have begun with them.
    DeliverInline {
        /// The product with its fixed bound.
        product: &'a Product,
        /// The shards with entries to deliver, each with its ticket.
        jobs: &'a [Job],
        /// Nothing can have been counted for this restock yet.
        first: bool,
    },
    /// Publish the jobs that could not be begun: [`Planning::on_emitted`].
    Emit(&'a [Job]),
    /// Nothing more is to be done.
    Finished(Outcome),
}

/// What a stock update makes of a product.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Update {
    /// The version of the product as it was read; `None`: it was never recorded.
    pub seen: Option<Version>,
    /// The update's place in the order of updates.
    pub version: Version,
    /// Its restock; a sale leaves the product's.
    pub restock: RestockId,
    /// Units in stock; `None` is unknown.
    pub quantity: Option<u64>,
    /// What can be sold.
    pub availability: Availability,
    /// The rules in force; `None`: none are.
    pub rules: Option<Box<Rules>>,
    /// The rules that came with the update.
    pub own_rules: Option<Box<Rules>>,
    /// What its restock waits for before it is planned; `None`: nothing.
    pub due: Option<Due>,
    /// The variant whose update it is, if any.
    pub variant: Option<ProductId>,
    /// The variants in stock from this update on.
    pub variants: Vec<ProductId>,
    /// What emails are to say of the product from this update on.
    pub details: Option<ProductInfo>,
    /// The last updates of the product that counted, this one included.
    pub recent: Vec<Heard>,
    /// Whether the product was planned as it was seen: as a sale leaves it.
    pub keeps_plan: bool,
}

impl Update {
    /// The product once it is recorded, over the one before. What was planned of that one is no plan of this, whose version is
    /// another.
    pub fn recorded_over(self, before: Option<Product>) -> Product {
        let (turn, wave, farthest) =
            before.as_ref().map_or_else(Default::default, |known| (known.turn, known.wave, known.farthest));
        let (bound, bound_of, planned) =
            before.map_or_else(Default::default, |known| (known.bound, known.bound_of, known.planned));
        Product {
            quantity: self.quantity,
            version: self.version,
            restock_id: self.restock,
            recent: self.recent,
            bound,
            bound_of,
            planned,
            product: self.details,
            availability: self.availability,
            rules: self.rules,
            own_rules: self.own_rules,
            variant: self.variant,
            variants: self.variants,
            turn,
            wave,
            farthest,
            due: self.due,
        }
    }
}

impl Update {
    /// The product once it is recorded as a sale, or another level: what is planned stays planned, and what is due, due.
    pub fn level_over(self, known: Product) -> Product {
        let (restock_id, due) = (known.restock_id.clone(), known.due);
        let planned = if self.keeps_plan { Some(self.version.clone()) } else { known.planned.clone() };
        Product { restock_id, due, planned, ..self.recorded_over(Some(known)) }
    }

    /// Whether it may be written over this product so: the condition of the table's write.
    pub fn level_applies_to(&self, known: &Product) -> bool {
        self.seen.as_ref() == Some(&known.version) && (self.keeps_plan || !known.is_planned())
    }
}

/// A bound to fix, or a wave to open.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Fix {
    /// The restock.
    pub restock: RestockId,
    /// The version of the product that the bound is for.
    pub version: Version,
    /// The largest position of any shard, which is the ceiling of every wave; `None` where none was ever given.
    pub bound: Option<Position>,
    /// The number of bounds and waves that were fixed before: the next one's is one more.
    pub turn: u64,
    /// How far the bound is open; `None`: all of it is.
    pub wave: Option<Wave>,
    /// How far any bound or wave has come with this one.
    pub farthest: Option<Reach>,
    /// What comes after it by itself.
    pub due: Option<Due>,
    /// The rules in force.
    pub rules: Option<Box<Rules>>,
    /// Whether it opens the next wave of a bound that stands.
    pub is_next_wave: bool,
}

impl Fix {
    /// The product once this is written.
    pub fn written_over(&self, product: Product) -> Product {
        Product {
            bound: self.bound.or(product.bound),
            bound_of: Some(self.restock.clone()),
            planned: Some(self.version.clone()),
            turn: self.turn + 1,
            wave: self.wave,
            farthest: self.farthest,
            due: self.due,
            rules: self.rules.clone(),
            ..product
        }
    }

    /// Whether it may be written over this product: the condition of the table's write.
    pub fn applies_to(&self, product: &Product) -> bool {
        let planned = product.planned.as_ref() == Some(&self.version);
        let unplanned_or_turn =
            if self.is_next_wave { planned && product.turn == self.turn } else { !planned };
        product.version == self.version && unplanned_or_turn
    }
}

/// A shard of a waitlist, and up to where it is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Line {
    /// The shard.
    pub shard: Shard,
    /// No subscriber up to here waits for a wave: their turn is over, or they are being told.
    pub after: Position,
    /// Nor does one past here: no wave goes past the ceiling.
    pub through: Position,
    /// Whether no call is in flight and no retry is pending.
    pub is_idle: bool,
}

/// How far a wave comes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Found {
    /// The places of its last subscribers; the start in a lane of which it has none.
    pub reach: Reach,
    /// The first waiting place of each shard that has one up to the ceiling.
    pub firsts: Vec<(Shard, Position)>,
}

/// How the planning of a stock update ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A later update is recorded.
    Stale,
    /// The product is sold out; the subscribers go on waiting.
    SoldOut,
    /// Some were sold of what is planned already, or its level changed; no email is sent for it.
    Sale,
    /// Its restock is planned later: its stock must hold, the hours of the day do not allow it, or an operator must let it
    /// begin.
    Held,
    /// The wave is being delivered, or the next one is not due yet.
    Awaits,
    /// Every wave of the restock has come.
    Over,
    /// Another restock became the current one before the bound was fixed.
    Overtaken,
    /// Every shard with entries to deliver is delivered, or begun, or has a job on the topic.
    Planned,
}

/// The end of a shard of a waitlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ShardEnd {
    /// The shard.
    pub shard: Shard,
    /// Its last position; `None` where it has no entry.
    pub last: Option<Position>,
    /// Whether it holds anything, an entry or a cursor; without either there is nothing to deliver.
    pub used: bool,
}

/// What became of the write of a bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundWrite {
    /// It stands.
    Fixed,
    /// Another planner of this restock was faster, and its bound stands on this product; nothing was written. A restock has
    /// one bound: fixed anew, it could go back, or past a subscriber who has moved out of the fan-out's way.
    Stands(Box<Product>),
    /// Another restock is the current one; nothing was written.
    Overtaken,
}

impl BoundWrite {
    /// What became of the write of the bound of `restock`, where it was refused and the product stands so.
    pub fn refused(stands: Option<Product>, restock: &RestockId) -> Self {
        match stands.filter(|product| product.restock_id == *restock && product.is_planned()) {
            Some(product) => Self::Stands(Box::new(product)),
            None => Self::Overtaken,
        }
    }
}

/// The planning of one stock update, or of what has become due of a product. See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Planning {
    product: ProductId,
    cause: Cause,
    /// The rules of the shop.
    shop_rules: Arc<Rules>,
    now: Timestamp,
    /// Whether a fan-out of the product may have been under way when the update was recorded.
    under_way: bool,
    /// The number of shards that step 1 found.
    shards: Shards,
    state: State,
    #[cfg(test)]
    mutant: mutant::Switch,
}

/// What a planning is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Cause {
    /// A stock update, and what it says of the product.
    Update(StockEvent, UpdateSays),
    /// This was due of this restock, which is known once the product is read.
    Due(Due, Option<RestockId>),
}

/// What an update says beside its order.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct UpdateSays {
    details: Option<ProductInfo>,
    rules: Option<Box<Rules>>,
    /// The variant whose update it is; `None`: it is the product's own.
    variant: Option<ProductId>,
}

impl Planning {
    /// Begins to plan `update`, which came in `record`, at `now`, for a shop with these rules.
    pub fn new(record: &Record, update: StockUpdate, shop_rules: Arc<Rules>, now: Timestamp) -> Self {
        let place = Place::of(record);
        let written_at =
            Timestamp::from_millisecond(record.written_ms).ok().filter(|_| record.written_ms > 0);
        let said_at = update.occurred_at.or(update.received_at);
        let version = Version::new(said_at, written_at, now, place);
        let (restock, state) = match update.restock_id {
            Some(id) if update.generated_id => (id, State::ReadProduct),
            Some(name) => (name, State::TakeName),
            // By its place, so that a redelivery has the same.
            None => {
                (RestockId::of_record(&record.topic, record.partition, record.offset), State::ReadProduct)
            }
        };
        let is_named = state == State::TakeName;
        let told_by_id = is_named && update.occurred_at.is_none_or(|at| at > now);
        let (quantity, availability) = (update.quantity, update.availability);
        let event = StockEvent { restock, quantity, availability, version, place, told_by_id };
        let rules = update.rules.map(Box::new);
        let says = UpdateSays { details: update.product, rules, variant: None };
        Self::begun(update.product_id, Cause::Update(event, says), shop_rules, now, state)
    }

    /// Begins to plan for the parent of a variant what [`StockUpdate::of_parent`] gives.
    pub fn of_variant(
        record: &Record,
        update: StockUpdate,
        variant: ProductId,
        shop_rules: Arc<Rules>,
        now: Timestamp,
    ) -> Self {
        let mut planning = Self::new(record, update, shop_rules, now);
        if let Cause::Update(_, says) = &mut planning.cause {
            says.variant = Some(variant);
        }
        planning
    }

    /// Begins what is due of a product since `due`.
    pub fn of_due(product: ProductId, due: Due, shop_rules: Arc<Rules>, now: Timestamp) -> Self {
        Self::begun(product, Cause::Due(due, None), shop_rules, now, State::ReadProduct)
    }

    fn begun(product: ProductId, cause: Cause, shop_rules: Arc<Rules>, now: Timestamp, state: State) -> Self {
        Self {
            product,
            cause,
            shop_rules,
            now,
            under_way: false,
            shards: Shards::ONE,
            state,
            #[cfg(test)]
            mutant: mutant::Switch::default(),
        }
    }

    /// The product.
    pub fn product(&self) -> &ProductId {
        &self.product
    }

    /// The restock; before [`Step::TakeName`] is done, the name that its sender asked for; `None` of what is due before the
    /// product is read.
    pub fn restock(&self) -> Option<&RestockId> {
        match &self.cause {
            Cause::Update(event, _) => Some(&event.restock),
            Cause::Due(_, restock) => restock.as_ref(),
        }
    }
}
