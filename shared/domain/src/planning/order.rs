//! The order of the steps: what is next, and where each answer leads.

use super::bound::FixedBound;
use super::state::{Plan, State};
use super::{BoundWrite, Outcome, Planning, ShardEnd, Step};
use crate::cursor::Cursor;
use crate::product::{Product, UpdateOrder};
use crate::stock::ProductInfo;
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
        let restock = &self.restock;
        match &self.state {
            State::TakeName => Step::TakeName(restock),
            State::ReadDetails => Step::ReadDetails,
            State::RecordStockUpdate(details) => Step::RecordStockUpdate {
                version: &self.version,
                restock,
                quantity: self.quantity,
                details: details.as_ref(),
            },
            State::ReadEnds(_) => Step::ReadEnds,
            State::FixBound { bound, .. } => Step::FixBound { restock, bound: *bound },
            State::ReadCursors(_, ends) => Step::ReadCursors(ends),
            State::CloseDelivered(_, delivered) => Step::CloseDelivered(delivered),
            State::RecordPlan(plan) => {
                Step::RecordPlan { restock, bound: plan.bound.position(), jobs: &plan.jobs }
            }
            State::OpenFanOuts(plan) => Step::OpenFanOuts(&plan.jobs),
            State::DeliverInline(Plan { product, jobs, first, .. }) => {
                Step::DeliverInline { product, jobs, first: *first }
            }
            State::Emit(jobs) => Step::Emit(jobs),
            State::Finished(outcome) => Step::Finished(*outcome),
        }
    }

    /// The restock has this name: the one asked for, or where that is another product's, the one made of both.
    pub fn on_name(&mut self, restock: RestockId) {
        let State::TakeName = self.take() else { out_of_turn() };
        self.restock = restock;
        self.state = State::of_details(self.news.as_ref());
    }

    /// What emails say of the product so far.
    pub fn on_details(&mut self, known: Option<ProductInfo>) {
        let State::ReadDetails = self.take() else { out_of_turn() };
        self.state = State::RecordStockUpdate(ProductInfo::after(known, self.news.as_ref()));
    }

    /// The update is recorded, and the product is now this.
    pub fn on_recorded(&mut self, product: Product) {
        let State::RecordStockUpdate(_) = self.take() else { out_of_turn() };
        self.go_on_from(product);
    }

    /// The update is not recorded; the product is this (`None`: never recorded, so that nothing is known of a condition
    /// that did not hold, and nothing is done).
    pub fn on_refused(&mut self, known: Option<Product>) {
        let State::RecordStockUpdate(_) = self.take() else { out_of_turn() };
        let in_stock = self.quantity != Some(0);
        let order = Product::update_order(known.as_ref(), &self.version, &self.restock, in_stock);
        match known.filter(|_| order == UpdateOrder::Duplicate) {
            Some(product) => self.go_on_from(product),
            None => self.state = State::Finished(Outcome::Stale),
        }
    }

    fn go_on_from(&mut self, product: Product) {
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
            let Some(job) = plan.bound.job(&self.restock, &self.product, end.shard) else { continue };
            let done = cursor_of(end.shard).is_some_and(|cursor| cursor.is_done(end.last, job.bound));
            if done { &mut delivered } else { &mut plan.jobs }.push(job);
        }
        // Only where the restock comes again: the worker that delivered the last of a shard may have died before closing it.
        self.state = if plan.first || delivered.is_empty() {
            State::RecordPlan(plan)
        } else {
            State::CloseDelivered(plan, delivered)
        };
    }

    /// Those fan-outs are closed.
    pub fn on_closed(&mut self) {
        let State::CloseDelivered(plan, _) = self.take() else { out_of_turn() };
        self.state = State::RecordPlan(plan);
    }

    /// The plan is recorded.
    pub fn on_plan_recorded(&mut self) {
        let State::RecordPlan(plan) = self.take() else { out_of_turn() };
        self.state = State::OpenFanOuts(plan);
    }

    /// The fan-outs are open.
    pub fn on_opened(&mut self) {
        let State::OpenFanOuts(plan) = self.take() else { out_of_turn() };
        self.state = State::DeliverInline(plan);
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
