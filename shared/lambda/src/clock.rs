//! The system's clock: with [`crate::entropy`], the only places where time and randomness come in.

use std::time::{SystemTime, UNIX_EPOCH};

use jiff::Timestamp;

/// Now.
pub fn now() -> Timestamp {
    Timestamp::now()
}

/// Now, in Unix milliseconds.
pub fn now_ms() -> u64 {
    now_us() / 1_000
}

/// Now, in Unix microseconds.
pub fn now_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
