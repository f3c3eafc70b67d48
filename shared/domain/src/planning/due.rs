//! What is due of a product by itself: the plan of a restock that was held back, the end of a wave, the next wave. A timer
//! leads to it; the product says whether it is due still. It may come to two sweeps at a time, late, or never: then the
//! next sweep finds it again.

use jiff::Timestamp;

use super::state::State;
use super::{Cause, Outcome, Planning};
use crate::product::{Awaited, Due, Product, StoredProduct};

impl Planning {
    /// What to do with what was due when the timer was written, by the product as it stands.
    pub(super) fn decide_due(&mut self, seen: Due, known: StoredProduct) {
        let StoredProduct { product, rules, .. } = known;
        let Some(mut product) = product.filter(|product| product.due == Some(seen)) else {
            self.state = State::Finished(Outcome::Stale);
            return;
        };
        self.cause = Cause::Due(seen, Some(product.restock_id.clone()));
        let rules = self.in_force(&rules, product.own_rules.as_deref());
        let in_stock = rules.in_stock(product.availability, product.quantity);
        let opens = rules.opens(self.now);
        product.rules = Some(rules).filter(|rules| !rules.is_empty()).map(Box::new);
        self.state = match seen.what {
            Awaited::Release => State::Finished(Outcome::Held),
            Awaited::End => State::ReadEnds(product),
            // By rules that have changed since.
            Awaited::Plan | Awaited::Wave | Awaited::Lanes if !in_stock => {
                self.put_off(&product, None, Outcome::SoldOut)
            }
            what if opens > self.now => self.put_off(&product, Some(Due::new(opens, what)), Outcome::Held),
            Awaited::Plan | Awaited::Wave | Awaited::Lanes => State::ReadEnds(product),
        };
    }

    /// The product waits for something else from here on, or for nothing more.
    fn put_off(&self, product: &Product, next: Option<Due>, outcome: Outcome) -> State {
        let Cause::Due(seen, _) = self.cause else { return State::Finished(outcome) };
        State::PutOff { turn: product.turn, seen, next, outcome }.after_timer(next)
    }

    /// What to do once it is known that all the subscribers of a wave had their turn: the next one comes a while later, if the
    /// ceiling is not reached.
    pub(super) fn ended(&self, product: &Product) -> State {
        if product.is_open() {
            return self.over(product);
        }
        let at = self.now.checked_add(product.rules().wave_every()).unwrap_or(Timestamp::MAX);
        self.put_off(product, Some(Due::new(at, Awaited::Wave)), Outcome::Awaits)
    }

    /// Every wave has come.
    pub(super) fn over(&self, product: &Product) -> State {
        self.put_off(product, None, Outcome::Over)
    }

    /// It waits for something else, or another sweep was faster, or an update.
    pub fn on_put_off(&mut self) {
        let State::PutOff { outcome, .. } = self.take() else { super::order::out_of_turn() };
        self.state = State::Finished(outcome);
    }
}
