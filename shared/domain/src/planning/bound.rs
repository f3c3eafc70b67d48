//! The proof that a restock's bound is fixed.

use super::BoundWrite;
use crate::job::Job;
use crate::product::Product;
use crate::{Position, ProductId, RestockId, Shard};

/// A bound that stands in the table for the restock that is planned. It is had by winning the write of it, or by finding
/// it fixed, and in no other way; and jobs are made of it alone. So no shard is delivered for a restock that was
/// overtaken before its bound stood.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FixedBound(Option<Position>);

impl FixedBound {
    /// The bound that an earlier attempt at the product's current restock fixed; `None` where none did.
    pub(super) fn found(product: &Product) -> Option<Self> {
        product.is_planned().then_some(Self(product.bound))
    }

    /// The bound that was written just now, or else the one that another planner of the restock has written; `None` where
    /// the restock was overtaken.
    pub(super) fn won(write: BoundWrite, bound: Option<Position>) -> Option<Self> {
        match write {
            BoundWrite::Fixed => Some(Self(bound)),
            BoundWrite::Stands(stands) => Some(Self(stands)),
            BoundWrite::Overtaken => None,
        }
    }

    /// A proof without what it proves, for the mutants of the model.
    #[cfg(test)]
    pub(super) fn forged(bound: Option<Position>) -> Self {
        Self(bound)
    }

    /// The bound; `None` where the product's waitlist never had an entry.
    pub(super) fn position(&self) -> Option<Position> {
        self.0
    }

    /// The job that delivers `shard` up to the bound, without a ticket yet; `None` where there is no bound.
    pub(super) fn job(&self, restock: &RestockId, product: &ProductId, shard: Shard) -> Option<Job> {
        let (restock_id, product_id) = (restock.clone(), product.clone());
        Some(Job { restock_id, product_id, shard, bound: self.0?, ticket: None })
    }
}
