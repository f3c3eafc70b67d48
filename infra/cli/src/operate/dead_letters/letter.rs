//! A dead letter: a record with headers that say why it is here and from where.

use jiff::Timestamp;
use rdkafka::message::{Headers as _, Message as _, OwnedHeaders};

use crate::operate::preview::preview;
use crate::operate::show;

/// The header on a record that was written back: where the dead letter lies, `TOPIC-PARTITION@OFFSET`.
pub(super) const REPLAYED_FROM: &str = "notify-me-replayed-from";
/// The header on a dead letter whose value was too large for the topic: the value's size.
pub(super) const VALUE_BYTES: &str = "notify-me-value-bytes";
/// The header on a dead letter of `notify`: what is wrong with it.
const REASON: &str = "notify-me-reason";
/// How the headers begin that `notify` adds.
const OURS: &str = "notify-me-";
/// The headers that `notify-me poll` adds to a record that was given up.
const OF_POLL: [&str; 9] = [
    "failure.reason",
    "failure.topic",
    "failure.partition",
    "failure.offset",
    "failure.timestamp",
    "failure.attempts",
    "failure.function",
    "failure.group",
    "failure.error",
];
/// How many characters of an untrusted text are shown.
const SHOWN: usize = 200;

/// A dead letter.
pub(super) struct Letter {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) written_ms: Option<i64>,
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
    /// The topic that it goes back to, where that is known of this one.
    pub(super) own_topic: Option<String>,
    /// Why it is of no use, where it is not even a record.
    pub(super) fault: Option<String>,
}

impl Letter {
    pub(super) fn of(record: &rdkafka::message::BorrowedMessage<'_>) -> Self {
        let headers = record.headers().into_iter().flat_map(|headers| headers.iter());
        Self {
            topic: record.topic().to_owned(),
            partition: record.partition(),
            offset: record.offset(),
            written_ms: record.timestamp().to_millis(),
            key: record.key().map(<[u8]>::to_vec),
            value: record.payload().map(<[u8]>::to_vec),
            headers: headers
                .map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
                .collect(),
            own_topic: None,
            fault: None,
        }
    }

    /// Where it lies.
    pub(super) fn place(&self) -> String {
        format!("{}-{}@{}", self.topic, self.partition, self.offset)
    }

    pub(super) fn written_at(&self) -> Option<Timestamp> {
        self.written_ms.and_then(|ms| u64::try_from(ms).ok()).map(show::at)
    }

    /// A header's text, safe to print. The last of several is the latest.
    fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().rev().find(|(key, _)| key == name)?;
        Some(preview(found.1.as_deref()?, SHOWN))
    }

    /// Why it is here.
    pub(super) fn reason(&self) -> Option<String> {
        self.header(REASON).or_else(|| {
            let reason = self.header("failure.reason")?;
            Some(match self.header("failure.error") {
                Some(error) => format!("{reason}: {error}"),
                None => reason,
            })
        })
    }

    /// A header that holds a place, which would look like an address: shown as it is where it is one.
    fn place_in(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers.iter().rev().find(|(key, _)| key == name)?;
        let place = std::str::from_utf8(value.as_deref()?).ok().filter(|text| is_place(text));
        place.map(str::to_owned).or_else(|| self.header(name))
    }

    /// Where it was.
    pub(super) fn source(&self) -> Option<String> {
        self.place_in("notify-me-source").or_else(|| {
            let part = |name| self.header(name);
            Some(format!(
                "{}-{}@{}",
                part("failure.topic")?,
                part("failure.partition")?,
                part("failure.offset")?
            ))
        })
    }

    /// How large the value is, in bytes; `None` for a tombstone.
    pub(super) fn value_bytes(&self) -> Option<u64> {
        if let Some(value) = &self.value {
            return u64::try_from(value.len()).ok();
        }
        self.header(VALUE_BYTES)?.parse().ok()
    }

    /// Whether the value was too large to be kept, and lies at the source only.
    pub(super) fn is_stand_in(&self) -> bool {
        self.value.is_none() && self.header(VALUE_BYTES).is_some()
    }

    /// Whether `notify` wrote it.
    pub(super) fn is_of_notify(&self) -> bool {
        self.headers.iter().any(|(name, _)| name == REASON)
    }

    /// Why it cannot be written back, where it cannot.
    pub(super) fn why_not(&self) -> Option<String> {
        if self.is_stand_in() {
            let source = self.source().unwrap_or_else(|| "its source".to_owned());
            return Some(format!("its value was too large to be kept, and is at {source} only"));
        }
        self.fault.clone()
    }

    pub(super) fn replayed_from(&self) -> Option<String> {
        self.place_in(REPLAYED_FROM)
    }

    /// The headers that it came with, and where it was written back from.
    pub(super) fn original_headers(&self) -> OwnedHeaders {
        let ours = |name: &str| name.starts_with(OURS) || OF_POLL.contains(&name);
        let place = self.place();
        let headers = self
            .headers
            .iter()
            .filter(|(name, _)| !ours(name))
            .fold(OwnedHeaders::new(), |headers, (key, value)| {
                headers.insert(rdkafka::message::Header { key, value: value.as_deref() })
            });
        headers.insert(rdkafka::message::Header { key: REPLAYED_FROM, value: Some(&place) })
    }
}

