//! Reading settings from a lookup (the environment, or a test's list), so that every problem is
//! named at once and tests never touch the process's environment.

use std::{fmt, str::FromStr};

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

    /// A setting with a default.
    pub fn or<T: FromStr<Err: fmt::Display>>(&mut self, name: &str, default: T) -> T {
        self.optional(name).unwrap_or(default)
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
        let _: u32 = settings.or("RATE", 5);
        let _: Option<u32> = settings.required("RATE");
        let message = settings.finish(topic).map_err(|bad| bad.to_string());
        let message = message.err().unwrap_or_default();
        assert!(message.contains("TOPIC is missing") && message.contains("RATE is not usable"), "{message}");
        assert!(!message.contains("s3cret"), "{message}");
    }
}
