//! What a call's outcome changes: SES's answers are committed, retries kept, refused recipients set aside or written down as
//! failed, and a round that came to nothing is followed by a back-off.

use std::time::Duration;

use super::call::Call;
use super::limits::{MAX_FRUITLESS_ROUNDS, MAX_TRIES};
use super::state::{AfterCut, AfterDoubt, AfterFailed, AfterReject, AfterWait, Standing, State, Verdict};
use super::{CallOutcome, Delivery, End, Now, RecipientOutcome, Refusal, Report};
use crate::Position;
use crate::cursor::{Answer, OnUnknown};

impl<R> Delivery<R> {
    /// What came of the call that was sent.
    pub fn on_outcome(&mut self, outcome: CallOutcome) {
        let State::Sent(call) = self.take_state() else { return };
        match outcome {
            CallOutcome::Completed(outcomes) => self.completed(call, outcomes),
            CallOutcome::NotSent(Refusal::Invalid(reason)) => self.narrow_down(call, reason),
            CallOutcome::NotSent(refusal) => {
                self.roll_back(call);
                self.refused(refusal);
            }
            CallOutcome::InDoubt(_) => match self.terms.on_unknown {
                OnUnknown::Resend => {
                    self.reports.push_back(Report::InDoubt { count: call.count(), resolved: None });
                    let cursor = self.cursor.resolve_in_doubt(OnUnknown::Resend);
                    self.put_back(call);
                    self.change(cursor);
                    self.state = State::BackOff;
                }
                OnUnknown::Skip => self.resolve_in_doubt(AfterDoubt::BackOff),
            },
        }
    }

    /// The call was not made: its recipients go back to where they came from.
    pub(super) fn roll_back(&mut self, call: Call<R>) {
        self.put_back(call);
        self.change(self.cursor.rollback());
    }

    fn completed(&mut self, call: Call<R>, outcomes: Vec<RecipientOutcome>) {
        let mut answer = Answer { skipped: call.expired, ..Answer::default() };
        let (mut rejected, mut worst) = (Vec::new(), None);
        let unreadable = call.unreadable_failures();
        let accepted = outcomes.iter().filter(|outcome| **outcome == RecipientOutcome::Accepted).count();
        self.refusals.answered(accepted);
        for ((position, recipient), outcome) in call.recipients.into_iter().zip(outcomes) {
            let tries = self.cursor.tries_of(position) + 1;
            match outcome {
                RecipientOutcome::Accepted => answer.accepted += 1,
                RecipientOutcome::Rejected(reason) if self.refusals.is_their_own_fault(&reason) => {
                    rejected.push((position, reason));
                }
                RecipientOutcome::Rejected(reason) => {
                    // It may be every recipient's, or is: others are tried first.
                    answer.retry.push(position);
                    self.retries.insert(position, recipient);
                    self.refusals.set_one_aside(position, reason);
                }
                RecipientOutcome::Retry(refusal)
                    if tries >= MAX_TRIES && refusal.is_of_recipient(accepted) =>
                {
                    rejected.push((position, format!("{} (tried {MAX_TRIES} times)", refusal.word())));
                }
                RecipientOutcome::Retry(refusal) => {
                    answer.retry.push(position);
                    if refusal.is_of_recipient(accepted) {
                        answer.failed_tries.push(position);
                    }
                    self.retries.insert(position, recipient);
                    if worst.is_none() || matches!(refusal, Refusal::Suspended(_)) {
                        worst = Some(refusal);
                    }
                }
            }
        }
        answer.rejected = rejected.len() as u64;
        self.accepted += answer.accepted;
        let done = answer.accepted + answer.rejected;
        let retried = answer.retry.len() as u64;
        let (accepted, rejected_now) = (answer.accepted, answer.rejected);
        self.reports.push_back(Report::Answered { accepted, rejected: rejected_now });
        #[cfg(test)]
        if self.is(super::Mutant::ForgetRetries) {
            answer.retry.clear();
        }
        let just_now = self.cursor.in_flight.as_ref().map(|call| call.since);
        self.change(self.cursor.commit(answer).count_failed(unreadable.len() as u64));
        if let Standing::Answered { just_now: answered } = &mut self.standing {
            *answered = just_now;
        }
        rejected.extend(unreadable);
        let verdict = Verdict { progress: done > 0, worst, retried, of: retried + done };
        self.write_failed(rejected, AfterFailed::Answered(verdict));
    }

    /// SES refused a whole call for something that may be one recipient's: it is halved until that one stands alone, who is set
    /// aside then, so that the others come first.
    fn narrow_down(&mut self, mut call: Call<R>, reason: String) {
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

    fn judge(&mut self, Verdict { progress, worst, retried, of }: Verdict) {
        if progress {
            self.fruitless = 0;
        }
        match worst {
            Some(Refusal::Throttled) if progress => {
                self.state = State::CutRate { throttled: retried, of, then: AfterCut::Begin };
            }
            Some(refusal) if !progress => self.refused(refusal),
            // A recipient was accepted, so it is no reason to stop for all.
            _ => self.state = State::Begin,
        }
    }

    fn refused(&mut self, refusal: Refusal) {
        // Slots that were reserved at the old rate are no good any more.
        self.slots_outdated = true;
        match refusal {
            Refusal::Suspended(reason) | Refusal::Invalid(reason) => self.release(End::Stopped(reason)),
            Refusal::Throttled => {
                self.state = State::CutRate { throttled: 1, of: 1, then: AfterCut::BackOff };
            }
            Refusal::Unavailable(reason) => {
                self.reports.push_back(Report::Unavailable(reason));
                self.state = State::BackOff;
            }
        }
    }

    /// Waits after a round that came to nothing, longer each time, and in the end goes back in line: an outage or a throttle
    /// delays an email by seconds, and only what an operator must mend waits for the sweep.
    pub(super) fn back_off(&mut self, now: Now) {
        self.fruitless += 1;
        if self.fruitless >= MAX_FRUITLESS_ROUNDS {
            return self.release(End::More);
        }
        let time = Duration::from_millis(250 << self.fruitless.min(5));
        let left = self.terms.deadline.saturating_sub(now.uptime);
        self.wait(time.min(left), AfterWait::Begin);
    }
}
