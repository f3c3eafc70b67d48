//! Addresses that are refused at the door although email reaches them: those of roles that no shopper reads, and those of
//! domains that a shop has listed. Both are refused with the same words, so that the list is no secret that an answer tells.

use std::str::FromStr;

use crate::address::Address;
use crate::fields::Invalid;

/// What is accepted, as refusals say it.
const ACCEPTED_READER: &str = "the address of a person who reads the emails that come to it";
/// What `REFUSED_DOMAINS` may be, as refusals say it.
pub const ACCEPTED_DOMAINS: &str = "domains separated by commas, such as example.com,example.org";

/// The mailboxes of RFC 2142 (and of what sends by itself) whose reader is a machine, or takes an unasked email for abuse.
/// Never `info` or `sales`: small firms shop with those.
const ROLES: [&str; 9] = [
    "abuse",
    "hostmaster",
    "mailer-daemon",
    "no-reply",
    "noreply",
    "postmaster",
    "security",
    "spam",
    "webmaster",
];

/// Domains whose addresses are refused, their subdomains' too, each in its lower-case ASCII form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RefusedDomains(Vec<String>);

impl RefusedDomains {
    /// Lets an address pass whose reader may be a shopper.
    ///
    /// # Errors
    /// The refusal.
    pub fn check(&self, address: &Address) -> Result<(), Invalid> {
        let spelling = address.without_tag();
        let (local, domain) = spelling.rsplit_once('@').unwrap_or((&spelling, ""));
        if ROLES.contains(&local) || self.0.iter().any(|refused| is_within(domain, refused)) {
            return Err(Invalid::new("email", "cannot be used here", ACCEPTED_READER));
        }
        Ok(())
    }
}

/// Whether a domain is `parent` or one below it.
fn is_within(domain: &str, parent: &str) -> bool {
    domain.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

impl FromStr for RefusedDomains {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let domains = text.split(',').map(str::trim).filter(|domain| !domain.is_empty());
        let domains: Result<Vec<String>, _> = domains.map(domain).collect();
        domains.map(Self).map_err(|_| ACCEPTED_DOMAINS)
    }
}

/// A domain in the form that addresses have.
fn domain(text: &str) -> Result<String, Invalid> {
    let normalised = Address::parse(&format!("x@{text}"))?.normalised();
    Ok(normalised.strip_prefix("x@").unwrap_or_default().to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refuses(domains: &str, address: &str) -> bool {
        let domains: RefusedDomains = domains.parse().unwrap();
        match domains.check(&Address::parse(address).unwrap()) {
            Ok(()) => false,
            Err(refusal) => {
                assert_eq!(refusal.field, "email");
                assert!(!refusal.to_string().contains("example"), "{refusal}");
                true
            }
        }
    }

    #[test]
    fn roles_that_no_shopper_reads_are_refused_in_any_spelling() {
        for role in ROLES {
            assert!(refuses("", &format!("{role}@example.com")), "{role}");
            assert!(refuses("", &format!("{}@example.com", role.to_ascii_uppercase())), "{role}");
            assert!(refuses("", &format!("{role}+shop@example.com")), "{role}");
        }
        for other in [
            "info",
            "sales",
            "support",
            "admin",
            "jo",
            "security.guard",
            "spammer",
            "postmaster1",
            "+abuse",
            "a+abuse",
        ] {
            assert!(!refuses("", &format!("{other}@example.com")), "{other}");
        }
    }

    #[test]
    fn a_refused_domain_is_refused_with_its_subdomains_and_nothing_beside_it() {
        let list = " Example.com, bücher.example,mail.example.org ,";
        for address in ["a@example.com", "a@EXAMPLE.com", "a@mx.example.com", "a@a.b.example.com"] {
            assert!(refuses(list, address), "{address}");
        }
        assert!(refuses(list, "a@xn--bcher-kva.example") && refuses(list, "a@mail.example.org"));
        for address in ["a@notexample.com", "a@example.com.example", "a@example.org", "a@example.co"] {
            assert!(!refuses(list, address), "{address}");
        }
        assert_eq!("".parse(), Ok(RefusedDomains::default()));
    }

    #[test]
    fn a_list_that_holds_something_else_is_refused() {
        for text in [
            "example",
            "@example.com",
            "a@example.com",
            "*.example.com",
            "example.com;example.org",
            "exa mple.com",
        ] {
            assert_eq!(text.parse::<RefusedDomains>(), Err(ACCEPTED_DOMAINS), "{text}");
        }
    }
}
