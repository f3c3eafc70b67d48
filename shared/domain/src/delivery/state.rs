//! Where a delivery is: what it has asked for or must decide next, and how its cursor stands to the table's.

use std::time::Duration;

use jiff::Timestamp;

use super::call::Call;
use super::outcome::Refusal;
use super::step::End;
use crate::Position;
use crate::cursor::{Cursor, Tally};
use crate::product::Product;

/// How the cursor here stands to the one in the table.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Standing {
    /// They are the same.
    Free,
    /// They announce a call whose answer is missing: nothing is written before it is here.
    Announced,
    /// The one here is ahead of the table's: the next announcement writes it too, or the release.
    Answered {
        /// When the call was announced that the table still has in flight: its answer is not kept back for long.
        announced: Option<Timestamp>,
    },
    /// A write under this token had no answer: it may be applied or not.
    Unsure { token: String, written: Box<Cursor> },
    /// Another worker has written the table's.
    Lost,
}

/// Whether emails may go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Leave {
    /// They may.
    Granted,
    /// The product is sold out, or its next restock is held back.
    SoldOut,
    /// Not at this time of day.
    Closed,
}

impl Leave {
    /// What the product says at this time.
    pub(super) fn of(product: &Product, now: Timestamp) -> Self {
        if !product.is_sendable() {
            Self::SoldOut
        } else if product.rules().opens(now) > now {
            Self::Closed
        } else {
            Self::Granted
        }
    }
}

/// The part of its life that a delivery is in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Stage {
    /// The shard is being taken over: there is nothing to release yet.
    TakingOver,
    /// Round after round.
    Delivering,
    /// The cursor is written for the next worker; without an end after an error.
    Releasing { end: Option<End>, attempt: u32 },
}

/// What is decided next, or was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum State<R> {
    // To be decided, once it is known what time it is.
    Begin,
    Look(AfterLook),
    Depart {
        wanted: usize,
        departure: Timestamp,
    },
    Compose {
        wanted: usize,
    },
    Announced(Call<R>),
    BackOff,
    Commit,
    // Asked for.
    ReadInDoubt {
        through: Position,
        then: AfterDoubt,
    },
    WriteSummary(Tally),
    ReadTally,
    Greet,
    ReadProduct(AfterLook),
    AskRate,
    ReadEntries {
        limit: usize,
        then: AfterEntries,
    },
    ReadPending(Vec<Position>),
    Reserve {
        wanted: usize,
    },
    Wait {
        time: Duration,
        then: AfterWait,
    },
    WriteFailed {
        failed: Vec<(Position, String)>,
        then: AfterFailed,
    },
    WriteCursor {
        cursor: Cursor,
        then: AfterWrite<R>,
    },
    ReadFencingToken,
    Sending(Call<R>),
    /// As `Sending`, and the call was handed out: it is never handed out again.
    Sent(Call<R>),
    CutRate {
        throttled: u64,
        of: u64,
        then: AfterCut,
    },
    Finished(End),
    /// Something was asked for and something else was answered.
    Unanswered,
}

/// What follows once a call in doubt is resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum AfterDoubt {
    TakeOver,
    BackOff,
}

/// What follows where the product is in stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum AfterLook {
    AskRate,
    /// The slots may be used.
    Compose {
        wanted: usize,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum AfterEntries {
    ReadOn,
    /// The slice is over; it was asked whether an entry is left.
    WindUp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum AfterWait {
    Begin,
    Compose { wanted: usize },
    Commit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum AfterCut {
    Begin,
    BackOff,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum AfterWrite<R> {
    /// It goes on there.
    GoOn(Box<State<R>>),
    Announced(Call<R>),
    Released,
}

/// What is decided once failures are written down, and not before: the cursor never passes an entry that is not.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum AfterFailed {
    /// They are the recipients of a call in doubt.
    Resolve(AfterDoubt),
    /// These pending retries are gone, `unreadable` of them because they cannot be read.
    DropRetries { gone: Vec<Position>, unreadable: u64 },
    /// No entry up to `through` gets an email.
    Pass { through: Position, expired: u64, unreadable: u64 },
    /// SES refused a call to this one alone.
    Alone { position: Position, reason: String, expired: u64, unreadable: u64 },
    /// SES answered for each recipient.
    Answered(Verdict),
    /// These were set aside, and it was their own fault.
    Reject { gone: Vec<Position>, then: AfterReject },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum AfterReject {
    Begin,
    /// Whether so many are set aside that it is no recipient's fault; then this.
    SetAside(Verdict),
}

/// What a call says of those after it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Verdict {
    /// Whether a recipient was accepted, or rejected for good.
    pub(super) progress: bool,
    /// Why recipients are to be tried again, the worst reason of all.
    pub(super) worst: Option<Refusal>,
    /// How many are.
    pub(super) retried: u64,
    /// Of so many that SES answered for.
    pub(super) of: u64,
}
