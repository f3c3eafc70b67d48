//! Who waits: a shop's user, or else a mail address.

use std::fmt;

use crate::{Address, UserId};

/// The longest name of a shopper, in characters.
pub const MAX_NAME_CHARS: usize = 100;

/// The identity under which somebody waits once per product.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Subscriber(String);

impl Subscriber {
    /// The user where there is one, else the address in its normalised form.
    pub fn new(user: Option<&UserId>, address: &Address) -> Self {
        match user {
            Some(user) => Self::of_user(user),
            None => Self(format!("a:{}", address.normalised())),
        }
    }

    /// The user, whatever their address.
    pub fn of_user(user: &UserId) -> Self {
        Self(format!("u:{}", user.as_str()))
    }

    /// Reads what [`Subscriber::as_key`] gave.
    pub fn from_key(key: &str) -> Self {
        Self(key.to_owned())
    }

    /// The identity as a part of a table key: `u:` and the user, or `a:` and the address. Unique,
    /// not secret, and never for a log.
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
    fn a_user_is_never_taken_for_an_address_that_reads_the_same() {
        let address = Address::parse("Jo@example.com").unwrap();
        let user = UserId::parse("jo@example.com").unwrap();
        let by_address = Subscriber::new(None, &address);
        assert_eq!(by_address.as_key(), "a:jo@example.com");
        assert_ne!(by_address, Subscriber::new(Some(&user), &address));
        assert_eq!(Subscriber::of_user(&user), Subscriber::new(Some(&user), &address));
    }
}
