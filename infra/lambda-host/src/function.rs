//! A function as the host runs it, and the names of those that the HTTP API leads to.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// Takes subscriptions and answers everything else that comes in over HTTP.
pub const SUBSCRIBE: &str = "subscribe";
/// Takes stock updates.
pub const RESTOCK: &str = "restock";
/// Plans and delivers.
pub const NOTIFY: &str = "notify";
/// Reads what SES reports of emails.
pub const FEEDBACK: &str = "feedback";

/// One function as the host runs it.
#[derive(Debug, Clone)]
pub struct Function {
    /// Its name in the Invoke API and in the logs.
    pub name: &'static str,
    /// The program to start for each process, and its arguments.
    pub program: PathBuf,
    /// See `program`.
    pub arguments: Vec<OsString>,
    /// An invocation that takes longer is killed.
    pub timeout: Duration,
    /// How many processes may run at the same time.
    pub concurrency: usize,
    /// What the function is told about its memory. Nothing limits it here.
    pub memory_mb: u32,
    /// The AWS region it believes to be in.
    pub region: String,
    /// Everything in its environment beyond what Lambda itself sets.
    pub environment: BTreeMap<String, OsString>,
}
