//! What becomes of an email after SES has accepted it, and the events that SES would publish of that.
//!
//! The mailbox simulator's addresses decide it as "Using the mailbox simulator" in SES's developer guide says: `bounce` is refused
//! with SMTP 550 5.1.1, `complaint` is delivered and then reported as spam, `suppressionlist` bounces as an address on SES's own
//! suppression list, `success` and `ooto` are delivered (the automatic answer of the latter goes to the return path, which is
//! SES's). A fault can decide it for any address. The events are of the form of "Examples of event data that Amazon SES publishes to
//! Amazon SNS", same guide.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::inbox::Mail;
use super::wire::{Entry, Pair, bare, overlay, simulated};

/// What became of an email. The names are those of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Became {
    /// It arrived.
    Delivered,
    /// The address takes no email.
    Bounced,
    /// It did not arrive in time; another may.
    BouncedForNow,
    /// SES did not send it: the address is on SES's suppression list.
    OnSuppressionList,
    /// It arrived, and its recipient reported it as spam.
    Complained,
    /// It arrived in a spam folder, and its recipient took it out.
    NotSpam,
    /// SES did not send it, for its content.
    Rejected,
    /// It has not arrived yet.
    Delayed,
}

/// What a simulator's address, such as `bounce+label@simulator.amazonses.com`, makes of an email to it.
fn at_the_simulator(address: &str) -> Option<Became> {
    Some(match simulated(address)? {
        "bounce" => Became::Bounced,
        "complaint" => Became::Complained,
        "suppressionlist" => Became::OnSuppressionList,
        _ => Became::Delivered,
    })
}

/// The faults that decide what becomes of emails.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Fates {
    /// Of emails to these addresses.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    by_address: BTreeMap<String, Became>,
    /// Of these shares of all others, by a hash of the address: always the same ones.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    shares: BTreeMap<Became, f64>,
    /// All others are delivered, and it is told; else nothing is told of them.
    others_delivered: bool,
}

impl Fates {
    /// What becomes of an email to these addresses, as far as anything is told of it.
    pub(super) fn of<'a>(&self, addresses: impl Iterator<Item = &'a str> + Clone) -> Option<Became> {
        let named = |address: &str| {
            if self.by_address.is_empty() {
                None
            } else {
                self.by_address.get(&bare(address).to_ascii_lowercase()).copied()
            }
        };
        let one = addresses.clone().find_map(|address| named(address).or_else(|| at_the_simulator(address)));
        one.or_else(|| addresses.clone().next().and_then(|address| self.by_share(address)))
            .or(self.others_delivered.then_some(Became::Delivered))
    }

    fn by_share(&self, address: &str) -> Option<Became> {
        if self.shares.is_empty() {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        bare(address).to_ascii_lowercase().hash(&mut hasher);
        #[expect(clippy::cast_precision_loss, reason = "a share of all addresses need not be exact")]
        let mut at = hasher.finish() as f64 / u64::MAX as f64;
        for (became, share) in &self.shares {
            at -= share;
            if at < 0.0 {
                return Some(*became);
            }
        }
        None
    }
}

/// The events that SES would publish of an email, oldest first.
pub(super) fn events(mail: &Mail) -> Vec<Value> {
    if mail.failure.is_none() && mail.became.is_none() {
        return vec![];
    }
    let entry = mail.entry();
    let about = about(mail, &entry);
    let event = |name: &str, own: &str, value: Value| {
        let mut event = json!({ "eventType": name, "mail": about.clone() });
        event[own] = value;
        event
    };
    if let Some(reason) = &mail.failure {
        return vec![event("Rendering Failure", "failure", json!({ "errorMessage": reason }))];
    }
    let to: Vec<&str> = entry.destination.all().collect();
    let delivery = || {
        let own = json!({ "timestamp": timestamp(mail.at), "recipients": to, "processingTimeMillis": 1, "smtpResponse": "250 2.0.0 OK" });
        event("Delivery", "delivery", own)
    };
    let bounce = |kind: &str, sub: &str, status: &str, said: &str| {
        let recipients: Vec<Value> = to.iter().map(|to| json!({ "emailAddress": to, "action": "failed", "status": status, "diagnosticCode": said })).collect();
        let own = json!({
            "bounceType": kind, "bounceSubType": sub, "bouncedRecipients": recipients, "timestamp": timestamp(mail.at),
            "feedbackId": format!("{}-bounce", mail.id), "reportingMTA": "dsn; a1-23.smtp-out.amazonses.com",
        });
        event("Bounce", "bounce", own)
    };
    let complaint = |kind: &str| {
        let recipients: Vec<Value> = to.iter().map(|to| json!({ "emailAddress": to })).collect();
        let own = json!({
            "complainedRecipients": recipients, "timestamp": timestamp(mail.at), "feedbackId": format!("{}-complaint", mail.id),
            "complaintSubType": null, "complaintFeedbackType": kind, "userAgent": "Amazon SES Mailbox Simulator",
        });
        event("Complaint", "complaint", own)
    };
    match mail.became {
        None => vec![],
        Some(Became::Delivered) => vec![delivery()],
        Some(Became::Bounced) => {
            vec![bounce("Permanent", "General", "5.1.1", "smtp; 550 5.1.1 user unknown")]
        }
        Some(Became::BouncedForNow) => {
            vec![bounce("Transient", "MailboxFull", "4.2.2", "smtp; 452 4.2.2 mailbox full")]
        }
        Some(Became::OnSuppressionList) => vec![bounce(
            "Permanent",
            "Suppressed",
            "5.1.1",
            "Amazon SES has suppressed sending to this address because it has a recent history of bouncing as an invalid address.",
        )],
        Some(Became::Complained) => vec![delivery(), complaint("abuse")],
        Some(Became::NotSpam) => vec![delivery(), complaint("not-spam")],
        Some(Became::Rejected) => vec![event("Reject", "reject", json!({ "reason": "Bad content" }))],
        Some(Became::Delayed) => vec![event("DeliveryDelay", "deliveryDelay", delay(mail, &to))],
    }
}

