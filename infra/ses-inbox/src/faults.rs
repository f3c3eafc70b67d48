//! Faults on request, so that a test can make SES misbehave: `PUT /_aws/ses/faults` on the SES address.
//!
//! The body replaces all faults that were set; `{}` or `DELETE` clears them; `GET` shows what is left of them.
//!
//! ```json
//! {
//!   "statuses": {"ann@example.com": {"status": "TRANSIENT_FAILURE", "times": 2},
//!                "bob@example.com": {"status": "MESSAGE_REJECTED"}},
//!   "refuseCalls": ["eve@example.com"],
//!   "sandbox": {"verified": ["ann@example.com", "example.org"]},
//!   "suppressed": [{"emailAddress": "dan@example.com", "reason": "BOUNCE", "lastUpdateTime": "2026-11-23T09:30:00Z"}],
//!   "latencyMs": 250,
//!   "answerMs": 12000,
//!   "throttleNext": 3,
//!   "failNext": 1,
//!   "dropNext": 1,
//!   "events": {"byAddress": {"ann@example.com": "bounced"}, "shares": {"complained": 0.002}, "othersDelivered": true}
//! }
//! ```
//!
//! - `statuses`: entries to that address get this `BulkEmailStatus` and are not captured; `times` times, else always.
//! - `refuseCalls`: a call with an entry to one of these addresses gets 400 `BadRequestException` as a whole, and captures
//!   nothing: what the documentation of `SendBulkTemplatedEmail` says of an invalid recipient ("the entire message is rejected,
//!   even if the message contains other recipients that are valid").
//! - `sandbox`: the account is in the sandbox. `GetAccount` says `ProductionAccessEnabled: false`, and an entry with a recipient
//!   that is neither verified (an address, or a domain with its subdomains) nor one of the mailbox simulator's gets
//!   `MESSAGE_REJECTED` with SES's words. Rate and quota stay as they are. `{}` verifies no address.
//! - `suppressed`: what `ListSuppressedDestinations` lists. No email is kept back for it.
//! - `latencyMs`: every send call waits so long before it is looked at.
//! - `answerMs`: every send call that is accepted captures its mails, and is answered so long after.
//! - `throttleNext`: the next N send calls get 429 `TooManyRequestsException`, and capture nothing.
//! - `failNext`: the next N send calls get 500 `InternalServiceErrorException`, and capture nothing.
//! - `dropNext`: the next N send calls that are accepted capture their emails, then the connection is closed unanswered.
//! - `events`: what becomes of emails that SES accepted: `delivered`, `bounced`, `bouncedForNow`, `onSuppressionList`, `complained`,
//!   `notSpam`, `rejected` or `delayed`. By address, before what the simulator's addresses do; of the others a share, by a hash
//!   of the address; and of the rest whether it is told that they arrived.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::became::{Became, Fates};
use super::suppression::Suppressed;
use super::wire::{bare, simulated};

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Faults {
    statuses: HashMap<String, Status>,
    refuse_calls: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sandbox: Option<Sandbox>,
    suppressed: Vec<Suppressed>,
    latency_ms: u64,
    answer_ms: u64,
    throttle_next: u64,
    fail_next: u64,
    drop_next: u64,
    events: Fates,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Status {
    status: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    times: Option<u64>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Sandbox {
    verified: Vec<String>,
}

impl Sandbox {
    fn takes(&self, address: &str) -> bool {
        let address = bare(address);
        let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase();
        simulated(address).is_some()
            || self.verified.iter().any(|identity| {
                let identity = identity.to_ascii_lowercase();
                match domain.strip_suffix(identity.as_str()) {
                    Some(above) => above.is_empty() || above.ends_with('.'),
                    None => identity == address.to_ascii_lowercase(),
                }
            })
    }
}

impl Faults {
    pub(super) fn suppressed(&self) -> &[Suppressed] {
        &self.suppressed
    }

    pub(super) fn latency(&self) -> Duration {
        Duration::from_millis(self.latency_ms)
    }

    pub(super) fn answers_after(&self) -> Duration {
        Duration::from_millis(self.answer_ms)
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

    /// Whether a call to these addresses is to be refused as a whole.
    pub(super) fn refuses<'a>(&self, mut addresses: impl Iterator<Item = &'a str>) -> bool {
        !self.refuse_calls.is_empty()
            && addresses.any(|to| self.refuse_calls.iter().any(|bad| bad.eq_ignore_ascii_case(bare(to))))
    }

    /// What becomes of an email to these addresses, as far as anything is told of it.
    pub(super) fn fate<'a>(&self, addresses: impl Iterator<Item = &'a str> + Clone) -> Option<Became> {
        self.events.of(addresses)
    }

    pub(super) fn sandboxed(&self) -> bool {
        self.sandbox.is_some()
    }

    /// Those of these addresses that the sandbox does not let through.
    pub(super) fn unverified<'a>(&self, addresses: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let Some(sandbox) = &self.sandbox else { return Vec::new() };
        addresses.filter(|address| !sandbox.takes(address)).map(bare).collect()
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
