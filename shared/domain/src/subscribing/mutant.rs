//! Mistakes in the order of the steps, which the model must find. Nothing of this is in a build that is not a test's.

use super::place::Place;
use super::{Outcome, State, Step, Subscribed, Subscribing, Write};
use crate::product::Product;
use crate::{Position, Shard};

/// A step left out or in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// The subscription is written first and its entry later.
    EntryAfterSubscription,
    /// The product is looked at before the entry is written, and not after.
    LookBeforeWrite,
    /// An entry that a fan-out may have passed by is not moved.
    NoMove,
    /// After a move the product is not looked at again.
    NoLookAfterMove,
    /// A repeat after its turn takes a position that may be at or below the bound.
    RepeatFromStart,
    /// A repeat does not see that its turn is over.
    NoNoteOfConsumed,
    /// A repeat looks at the product without taking the place over.
    NoTakeOver,
    /// A repeat's move does not depend on the product.
    MoveUnchecked,
    /// After an ask is confirmed the product is not looked at.
    NoLookAfterConfirm,
    /// A place goes into a shard of the number that the list is to be raised to, before that is written.
    ShardBeforeRaise,
    /// A place goes into a lane that is not opened.
    LaneBeforeRaise,
}

/// Which mistake a request makes, if any, and what it keeps for that.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Switch {
    mutant: Option<Mutant>,
    early: Option<Option<Product>>,
    in_stock: bool,
}

impl Switch {
    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(super) fn hurries(&self, state: &State) -> Option<Step<'static>> {
        let hurries = self.is(Mutant::LookBeforeWrite) && *state == State::Insert && self.early.is_none();
        hurries.then_some(Step::ReadProduct)
    }

    /// Whether the product is kept for later.
    pub(super) fn keeps(&mut self, state: &State, product: Option<&Product>) -> bool {
        let keeps = self.hurries(state).is_some();
        if keeps {
            self.early = Some(product.cloned());
        }
        keeps
    }

    pub(super) fn of_look(&mut self, bound: Option<Position>, in_stock: bool) -> Option<Position> {
        self.in_stock = in_stock && self.is(Mutant::NoLookAfterMove);
        bound.filter(|_| !self.is(Mutant::NoMove))
    }
}

impl Subscribing {
    /// The same request with a mistake.
    pub(crate) fn mutated(self, mutant: Option<Mutant>) -> Self {
        Self { mutant: Switch { mutant, ..Switch::default() }, ..self }
    }

    /// A confirmation of the same subscriber.
    pub(crate) fn into_confirmation(self) -> Self {
        Self { confirms: Some(false), state: State::ReadSubscription, ..self }
    }

    /// For a model that has as many rounds as it wants.
    pub(crate) fn forget_rounds(&mut self) {
        self.round = 0;
    }

    pub(super) fn swap_after_insert(&mut self) {
        match self.state {
            State::Look(place) if self.mutant.is(Mutant::EntryAfterSubscription) => {
                self.state = State::WriteEntry(place.position());
            }
            State::Look(_) => {
                if let Some(early) = self.mutant.early.take() {
                    self.on_stock(early.as_ref());
                }
            }
            State::BackOff => self.mutant.early = None,
            _ => {}
        }
    }

    pub(super) fn swap_after_confirm(&mut self) {
        if let State::Look(place) = self.state
            && self.mutant.is(Mutant::NoLookAfterConfirm)
        {
            let (new, shard, position) = (place.is_new(), place.shard(), place.position());
            self.state =
                State::Finished(Outcome::Subscribed(Subscribed { new, shard, position, in_stock: false }));
        }
    }

    /// The entry that was missing is written.
    pub(crate) fn on_entry_written(&mut self) {
        if let State::WriteEntry(position) = self.state {
            self.state = State::Look(Place::forged(Shard::first(self.lane), position));
        }
    }

    pub(super) fn swap_after_entry(&mut self) {
        if let State::TakeOver(_) = self.state
            && self.mutant.is(Mutant::NoTakeOver)
        {
            self.on_taken_over(Write::Applied);
        }
    }

    pub(super) fn swap_after_look(&mut self) {
        if let State::Move(.., looked) = &mut self.state
            && self.mutant.is(Mutant::MoveUnchecked)
        {
            *looked = None;
        }
    }

    pub(super) fn swap_after_move(&mut self) {
        if let State::Look(place) = self.state
            && self.mutant.is(Mutant::NoLookAfterMove)
        {
            let (new, shard, position) = (place.is_new(), place.shard(), place.position());
            let in_stock = self.mutant.in_stock;
            self.state = State::Finished(Outcome::Subscribed(Subscribed { new, shard, position, in_stock }));
        }
    }
}
