//! The order of the steps: what is next, and where each answer leads.

use super::bound::FixedBound;
use super::state::{Cut, Plan, State};
use super::{Cause, Outcome, Planning, ShardEnd, Step};
use crate::RestockId;
use crate::product::{Awaited, Product, StoredProduct};

/// Each answer must be to the step that [`Planning::next`] gives.
///
/// # Panics
/// When it is not.
impl Planning {
    /// The next thing to do; the same until it is answered.
    pub fn next(&self) -> Step<'_> {
        #[cfg(test)]
        if let Some(step) = self.mutant.hurries(&self.state) {
            return step;
        }
        match &self.state {
            State::TakeName => self.restock().map_or(Step::ReadProduct, Step::TakeName),
            State::ReadProduct => Step::ReadProduct,
            State::WriteTimer(due, _) => Step::WriteTimer(*due),
            State::RecordStockUpdate(update) => Step::RecordStockUpdate(update),
            State::RecordSale(update) => Step::RecordSale(update),
            State::ReadEnds(_) => Step::ReadEnds(self.shards),
            State::FindWave(Cut { lines, size, .. }) => Step::FindWave { lines, size: *size },
            State::FixBound(fixing) => Step::FixBound(&fixing.fix),
            State::ReadCursors(_, ends) | State::ReadLines(_, ends) => Step::ReadCursors(ends),
            State::CloseDelivered(_, delivered) => Step::CloseDelivered(delivered),
            State::RecordPlan(Plan { product, bound, jobs, .. }) => {
                let (restock, bound) = (&product.restock_id, bound.last());
                Step::RecordPlan { restock, bound, shards: self.shards, jobs }
            }
            State::OpenFanOuts(plan) => Step::OpenFanOuts(&plan.jobs),
            State::DeliverInline(Plan { product, jobs, first, .. }) => {
                Step::DeliverInline { product, jobs, first: *first }
            }
            State::OpenMissing(jobs) => Step::OpenMissing(jobs),
            State::Emit(jobs) => Step::Emit(jobs),
            State::PutOff { turn, seen, next, .. } => Step::PutOff { turn: *turn, seen: *seen, next: *next },
            State::Finished(outcome) => Step::Finished(*outcome),
        }
    }

    /// The restock has this name: the one asked for, or where that is another product's, the one made of both.
    pub fn on_name(&mut self, restock: RestockId) {
        let State::TakeName = self.take() else { out_of_turn() };
        if let Cause::Update(event, _) = &mut self.cause {
            event.restock = restock;
        }
        self.state = State::ReadProduct;
    }

    /// The product as it stands; without a product where no update was ever recorded.
    pub fn on_product(&mut self, known: StoredProduct) {
        let State::ReadProduct = self.take() else { out_of_turn() };
        #[cfg(test)]
        self.mutant.note_shards(known.shards);
        self.decide(known);
    }

    /// The update is recorded, and the product was this before; without a product where it is the first. The number of
    /// shards is as it was before: the update does not touch it.
    pub fn on_recorded(&mut self, before: StoredProduct) {
        let State::RecordStockUpdate(update) = self.take() else { out_of_turn() };
        let StoredProduct { product: before, shards, .. } = before;
        self.shards = shards;
        // Where its fan-out may be under way, the planner does not stay for it: the next update may be a sell-out.
        self.under_way = before.as_ref().is_some_and(|known| known.is_sendable() && known.is_planned());
        self.go_on_from(update.recorded_over(before));
    }

    /// The update, or the sale, is not recorded: another update came in between, and the product is this.
    pub fn on_refused(&mut self, known: StoredProduct) {
        let (State::RecordStockUpdate(_) | State::RecordSale(_)) = self.take() else { out_of_turn() };
        self.decide(known);
    }

    /// The sale is recorded.
    pub fn on_sale_recorded(&mut self) {
        let State::RecordSale(_) = self.take() else { out_of_turn() };
        self.state = State::Finished(Outcome::Sale);
    }

    pub(super) fn go_on_from(&mut self, product: Product) {
        self.state = if !product.in_stock() {
            State::Finished(Outcome::SoldOut)
        } else if product.is_held() && !product.is_planned() {
            State::Finished(Outcome::Held)
        } else {
            State::ReadEnds(product)
        };
        #[cfg(test)]
        self.swap_after_record();
    }

    /// The ends of all shards. The bound is the last position of any, unless it is fixed already.
    pub fn on_ends(&mut self, ends: Vec<ShardEnd>) {
        #[cfg(test)]
        let Some(ends) = self.mutant.kept(&mut self.state, ends) else { return };
        let State::ReadEnds(product) = self.take() else { out_of_turn() };
        self.state = match (self.awaited(), FixedBound::found(&product)) {
            (Some(Awaited::End | Awaited::Wave | Awaited::Lanes), Some(_)) => {
                State::read_lines(product, ends)
            }
            (_, Some(bound)) => State::of_bound(bound, false, product, ends),
            (_, None) => self.first_bound(product, ends),
        };
        #[cfg(test)]
        self.swap_after_ends();
    }

    pub(super) fn take(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Finished(Outcome::Stale))
    }
}

#[expect(clippy::panic, reason = "a mistake in the caller's loop")]
pub(super) fn out_of_turn() -> ! {
    panic!("an answer to another step than the next one")
}
