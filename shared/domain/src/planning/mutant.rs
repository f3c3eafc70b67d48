//! Mistakes in the order of the steps, which the model must find. Nothing of this is in a build that is not a test's.

use super::bound::FixedBound;
use super::state::State;
use super::{Planning, ShardEnd, Step};
use crate::Shards;

/// A step left out or in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// The ends of the shards are read before the update is recorded.
    EndsBeforeStock,
    /// The bound is fixed before the ends of the shards are read; jobs go up to those.
    BoundBeforeEnds,
    /// Jobs are made of a bound that is not written.
    UnfixedBound,
    /// A restock that comes again fixes its bound anew.
    FixAgain,
    /// The bound is fixed whether the restock has one or not: two planners of one restock fix two.
    FixTwice,
    /// The ends are read of as many shards as were recorded before the update was.
    ShardsBeforeStock,
}

/// Which mistake a planning makes, if any.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Switch {
    mutant: Option<Mutant>,
    early: Option<Vec<ShardEnd>>,
    shards: Option<Shards>,
}

impl Switch {
    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(super) fn hurries(&self, state: &State) -> Option<Step<'static>> {
        (self.is(Mutant::EndsBeforeStock) && self.early.is_none() && !is_recorded(state))
            .then_some(Step::ReadEnds(Shards::ONE))
    }

    pub(super) fn note_shards(&mut self, shards: Shards) {
        self.shards = Some(shards).filter(|_| self.is(Mutant::ShardsBeforeStock));
    }

    /// The ends, unless they are kept for later.
    pub(super) fn kept(&mut self, state: &mut State, ends: Vec<ShardEnd>) -> Option<Vec<ShardEnd>> {
        if self.is(Mutant::EndsBeforeStock) && !is_recorded(state) {
            self.early = Some(ends);
            return None;
        }
        if let State::ReadEnds(product) = state
            && self.is(Mutant::BoundBeforeEnds)
        {
            product.bound = product.bound_over(ends.iter().filter_map(|end| end.last));
        }
        Some(ends)
    }
}

fn is_recorded(state: &State) -> bool {
    !matches!(
        state,
        State::TakeName | State::ReadProduct | State::RecordStockUpdate(_) | State::RecordSale(_)
    )
}

impl Planning {
    /// The same planning with a mistake.
    pub(crate) fn mutated(self, mutant: Option<Mutant>) -> Self {
        Self { mutant: Switch { mutant, ..Switch::default() }, ..self }
    }

    pub(super) fn swap_after_record(&mut self) {
        self.shards = self.mutant.shards.unwrap_or(self.shards);
        let State::ReadEnds(product) = &self.state else { return };
        if let Some(early) = self.mutant.early.take() {
            self.on_ends(early);
        } else if self.mutant.is(Mutant::BoundBeforeEnds) && !product.is_planned() {
            let (product, bound) = (product.clone(), product.bound);
            self.state = State::FixBound { product, ends: vec![], bound };
        }
    }

    pub(super) fn swap_after_ends(&mut self) {
        match self.state.clone() {
            State::FixBound { product, ends, bound } if self.mutant.is(Mutant::UnfixedBound) => {
                self.state = State::of_bound(FixedBound::forged(bound), true, product, ends);
            }
            State::ReadCursors(plan, ends) if self.mutant.is(Mutant::FixAgain) => {
                let bound = plan.product.bound_over(ends.iter().filter_map(|end| end.last));
                self.state = State::FixBound { product: plan.product, ends, bound };
            }
            _ => {}
        }
    }

    pub(super) fn swap_after_bound(&mut self) {
        if let State::ReadCursors(plan, _) | State::RecordPlan(plan) = &self.state
            && self.mutant.is(Mutant::BoundBeforeEnds)
        {
            self.state = State::ReadEnds(plan.product.clone());
        }
    }
}
