//! A round, up to its call: look at the stock, read entries, reserve slots and wait for them.

use std::time::Duration;

use jiff::Timestamp;

use super::limits::{DEPARTURE, FRESH, LATE};
use super::refusals::AtTheEnd;
use super::state::{
    AfterEntries, AfterLook, AfterReject, AfterWait, AfterWrite, Leave, Stage, Standing, State,
};
use super::{Delivery, End, Now, RateAnswer};
use crate::Position;
use crate::product::Product;

impl<R> Delivery<R> {
    /// The first step of a round, or the last of a slice.
    pub(super) fn begin(&mut self, now: Now) {
        if now.uptime >= self.terms.deadline || self.accepted >= self.terms.max_emails {
            self.wind_up();
        } else {
            // Before the look at the stock and the announcement, both of which must be young when a call departs.
            self.state = State::Greet;
        }
    }

    /// Whether the answer to the last call is committed now, by a write of its own, because it came late or much time has passed
    /// since: left for the next announcement, it would come to look like one whose worker is gone.
    pub(super) fn is_commit_due(&self, now: Timestamp) -> bool {
        #[cfg(test)]
        if self.is(super::Mutant::NoLateCommit) {
            return false;
        }
        self.stage == Stage::Delivering
            && matches!(self.standing, Standing::Answered { announced: Some(announced) } if is_longer(announced, now, LATE))
            && self.state.leads_to_an_announcement()
    }

    /// Commits what was answered, and goes on then where it is.
    pub(super) fn commit_first(&mut self) {
        let then = AfterWrite::GoOn(Box::new(self.take_state()));
        self.state = State::WriteCursor { cursor: self.cursor.clone(), then };
    }

    /// The slice is over: whether an entry is left decides how.
    fn wind_up(&mut self) {
        let read = self.cursor.pending_retries.is_empty() && self.read_ahead.is_empty();
        if !read {
            return self.release(End::More);
        }
        if self.exhausted || self.read_to() >= self.bound {
            return self.release(End::Delivered);
        }
        self.state = State::ReadEntries { limit: 1, then: AfterEntries::WindUp };
    }

    pub(super) fn wound_up(&mut self) {
        self.release(if self.read_ahead.is_empty() { End::Delivered } else { End::More });
    }

    /// Whether the product can be bought, as of a moment ago: before a round, so that none begins in vain, and again once the slots
    /// may be used, because the product may have sold out while they were waited for.
    pub(super) fn look(&mut self, then: AfterLook, now: Now) {
        #[cfg(test)]
        if self.is(super::Mutant::NoSecondLook) {
            return self.looked_at(then);
        }
        if now.uptime.saturating_sub(self.looked) >= FRESH {
            self.state = State::ReadProduct(then);
        } else {
            self.looked_at(then);
        }
    }

    /// The product as it was read at this time; `None` where there is none.
    pub fn on_product(&mut self, product: Option<&Product>, now: Now) {
        let State::ReadProduct(then) = self.take_state() else { return };
        self.looked = now.uptime;
        if let Some(product) = product {
            self.leave = Leave::of(product, now.wall);
            self.stay_within(product.reach().map(|reach| reach.of(self.terms.lane)));
        }
        self.looked_at(then);
    }

    /// Another restock may have a smaller wave than the one whose entries were read ahead.
    fn stay_within(&mut self, reach: Option<Position>) {
        #[cfg(test)]
        if self.is(super::Mutant::IgnoreWave) {
            return;
        }
        let Some(reach) = reach.filter(|reach| *reach < self.bound) else { return };
        self.bound = reach;
        while self.read_ahead.back().is_some_and(|(position, _)| *position > reach) {
            self.read_ahead.pop_back();
        }
    }

    fn looked_at(&mut self, then: AfterLook) {
        match (self.leave, then) {
            (Leave::SoldOut, _) => self.release(End::SoldOut),
            (Leave::Closed, _) => self.release(End::Closed),
            (Leave::Granted, AfterLook::AskRate) => self.state = State::AskRate,
            (Leave::Granted, AfterLook::Compose { wanted }) => {
                let wanted = wanted.min(self.sendable());
                self.state = if wanted > 0 { State::Compose { wanted } } else { State::Begin };
            }
        }
    }

    /// How fast SES takes recipients.
    pub fn on_rate(&mut self, answer: RateAnswer) {
        let State::AskRate = self.take_state() else { return };
        match answer {
            RateAnswer::Pace(pace) => {
                self.pace = pace;
                self.read_on();
            }
            RateAnswer::Unavailable => self.state = State::BackOff,
            RateAnswer::Denied(reason) => self.release(End::Stopped(reason)),
        }
    }

    /// The most recipients of the next call.
    pub(super) fn call_size(&self) -> usize {
        self.pace.call_size.min(self.refusals.size())
    }

    /// How many recipients the next call has.
    pub(super) fn size_up(&mut self) {
        let wanted = self.sendable().min(self.call_size());
        if wanted > 0 {
            return self.state = State::Reserve { wanted };
        }
        match self.refusals.at_the_end() {
            AtTheEnd::Nobody => self.release(End::Delivered),
            AtTheEnd::Stop(reason) => self.release(End::Stopped(reason)),
            AtTheEnd::TheirOwnFault => self.reject_set_aside(AfterReject::Begin),
        }
    }

    /// When the slots may be used; `None` where that is after the deadline.
    pub fn on_slots(&mut self, departure: Option<Timestamp>) {
        let State::Reserve { wanted } = self.take_state() else { return };
        self.slots_outdated = false;
        match departure {
            Some(departure) => self.state = State::Depart { wanted, departure },
            None => self.release(End::More),
        }
    }

    /// Fan-outs pause: no slot can be reserved, and no entry is consumed.
    pub fn on_paused(&mut self) {
        let State::Reserve { .. } = self.take_state() else { return };
        self.release(End::Paused);
    }

    pub(super) fn depart(&mut self, wanted: usize, departure: Timestamp, now: Now) {
        let wait = Duration::try_from(departure.duration_since(now.wall)).unwrap_or_default();
        self.slot_wait += wait;
        self.wait(wait, AfterWait::Compose { wanted });
    }

    /// Waits. Before a long wait, the call that was answered last is committed: left for the next announcement, it would come to
    /// look like one whose worker is gone.
    pub(super) fn wait(&mut self, time: Duration, then: AfterWait) {
        self.state = State::Wait { time, then };
        if time > DEPARTURE && matches!(self.standing, Standing::Answered { .. }) {
            self.commit_first();
        }
    }
}

impl<R> State<R> {
    /// Whether the next announcement is still to come, and nothing must be written before it that the cursor here presumes.
    fn leads_to_an_announcement(&self) -> bool {
        matches!(
            self,
            Self::Begin
                | Self::Look(_)
                | Self::Depart { .. }
                | Self::BackOff
                | Self::Greet
                | Self::ReadProduct(_)
                | Self::AskRate
                | Self::ReadEntries { .. }
                | Self::ReadPending(_)
                | Self::Reserve { .. }
                | Self::Wait { .. }
                | Self::CutRate { .. }
        )
    }
}

/// Whether it is longer than `limit` from then to now.
pub(super) fn is_longer(then: Timestamp, now: Timestamp, limit: Duration) -> bool {
    Duration::try_from(now.duration_since(then)).is_ok_and(|passed| passed > limit)
}
