//! The breaker: when too many emails bounce or are reported as spam, fan-outs pause, before SES puts the account under review
//! (at 5 % bounces or 0.1 % complaints: "Reputation metrics" in SES's developer guide). Sign-ups go on.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Address;

/// The hours that rates are counted over, the current one among them.
pub const HOURS: i64 = 24;

/// The hour that holds a time, counted from 1970.
pub fn hour(at: Timestamp) -> i64 {
    at.as_second().div_euclid(3_600)
}

/// The first hour that counts at `now`.
pub fn first_hour(now: Timestamp) -> i64 {
    hour(now) - HOURS + 1
}

/// The name of a sender's budget and of its pause: the domain of the address, which is no secret.
pub fn sender_name(sender: &Address) -> String {
    let whole = sender.normalised();
    whole.rsplit('@').next().unwrap_or_default().to_owned()
}

/// Emails of fan-outs in [`HOURS`] hours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Send slots that were taken: as many as emails, or a few more.
    pub sent: u64,
    /// Emails that bounced for good, without those that SES did not try because the address is on a suppression list.
    pub bounced: u64,
    /// Emails that their recipients reported as spam.
    pub complained: u64,
}

impl Counts {
    /// The share of bounced emails, in percent.
    pub fn bounce_percent(&self) -> f64 {
        percent(self.bounced, self.sent)
    }

    /// The share of emails that were reported as spam, in percent.
    pub fn complaint_percent(&self) -> f64 {
        percent(self.complained, self.sent)
    }
}

fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 }
}

/// A share in percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Percent(f64);

impl FromStr for Percent {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number: Option<f64> = text.parse().ok();
        number.filter(|number| (0.0..=100.0).contains(number)).map(Self).ok_or("a number from 0 to 100")
    }
}

/// How much is too much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Of bounces.
    pub bounces: Percent,
    /// Of complaints.
    pub complaints: Percent,
    /// With fewer emails than so many, rates say nothing.
    pub least_sent: u64,
}

impl Limits {
    /// Why fan-outs are to pause; `None` where they may go on.
    pub fn broken_by(&self, counts: &Counts) -> Option<String> {
        if counts.sent < self.least_sent {
            return None;
        }
        let said = |share: f64, limit: Percent, what: &str| {
            (share > limit.0).then(|| {
                format!(
                    "{share:.2} % {what} in {} emails of {HOURS} hours; the limit is {} %",
                    counts.sent, limit.0
                )
            })
        };
        said(counts.bounce_percent(), self.bounces, "bounces")
            .or_else(|| said(counts.complaint_percent(), self.complaints, "complaints"))
    }
}

/// Who paused fan-outs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PausedBy {
    /// The breaker.
    Breaker,
    /// An operator.
    Operator,
}

impl fmt::Display for PausedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Breaker => "breaker",
            Self::Operator => "operator",
        })
    }
}

/// That fan-outs pause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// By whom.
    pub by: PausedBy,
    /// Why, in words.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fan_outs_pause_beyond_a_limit_and_not_at_it_and_not_before_enough_was_sent() {
        let limits =
            Limits { bounces: "5".parse().unwrap(), complaints: "0.1".parse().unwrap(), least_sent: 1_000 };
        for (sent, bounced, complained, word) in [
            (0, 0, 0, None),
            (999, 999, 999, None),
            (1_000, 50, 1, None),
            (1_000, 51, 0, Some("bounces")),
            (1_000, 0, 2, Some("complaints")),
            (1_000, 51, 2, Some("bounces")),
            (100_000, 5_000, 100, None),
            (100_000, 5_001, 0, Some("bounces")),
            (100_000, 0, 101, Some("complaints")),
        ] {
            let why = limits.broken_by(&Counts { sent, bounced, complained });
            assert_eq!(why.is_some(), word.is_some(), "{sent} {bounced} {complained}: {why:?}");
            assert!(
                why.is_none_or(|why| why.contains(word.unwrap_or_default())),
                "{sent} {bounced} {complained}"
            );
        }
    }

    #[test]
    fn a_percentage_is_a_number_from_0_to_100() {
        for text in ["0", "0.1", "5", "100"] {
            assert!(text.parse::<Percent>().is_ok(), "{text}");
        }
        for text in ["", "-1", "101", "NaN", "five", "5%"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_day_is_24_hours_with_the_current_one() {
        let at: Timestamp = "2026-11-23T09:59:59Z".parse().unwrap();
        assert_eq!(hour(at) - first_hour(at), 23);
        assert_eq!(hour(at) + 1, hour("2026-11-23T10:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_sender_is_named_by_its_domain() {
        assert_eq!(sender_name(&Address::parse("Shop@Example.com").unwrap()), "example.com");
    }
}
