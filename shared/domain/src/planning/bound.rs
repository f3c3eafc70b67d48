//! The proof that a restock's bound is fixed.

use crate::job::Job;
use crate::product::{Product, Reach};
use crate::{Position, ProductId, RestockId, Shard};

/// A bound that stands in the table for the restock that is planned, as far as its wave opens it. It is had by winning the
/// write of it, or by finding it fixed, and in no other way; and jobs are made of it alone. So no shard is delivered for a
/// restock that was overtaken before its bound stood.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct FixedBound {
    reach: Option<Reach>,
    turn: u64,
}

impl FixedBound {
    /// The bound that stands on the product for its current restock; `None` where none does.
    pub(super) fn found(product: &Product) -> Option<Self> {
        product.is_planned().then(|| Self { reach: product.reach(), turn: product.turn })
    }

    /// A proof without what it proves, for the mutants of the model.
    #[cfg(test)]
    pub(super) fn forged(bound: Option<Position>) -> Self {
        Self { reach: bound.map(Reach::all), turn: 1 }
    }

    /// The last place that may be told in any lane; `None` where the product's waitlist never had an entry.
    pub(super) fn last(&self) -> Option<Position> {
        self.reach.map(|reach| reach.priority.max(reach.mail))
    }

    /// The job that delivers `shard` up to the place of its lane, without a ticket yet; `None` where there is no bound.
    pub(super) fn job(&self, restock: &RestockId, product: &ProductId, shard: Shard) -> Option<Job> {
        let (restock_id, product_id) = (restock.clone(), product.clone());
        let bound = self.reach?.of(shard.lane);
        Some(Job { restock_id, product_id, shard, bound, turn: self.turn, ticket: None })
    }
}
