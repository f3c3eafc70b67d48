//! What a call's outcome changes: SES's answers are committed, retries kept, refused recipients set aside or written down as
//! failed, and a round that came to nothing is followed by a back-off.

use super::call::Call;
use super::limits::{FRUITLESS_BACKOFF, MAX_FRUITLESS_ROUNDS, MAX_TRIES};
use super::state::{AfterCut, AfterDoubt, AfterFailed, AfterWait, State, Verdict};
use super::{CallOutcome, Delivery, End, Now, RecipientOutcome, Refusal, Report};
use crate::Position;
use crate::cursor::{Answer, OnUnknown};

/// The recipients of a call that SES answered, by what becomes of them.
#[derive(Default)]
struct Sorted {
    answer: Answer,
    rejected: Vec<(Position, String)>,
    /// Why recipients are to be tried again, the worst reason of all.
    worst: Option<Refusal>,
}

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
            CallOutcome::InDoubt(_) => match self.cursor.settlement(self.terms.on_unknown) {
                // It stays announced: a worker that takes the shard over leaves it alone for a while and then resolves it.
                OnUnknown::Resend => self.release(End::More),
                OnUnknown::Skip => self.resolve_in_doubt(AfterDoubt::BackOff),
            },
        }
    }

    /// The call was not made: its recipients go back to where they came from.
    pub(super) fn roll_back(&mut self, call: Call<R>) {
        self.put_back(call);
        self.change(self.cursor.rollback());
    }

    fn completed(&mut self, mut call: Call<R>, outcomes: Vec<RecipientOutcome>) {
        let accepted = outcomes.iter().filter(|outcome| **outcome == RecipientOutcome::Accepted).count();
        self.refusals.answered(accepted);
        let recipients = std::mem::take(&mut call.recipients);
        let Sorted { mut answer, mut rejected, worst } = self.sort(recipients, outcomes, accepted);
        answer.skipped = call.expired;
        self.accepted += answer.accepted;
        let (done, retried) = (answer.accepted + answer.rejected, answer.retry.len() as u64);
        self.reports.push_back(Report::Answered { accepted: answer.accepted, rejected: answer.rejected });
        #[cfg(test)]
        if self.is(super::Mutant::ForgetRetries) {
            answer.retry.clear();
        }
        let unreadable = call.unreadable_failures();
        self.change(self.cursor.commit(answer).count_failed(unreadable.len() as u64));
        #[cfg(test)]
        if self.is(super::Mutant::ForgetDoubtOfRetries) {
            self.cursor.doubted = None;
        }
        rejected.extend(unreadable);
        let verdict = Verdict { progress: done > 0, worst, retried, of: retried + done };
        self.write_failed(rejected, AfterFailed::Answered(verdict));
    }

    /// What becomes of each recipient of a call, of which SES accepted so many.
    fn sort(
        &mut self,
        recipients: Vec<(Position, R)>,
        outcomes: Vec<RecipientOutcome>,
        accepted: usize,
    ) -> Sorted {
        let mut sorted = Sorted::default();
        for ((position, recipient), outcome) in recipients.into_iter().zip(outcomes) {
            let tries = self.cursor.tries_of(position) + 1;
            match outcome {
                RecipientOutcome::Accepted => sorted.answer.accepted += 1,
                RecipientOutcome::Rejected(reason) if self.refusals.is_their_own_fault(&reason) => {
                    sorted.rejected.push((position, reason));
                }
                RecipientOutcome::Rejected(reason) => {
                    // It may be every recipient's, or is: others are tried first.
                    sorted.answer.retry.push(position);
                    self.retries.insert(position, recipient);
                    self.refusals.set_one_aside(position, reason);
                }
                RecipientOutcome::Retry(refusal)
                    if tries >= MAX_TRIES && refusal.is_of_recipient(accepted) =>
                {
                    let reason = format!("{} (tried {MAX_TRIES} times)", refusal.word());
                    sorted.rejected.push((position, reason));
                }
                RecipientOutcome::Retry(refusal) => {
                    sorted.answer.retry.push(position);
                    if refusal.is_of_recipient(accepted) {
                        sorted.answer.failed_tries.push(position);
                    }
                    self.retries.insert(position, recipient);
                    if sorted.worst.is_none() || matches!(refusal, Refusal::Suspended(_)) {
                        sorted.worst = Some(refusal);
                    }
                }
            }
        }
        sorted.answer.rejected = sorted.rejected.len() as u64;
        sorted
    }

    pub(super) fn judge(&mut self, Verdict { progress, worst, retried, of }: Verdict) {
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
        let left = self.terms.deadline.saturating_sub(now.uptime);
        self.wait(FRUITLESS_BACKOFF.after(self.fruitless).min(left), AfterWait::Begin);
    }
}
