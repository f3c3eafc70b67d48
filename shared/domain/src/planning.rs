//! Planning a restock: which subscribers get an email of it. The order of the steps is what loses no subscriber. A
//! subscriber who was answered "you wait" had written their entry and then read "not in stock", so the entry was there before step 1,
//! step 2 sees it, and the bound covers it.
//!
//! A machine without I/O: [`Planning::next`] names the one thing to do, and the `on_` method of that step takes what came
//! of it. A failure has no method: the planning is dropped, the record comes again, and a new planning goes on from what
//! the table says.

use jiff::Timestamp;

use crate::job::Job;
use crate::product::{Heard, Product, StockEvent};
use crate::record::Record;
use crate::stock::{Place, ProductInfo, StockUpdate, Version};
use crate::{Position, ProductId, RestockId, Shard, Shards};

mod bound;
mod decide;
#[cfg(test)]
mod mutant;
mod order;
mod state;
#[cfg(test)]
mod tests;

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
    /// Record a sale of a product that is in stock and planned, on the same condition: [`Planning::on_sale_recorded`], or
    /// [`Planning::on_refused`]. Its restock stays the current one, so that nothing of the fan-out under way changes.
    RecordSale(&'a Update),
    /// Step 2. Read the end of every shard, side by side: [`Planning::on_ends`]. There are as many as step 1 found recorded:
    /// a number that was read before could lack the shard of a subscriber who was answered "you wait" since.
    ReadEnds(Shards),
    /// Step 3. Fix the bound for this restock, on condition that this version of the product is the current one still and
    /// has no bound yet: [`Planning::on_bound`].
    FixBound {
        /// The restock.
        restock: &'a RestockId,
        /// The version of the product that the bound is for.
        version: &'a Version,
        /// The largest position of any shard; `None` where none was ever given.
        bound: Option<Position>,
    },
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
    /// Step 4. Open a fan-out for each under a new ticket, side by side, so that the sweep finds it and earlier jobs of the
    /// shard are dropped: [`Planning::on_opened`].
    OpenFanOuts(&'a [Job]),
    /// Begin each where it was planned, side by side, but those that another worker has, and those whose cursor cannot be
    /// read: [`Planning::on_delivered`]. No entry can have been delivered for this restock yet.
    DeliverInline {
        /// The product with its fixed bound.
        product: &'a Product,
        /// The shards with entries to deliver, each with its ticket.
        jobs: &'a [Job],
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
    /// What emails are to say of the product from this update on.
    pub details: Option<ProductInfo>,
    /// The last updates of the product that counted, this one included.
    pub recent: Vec<Heard>,
}

impl Update {
    /// The product once it is recorded, over the one before. What was planned of that one is no plan of this, whose version is
    /// another.
    pub fn recorded_over(self, before: Option<Product>) -> Product {
        let (bound, bound_of, planned) =
            before.map_or((None, None, None), |known| (known.bound, known.bound_of, known.planned));
        Product {
            quantity: self.quantity,
            version: self.version,
            restock_id: self.restock,
            recent: self.recent,
            bound,
            bound_of,
            planned,
            product: self.details,
        }
    }
}

/// How the planning of a stock update ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// A later update is recorded.
    Stale,
    /// The product is sold out; the subscribers go on waiting.
    SoldOut,
    /// Some were sold of what is planned already; no email is sent for it.
    Sale,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BoundWrite {
    /// It stands.
    Fixed,
    /// Another planner of this restock was faster, and this is the bound that stands; nothing was written. A restock has
    /// one bound: fixed anew, it could go back, or past a subscriber who has moved out of the fan-out's way.
    Stands(Option<Position>),
    /// Another restock is the current one; nothing was written.
    Overtaken,
}

impl BoundWrite {
    /// What became of the write of the bound of `restock`, where it was refused and the product stands so.
    pub fn refused(stands: Option<&Product>, restock: &RestockId) -> Self {
        match stands.filter(|product| product.restock_id == *restock && product.is_planned()) {
            Some(product) => Self::Stands(product.bound),
            None => Self::Overtaken,
        }
    }
}

/// The planning of one stock update. See the [module](self).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Planning {
    product: ProductId,
    event: StockEvent,
    news: Option<ProductInfo>,
    /// Whether a fan-out of the product may have been under way when the update was recorded.
    under_way: bool,
    /// The number of shards that step 1 found.
    shards: Shards,
    state: State,
    #[cfg(test)]
    mutant: mutant::Switch,
}

impl Planning {
    /// Begins to plan `update`, which came in `record`, at `now`.
    pub fn new(record: &Record, update: StockUpdate, now: Timestamp) -> Self {
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
        Self {
            product: update.product_id,
            event: StockEvent { restock, quantity: update.quantity, version, place, told_by_id },
            news: update.product,
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

    /// The restock; before [`Step::TakeName`] is done, the name that its sender asked for.
    pub fn restock(&self) -> &RestockId {
        &self.event.restock
    }
}
