//! The heart of the protocol: a call is announced on the cursor, by one conditional write that also commits the call before; the
//! worker that wins it, and no other, may send; and between the two it must not have been frozen.

use jiff::Timestamp;

use super::call::Call;
use super::limits::DEPARTURE;
use super::round::is_longer;
use super::state::{AfterFailed, AfterWrite, Stage, Standing, State};
use super::{Delivery, End, Now, Written};
use crate::Position;
use crate::cursor::Cursor;

/// The recipients of a call whose announcement stands in the table. Only winning its conditional write gives one, and
/// sending consumes it: a worker that lost the shard has nothing to send.
///
/// ```compile_fail,E0451
/// # use notify_me_domain::delivery::Announced;
/// let forged = Announced { recipients: &[] as &[(notify_me_domain::Position, ())] };
/// ```
#[derive(Debug, PartialEq, Eq)]
#[must_use = "an announced call that is not sent is in doubt"]
pub struct Announced<'a, R> {
    recipients: &'a [(Position, R)],
}

impl<'a, R> Announced<'a, R> {
    pub(super) fn new(call: &'a Call<R>) -> Self {
        Self { recipients: &call.recipients }
    }

    /// How many recipients it has.
    pub fn count(&self) -> usize {
        self.recipients.len()
    }

    /// The recipients, with their positions; the call consumes the announcement.
    pub fn into_recipients(self) -> &'a [(Position, R)] {
        self.recipients
    }
}

impl<R> Delivery<R> {
    /// Announces the next call, which also commits the one before. Where no entry of its range gets an email, it is passed
    /// without one.
    pub(super) fn compose(&mut self, wanted: usize, now: Now) {
        let call = self.next_call(wanted);
        if !call.recipients.is_empty() {
            return self.announce(call, now.wall);
        }
        let Some(through) = call.through else { return self.state = State::Begin };
        let unreadable = call.unreadable.len() as u64;
        let then = AfterFailed::Pass { through, expired: call.expired, unreadable };
        self.write_failed(call.unreadable_failures(), then);
    }

    fn announce(&mut self, call: Call<R>, now: Timestamp) {
        let cursor = self.cursor.announce(call.retried, call.through, call.count(), now);
        #[cfg(test)]
        let cursor = match self.is(super::Mutant::CommitBeforeSend) {
            true => cursor.commit(crate::cursor::Answer::default()),
            false => cursor,
        };
        #[cfg(test)]
        if self.is(super::Mutant::SendBeforeAnnouncing) {
            (self.cursor, self.standing) = (cursor, Standing::Announced);
            return self.state = State::Announced(call);
        }
        self.state = State::WriteCursor { cursor, then: AfterWrite::Announced(call) };
    }

    /// The write of the cursor was won, lost, or had no answer. It was made under this token.
    pub fn on_written(&mut self, token: String, written: Written) {
        let State::WriteCursor { cursor, then } = self.take_state() else { return };
        match written {
            Written::Won => {
                self.standing = if cursor.in_flight.is_some() { Standing::Announced } else { Standing::Free };
                (self.cursor, self.fencing_token) = (cursor, Some(token));
                match then {
                    AfterWrite::GoOn(state) => self.state = *state,
                    AfterWrite::Announced(call) => self.state = State::Announced(call),
                    AfterWrite::Released => self.released(),
                }
            }
            Written::Lost => {
                self.standing = Standing::Lost;
                #[cfg(test)]
                if let AfterWrite::Announced(call) = then
                    && self.is(super::Mutant::SendWithoutWinning)
                {
                    self.cursor = cursor;
                    return self.state = State::Announced(call);
                }
                match self.stage {
                    Stage::Releasing { .. } => self.released(),
                    _ => self.release(End::More),
                }
            }
            Written::EntryEnded => self.on_entry_ended(cursor, then),
            Written::Unknown => self.standing = Standing::Unsure { token, written: Box::new(cursor) },
        }
    }

    /// A subscriber has left, by a transaction that the worker's next write has met. No call is announced from what was read
    /// before: it is read anew. Whatever else was to be written is written once more.
    fn on_entry_ended(&mut self, cursor: Cursor, then: AfterWrite<R>) {
        match then {
            AfterWrite::Announced(_) => {
                #[cfg(test)]
                if self.is(super::Mutant::KeepEnded) {
                    return self.state = State::WriteCursor { cursor, then };
                }
                self.read_ahead.clear();
                self.retries.clear();
                self.exhausted = false;
                self.state = State::Begin;
            }
            then => self.state = State::WriteCursor { cursor, then },
        }
    }

    /// Hands an announced call out, unless the worker was frozen since: it may look dead to others already.
    pub(super) fn depart_with(&mut self, call: Call<R>, now: Now) {
        let announced = self.cursor.in_flight.as_ref().map(|call| call.since);
        if announced.is_some_and(|announced| is_longer(announced, now.wall, DEPARTURE)) {
            self.roll_back(call);
            return self.state = State::Begin;
        }
        self.state = State::Sending(call);
    }
}
