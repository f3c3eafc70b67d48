//! One Kafka record as the poller holds it, and the JSON that Lambda gives a function for it.
//! Knows nothing of Kafka clients, batches or retries.

use std::io;
use std::sync::Arc;

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer};

/// What is kept in memory for a record besides its bytes.
const BOOKKEEPING: usize = 128;

/// The origin of a record's timestamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimestampType {
    CreateTime,
    LogAppendTime,
    /// Written by a client from before timestamps; the number is then -1.
    None,
}

impl TimestampType {
    fn name(self) -> &'static str {
        match self {
            Self::CreateTime => "CREATE_TIME",
            Self::LogAppendTime => "LOG_APPEND_TIME",
            Self::None => "NO_TIMESTAMP_TYPE",
        }
    }
}

/// One record, owned. Keys, values and headers are bytes: the poller never reads them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) topic: Arc<str>,
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// Milliseconds since the epoch; -1 where there is none.
    pub(super) timestamp: i64,
    pub(super) timestamp_type: TimestampType,
    pub(super) key: Option<Vec<u8>>,
    /// `None` is a tombstone, which is not the same as an empty value.
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Record {
    /// Bytes of memory this record stands for, to bound how much is read ahead.
    pub(super) fn weight(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.as_ref().map_or(0, Vec::len) + 48)
            .sum();
        BOOKKEEPING
            + self.key.as_ref().map_or(0, Vec::len)
            + self.value.as_ref().map_or(0, Vec::len)
            + headers
    }

    /// Length of this record's JSON in an event, without the comma that parts it from the next.
    pub(super) fn encoded_len(&self) -> usize {
        let mut count = Count(0);
        match serde_json::to_writer(&mut count, self) {
            Ok(()) => count.0,
            // Counting does not fail; if it ever did, the record must not look small.
            Err(_) => usize::MAX,
        }
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = 6 + usize::from(self.key.is_some()) + usize::from(self.value.is_some());
        let mut record = serializer.serialize_struct("Record", fields)?;
        record.serialize_field("topic", &*self.topic)?;
        record.serialize_field("partition", &self.partition)?;
        record.serialize_field("offset", &self.offset)?;
        record.serialize_field("timestamp", &self.timestamp)?;
        record.serialize_field("timestampType", self.timestamp_type.name())?;
        // Lambda leaves out the key of a record without one, and the value of a tombstone.
        if let Some(key) = &self.key {
            record.serialize_field("key", &Base64(key))?;
        }
        if let Some(value) = &self.value {
            record.serialize_field("value", &Base64(value))?;
        }
        record.serialize_field("headers", &Headers(&self.headers))?;
        record.end()
    }
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

/// A list of one-entry maps, because a header name may come more than once and in order.
struct Headers<'a>(&'a [(String, Option<Vec<u8>>)]);

impl Serialize for Headers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(Some(self.0.len()))?;
        for (name, value) in self.0 {
            // A header without a value has no documented form; an empty list is one that every
            // typed reader of these events takes.
            list.serialize_element(&Header(name, value.as_deref().unwrap_or_default()))?;
        }
        list.end()
    }
}

struct Header<'a>(&'a str, &'a [u8]);

impl Serialize for Header<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry(self.0, &SignedBytes(self.1))?;
        map.end()
    }
}

/// Header bytes are signed in these events, as Java has them: 0xFF is -1.
struct SignedBytes<'a>(&'a [u8]);

impl Serialize for SignedBytes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|byte| byte.cast_signed()))
    }
}

struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
