//! The order of the steps: what is next, and where each answer leads.

use super::bound::FixedBound;
use super::state::{Cut, Fixing, Plan, State};
use super::{BoundWrite, Cause, Line, Outcome, Planning, ShardEnd, Step};
use crate::cursor::Cursor;
use crate::job::Job;
use crate::product::{Awaited, Product, StoredProduct};
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

    /// What became of the write of the bound: only a restock for which it stands goes on.
    pub fn on_bound(&mut self, write: BoundWrite) {
        let State::FixBound(fixing) = self.take() else { out_of_turn() };
        let Fixing { product, ends, fix, lines } = *fixing;
        self.state = match write {
            BoundWrite::Fixed => self.fixed(fix.written_over(product), fix.is_next_wave, ends, lines),
            // Where another planner fixed it, that one's deliveries may have begun.
            BoundWrite::Stands(product) if self.awaited().is_none() => match FixedBound::found(&product) {
                Some(bound) => State::of_bound(bound, false, *product, ends),
                None => State::Finished(Outcome::Overtaken),
            },
            BoundWrite::Stands(_) => State::Finished(Outcome::Awaits),
            BoundWrite::Overtaken => State::Finished(Outcome::Overtaken),
        };
        #[cfg(test)]
        self.swap_after_bound();
    }

    /// This planner has fixed the bound, or opened it up to the next wave.
    fn fixed(
        &self,
        product: Product,
        is_next_wave: bool,
        ends: Vec<ShardEnd>,
        lines: Option<Vec<Line>>,
    ) -> State {
        let Some(bound) = FixedBound::found(&product) else { return State::Finished(Outcome::Overtaken) };
        let Some(lines) = lines else { return State::of_bound(bound, true, product, ends) };
        let jobs = self.jobs(&product, &lines);
        State::of_plan(Plan { bound, product, first: !is_next_wave, begins: true, jobs })
    }

    /// A job for each of these lines.
    pub(super) fn jobs(&self, product: &Product, lines: &[Line]) -> Vec<Job> {
        let Some(bound) = FixedBound::found(product) else { return Vec::new() };
        let job = |line: &Line| bound.job(&product.restock_id, &self.product, line.shard);
        lines.iter().filter_map(job).collect()
    }

    /// The cursor of each of the step's shards; `None` where it cannot be read: the worker on its job finds out more.
    pub fn on_cursors<'c>(&mut self, cursor_of: impl Fn(Shard) -> Option<&'c Cursor>) {
        let (mut plan, ends) = match self.take() {
            State::ReadCursors(plan, ends) => (plan, ends),
            State::ReadLines(product, ends) => {
                self.state = self.on_lines(product, ends, cursor_of);
                return;
            }
            _ => out_of_turn(),
        };
        let mut delivered = Vec::new();
        for end in ends {
            let restock = &plan.product.restock_id;
            let Some(job) = plan.bound.job(restock, &self.product, end.shard) else { continue };
            let done = cursor_of(end.shard).is_some_and(|cursor| cursor.is_done(end.last, job.bound));
            if done { &mut delivered } else { &mut plan.jobs }.push(job);
        }
        // Only where the restock comes again: the worker that delivered the last of a shard may have died before closing it.
        self.state = if plan.begins || delivered.is_empty() {
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
        let plan = match self.take() {
            State::OpenFanOuts(plan) => plan,
            State::OpenMissing(_) if opened.is_empty() => return self.finish(Outcome::Awaits),
            State::OpenMissing(_) => {
                self.state = State::Emit(opened);
                return;
            }
            _ => out_of_turn(),
        };
        self.state = if opened.is_empty() {
            State::Finished(Outcome::Planned)
        } else if plan.begins && !self.under_way {
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

    fn finish(&mut self, outcome: Outcome) {
        self.state = State::Finished(outcome);
    }

    pub(super) fn take(&mut self) -> State {
        std::mem::replace(&mut self.state, State::Finished(Outcome::Stale))
    }
}

#[expect(clippy::panic, reason = "a mistake in the caller's loop")]
pub(super) fn out_of_turn() -> ! {
    panic!("an answer to another step than the next one")
}
