//! Keeps every captured email, in memory and, where a file is named, on disk.
//!
//! Nothing is ever dropped to make room. What the emails of a call have in common (sender, template, default
//! data) is kept once, and an email is what is its recipient's own, as compact JSON; it is rendered when it is read.
//! So a back-in-stock email takes under 1 KiB, and a million of them under 1 GiB.
//!
//! The file is JSON lines: `{"call": …}` once for each shared part, then `{"mail": …}` and `{"deleted": …}`.
//! A call's lines are written in one go before its answer. What a kill tore off at the end had not been
//! answered, so it is cut away at the next start, and said. Knows nothing of HTTP.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

use super::became::Became;
use super::wire::{Entry, Pair, TemplateContent};

/// How the first line of an inbox file starts.
const FIRST: &[u8] = b"{\"call\":";

/// What all emails of a call share.
#[derive(Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct Call {
    pub region: String,
    pub source: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reply_to: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_set: Option<String>,
    pub content: Content,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<Pair>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<Pair>,
}

#[derive(Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Content {
    /// To be rendered with `data` (JSON) and the recipient's own on top.
    Template { template: TemplateContent, data: Option<String> },
    /// Sent as it is.
    Simple { subject: String, text: Option<String>, html: Option<String> },
    /// A MIME message, base64.
    Raw { data: String },
}

/// One captured email.
pub(super) struct Mail {
    /// Ascending in the order of capture.
    pub id: Ulid,
    /// Milliseconds since the epoch.
    pub at: i64,
    pub call: Arc<Call>,
    /// An [`Entry`] as JSON.
    entry: Box<str>,
    /// Why SES could not have rendered it: accepted by the API, and never delivered.
    pub failure: Option<Box<str>>,
    /// What became of it, as far as anything is told of it.
    pub became: Option<Became>,
}

impl Mail {
    pub(super) fn entry(&self) -> Entry {
        #[expect(clippy::expect_used, reason = "this file wrote it from an entry")]
        serde_json::from_str(&self.entry).expect("an entry that was written reads back")
    }

    /// Whether the entry can have this address at all: a cheap look before reading it.
    pub(super) fn may_mention(&self, address: &str) -> bool {
        let (hay, needle) = (self.entry.as_bytes(), address.as_bytes());
        !address.is_ascii()
            || address.contains(['"', '\\'])
            || hay.windows(needle.len()).any(|window| window.eq_ignore_ascii_case(needle))
    }

    /// Bytes this email takes beside what it shares.
    #[cfg(test)]
    pub(super) fn size(&self) -> usize {
        size_of::<Self>() + 2 * size_of::<usize>() + size_of::<Arc<Self>>() + self.entry.len()
    }
}

