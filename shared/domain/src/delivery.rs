//! The delivery of a shard, as a machine without I/O, clock or randomness: [`Delivery::next`] says what to do next, one `on_*`
//! method takes what came of it, and the function that runs it is its hands. The order of its steps is the protocol, in these
//! files from top to bottom (`machine.rs` only leads from one to the next):
//!
//! 1. `acquire.rs`: the shard is taken over; a call without an answer is resolved first;
//! 2. `round.rs`: look at the stock, read `entries.rs` ahead, reserve slots, wait for them and look again;
//! 3. `announce.rs`: announce the call on the cursor, and only then hand it out;
//! 4. `answer.rs`: commit what SES said of each recipient, keep the retries, wait where nothing came of it; `set_aside.rs`: find
//!    the recipients whom SES will never accept;
//! 5. `release.rs`: write the cursor for the next worker, also after an error.
//!
//! An announcement also commits the call before, so an email costs a fiftieth of a write. Of two workers one loses the
//! conditional write of its announcement, and only the winner has an [`Announced`] to send.
//!
//! What recipients carry is the caller's: addresses in production, a number in the model that checks every interleaving of this
//! machine with itself.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::cursor::{Cursor, OnUnknown};
use crate::{Lane, Position, RestockId};

mod acquire;
mod announce;
mod answer;
mod call;
mod entries;
mod limits;
mod machine;
#[cfg(test)]
mod mutant;
mod outcome;
mod refusals;
mod release;
mod round;
mod set_aside;
mod slots;
mod state;
mod step;
#[cfg(test)]
mod tests;

pub use acquire::Acquire;
pub use announce::Announced;
pub use limits::{CALL_TIMEOUT, FLIGHT_LIMIT, IN_DOUBT, SECOND_TRY, UNREADABLE};
#[cfg(test)]
pub(crate) use mutant::Mutant;
pub use outcome::{CallOutcome, RecipientOutcome, Refusal};
pub use slots::{Leases, Pace};
pub use step::{CursorWrite, End, Now, RateAnswer, Report, Row, Step, Written};

use refusals::Refusals;
use state::{Leave, Stage, Standing, State};

/// What a worker is to deliver.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Terms {
    /// The restock that it counts for.
    pub restock_id: RestockId,
    /// The lane of the shard.
    pub lane: Lane,
    /// The job's bound: no entry past it is sent to, nor past the product's.
    pub bound: Position,
    /// Nothing was counted yet for this restock: it was planned a moment ago.
    pub first: bool,
    /// No round begins after this uptime.
    pub deadline: Duration,
    /// Nor after so many emails.
    pub max_emails: u64,
    /// What becomes of a call in doubt.
    pub on_unknown: OnUnknown,
    /// The order that is wrong, for the model to find.
    #[cfg(test)]
    pub(crate) mutant: Option<Mutant>,
}

/// A worker's time with a shard: the cursor as it last wrote it, the entries it has read ahead, and what it does next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Delivery<R> {
    terms: Terms,
    /// The job's bound, but never past what the product's restock and its wave have opened.
    bound: Position,
    cursor: Cursor,
    standing: Standing,
    /// The token under which the cursor was last seen or written.
    fencing_token: Option<String>,
    read_ahead: VecDeque<(Position, Row<R>)>,
    /// Whether the shard was read up to the bound.
    exhausted: bool,
    /// The entries of the pending retries.
    retries: BTreeMap<Position, R>,
    /// Whether emails may go out, as the product said when it was looked at.
    leave: Leave,
    /// When the product was read.
    looked: Duration,
    pace: Pace,
    /// Whether the slots that are reserved are no good any more.
    slots_outdated: bool,
    accepted: u64,
    /// How many rounds in a row came to nothing.
    fruitless: u32,
    refusals: Refusals,
    /// How long send slots were waited for.
    slot_wait: Duration,
    reports: VecDeque<Report>,
    stage: Stage,
    state: State<R>,
}
