//! Confirming an ask: the steps before its entry is written. From then on it is as with any other.

use super::order::out_of_turn;
use super::place::Place;
use super::{Outcome, Standing, State, Subscribing, Write};

/// Each answer must be to the step that [`Subscribing::next`] gave.
///
/// # Panics
/// When it is not.
impl Subscribing {
    /// What there is to confirm.
    pub fn on_subscription(&mut self, standing: Standing) {
        let State::ReadSubscription = self.state else { out_of_turn() };
        self.state = match standing {
            Standing::Gone => State::Finished(Outcome::Gone),
            Standing::Pending { asked, lane } => {
                self.lane = self.lane.min(lane);
                State::Confirm(asked)
            }
            Standing::Confirmed { found, settled } => {
                self.lane = self.lane.min(found.shard.lane);
                self.confirms = Some(settled);
                State::ReadCursor(found)
            }
        };
    }

    /// What became of the ask.
    pub fn on_confirmed(&mut self, write: Write) {
        let (State::Confirm(asked), Some(shard)) = (&self.state, self.shard()) else { out_of_turn() };
        match Place::confirmed(write, shard, *asked) {
            Some(place) => self.state = State::Look(place),
            None => self.next_round(),
        }
        #[cfg(test)]
        self.swap_after_confirm();
    }
}
