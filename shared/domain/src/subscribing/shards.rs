//! The shards of a request: in which one its new place is, and how their numbers grow.

#[cfg(test)]
use super::mutant::Mutant;
use super::order::{finished, out_of_turn};
use super::{LONG, State, Step, Subscribing, Write};
use crate::{Shard, ShardCount, Shards};

/// Each answer must be to the step that [`Subscribing::next`] gave.
///
/// # Panics
/// When it is not.
impl Subscribing {
    /// The step that takes a place in the shard of a new one, once its lane is known to be there.
    pub(super) fn in_lane(&self, step: impl FnOnce(Shard) -> Step<'static>) -> Step<'static> {
        self.shard().map_or(Step::OpenLane(self.lane), step)
    }

    /// The shard of a new place; `None` where its lane is not known to be there.
    pub(super) fn shard(&self) -> Option<Shard> {
        #[cfg(test)]
        if self.mutant.is(Mutant::ShardBeforeRaise) || self.mutant.is(Mutant::LaneBeforeRaise) {
            return Some(self.most.of(self.lane, self.subscriber));
        }
        self.shards.of(self.lane, self.subscriber)
    }

    /// Numbers of shards that the product's item has had by now: a later request may go by them.
    pub fn known_shards(&self) -> Shards {
        self.shards
    }

    /// Whether the product's item has a shard in the lane by now. Refused, another request was in the way of the write.
    pub fn on_lane_opened(&mut self, write: Write) {
        let takes_place = matches!(self.state, State::Insert | State::Confirm(_) | State::Replace(..));
        if !takes_place || self.shard().is_some() {
            out_of_turn();
        }
        match write {
            Write::Applied => self.shards = self.shards.raised(self.lane, ShardCount::ONE),
            Write::Refused => self.next_round(),
        }
    }

    /// The number of waiting entries in the shard, as far as they were counted; `None` where that failed.
    pub fn on_counted(&mut self, waiting: Option<u64>) {
        let State::Count(subscribed) = self.state else { out_of_turn() };
        let long = waiting.is_some_and(|waiting| waiting >= u64::from(LONG));
        self.state = if long { State::Raise(subscribed) } else { finished(subscribed) };
    }

    /// Whether the product's item has the number of shards by now, or a larger one.
    pub fn on_raised(&mut self, is_recorded: bool) {
        let State::Raise(subscribed) = self.state else { out_of_turn() };
        if is_recorded {
            self.shards = self.shards.raised(subscribed.shard.lane, self.most);
        }
        self.state = finished(subscribed);
    }
}
