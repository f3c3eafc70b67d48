//! HTTP/1.1 over TLS on a free port of the loopback interface: whole requests in, whole answers out.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio_rustls::TlsAcceptor;

/// Answers requests.
pub(super) trait Handler: Send + Sync + 'static {
    /// The status, the content type and the body of the answer.
    fn handle(&self, request: Request<Bytes>) -> impl Future<Output = Answer> + Send;
}

/// An answer.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: &'static str,
    pub(super) error: Option<&'static str>,
    pub(super) body: String,
}

/// A running server; it ends when this is dropped.
pub(super) struct Server {
    /// `https://127.0.0.1:port`.
    pub(super) url: String,
    task: AbortHandle,
}

impl Server {
    /// # Errors
    /// When no port can be had.
    pub(super) async fn start(tls: TlsAcceptor, handler: impl Handler) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("https://{}", listener.local_addr()?);
        let handler = Arc::new(handler);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(connection(stream, tls.clone(), handler.clone()));
            }
        });
        Ok(Self { url, task: task.abort_handle() })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves a connection until its client leaves; what goes wrong with it is the client's to tell.
async fn connection(stream: TcpStream, tls: TlsAcceptor, handler: Arc<impl Handler>) {
    let _ = stream.set_nodelay(true);
    let Ok(stream) = tls.accept(stream).await else { return };
    let service = service_fn(move |request: Request<Incoming>| {
        let handler = handler.clone();
        async move { Ok::<_, Infallible>(answer(&*handler, request).await) }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(handler: &impl Handler, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let Answer { status, content_type, error, body } = handler.handle(Request::from_parts(parts, body)).await;
    let checksum = crc32fast::hash(body.as_bytes());
    let mut response = Response::builder()
        .status(status)
        .header("content-type", content_type)
        // DynamoDB's own, which the SDK for Go insists on.
        .header("x-amz-crc32", checksum.to_string());
    if let Some(error) = error {
        response = response.header("x-amzn-errortype", error);
    }
    // Nothing in it can fail: the headers are constants.
    response.body(Full::new(Bytes::from(body))).unwrap_or_default()
}
