//! What a shopper asks for: `{"email", "userId"?, "userToken"?, "locale"?, "name"?, "consentText"?}`. The address alone decides;
//! an optional field that is empty or not understood is as if it were absent, and the answer names
//! it: no shopper is refused for a detail of their email.

use domain::address::ACCEPTED_ADDRESS;
use domain::fields::Fields;
use domain::id::ACCEPTED_ID;
use domain::locale::ACCEPTED_LOCALE;
use domain::name::{self, ACCEPTED_NAME};
use domain::{Address, Invalid, Locale, UserId};
use serde::Serialize;
use serde_json::Value;

pub(crate) struct Wish {
    pub(crate) address: Address,
    pub(crate) user: Option<UserId>,
    /// The shop's word that this is its user. It is not checked here.
    pub(crate) user_token: Option<String>,
    pub(crate) locale: Locale,
    pub(crate) name: Option<String>,
    /// The version of the words that the shopper was shown.
    pub(crate) consent_text: Option<String>,
    pub(crate) ignored: Vec<Ignored>,
}

/// An optional field that was taken as absent, and why. It does not repeat the value.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Ignored {
    field: &'static str,
    problem: String,
    accepted: &'static str,
}

impl Wish {
    pub(crate) fn read(body: &Value) -> Result<Self, Invalid> {
        let fields = Fields::of(body, "body")?;
        let address = Address::parse(fields.required_text("email", ACCEPTED_ADDRESS)?)?;
        let mut ignored = Vec::new();
        let user = understood(&mut ignored, user(&fields));
        let locale = understood(&mut ignored, locale(&fields));
        let name = understood(&mut ignored, name(&fields));
        let user_token = understood(&mut ignored, fields.text("userToken", ACCEPTED_TOKEN));
        let user_token = user_token.map(str::trim).filter(|token| !token.is_empty()).map(str::to_owned);
        let consent_text = understood(&mut ignored, consent_text(&fields));
        let locale = locale.unwrap_or_default();
        Ok(Self { address, user, user_token, locale, name, consent_text, ignored })
    }

    /// Writes down that the token of the user was left out.
    pub(crate) fn ignore_token(&mut self, problem: &str) {
        self.ignored.push(Ignored {
            field: "userToken",
            problem: problem.to_owned(),
            accepted: ACCEPTED_TOKEN,
        });
    }
}

/// What a token of a user may be, as refusals say it.
const ACCEPTED_TOKEN: &str = "a token that the shop made for this userId and email, and that has not expired";

/// What the version of the words may be, as refusals say it.
const ACCEPTED_CONSENT_TEXT: &str = "the version of the words that were shown: up to 64 printable characters";
const MAX_CONSENT_TEXT_CHARS: usize = 64;

/// What was read of an optional field; what could not be is written down as ignored.
fn understood<T>(ignored: &mut Vec<Ignored>, read: Result<Option<T>, Invalid>) -> Option<T> {
    read.unwrap_or_else(|Invalid { field, problem, accepted }| {
        ignored.push(Ignored { field, problem, accepted });
        None
    })
}

/// The shop's id of the shopper; many shops number theirs.
fn user(fields: &Fields<'_>) -> Result<Option<UserId>, Invalid> {
    let text = fields.text_or_number("userId", ACCEPTED_ID)?;
    text.as_deref().filter(|text| !is_blank(text)).map(UserId::parse).transpose()
}

fn locale(fields: &Fields<'_>) -> Result<Option<Locale>, Invalid> {
    let text = fields.text("locale", ACCEPTED_LOCALE)?;
    text.filter(|text| !is_blank(text)).map(Locale::parse).transpose()
}

fn name(fields: &Fields<'_>) -> Result<Option<String>, Invalid> {
    fields.text("name", ACCEPTED_NAME)?.map_or(Ok(None), name::parse)
}

fn consent_text(fields: &Fields<'_>) -> Result<Option<String>, Invalid> {
    let text = fields.text_or_number("consentText", ACCEPTED_CONSENT_TEXT)?;
    let refuse = |problem| Err(Invalid::new("consentText", problem, ACCEPTED_CONSENT_TEXT));
    match text.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        Some(text) if text.chars().count() > MAX_CONSENT_TEXT_CHARS => refuse("is too long"),
        Some(text) if text.chars().any(char::is_control) => refuse("contains an invalid character"),
        text => Ok(text.map(str::to_owned)),
    }
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with(field: &str, value: &Value) -> Wish {
        Wish::read(&json!({ "email": "Jo@example.com", field: value })).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_person_is_their_address_whatever_user_id_is_written_beside_it() {
        let guest = with("name", &json!("Jo"));
        let user = with("userId", &json!("user-1"));
        assert_eq!(guest.address.reveal(), user.address.reveal());
        assert_eq!(user.user.unwrap().as_str(), "user-1");
        assert_eq!(with("userId", &json!(42)).user.unwrap().as_str(), "42");
    }

    #[test]
    fn an_empty_optional_field_is_as_if_absent() {
        for field in ["userId", "locale", "name", "userToken", "consentText"] {
            for empty in [json!(null), json!(""), json!(" "), json!("\t\n")] {
                let wish = with(field, &empty);
                assert!(wish.user.is_none() && wish.name.is_none(), "{field} {empty}");
                assert!(wish.user_token.is_none() && wish.consent_text.is_none(), "{field} {empty}");
                assert_eq!((wish.locale, wish.ignored), (Locale::default(), vec![]), "{field} {empty}");
            }
        }
    }

    #[test]
    fn an_optional_field_that_is_not_understood_is_left_out_and_named() {
        for (field, value) in [
            ("locale", json!("english")),
            ("locale", json!(5)),
            ("locale", json!([])),
            ("locale", json!({ "language": "de" })),
            ("userId", json!(["user-1"])),
            ("userId", json!(true)),
            ("userId", json!("x".repeat(300))),
            ("userId", json!("a\nb")),
            ("name", json!(7)),
            ("name", json!("x".repeat(41))),
            ("name", json!("see https://evil.example/now")),
            ("name", json!("a\nb")),
            ("userToken", json!(7)),
            ("consentText", json!(["v1"])),
            ("consentText", json!("x".repeat(65))),
            ("consentText", json!("a\nb")),
        ] {
            let wish = with(field, &value);
            assert!(wish.user.is_none() && wish.name.is_none(), "{field} {value}");
            assert_eq!(wish.locale, Locale::default(), "{field} {value}");
            let [ignored] = &wish.ignored[..] else { panic!("{field} {value}: {:?}", wish.ignored) };
            assert_eq!(ignored.field, field, "{value}");
            assert!(!ignored.problem.contains("evil"), "what was sent is not repeated");
        }
    }

    #[test]
    fn a_locale_is_taken_as_far_as_it_is_understood() {
        let wish = with("locale", &json!("de_DE_formal"));
        assert_eq!((wish.locale.as_str(), wish.ignored), ("de-DE", vec![]));
    }

    #[test]
    fn the_address_is_not_optional() {
        for body in [json!({}), json!({ "email": null }), json!({ "email": " " }), json!({ "email": 7 })] {
            assert_eq!(Wish::read(&body).err().unwrap().field, "email", "{body}");
        }
    }
}
