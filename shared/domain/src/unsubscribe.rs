//! The token in an email's unsubscribe link: which waitlist entry the email came from, and a proof
//! that we wrote it (HMAC-SHA256, RFC 2104, cut to 128 bits). It holds no address, so it may pass
//! through proxies and access logs.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{Position, ProductId, Shard};

/// The key that signs tokens, made ready once for each purpose. It never shows.
#[derive(Clone)]
pub struct Key {
    unsubscribe: Hmac<Sha256>,
    confirm: Hmac<Sha256>,
    manage: Hmac<Sha256>,
    challenge: Hmac<Sha256>,
}

/// What a token is for: one of one purpose is none of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Unsubscribe,
    Confirm,
    Manage,
}

impl Key {
    /// The least length of a key, in bytes.
    pub const MIN_BYTES: usize = 16;

    /// Takes a secret text of at least [`Key::MIN_BYTES`].
    pub fn new(secret: &str) -> Option<Self> {
        if secret.len() < Self::MIN_BYTES {
            return None;
        }
        let purpose = |name: &[u8]| {
            #[expect(clippy::expect_used, reason = "RFC 2104 takes a key of any length")]
            let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key of any length");
            mac.update(name);
            mac
        };
        Some(Self {
            unsubscribe: purpose(b"notify-me unsubscribe\0"),
            confirm: purpose(b"notify-me confirm\0"),
            manage: purpose(b"notify-me manage\0"),
            challenge: purpose(b"notify-me challenge\0"),
        })
    }

    /// The secret that signs the challenges to browsers, in base64url: a library signs with it, so it must be a text. It
    /// says nothing of the key, nor of a token.
    pub fn challenge_secret(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.challenge.clone().finalize().into_bytes())
    }

    /// The proof of a token's bytes.
    pub(crate) fn mac(&self, purpose: Purpose, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = match purpose {
            Purpose::Unsubscribe => self.unsubscribe.clone(),
            Purpose::Confirm => self.confirm.clone(),
            Purpose::Manage => self.manage.clone(),
        };
        mac.update(bytes);
        mac
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

impl std::str::FromStr for Key {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text).ok_or("a secret of at least 16 bytes")
    }
}

/// The waitlist entry that an email came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The product.
    pub product: ProductId,
    /// The shard of its waitlist.
    pub shard: Shard,
    /// The place in the shard.
    pub position: Position,
}

const VERSION: u8 = 1;
const MAC_BYTES: usize = 16;
/// The longest token, in characters.
pub const MAX_TOKEN_CHARS: usize = 400;

impl Ticket {
    /// The token for this entry.
    pub fn sign(&self, key: &Key) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.shard.to_bytes());
        bytes.extend(self.position.to_bytes());
        bytes.extend(self.product.as_str().as_bytes());
        let mac = key.mac(Purpose::Unsubscribe, &bytes);
        bytes.extend(mac.finalize().into_bytes().into_iter().take(MAC_BYTES));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token; `None` where we did not write it.
    pub fn verify(token: &str, key: &Key) -> Option<Self> {
        if token.len() > MAX_TOKEN_CHARS {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (body, proof) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        key.mac(Purpose::Unsubscribe, body).verify_truncated_left(proof).ok()?;
        let (&version, rest) = body.split_first()?;
        let (shard, rest) = rest.split_first_chunk()?;
        let (position, product) = rest.split_first_chunk::<16>()?;
        (version == VERSION).then_some(())?;
        Some(Self {
            product: ProductId::parse(std::str::from_utf8(product).ok()?).ok()?,
            shard: Shard::from_bytes(*shard)?,
            position: Position::from_bytes(*position),
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            product: ProductId::parse(&"é".repeat(127)).unwrap(),
            shard: Shard::mail(513),
            position: Position::new(7, 9),
        }
    }

    #[test]
    fn the_secret_of_challenges_is_of_its_key_and_no_proof_of_a_token() {
        let key = |secret| Key::new(secret).unwrap();
        let secret = key("a secret of some length").challenge_secret();
        assert_eq!((secret.len(), &secret), (43, &key("a secret of some length").challenge_secret()));
        assert_ne!(secret, key("another secret, as long").challenge_secret());
        let empty = key("a secret of some length").mac(Purpose::Unsubscribe, b"").finalize().into_bytes();
        assert_ne!(secret, URL_SAFE_NO_PAD.encode(empty));
    }

    #[test]
    fn a_token_gives_back_its_entry_and_fits_its_limit() {
        let key = Key::new("a secret of some length").unwrap();
        let token = ticket().sign(&key);
        assert!(token.len() <= MAX_TOKEN_CHARS, "{}", token.len());
        assert_eq!(Ticket::verify(&token, &key), Some(ticket()));
        assert_eq!(Ticket::verify(&token, &Key::new("another secret, as long").unwrap()), None);
    }

    proptest! {
        #[test]
        fn a_changed_token_is_not_ours(place in 0usize..386, with in "[A-Za-z0-9_-]") {
            let key = Key::new("a secret of some length").unwrap();
            let token = ticket().sign(&key);
            let mut forged = token.clone();
            let place = place % token.len();
            forged.replace_range(place..=place, &with);
            // Unused low bits of the last character do not count as a change.
            prop_assume!(URL_SAFE_NO_PAD.decode(&forged).ok() != URL_SAFE_NO_PAD.decode(&token).ok());
            prop_assert_eq!(Ticket::verify(&forged, &key), None);
        }

        #[test]
        fn any_text_is_refused_without_panic(text in "\\PC{0,300}") {
            prop_assert_eq!(Ticket::verify(&text, &Key::new("a secret of some length").unwrap()), None);
        }
    }

    #[test]
    fn a_token_of_an_earlier_version_is_still_ours() {
        let ticket = Ticket {
            product: ProductId::parse("iphone15").unwrap(),
            shard: Shard::mail(3),
            position: Position::new(7, 9),
        };
        let key = Key::new("a secret of some length").unwrap();
        let token = "AQADAAAAAAAHAAAAAAAAAAAACWlwaG9uZTE1ZQHU6erArrojeNzlHFDulw";
        assert_eq!(ticket.sign(&key), token);
        assert_eq!(Ticket::verify(token, &key), Some(ticket));
    }

    #[test]
    fn a_key_never_shows_and_a_short_one_is_refused() {
        assert!(Key::new("short").is_none());
        assert_eq!(format!("{:?}", Key::new("a secret of some length").unwrap()), "Key(…)");
    }
}
