//! The steps of a cursor. Each gives the whole next cursor and leaves the one before as it is, which is what the table holds
//! until the next one is written.

use jiff::Timestamp;

use super::{Cursor, InFlight, OnUnknown, Tally};
use crate::Position;

/// What SES said of the recipients of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// How many it accepted.
    pub accepted: u64,
    /// How many it refused for good.
    pub rejected: u64,
    /// How many entries of its range get no email at all: they have expired.
    pub skipped: u64,
    /// The recipients to try again.
    pub retry: Vec<Position>,
    /// Those among them whose own try failed, so that it counts against them.
    pub failed_tries: Vec<Position>,
}

impl Cursor {
    /// The cursor once the call in doubt is resolved. Where its [settlement](Cursor::settlement) is [`OnUnknown::Skip`], its
    /// recipients must have been written down as passed before.
    #[must_use]
    pub fn resolve_in_doubt(&self, on_unknown: OnUnknown) -> Self {
        let choice = self.settlement(on_unknown);
        let mut next = self.clone();
        let Some(call) = next.in_flight.take() else { return next };
        match choice {
            OnUnknown::Resend => {
                next.pending_retries.extend(&call.retried);
                next.note_doubt(&call);
            }
            OnUnknown::Skip => {
                next.committed = next.committed.max(call.through);
                next.forget_settled();
            }
        }
        if let Some(tally) = &mut next.tally {
            tally.in_doubt += u64::from(call.count);
            if choice == OnUnknown::Skip {
                tally.skipped += u64::from(call.count);
            }
        }
        next
    }

    /// The cursor that counts for `tally.restock_id` from here on.
    #[must_use]
    pub fn switch_tally_to(&self, tally: Tally) -> Self {
        Self { tally: Some(tally), ..self.clone() }
    }

    /// Announces a call: the `retried` first of the pending retries, and the new entries up to
    /// `through` (`None`: no new ones). It must be written before the call is made, and only if
    /// no other worker wrote since. `now` counts to the millisecond.
    #[must_use]
    pub fn announce(&self, retried: usize, through: Option<Position>, count: u32, now: Timestamp) -> Self {
        let mut next = self.clone();
        let rest = next.pending_retries.split_off(retried.min(next.pending_retries.len()));
        let retried = std::mem::replace(&mut next.pending_retries, rest);
        next.in_flight = Some(InFlight {
            through: through.unwrap_or(self.committed).max(self.committed),
            retried,
            count,
            since: Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now),
        });
        next
    }

    /// The cursor after SES answered the call in flight. It is written with the next announcement or
    /// with the release, whichever comes first.
    #[must_use]
    pub fn commit(&self, answer: Answer) -> Self {
        let mut next = self.clone();
        let Some(call) = next.in_flight.take() else { return next };
        next.keep_doubt(&answer.retry);
        next.committed = next.committed.max(call.through);
        let mut pending = answer.retry;
        pending.append(&mut next.pending_retries);
        next.pending_retries = pending;
        next.forget_settled();
        // Seldom: most calls fail no recipient.
        if !answer.failed_tries.is_empty() || next.tries.is_some() {
            let mut tries = next.tries.take().unwrap_or_default();
            for position in answer.failed_tries {
                *tries.entry(position).or_default() += 1;
            }
            tries.retain(|position, _| next.pending_retries.contains(position));
            next.tries = Some(tries).filter(|tries| !tries.is_empty());
        }
        if let Some(tally) = &mut next.tally {
            tally.sent += answer.accepted;
            tally.failed += answer.rejected;
            tally.skipped += answer.skipped;
        }
        next
    }

    /// The cursor after a call that reached no recipient: nothing is consumed.
    #[must_use]
    pub fn rollback(&self) -> Self {
        let mut next = self.clone();
        let Some(call) = next.in_flight.take() else { return next };
        let mut pending = call.retried;
        pending.append(&mut next.pending_retries);
        next.pending_retries = pending;
        next
    }

    /// The cursor past entries that get no email, `expired` of which have expired.
    #[must_use]
    pub fn pass(&self, through: Position, expired: u64) -> Self {
        let mut next = self.clone();
        next.committed = next.committed.max(through);
        next.forget_settled();
        if let Some(tally) = &mut next.tally {
            tally.skipped += expired;
        }
        next
    }

    /// The cursor with these of the pending retries after all others.
    #[must_use]
    pub fn retry_last(&self, last: &[Position]) -> Self {
        let mut next = self.clone();
        next.pending_retries.sort_by_key(|position| last.contains(position));
        next
    }

    /// The cursor where `count` more entries are written down as failed without a call: they cannot be read.
    #[must_use]
    pub fn count_failed(&self, count: u64) -> Self {
        let mut next = self.clone();
        if let Some(tally) = &mut next.tally {
            tally.failed += count;
        }
        next
    }

    /// The cursor without these of the pending retries: they no longer wait.
    #[must_use]
    pub fn drop_retries(&self, gone: &[Position]) -> Self {
        let mut next = self.clone();
        next.pending_retries.retain(|position| !gone.contains(position));
        next.forget_settled();
        next
    }
}
