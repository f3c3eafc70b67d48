//! What a setting is, and reading settings from a lookup (the environment, or a test's list), so that
//! every problem is named at once and tests never touch the process's environment.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A setting of a function: an environment variable, what holds without it, and what it means. Each
/// function has a table of them, which the parser, the documentation and the template are held to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// The variable's name.
    pub name: &'static str,
    /// What holds where the variable is missing or empty.
    pub fallback: Fallback,
    /// What it means, in Markdown that fits into a cell of a table.
    pub help: &'static str,
}

/// What holds where a setting is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fallback {
    /// The function does not start.
    Required,
    /// This value.
    Value(&'static str),
    /// Something that is no value of the setting, in words.
    Otherwise(&'static str),
}

impl Setting {
    /// One that must be there.
    pub const fn required(name: &'static str, help: &'static str) -> Self {
        Self { name, fallback: Fallback::Required, help }
    }

    /// One with a default, as it would be written into the variable.
    pub const fn with_default(name: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { name, fallback: Fallback::Value(default), help }
    }

    /// One that may be missing; `otherwise` says what holds then.
    pub const fn optional(name: &'static str, otherwise: &'static str, help: &'static str) -> Self {
        Self { name, fallback: Fallback::Otherwise(otherwise), help }
    }
}

/// Reads a whole number that is in `range`. What is outside could do no work, or is more than AWS allows.
///
/// # Errors
/// What is accepted.
pub fn whole_number(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| format!("a whole number from {} to {}", range.start(), range.end()))
}

/// Reads the pattern of an http or https URL: one with `place`, such as `{token}`, in it. It comes back as a browser would
/// send it, all in ASCII (a domain of other letters as Punycode), because it goes into the headers of emails as it is.
///
/// # Errors
/// What is accepted.
pub fn url_pattern(text: &str, place: &str) -> Result<String, String> {
    // Braces would be percent-encoded.
    const STAND_IN: &str = "placeholder-of-the-pattern";
    let parsed = url::Url::parse(&text.replace(place, STAND_IN)).ok();
    let web = parsed.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match web.map(|url| url.as_str().replace(STAND_IN, place)) {
        Some(url) if url.contains(place) => Ok(url),
        _ => Err(format!("an http or https URL with {place} in it")),
    }
}

/// Settings being read.
pub struct Settings<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

/// Every setting that is missing or unusable. Values are not repeated: they may be secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSettings(Vec<String>);

impl fmt::Display for BadSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "settings: {}", self.0.join("; "))
    }
}

impl std::error::Error for BadSettings {}

impl<'a> Settings<'a> {
    /// Reads from `lookup`, which gives a variable's value; an empty one counts as missing.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, problems: Vec::new() }
    }

    /// A setting that may be missing.
    pub fn optional<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        self.optional_by(name, str::parse)
    }

    /// The same, read by `parse`, whose error says what is accepted.
    pub fn optional_by<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let text = (self.lookup)(name).filter(|text| !text.is_empty())?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(accepted) => {
                self.problems.push(format!("{name} is not usable ({accepted})"));
                None
            }
        }
    }

    /// A setting with a default. `None` is reported by [`Settings::finish`].
    pub fn or<T: FromStr<Err: fmt::Display>>(&mut self, setting: &Setting) -> Option<T> {
        self.or_by(setting, str::parse)
    }

    /// The same, read by `parse`, whose error says what is accepted.
    pub fn or_by<T, E: fmt::Display>(
        &mut self,
        setting: &Setting,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let before = self.problems.len();
        let value = self.optional_by(setting.name, &parse);
        if value.is_some() || self.problems.len() > before {
            return value;
        }
        let default = match setting.fallback {
            Fallback::Value(default) => parse(default).ok(),
            Fallback::Required | Fallback::Otherwise(_) => None,
        };
        if default.is_none() {
            self.problems.push(format!("{} is missing", setting.name));
        }
        default
    }

    /// A setting with a default that is a whole number within limits.
    pub fn whole_number(&mut self, setting: &Setting, range: RangeInclusive<u64>) -> Option<u64> {
        self.or_by(setting, |text| whole_number(text, range.clone()))
    }

    /// A setting that must be there. `None` is reported by [`Settings::finish`].
    pub fn required<T: FromStr<Err: fmt::Display>>(&mut self, name: &str) -> Option<T> {
        self.required_by(name, str::parse)
    }

    /// The same, read by `parse`, whose error says what is accepted.
    pub fn required_by<T, E: fmt::Display>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        let before = self.problems.len();
        let value = self.optional_by(name, parse);
        if value.is_none() && self.problems.len() == before {
            self.problems.push(format!("{name} is missing"));
        }
        value
    }

    /// Gives `config`, unless something was missing or unusable.
    pub fn finish<T>(self, config: Option<T>) -> Result<T, BadSettings> {
        match config {
            Some(config) if self.problems.is_empty() => Ok(config),
            _ => Err(BadSettings(self.problems)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_named_at_once_and_no_value_is_shown() {
        let lookup = |name: &str| (name == "RATE").then(|| "s3cret".to_owned());
        let mut settings = Settings::new(&lookup);
        let topic: Option<String> = settings.required("TOPIC");
        let rate: Option<u32> = settings.or(&Setting::with_default("RATE", "5", "a rate"));
        assert_eq!(rate, None);
        let _: Option<u32> = settings.required("RATE");
        let message = settings.finish(topic).map_err(|bad| bad.to_string());
        let message = message.err().unwrap_or_default();
        assert!(message.contains("TOPIC is missing") && message.contains("RATE is not usable"), "{message}");
        assert!(!message.contains("s3cret"), "{message}");
    }

    #[test]
    fn a_default_is_read_like_a_value_and_limits_hold_for_both() {
        const SLICE: Setting = Setting::with_default("SLICE", "20", "a slice");
        let read = |value: Option<&'static str>| {
            let lookup = |_: &str| value.map(str::to_owned);
            let mut settings = Settings::new(&lookup);
            let slice = settings.whole_number(&SLICE, 1..=900);
            settings.finish(slice).map_err(|bad| bad.to_string())
        };
        assert_eq!((read(None), read(Some("")), read(Some("7"))), (Ok(20), Ok(20), Ok(7)));
        for unusable in ["0", "901", "-1", "1.5", "soon"] {
            let message = read(Some(unusable)).err().unwrap_or_default();
            assert_eq!(message, "settings: SLICE is not usable (a whole number from 1 to 900)", "{unusable}");
        }
    }

    #[test]
    fn the_pattern_of_a_url_comes_back_in_ascii_with_its_place() {
        for (text, read) in [
            ("https://shop.example/u/{token}", Some("https://shop.example/u/{token}")),
            ("http://127.0.0.1:3000/#p-{token}", Some("http://127.0.0.1:3000/#p-{token}")),
            ("https://x.example/u?t={token}&a=1", Some("https://x.example/u?t={token}&a=1")),
            ("https://bücher.example/{token}", Some("https://xn--bcher-kva.example/{token}")),
            ("https://x.example/für/{token}", Some("https://x.example/f%C3%BCr/{token}")),
            ("https://x.example/", None),
            ("ftp://x.example/{token}", None),
            ("javascript:{token}", None),
            ("https://a b/{token}", None),
            ("x.example/{token}", None),
        ] {
            assert_eq!(url_pattern(text, "{token}").ok().as_deref(), read, "{text}");
        }
    }
}
