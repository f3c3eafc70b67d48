//! The end: the cursor is written for the next worker, more than once if need be. What SES has answered must not be in doubt for
//! want of a write, nor what it was never handed.

use super::limits::{COMMIT_BACKOFF, COMMIT_TRIES};
use super::state::{AfterWait, AfterWrite, Stage, Standing, State};
use super::{Delivery, End, Report};

impl<R> Delivery<R> {
    /// What was asked for failed; `transient`: it may work another time. True where the error is the delivery's: the cursor is
    /// released all the same. False where the step is tried again.
    pub fn on_error(&mut self, transient: bool) -> bool {
        match (&mut self.stage, &self.state) {
            (Stage::TakingOver, _) => self.state = State::Finished(End::More),
            (Stage::Delivering, _) => self.enter_release(None),
            (Stage::Releasing { attempt, .. }, state)
                if transient && *attempt < COMMIT_TRIES && !matches!(state, State::WriteSummary(_)) =>
            {
                let time = COMMIT_BACKOFF * *attempt;
                *attempt += 1;
                self.state = State::Wait { time, then: AfterWait::Commit };
                return false;
            }
            (Stage::Releasing { .. }, _) => self.state = State::Finished(End::More),
        }
        true
    }

    /// Ends the delivery so.
    pub(super) fn release(&mut self, end: End) {
        self.enter_release(Some(end));
    }

    fn enter_release(&mut self, end: Option<End>) {
        self.reports.push_back(Report::SlotWait(self.slot_wait));
        self.stage = Stage::Releasing { end, attempt: 1 };
        self.state = State::Commit;
    }

    /// Writes what is not written yet. A call whose answer is missing stays announced.
    pub(super) fn commit(&mut self) {
        match self.standing {
            Standing::Unsure { .. } => self.state = State::ReadFencingToken,
            Standing::Answered { .. } => {
                #[cfg(test)]
                if self.is(super::Mutant::ReleaseUnfenced) {
                    return self.state = State::ReadFencingToken;
                }
                self.write();
            }
            Standing::Free | Standing::Announced | Standing::Lost => self.released(),
        }
    }

    fn write(&mut self) {
        self.state = State::WriteCursor { cursor: self.cursor.clone(), then: AfterWrite::Released };
    }

    /// The fencing token that the cursor in the table has. If it is that of the write without an answer, then that one was
    /// applied. A call that it announces was not made: an announcement whose answer is missing is never followed by a send.
    /// Applied or not, what is written now keeps it from arriving late.
    pub fn on_fencing_token(&mut self, found: Option<&str>) {
        let State::ReadFencingToken = self.take_state() else { return };
        #[cfg(test)]
        if self.is(super::Mutant::ReleaseUnfenced) {
            self.fencing_token = found.map(str::to_owned);
        }
        let answered = Standing::Answered { announced: None };
        if let Standing::Unsure { token, written } = std::mem::replace(&mut self.standing, answered)
            && found == Some(&token)
        {
            self.cursor = written.rollback();
            #[cfg(test)]
            if self.is(super::Mutant::CommitUnsureAnnouncement) {
                self.cursor = written.commit(crate::cursor::Answer::default());
            }
            self.fencing_token = Some(token);
        }
        self.write();
    }

    /// The cursor is written. The count goes to the restock's summary, also where nothing changed, because a crash may have kept
    /// it from there; not after an error, and not where another worker has the shard.
    pub(super) fn released(&mut self) {
        let Stage::Releasing { end, .. } = &self.stage else { return };
        let count = self.cursor.tally.as_ref().filter(|tally| !tally.is_empty());
        self.state = match (end, count) {
            (Some(_), Some(tally)) if self.standing != Standing::Lost => State::WriteSummary(tally.clone()),
            (end, _) => State::Finished(end.clone().unwrap_or(End::More)),
        };
    }

    pub(super) fn on_summary(&mut self) {
        match &self.stage {
            Stage::Releasing { end, .. } => {
                self.state = State::Finished(end.clone().unwrap_or(End::More));
            }
            _ => self.read_tally(),
        }
    }
}
