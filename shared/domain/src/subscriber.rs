//! The subscriber: one person is one address.
//!
//! A user id identifies no subscriber: any client can write one into a request, so the first to write
//! a shopper's id would keep that shopper from being notified; and a shopper who subscribes as a guest and
//! again with an account would be two subscribers and get two emails (woocommerce/woocommerce#68354).

use std::fmt;

use crate::{Address, UserId};

/// The identity under which a shopper waits once per product.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Subscriber(String);

impl Subscriber {
    /// The reader of the emails to this address, in its [normalised](Address::normalised) form.
    pub fn of(address: &Address) -> Self {
        Self(format!("a:{}", address.normalised()))
    }

    /// A user of an earlier version, which identified a subscriber by the user id alone where there was one. Their
    /// subscriptions stay as they are; no new one is known so.
    pub fn of_user(user: &UserId) -> Self {
        Self(format!("u:{}", user.as_str()))
    }

    /// Reads what [`Subscriber::as_key`] gave.
    pub fn from_key(key: &str) -> Self {
        Self(key.to_owned())
    }

    /// The identity as a part of a table key: `a:` and the address (of an earlier version also
    /// `u:` and the user). Unique, not secret, and never for a log.
    pub fn as_key(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Subscriber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Subscriber(…)")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn one_address_is_one_subscriber_in_every_spelling() {
        let of = |text| Subscriber::of(&Address::parse(text).unwrap());
        assert_eq!(of("Jo@Example.com").as_key(), "a:jo@example.com", "as earlier versions had guests");
        for spelling in ["jo@example.com", " JO@EXAMPLE.COM ", "jo@\u{ff45}xample.com"] {
            assert_eq!(of(spelling), of("Jo@Example.com"), "{spelling}");
        }
        assert_ne!(of("jo+shop@example.com"), of("jo@example.com"));
    }

    #[test]
    fn a_user_of_an_earlier_version_is_never_taken_for_an_address_that_reads_the_same() {
        let user = Subscriber::of_user(&UserId::parse("jo@example.com").unwrap());
        assert_eq!(user.as_key(), "u:jo@example.com");
        assert_ne!(user, Subscriber::of(&Address::parse("jo@example.com").unwrap()));
    }
}
