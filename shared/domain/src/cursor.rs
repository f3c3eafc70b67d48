//! How far a shard of a waitlist has been delivered, and the steps by which that moves ([`steps`]): announce, commit, roll back,
//! resolve in doubt. Every step gives a whole new cursor; the table keeps it by one conditional write on the fencing token, so of
//! two workers one loses, and the loser must not send.
//!
//! An entry is consumed exactly when its position is at or below `committed` and it is not among the few that SES throttled and
//! whose retry is pending.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{Position, RestockId};

mod doubt;
mod steps;
#[cfg(test)]
mod tests;

pub use doubt::Doubted;
pub use steps::Answer;

/// The most recipients of one `SendBulkEmail` call (an SES limit).
pub const MAX_CALL: usize = 50;

/// What becomes of a call whose outcome is not known: the setting `ON_UNKNOWN`. Entries that were in such a call before are
/// passed whatever the setting says ([`Cursor::settlement`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OnUnknown {
    /// Send the call in doubt again, once: at most one call's recipients per crash and shard may get the email twice, and none
    /// is missed by one crash.
    #[default]
    Resend,
    /// Pass it: no recipient gets the email twice, at most one call's recipients per crash and shard
    /// may be missed, and they are written down.
    Skip,
}

impl std::str::FromStr for OnUnknown {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "resend" => Ok(Self::Resend),
            "skip" => Ok(Self::Skip),
            _ => Err("resend or skip"),
        }
    }
}

/// A call to SES that was announced and whose answer is not written down yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InFlight {
    /// Its last new entry: its recipients are those in `(committed, through]`, and `retried`.
    pub through: Position,
    /// Entries of earlier calls, throttled then, that are its recipients as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retried: Vec<Position>,
    /// How many recipients it has.
    pub count: u32,
    /// When it was announced; in the table, Unix milliseconds.
    #[serde(rename = "sinceMs", with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub since: Timestamp,
}

/// What came of the entries of a shard in one restock.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// The restock.
    pub restock_id: RestockId,
    /// Accepted by SES.
    pub sent: u64,
    /// Refused by SES for good, or not readable; each is written down.
    pub failed: u64,
    /// Passed without an email (expired, or passed by [`OnUnknown::Skip`]).
    pub skipped: u64,
    /// In calls whose answer was lost.
    pub in_doubt: u64,
}

impl Tally {
    /// Nothing yet.
    pub fn new(restock_id: RestockId) -> Self {
        Self { restock_id, sent: 0, failed: 0, skipped: 0, in_doubt: 0 }
    }

    /// Whether nothing was counted yet.
    pub fn is_empty(&self) -> bool {
        self.sent == 0 && self.failed == 0 && self.skipped == 0 && self.in_doubt == 0
    }
}

/// A shard's cursor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// Every entry at or below was sent, refused for good, or is in `pending_retries`.
    pub committed: Position,
    /// Entries at or below `committed` that SES throttled: the first recipients of the next call.
    #[serde(rename = "carried", default, skip_serializing_if = "Vec::is_empty")]
    pub pending_retries: Vec<Position>,
    /// The call in flight.
    #[serde(rename = "flight", default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<InFlight>,
    /// How often SES has failed each of the pending retries by itself, without a throttle.
    /// Boxed and mostly absent: every step copies the cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<Box<BTreeMap<Position, u32>>>,
    /// The entries that were in a call in doubt and are sent to again. Boxed and mostly absent, as `tries`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub doubted: Option<Box<Doubted>>,
    /// The count for the restock that was last delivered here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<Tally>,
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            committed: Position::START,
            pending_retries: Vec::new(),
            in_flight: None,
            tries: None,
            doubted: None,
            tally: None,
        }
    }
}

/// What a worker finds that takes a shard over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// No call is in flight: go on.
    Free,
    /// Another worker's call may still be under way.
    Busy {
        /// When it certainly is not any more.
        until: Timestamp,
    },
    /// A call was announced and its worker is gone: [`Cursor::resolve_in_doubt`] it.
    InDoubt(InFlight),
}

impl Cursor {
    /// Whether the entry at `position` has had its turn.
    pub fn is_consumed(&self, position: Position) -> bool {
        let in_flight = self.in_flight.as_ref().is_some_and(|call| call.retried.contains(&position));
        position <= self.committed && !self.pending_retries.contains(&position) && !in_flight
    }

    /// Whether the entry at this position is in the call in flight.
    #[cfg(test)]
    pub(crate) fn has_in_flight(&self, position: Position) -> bool {
        self.in_flight.as_ref().is_some_and(|call| {
            call.retried.contains(&position) || position > self.committed && position <= call.through
        })
    }

    /// How often SES has failed this one of the pending retries.
    pub fn tries_of(&self, position: Position) -> u32 {
        self.tries.as_ref().and_then(|tries| tries.get(&position)).copied().unwrap_or_default()
    }

    /// Whether the shard can be taken over at `now`. `limit` is the longest a call can take from its
    /// announcement to its end, with all clocks' differences.
    pub fn availability(&self, now: Timestamp, limit: Duration) -> Availability {
        let Some(call) = &self.in_flight else { return Availability::Free };
        // A time past the end of time is one at which the call is still under way.
        let until = call.since.checked_add(limit).unwrap_or(Timestamp::MAX);
        if now < until { Availability::Busy { until } } else { Availability::InDoubt(call.clone()) }
    }

    /// Whether no email is due up to `bound`, given the last entry of the shard.
    pub fn is_done(&self, last: Option<Position>, bound: Position) -> bool {
        let waiting = last.is_some_and(|last| last.min(bound) > self.committed);
        !waiting && self.pending_retries.is_empty() && self.in_flight.is_none()
    }
}
