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
    /// Reads a tag as far as it is understood; case does not count, and any separator is taken
    /// for `-`. What follows language, script and region says nothing that an email needs:
    /// variants and extensions (RFC 5646, 2.1), and what systems append to a tag, as in
    /// `de_DE_formal`, `fr_FR@euro` and `de_DE.UTF-8`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = || Invalid::new("locale", "is not a language tag", ACCEPTED_LOCALE);
        let alpha = |part: &str| part.bytes().all(|b| b.is_ascii_alphabetic());
        let mut parts = text.trim().split(|c: char| !c.is_alphanumeric()).peekable();
        let language = parts.next().filter(|p| (2..=3).contains(&p.len()) && alpha(p)).ok_or_else(refuse)?;
        let mut tag = language.to_ascii_lowercase();
        // Extended language subtags: `zh-yue-HK` is read as `zh-HK`.
        while parts.next_if(|p| p.len() == 3 && alpha(p)).is_some() {}
        if let Some(script) = parts.next_if(|p| p.len() == 4 && alpha(p)) {
            let script = script.to_ascii_lowercase();
            let (first, rest) = script.split_at(1);
            tag = format!("{tag}-{}{rest}", first.to_ascii_uppercase());
        }
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if let Some(region) = parts.next_if(|p| (p.len() == 2 && alpha(p)) || (p.len() == 3 && digits(p))) {
            tag = format!("{tag}-{}", region.to_ascii_uppercase());
        }
        Ok(Self(tag))
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
    fn what_follows_the_part_that_is_needed_is_left_out() {
        for (text, tag) in [
            ("de_DE_formal", "de-DE"),
            ("nl_NL_formal", "nl-NL"),
            ("pt_PT_ao90", "pt-PT"),
            ("fr_FR@euro", "fr-FR"),
            ("de_DE.UTF-8", "de-DE"),
            ("zh-Hant-TW-u-co-stroke", "zh-Hant-TW"),
            ("zh-yue-HK", "zh-HK"),
            ("de-AT-1996", "de-AT"),
            ("de-1996", "de"),
            ("sl-rozaj-biske", "sl"),
            ("en-US-x-private", "en-US"),
            ("de-AT-", "de-AT"),
            ("de-Austria", "de"),
            (" fr ", "fr"),
            ("de AT", "de-AT"),
            ("de-DE,de;q=0.9", "de-DE"),
        ] {
            assert_eq!(Locale::parse(text).unwrap().as_str(), tag, "{text}");
        }
    }

    #[test]
    fn what_does_not_begin_with_a_language_is_refused() {
        for text in ["", " ", "e", "english", "German", "d3", "-de", "x-private", "C", "Ünü", "12", "日本語"]
        {
            assert_eq!(Locale::parse(text).unwrap_err().field, "locale", "{text:?}");
        }
    }
}
