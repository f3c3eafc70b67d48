//! The JSON that the SES v2 API takes, as far as this server reads it.
//!
//! Field names, nesting and the limits below are those of the API reference
//! (<https://docs.aws.amazon.com/ses/latest/APIReference-V2/>). Whatever is not named here is ignored.

use serde::{Deserialize, Serialize};

/// Destinations one `SendBulkEmail` call may have, and recipients one message may have.
pub const MAX_DESTINATIONS: usize = 50;
/// Custom headers a message, a template or a bulk entry may have.
pub const MAX_HEADERS: usize = 15;
/// Characters in the name of a custom header.
const MAX_HEADER_NAME: usize = 126;
/// Characters in the value of a custom header.
const MAX_HEADER_VALUE: usize = 870;
/// Characters in a tag's name, and in its value.
const MAX_TAG: usize = 255;
/// Characters in the data of a template, the default one and each recipient's own.
const MAX_TEMPLATE_DATA: usize = 262_144;
/// Headers that SES writes itself and refuses as custom ones.
const RESERVED_HEADERS: [&str; 12] = [
    "bcc",
    "cc",
    "content-disposition",
    "content-type",
    "date",
    "from",
    "message-id",
    "mime-version",
    "reply-to",
    "return-path",
    "subject",
    "to",
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SendBulkEmail {
    pub from_email_address: Option<String>,
    #[serde(default)]
    pub reply_to_addresses: Vec<String>,
    pub default_content: Option<BulkContent>,
    #[serde(default)]
    pub bulk_email_entries: Vec<Entry>,
    #[serde(default)]
    pub default_email_tags: Vec<Pair>,
    pub configuration_set_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct BulkContent {
    pub template: Option<Template>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct SendEmail {
    pub from_email_address: Option<String>,
    #[serde(default)]
    pub reply_to_addresses: Vec<String>,
    #[serde(default)]
    pub destination: Destination,
    pub content: Option<EmailContent>,
    #[serde(default)]
    pub email_tags: Vec<Pair>,
    pub configuration_set_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct EmailContent {
    pub simple: Option<Simple>,
    pub raw: Option<Raw>,
    pub template: Option<Template>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Simple {
    pub subject: Part,
    pub body: Body,
    #[serde(default)]
    pub headers: Vec<Pair>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Body {
    pub text: Option<Part>,
    pub html: Option<Part>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Part {
    pub data: String,
}

/// A whole MIME message, base64 as it was sent.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Raw {
    pub data: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Template {
    pub template_name: Option<String>,
    pub template_arn: Option<String>,
    pub template_content: Option<TemplateContent>,
    pub template_data: Option<String>,
    #[serde(default)]
    pub headers: Vec<Pair>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct TemplateContent {
    pub subject: Option<String>,
    pub text: Option<String>,
    pub html: Option<String>,
}

/// What is one recipient's own: the only part of a bulk call that the inbox keeps per email.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Entry {
    #[serde(default)]
    pub destination: Destination,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replacement_email_content: Option<Replacement>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replacement_headers: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replacement_tags: Vec<Pair>,
}

impl Entry {
    pub fn data(&self) -> Option<&str> {
        self.replacement_email_content
            .as_ref()?
            .replacement_template
            .as_ref()?
            .replacement_template_data
            .as_deref()
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Replacement {
    pub replacement_template: Option<ReplacementTemplate>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ReplacementTemplate {
    pub replacement_template_data: Option<String>,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Destination {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub to_addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cc_addresses: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bcc_addresses: Vec<String>,
}

impl Destination {
    pub fn all(&self) -> impl Iterator<Item = &str> + Clone {
        self.to_addresses.iter().chain(&self.cc_addresses).chain(&self.bcc_addresses).map(String::as_str)
    }
}

/// A header or a tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Pair {
    pub name: String,
    #[serde(default)]
    pub value: String,
}

/// The address itself, without the display name that may stand before it.
pub fn bare(address: &str) -> &str {
    match (address.rfind('<'), address.strip_suffix('>')) {
        (Some(open), Some(_)) => address[open + 1..address.len() - 1].trim(),
        _ => address.trim(),
    }
}

/// The one address that this holds, behind the display name that may stand before it; `None` where the name is none, such as
/// the address of another mailbox: outside quotes a comma or semicolon ends an address (RFC 5322, 3.4).
fn only(address: &str) -> Option<&str> {
    let address = address.trim();
    let Some(named) = address.strip_suffix('>') else { return Some(address) };
    let (name, address) = named.rsplit_once('<')?;
    let (mut quoted, mut escaped) = (false, false);
    for c in name.chars() {
        match c {
            _ if c.is_control() && c != '\t' => return None,
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' | ';' | '<' | '>' if !quoted => return None,
            _ => {}
        }
    }
    (!quoted).then_some(address.trim())
}

/// Whether SES takes this as one address: `user@domain.tld`, the local part in ASCII (SES speaks no SMTPUTF8: "Amazon SES
/// does not support the SMTPUTF8 extension", `Destination` in its API reference), the domain of letters, digits and hyphens
/// (RFC 5321, 4.1.2; SES answers "Domain contains illegal character" to others).
pub fn is_address(address: &str) -> bool {
    let Some((local, domain)) = only(address).and_then(|address| address.rsplit_once('@')) else {
        return false;
    };
    let plain = |c: char| c.is_ascii_graphic() && !"\"(),:;<>@[\\]".contains(c);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let top = domain.rsplit('.').next().unwrap_or_default();
    (1..=64).contains(&local.len())
        && local.chars().all(plain)
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && domain.len() <= 255
        && domain.contains('.')
        && domain.split('.').all(label)
        && !top.chars().all(|c| c.is_ascii_digit())
}

/// What the mailbox simulator would do with this address: `bounce`, `complaint`, `suppressionlist`, `success`, `ooto`.
pub fn simulated(address: &str) -> Option<&'static str> {
    let (local, domain) = bare(address).rsplit_once('@')?;
    if !domain.eq_ignore_ascii_case("simulator.amazonses.com") {
        return None;
    }
    let mailbox = local.split('+').next()?;
    ["bounce", "complaint", "suppressionlist", "success", "ooto"]
        .into_iter()
        .find(|known| mailbox.eq_ignore_ascii_case(known))
}

/// Whether SES takes these as custom headers. The error is what to tell the caller; it holds no header value.
pub fn check_headers(headers: &[Pair]) -> Result<(), String> {
    if headers.len() > MAX_HEADERS {
        return Err(format!(
            "{} headers: a message may have at most {MAX_HEADERS} custom headers.",
            headers.len()
        ));
    }
    for Pair { name, value } in headers {
        let named = (1..=MAX_HEADER_NAME).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if !named {
            return Err(format!(
                "A header's name is 1 to {MAX_HEADER_NAME} printable ASCII characters without space or colon."
            ));
        }
        if RESERVED_HEADERS.iter().any(|reserved| name.eq_ignore_ascii_case(reserved)) {
            return Err(format!("Header {name} is set by SES and can't be a custom header."));
        }
        let valued = (1..=MAX_HEADER_VALUE).contains(&value.len())
            && value.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !valued {
            return Err(format!(
                "The value of header {name} is not 1 to {MAX_HEADER_VALUE} printable ASCII characters."
            ));
        }
    }
    Ok(())
}

/// Whether SES takes these as message tags, and if not, what it says: as recorded of SES in 2024, in the words that it used. Its
/// documentation (`MessageTag` in the API reference of SES v2) says 256 characters, and no `.` and no `@` in a value.
pub fn check_tags(tags: &[Pair]) -> Result<(), String> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    for Pair { name, value } in tags {
        for (part, text) in [("name", name), ("value", value)] {
            if text.is_empty() {
                return Err(format!("The tag {part} must be specified."));
            }
            if text.chars().count() > MAX_TAG {
                return Err(format!("Tag {part} cannot exceed {MAX_TAG} characters."));
            }
        }
        // The prefix is SES's own way to ask for fine-grained feedback.
        if !name.strip_prefix("ses:").unwrap_or(name).chars().all(word) {
            return Err(format!(
                "Invalid tag name <{name}>: only alphanumeric ASCII characters, '_',  '-' are allowed."
            ));
        }
        if !value.chars().all(|c| word(c) || c == '.' || c == '@') {
            return Err(format!(
                "Invalid tag value <{value}>: only alphanumeric ASCII characters, '_',  '-' , '.', '@' are allowed."
            ));
        }
    }
    Ok(())
}

/// Whether SES takes as much template data in the field of this name. The error is what to tell the caller.
pub fn check_data(field: &str, data: Option<&str>) -> Result<(), String> {
    // A character is at least a byte: few are worth counting.
    match data {
        Some(data) if data.len() > MAX_TEMPLATE_DATA && data.chars().count() > MAX_TEMPLATE_DATA => {
            Err(format!("{field} has at most {MAX_TEMPLATE_DATA} characters."))
        }
        _ => Ok(()),
    }
}

/// `over` on top of `base`, by name: a pair of the entry takes the place of the default of that name.
pub fn overlay(base: &[Pair], over: &[Pair], same: fn(&str, &str) -> bool) -> Vec<Pair> {
    let kept = base.iter().filter(|pair| !over.iter().any(|other| same(&pair.name, &other.name)));
    kept.chain(over).cloned().collect()
}