/// An email to be captured.
pub(super) struct New {
    pub entry: Entry,
    pub failure: Option<String>,
    pub became: Option<Became>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum InboxError {
    #[error("the inbox file {0} can't be opened")]
    Open(PathBuf, #[source] io::Error),
    #[error("the inbox file {0} can't be read")]
    Read(PathBuf, #[source] io::Error),
    /// A kill can tear the last line, and only that: someone else wrote there.
    #[error("line {line} of the inbox file {path} is not one of an inbox")]
    Damaged { path: PathBuf, line: usize },
}

pub(super) struct Inbox {
    mails: Vec<Arc<Mail>>,
    calls: HashMap<Arc<Call>, u64>,
    next_call: u64,
    last: Ulid,
    file: Option<File>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line<'a> {
    #[serde(skip_deserializing)]
    Call {
        n: u64,
        shared: &'a Call,
    },
    #[serde(rename = "call", skip_serializing)]
    ReadCall {
        n: u64,
        shared: Call,
    },
    Mail {
        id: String,
        at: i64,
        call: u64,
        entry: Entry,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        became: Option<Became>,
    },
    Deleted {
        id: String,
    },
}

impl Inbox {
    pub(super) fn in_memory() -> Self {
        Self { mails: Vec::new(), calls: HashMap::new(), next_call: 1, last: Ulid::nil(), file: None }
    }

    /// Opens the file, making it if there is none, and reads what is in it.
    ///
    /// # Errors
    /// Where it can't be opened or read, or holds something else than an inbox.
    pub(super) fn open(path: &Path) -> Result<Self, InboxError> {
        let opened = |error| InboxError::Open(path.into(), error);
        let read = |error| InboxError::Read(path.into(), error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(opened)?;
        let mut inbox = Self::in_memory();
        let mut by_number = HashMap::new();
        let mut reader = BufReader::new(&file);
        let (mut good, mut line) = (0_u64, Vec::new());
        for number in 1.. {
            line.clear();
            let bytes = reader.read_until(b'\n', &mut line).map_err(read)? as u64;
            if bytes == 0 {
                break;
            }
            if !line.ends_with(b"\n") {
                // Only a torn line of an inbox: the start of someone else's file is not cut away.
                if good == 0 && !line.starts_with(FIRST) && !FIRST.starts_with(&line) {
                    return Err(InboxError::Damaged { path: path.into(), line: number });
                }
                tracing::warn!(
                    file = %path.display(), line = number, bytes,
                    "the last line of the inbox file was torn by a kill; it had not been answered, and is cut away"
                );
                break;
            }
            serde_json::from_slice(&line)
                .ok()
                .and_then(|line| inbox.replay(line, &mut by_number))
                .ok_or_else(|| InboxError::Damaged { path: path.into(), line: number })?;
            good += bytes;
        }
        file.set_len(good).map_err(read)?;
        file.seek(SeekFrom::End(0)).map_err(read)?;
        inbox.file = Some(file);
        Ok(inbox)
    }

    fn replay(&mut self, line: Line<'_>, calls: &mut HashMap<u64, Arc<Call>>) -> Option<()> {
        match line {
            Line::Call { .. } => return None,
            Line::ReadCall { n, shared } => {
                let shared = Arc::new(shared);
                self.calls.insert(Arc::clone(&shared), n);
                self.next_call = self.next_call.max(n + 1);
                calls.insert(n, shared);
            }
            Line::Mail { id, at, call, entry, failure, became } => {
                let id = Ulid::from_string(&id).ok()?;
                let call = Arc::clone(calls.get(&call)?);
                let entry = serde_json::to_string(&entry).ok()?.into_boxed_str();
                self.last = self.last.max(id);
                let failure = failure.map(Into::into);
                self.mails.push(Arc::new(Mail { id, at, call, entry, failure, became }));
            }
            Line::Deleted { id } => {
                let at = self.position(Ulid::from_string(&id).ok()?)?;
                self.mails.remove(at);
            }
        }
        Some(())
    }

    /// Keeps these emails, on disk first. All of them or, on an error, none.
    ///
    /// # Errors
    /// Where the file can't be written.
    pub(super) fn append(&mut self, call: Call, new: Vec<New>, at: i64) -> io::Result<Vec<Arc<Mail>>> {
        let mut lines = Vec::new();
        let known = self.calls.get_key_value(&call).map(|(call, n)| (Arc::clone(call), *n));
        let fresh = known.is_none();
        let (call, n) = known.unwrap_or_else(|| (Arc::new(call), self.next_call));
        if fresh {
            push_line(&mut lines, &Line::Call { n, shared: &call })?;
        }
        let mut mails = Vec::with_capacity(new.len());
        let mut last = self.last;
        for New { entry, failure, became } in new {
            last = after(last, Ulid::generate());
            let json = serde_json::to_string(&entry)?.into_boxed_str();
            if self.file.is_some() {
                push_line(
                    &mut lines,
                    &Line::Mail {
                        id: last.to_string(),
                        at,
                        call: n,
                        entry,
                        failure: failure.clone(),
                        became,
                    },
                )?;
            }
            let failure = failure.map(Into::into);
            mails.push(Arc::new(Mail {
                id: last,
                at,
                call: Arc::clone(&call),
                entry: json,
                failure,
                became,
            }));
        }
        self.write(&lines)?;
        if fresh {
            self.calls.insert(call, n);
            self.next_call += 1;
        }
        self.last = last;
        self.mails.extend(mails.iter().cloned());
        Ok(mails)
    }

    /// Everything after the email of this id, oldest first; everything when `None`.
    pub(super) fn after(&self, id: Option<Ulid>) -> &[Arc<Mail>] {
        let from = id.map_or(0, |id| self.mails.partition_point(|mail| mail.id <= id));
        &self.mails[from..]
    }

    pub(super) fn get(&self, id: Ulid) -> Option<&Arc<Mail>> {
        self.position(id).map(|at| &self.mails[at])
    }

    /// # Errors
    /// Where the file can't be written; the email then stays.
    pub(super) fn delete(&mut self, id: Ulid) -> io::Result<bool> {
        let Some(at) = self.position(id) else {
            return Ok(false);
        };
        let mut line = Vec::new();
        push_line(&mut line, &Line::Deleted { id: id.to_string() })?;
        self.write(&line)?;
        self.mails.remove(at);
        Ok(true)
    }

    /// # Errors
    /// Where the file can't be emptied; the emails then stay.
    pub(super) fn clear(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.set_len(0)?;
            file.rewind()?;
        }
        self.mails = Vec::new();
        self.calls.clear();
        Ok(())
    }

    fn position(&self, id: Ulid) -> Option<usize> {
        self.mails.binary_search_by_key(&id, |mail| mail.id).ok()
    }

    /// Writes all of it or, as far as the disk lets it, nothing.
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let before = file.stream_position()?;
        let written = file.write_all(lines);
        if written.is_err() {
            file.set_len(before)?;
            file.seek(SeekFrom::Start(before))?;
        }
        written
    }
}

/// The next id: this one, unless the clock stood still or went back.
fn after(last: Ulid, fresh: Ulid) -> Ulid {
    if fresh > last { fresh } else { Ulid(u128::from(last).saturating_add(1)) }
}

fn push_line(lines: &mut Vec<u8>, line: &Line<'_>) -> io::Result<()> {
    serde_json::to_writer(&mut *lines, line)?;
    lines.push(b'\n');
    Ok(())
}
