//! What is kept over restarts, and where: one directory, used by one system at a time.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::ready::write_private;

/// A data directory that belongs to this process until it is dropped.
pub(super) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Makes the directory, if it is missing, and takes it.
    ///
    /// # Errors
    /// When it cannot be made, or another process uses it.
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(path)
            .with_context(|| format!("cannot make the data directory {}", path.display()))?;
        let file = path.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&file)
            .with_context(|| format!("cannot open {}", file.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "the data directory {} is in use by another notify-me; stop that one, or choose another directory with --data",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", file.display()))
            }
        }
    }

    /// The table, an SQLite file.
    pub(super) fn table(&self) -> PathBuf {
        self.path.join("table.sqlite")
    }

    /// The captured emails.
    pub(super) fn inbox(&self) -> PathBuf {
        self.path.join("inbox.jsonl")
    }

    /// The key that signs unsubscribe links: kept, so that links in old emails go on working.
    ///
    /// # Errors
    /// When it can be neither read nor written.
    pub(super) fn unsubscribe_key(&self) -> anyhow::Result<String> {
        self.key("unsubscribe.key")
    }

    /// The key that turns addresses into the hashes in the table: kept with the table.
    ///
    /// # Errors
    /// When it can be neither read nor written.
    pub(super) fn person_key(&self) -> anyhow::Result<String> {
        self.key("person.key")
    }

    fn key(&self, name: &str) -> anyhow::Result<String> {
        let file = self.path.join(name);
        match fs::read_to_string(&file) {
            Ok(key) if !key.trim().is_empty() => Ok(key.trim().to_owned()),
            Ok(_) => bail!("{} is empty; remove it to have a new key made", file.display()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = new_key();
                write_secret(&file, &key).with_context(|| format!("cannot write {}", file.display()))?;
                Ok(key)
            }
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }
}

/// A random key of 256 bits, in hexadecimal.
pub(super) fn new_key() -> String {
    rand::random::<[u8; 32]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn write_secret(file: &Path, key: &str) -> io::Result<()> {
    // By way of another name: a key cut short by a crash would be taken for a whole one.
    let unfinished = file.with_extension("new");
    write_private(&unfinished, key.as_bytes())?;
    fs::rename(&unfinished, file)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_directory_in_use_is_refused_and_free_again_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new");
        let first = DataDir::open(&path).unwrap();
        let refused = DataDir::open(&path).err().unwrap().to_string();
        assert!(refused.contains("in use") && refused.contains("new"), "{refused}");
        drop(first);
        assert!(DataDir::open(&path).is_ok());
    }

    #[test]
    fn the_key_stays_the_same_over_restarts_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let open = || DataDir::open(directory.path()).unwrap().unsubscribe_key().unwrap();
        let key = open();
        assert_eq!((key.len(), &open()), (64, &key));
        assert_ne!(key, new_key());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let file = fs::metadata(directory.path().join("unsubscribe.key")).unwrap();
            assert_eq!(file.permissions().mode() & 0o777, 0o600);
        }
    }
}
