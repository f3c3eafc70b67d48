//! The tokens in the links that are mailed to a person and that are no unsubscribe links: what the person may do with it,
//! until when, and a proof that we wrote it (HMAC-SHA-256, RFC 2104, cut to 128 bits). They hold no address, so they may
//! pass through proxies and access logs. A token of one purpose is none of another, nor an unsubscribe token.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::Mac;
use jiff::Timestamp;

use crate::person::PersonId;
use crate::unsubscribe::{Key, Purpose};
use crate::{Position, ProductId};

/// The longest token, in characters.
pub const MAX_TOKEN_CHARS: usize = 430;
const VERSION: u8 = 1;
const MAC_BYTES: usize = 16;

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// It is not one of ours, or one of another purpose.
    Unknown,
    /// Its time is over.
    Expired,
}

/// The right to confirm one ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confirm {
    /// The person who is to confirm.
    pub person: PersonId,
    /// The product that was asked for.
    pub product: ProductId,
    /// The position of the ask.
    pub position: Position,
    /// From when on it opens nothing.
    pub expires: Timestamp,
}

/// The right to see and to end what is kept of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Manage {
    /// The person.
    pub person: PersonId,
    /// From when on it opens nothing.
    pub expires: Timestamp,
}

impl Confirm {
    /// The token for it.
    pub fn sign(&self, key: &Key) -> String {
        let rest = [&self.position.to_bytes()[..], self.product.as_str().as_bytes()].concat();
        sign(key, Purpose::Confirm, self.person, self.expires, &rest)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// Why it opens nothing.
    pub fn verify(token: &str, key: &Key, now: Timestamp) -> Result<Self, Refused> {
        let (person, expires, rest) = verify(token, key, Purpose::Confirm, now)?;
        let (position, product) = rest.split_first_chunk::<16>().ok_or(Refused::Unknown)?;
        let product = std::str::from_utf8(product).ok().and_then(|text| ProductId::parse(text).ok());
        let product = product.ok_or(Refused::Unknown)?;
        Ok(Self { person, product, position: Position::from_bytes(*position), expires })
    }
}

impl Manage {
    /// The right for so long from `now` on.
    pub fn lasting(person: PersonId, now: Timestamp, lifetime: Duration) -> Self {
        Self { person, expires: now.checked_add(lifetime).unwrap_or(Timestamp::MAX) }
    }

    /// The token for it.
    pub fn sign(&self, key: &Key) -> String {
        sign(key, Purpose::Manage, self.person, self.expires, &[])
    }

    /// Reads a token.
    ///
    /// # Errors
    /// Why it opens nothing.
    pub fn verify(token: &str, key: &Key, now: Timestamp) -> Result<Self, Refused> {
        let (person, expires, rest) = verify(token, key, Purpose::Manage, now)?;
        if rest.is_empty() { Ok(Self { person, expires }) } else { Err(Refused::Unknown) }
    }
}

fn sign(key: &Key, purpose: Purpose, person: PersonId, expires: Timestamp, rest: &[u8]) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(person.to_bytes());
    bytes.extend(seconds(expires).to_be_bytes());
    bytes.extend(rest);
    let mac = key.mac(purpose, &bytes);
    bytes.extend(mac.finalize().into_bytes().into_iter().take(MAC_BYTES));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn verify(
    token: &str,
    key: &Key,
    purpose: Purpose,
    now: Timestamp,
) -> Result<(PersonId, Timestamp, Vec<u8>), Refused> {
    let read = || {
        if token.len() > MAX_TOKEN_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (body, proof) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        key.mac(purpose, body).verify_truncated_left(proof).ok()?;
        let (&version, rest) = body.split_first()?;
        let (person, rest) = rest.split_first_chunk::<{ PersonId::BYTES }>()?;
        let (expires, rest) = rest.split_first_chunk::<4>()?;
        (version == VERSION).then_some(())?;
        let expires = Timestamp::from_second(u32::from_be_bytes(*expires).into()).ok()?;
        Some((PersonId::from_bytes(*person), expires, rest.to_vec()))
    };
    let read = read().ok_or(Refused::Unknown)?;
    if read.1 <= now { Err(Refused::Expired) } else { Ok(read) }
}

/// Whole Unix seconds, which four bytes hold until the year 2106.
fn seconds(time: Timestamp) -> u32 {
    u32::try_from(time.as_second().max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::unsubscribe::Ticket;

    const NOW: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn key() -> Key {
        Key::new("a secret of some length").unwrap()
    }

    fn confirm() -> Confirm {
        let product = ProductId::parse(&"é".repeat(127)).unwrap();
        let (person, position) = (PersonId::from_bytes([7; 16]), Position::new(7, 9));
        Confirm { person, product, position, expires: at(NOW + 60) }
    }

    fn manage() -> Manage {
        Manage { person: PersonId::from_bytes([7; 16]), expires: at(NOW + 60) }
    }

    #[test]
    fn a_token_gives_back_what_it_was_made_of_until_its_time_is_over() {
        let (confirming, managing) = (confirm().sign(&key()), manage().sign(&key()));
        assert!(confirming.len() <= MAX_TOKEN_CHARS, "{}", confirming.len());
        assert_eq!(Confirm::verify(&confirming, &key(), at(NOW)), Ok(confirm()));
        assert_eq!(Manage::verify(&managing, &key(), at(NOW + 59)), Ok(manage()));
        for late in [60, 61, 100_000] {
            assert_eq!(Confirm::verify(&confirming, &key(), at(NOW + late)), Err(Refused::Expired));
            assert_eq!(Manage::verify(&managing, &key(), at(NOW + late)), Err(Refused::Expired));
        }
        let other = Key::new("another secret, as long").unwrap();
        assert_eq!(Manage::verify(&managing, &other, at(NOW)), Err(Refused::Unknown));
    }

    #[test]
    fn a_token_of_one_purpose_is_none_of_another() {
        let (confirming, managing) = (confirm().sign(&key()), manage().sign(&key()));
        assert_eq!(Manage::verify(&confirming, &key(), at(NOW)), Err(Refused::Unknown));
        assert_eq!(Confirm::verify(&managing, &key(), at(NOW)), Err(Refused::Unknown));
        assert_eq!(Ticket::verify(&confirming, &key()), None);
        assert_eq!(Ticket::verify(&managing, &key()), None);
        let product = ProductId::parse("p").unwrap();
        let ticket =
            Ticket { product, shard: crate::Shard::mail(0), position: Position::new(1, 1) }.sign(&key());
        assert_eq!(Confirm::verify(&ticket, &key(), at(NOW)), Err(Refused::Unknown));
        assert_eq!(Manage::verify(&ticket, &key(), at(NOW)), Err(Refused::Unknown));
    }

    proptest! {
        #[test]
        fn a_changed_token_is_not_ours(place in 0usize..430, with in "[A-Za-z0-9_-]") {
            let token = confirm().sign(&key());
            let mut forged = token.clone();
            let place = place % token.len();
            forged.replace_range(place..=place, &with);
            // Unused low bits of the last character do not count as a change.
            prop_assume!(URL_SAFE_NO_PAD.decode(&forged).ok() != URL_SAFE_NO_PAD.decode(&token).ok());
            prop_assert_eq!(Confirm::verify(&forged, &key(), at(NOW)), Err(Refused::Unknown));
        }

        #[test]
        fn any_text_is_refused_without_panic(text in "\\PC{0,300}") {
            prop_assert_eq!(Manage::verify(&text, &key(), at(NOW)), Err(Refused::Unknown));
        }
    }
}
