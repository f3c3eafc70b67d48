//! From a state to what it asks for, and from an answer to the next state.

use super::announce::Announced;
use super::state::{AfterCut, AfterFailed, AfterLook, AfterReject, AfterWait, Standing, State};
use super::{CursorWrite, Delivery, End, Now, Step, limits};
use crate::Position;
use crate::cursor::Cursor;

impl<R> Delivery<R> {
    /// The next step at `now`, to be asked for once it is known what came of the one before. A call is handed out once, and if no
    /// answer to it follows, the delivery ends as after an error.
    pub fn next(&mut self, now: Now) -> Step<'_, R> {
        loop {
            if self.is_commit_due(now.wall) {
                self.commit_first();
            }
            match self.take_state() {
                State::Begin => self.begin(now),
                State::Look(then) => self.look(then, now),
                State::Depart { wanted, departure } => self.depart(wanted, departure, now),
                State::Compose { wanted } => self.compose(wanted, now),
                State::Announced(call) => self.depart_with(call, now),
                State::BackOff => self.back_off(now),
                State::Commit => self.commit(),
                State::Unanswered | State::Sent(_) => drop(self.on_error(false)),
                asked => {
                    self.state = asked;
                    break;
                }
            }
        }
        if let Some(report) = self.reports.pop_front() {
            return Step::Report(report);
        }
        if let State::Sending(_) = self.state
            && let State::Sending(call) = self.take_state()
        {
            self.state = State::Sent(call);
        }
        self.step()
    }

    /// What the state asks for.
    fn step(&self) -> Step<'_, R> {
        match &self.state {
            State::ReadInDoubt { through, .. } => {
                let (after, limit) = (self.cursor.committed, limits::MAX_PAGE);
                Step::ReadEntries { after, through: *through, limit }
            }
            State::WriteSummary(tally) => Step::WriteShardSummary(tally),
            State::ReadTally => Step::ReadTally,
            State::Greet => Step::Greet,
            State::ReadProduct(_) => Step::ReadProduct,
            State::AskRate => Step::AskRate,
            State::ReadEntries { limit, .. } => {
                Step::ReadEntries { after: self.read_to(), through: self.bound, limit: *limit }
            }
            State::ReadPending(missing) => Step::ReadPending(missing),
            State::Reserve { wanted } => {
                let (sendable, afresh) = (self.sendable(), self.slots_outdated);
                Step::ReserveSlots { wanted: *wanted, sendable, afresh }
            }
            State::Wait { time, .. } => Step::Wait(*time),
            State::WriteFailed { failed, .. } => Step::WriteFailed(failed),
            State::WriteCursor { cursor, .. } => {
                Step::WriteCursor(CursorWrite { cursor, fencing_token: self.fencing_token.as_deref() })
            }
            State::ReadFencingToken => Step::ReadFencingToken,
            State::Sent(call) => Step::Send(Announced::new(call)),
            State::CutRate { throttled, of, .. } => Step::CutRate { throttled: *throttled, of: *of },
            State::Finished(end) => Step::Finished(end.clone()),
            // Decided above.
            _ => Step::Finished(End::More),
        }
    }

    /// What was asked for is done.
    pub fn on_done(&mut self) {
        match self.take_state() {
            State::Greet => self.state = State::Look(AfterLook::AskRate),
            State::WriteSummary(_) => self.on_summary(),
            State::Wait { then, .. } => {
                self.state = match then {
                    AfterWait::Begin => State::Begin,
                    AfterWait::Compose { wanted } => State::Look(AfterLook::Compose { wanted }),
                    AfterWait::Commit => State::Commit,
                }
            }
            State::WriteFailed { then, .. } => self.on_failed_written(then),
            State::CutRate { then: AfterCut::Begin, .. } => self.state = State::Begin,
            State::CutRate { then: AfterCut::BackOff, .. } => self.state = State::BackOff,
            _ => {}
        }
    }

    /// Writes these down as failed, if there are any, and goes on from there.
    pub(super) fn write_failed(&mut self, failed: Vec<(Position, String)>, then: AfterFailed) {
        if failed.is_empty() {
            return self.on_failed_written(then);
        }
        self.state = State::WriteFailed { failed, then };
    }

    fn on_failed_written(&mut self, then: AfterFailed) {
        match then {
            AfterFailed::Resolve(then) => self.resolved(then),
            AfterFailed::DropRetries { gone, unreadable } => self.drop_retries(&gone, unreadable),
            AfterFailed::Pass { through, expired, unreadable } => {
                self.change(self.cursor.pass(through, expired).count_failed(unreadable));
                self.state = State::Begin;
            }
            AfterFailed::Alone { position, reason, expired, unreadable } => {
                self.set_aside(position, reason, expired, unreadable);
            }
            AfterFailed::Answered(verdict) => self.settle_set_aside(verdict),
            AfterFailed::Reject { gone, then } => {
                self.retries.retain(|position, _| !gone.contains(position));
                self.change(self.cursor.drop_retries(&gone).count_failed(gone.len() as u64));
                match then {
                    AfterReject::Begin => self.state = State::Begin,
                    AfterReject::SetAside(verdict) => self.set_aside_settled(verdict),
                }
            }
        }
    }

    /// The cursor is this from here on, and is to be written.
    pub(super) fn change(&mut self, cursor: Cursor) {
        let before = std::mem::replace(&mut self.cursor, cursor);
        match self.standing {
            Standing::Free => self.standing = Standing::Answered { announced: None },
            Standing::Announced => {
                let announced = before.in_flight.map(|call| call.since);
                self.standing = Standing::Answered { announced };
            }
            Standing::Answered { .. } | Standing::Unsure { .. } | Standing::Lost => {}
        }
    }

    /// Takes the state, so that whatever does not set the next one ends the delivery.
    pub(super) fn take_state(&mut self) -> State<R> {
        std::mem::replace(&mut self.state, State::Unanswered)
    }
}
