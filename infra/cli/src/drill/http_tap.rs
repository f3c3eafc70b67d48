//! The wire to the table or to SES: passes HTTP requests on, as the wire's rule has it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use ses_inbox::serve::{DropAnswer, serve};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::wire::{Fate, SEND, Sending, Wire};

const MAX_BODY: usize = 64 * 1024 * 1024;
/// How the name of a table operation begins in its header.
const TARGET: &str = "DynamoDB_20120810.";

/// A server that passes on what it gets.
pub(super) struct HttpTap {
    /// Where it is.
    pub(super) url: String,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

struct Shared {
    target: String,
    wire: Arc<Wire>,
    client: reqwest::Client,
}

impl HttpTap {
    /// Passes on to `target`.
    ///
    /// # Errors
    /// When no port can be had.
    pub(super) async fn start(target: String, wire: Arc<Wire>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let client = reqwest::Client::builder().tcp_nodelay(true).no_proxy().build()?;
        let shared = Arc::new(Shared { target, wire, client });
        let stop = CancellationToken::new();
        let router = Router::new().fallback(pass).with_state(shared);
        let server = tokio::spawn(serve(listener, router, stop.clone()));
        Ok(Self { url, stop, server })
    }

    pub(super) fn stop(self) {
        self.stop.cancel();
        // What a killed process left open is not waited for.
        self.server.abort();
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let what = name(request.headers(), request.uri().path());
    let sending = (what == SEND).then(|| shared.wire.sends());
    match shared.wire.judge(what) {
        Fate::Passed => carry(&shared, request, sending).await,
        Fate::Delayed(time) => {
            tokio::time::sleep(time).await;
            carry(&shared, request, sending).await
        }
        Fate::AnswerLost => lost(carry(&shared, request, sending).await),
        Fate::KilledBefore => {
            drop(sending);
            shared.wire.kill();
            never().await
        }
        Fate::KilledAfter => {
            carry(&shared, request, sending).await;
            shared.wire.kill();
            never().await
        }
        Fate::Throttled => {
            let body = r#"{"__type":"com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException","message":"too many"}"#;
            let kind = [(header::CONTENT_TYPE, "application/x-amz-json-1.0")];
            (StatusCode::BAD_REQUEST, kind, body).into_response()
        }
    }
}

/// What a request asks for.
fn name(headers: &HeaderMap, path: &str) -> String {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok());
    match target.and_then(|target| target.strip_prefix(TARGET)) {
        Some(operation) => format!("table {operation}"),
        None if path.ends_with("/account") => "SES GetAccount".to_owned(),
        None => SEND.to_owned(),
    }
}

/// Passes a request on. What has left arrives and is worked on, also when its sender is killed meanwhile: so this is
/// a task of its own, for the handler ends with the connection.
async fn carry(shared: &Arc<Shared>, request: Request, sending: Option<Sending>) -> Response {
    let shared = shared.clone();
    let carried = tokio::spawn(async move {
        let answer = forward(&shared, request).await;
        drop(sending);
        answer
    });
    carried.await.unwrap_or_else(|_| lost(Response::default()))
}

async fn forward(shared: &Shared, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let mut headers = parts.headers;
    headers.remove(header::HOST);
    let url = format!("{}{path}", shared.target);
    let sent = shared.client.request(parts.method, url).headers(headers).body(body).send().await;
    match sent {
        Ok(answer) => {
            let (status, mut headers) = (answer.status(), answer.headers().clone());
            headers.remove(header::TRANSFER_ENCODING);
            match answer.bytes().await {
                Ok(body) => (status, headers, Body::from(body)).into_response(),
                Err(_) => lost(Response::default()),
            }
        }
        Err(_) => lost(Bytes::new().into_response()),
    }
}

fn lost(mut response: Response) -> Response {
    response.extensions_mut().insert(DropAnswer);
    response
}

/// The process that asked is dead; its connection ends soon.
async fn never() -> Response {
    tokio::time::sleep(Duration::from_secs(60)).await;
    lost(Response::default())
}
