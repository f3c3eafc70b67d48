//! One process of one function. It runs one invocation at a time and decides when that has
//! failed: the time-out passed, or the process ended.

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use axum::body::Bytes;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::function::Function;
use super::runtime_api::{Endpoint, Job};
use super::{ACCOUNT, Cause, FunctionError, Outcome, logs};

/// How long a process may take until it asks for its first invocation. Lambda allows 10 s; a
/// debug build on a busy machine gets more.
const INIT_LIMIT: Duration = Duration::from_secs(30);
/// How long a process may take to end by itself.
const END_LIMIT: Duration = Duration::from_secs(2);

/// A running process and the Runtime API that serves it. Dropping it kills the process.
pub(super) struct Sandbox {
    name: &'static str,
    timeout: Duration,
    endpoint: Endpoint,
    process: Child,
    /// Its end of file tells the process to end: see `parent.rs`.
    input: Option<ChildStdin>,
    usable: bool,
    served: bool,
    started: Instant,
}

impl Sandbox {
    /// Starts a process and the Runtime API for it.
    ///
    /// # Errors
    /// When the program cannot be started or no port can be had.
    pub(super) async fn start(function: &Function) -> std::io::Result<Self> {
        let region = &function.region;
        let arn = format!("arn:aws:lambda:{region}:{ACCOUNT}:function:{}", function.name);
        let endpoint = Endpoint::serve(arn).await?;
        let mut command = Command::new(&function.program);
        command
            .args(&function.arguments)
            .env_clear()
            .env("AWS_REGION", region)
            .env("AWS_DEFAULT_REGION", region)
            .env("AWS_LAMBDA_FUNCTION_NAME", function.name)
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", function.memory_mb.to_string())
            .env("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", function.name))
            .env("AWS_LAMBDA_LOG_STREAM_NAME", endpoint.address().port().to_string())
            .envs(&function.environment)
            .env("AWS_LAMBDA_RUNTIME_API", endpoint.address().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        // Ctrl-C in a terminal goes to a whole process group. The functions have to finish what
        // is in flight, so they are not part of ours.
        #[cfg(unix)]
        command.process_group(0);
        let mut process = command.spawn()?;
        if let Some(stream) = process.stdout.take() {
            tokio::spawn(logs::pass_on(function.name, stream));
        }
        if let Some(stream) = process.stderr.take() {
            tokio::spawn(logs::pass_on(function.name, stream));
        }
        let input = process.stdin.take();
        tracing::debug!(function = function.name, pid = process.id(), "started a process");
        Ok(Self {
            name: function.name,
            timeout: function.timeout,
            endpoint,
            process,
            input,
            usable: true,
            served: false,
            started: Instant::now(),
        })
    }

    /// Waits until the process asks for work.
    ///
    /// # Errors
    /// What the function reported, or how its process ended.
    pub(super) async fn ready(&mut self) -> Result<(), FunctionError> {
        tokio::select! {
            biased;
            () = self.endpoint.ready() => Ok(()),
            status = self.process.wait() => Err(self.exited("none", status.ok())),
            () = sleep_until(self.started + INIT_LIMIT) => Err(self.timed_out("none", INIT_LIMIT).await),
        }
    }

    /// Runs one invocation to its end. After a time-out or an exit the sandbox is not usable.
    /// `None`: a process that had served before was gone without having taken this invocation,
    /// so that another process may take it.
    pub(super) async fn invoke(&mut self, payload: Bytes) -> Option<Outcome> {
        let outcome = self.attempt(payload).await;
        self.served |= outcome.is_some();
        outcome
    }

    async fn attempt(&mut self, payload: Bytes) -> Option<Outcome> {
        let id = request_id();
        let (taken, mut on_taken) = oneshot::channel();
        let (reply, mut on_reply) = oneshot::channel();
        let timeout = self.timeout;
        self.endpoint.offer(Job { id: id.clone(), payload, timeout, taken, reply }).await;

        tokio::select! {
            biased;
            _ = &mut on_taken => {}
            status = self.process.wait() => {
                let error = self.exited(&id, status.ok());
                return (!self.served).then_some(Outcome::Error(error));
            }
            () = sleep_until((self.started + INIT_LIMIT).max(Instant::now() + timeout)) => {
                return Some(Outcome::Error(self.timed_out(&id, INIT_LIMIT).await));
            }
        }
        let deadline = Instant::now() + timeout;
        let status = tokio::select! {
            biased;
            Ok(outcome) = &mut on_reply => return Some(outcome),
            status = self.process.wait() => status.ok(),
            () = sleep_until(deadline) => {
                return Some(Outcome::Error(self.timed_out(&id, timeout).await));
            }
        };
        // The process may have answered with its last breath.
        match on_reply.try_recv() {
            Ok(outcome) => {
                self.usable = false;
                Some(outcome)
            }
            Err(_) => Some(Outcome::Error(self.exited(&id, status))),
        }
    }

    /// True if the next invocation may go here.
    pub(super) fn is_usable(&mut self) -> bool {
        self.usable && matches!(self.process.try_wait(), Ok(None))
    }

    /// Asks the process to end, and kills it if it does not.
    pub(super) async fn stop(mut self) {
        drop(self.input.take());
        if timeout(END_LIMIT, self.process.wait()).await.is_err() {
            self.kill().await;
        }
    }

    /// Kills the process and waits until it is gone.
    pub(super) async fn kill(&mut self) {
        self.usable = false;
        if let Err(error) = self.process.kill().await {
            tracing::warn!(function = self.name, %error, "cannot kill a process");
        }
    }

    async fn timed_out(&mut self, id: &str, limit: Duration) -> FunctionError {
        self.kill().await;
        let seconds = limit.as_secs_f64();
        let message = format!("RequestId: {id} Error: Task timed out after {seconds:.2} seconds");
        tracing::warn!(function = self.name, "an invocation timed out after {seconds:.2} seconds");
        FunctionError::new(Cause::TimedOut, "Sandbox.Timedout", &message)
    }

    fn exited(&mut self, id: &str, status: Option<ExitStatus>) -> FunctionError {
        self.usable = false;
        if let Some(error) = self.endpoint.take_init_error() {
            return error;
        }
        let how = status.map_or_else(|| "no exit status".to_owned(), |status| status.to_string());
        tracing::warn!(function = self.name, "a process ended by itself: {how}");
        let message = format!("RequestId: {id} Error: Runtime exited with error: {how}");
        FunctionError::new(Cause::Exited, "Runtime.ExitError", &message)
    }
}

/// A random identifier in the form of a UUID.
pub fn request_id() -> String {
    let mut hex = format!("{:032x}", rand::random::<u128>());
    for position in [20, 16, 12, 8] {
        hex.insert(position, '-');
    }
    hex
}
