//! Renders what SES would send: an inline template with its data, by SES's rules.
//!
//! "Amazon SES supports only simple substitutions when you send email using the SendEmail or SendBulkEmail operations and
//! you provide the full template content in the request" (`Template` in the API reference of SES v2): `{{name}}` and nothing
//! else. Nothing is escaped, and a variable that the data lacks fails the message after it was accepted
//! (<https://docs.aws.amazon.com/ses/latest/dg/send-personalized-email-api.html>).
//! This file knows neither inbox nor network.

use serde_json::{Map, Value};

use super::wire::TemplateContent;

/// What SES says to an inline template with a block, a helper, a partial, a path, or a name that is not plain.
pub(super) const UNSUPPORTED: &str = "Template contains unsupported operations.";

/// The parts of a template, cut at their variables.
pub(super) struct Compiled {
    subject: Option<Vec<Piece>>,
    text: Option<Vec<Piece>>,
    html: Option<Vec<Piece>>,
}

enum Piece {
    Text(String),
    Variable(String),
}

#[derive(Default)]
pub(super) struct Rendered {
    pub subject: String,
    pub text: Option<String>,
    pub html: Option<String>,
}

impl Compiled {
    /// # Errors
    /// Where a part has more than simple substitutions.
    pub(super) fn new(content: &TemplateContent) -> Result<Self, &'static str> {
        let part = |part: &Option<String>| part.as_deref().map(cut).transpose();
        Ok(Self { subject: part(&content.subject)?, text: part(&content.text)?, html: part(&content.html)? })
    }

    /// # Errors
    /// Where the data lacks a variable: SES's "rendering failure", in its words.
    pub(super) fn render(&self, data: &Map<String, Value>) -> Result<Rendered, String> {
        let part = |part: &Option<Vec<Piece>>| part.as_ref().map(|pieces| fill(pieces, data)).transpose();
        Ok(Rendered {
            subject: part(&self.subject)?.unwrap_or_default(),
            text: part(&self.text)?,
            html: part(&self.html)?,
        })
    }
}

fn cut(part: &str) -> Result<Vec<Piece>, &'static str> {
    let (mut pieces, mut rest) = (Vec::new(), part);
    while let Some((before, after)) = rest.split_once("{{") {
        let (name, after) = after.split_once("}}").ok_or(UNSUPPORTED)?;
        let name = name.trim();
        let plain = name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric())
            // The third brace of an unescaped variable would stand here.
            && !after.starts_with('}');
        if !plain {
            return Err(UNSUPPORTED);
        }
        pieces.push(Piece::Text(before.to_owned()));
        pieces.push(Piece::Variable(name.to_owned()));
        rest = after;
    }
    pieces.push(Piece::Text(rest.to_owned()));
    Ok(pieces)
}

fn fill(pieces: &[Piece], data: &Map<String, Value>) -> Result<String, String> {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Variable(name) => match data.get(name) {
                Some(Value::String(text)) => out.push_str(text),
                Some(value) => out.push_str(&value.to_string()),
                None => return Err(format!("Attribute '{name}' is not present in the rendering data.")),
            },
        }
    }
    Ok(out)
}

/// The variables of a message: the default data with the recipient's own on top, key by key, nested objects too and arrays
/// whole, as live SES merges them (found by the makers of aws-ses-v2-local, its issue 102, in July 2026).
///
/// # Errors
/// Where either is not a JSON object. The error holds none of the data.
pub(super) fn merge(default: Option<&str>, own: Option<&str>) -> Result<Map<String, Value>, &'static str> {
    let mut merged = object(default).ok_or("TemplateData is not a JSON object.")?;
    put_on_top(&mut merged, object(own).ok_or("ReplacementTemplateData is not a JSON object.")?);
    Ok(merged)
}

fn put_on_top(merged: &mut Map<String, Value>, own: Map<String, Value>) {
    for (name, value) in own {
        match (merged.get_mut(&name), value) {
            (Some(Value::Object(below)), Value::Object(above)) => put_on_top(below, above),
            (_, value) => drop(merged.insert(name, value)),
        }
    }
}

fn object(data: Option<&str>) -> Option<Map<String, Value>> {
    match data {
        None | Some("") => Some(Map::new()),
        Some(data) => serde_json::from_str(data).ok(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use serde_json::json;

    use super::*;

    fn compiled(text: &str) -> Result<Compiled, &'static str> {
        Compiled::new(&TemplateContent { text: Some(text.to_owned()), ..TemplateContent::default() })
    }

    #[test]
    fn only_simple_substitutions_are_taken_inline() {
        for text in [
            "{{#if price}}{{price}}{{/if}}",
            "{{^price}}none{{/price}}",
            "{{> part}}",
            "{{! a remark}}",
            "{{{name}}}",
            "{{&name}}",
            "{{user.name}}",
            "{{first_name}}",
            "{{upper name}}",
            "{{else}}{{/if}}",
            "{{}}",
            "{{name",
            "{{1st}}",
        ] {
            assert_eq!(compiled(text).err(), Some(UNSUPPORTED), "{text}");
        }
        for text in ["", "no variable } { at all", "{{name}}", "{{ name }}", "{{a}}{{b1}}"] {
            assert!(compiled(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn values_are_put_in_as_they_are_and_a_missing_one_is_named() {
        let data = json!({ "name": "<b>{{x}}</b>", "n": 5 });
        let rendered = compiled("{{name}} {{n}}").unwrap().render(data.as_object().unwrap()).unwrap();
        assert_eq!(rendered.text.unwrap(), "<b>{{x}}</b> 5");
        let missing = compiled("{{gone}}").unwrap().render(&Map::new()).err().unwrap();
        assert_eq!(missing, "Attribute 'gone' is not present in the rendering data.");
    }

    #[test]
    fn own_data_goes_on_top_key_by_key_and_arrays_whole() {
        let default = r#"{"a":1,"o":{"x":1,"y":{"z":1}},"list":[1,2]}"#;
        let merged = merge(Some(default), Some(r#"{"o":{"y":{"w":2}},"list":[3],"b":2}"#)).unwrap();
        let expected = json!({"a":1,"o":{"x":1,"y":{"z":1,"w":2}},"list":[3],"b":2});
        assert_eq!(Value::Object(merged), expected);
        assert!(merge(Some("[]"), None).is_err() && merge(None, Some("{")).is_err());
    }
}
