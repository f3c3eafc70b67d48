//! Cutting a wave: how far the ceiling is opened for as many subscribers as the rules let be told at once. They are counted
//! from where each shard is delivered to, so whoever an earlier wave left out, because stock ran out, is in the next one.

use super::state::{Cut, Fixing, State};
use super::{Cause, Fix, Found, Line, Outcome, Planning, ShardEnd};
use crate::cursor::Cursor;
use crate::product::{Awaited, Due, Product, Wave};
use crate::{Position, Shard};

impl Planning {
    /// What follows once the ends of a product's shards are known, of a restock that has no bound yet.
    pub(super) fn first_bound(&self, product: Product, ends: Vec<ShardEnd>) -> State {
        let bound = product.bound_over(ends.iter().filter_map(|end| end.last));
        let size = product.rules().wave(product.availability, product.quantity);
        match (bound, size) {
            (Some(_), Some(_)) => State::read_lines(product, ends),
            _ => self.fix(product, ends, bound, None, None),
        }
    }

    /// The lines of a product, as its cursors have them; a cursor that cannot be read says nothing of its shard.
    pub(super) fn on_lines<'c>(
        &self,
        product: Product,
        ends: Vec<ShardEnd>,
        cursor_of: impl Fn(Shard) -> Option<&'c Cursor>,
    ) -> State {
        let lines = ends.iter().map(|end| line(end, cursor_of(end.shard))).collect();
        let last = ends.iter().filter_map(|end| end.last);
        let (ceiling, size) = match (self.awaited(), product.reach()) {
            (Some(Awaited::End), reach) => (reach, 1),
            (Some(Awaited::Wave), _) => (product.bound, self.size(&product)),
            _ => (product.bound_over(last), self.size(&product)),
        };
        #[cfg(test)]
        let ceiling = if self.is_past_ceiling() { Some(Position::END) } else { ceiling };
        match ceiling {
            Some(ceiling) => State::FindWave(Cut { product, ends, lines, ceiling, size }),
            None => self.over(&product),
        }
    }

    fn size(&self, product: &Product) -> u64 {
        product.rules().wave(product.availability, product.quantity).unwrap_or(u64::MAX)
    }

    /// How far the wave comes; `None`: no subscriber waits for it.
    pub(super) fn cut(&self, cut: Cut, found: Option<Found>) -> State {
        let Cut { product, ends, mut lines, ceiling, size } = cut;
        let firsts = found.as_ref().map(|found| found.firsts.as_slice()).unwrap_or_default();
        let until = found.as_ref().map_or(Position::START, |found| found.bound);
        let first_of = |line: &Line| firsts.iter().find(|(shard, _)| *shard == line.shard).map(|(_, at)| *at);
        if self.awaited() == Some(Awaited::End) {
            #[cfg(test)]
            self.forget_lines(&mut lines);
            lines.retain(|line| !line.is_idle || first_of(line).is_some());
            if lines.is_empty() {
                return self.ended(&product);
            }
            let jobs = self.jobs(&product, &lines);
            return State::OpenMissing(jobs);
        }
        let waits = found.is_some();
        lines.retain(|line| !line.is_idle || first_of(line).is_some_and(|first| first <= until));
        let number = product.wave.filter(|_| product.is_planned()).map_or(1, |wave| wave.number + 1);
        if !waits && number > 1 {
            return self.over(&product);
        }
        let wave = found.map(|found| Wave { number, bound: found.bound, size });
        self.fix(product, ends, Some(ceiling), wave, Some(lines))
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
        let due = has_end.then(|| Due::new(self.now, Awaited::End));
        let fix = Fix {
            restock: product.restock_id.clone(),
            version: product.version.clone(),
            bound,
            turn: product.turn,
            wave,
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
        if let State::OpenMissing(jobs) = &self.state
            && jobs.is_empty()
        {
            self.state = State::Finished(Outcome::Awaits);
        }
    }
}

/// Up to where a shard is delivered, or being delivered.
fn line(end: &ShardEnd, cursor: Option<&Cursor>) -> Line {
    let through = cursor.and_then(|cursor| cursor.in_flight.as_ref()).map(|call| call.through);
    let committed = cursor.map_or(Position::START, |cursor| cursor.committed);
    let is_idle = cursor.is_none_or(|cursor| cursor.in_flight.is_none() && cursor.pending_retries.is_empty());
    Line { shard: end.shard, after: committed.max(through.unwrap_or(committed)), is_idle }
}
