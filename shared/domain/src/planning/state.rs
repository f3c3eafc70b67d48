//! The states of a planning.

use super::bound::FixedBound;
use super::{Outcome, ShardEnd, Update};
use crate::Position;
use crate::job::Job;
use crate::product::Product;

/// How far a planning is: what its next steps need, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum State {
    TakeName,
    ReadProduct,
    RecordStockUpdate(Update),
    RecordSale(Update),
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
    /// The state once the bound stands: without a bound there is no entry, and no cursor to read.
    pub(super) fn of_bound(bound: FixedBound, first: bool, product: Product, ends: Vec<ShardEnd>) -> Self {
        let (restock, version) = (product.restock_id.clone(), product.version.clone());
        let product =
            Product { bound: bound.position(), bound_of: Some(restock), planned: Some(version), ..product };
        let unbounded = bound.position().is_none();
        let plan = Plan { bound, product, first, jobs: Vec::new() };
        if unbounded {
            return Self::of_plan(plan);
        }
        Self::ReadCursors(plan, ends.into_iter().filter(|end| end.used).collect())
    }

    /// The state once it is known what each shard has to deliver: where no subscriber waits, nothing is to be recorded.
    pub(super) fn of_plan(plan: Plan) -> Self {
        if plan.jobs.is_empty() { Self::Finished(Outcome::Planned) } else { Self::RecordPlan(plan) }
    }
}
