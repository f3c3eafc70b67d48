//! Reading untrusted JSON objects field by field, so that a refusal names the field and says what
//! is accepted. It never repeats the value it refuses: that may be an address.

use serde_json::{Map, Value};

/// Why an input was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}; accepted: {accepted}")]
pub struct Invalid {
    /// The field, as the sender spells it; `body` for the whole.
    pub field: &'static str,
    /// What is wrong with it, without the value.
    pub problem: String,
    /// What would be accepted.
    pub accepted: &'static str,
}

impl Invalid {
    /// A refusal of `field`.
    pub fn new(field: &'static str, problem: impl Into<String>, accepted: &'static str) -> Self {
        Self { field, problem: problem.into(), accepted }
    }
}

/// A JSON object being read. A field that is `null` counts as absent; unknown fields are ignored.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a>(&'a Map<String, Value>);

impl<'a> Fields<'a> {
    /// Reads `value`, which is called `name` in refusals, as an object.
    pub fn of(value: &'a Value, name: &'static str) -> Result<Self, Invalid> {
        match value {
            Value::Object(map) => Ok(Self(map)),
            other => Err(Invalid::new(name, format!("is {}", kind(other)), "a JSON object")),
        }
    }

    fn get(&self, field: &str) -> Option<&'a Value> {
        self.0.get(field).filter(|value| !value.is_null())
    }

    /// An optional text field.
    pub fn text(&self, field: &'static str, accepted: &'static str) -> Result<Option<&'a str>, Invalid> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(other) => Err(Invalid::new(field, format!("is {}", kind(other)), accepted)),
        }
    }

    /// A text field that must be there.
    pub fn required_text(&self, field: &'static str, accepted: &'static str) -> Result<&'a str, Invalid> {
        self.text(field, accepted)?.ok_or_else(|| Invalid::new(field, "is missing", accepted))
    }

    /// What a field holds, `null` too; `None` where it is absent.
    pub fn raw(&self, field: &str) -> Option<&'a Value> {
        self.0.get(field)
    }

    /// An optional whole number that is not negative.
    pub fn whole(&self, field: &'static str, accepted: &'static str) -> Result<Option<u64>, Invalid> {
        match self.get(field) {
            None => Ok(None),
            Some(Value::Number(number)) => match number.as_u64() {
                Some(whole) => Ok(Some(whole)),
                None => Err(Invalid::new(field, "must be a non-negative integer", accepted)),
            },
            Some(other) => Err(Invalid::new(field, format!("is {}", kind(other)), accepted)),
        }
    }

    /// An optional text, or a number taken as its text.
    pub fn text_or_number(
        &self,
        field: &'static str,
        accepted: &'static str,
    ) -> Result<Option<String>, Invalid> {
        match self.get(field) {
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            _ => Ok(self.text(field, accepted)?.map(str::to_owned)),
        }
    }
}

/// Text without the byte order mark that it may begin with. RFC 8259, section 8.1, lets a reader of JSON ignore it, and
/// writers of several platforms put it there unasked.
pub fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text)
}

/// What a value is, for a refusal that must not repeat it.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
