//! What a shopper asks for: `{"email", "userId"?, "locale"?, "name"?}`.

use domain::{
    Address, Invalid, Locale, Subscriber, UserId, address::ACCEPTED_ADDRESS, fields::Fields, id::ACCEPTED_ID,
    locale::ACCEPTED_LOCALE, subscriber::MAX_NAME_CHARS,
};
use serde_json::Value;

pub(crate) struct Wish {
    pub(crate) subscriber: Subscriber,
    pub(crate) address: Address,
    pub(crate) locale: Locale,
    pub(crate) name: Option<String>,
}

const ACCEPTED_NAME: &str = "at most 100 characters, no control characters";

impl Wish {
    pub(crate) fn read(body: &Value) -> Result<Self, Invalid> {
        let fields = Fields::of(body, "body")?;
        let address = Address::parse(fields.required_text("email", ACCEPTED_ADDRESS)?)?;
        let user = fields.text("userId", ACCEPTED_ID)?.map(UserId::parse).transpose()?;
        let locale = fields.text("locale", ACCEPTED_LOCALE)?.map(Locale::parse).transpose()?;
        Ok(Self {
            subscriber: Subscriber::new(user.as_ref(), &address),
            locale: locale.unwrap_or_default(),
            name: name(fields.text("name", ACCEPTED_NAME)?)?,
            address,
        })
    }
}

/// A name; a blank one counts as none.
fn name(text: Option<&str>) -> Result<Option<String>, Invalid> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > MAX_NAME_CHARS {
        return Err(Invalid::new("name", "is too long", ACCEPTED_NAME));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new("name", "has a control character", ACCEPTED_NAME));
    }
    Ok(Some(text.to_owned()))
}
