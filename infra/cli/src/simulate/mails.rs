//! Reads the inbox as it fills, in the form that LocalStack gives it.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use reqwest::{Client, Response};
use serde::Deserialize;

use crate::loopback::client_for;

/// Emails asked for at a time.
const PAGE: &str = "1000";

/// An email, as far as it matters here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) to: String,
    pub(crate) restock: String,
    pub(crate) text: String,
    pub(crate) at_us: i64,
}

/// An inbox and how far it has been read.
pub(crate) struct Inbox {
    url: String,
    http: Client,
    last: Option<String>,
    seen: HashSet<String>,
}

#[derive(Deserialize)]
struct List {
    messages: Vec<Message>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Message {
    id: String,
    timestamp: Timestamp,
    destination: Destination,
    body: Option<Body>,
    #[serde(default)]
    tags: Vec<Tag>,
}

#[derive(Deserialize)]
struct Destination {
    #[serde(rename = "ToAddresses", default)]
    to: Vec<String>,
}

#[derive(Deserialize)]
struct Body {
    text_part: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Tag {
    name: String,
    value: String,
}

impl Inbox {
    /// An inbox at `url`; what is in it already is passed over.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn open(url: String) -> anyhow::Result<Self> {
        let http = client_for(&url).timeout(Duration::from_secs(60)).build()?;
        let mut inbox = Self { url, http, last: None, seen: HashSet::new() };
        let newest = inbox.page(&[("last", "1")]).await?;
        inbox.last = newest.last().map(|message| message.id.clone());
        inbox.seen.extend(newest.into_iter().map(|message| message.id));
        Ok(inbox)
    }

    /// What came since the last look, oldest first, and perhaps not all of it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Vec<Received>> {
        let limit = ("limit", PAGE);
        let messages = match &self.last {
            Some(last) => self.page(&[limit, ("after", last)]).await?,
            None => self.page(&[limit]).await?,
        };
        if let Some(last) = messages.last() {
            self.last = Some(last.id.clone());
        }
        // An inbox that does not know `after` gives everything every time.
        let new = messages.into_iter().filter(|message| self.seen.insert(message.id.clone()));
        Ok(new.filter_map(received).collect())
    }

    async fn page(&self, query: &[(&str, &str)]) -> anyhow::Result<Vec<Message>> {
        let answer = self.http.get(&self.url).query(query).send().await.and_then(Response::error_for_status);
        let list: List = answer.context("the inbox does not answer")?.json().await.context("not an inbox")?;
        Ok(list.messages)
    }
}

/// An email that was for one recipient; of those that were not, none is ours.
fn received(message: Message) -> Option<Received> {
    let [to] = <[String; 1]>::try_from(message.destination.to).ok()?;
    let restock = message.tags.into_iter().find(|tag| tag.name == "restock");
    Some(Received {
        to,
        restock: restock.map(|tag| tag.value).unwrap_or_default(),
        text: message.body.and_then(|body| body.text_part).unwrap_or_default(),
        at_us: message.timestamp.as_microsecond(),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_mail_is_read_with_its_restock_and_its_milliseconds() {
        let message = serde_json::json!({
            "Id": "1", "Region": "r", "Timestamp": "2026-11-23T09:30:00.123Z", "Source": "s", "Subject": "x",
            "Destination": {"ToAddresses": ["a@example.com"]},
            "Body": {"text_part": "See https://shop.example/p/1\n", "html_part": null},
            "Tags": [{"Name": "shard", "Value": "m0-3"}, {"Name": "restock", "Value": "r-1"}],
        });
        let mail = received(serde_json::from_value(message).unwrap()).unwrap();
        assert_eq!((mail.to.as_str(), mail.restock.as_str()), ("a@example.com", "r-1"));
        assert_eq!(mail.at_us % 1_000_000, 123_000);
    }
}
