//! The order of the steps: what is next, and where each answer leads.

use jiff::Timestamp;

#[cfg(test)]
use super::mutant::Mutant;
use super::place::Place;
use super::{
    BACKOFF, Found, Insertion, Looked, Outcome, ROUNDS, State, Step, Subscribed, Subscribing, Write, unix_ms,
};
use crate::Position;
use crate::cursor::Cursor;
use crate::product::{Product, StoredProduct};

/// Each answer must be to the step that [`Subscribing::next`] gave.
///
/// # Panics
/// When it is not.
impl Subscribing {
    /// The next thing to do, `now`, with these `random` bits: a position or a wait is made of them.
    pub fn next(&self, now: Timestamp, random: u128) -> Step<'_> {
        #[cfg(test)]
        if let Some(step) = self.mutant.hurries(&self.state) {
            return step;
        }
        let past = |bound: Option<Position>| Position::past(bound, unix_ms(now), random);
        match &self.state {
            State::BackOff => Step::BackOff(BACKOFF.jittered(self.round, random)),
            #[cfg(test)]
            State::Insert if self.mutant.is(Mutant::EntryAfterSubscription) => Step::InsertBare(past(None)),
            State::Insert => self.in_lane(|shard| Step::Insert { shard, position: past(None) }),
            State::ReadSubscription => Step::ReadSubscription,
            &State::Confirm(asked) => self.in_lane(|shard| Step::Confirm { asked, shard }),
            State::ReadCursor(found) => Step::ReadCursor(found.shard),
            &State::ReadEntry(Found { shard, position, .. }, _) => Step::ReadEntry { shard, position },
            State::TakeOver(found) => Step::TakeOver(found.position),
            State::ReadBound(..) | State::Look(_) => Step::ReadProduct,
            State::Replace(found, floor) => self.in_lane(|shard| {
                let position = past(*floor);
                Step::Replace { found: found.position, shard, position }
            }),
            State::Move(place, bound, looked) => Step::Move {
                shard: place.shard(),
                from: place.position(),
                to: past(Some(*bound)),
                looked: looked.as_ref(),
            },
            State::Count(subscribed) => Step::CountWaiting(subscribed.shard),
            State::Raise(subscribed) => Step::RaiseShards(subscribed.shard.lane, self.most),
            State::Finished(outcome) => Step::Finished(*outcome),
            #[cfg(test)]
            State::WriteEntry(position) => Step::WriteEntry(*position),
        }
    }

    /// The wait is over.
    pub fn on_waited(&mut self) {
        let State::BackOff = self.state else { out_of_turn() };
        self.state = if self.confirms.is_some() { State::ReadSubscription } else { State::Insert };
    }

    /// What became of the subscription at `position`.
    pub fn on_inserted(&mut self, position: Position, answer: Insertion) {
        let (State::Insert, Some(shard)) = (&self.state, self.shard()) else { out_of_turn() };
        match (Place::inserted(answer, shard, position), answer) {
            (Some(place), _) => self.state = State::Look(place),
            (None, Insertion::Found(found)) => self.state = State::ReadCursor(found),
            (None, _) => self.next_round(),
        }
        #[cfg(test)]
        self.swap_after_insert();
    }

    /// The cursor of the found subscription's shard, read at `now`. A repeated request waits on as before, whatever name,
    /// language or user id it brings, for any client can send one for any address; or, where its turn is over, it takes a
    /// new position past the bound, so that one restock sends it one email.
    pub fn on_cursor(&mut self, cursor: &Cursor, now: Timestamp) {
        let State::ReadCursor(found) = self.state else { out_of_turn() };
        let (expired, consumed) = (found.ttl <= now.as_second(), cursor.is_consumed(found.position));
        #[cfg(test)]
        let consumed = consumed && !self.mutant.is(Mutant::NoNoteOfConsumed);
        let settled = self.confirms == Some(true);
        self.state = if (expired || consumed) && settled {
            State::Finished(Outcome::Over)
        } else if expired || consumed {
            State::ReadBound(found, cursor.committed)
        } else {
            State::ReadEntry(found, cursor.committed)
        };
    }

    /// Whether the found subscription has an entry that can be read. One that cannot would never be delivered: it is
    /// replaced like one that is gone.
    pub fn on_entry(&mut self, is_there: bool) {
        let State::ReadEntry(found, committed) = self.state else { out_of_turn() };
        self.state = if is_there { State::TakeOver(found) } else { State::ReadBound(found, committed) };
        #[cfg(test)]
        self.swap_after_entry();
    }

    /// Whether this request speaks for the found place. From here on no request that came before can move it.
    pub fn on_taken_over(&mut self, write: Write) {
        let State::TakeOver(found) = self.state else { out_of_turn() };
        match Place::taken_over(write, found.shard, found.position) {
            Some(place) => self.state = State::Look(place),
            None => self.next_round(),
        }
    }

    /// The product.
    pub fn on_product(&mut self, stored: &StoredProduct) {
        self.shards = self.shards.or_more(stored.shards);
        self.on_stock(stored.product.as_ref());
    }

    /// The product; `None` where no update of it was ever recorded.
    pub(super) fn on_stock(&mut self, product: Option<&Product>) {
        #[cfg(test)]
        if self.mutant.keeps(&self.state, product) {
            return;
        }
        match self.state {
            State::ReadBound(found, committed) => {
                let floor = product.and_then(|product| product.bound).max(Some(committed));
                #[cfg(test)]
                let floor = floor.filter(|_| !self.mutant.is(Mutant::RepeatFromStart));
                self.state = State::Replace(found, floor);
            }
            State::Look(place) => self.look(place, product),
            _ => out_of_turn(),
        }
    }

    /// Answers, or moves past the bound of a fan-out that may have passed the entry by.
    fn look(&mut self, place: Place, product: Option<&Product>) {
        let just_written = place.is_just_written();
        let bound = product
            .and_then(|product| product.must_move_past(place.shard().lane, place.position(), just_written));
        let in_stock = product.is_some_and(Product::in_stock);
        #[cfg(test)]
        let bound = self.mutant.of_look(bound, in_stock);
        let looked = |bound| product.map(|product| Looked { version: product.version.clone(), bound });
        self.state = match bound {
            Some(bound) => State::Move(place, bound, looked(bound).filter(|_| !just_written)),
            None => self.answered(place, in_stock),
        };
        #[cfg(test)]
        self.swap_after_look();
    }

    /// What became of the subscription at `position` in place of the found one.
    pub fn on_replaced(&mut self, position: Position, write: Write) {
        let (State::Replace(..), Some(shard)) = (&self.state, self.shard()) else { out_of_turn() };
        match Place::replaced(write, shard, position) {
            Some(place) => self.state = State::Look(place),
            None => self.next_round(),
        }
    }

    /// What became of the move to `position`. After it the product is looked at again: another fan-out may have been
    /// planned meanwhile. A repeat's move was that look: it is applied only where the product is sold out still.
    pub fn on_moved(&mut self, position: Position, write: Write) {
        let State::Move(place, _, ref looked) = self.state else { out_of_turn() };
        match place.moved(write, position) {
            Some(place) if looked.is_some() => self.state = self.answered(place, false),
            Some(place) => self.state = State::Look(place),
            None => self.next_round(),
        }
        #[cfg(test)]
        self.swap_after_move();
    }

    /// The subscriber waits there. A place that moved is in the shard that it was written to.
    fn answered(&self, place: Place, in_stock: bool) -> State {
        let (new, shard, position) = (place.is_new(), place.shard(), place.position());
        let subscribed = Subscribed { new, shard, position, in_stock };
        let may_grow = self.shards.count(shard.lane).is_none_or(|count| count < self.most);
        if self.counts && new && shard.number == 0 && may_grow {
            return State::Count(subscribed);
        }
        finished(subscribed)
    }

    pub(super) fn next_round(&mut self) {
        self.round += 1;
        self.state = if self.round < ROUNDS { State::BackOff } else { State::Finished(Outcome::Contended) };
    }
}

pub(super) fn finished(subscribed: Subscribed) -> State {
    State::Finished(Outcome::Subscribed(subscribed))
}

#[expect(clippy::panic, reason = "a mistake in the caller's loop")]
pub(super) fn out_of_turn() -> ! {
    panic!("an answer to another step than the one that was given")
}
