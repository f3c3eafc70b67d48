//! What can come of a call to SES. What is not provably unsent is in doubt.

/// What came of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallOutcome {
    /// SES answered for every recipient, in their order.
    Completed(Vec<RecipientOutcome>),
    /// SES accepted no recipient: it refused the whole call, or the call provably never left.
    NotSent(Refusal),
    /// It is not known: the call left and no answer came. The text says how.
    InDoubt(String),
}

/// What SES said of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientOutcome {
    /// It will send the email.
    Accepted,
    /// It will not, now; try again.
    Retry(Refusal),
    /// Permanently rejected, with SES's status.
    Rejected(String),
}

/// Why SES does not send right now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Too fast.
    Throttled,
    /// SES does not answer, or not yet; nothing left.
    Unavailable(String),
    /// An operator must mend it, or a quota's reset: no entry is consumed meanwhile.
    Suspended(String),
    /// The call as it is: one of its recipients may be to blame, or all that they have in common.
    Invalid(String),
}

impl Refusal {
    /// Whether it says something of one recipient, where `accepted` others of the same call were accepted.
    pub fn is_of_recipient(&self, accepted: usize) -> bool {
        match self {
            Self::Throttled => false,
            Self::Unavailable(_) | Self::Invalid(_) => true,
            Self::Suspended(_) => accepted > 0,
        }
    }

    /// SES's word for it.
    pub fn word(&self) -> &str {
        match self {
            Self::Throttled => "throttled",
            Self::Unavailable(word) | Self::Suspended(word) | Self::Invalid(word) => word,
        }
    }
}
