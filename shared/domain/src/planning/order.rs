//! The order of the steps: what is next, and where each answer leads.

use super::bound::FixedBound;
use super::state::{Plan, State};
use super::{BoundWrite, Outcome, Planning, ShardEnd, Step};
use crate::cursor::Cursor;
use crate::job::Job;
use crate::product::{Product, StoredProduct};
use crate::{RestockId, Shard};

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
        let restock = &self.event.restock;
        match &self.state {
            State::TakeName => Step::TakeName(restock),
            State::ReadProduct => Step::ReadProduct,
            State::RecordStockUpdate(update) => Step::RecordStockUpdate(update),
            State::RecordSale(update) => Step::RecordSale(update),
            State::ReadEnds(_) => Step::ReadEnds(self.shards),
            State::FixBound { product, bound, .. } => {
                Step::FixBound { restock, version: &product.version, bound: *bound }
            }
            State::ReadCursors(_, ends) => Step::ReadCursors(ends),
            State::CloseDelivered(_, delivered) => Step::CloseDelivered(delivered),
            State::RecordPlan(plan) => {
                let (bound, shards) = (plan.bound.position(), self.shards);
                Step::RecordPlan { restock, bound, shards, jobs: &plan.jobs }
            }
            State::OpenFanOuts(plan) => Step::OpenFanOuts(&plan.jobs),
            State::DeliverInline(Plan { product, jobs, .. }) => Step::DeliverInline { product, jobs },
            State::Emit(jobs) => Step::Emit(jobs),
            State::Finished(outcome) => Step::Finished(*outcome),
        }
    }

    /// The restock has this name: the one asked for, or where that is another product's, the one made of both.
    pub fn on_name(&mut self, restock: RestockId) {
        let State::TakeName = self.take() else { out_of_turn() };
        self.event.restock = restock;
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
        self.under_way = before.as_ref().is_some_and(|known| known.in_stock() && known.is_planned());
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
        self.state =
            if product.in_stock() { State::ReadEnds(product) } else { State::Finished(Outcome::SoldOut) };
        #[cfg(test)]
        self.swap_after_record();
    }

    /// The ends of all shards. The bound is the last position of any, unless it is fixed already.
    pub fn on_ends(&mut self, ends: Vec<ShardEnd>) {
        #[cfg(test)]
        let Some(ends) = self.mutant.kept(&mut self.state, ends) else { return };
        let State::ReadEnds(product) = self.take() else { out_of_turn() };
        self.state = match FixedBound::found(&product) {
            Some(bound) => State::of_bound(bound, false, product, ends),
            None => {
                let bound = product.bound_over(ends.iter().filter_map(|end| end.last));
                State::FixBound { product, ends, bound }
            }
        };
        #[cfg(test)]
        self.swap_after_ends();
    }

    /// What became of the write of the bound: only a restock for which it stands goes on.
    pub fn on_bound(&mut self, write: BoundWrite) {
        let State::FixBound { product, ends, bound } = self.take() else { out_of_turn() };
        // Where another planner fixed it, that one's deliveries may have begun.
        let first = write == BoundWrite::Fixed;
        self.state = match FixedBound::won(write, bound) {
            Some(fixed) => State::of_bound(fixed, first, product, ends),
            None => State::Finished(Outcome::Overtaken),
        };
        #[cfg(test)]
        self.swap_after_bound();
    }

    /// The cursor of each of the step's shards; `None` where it cannot be read: the worker on its job finds out more.
    pub fn on_cursors<'c>(&mut self, cursor_of: impl Fn(Shard) -> Option<&'c Cursor>) {
        let State::ReadCursors(mut plan, ends) = self.take() else { out_of_turn() };
        let mut delivered = Vec::new();
        for end in ends {
            let Some(job) = plan.bound.job(&self.event.restock, &self.product, end.shard) else { continue };
            let done = cursor_of(end.shard).is_some_and(|cursor| cursor.is_done(end.last, job.bound));
            if done { &mut delivered } else { &mut plan.jobs }.push(job);
        }
        // Only where the restock comes again: the worker that delivered the last of a shard may have died before closing it.
        self.state = if plan.first || delivered.is_empty() {
            State::of_plan(plan)
        } else {
            State::CloseDelivered(plan, delivered)
        };
    }

    /// Those fan-outs are closed.
    pub fn on_closed(&mut self) {
        let State::CloseDelivered(plan, _) = self.take() else { out_of_turn() };
        self.state = State::of_plan(plan);
    }

    /// The plan is recorded.
    pub fn on_plan_recorded(&mut self) {
        let State::RecordPlan(plan) = self.take() else { out_of_turn() };
        self.state = State::OpenFanOuts(plan);
    }

    /// The fan-outs of these jobs are open, each with its ticket. The others were not opened, because a later one is, whose
    /// job covers them.
    pub fn on_opened(&mut self, opened: Vec<Job>) {
        let State::OpenFanOuts(plan) = self.take() else { out_of_turn() };
        self.state = if opened.is_empty() {
            State::Finished(Outcome::Planned)
        } else if plan.first && !self.under_way {
            State::DeliverInline(Plan { jobs: opened, ..plan })
        } else {
            State::Emit(opened)
        };
    }

    /// Each shard was begun, but these `left`.
    pub fn on_delivered(&mut self, left: &[Shard]) {
        let State::DeliverInline(mut plan) = self.take() else { out_of_turn() };
        plan.jobs.retain(|job| left.contains(&job.shard));
        self.state =
            if plan.jobs.is_empty() { State::Finished(Outcome::Planned) } else { State::Emit(plan.jobs) };
    }

    /// The jobs are on the topic.
    pub fn on_emitted(&mut self) {
        let State::Emit(_) = self.take() else { out_of_turn() };
        self.state = State::Finished(Outcome::Planned);
    }

    fn take(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Finished(Outcome::Stale))
    }
}

#[expect(clippy::panic, reason = "a mistake in the caller's loop")]
fn out_of_turn() -> ! {
    panic!("an answer to another step than the next one")
}
