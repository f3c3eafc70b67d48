//! The HTTP front: what API Gateway is on AWS, and the Lambda Invoke API beside it.
//! It decides which function a request goes to and what the caller sees when that fails; it knows
//! nothing about the functions themselves.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::Response;
use axum::routing::post;
use jiff::Timestamp;
use tokio_util::task::TaskTracker;

use crate::{Cause, Host, InvokeError, NOTIFY, Outcome, request_id, trace_id};

mod answer;
mod backpressure;
mod cors;
mod event;
mod invoke;
mod routes;
#[cfg(test)]
mod tests;

pub use self::backpressure::Backpressure;

/// API Gateway's limit for a request body, in bytes.
const MAX_BODY: usize = 10 * 1024 * 1024;
/// API Gateway gives up on a function after this time.
const INTEGRATION_LIMIT: Duration = Duration::from_secs(30);
/// How long a request waits for a free process. AWS would start another one instead.
const PATIENCE: Duration = Duration::from_secs(20);
/// What a caller is told to wait before it tries again, in seconds.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// What the front needs to know; cheap to clone.
#[derive(Clone)]
pub struct Front {
    host: Arc<Host>,
    backpressure: Backpressure,
    local: SocketAddr,
    closing: Arc<AtomicBool>,
    in_flight: TaskTracker,
}

impl Front {
    /// A front for the functions of `host` that listens on `local`.
    pub fn new(host: Arc<Host>, backpressure: Backpressure, local: SocketAddr) -> Self {
        let closing = Arc::new(AtomicBool::new(false));
        Self { host, backpressure, local, closing, in_flight: TaskTracker::new() }
    }

    /// The HTTP API, the Invoke API and the routes of `extra`, which go first.
    pub fn router(&self, extra: Router) -> Router {
        Router::new()
            .route("/2015-03-31/functions/{name}/invocations", post(invoke::invoke))
            .fallback(api)
            .with_state(self.clone())
            .merge(extra)
            .method_not_allowed_fallback(method_not_allowed)
    }

    /// From now on requests are answered with 503; those that came before are waited for, for up
    /// to `limit`. The event source mapping may still invoke, so that what is in flight can finish.
    pub async fn close(&self, limit: Duration) {
        self.closing.store(true, Ordering::SeqCst);
        self.in_flight.close();
        if tokio::time::timeout(limit, self.in_flight.wait()).await.is_err() {
            tracing::warn!("gave up on requests in flight");
        }
    }

    /// The refusal for `function` right now, if there is one; `publishes`: it is asked to take stock updates.
    fn refusal(&self, function: &str, publishes: bool) -> Option<Response> {
        if self.closing.load(Ordering::SeqCst) && function != NOTIFY {
            return Some(unavailable("This system is shutting down."));
        }
        if publishes {
            let reason = self.backpressure.reason()?;
            return Some(unavailable(&format!("Stock updates are not accepted right now: {reason}")));
        }
        None
    }
}

/// Every request that is not for another part.
async fn api(
    State(front): State<Front>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let _in_flight = front.in_flight.token();
    let origin = cors::origin(request.headers());
    if let Some(preflight) = cors::preflight(request.method(), request.headers()) {
        return preflight;
    }
    let is_head = request.method() == Method::HEAD;
    let mut response = forward(&front, peer, request).await;
    cors::allow(response.headers_mut(), origin);
    if is_head {
        // Of unknown length: a function leaves the body out, and `Content-Length: 0` would be said of the one that GET
        // has (RFC 9110, 8.6).
        *response.body_mut() = Body::from_stream(futures::stream::empty::<Result<Bytes, Infallible>>());
    }
    response
}

async fn forward(front: &Front, peer: SocketAddr, request: Request) -> Response {
    let (request, body) = request.into_parts();
    let route = routes::find(request.method.as_str(), request.uri.path());
    if let Some(refusal) = front.refusal(route.function, route.publishes()) {
        return refusal;
    }
    let body = match read(&request.headers, body, MAX_BODY).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let arrival = event::Arrival {
        peer,
        local: front.local,
        at: Timestamp::now(),
        id: &request_id(),
        trace: &trace_id(),
    };
    let event = event::event(&request, &body, &route, &arrival).to_string();
    let run = front.host.invoke(route.function, event.into(), PATIENCE);
    let mut response = match tokio::time::timeout(INTEGRATION_LIMIT, run).await {
        Ok(Ok(Outcome::Answer(body))) => answer::response(&body).unwrap_or_else(|| {
            tracing::warn!(function = route.function, "its answer is not an HTTP response");
            internal_error()
        }),
        Ok(Ok(Outcome::Error(error))) if error.cause == Cause::TimedOut => service_unavailable(),
        Ok(Ok(Outcome::Error(_))) => internal_error(),
        Ok(Err(InvokeError::PayloadTooLarge(_))) => too_large(),
        Ok(Err(InvokeError::Throttled(_) | InvokeError::Stopping)) | Err(_) => service_unavailable(),
        Ok(Err(error @ (InvokeError::Unknown(_) | InvokeError::Start { .. }))) => {
            tracing::error!(%error, "a request could not be served");
            internal_error()
        }
    };
    if let Ok(id) = HeaderValue::try_from(arrival.id) {
        response.headers_mut().insert(HeaderName::from_static("apigw-requestid"), id);
    }
    response
}

/// Reads a whole body of at most `limit` bytes; a longer one is refused, where the client says
/// its length without reading it.
async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Response> {
    let length = headers.get("content-length").and_then(|value| value.to_str().ok()?.parse().ok());
    if length.is_some_and(|length: usize| length > limit) {
        return Err(too_large());
    }
    to_bytes(body, limit).await.map_err(|_| too_large())
}

fn internal_error() -> Response {
    answer::gateway(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}

fn service_unavailable() -> Response {
    answer::gateway(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable")
}

fn too_large() -> Response {
    answer::gateway(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
}

/// A refusal that another try later may not meet.
fn unavailable(detail: &str) -> Response {
    let mut response = answer::problem(StatusCode::SERVICE_UNAVAILABLE, detail);
    response.headers_mut().insert(RETRY_AFTER, RETRY_SECONDS);
    response
}

/// A route of this front, or of the page, that does not take the method; axum adds `Allow`.
async fn method_not_allowed() -> Response {
    answer::problem(StatusCode::METHOD_NOT_ALLOWED, "method not allowed")
}
