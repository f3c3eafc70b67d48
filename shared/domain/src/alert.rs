//! The state of an alert, and how long the links live with which a person sees and ends theirs.

use std::time::Duration;

/// How long the manage link lives that a person asked for.
pub const ASKED_LINK: Duration = Duration::from_secs(30 * 60);
/// How long the manage link at the foot of an email lives. An email is opened for some weeks at most; later, its page
/// offers a new link.
pub const FOOT_LINK: Duration = Duration::from_secs(30 * 86_400);

/// The token of a manage link where it is not known whose it would be. Its page asks for the address and mails a link.
pub const NO_TOKEN: &str = "new";

/// The state of an alert, one word each everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Asked for, and not confirmed yet.
    Pending,
    /// A restock will tell the person.
    Waiting,
    /// A restock had its turn for this person.
    Told,
    /// Its time is over: it counts as gone, and the table forgets it in the days after.
    Expired,
    /// The person is to get no email, whatever they asked for.
    Suppressed,
}

/// What decides the state of an alert.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// The person is to get no email.
    pub suppressed: bool,
    /// Its time is over.
    pub expired: bool,
    /// It is not confirmed yet.
    pub pending: bool,
    /// The cursor of its shard has passed its entry.
    pub consumed: bool,
}

impl State {
    /// The state that the facts make.
    pub const fn of(facts: Facts) -> Self {
        match facts {
            Facts { suppressed: true, .. } => Self::Suppressed,
            Facts { expired: true, .. } => Self::Expired,
            // Before it is confirmed it has no entry, so where the cursor is says nothing of it.
            Facts { pending: true, .. } => Self::Pending,
            Facts { consumed: true, .. } => Self::Told,
            Facts { .. } => Self::Waiting,
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Waiting => "waiting",
            Self::Told => "told",
            Self::Expired => "expired",
            Self::Suppressed => "suppressed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_the_strongest_of_the_facts() {
        let none = Facts::default();
        for (facts, state) in [
            (none, "waiting"),
            (Facts { consumed: true, ..none }, "told"),
            (Facts { pending: true, ..none }, "pending"),
            (Facts { pending: true, consumed: true, ..none }, "pending"),
            (Facts { expired: true, consumed: true, ..none }, "expired"),
            (Facts { expired: true, pending: true, ..none }, "expired"),
            (Facts { suppressed: true, expired: true, ..none }, "suppressed"),
            (Facts { suppressed: true, consumed: true, ..none }, "suppressed"),
        ] {
            assert_eq!(State::of(facts).word(), state, "{facts:?}");
        }
    }

    #[test]
    fn the_word_of_an_unknown_person_is_no_token() {
        use jiff::Timestamp;

        use crate::link::{Manage, Refused};
        use crate::unsubscribe::Key;
        let Some(key) = Key::new("a secret of some length") else { panic!("a key") };
        assert_eq!(Manage::verify(NO_TOKEN, &key, Timestamp::UNIX_EPOCH), Err(Refused::Unknown));
    }
}
