//! The states of a planning.

use super::bound::FixedBound;
use super::{Outcome, ShardEnd};
use crate::Position;
use crate::job::Job;
use crate::product::Product;
use crate::stock::{ProductInfo, Version};

/// How far a planning is: what its next steps need, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum State {
    TakeName,
    ReadDetails,
    RecordStockUpdate(Option<ProductInfo>),
    RecordSale { details: Option<ProductInfo>, seen: Version, quantity: u64 },
    ReadEnds(Product),
    FixBound { product: Product, ends: Vec<ShardEnd>, bound: Option<Position> },
    ReadCursors(Plan, Vec<ShardEnd>),
    CloseDelivered(Plan, Vec<Job>),
    RecordPlan(Plan),
    OpenFanOuts(Plan),
    DeliverInline(Plan),
    Emit(Vec<Job>),
    Finished(Outcome),
}

/// What is planned. It holds the proof that the bound is fixed, and its jobs are made of that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    pub(super) bound: FixedBound,
    /// The product with that bound.
    pub(super) product: Product,
    /// No earlier attempt at this restock can have delivered anything.
    pub(super) first: bool,
    /// A job for each shard with entries to deliver.
    pub(super) jobs: Vec<Job>,
}

impl State {
    /// The state before the update is recorded: nothing is read for one that brings every detail itself.
    pub(super) fn of_details(news: Option<&ProductInfo>) -> Self {
        match news {
            Some(news) if news.is_whole() => Self::RecordStockUpdate(ProductInfo::after(None, Some(news))),
            _ => Self::ReadDetails,
        }
    }

    /// The state once the bound stands: without a bound there is no entry, and no cursor to read.
    pub(super) fn of_bound(bound: FixedBound, first: bool, product: Product, ends: Vec<ShardEnd>) -> Self {
        let restock = product.restock_id.clone();
        let product = Product { bound: bound.position(), bound_of: Some(restock), ..product };
        let unbounded = bound.position().is_none();
        let plan = Plan { bound, product, first, jobs: Vec::new() };
        if unbounded {
            return Self::RecordPlan(plan);
        }
        Self::ReadCursors(plan, ends.into_iter().filter(|end| end.used).collect())
    }
}