fn delay(mail: &Mail, to: &[&str]) -> Value {
    let recipients: Vec<Value> =
        to.iter().map(|to| json!({ "emailAddress": to, "status": "4.2.2" })).collect();
    json!({ "timestamp": timestamp(mail.at), "delayType": "MailboxFull", "delayedRecipients": recipients })
}

/// What every event says of its email.
fn about(mail: &Mail, entry: &Entry) -> Value {
    let tags = overlay(&mail.call.tags, &entry.replacement_tags, |one, other| one == other);
    let mut all: Map<String, Value> =
        tags.iter().map(|Pair { name, value }| (name.clone(), json!([value]))).collect();
    if let Some(set) = &mail.call.configuration_set {
        all.insert("ses:configuration-set".to_owned(), json!([set]));
    }
    json!({
        "timestamp": timestamp(mail.at),
        "source": mail.call.source,
        "messageId": mail.id.to_string(),
        "destination": entry.destination.all().collect::<Vec<_>>(),
        "headersTruncated": false,
        "tags": all,
    })
}

pub(super) fn timestamp(at_ms: i64) -> String {
    Timestamp::from_millisecond(at_ms).unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn fates(faults: Value) -> Fates {
        serde_json::from_value(faults).unwrap()
    }

    #[test]
    fn the_simulator_decides_by_the_mailbox_and_a_fault_before_it() {
        let set = fates(
            json!({ "byAddress": { "ann@example.com": "complained", "bounce+x@simulator.amazonses.com": "delayed" } }),
        );
        let none = Fates::default();
        for (address, without, with) in [
            ("bounce@simulator.amazonses.com", Some(Became::Bounced), Some(Became::Bounced)),
            ("bounce+x@simulator.amazonses.com", Some(Became::Bounced), Some(Became::Delayed)),
            ("Complaint+a@SIMULATOR.amazonses.com", Some(Became::Complained), Some(Became::Complained)),
            (
                "suppressionlist@simulator.amazonses.com",
                Some(Became::OnSuppressionList),
                Some(Became::OnSuppressionList),
            ),
            ("ooto@simulator.amazonses.com", Some(Became::Delivered), Some(Became::Delivered)),
            ("success@simulator.amazonses.com", Some(Became::Delivered), Some(Became::Delivered)),
            ("other@simulator.amazonses.com", None, None),
            ("Ann <ANN@example.com>", None, Some(Became::Complained)),
            ("bo@example.com", None, None),
        ] {
            assert_eq!(none.of(std::iter::once(address)), without, "{address}");
            assert_eq!(set.of(std::iter::once(address)), with, "{address}");
        }
        let all = fates(json!({ "othersDelivered": true }));
        assert_eq!(all.of(std::iter::once("bo@example.com")), Some(Became::Delivered));
    }

    #[test]
    fn a_share_hits_so_many_and_always_the_same_ones() {
        let shares = fates(json!({ "shares": { "bounced": 0.02, "complained": 0.002 } }));
        let of = |n: usize| shares.of(std::iter::once(format!("{n}@example.com").as_str()));
        let (mut bounced, mut complained) = (0, 0);
        for n in 0..100_000 {
            bounced += usize::from(of(n) == Some(Became::Bounced));
            complained += usize::from(of(n) == Some(Became::Complained));
            assert_eq!(of(n), of(n));
        }
        assert!(
            (1_800..2_200).contains(&bounced) && (150..250).contains(&complained),
            "{bounced} {complained}"
        );
    }
}
