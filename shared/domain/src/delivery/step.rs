//! What a delivery asks for, and what it is told.

use std::time::Duration;

use jiff::Timestamp;

use super::announce::Announced;
use crate::Position;
use crate::cursor::{Cursor, OnUnknown, Tally};

/// Now, by two clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Now {
    /// By the wall clock, which other workers have too: for what stands in the table.
    pub wall: Timestamp,
    /// Since what the delivery began with was read: for deadlines and ages. A monotonic clock's, which no operator sets.
    pub uptime: Duration,
}

/// What a delivery asks for. Each step is answered by the method that its comment names, or by
/// [`on_error`](super::Delivery::on_error).
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a, R> {
    /// Count and log this. It needs no answer.
    Report(Report),
    /// Make sure of a living connection to SES: [`on_done`](super::Delivery::on_done).
    Greet,
    /// Read the product: [`on_product`](super::Delivery::on_product).
    ReadProduct,
    /// Say how fast SES takes recipients: [`on_rate`](super::Delivery::on_rate).
    AskRate,
    /// Read the entries in `(after, through]`, the first `limit` of them: [`on_entries`](super::Delivery::on_entries).
    ReadEntries {
        /// The position before the first.
        after: Position,
        /// The last position that counts.
        through: Position,
        /// How many at most.
        limit: usize,
    },
    /// Read the entries at these positions: [`on_pending`](super::Delivery::on_pending).
    ReadPending(&'a [Position]),
    /// Write these down as failed, each with its reason: [`on_done`](super::Delivery::on_done).
    WriteFailed(&'a [(Position, String)]),
    /// Read what the shard has counted for the restock: [`on_tally`](super::Delivery::on_tally).
    ReadTally,
    /// Write what the shard has counted to its restock's summary: [`on_done`](super::Delivery::on_done).
    WriteShardSummary(&'a Tally),
    /// Say when the next call may go: [`on_slots`](super::Delivery::on_slots), or [`on_paused`](super::Delivery::on_paused).
    ReserveSlots {
        /// The recipients of the next call.
        wanted: usize,
        /// How many entries can be sent to, the next call's among them.
        sendable: usize,
        /// Whether what is reserved must be let go: it was reserved at a rate that does not hold any more.
        afresh: bool,
    },
    /// Write the cursor: [`on_written`](super::Delivery::on_written).
    WriteCursor(CursorWrite<'a>),
    /// Read the fencing token that the cursor in the table has: [`on_fencing_token`](super::Delivery::on_fencing_token).
    ReadFencingToken,
    /// Send the call that was announced: [`on_outcome`](super::Delivery::on_outcome).
    Send(Announced<'a, R>),
    /// SES throttled `throttled` of `of` recipients: cut the rate for all workers: [`on_done`](super::Delivery::on_done).
    CutRate {
        /// How many it did not take.
        throttled: u64,
        /// How many it was handed.
        of: u64,
    },
    /// Wait for so long: [`on_done`](super::Delivery::on_done).
    Wait(Duration),
    /// There is nothing left to do.
    Finished(End),
}

/// A write of the cursor, under a new fencing token, on condition that the table's cursor still has this one (`None`: that it has
/// none).
#[derive(Debug, PartialEq, Eq)]
pub struct CursorWrite<'a> {
    /// The cursor.
    pub cursor: &'a Cursor,
    /// The token under which it was last seen or written here.
    pub fencing_token: Option<&'a str>,
}

/// What became of a write of the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// It stands in the table.
    Won,
    /// Another worker wrote first: the shard is that worker's.
    Lost,
    /// Nothing is written, and the shard is this worker's still: a subscriber has left since the cursor was last read or
    /// written here, so what was read ahead may hold an entry that has ended.
    EntryEnded,
    /// No answer came: it may be applied or not. [`on_error`](super::Delivery::on_error) follows.
    Unknown,
}

/// What stands at a position of a waitlist.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Row<R> {
    /// A waiting subscriber.
    Waiting(R),
    /// An entry whose time is over: passed without an email.
    Expired,
    /// An entry that cannot be read: passed, and written down as failed.
    Unreadable,
}

/// How fast SES takes recipients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RateAnswer {
    /// So fast.
    Pace(super::slots::Pace),
    /// SES does not say, now.
    Unavailable,
    /// SES will not say until an operator mends the reason.
    Denied(String),
}

/// What is to be counted and logged.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Report {
    /// SES answered a call.
    Answered {
        /// How many recipients it accepted.
        accepted: u64,
        /// How many it rejected for good.
        rejected: u64,
    },
    /// A call in doubt to so many is resolved.
    InDoubt {
        /// The recipients.
        count: u32,
        /// What was made of it.
        resolved: OnUnknown,
    },
    /// SES does not answer.
    Unavailable(String),
    /// How long send slots were waited for, altogether.
    SlotWait(Duration),
}

/// How a delivery ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum End {
    /// Every entry up to the bound had its turn.
    Delivered,
    /// The product is sold out again: the entries that are left go on waiting.
    SoldOut,
    /// The rules let no email go out at this time of day: the sweep puts the job back, and it is tried again.
    Closed,
    /// Time or number is up, or another worker has the shard: the rest goes back in line.
    More,
    /// SES is suspended; it needs an operator or a quota's reset: the sweep puts the job back.
    Stopped(String),
    /// Fan-outs pause: the sweep puts the job back, and it is tried again.
    Paused,
}
