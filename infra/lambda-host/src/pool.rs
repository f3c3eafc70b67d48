//! The processes of one function: as many as run at the same time, up to its concurrency, and
//! kept warm afterwards.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::function::Function;
use super::sandbox::Sandbox;
use super::{Cause, FunctionError, InvokeError, Outcome, WarmError};

/// How long killed processes may take to be gone.
const KILL_LIMIT: Duration = Duration::from_secs(5);

pub(super) struct Pool {
    inner: Arc<Inner>,
}

struct Inner {
    function: Function,
    /// One for each process that may run.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Sandbox>>,
    stopping: AtomicBool,
    give_up: CancellationToken,
    /// How often processes were to be killed, and the last time with which chance each.
    kills: watch::Sender<(u64, f64)>,
    /// How many processes were killed at work.
    hit: AtomicU64,
}

impl Pool {
    pub(super) fn new(function: Function) -> Self {
        let permits = Arc::new(Semaphore::new(function.concurrency));
        let inner = Inner {
            function,
            permits,
            idle: Mutex::new(Vec::new()),
            stopping: AtomicBool::new(false),
            give_up: CancellationToken::new(),
            kills: watch::Sender::new((0, 0.0)),
            hit: AtomicU64::new(0),
        };
        Self { inner: Arc::new(inner) }
    }

    /// Starts one process and waits until it asks for work.
    pub(super) async fn warm(&self) -> Result<(), WarmError> {
        let inner = &self.inner;
        let mut sandbox = inner.start().await?;
        if let Err(error) = sandbox.ready().await {
            return Err(WarmError::Init {
                function: inner.function.name.to_owned(),
                reason: error.message(),
            });
        }
        inner.idle().push(sandbox);
        Ok(())
    }

    pub(super) async fn invoke(&self, payload: Bytes, patience: Duration) -> Result<Outcome, InvokeError> {
        let inner = self.inner.clone();
        let permit = timeout(patience, inner.permits.clone().acquire_owned())
            .await
            .map_err(|_| InvokeError::Throttled(inner.function.concurrency))?
            .map_err(|_| InvokeError::Stopping)?;
        // A task of its own: a caller that goes away does not take the invocation with it.
        tokio::spawn(inner.run(payload, permit)).await.unwrap_or_else(|error| {
            tracing::error!(%error, "an invocation's task failed");
            Err(InvokeError::Stopping)
        })
    }

    /// Kills (SIGKILL) each process that is at work, with this chance, and every idle one.
    pub(super) fn kill(&self, chance: f64) {
        self.inner.kills.send_modify(|(count, of)| (*count, *of) = (*count + 1, chance));
        // Dropping one kills it.
        drop(std::mem::take(&mut *self.inner.idle()));
    }

    /// How many processes were killed at work so far.
    pub(super) fn hit(&self) -> u64 {
        self.inner.hit.load(Ordering::SeqCst)
    }

    pub(super) async fn stop(&self, grace: Duration) {
        let inner = &self.inner;
        inner.stopping.store(true, Ordering::SeqCst);
        // Permits are given in order: all of them together means that nothing runs any more, and
        // a later invocation learns that the host is stopping.
        let all = u32::try_from(inner.function.concurrency).unwrap_or(u32::MAX);
        let rest = timeout(grace, inner.permits.acquire_many(all)).await;
        if rest.is_err() {
            tracing::warn!(function = inner.function.name, "gave up on running invocations");
            inner.give_up.cancel();
            if timeout(KILL_LIMIT, inner.permits.acquire_many(all)).await.is_err() {
                tracing::error!(function = inner.function.name, "killed processes are not gone");
            }
        }
        inner.permits.close();
        let idle = std::mem::take(&mut *inner.idle());
        futures::future::join_all(idle.into_iter().map(Sandbox::stop)).await;
    }
}

/// Returns when the dice say that this process is killed.
async fn killed(mut kills: watch::Receiver<(u64, f64)>) {
    while kills.changed().await.is_ok() {
        let (_, chance) = *kills.borrow_and_update();
        if rand::random::<f64>() < chance {
            return;
        }
    }
    std::future::pending().await
}

impl Inner {
    async fn run(
        self: Arc<Self>,
        payload: Bytes,
        permit: OwnedSemaphorePermit,
    ) -> Result<Outcome, InvokeError> {
        if self.stopping.load(Ordering::SeqCst) {
            return Err(InvokeError::Stopping);
        }
        loop {
            let mut sandbox = match self.take_idle() {
                Some(sandbox) => sandbox,
                None => self.start().await?,
            };
            let outcome = tokio::select! {
                outcome = sandbox.invoke(payload.clone()) => outcome,
                () = killed(self.kills.subscribe()) => {
                    sandbox.kill().await;
                    self.hit.fetch_add(1, Ordering::SeqCst);
                    let message = "the process was killed";
                    let error = FunctionError::new(Cause::Exited, "Runtime.ExitError", message);
                    return Ok(Outcome::Error(error));
                }
                () = self.give_up.cancelled() => {
                    sandbox.kill().await;
                    let message = "the host shut down before the function answered";
                    let error = FunctionError::new(Cause::Exited, "Runtime.ExitError", message);
                    return Ok(Outcome::Error(error));
                }
            };
            let Some(outcome) = outcome else { continue };
            if sandbox.is_usable() {
                self.idle().push(sandbox);
            }
            drop(permit);
            return Ok(outcome);
        }
    }

    /// The process that was used last: the others may have had their pages swapped out.
    fn take_idle(&self) -> Option<Sandbox> {
        let mut idle = self.idle();
        while let Some(mut sandbox) = idle.pop() {
            if sandbox.is_usable() {
                return Some(sandbox);
            }
        }
        None
    }

    async fn start(&self) -> Result<Sandbox, InvokeError> {
        Sandbox::start(&self.function)
            .await
            .map_err(|source| InvokeError::Start { function: self.function.name.to_owned(), source })
    }

    fn idle(&self) -> MutexGuard<'_, Vec<Sandbox>> {
        // Nothing panics while it holds this lock, and the list is always whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
