//! Cutting a wave: how far the ceiling is opened for as many subscribers as the rules let be told at once. They are counted
//! from where each shard is delivered to, so whoever an earlier wave left out, because stock ran out, is in the next one.

use jiff::Timestamp;

use super::state::{Cut, Fixing, State};
use super::{Cause, Fix, Found, Line, Outcome, Planning, ShardEnd};
use crate::cursor::Cursor;
use crate::product::{Awaited, Due, Product, Reach, Wave};
use crate::{Lane, Position, Shard};

impl Planning {
    /// What follows once the ends of a product's shards are known, of a restock that has no bound yet.
    pub(super) fn first_bound(&self, product: Product, ends: Vec<ShardEnd>) -> State {
        let bound = product.bound_over(ends.iter().filter_map(|end| end.last));
        let size = product.rules().wave(product.availability, product.quantity);
        if bound.is_some() && (size.is_some() || has_head_start(&product, &ends)) {
            State::read_lines(product, ends)
        } else {
            self.fix(product, ends, bound, None, None)
        }
    }

    /// The lines of a product, as its cursors have them; a cursor that cannot be read says nothing of its shard.
    pub(super) fn on_lines<'c>(
        &self,
        product: Product,
        ends: Vec<ShardEnd>,
        cursor_of: impl Fn(Shard) -> Option<&'c Cursor>,
    ) -> State {
        let last = ends.iter().filter_map(|end| end.last);
        let bound = if product.is_planned() { product.bound } else { product.bound_over(last) };
        let Some(bound) = bound else { return self.over(&product) };
        let through = match (self.awaited(), product.reach()) {
            (Some(Awaited::End), Some(reach)) => reach,
            _ => Reach::all(bound),
        };
        let mut lines: Vec<Line> =
            ends.iter().map(|end| line(end, cursor_of(end.shard), through.of(end.shard.lane))).collect();
        let first = lines.iter().find(|line| line.shard.lane == Lane::PriorityMail && line.may_wait(&ends));
        let heads_off = first.is_some() && !product.is_planned() && has_head_start(&product, &ends);
        if heads_off {
            lines.retain(|line| line.shard.lane == Lane::PriorityMail);
        }
        let size = product.rules().wave(product.availability, product.quantity);
        match (self.awaited(), size) {
            (Some(Awaited::End), _) => State::FindWave(Cut { product, ends, lines, bound, size: 1 }),
            (_, Some(size)) => State::FindWave(Cut { product, ends, lines, bound, size }),
            (_, None) => {
                // Everybody, or everybody with priority.
                let reach = Reach { priority: bound, mail: Position::START };
                let wave = heads_off.then_some(Wave { number: 1, reach, size: None });
                lines.retain(|line| !line.is_idle || line.may_wait(&ends));
                self.fix(product, ends, Some(bound), wave, Some(lines))
            }
        }
    }

    /// How far the wave comes; `None`: no subscriber waits for it.
    pub(super) fn cut(&self, cut: Cut, found: Option<Found>) -> State {
        let Cut { product, ends, mut lines, bound, size } = cut;
        let firsts = found.as_ref().map(|found| found.firsts.as_slice()).unwrap_or_default();
        let first_of = |line: &Line| firsts.iter().find(|(shard, _)| *shard == line.shard).map(|(_, at)| *at);
        if self.awaited() == Some(Awaited::End) {
            #[cfg(test)]
            self.forget_lines(&mut lines);
            lines.retain(|line| !line.is_idle || first_of(line).is_some());
            return if lines.is_empty() { self.ended(&product) } else { self.open_missing(&product, &lines) };
        }
        let reach = found.as_ref().map(|found| found.reach);
        let is_in = |line: &Line, first| reach.is_some_and(|reach| first <= reach.of(line.shard.lane));
        lines.retain(|line| !line.is_idle || first_of(line).is_some_and(|first| is_in(line, first)));
        let number = product.wave.filter(|_| product.is_planned()).map_or(1, |wave| wave.number + 1);
        if reach.is_none() && product.is_planned() {
            return self.over(&product);
        }
        let wave = reach.map(|reach| Wave { number, reach, size: Some(size) });
        self.fix(product, ends, Some(bound), wave, Some(lines))
    }

    /// The fan-outs of a wave that has not ended; their planner may have died before it opened them.
    fn open_missing(&self, product: &Product, lines: &[Line]) -> State {
        let jobs = self.jobs(product, lines);
        if jobs.is_empty() { State::Finished(Outcome::Awaits) } else { State::OpenMissing(jobs) }
    }

    /// Fix this bound, and open it up to this wave.
    pub(super) fn fix(
        &self,
        product: Product,
        ends: Vec<ShardEnd>,
        bound: Option<Position>,
        wave: Option<Wave>,
        lines: Option<Vec<Line>>,
    ) -> State {
        // A restock that no record comes again for, or whose waves go on, is looked after by the sweep.
        let has_end = wave.is_some() || matches!(self.cause, Cause::Due(..));
        let heads_off = wave.is_some() && !product.is_planned() && has_head_start(&product, &ends);
        let due = if heads_off {
            let at = self.now.checked_add(product.rules().head_start()).unwrap_or(Timestamp::MAX);
            Some(Due::new(at, Awaited::Lanes))
        } else {
            has_end.then(|| Due::new(self.now, Awaited::End))
        };
        let reach = bound.map(|bound| wave.map_or(Reach::all(bound), |wave| wave.reach));
        let farthest = match (product.farthest, reach) {
            (Some(before), Some(reach)) => Some(before.max(reach)),
            (before, reach) => before.or(reach),
        };
        let fix = Fix {
            restock: product.restock_id.clone(),
            version: product.version.clone(),
            bound,
            turn: product.turn,
            wave,
            farthest,
            due,
            rules: product.rules.clone(),
            is_next_wave: product.is_planned(),
        };
        State::FixBound(Box::new(Fixing { product, ends, fix, lines })).after_timer(due)
    }

    /// What was due; `None` of an update.
    pub(super) fn awaited(&self) -> Option<Awaited> {
        match &self.cause {
            Cause::Due(due, _) => Some(due.what),
            Cause::Update(..) => None,
        }
    }

    /// The timer is written.
    pub fn on_timer(&mut self) {
        let State::WriteTimer(_, next) = self.take() else { super::order::out_of_turn() };
        self.state = *next;
    }

    /// How far the wave comes; `None`: no subscriber waits past the lines.
    pub fn on_wave(&mut self, found: Option<Found>) {
        let State::FindWave(cut) = self.take() else { super::order::out_of_turn() };
        self.state = self.cut(cut, found);
    }
}

/// Whether the priority lane is told before the other.
fn has_head_start(product: &Product, ends: &[ShardEnd]) -> bool {
    let has_priority = || ends.iter().any(|end| end.shard.lane == Lane::PriorityMail && end.last.is_some());
    !product.rules().head_start().is_zero() && has_priority()
}

impl Line {
    /// Whether a subscriber may wait in it, as far as its last position tells.
    fn may_wait(&self, ends: &[ShardEnd]) -> bool {
        let end = ends.iter().find(|end| end.shard == self.shard);
        end.and_then(|end| end.last).is_some_and(|last| last.min(self.through) > self.after)
    }
}

/// Up to where a shard is delivered, or being delivered.
fn line(end: &ShardEnd, cursor: Option<&Cursor>, through: Position) -> Line {
    let flies = cursor.and_then(|cursor| cursor.in_flight.as_ref()).map(|call| call.through);
    let committed = cursor.map_or(Position::START, |cursor| cursor.committed);
    let is_idle = cursor.is_none_or(|cursor| cursor.in_flight.is_none() && cursor.pending_retries.is_empty());
    Line { shard: end.shard, after: committed.max(flies.unwrap_or(committed)), through, is_idle }
}
