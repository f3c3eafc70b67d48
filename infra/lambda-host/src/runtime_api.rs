//! The Lambda Runtime API, version 2018-06-01, for one process.
//! It hands out one invocation at a time and takes its result; when to give up on an invocation
//! is the sandbox's decision.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;

use super::{Cause, FunctionError, MAX_PAYLOAD, Outcome};

/// One invocation on its way to the process.
pub struct Job {
    pub id: String,
    pub payload: Bytes,
    /// Counted from the moment at which the process takes the invocation.
    pub timeout: Duration,
    pub taken: oneshot::Sender<()>,
    pub reply: oneshot::Sender<Outcome>,
}

/// A served Runtime API. Dropping it closes the port.
pub struct Endpoint {
    address: SocketAddr,
    jobs: mpsc::Sender<Job>,
    shared: Arc<Shared>,
    server: AbortHandle,
}

struct Shared {
    arn: String,
    jobs: tokio::sync::Mutex<mpsc::Receiver<Job>>,
    current: Mutex<Option<Current>>,
    init_error: Mutex<Option<FunctionError>>,
    ready: watch::Sender<bool>,
}

struct Current {
    id: String,
    reply: oneshot::Sender<Outcome>,
}

impl Endpoint {
    /// Serves the Runtime API on a free port of the loopback interface.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn serve(arn: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (jobs, queue) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            arn,
            jobs: tokio::sync::Mutex::new(queue),
            current: Mutex::new(None),
            init_error: Mutex::new(None),
            ready: watch::Sender::new(false),
        });
        let app = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .with_state(shared.clone());
        let server = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, app).await {
                tracing::error!(%error, "the Runtime API of a function ended");
            }
        });
        Ok(Self { address, jobs, shared, server: server.abort_handle() })
    }

    /// What the process gets as `AWS_LAMBDA_RUNTIME_API`.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Puts an invocation in line. There is never more than one.
    pub async fn offer(&self, job: Job) {
        // The receiver lives as long as `self.shared`, so this cannot fail.
        let _ = self.jobs.send(job).await;
    }

    /// Waits until the process has asked for work for the first time.
    pub async fn ready(&self) {
        let mut ready = self.shared.ready.subscribe();
        // The sender lives as long as `self.shared`, so this cannot fail.
        let _ = ready.wait_for(|ready| *ready).await;
    }

    /// What the process reported when it could not start, once.
    pub fn take_init_error(&self) -> Option<FunctionError> {
        lock(&self.shared.init_error).take()
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn next(State(shared): State<Arc<Shared>>) -> Response {
    shared.ready.send_replace(true);
    let Some(job) = shared.jobs.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let deadline = SystemTime::now() + job.timeout;
    let deadline = deadline.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let headers = [
        ("content-type", "application/json".to_owned()),
        ("lambda-runtime-aws-request-id", job.id.clone()),
        ("lambda-runtime-deadline-ms", deadline.to_string()),
        ("lambda-runtime-invoked-function-arn", shared.arn.clone()),
        ("lambda-runtime-trace-id", trace_id()),
    ];
    // The receiver is gone if the sandbox gave up in the meantime; it kills the process.
    let _ = job.taken.send(());
    *lock(&shared.current) = Some(Current { id: job.id, reply: job.reply });
    (headers, job.payload).into_response()
}

async fn response(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Body) -> Response {
    match to_bytes(body, MAX_PAYLOAD).await {
        Ok(answer) => finish(&shared, &id, Outcome::Answer(answer)),
        Err(_) => {
            let message = format!("the answer is over {MAX_PAYLOAD} bytes");
            let error =
                FunctionError::new(Cause::ResponseTooLarge, "Function.ResponseSizeTooLarge", &message);
            finish(&shared, &id, Outcome::Error(error));
            problem(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message)
        }
    }
}

async fn error(State(shared): State<Arc<Shared>>, Path(id): Path<String>, body: Body) -> Response {
    let error = reported(body).await;
    finish(&shared, &id, Outcome::Error(error))
}

async fn init_error(State(shared): State<Arc<Shared>>, body: Body) -> Response {
    let error = reported(body).await;
    *lock(&shared.init_error) = Some(error);
    accepted()
}

async fn reported(body: Body) -> FunctionError {
    match to_bytes(body, MAX_PAYLOAD).await {
        Ok(body) if !body.is_empty() => FunctionError { cause: Cause::Reported, body },
        _ => FunctionError::new(Cause::Reported, "Unknown", "the function gave no reason"),
    }
}

fn finish(shared: &Shared, id: &str, outcome: Outcome) -> Response {
    let mut current = lock(&shared.current);
    match current.take_if(|current| current.id == id) {
        Some(invocation) => {
            // The receiver is gone if the sandbox gave up in the meantime.
            let _ = invocation.reply.send(outcome);
            accepted()
        }
        None => {
            problem(StatusCode::BAD_REQUEST, "InvalidRequestID", "no invocation of this id is running here")
        }
    }
}

fn accepted() -> Response {
    (StatusCode::ACCEPTED, Json(json!({ "status": "OK" }))).into_response()
}

fn problem(status: StatusCode, error_type: &str, message: &str) -> Response {
    (status, Json(json!({ "errorType": error_type, "errorMessage": message }))).into_response()
}

/// A trace header in the form of X-Ray, not sampled.
pub(crate) fn trace_id() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let root = rand::random::<u128>() >> 32;
    let parent = rand::random::<u64>();
    format!("Root=1-{seconds:08x}-{root:024x};Parent={parent:016x};Sampled=0")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks, and what they guard is always whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
