//! Why a person gets no email, and whose word ends that.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Why a person gets no email.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reason {
    /// Emails to the address bounce: for good, or a number of times in a row.
    Bounce,
    /// The person reported an email as spam.
    Complaint,
    /// The person wants no alert of this shop any more.
    OptedOut,
    /// The person never asked, and wants no email of this kind again.
    Abuse,
    /// An operator or the shop's back end said so.
    Manual,
}

/// Who wants to lift a suppression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifter {
    /// The person, who has confirmed a new ask.
    Person,
    /// An operator, or the shop's back end, by their own judgement.
    Operator,
    /// The same, because the person has asked them to.
    OperatorForPerson,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::Bounce, Self::Complaint, Self::OptedOut, Self::Abuse, Self::Manual];

    /// The word for it, everywhere.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Bounce => "bounce",
            Self::Complaint => "complaint",
            Self::OptedOut => "optedOut",
            Self::Abuse => "abuse",
            Self::Manual => "manual",
        }
    }

    /// A stronger reason replaces a weaker one, and no other: the person's own word is the strongest.
    pub const fn strength(self) -> u8 {
        match self {
            Self::Manual => 1,
            Self::Bounce => 2,
            Self::OptedOut => 3,
            Self::Complaint => 4,
            Self::Abuse => 5,
        }
    }

    /// Whether this one may lift it. What a person said is lifted by that person's word alone; that emails bounce, and what an
    /// operator said, by the operator.
    pub const fn may_be_lifted_by(self, lifter: Lifter) -> bool {
        match (self, lifter) {
            (Self::OptedOut, Lifter::Person) | (_, Lifter::OperatorForPerson) => true,
            (Self::Bounce | Self::Manual, Lifter::Operator) => true,
            (_, Lifter::Person | Lifter::Operator) => false,
        }
    }

    /// Whether the person may still be sent an email that asks them to confirm a new ask: only that can lift it.
    pub const fn lets_confirmations_through(self) -> bool {
        self.may_be_lifted_by(Lifter::Person)
    }

    /// Whether the person may still be sent the link to their alerts that somebody asked for in their name. Not where they
    /// said that they never asked or that it is spam, and not where it would bounce once more.
    pub const fn lets_manage_links_through(self) -> bool {
        matches!(self, Self::OptedOut | Self::Manual)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Reason {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|reason| reason.word() == text);
        found.ok_or("one of bounce, complaint, optedOut, abuse, manual")
    }
}

/// That a person gets no email.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suppression {
    /// Why.
    pub reason: Reason,
    /// Since when.
    pub since: Timestamp,
    /// [`Reason::strength`], for the table's conditions.
    strength: u8,
}

impl Suppression {
    /// For this reason, since then.
    pub const fn new(reason: Reason, since: Timestamp) -> Self {
        Self { reason, since, strength: reason.strength() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_lifted_by_whom_it_concerns() {
        use Lifter::{Operator, OperatorForPerson, Person};
        for (reason, person, operator) in [
            (Reason::Bounce, false, true),
            (Reason::Complaint, false, false),
            (Reason::OptedOut, true, false),
            (Reason::Abuse, false, false),
            (Reason::Manual, false, true),
        ] {
            assert_eq!(reason.may_be_lifted_by(Person), person, "{reason}");
            assert_eq!(reason.may_be_lifted_by(Operator), operator, "{reason}");
            assert!(reason.may_be_lifted_by(OperatorForPerson), "{reason}");
            assert_eq!(reason.lets_confirmations_through(), person, "{reason}");
            assert_eq!(reason.word().parse(), Ok(reason));
        }
    }

    #[test]
    fn the_link_to_their_alerts_reaches_those_who_can_read_it_and_did_not_ask_for_silence() {
        for (reason, through) in [
            (Reason::Bounce, false),
            (Reason::Complaint, false),
            (Reason::OptedOut, true),
            (Reason::Abuse, false),
            (Reason::Manual, true),
        ] {
            assert_eq!(reason.lets_manage_links_through(), through, "{reason}");
        }
    }

    #[test]
    fn a_word_in_the_table_is_the_word_everywhere_and_no_two_reasons_are_equally_strong() {
        let mut strengths: Vec<u8> = Reason::ALL.iter().map(|reason| reason.strength()).collect();
        strengths.sort_unstable();
        strengths.dedup();
        assert_eq!(strengths.len(), Reason::ALL.len());
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_value(reason).ok(), Some(reason.word().into()));
        }
    }
}
