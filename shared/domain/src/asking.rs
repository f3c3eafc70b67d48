//! What is to become of an ask: whether the person has to confirm it first, and which email is due.

use std::str::FromStr;

use crate::suppression::Reason;

/// Seconds from one email about a subscription to the next.
pub const EMAIL_EVERY_SECONDS: i64 = 86_400;

/// Which asks have to be confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmation {
    /// None.
    Off,
    /// Those of persons for whom the shop does not vouch.
    Guests,
    /// All.
    All,
}

impl FromStr for Confirmation {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "guests" => Ok(Self::Guests),
            "all" => Ok(Self::All),
            _ => Err("off, guests or all"),
        }
    }
}

/// What is known of a person who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker {
    /// The shop vouches for them.
    pub vouched: bool,
    /// They have confirmed once that they read the emails to their address.
    pub confirmed: bool,
    /// Why they get no email, if they do not.
    pub suppressed: Option<Reason>,
}

/// What is to be done with an ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Course {
    /// The person is subscribed.
    Subscribe,
    /// The person is to confirm first.
    Confirm,
    /// The person is to be left alone: nothing is written, and no email sent.
    LeaveAlone,
}

impl Confirmation {
    /// Whether the answer to this ask is one and the same, whatever is known of the person.
    pub fn is_discreet(self, asker: Asker) -> bool {
        let concerns = match self {
            Self::Off => false,
            Self::Guests => !asker.vouched,
            Self::All => true,
        };
        // The shop's word does not replace the person's own.
        concerns || self.course(asker) == Course::Confirm
    }

    /// What is to be done with the ask.
    pub fn course(self, asker: Asker) -> Course {
        match (self, asker.suppressed) {
            (Self::Guests | Self::All, Some(reason)) if reason.lets_confirmations_through() => {
                Course::Confirm
            }
            (_, Some(_)) => Course::LeaveAlone,
            (_, None) if asker.confirmed => Course::Subscribe,
            (Self::Off, None) => Course::Subscribe,
            (Self::Guests, None) if asker.vouched => Course::Subscribe,
            (Self::Guests | Self::All, None) => Course::Confirm,
        }
    }
}

/// Whether an email about a subscription is due at `now`, where the last was sent at `emailed`; both in Unix seconds.
pub fn is_email_due(emailed: Option<i64>, now: i64) -> bool {
    emailed.is_none_or(|emailed| now - emailed >= EMAIL_EVERY_SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ask_is_confirmed_first_where_the_setting_says_so_and_the_address_is_not_confirmed() {
        use Confirmation::{All, Guests, Off};
        use Course::{Confirm, LeaveAlone, Subscribe};
        for (setting, vouched, confirmed, suppressed, course, discreet) in [
            (Off, false, false, None, Subscribe, false),
            (Off, true, true, None, Subscribe, false),
            (Off, false, true, Some(Reason::OptedOut), LeaveAlone, false),
            (Off, false, false, Some(Reason::Bounce), LeaveAlone, false),
            (Guests, false, false, None, Confirm, true),
            (Guests, false, true, None, Subscribe, true),
            (Guests, true, false, None, Subscribe, false),
            (Guests, true, true, None, Subscribe, false),
            (Guests, true, true, Some(Reason::OptedOut), Confirm, true),
            (Guests, true, false, Some(Reason::Complaint), LeaveAlone, false),
            (Guests, false, true, Some(Reason::Abuse), LeaveAlone, true),
            (All, false, false, None, Confirm, true),
            (All, true, false, None, Confirm, true),
            (All, true, true, None, Subscribe, true),
            (All, false, true, Some(Reason::OptedOut), Confirm, true),
            (All, false, false, Some(Reason::Manual), LeaveAlone, true),
        ] {
            let asker = Asker { vouched, confirmed, suppressed };
            assert_eq!(setting.course(asker), course, "{setting:?} {asker:?}");
            assert_eq!(setting.is_discreet(asker), discreet, "{setting:?} {asker:?}");
        }
    }

    #[test]
    fn an_answer_to_a_stranger_does_not_hang_on_what_is_known_of_the_person() {
        let reasons = Reason::ALL.into_iter().map(Some).chain([None]);
        for (confirmed, suppressed) in
            reasons.flat_map(|suppressed| [(true, suppressed), (false, suppressed)])
        {
            for (setting, discreet) in
                [(Confirmation::Off, false), (Confirmation::Guests, true), (Confirmation::All, true)]
            {
                let asker = Asker { vouched: false, confirmed, suppressed };
                assert_eq!(setting.is_discreet(asker), discreet, "{setting:?} {asker:?}");
            }
        }
    }

    #[test]
    fn an_email_is_due_once_a_day_and_the_setting_is_one_of_three_words() {
        for (emailed, now, due) in
            [(None, 0, true), (Some(10), 10, false), (Some(10), 86_409, false), (Some(10), 86_410, true)]
        {
            assert_eq!(is_email_due(emailed, now), due, "{emailed:?} {now}");
        }
        assert_eq!("guests".parse(), Ok(Confirmation::Guests));
        assert_eq!("Off".parse::<Confirmation>(), Err("off, guests or all"));
    }
}
