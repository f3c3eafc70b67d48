//! The lists that can be imported: one address per line; SES's CSV and JSON lines, which it takes itself in bulk
//! (`recipient@example.com,BOUNCE` and `{"emailAddress": "recipient@example.com", "reason": "BOUNCE"}`: "Adding addresses in bulk",
//! account-level suppression list, SES developer guide); and the document that `aws sesv2 list-suppressed-destinations` prints.

use domain::Address;
use domain::suppression::Reason;
use jiff::Timestamp;
use serde::Deserialize;

/// An address that is to get no email.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) address: Address,
    /// Why, where the list says so.
    pub(super) reason: Option<Reason>,
    /// Since when, where the list says so.
    pub(super) since: Option<Timestamp>,
}

/// A list that was read.
#[derive(Default)]
pub(super) struct List {
    pub(super) found: Vec<Listed>,
    /// The lines, or the entries of a document, that cannot be read, from 1. What is in them may be an address.
    pub(super) unreadable: Vec<usize>,
}

/// An entry, as SES's documents spell it in one way or another.
#[derive(Deserialize)]
struct Entry {
    #[serde(alias = "EmailAddress", alias = "email", rename = "emailAddress")]
    address: String,
    #[serde(default, alias = "Reason")]
    reason: Option<String>,
    #[serde(default, alias = "LastUpdateTime", rename = "lastUpdateTime")]
    since: Option<Time>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Time {
    Seconds(f64),
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Document {
    Answer {
        #[serde(rename = "SuppressedDestinationSummaries")]
        entries: Vec<serde_json::Value>,
    },
    List(Vec<serde_json::Value>),
}

impl List {
    /// Reads a list in whichever form.
    pub(super) fn read(text: &str) -> Self {
        let mut list = Self::default();
        if let Ok(Document::Answer { entries } | Document::List(entries)) = serde_json::from_str(text) {
            for (entry, number) in entries.into_iter().zip(1..) {
                let entry = serde_json::from_value(entry).ok();
                list.add(number, entry.and_then(|entry: Entry| entry.listed()));
            }
            return list;
        }
        for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') || number == 1 && is_header(line) {
                continue;
            }
            list.add(number, of_line(line));
        }
        list
    }

    fn add(&mut self, number: usize, listed: Option<Listed>) {
        match listed {
            Some(listed) => self.found.push(listed),
            None => self.unreadable.push(number),
        }
    }
}

fn of_line(line: &str) -> Option<Listed> {
    if line.starts_with('{') {
        return serde_json::from_str::<Entry>(line).ok()?.listed();
    }
    let mut fields = line.split(',').map(|field| field.trim().trim_matches('"'));
    let address = fields.next()?.to_owned();
    let mut rest = fields.filter(|field| !field.is_empty());
    let reason = rest.next().map(str::to_owned);
    Entry { address, reason, since: rest.next().map(|text| Time::Text(text.to_owned())) }.listed()
}

/// Whether the first line of a CSV names its columns.
fn is_header(line: &str) -> bool {
    !line.contains('@') && line.to_ascii_lowercase().contains("email")
}

impl Entry {
    fn listed(self) -> Option<Listed> {
        // A reason that is not known is not guessed.
        let reason = self.reason.as_deref().map(reason);
        if matches!(reason, Some(None)) {
            return None;
        }
        let address = Address::parse(&self.address).ok()?;
        Some(Listed { address, reason: reason.flatten(), since: self.since.and_then(Time::read) })
    }
}

/// A reason as SES or this system has it.
pub(super) fn reason(text: &str) -> Option<Reason> {
    match text.trim() {
        "BOUNCE" => Some(Reason::Bounce),
        "COMPLAINT" => Some(Reason::Complaint),
        other => other.parse().ok(),
    }
}

impl Time {
    fn read(self) -> Option<Timestamp> {
        match self {
            #[expect(clippy::cast_possible_truncation, reason = "a time out of range is none")]
            Self::Seconds(seconds) => Timestamp::from_second(seconds as i64).ok(),
            Self::Text(text) => text.parse().ok(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn read(text: &str) -> (Vec<String>, Vec<usize>) {
        let List { found, unreadable } = List::read(text);
        let one = |listed: Listed| {
            let reason = listed.reason.map_or("-", Reason::word);
            let since = listed.since.map_or_else(|| "-".to_owned(), |since| since.to_string());
            format!("{} {reason} {since}", listed.address.reveal())
        };
        (found.into_iter().map(one).collect(), unreadable)
    }

    #[test]
    fn every_form_is_read() {
        let both = ["a@x.example bounce -", "b@x.example complaint -"].map(str::to_owned).to_vec();
        for (text, found) in [
            ("", vec![]),
            ("a@x.example", vec!["a@x.example - -".to_owned()]),
            ("\u{feff}# old list\r\na@x.example\r\n\r\n", vec!["a@x.example - -".to_owned()]),
            ("a@x.example,BOUNCE\nb@x.example, COMPLAINT\n", both.clone()),
            ("Email address,Reason\n\"a@x.example\",\"BOUNCE\"\nb@x.example,complaint", both.clone()),
            (
                "{\"emailAddress\": \"a@x.example\", \"reason\": \"BOUNCE\"}\n{\"emailAddress\":\"b@x.example\",\"reason\":\"COMPLAINT\"}",
                both.clone(),
            ),
            (
                r#"{"SuppressedDestinationSummaries":[
                    {"EmailAddress":"a@x.example","Reason":"BOUNCE","LastUpdateTime":"2020-04-10T21:03:05.6+00:00"},
                    {"EmailAddress":"b@x.example","Reason":"COMPLAINT","LastUpdateTime":10.5}]}"#,
                vec![
                    "a@x.example bounce 2020-04-10T21:03:05.6Z".to_owned(),
                    "b@x.example complaint 1970-01-01T00:00:10Z".to_owned(),
                ],
            ),
            (
                "a@x.example,manual,2026-11-23T09:30:00Z",
                vec!["a@x.example manual 2026-11-23T09:30:00Z".to_owned()],
            ),
        ] {
            assert_eq!(read(text), (found, vec![]), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_told_by_its_line_alone() {
        let (found, lines) =
            read("a@x.example\nnot an address\nb@x.example,NO_REASON\n{\"reason\":\"BOUNCE\"}\n");
        assert_eq!((found.len(), lines), (1, vec![2, 3, 4]));
        assert_eq!(read("[{\"emailAddress\":\"a@x.example\"},{}]").1, [2]);
        assert!(reason("BOUNCE").unwrap() == Reason::Bounce && reason("Bounce").is_none());
    }
}
