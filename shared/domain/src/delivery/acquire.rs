//! Taking a shard over. A call without an answer is resolved first: as the setting `ON_UNKNOWN` says, or passed where its recipients
//! were in such a call before. Recipients who are passed are written down before the cursor passes them; a call that is sent again
//! is left alone for a while before. Then the count is switched to this restock's.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::limits::{FLIGHT_LIMIT, FRESH, SECOND_TRY};
use super::refusals::Refusals;
use super::state::{AfterDoubt, Leave, Stage, Standing, State};
use super::{Delivery, Now, Pace, Report, Terms};
use crate::cursor::{Availability, Cursor, MAX_CALL, OnUnknown, Tally};
use crate::product::Product;

/// What came of taking a shard over.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Acquire<R> {
    /// It is this worker's, until another one writes its cursor.
    Acquired(Box<Delivery<R>>),
    /// Another worker's call may be under way, or it is in doubt and too young to be sent again.
    Busy {
        /// When to read the cursor and try again; `None` where the deadline has come.
        retry_in: Option<Duration>,
    },
    /// The product has no bound, so no restock was planned.
    NotPlanned,
}

impl<R> Delivery<R> {
    /// Takes over the shard with this cursor, which was read under this fencing token, for a product that was read at uptime 0.
    /// Should another worker have written the cursor since, that one has the shard, and the first write here finds out.
    pub fn acquire(
        terms: Terms,
        product: &Product,
        cursor: &Cursor,
        fencing_token: Option<&str>,
        now: Now,
    ) -> Acquire<R> {
        let Some(reach) = product.reach() else { return Acquire::NotPlanned };
        let bound = reach.of(terms.lane);
        let limit = match cursor.settlement(terms.on_unknown) {
            OnUnknown::Resend => SECOND_TRY,
            OnUnknown::Skip => FLIGHT_LIMIT,
        };
        let availability = cursor.availability(now.wall, limit);
        #[cfg(test)]
        let availability = match (terms.mutant, &cursor.in_flight) {
            (Some(super::Mutant::DoubtYoungCall), Some(call)) => Availability::InDoubt(call.clone()),
            _ => availability,
        };
        if let Availability::Busy { until } = availability {
            return Acquire::Busy { retry_in: retry_in(until, terms.deadline, now) };
        }
        let mut delivery = Self {
            bound: terms.bound.min(bound),
            terms,
            cursor: cursor.clone(),
            standing: Standing::Free,
            fencing_token: fencing_token.map(str::to_owned),
            read_ahead: VecDeque::new(),
            exhausted: false,
            retries: BTreeMap::new(),
            leave: Leave::of(product, now.wall),
            looked: Duration::ZERO,
            pace: Pace { call_size: MAX_CALL, ahead: 0 },
            slots_outdated: false,
            accepted: 0,
            fruitless: 0,
            refusals: Refusals::default(),
            slot_wait: Duration::ZERO,
            reports: VecDeque::new(),
            stage: Stage::TakingOver,
            state: State::Unanswered,
        };
        #[cfg(test)]
        if delivery.is(super::Mutant::PassBound) {
            delivery.bound = crate::Position::END;
        }
        match availability {
            Availability::InDoubt(_) => delivery.resolve_in_doubt(AfterDoubt::TakeOver),
            _ => delivery.switch_tally(),
        }
        Acquire::Acquired(Box::new(delivery))
    }

    /// Resolves the call in flight. Where it is passed, its recipients are read and written down first.
    pub(super) fn resolve_in_doubt(&mut self, then: AfterDoubt) {
        #[cfg(test)]
        if self.is(super::Mutant::TakeDoubtForDelivered) {
            self.change(self.cursor.commit(crate::cursor::Answer::default()));
            return self.switch_tally();
        }
        match &self.cursor.in_flight {
            Some(call) if self.cursor.settlement(self.terms.on_unknown) == OnUnknown::Skip => {
                let through = call.through;
                self.state = State::ReadInDoubt { through, then };
                if through <= self.cursor.committed {
                    self.on_entries(Vec::new(), true);
                }
            }
            _ => self.resolved(then),
        }
    }

    pub(super) fn resolved(&mut self, then: AfterDoubt) {
        let resolved = self.cursor.settlement(self.terms.on_unknown);
        let count = self.cursor.in_flight.as_ref().map_or(0, |call| call.count);
        self.reports.push_back(Report::InDoubt { count, resolved });
        self.change(self.cursor.resolve_in_doubt(self.terms.on_unknown));
        #[cfg(test)]
        if self.is(super::Mutant::ForgetDoubt) {
            self.cursor.doubted = None;
        }
        match then {
            AfterDoubt::TakeOver => self.switch_tally(),
            AfterDoubt::BackOff => self.state = State::BackOff,
        }
    }

    /// Lets the cursor count for this restock. The count so far of the one before, which a crash may have kept from the summary,
    /// is written there.
    fn switch_tally(&mut self) {
        match &self.cursor.tally {
            Some(tally) if tally.restock_id == self.terms.restock_id => self.acquired(),
            Some(before) => self.state = State::WriteSummary(before.clone()),
            None => self.read_tally(),
        }
    }

    pub(super) fn read_tally(&mut self) {
        self.state = State::ReadTally;
        if self.terms.first {
            self.on_tally(None);
        }
    }

    /// What the shard has counted for the restock so far; `None`: nothing.
    pub fn on_tally(&mut self, tally: Option<Tally>) {
        let State::ReadTally = self.take_state() else { return };
        let tally = tally.unwrap_or_else(|| Tally::new(self.terms.restock_id.clone()));
        // By itself this needs no write: it goes out with the first one.
        self.cursor = self.cursor.switch_tally_to(tally);
        self.acquired();
    }

    fn acquired(&mut self) {
        self.stage = Stage::Delivering;
        self.state = State::Begin;
    }
}

/// When to look again at a call that is over by `until`: after a second at most, and at the deadline.
fn retry_in(until: jiff::Timestamp, deadline: Duration, now: Now) -> Option<Duration> {
    let left = Duration::try_from(until.duration_since(now.wall)).unwrap_or_default();
    let time = deadline.saturating_sub(now.uptime);
    (!time.is_zero()).then(|| left.min(FRESH).min(time))
}
