//! Runs functions as Lambda does: a pool of processes for each, one invocation at a time in each.
//! This file decides what an invocation is and how it can end; it knows neither HTTP routes nor
//! what the functions do.
//!
//! Written here rather than taken from `lambda-simulator` 0.2: that one serves one process per
//! simulator, never enforces a time-out, does not notice a crash, and keeps every payload.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Bytes;
use serde_json::json;

pub mod front;
mod function;
mod logs;
mod parent;
mod pool;
pub mod runtime_api;
mod sandbox;
#[cfg(test)]
mod tests;

pub use function::{FEEDBACK, Function, NOTIFY, RESTOCK, SUBSCRIBE};
pub use parent::exit_with_parent;
pub use sandbox::request_id;

use pool::Pool;
use runtime_api::trace_id;

/// Lambda's limit for the payload and for the answer of a synchronous invocation, in bytes.
pub const MAX_PAYLOAD: usize = 6 * 1024 * 1024;

/// The account in the names of things. No real account has this number.
pub const ACCOUNT: &str = "000000000000";

/// How an invocation that reached a function ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The function answered with these bytes, JSON by the contract of the Runtime API.
    Answer(Bytes),
    /// The function failed; Lambda calls this a function error.
    Error(FunctionError),
}

/// What a caller is told about a failed invocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// The side that noticed the failure.
    pub cause: Cause,
    /// The error document, `{"errorType", "errorMessage", …}`.
    pub body: Bytes,
}

/// The side that noticed that an invocation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The function reported it itself.
    Reported,
    /// The time-out passed and the process was killed.
    TimedOut,
    /// The process ended before it answered.
    Exited,
    /// The answer was over [`MAX_PAYLOAD`].
    ResponseTooLarge,
}

impl FunctionError {
    fn new(cause: Cause, error_type: &str, message: &str) -> Self {
        let body = json!({ "errorType": error_type, "errorMessage": message });
        Self { cause, body: Bytes::from(body.to_string()) }
    }

    /// What the document says to people, or all of it.
    fn message(&self) -> String {
        serde_json::from_slice::<serde_json::Value>(&self.body)
            .ok()
            .and_then(|body| Some(body.get("errorMessage")?.as_str()?.to_owned()))
            .unwrap_or_else(|| String::from_utf8_lossy(&self.body).into_owned())
    }
}

/// Why an invocation did not reach a function.
#[derive(Debug, thiserror::Error)]
pub enum InvokeError {
    /// There is no function of this name.
    #[error("function not found: {0}")]
    Unknown(String),
    /// All processes the function may have were busy for as long as the caller would wait.
    #[error("rate exceeded: all {0} processes of the function are busy")]
    Throttled(usize),
    /// The payload is over [`MAX_PAYLOAD`].
    #[error("the payload has {0} bytes, {MAX_PAYLOAD} are accepted")]
    PayloadTooLarge(usize),
    /// The host is being shut down.
    #[error("the host is shutting down")]
    Stopping,
    /// The process could not be started.
    #[error("cannot start a process for function {function}")]
    Start {
        /// The function's name.
        function: String,
        #[source]
        source: std::io::Error,
    },
}

/// Why a function did not become ready for its first invocation.
#[derive(Debug, thiserror::Error)]
pub enum WarmError {
    /// The process could not be started.
    #[error(transparent)]
    Start(#[from] InvokeError),
    /// The process ended, or did not ask for work in time.
    #[error("function {function} does not start: {reason}")]
    Init {
        /// The function's name.
        function: String,
        /// What it reported, or how it ended.
        reason: String,
    },
}

/// All functions of this machine.
pub struct Host {
    pools: BTreeMap<&'static str, Pool>,
}

impl Host {
    /// Prepares a pool for each function. No process is started yet.
    pub fn new(functions: Vec<Function>) -> Self {
        Self { pools: functions.into_iter().map(|f| (f.name, Pool::new(f))).collect() }
    }

    /// Starts one process of each function and waits until each asks for work.
    ///
    /// # Errors
    /// [`WarmError`] of the first function that does not get there.
    pub async fn warm(&self) -> Result<(), WarmError> {
        // All of them, also after one has failed: each says what it wants, such as all settings that are missing.
        futures::future::join_all(self.pools.values().map(Pool::warm)).await.into_iter().collect()
    }

    /// True if a function of this name exists.
    pub fn has(&self, function: &str) -> bool {
        self.pools.contains_key(function)
    }

    /// Runs one invocation. At the function's concurrency, it waits up to `patience` for a free
    /// process. The invocation goes on when the returned future is dropped, as on Lambda.
    ///
    /// # Errors
    /// [`InvokeError`] when the payload did not reach the function.
    pub async fn invoke(
        &self,
        function: &str,
        payload: Bytes,
        patience: Duration,
    ) -> Result<Outcome, InvokeError> {
        let pool = self.pools.get(function).ok_or_else(|| InvokeError::Unknown(function.to_owned()))?;
        if payload.len() > MAX_PAYLOAD {
            return Err(InvokeError::PayloadTooLarge(payload.len()));
        }
        pool.invoke(payload, patience).await
    }

    /// Kills (SIGKILL) each of a function's processes that is at work, with this chance, and every
    /// idle one.
    pub fn kill(&self, function: &str, chance: f64) {
        if let Some(pool) = self.pools.get(function) {
            pool.kill(chance);
        }
    }

    /// How many of a function's processes [`Host::kill`] has hit at work so far.
    pub fn hit(&self, function: &str) -> u64 {
        self.pools.get(function).map_or(0, Pool::hit)
    }

    /// Takes no more invocations, lets the running ones finish for up to `grace`, then ends every
    /// process: first by closing its standard input, then by killing it.
    pub async fn stop(&self, grace: Duration) {
        futures::future::join_all(self.pools.values().map(|pool| pool.stop(grace))).await;
    }
}
