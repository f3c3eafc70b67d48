//! The entries of the shard: read ahead in their order, and at their positions where a retry is pending.

use std::collections::HashMap;

use super::call::failures;
use super::limits::{IN_DOUBT, MAX_PAGE, UNREADABLE};
use super::state::{AfterEntries, AfterFailed, State};
use super::{Delivery, Row};
use crate::Position;

impl<R> Delivery<R> {
    /// Up to where entries are read.
    pub(super) fn read_to(&self) -> Position {
        self.read_ahead.back().map_or(self.cursor.committed, |(position, _)| *position)
    }

    /// Reads ahead. One extra call of entries, so that the next slots can be reserved early.
    pub(super) fn read_on(&mut self) {
        let size = self.call_size();
        if self.read_to() >= self.bound {
            self.exhausted = true;
        }
        if self.read_ahead.len() >= size * 2 || self.exhausted {
            return self.read_pending();
        }
        let limit = self.pace.ahead.clamp(size.min(MAX_PAGE), MAX_PAGE);
        self.state = State::ReadEntries { limit, then: AfterEntries::ReadOn };
    }

    /// Reads the entries of the pending retries that an earlier worker left.
    fn read_pending(&mut self) {
        let pending = self.cursor.pending_retries.iter().copied();
        let missing: Vec<Position> =
            pending.filter(|position| !self.retries.contains_key(position)).collect();
        if missing.is_empty() {
            return self.size_up();
        }
        self.state = State::ReadPending(missing);
    }

    /// The entries at the positions that were asked for; a position without an entry is left out.
    pub fn on_pending(&mut self, rows: HashMap<Position, Row<R>>) {
        let State::ReadPending(missing) = self.take_state() else { return };
        let mut unreadable = Vec::new();
        for (position, row) in rows {
            match row {
                Row::Waiting(recipient) => drop(self.retries.insert(position, recipient)),
                Row::Expired => {}
                Row::Unreadable => unreadable.push(position),
            }
        }
        let gone = missing.into_iter().filter(|position| !self.retries.contains_key(position)).collect();
        let then = AfterFailed::DropRetries { gone, unreadable: unreadable.len() as u64 };
        self.write_failed(failures(&unreadable, UNREADABLE), then);
    }

    pub(super) fn drop_retries(&mut self, gone: &[Position], unreadable: u64) {
        if !gone.is_empty() {
            self.change(self.cursor.drop_retries(gone).count_failed(unreadable));
        }
        self.size_up();
    }

    /// The entries that were asked for, in their order, and whether no entry follows them.
    pub fn on_entries(&mut self, entries: Vec<(Position, Row<R>)>, last: bool) {
        match self.take_state() {
            State::ReadInDoubt { then, .. } => {
                let retried = self.cursor.in_flight.iter().flat_map(|call| &call.retried);
                let doubted: Vec<Position> =
                    entries.iter().map(|(position, _)| position).chain(retried).copied().collect();
                self.write_failed(failures(&doubted, IN_DOUBT), AfterFailed::Resolve(then));
            }
            State::ReadEntries { then, .. } => {
                self.read_ahead.extend(entries);
                self.exhausted = last;
                match then {
                    AfterEntries::ReadOn => self.read_on(),
                    AfterEntries::WindUp => self.wound_up(),
                }
            }
            _ => {}
        }
    }
}
