//! Once the bound stands: which shards have entries to deliver, and how their jobs are recorded, opened, begun and published.

use super::bound::FixedBound;
use super::order::out_of_turn;
use super::state::{Fixing, Plan, State};
use super::{BoundWrite, Line, Outcome, Planning, ShardEnd};
use crate::Shard;
use crate::cursor::Cursor;
use crate::job::Job;
use crate::product::Product;

/// Each answer must be to the step that [`Planning::next`] gives.
///
/// # Panics
/// When it is not.
impl Planning {
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
}
