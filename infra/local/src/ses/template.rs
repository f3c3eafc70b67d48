//! Renders what SES would send: a template with its data, by SES's rules.
//!
//! SES uses Handlebars, escapes nothing, and fails the message when a variable is missing
//! (<https://docs.aws.amazon.com/ses/latest/dg/send-personalized-email-api.html>).
//! This file knows neither inbox nor network.

use handlebars::{Handlebars, RenderError, TemplateError};
use serde_json::{Map, Value};

use super::wire::TemplateContent;

/// Helpers of this Handlebars that SES's does not have: a template that leans on one must fail here too.
const NOT_IN_SES: [&str; 10] = ["eq", "ne", "gt", "gte", "lt", "lte", "and", "or", "not", "len"];

pub(super) struct Compiled {
    handlebars: Handlebars<'static>,
}

#[derive(Default)]
pub(super) struct Rendered {
    pub subject: String,
    pub text: Option<String>,
    pub html: Option<String>,
}

impl Compiled {
    /// # Errors
    /// Where a part is not a template.
    pub(super) fn new(content: &TemplateContent) -> Result<Self, Box<TemplateError>> {
        let mut handlebars = Handlebars::new();
        handlebars.set_strict_mode(true);
        handlebars.register_escape_fn(handlebars::no_escape);
        for helper in NOT_IN_SES {
            handlebars.unregister_helper(helper);
        }
        let parts = [("subject", &content.subject), ("text", &content.text), ("html", &content.html)];
        for (name, part) in parts {
            if let Some(part) = part {
                handlebars.register_template_string(name, part).map_err(Box::new)?;
            }
        }
        Ok(Self { handlebars })
    }

    /// # Errors
    /// Where the data lacks a variable, or a helper is given what it can't use: SES's "rendering failure".
    pub(super) fn render(&self, data: &Map<String, Value>) -> Result<Rendered, RenderError> {
        let part =
            |name| self.handlebars.has_template(name).then(|| self.handlebars.render(name, data)).transpose();
        Ok(Rendered {
            subject: part("subject")?.unwrap_or_default(),
            text: part("text")?,
            html: part("html")?,
        })
    }
}

/// The variables of a message: the default data with the recipient's own on top.
///
/// # Errors
/// Where either is not a JSON object. The error holds none of the data.
pub(super) fn merge(default: Option<&str>, own: Option<&str>) -> Result<Map<String, Value>, &'static str> {
    let mut merged = object(default).ok_or("TemplateData is not a JSON object.")?;
    merged.extend(object(own).ok_or("ReplacementTemplateData is not a JSON object.")?);
    Ok(merged)
}

fn object(data: Option<&str>) -> Option<Map<String, Value>> {
    match data {
        None | Some("") => Some(Map::new()),
        Some(data) => serde_json::from_str(data).ok(),
    }
}
