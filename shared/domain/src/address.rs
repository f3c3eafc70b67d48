//! Email addresses. They never show in logs: `Debug` masks them and there is no `Display`;
//! reading one takes the explicit [`Address::reveal`].
//!
//! What SES takes decides what is accepted at the door: "Amazon SES does not support the SMTPUTF8
//! extension, as described in RFC6531. For this reason, the local part of a destination email
//! address may only contain 7-bit ASCII characters. If the domain part of an address contains
//! non-ASCII characters, they must be encoded using Punycode" (SES API v2, `Destination`); and a
//! call with an address that SES calls malformed ("Domain contains illegal character", "Missing
//! domain") is refused as a whole.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Host;

use crate::fields::Invalid;

/// What an address may be, as refusals say it.
pub const ACCEPTED_ADDRESS: &str = "one email address such as jo@example.com: at most 64 ASCII characters \
     before the @; a domain of two or more labels of letters, digits and inner hyphens; at most 254 characters \
     in total; no display name";

/// RFC 5321, 4.5.3.1.3: a path has 256 octets with its brackets.
const MAX_ADDRESS: usize = 254;
/// RFC 5321, 4.5.3.1.1.
const MAX_LOCAL: usize = 64;
/// RFC 1035, 2.3.4, without the length bytes and the root.
const MAX_DOMAIN: usize = 253;
/// RFC 1035, 2.3.4.
const MAX_LABEL: usize = 63;

/// An email address that SES takes: RFC 5321 in its ASCII form, without quotes or comments.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

impl Address {
    /// Parses an address from outside; white space around it is dropped, and a domain of
    /// another script is converted to its `xn--` form (RFC 5891), which is the one that is emailed.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = |problem: &str| Invalid::new("email", problem, ACCEPTED_ADDRESS);
        let text = text.trim();
        if text.is_empty() {
            return Err(refuse("is empty"));
        }
        let (local, domain) = text.rsplit_once('@').ok_or_else(|| refuse("has no @"))?;
        check_local(local).map_err(refuse)?;
        let converted = ascii(domain).map_err(refuse)?;
        let domain = converted.as_deref().unwrap_or(domain);
        check_domain(domain).map_err(refuse)?;
        let address = format!("{local}@{domain}");
        if address.len() > MAX_ADDRESS {
            return Err(refuse("is longer than 254 characters"));
        }
        Ok(Self(address))
    }

    /// Reads an address from the table. What an earlier version took stays readable, whatever
    /// [`Address::parse`] has come to ask for since: its subscriber was promised an email, and if
    /// SES refuses the address, that is written down as any refusal is.
    pub fn stored(text: &str) -> Result<Self, Invalid> {
        let one_address = text.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty() && !domain.is_empty() && text.len() <= MAX_ADDRESS && text.bytes().all(is_plain)
        });
        if one_address && text.matches('@').count() == 1 {
            Ok(Self(text.to_owned()))
        } else {
            Err(Invalid::new("email", "is not an email address", ACCEPTED_ADDRESS))
        }
    }

    /// The address itself, for the email and the table only.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The form by which two spellings are one subscriber: lower case. (The local part is
    /// case-sensitive by RFC 5321 and nowhere in practice.)
    pub fn normalised(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The normalised form without a tag, the part from the first `+` on before the @: where a person may be counted under
    /// several addresses that lead to them, but two persons may be taken for one without harm.
    pub fn without_tag(&self) -> String {
        let normalised = self.normalised();
        match normalised.rsplit_once('@').and_then(|(local, domain)| Some((local.split_once('+')?.0, domain)))
        {
            Some((local, domain)) if !local.is_empty() => format!("{local}@{domain}"),
            _ => normalised,
        }
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
    /// [`Address::stored`]: what is deserialised comes from the table.
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::stored(&text)
    }
}

/// Neither a control character nor one that a header or a list of recipients would read as more
/// than one address.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"(),:;<>[\\]".contains(&byte)
}

/// A dot-atom, RFC 5321, 4.1.2. Quoted local parts are not used in practice, and SES refuses some.
fn check_local(local: &str) -> Result<(), &'static str> {
    let is_atom = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte);
    if local.is_empty() {
        return Err("has nothing before the @");
    }
    if !local.is_ascii() {
        return Err("contains a non-ASCII character before the @");
    }
    if local.len() > MAX_LOCAL {
        return Err("has more than 64 characters before the @");
    }
    if local.split('.').any(str::is_empty) {
        return Err("has a leading, trailing or double dot before the @");
    }
    if local.bytes().all(|byte| byte == b'.' || is_atom(byte)) {
        Ok(())
    } else {
        Err("contains an invalid character before the @")
    }
}

/// The `xn--` form of a domain that has characters beyond ASCII; `None` where it has none.
fn ascii(domain: &str) -> Result<Option<String>, &'static str> {
    if domain.is_ascii() {
        return Ok(None);
    }
    // The parser reads percent signs, as in URLs, and what it maps to ASCII is checked afterwards.
    if domain.contains('%') {
        return Err("contains an invalid character in the domain");
    }
    match Host::parse(domain) {
        Ok(Host::Domain(ascii)) => Ok(Some(ascii)),
        _ => Err("has an invalid internationalized domain name"),
    }
}

