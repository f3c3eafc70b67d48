//! Faults on request, so that a test can make SES misbehave: `PUT /_aws/ses/faults` on the SES address.
//!
//! The body replaces all faults that were set; `{}` or `DELETE` clears them; `GET` shows what is left of them.
//!
//! ```json
//! {
//!   "statuses": {"ann@example.com": {"status": "TRANSIENT_FAILURE", "times": 2},
//!                "bob@example.com": {"status": "MESSAGE_REJECTED"}},
//!   "latencyMs": 250,
//!   "throttleNext": 3,
//!   "failNext": 1,
//!   "dropNext": 1
//! }
//! ```
//!
//! - `statuses`: entries to that address get this `BulkEmailStatus` and are not captured; `times` times, else always.
//! - `latencyMs`: every send call waits so long before it is looked at.
//! - `throttleNext`: the next N send calls get 429 `TooManyRequestsException`, and capture nothing.
//! - `failNext`: the next N send calls get 500 `InternalServiceErrorException`, and capture nothing.
//! - `dropNext`: the next N send calls that are accepted capture their mails, then the connection is closed unanswered.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::wire::bare;

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Faults {
    statuses: HashMap<String, Status>,
    latency_ms: u64,
    throttle_next: u64,
    fail_next: u64,
    drop_next: u64,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
}

impl Faults {
    pub(super) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }

    pub(super) fn throttle(&mut self) -> bool {
        use_one(&mut self.throttle_next)
    }

    pub(super) fn fail(&mut self) -> bool {
        use_one(&mut self.fail_next)
    }

    pub(super) fn drop_answer(&mut self) -> bool {
        use_one(&mut self.drop_next)
    }

    /// The status an entry to these addresses is to get, if one of them has a fault.
    pub(super) fn status<'a>(&mut self, mut addresses: impl Iterator<Item = &'a str>) -> Option<String> {
        if self.statuses.is_empty() {
            return None;
        }
        let live =
            |address: &&str| self.statuses.get(bare(address)).is_some_and(|fault| fault.times != Some(0));
        let address = addresses.find(live)?;
        let fault = self.statuses.get_mut(bare(address))?;
        let status = fault.status.clone();
        if let Some(times) = &mut fault.times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.statuses.remove(bare(address));
            }
        }
        Some(status)
    }
}

fn use_one(left: &mut u64) -> bool {
    let any = *left > 0;
    *left = left.saturating_sub(1);
    any
}
