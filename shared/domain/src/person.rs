//! A person: one email address, known in keys by its keyed hash alone.
//!
//! A user id identifies nobody: any client can write one into a request, so the first to write
//! a shopper's id would keep that shopper from being notified; and a shopper who subscribes as a guest and
//! again with an account would be two people and get two emails (woocommerce/woocommerce#68354).
//!
//! The hash is keyed because addresses are guessable: a plain hash of one is the address for everyone who can try a list.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::Address;

/// The key that turns addresses into [`PersonId`]s. It never shows, is used for nothing else, and is never in the table.
/// With another key every person is another one: nobody would be found again.
#[derive(Clone)]
pub struct PersonKey(Hmac<Sha256>);

impl PersonKey {
    /// The least length of a key, in bytes.
    pub const MIN_BYTES: usize = 16;

    /// Takes a secret text of at least [`PersonKey::MIN_BYTES`].
    pub fn new(secret: &str) -> Option<Self> {
        if secret.len() < Self::MIN_BYTES {
            return None;
        }
        Hmac::new_from_slice(secret.as_bytes()).ok().map(Self)
    }

    /// The reader of the emails to this address, in whichever spelling: of its [normalised](Address::normalised) form.
    pub fn person(&self, address: &Address) -> PersonId {
        self.hash(&address.normalised())
    }

    /// A text's hash of the same form, for what may be no better known than a person is, such as the network that a
    /// request came from. `kind` tells it from the hashes of other kinds of text.
    pub fn other(&self, kind: &'static str, text: &str) -> PersonId {
        // No address holds a NUL.
        self.hash(&format!("{kind}\0{text}"))
    }

    fn hash(&self, text: &str) -> PersonId {
        let mut mac = self.0.clone();
        mac.update(text.as_bytes());
        let full = mac.finalize().into_bytes();
        let mut id = [0; PersonId::BYTES];
        id.iter_mut().zip(full).for_each(|(to, from)| *to = from);
        PersonId(id)
    }
}

impl fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonKey(…)")
    }
}

impl FromStr for PersonKey {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text).ok_or("a secret of at least 16 bytes")
    }
}

/// A person, by the first 16 bytes of HMAC-SHA-256 (RFC 2104) over their address. It is personal data all the same: not for
/// a log.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PersonId([u8; Self::BYTES]);

impl PersonId {
    /// The length, in bytes.
    pub const BYTES: usize = 16;

    /// The person with this hash.
    pub const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The hash.
    pub const fn to_bytes(self) -> [u8; Self::BYTES] {
        self.0
    }

    /// The hash as a part of a table key: 22 characters of base64url (RFC 4648, 5).
    pub fn key_part(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for PersonId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PersonId(…)")
    }
}

impl FromStr for PersonId {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or("22 characters of base64url")
    }
}

impl TryFrom<String> for PersonId {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<PersonId> for String {
    fn from(person: PersonId) -> Self {
        person.key_part()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SECRET: &str = "a secret of some length";

    fn person(secret: &str, address: &str) -> PersonId {
        PersonKey::new(secret).unwrap().person(&Address::parse(address).unwrap())
    }

    #[test]
    fn one_address_is_one_person_in_every_spelling() {
        for spelling in ["jo@example.com", " JO@EXAMPLE.COM ", "jo@\u{ff45}xample.com"] {
            assert_eq!(person(SECRET, spelling), person(SECRET, "Jo@Example.com"), "{spelling}");
        }
        assert_ne!(person(SECRET, "jo+shop@example.com"), person(SECRET, "jo@example.com"));
        assert_ne!(person(SECRET, "jo@example.com"), person("another secret, as long", "jo@example.com"));
    }

    #[test]
    fn a_person_stays_the_same_for_ever_and_reads_back() {
        // Another value would lose every waiting subscriber. It is what `openssl dgst -sha256 -hmac` gives, cut to 16 bytes.
        let jo = person(SECRET, "jo@example.com");
        assert_eq!(jo.key_part(), "DFOweF9vrt5CzLqcmTMOBA");
        assert_eq!(jo.key_part().parse(), Ok(jo));
        assert_eq!(PersonId::from_bytes(jo.to_bytes()), jo);
        for garbled in ["", "short", "DFOweF9vrt5CzLqcmTMOBAx", "!!!!!!!!!!!!!!!!!!!!!!"] {
            assert!(garbled.parse::<PersonId>().is_err(), "{garbled}");
        }
    }

    #[test]
    fn hashes_of_other_kinds_of_text_are_no_persons() {
        let key = PersonKey::new(SECRET).unwrap();
        assert_ne!(key.other("source", "jo@example.com"), person(SECRET, "jo@example.com"));
        assert_ne!(key.other("source", "x"), key.other("product", "x"));
    }

    #[test]
    fn neither_shows() {
        assert!(PersonKey::new("short").is_none());
        let shown = format!("{:?} {:?}", PersonKey::new(SECRET).unwrap(), person(SECRET, "jo@example.com"));
        assert_eq!(shown, "PersonKey(…) PersonId(…)");
    }
}
