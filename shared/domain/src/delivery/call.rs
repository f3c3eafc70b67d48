//! A call: where its recipients come from, and go back to where it is not made.

use super::Delivery;
use super::limits::UNREADABLE;
use super::step::Row;
use crate::Position;

/// A call about to be made.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Call<R> {
    pub(super) recipients: Vec<(Position, R)>,
    /// How many of them, the first ones, are pending retries.
    pub(super) retried: usize,
    /// The last new entry.
    pub(super) through: Option<Position>,
    pub(super) expired: u64,
    /// Entries of its range that cannot be read.
    pub(super) unreadable: Vec<Position>,
}

/// These positions, each with the same reason.
pub(super) fn failures(positions: &[Position], reason: &str) -> Vec<(Position, String)> {
    positions.iter().map(|position| (*position, reason.to_owned())).collect()
}

impl<R> Call<R> {
    /// Its recipients' number, as the announcement says it.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.recipients.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn unreadable_failures(&self) -> Vec<(Position, String)> {
        failures(&self.unreadable, UNREADABLE)
    }
}

impl<R> Delivery<R> {
    /// How many entries can be sent to: those set aside are not among them.
    pub(super) fn sendable(&self) -> usize {
        self.untried_retries() + self.read_ahead.len()
    }

    /// How many of the pending retries are not set aside; those set aside stand last.
    fn untried_retries(&self) -> usize {
        self.cursor.pending_retries.len().saturating_sub(self.refusals.set_aside().len())
    }

    /// The next `wanted` recipients: pending retries first, then the next entries. If the first of them was in a call in doubt
    /// before, they all were, and else none was: so that the call can be passed as a whole when it is in doubt too.
    pub(super) fn next_call(&mut self, wanted: usize) -> Call<R> {
        let mut call = Call {
            recipients: Vec::with_capacity(wanted),
            retried: 0,
            through: None,
            expired: 0,
            unreadable: Vec::new(),
        };
        let (retries, mut doubted) = (self.untried_retries().min(wanted), None);
        let mut is_like_the_first = |position: Position| {
            let this = self.cursor.was_in_doubt(position);
            *doubted.get_or_insert(this) == this
        };
        for position in self.cursor.pending_retries.iter().take(retries) {
            if !is_like_the_first(*position) {
                return call;
            }
            let Some(recipient) = self.retries.remove(position) else { break };
            call.recipients.push((*position, recipient));
            call.retried += 1;
        }
        while call.recipients.len() < wanted {
            let next = self.read_ahead.pop_front_if(|(position, _)| is_like_the_first(*position));
            let Some((position, row)) = next else { break };
            call.through = Some(position);
            match row {
                Row::Waiting(recipient) => call.recipients.push((position, recipient)),
                Row::Expired => call.expired += 1,
                Row::Unreadable => call.unreadable.push(position),
            }
        }
        call
    }

    /// Puts the recipients of a call that was not made back to where they came from.
    pub(super) fn put_back(&mut self, call: Call<R>) {
        let mut recipients = call.recipients.into_iter();
        self.retries.extend(recipients.by_ref().take(call.retried));
        let unreadable = call.unreadable.into_iter().map(|position| (position, Row::Unreadable));
        let mut rows: Vec<(Position, Row<R>)> = recipients
            .map(|(position, recipient)| (position, Row::Waiting(recipient)))
            .chain(unreadable)
            .collect();
        rows.sort_unstable_by_key(|(position, _)| *position);
        for row in rows.into_iter().rev() {
            self.read_ahead.push_front(row);
        }
    }
}
