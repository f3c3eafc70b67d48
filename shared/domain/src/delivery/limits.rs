//! The times and sizes of a delivery, each with its reason.

use std::time::Duration;

use crate::backoff::Backoff;

/// The longest a call to SES may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest from a call's announcement to its departure; a worker that was frozen for longer announces again.
pub(super) const DEPARTURE: Duration = Duration::from_secs(2);
/// The longest from a call's announcement until it certainly is over: its departure, the call, and how far two workers' clocks
/// may differ.
pub const FLIGHT_LIMIT: Duration =
    DEPARTURE.saturating_add(CALL_TIMEOUT).saturating_add(Duration::from_secs(5));
/// How long after its announcement a call in doubt is sent again: half a minute after it departed at the latest, because an SES that
/// is slow would take the second one as it took the first.
pub const SECOND_TRY: Duration = DEPARTURE.saturating_add(Duration::from_secs(30));
/// How long after its announcement a call's answer is committed at once, and not with the next announcement: what is read and
/// reserved before that may take until the call looks like one whose worker is gone ([`FLIGHT_LIMIT`]).
pub(super) const LATE: Duration = Duration::from_secs(5);
/// How old the product's item may be when a call is announced: what SES has not been handed a second after a sell-out is not sent.
pub(super) const FRESH: Duration = Duration::from_secs(1);
/// How far entries are read ahead, in seconds of sending: a subscriber who unsubscribes during a fan-out is spared unless their
/// email is that near.
pub(super) const AHEAD_SECONDS: f64 = 3.0;
/// The most entries that are read ahead.
pub(super) const MAX_PAGE: usize = 1_000;
/// How often the cursor's last write is tried.
pub(super) const COMMIT_TRIES: u32 = 5;
/// The back-off after its first failure; after the n-th, n times that.
pub(super) const COMMIT_BACKOFF: Duration = Duration::from_millis(300);
/// How often SES may fail a recipient before the entry is written down as failed.
pub(super) const MAX_TRIES: u32 = 20;
/// How many rounds in a row may come to nothing before the job goes back in line.
pub(super) const MAX_FRUITLESS_ROUNDS: u32 = 5;
/// The wait after each of them. No random part: the slots of the next round keep workers apart.
pub(super) const FRUITLESS_BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), 4);

/// The reason of an entry that cannot be read.
pub const UNREADABLE: &str = "UNREADABLE";
/// The reason of an entry that was in a call whose outcome is not known, and that was skipped for that.
pub const IN_DOUBT: &str = "IN_DOUBT";
