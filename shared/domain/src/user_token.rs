//! The word of the shop that a shopper is its user and reads the emails to an address: `<expiry>.<proof>`. The expiry is in Unix
//! seconds; the proof is HMAC-SHA-256 (RFC 2104) with a key that the shop's back end shares with us, in base64url (RFC 4648, 5),
//! over user id, address and expiry, with a line feed between them. The address is in its [normalised](Address::normalised)
//! form. None of the three can hold a line feed.
//!
//! `<expiry>.p.<proof>` says as well that the shopper has priority; its proof is over a fourth line, `priority`. So neither form
//! can be made of the other.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;

use crate::link::Refused;
use crate::{Address, Lane, UserId};

/// What stands in a token that says that its shopper has priority.
const PRIORITY_CLAIM: &str = "p";

/// What the shop vouches for beside the shopper's being its user at the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Vouched {
    /// The shopper is told before those without priority.
    pub priority: bool,
}

impl Vouched {
    /// The lane of a new place of such a shopper.
    pub fn lane(self) -> Lane {
        if self.priority { Lane::PriorityMail } else { Lane::Mail }
    }
}

/// The key that the shop's back end signs with. It never shows.
#[derive(Clone)]
pub struct UserTokenKey(Hmac<Sha256>);

impl UserTokenKey {
    /// The least length of a key, in bytes.
    pub const MIN_BYTES: usize = 16;

    /// Takes a secret text of at least [`UserTokenKey::MIN_BYTES`].
    pub fn new(secret: &str) -> Option<Self> {
        if secret.len() < Self::MIN_BYTES {
            return None;
        }
        Hmac::new_from_slice(secret.as_bytes()).ok().map(Self)
    }

    /// What the shop vouches for, of this user at this address.
    ///
    /// # Errors
    /// Why it vouches for nothing.
    pub fn verify(
        &self,
        token: &str,
        user: &UserId,
        address: &Address,
        now: Timestamp,
    ) -> Result<Vouched, Refused> {
        let (expiry, rest) = token.split_once('.').ok_or(Refused::Unknown)?;
        let (vouched, proof) = match rest.split_once('.') {
            None => (Vouched { priority: false }, rest),
            Some((PRIORITY_CLAIM, proof)) => (Vouched { priority: true }, proof),
            Some(_) => return Err(Refused::Unknown),
        };
        // The text is signed, so one number has one spelling.
        let seconds: u32 = expiry.parse().map_err(|_| Refused::Unknown)?;
        let proof = URL_SAFE_NO_PAD.decode(proof.trim_end_matches('=')).map_err(|_| Refused::Unknown)?;
        self.mac(user, address, expiry, vouched).verify_slice(&proof).map_err(|_| Refused::Unknown)?;
        if i64::from(seconds) <= now.as_second() { Err(Refused::Expired) } else { Ok(vouched) }
    }

    /// The token that the shop's back end would give.
    pub fn sign(&self, user: &UserId, address: &Address, expires: Timestamp, vouched: Vouched) -> String {
        let expiry = expires.as_second().to_string();
        let proof = self.mac(user, address, &expiry, vouched).finalize().into_bytes();
        let claim = if vouched.priority { format!("{PRIORITY_CLAIM}.") } else { String::new() };
        format!("{expiry}.{claim}{}", URL_SAFE_NO_PAD.encode(proof))
    }

    fn mac(&self, user: &UserId, address: &Address, expiry: &str, vouched: Vouched) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        mac.update(format!("{}\n{}\n{expiry}", user.as_str(), address.normalised()).as_bytes());
        if vouched.priority {
            mac.update(b"\npriority");
        }
        mac
    }
}

impl fmt::Debug for UserTokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserTokenKey(…)")
    }
}

impl FromStr for UserTokenKey {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text).ok_or("a secret of at least 16 bytes")
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECRET: &str = "a secret of some length";
    const USER: Vouched = Vouched { priority: false };
    const PRIORITY: Vouched = Vouched { priority: true };
    const NOW: i64 = 1_800_000_000;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn user(id: &str) -> UserId {
        UserId::parse(id).unwrap()
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn key() -> UserTokenKey {
        UserTokenKey::new(SECRET).unwrap()
    }

    #[test]
    fn a_token_is_what_any_language_makes_of_the_same_three_lines() {
        // printf 'user-1\njo@example.com\n1800000600' | openssl dgst -sha256 -hmac 'a secret of some length' -binary | basenc --base64url
        let token = "1800000600.2bDwTPm-ijgHcq_JV15YnwqCaSs4flsNPKyHfL8_ptQ";
        // printf 'user-1\njo@example.com\n1800000600\npriority' | …
        let with_priority = "1800000600.p.77ALVxQDCR_ir6_CjFXHpFpGYtBJ_qzz_dFQ_mYgPgw";
        for (token, vouched) in [(token, USER), (with_priority, PRIORITY)] {
            let signed = key().sign(&user("user-1"), &address("Jo@Example.com"), at(NOW + 600), vouched);
            assert_eq!(signed, token);
            for token in [token.to_owned(), format!("{token}=")] {
                let verified = key().verify(&token, &user("user-1"), &address("JO@example.com"), at(NOW));
                assert_eq!(verified, Ok(vouched), "{token}");
            }
        }
        assert_eq!((USER.lane(), PRIORITY.lane()), (Lane::Mail, Lane::PriorityMail));
    }

    #[test]
    fn a_token_vouches_for_one_user_at_one_address_until_its_time_is_over() {
        let token = key().sign(&user("user-1"), &address("jo@example.com"), at(NOW + 60), USER);
        for (id, email, second, expected) in [
            ("user-1", "jo@example.com", 59, Ok(USER)),
            ("user-1", "jo@example.com", 60, Err(Refused::Expired)),
            ("user-2", "jo@example.com", 0, Err(Refused::Unknown)),
            ("user-1", "al@example.com", 0, Err(Refused::Unknown)),
        ] {
            let verified = key().verify(&token, &user(id), &address(email), at(NOW + second));
            assert_eq!(verified, expected, "{id} {email} {second}");
        }
        let other = UserTokenKey::new("another secret, as long").unwrap();
        let verified = other.verify(&token, &user("user-1"), &address("jo@example.com"), at(NOW));
        assert_eq!(verified, Err(Refused::Unknown));
        let (_, proof) = token.split_once('.').unwrap();
        let priority = key().sign(&user("user-1"), &address("jo@example.com"), at(NOW + 60), PRIORITY);
        for forged in [
            format!("{}.{proof}", NOW + 6_000),
            format!("0{}.{proof}", NOW + 60),
            format!("+{}.{proof}", NOW + 60),
            format!("{}.", NOW + 60),
            format!("{}.p.{proof}", NOW + 60),
            format!("{}..{proof}", NOW + 60),
            priority.replacen(".p.", ".", 1),
            priority.replacen(".p.", ".q.", 1),
            priority.replacen(".p.", ".p.p.", 1),
            proof.to_owned(),
            String::new(),
        ] {
            let verified = key().verify(&forged, &user("user-1"), &address("jo@example.com"), at(NOW));
            assert_eq!(verified, Err(Refused::Unknown), "{forged}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused_without_panic(text in "\\PC{0,100}") {
            let verified = key().verify(&text, &user("user-1"), &address("jo@example.com"), at(NOW));
            prop_assert_eq!(verified, Err(Refused::Unknown));
        }
    }

    #[test]
    fn a_key_never_shows_and_a_short_one_is_refused() {
        assert!(UserTokenKey::new("short").is_none());
        assert_eq!(format!("{:?}", key()), "UserTokenKey(…)");
    }
}
