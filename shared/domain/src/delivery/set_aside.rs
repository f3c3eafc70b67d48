//! Recipients that SES refuses and that may be at fault themselves: found one by one, set aside, and written down as failed once
//! others are accepted. What tells the two apart is in `refusals.rs`.

use super::call::Call;
use super::state::{AfterFailed, AfterReject, State, Verdict};
use super::{Delivery, End, Report};
use crate::Position;
use crate::cursor::Answer;

impl<R> Delivery<R> {
    /// SES refused a whole call for something that may be one recipient's: it is halved until that one stands alone, and is set
    /// aside then, so that the others come first.
    pub(super) fn narrow_down(&mut self, mut call: Call<R>, reason: String) {
        if call.recipients.len() > 1 {
            self.refusals.halve(call.recipients.len());
            self.roll_back(call);
            return self.state = State::Begin;
        }
        let (unreadable, failed) = (call.unreadable.len() as u64, call.unreadable_failures());
        let Some((position, recipient)) = call.recipients.pop() else { return self.state = State::Begin };
        self.retries.insert(position, recipient);
        let then = AfterFailed::Alone { position, reason, expired: call.expired, unreadable };
        self.write_failed(failed, then);
    }

    pub(super) fn set_aside(&mut self, position: Position, reason: String, expired: u64, unreadable: u64) {
        self.refusals.set_one_aside(position, reason);
        self.refusals.answered(0);
        let answer = Answer { skipped: expired, retry: vec![position], ..Answer::default() };
        self.change(self.cursor.commit(answer).count_failed(unreadable));
        // Nothing more is to be made of this call.
        self.settle_set_aside(Verdict { progress: false, worst: None, ..Verdict::default() });
    }

    /// What becomes of those set aside after a call: nothing yet, or they are rejected, or SES takes no recipient at all.
    pub(super) fn settle_set_aside(&mut self, verdict: Verdict) {
        if self.refusals.others_were_taken() {
            self.reject_set_aside(AfterReject::SetAside(verdict));
        } else {
            self.set_aside_settled(verdict);
        }
    }

    /// Writes those down as failed whom SES refused while it takes others: it was their own fault.
    pub(super) fn reject_set_aside(&mut self, then: AfterReject) {
        let rejected = self.refusals.take();
        if !rejected.is_empty() {
            let count = rejected.len() as u64;
            self.reports.push_back(Report::Answered { accepted: 0, rejected: count });
            let gone = rejected.iter().map(|(position, _)| *position).collect();
            return self.write_failed(rejected, AfterFailed::Reject { gone, then });
        }
        match then {
            AfterReject::Begin => self.state = State::Begin,
            AfterReject::SetAside(verdict) => self.set_aside_settled(verdict),
        }
    }

    pub(super) fn set_aside_settled(&mut self, verdict: Verdict) {
        if let Some(reason) = self.refusals.too_many() {
            return self.release(End::Stopped(reason));
        }
        let last: Vec<Position> = self.refusals.set_aside().iter().map(|(position, _)| *position).collect();
        if !last.is_empty() {
            self.cursor = self.cursor.retry_last(&last);
        }
        self.judge(verdict);
    }
}