/// Whether a text is `TOPIC-PARTITION@OFFSET`, which no email address is: a domain is more than digits.
fn is_place(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let name = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    let parts = text.rsplit_once('@').and_then(|(before, offset)| Some((before.rsplit_once('-')?, offset)));
    parts.is_some_and(|((topic, partition), offset)| name(topic) && digits(partition) && digits(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(headers: &[(&str, &str)]) -> Letter {
        let headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), Some(value.as_bytes().to_vec())));
        Letter {
            topic: "t-dlq".to_owned(),
            partition: 2,
            offset: 7,
            written_ms: Some(0),
            key: None,
            value: None,
            headers: headers.collect(),
            own_topic: None,
            fault: None,
        }
    }

    #[test]
    fn a_letter_of_notify_and_one_of_the_poller_say_why_and_from_where() {
        let ours = letter(&[("notify-me-reason", "body: is empty"), ("notify-me-source", "t-1@5")]);
        assert_eq!(
            (ours.reason().as_deref(), ours.source().as_deref()),
            (Some("body: is empty"), Some("t-1@5"))
        );
        let poller = letter(&[
            ("failure.reason", "RetryAttemptsExhausted"),
            ("failure.error", "Unhandled"),
            ("failure.topic", "t"),
            ("failure.partition", "1"),
            ("failure.offset", "5"),
        ]);
        assert_eq!(poller.reason().as_deref(), Some("RetryAttemptsExhausted: Unhandled"));
        assert_eq!(poller.source().as_deref(), Some("t-1@5"));
        assert_eq!((letter(&[]).reason(), letter(&[]).source()), (None, None));
    }

    #[test]
    fn a_header_that_should_hold_a_place_and_holds_an_address_is_masked() {
        for address in ["jo@example.com", "jo-1@example.com", "jo-1@1.com", "a b-1@2"] {
            let source = letter(&[("notify-me-source", address)]).source().unwrap_or_default();
            assert!(!source.contains('@'), "{source}");
        }
    }

    #[test]
    fn what_comes_back_has_its_own_headers_and_where_it_lay() {
        let letter = letter(&[
            ("trace", "a"),
            ("notify-me-reason", "x"),
            ("failure.reason", "y"),
            ("failure.mine", "b"),
            ("trace", "c"),
            (REPLAYED_FROM, "t-dlq-2@1"),
        ]);
        let headers = letter.original_headers();
        let read: Vec<_> = headers
            .iter()
            .map(|header| {
                (header.key, String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned())
            })
            .collect();
        let expected = [("trace", "a"), ("failure.mine", "b"), ("trace", "c"), (REPLAYED_FROM, "t-dlq-2@7")];
        assert_eq!(read, expected.map(|(name, value)| (name, value.to_owned())));
    }

    #[test]
    fn a_tombstone_and_a_value_that_was_too_large_are_told_apart() {
        assert!(!letter(&[]).is_stand_in());
        let stand_in = letter(&[(VALUE_BYTES, "1500000")]);
        assert!(stand_in.is_stand_in());
        assert_eq!(stand_in.value_bytes(), Some(1_500_000));
    }
}
