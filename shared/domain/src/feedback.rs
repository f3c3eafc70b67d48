//! What SES reports of an email after it has accepted it, and what follows from that. `read.rs` reads the events.
//!
//! The meaning of each field: "Contents of event data that Amazon SES publishes to Amazon SNS", SES developer guide.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use crate::suppression::Reason;
use crate::{Address, Place, RestockId};

mod read;
#[cfg(test)]
mod tests;

pub use read::{ACCEPTED_EVENT, read};

/// An event of one email.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The same at every delivery of the event.
    pub id: EventId,
    /// What happened.
    pub kind: Kind,
    /// Whom it happened to. A fan-out's email has one recipient.
    pub recipients: Vec<Address>,
    /// When.
    pub at: Option<Timestamp>,
    /// The restock that the email told of; `None` where it told of none, or its id was too long for a tag.
    pub restock: Option<RestockId>,
    /// The value of the tag that leads to the restock, whatever the id's length.
    pub restock_tag: Option<String>,
    /// The place in a waitlist that the email was for.
    pub place: Option<Place>,
}

/// What happened to an email.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It did not arrive.
    Bounce(Bounce),
    /// Its recipient said something of it.
    Complaint {
        /// That it was spam, and not that it was none.
        spam: bool,
        /// SES did not send it, because the recipient had complained before.
        listed: bool,
    },
    /// It arrived.
    Delivery,
    /// SES did not send it, because of its content.
    Reject,
    /// SES could not render it.
    RenderingFailure,
    /// It has not arrived yet.
    DeliveryDelay,
    /// Anything else, such as what a later version of SES reports.
    Other,
}

/// Why an email did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bounce {
    /// The address takes no email, now or ever.
    Permanent {
        /// SES did not try, because the address is on its own suppression list or on the account's.
        listed: bool,
    },
    /// It may pass: a full mailbox, a server that was away; or SES does not know.
    Passing,
}

/// What follows for the recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// They get no email any more.
    Suppress(Reason),
    /// One more email in a row did not arrive.
    CountBounce,
    /// What did not arrive before is not in a row with what comes.
    ForgetBounces,
    /// Nothing.
    Nothing,
}

/// What a restock counts, beside what it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Came {
    /// The email bounced.
    Bounced,
    /// Its recipient reported it as spam.
    Complained,
}

impl Kind {
    /// What follows for the recipients.
    pub const fn reaction(self) -> Reaction {
        match self {
            Self::Bounce(Bounce::Permanent { .. }) => Reaction::Suppress(Reason::Bounce),
            Self::Bounce(Bounce::Passing) => Reaction::CountBounce,
            Self::Complaint { spam: true, .. } => Reaction::Suppress(Reason::Complaint),
            Self::Delivery => Reaction::ForgetBounces,
            Self::Complaint { spam: false, .. }
            | Self::Reject
            | Self::RenderingFailure
            | Self::DeliveryDelay
            | Self::Other => Reaction::Nothing,
        }
    }

    /// What the email's restock counts.
    pub const fn came(self) -> Option<Came> {
        match self {
            Self::Bounce(_) => Some(Came::Bounced),
            Self::Complaint { spam: true, .. } => Some(Came::Complained),
            _ => None,
        }
    }

    /// What the breaker counts. What SES did not even try says nothing new of the sender; SES leaves it out of its rates too
    /// ("`OnAccountSuppressionList` … is not counted", in the page that the module names). What may pass is no hard bounce.
    pub const fn in_rates(self) -> Option<Came> {
        match self {
            Self::Bounce(Bounce::Permanent { listed: false }) => Some(Came::Bounced),
            Self::Complaint { spam: true, listed: false } => Some(Came::Complained),
            _ => None,
        }
    }

    /// Whether it is written down that the event was worked on: where a second time would change or count something. Of most
    /// emails nothing is reported but that they arrived, and to work on that again changes nothing.
    pub const fn is_remembered(self) -> bool {
        !matches!(self, Self::Delivery | Self::Other)
    }
}

/// The identity of an event: a hash of what SES knows it by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId([u8; 16]);

impl EventId {
    /// That of the event that is known by this text, which is of this kind.
    pub(crate) fn of(kind: &str, text: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update(kind.as_bytes());
        hash.update([0]);
        hash.update(text.as_bytes());
        let mut id = [0; 16];
        id.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Self(id)
    }

    /// The identity as a part of a table key: 22 characters of base64url.
    pub fn key_part(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}
