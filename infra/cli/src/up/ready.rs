//! The addresses of the parts, and the file that tells them to other programs.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Where the parts are. This is the content of the ready file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Addresses {
    /// The HTTP API, the Invoke API and the page: `http://127.0.0.1:3000`.
    pub(crate) api: String,
    /// Kafka's bootstrap servers, `host:port[,host:port]`.
    pub(crate) kafka: String,
    /// DynamoDB's endpoint.
    pub(crate) dynamodb: String,
    /// The endpoint of SES v2.
    pub(crate) ses: String,
    /// The captured emails as JSON; `None` where email goes to another SES.
    pub(crate) inbox: Option<String>,
    /// The table's name.
    pub(crate) table: String,
    /// The AWS region that clients should name.
    pub(crate) region: String,
    /// The `PERSON_KEY` of the table, with which the operator's commands find a person. For this file's owner only.
    pub(crate) person_key: String,
    /// The From address of emails.
    pub(crate) sender: String,
}

impl Addresses {
    /// Reads a ready file.
    ///
    /// # Errors
    /// When it cannot be read, or is no ready file.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is not a ready file", file.display()))
    }

    /// Writes the ready file, in one step: a reader never sees a part of it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(crate) fn write(&self, file: &Path) -> io::Result<()> {
        let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let mut unfinished = name.to_owned();
        unfinished.push(format!(".{}", std::process::id()));
        let unfinished = file.with_file_name(unfinished);
        let written = serde_json::to_vec_pretty(self)
            .map_err(io::Error::from)
            .and_then(|json| write_private(&unfinished, &json))
            .and_then(|()| fs::rename(&unfinished, file));
        if written.is_err() {
            // Nothing to remove if it could not be made.
            let _ = fs::remove_file(&unfinished);
        }
        written
    }

    /// Removes the ready file if it is still this system's: one that was started meanwhile may have put its own in its
    /// place, and its reader may have removed it.
    pub(crate) fn remove(&self, file: &Path) {
        if Self::read(file).is_ok_and(|there| there == *self) {
            let _ = fs::remove_file(file);
        }
    }
}

/// Writes a file that its owner alone can read.
pub(super) fn write_private(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut output = options.open(file)?;
    output.write_all(bytes)?;
    output.sync_all()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn addresses(kafka: u16) -> Addresses {
        Addresses {
            api: "http://127.0.0.1:3000".to_owned(),
            kafka: format!("127.0.0.1:{kafka}"),
            dynamodb: "http://127.0.0.1:2".to_owned(),
            ses: "http://127.0.0.1:3".to_owned(),
            inbox: Some("http://127.0.0.1:3000/_aws/ses".to_owned()),
            table: "notify-me".to_owned(),
            region: "us-east-1".to_owned(),
            person_key: "k".to_owned(),
            sender: "shop@example.com".to_owned(),
        }
    }

    #[test]
    fn the_ready_file_replaces_an_older_one_and_leaves_nothing_beside_it() {
        let addresses = addresses(1);
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ready.json");
        fs::write(&file, "old").unwrap();
        addresses.write(&file).unwrap();
        assert_eq!(Addresses::read(&file).unwrap(), addresses);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(addresses.write(&directory.path().join("missing/ready.json")).is_err());
    }

    #[test]
    fn a_system_removes_its_own_ready_file_only() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ready.json");
        let (first, second) = (addresses(1), addresses(2));
        first.write(&file).unwrap();
        second.write(&file).unwrap();
        first.remove(&file);
        assert_eq!(Addresses::read(&file).unwrap(), second, "the next one's stays");
        second.remove(&file);
        assert!(!file.exists());
        second.remove(&file);
        fs::write(&file, "another system's").unwrap();
        second.remove(&file);
        assert!(file.exists());
    }
}