/// RFC 5321, 4.1.2, with two labels at least: no shopper has a mailbox at a top-level domain or
/// an IP address. No top-level domain is all digits (RFC 3696, 2).
fn check_domain(domain: &str) -> Result<(), &'static str> {
    if domain.is_empty() {
        return Err("has no domain");
    }
    if domain.len() > MAX_DOMAIN {
        return Err("has a domain longer than 253 characters");
    }
    for label in domain.split('.') {
        if label.is_empty() {
            return Err("has a leading, trailing or double dot in the domain");
        }
        if label.len() > MAX_LABEL {
            return Err("has a domain with a label longer than 63 characters");
        }
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err("contains an invalid character in the domain");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("has a domain with a label that begins or ends with a hyphen");
        }
    }
    match domain.rsplit_once('.') {
        None => Err("has a domain without a dot"),
        Some((_, last)) if last.bytes().all(|byte| byte.is_ascii_digit()) => {
            Err("has a domain that ends in a number")
        }
        Some(_) => Ok(()),
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
            "a@b.co",
            "!#$%&'*+-/=?^_`{|}~@1-2.3com",
            &format!("{}@example.com", "x".repeat(64)),
            &format!("a@{}.com", "x".repeat(63)),
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
            "jo@[IPv6:::1]",
            "jo@127.0.0.1",
            "jo@\u{ff11}27.0.0.1",
            "jo@example.123",
            "jo@exa_mple.com",
            "jo@my_shop.example.com",
            "jo@mail._domain.example",
            "jo@exa mple.com",
            "jo@exa%6Dple.com",
            "jo@b%C3%BCcher.ex\u{e4}mple",
            "jo@example.com%!",
            "jo@example!.com",
            "jo@ex/ample.com",
            "jo@\u{2100}.example",
            "jo@-example.com",
            "jo@example-.com",
            "jo@example.com-",
            "jo@example.com.",
            "jo@.example.com",
            "jo@example.c_m",
            "jo(home)@example.com",
            "github:jo@example.com",
            "jo..jo@example.com",
            "jo.@example.com",
            "\"jo\"@example.com",
            ".jo@example.com",
            &format!("{}@example.com", "x".repeat(65)),
            &format!("a@{}.com", "x".repeat(64)),
            &format!("a@{}com", "x.".repeat(130)),
            // 251 characters of domain are a domain, and too many beside an @ and 3 more.
            &format!("abcd@{}com", "x.".repeat(124)),
            // As its punycode, a label longer than 63.
            &format!("a@{}.com", "ü".repeat(60)),
        ] {
            let Err(refusal) = Address::parse(text) else { panic!("{text} is taken") };
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
    fn an_address_without_its_tag_is_the_one_that_the_tag_was_hung_on() {
        for (text, expected) in [
            ("Jo+Shop@Example.com", "jo@example.com"),
            ("jo+a+b@example.com", "jo@example.com"),
            ("jo@example.com", "jo@example.com"),
            ("j.o@example.com", "j.o@example.com"),
            ("+jo@example.com", "+jo@example.com"),
        ] {
            assert_eq!(Address::parse(text).unwrap().without_tag(), expected, "{text}");
        }
    }

    #[test]
    fn a_domain_of_another_script_is_converted_and_is_one_with_its_ascii_form() {
        for (text, mailed) in [
            ("jo@bücher.example", "jo@xn--bcher-kva.example"),
            ("jo@BÜCHER.example", "jo@xn--bcher-kva.example"),
            ("jo@bu\u{308}cher.example", "jo@xn--bcher-kva.example"),
            ("jo@例え。テスト", "jo@xn--r8jz45g.xn--zckzah"),
            ("jo@пример.испытание", "jo@xn--e1afmkfd.xn--80akhbyknj4f"),
            ("jo@faß.example", "jo@xn--fa-hia.example"),
            ("jo@\u{ff45}xample.com", "jo@example.com"),
        ] {
            assert_eq!(Address::parse(text).unwrap().reveal(), mailed, "{text}");
        }
        let ascii = Address::parse("Jo@XN--bcher-kva.example").unwrap();
        assert_eq!(Address::parse("jo@bücher.example").unwrap().normalised(), ascii.normalised());
    }

    #[test]
    fn what_an_earlier_version_stored_stays_readable_and_nothing_else_does() {
        let read = |text: &str| serde_json::from_value::<Address>(serde_json::json!(text));
        for stored in ["jo@my_shop.example.com", "jo@exa_mple.com", "Jo@Example.COM", "jo@example.123"] {
            assert_eq!(read(stored).unwrap().reveal(), stored);
        }
        for garbled in ["", "not an address", "jo", "jo@", "@b.c", "a@b@c.d", "a@b.c,d@e.f", "a@b.c\n"] {
            assert!(read(garbled).is_err(), "{garbled:?}");
        }
    }

    #[test]
    fn an_address_never_shows_in_debug() {
        let text = format!("{:?}", Some(Address::parse("jo@example.com").unwrap()));
        assert!(!text.contains("jo") && !text.contains("example"), "{text}");
    }
}
