//! Mistakes in the order of the steps, which the model must find. Nothing of this is in a build that is not a test's.

use super::bound::FixedBound;
use super::state::{Fixing, State};
use super::{Line, Planning, ShardEnd, Step};
use crate::Shards;
use crate::product::Product;

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
    /// The next wave is opened whether another planner has opened it or not: two sweeps open two.
    OpenWaveTwice,
    /// A wave is said to have ended before the last of it is delivered.
    EndEarly,
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
        State::TakeName
            | State::ReadProduct
            | State::WriteTimer(..)
            | State::RecordStockUpdate(_)
            | State::RecordSale(_)
    )
}

impl Planning {
    /// The same planning with a mistake.
    pub(crate) fn mutated(self, mutant: Option<Mutant>) -> Self {
        Self { mutant: Switch { mutant, ..Switch::default() }, ..self }
    }

    pub(super) fn forget_lines(&self, lines: &mut Vec<Line>) {
        if self.mutant.is(Mutant::EndEarly) {
            lines.clear();
        }
    }

    pub(super) fn swap_after_record(&mut self) {
        self.shards = self.mutant.shards.unwrap_or(self.shards);
        let State::ReadEnds(product) = &self.state else { return };
        if let Some(early) = self.mutant.early.take() {
            self.on_ends(early);
        } else if self.mutant.is(Mutant::BoundBeforeEnds) && !product.is_planned() {
            let (product, bound) = (product.clone(), product.bound);
            self.state = self.fix(product, vec![], bound, None, None);
        }
    }

    pub(super) fn swap_after_ends(&mut self) {
        match self.state.clone() {
            State::FixBound(fixing) if self.mutant.is(Mutant::UnfixedBound) => {
                let Fixing { product, ends, fix, .. } = *fixing;
                let forged = FixedBound::forged(fix.bound);
                self.state = State::of_bound(forged, true, fix.written_over(product), ends);
            }
            State::ReadCursors(plan, ends) if self.mutant.is(Mutant::FixAgain) => {
                let bound = plan.product.bound_over(ends.iter().filter_map(|end| end.last));
                let product = Product { planned: None, ..plan.product };
                self.state = self.fix(product, ends, bound, None, None);
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
