//! The language a shopper reads, as a BCP 47 tag of the simple form.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fields::Invalid;

/// What a locale may be, as refusals say it.
pub const ACCEPTED_LOCALE: &str =
    "a language tag such as en, de-AT or zh-Hant-TW (language, then script, then region)";

/// A language tag: language, optional script, optional region (RFC 5646, 2.1, without variants
/// and extensions), in its usual spelling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Locale(String);

impl Locale {
    /// Reads a tag; case does not count, and `_` is taken for `-`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::new("locale", "is not a language tag", ACCEPTED_LOCALE);
        let alpha = |part: &str| part.bytes().all(|b| b.is_ascii_alphabetic());
        let mut parts = text.split(['-', '_']).peekable();
        let language = parts.next().filter(|p| (2..=3).contains(&p.len()) && alpha(p)).ok_or_else(refuse)?;
        let mut tag = language.to_ascii_lowercase();
        if let Some(script) = parts.next_if(|p| p.len() == 4 && alpha(p)) {
            let script = script.to_ascii_lowercase();
            let (first, rest) = script.split_at(1);
            tag = format!("{tag}-{}{rest}", first.to_ascii_uppercase());
        }
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if let Some(region) = parts.next_if(|p| (p.len() == 2 && alpha(p)) || (p.len() == 3 && digits(p))) {
            tag = format!("{tag}-{}", region.to_ascii_uppercase());
        }
        if parts.next().is_some() { Err(refuse()) } else { Ok(Self(tag)) }
    }

    /// The whole tag.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The language alone: `de` of `de-AT`.
    pub fn language(&self) -> &str {
        self.0.split('-').next().unwrap_or(&self.0)
    }
}

impl Default for Locale {
    fn default() -> Self {
        Self("en".to_owned())
    }
}

impl fmt::Display for Locale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Locale {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Invalid> {
        Self::parse(&text)
    }
}

impl From<Locale> for String {
    fn from(locale: Locale) -> Self {
        locale.0
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_read_whatever_their_case() {
        for (text, tag, language) in [
            ("en", "en", "en"),
            ("DE-at", "de-AT", "de"),
            ("fr_FR", "fr-FR", "fr"),
            ("zh-hant-tw", "zh-Hant-TW", "zh"),
            ("es-419", "es-419", "es"),
        ] {
            let locale = Locale::parse(text).unwrap();
            assert_eq!((locale.as_str(), locale.language()), (tag, language));
        }
    }

    #[test]
    fn what_is_no_tag_is_refused() {
        for text in ["", "e", "english", "de-", "de-Austria", "de-AT-x-y", "d3", "de AT", "-de"] {
            assert_eq!(Locale::parse(text).unwrap_err().field, "locale", "{text:?}");
        }
    }
}
