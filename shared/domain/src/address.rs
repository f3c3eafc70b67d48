//! Mail addresses. They never show in logs: `Debug` masks them and there is no `Display`;
//! reading one takes the explicit [`Address::reveal`].

use std::{fmt, str::FromStr};

use email_address::{EmailAddress, Options};
use serde::{Deserialize, Serialize};

use crate::fields::Invalid;

/// What an address may be, as refusals say it.
pub const ACCEPTED_ADDRESS: &str = "one mail address such as jo@example.com: ASCII (a domain of \
     another script in its xn-- form), at most 254 characters, a domain with a dot, no display name";

/// A mail address that SES takes: RFC 5321 in its ASCII form, without quotes or comments.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

impl Address {
    /// Reads an address; white space around it is dropped.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = |problem: &str| Err(Invalid::new("email", problem, ACCEPTED_ADDRESS));
        let text = text.trim();
        if text.is_empty() {
            return refuse("is empty");
        }
        // RFC 5321, 4.5.3.1.3: a path has 256 octets with its brackets.
        if text.len() > 254 {
            return refuse("is longer than 254 characters");
        }
        if !text.is_ascii() {
            return refuse("has a character that is not ASCII");
        }
        // What a header or a list of recipients would read as more than one address.
        if text.bytes().any(|b| b.is_ascii_control() || b" \"(),:;<>[\\]".contains(&b)) {
            return refuse("has a character that an address without quotes cannot have");
        }
        let options = Options::default().with_required_tld().without_domain_literal().without_display_text();
        if EmailAddress::parse_with_options(text, options).is_err() {
            return refuse("is not a mail address");
        }
        Ok(Self(text.to_owned()))
    }

    /// The address itself, for the mail and the table only.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The form by which two spellings are one subscriber: lower case. (The local part is
    /// case-sensitive by RFC 5321 and nowhere in practice.)
    pub fn normalised(&self) -> String {
        self.0.to_ascii_lowercase()
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(…)")
    }
}

impl FromStr for Address {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Invalid> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Address {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_people_have_are_accepted() {
        for text in [
            "jo@example.com",
            " jo@example.com ",
            "jo.o'neil+shop@mail.example.co.uk",
            "success+a1@simulator.amazonses.com",
            "x@xn--bcher-kva.example",
        ] {
            assert_eq!(Address::parse(text).unwrap().reveal(), text.trim());
        }
    }

    #[test]
    fn what_is_not_one_plain_address_is_refused() {
        for text in [
            "",
            "jo",
            "jo@",
            "@example.com",
            "jo@localhost",
            "a@b@example.com",
            "jo@example..com",
            "Jo <jo@example.com>",
            "jo@example.com,al@example.com",
            "jo@example.com\r\nBcc: x@example.com",
            "jo o@example.com",
            "jö@example.com",
            "jo@[127.0.0.1]",
            "\"jo\"@example.com",
            ".jo@example.com",
            &format!("{}@example.com", "x".repeat(65)),
            &format!("a@{}.com", "x.".repeat(130)),
        ] {
            let refusal = Address::parse(text).unwrap_err();
            assert_eq!(refusal.field, "email");
            assert!(text.len() < 15 || !refusal.to_string().contains(text), "{refusal}");
        }
    }

    #[test]
    fn two_spellings_of_an_address_are_one() {
        let one = Address::parse("Jo@Example.COM").unwrap();
        assert_eq!(one.normalised(), "jo@example.com");
        assert_eq!(one.reveal(), "Jo@Example.COM");
    }

    #[test]
    fn an_address_never_shows_in_debug() {
        let text = format!("{:?}", Some(Address::parse("jo@example.com").unwrap()));
        assert!(!text.contains("jo") && !text.contains("example"), "{text}");
    }
}
