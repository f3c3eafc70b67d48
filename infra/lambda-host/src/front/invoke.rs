//! The Lambda Invoke API: how the event source mapping, the scheduler and any AWS SDK call a
//! function here. Follows AWS's description of `Invoke`, version 2015-03-31.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::de::IgnoredAny;
use serde_json::json;

use super::{Front, cors, read};
use crate::{InvokeError, MAX_PAYLOAD, Outcome, RESTOCK};

/// The limit of an asynchronous invocation, in bytes.
pub(super) const MAX_EVENT: usize = 1024 * 1024;
/// How long an invocation waits for a free process before it is refused with 429.
const PATIENCE: Duration = Duration::from_secs(1);
/// Lambda retries a failed asynchronous invocation twice. It waits minutes between
/// them; on one machine a developer is watching.
const EVENT_DELAYS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];

pub(super) async fn invoke(
    State(front): State<Front>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    if cors::is_foreign(&headers) {
        return refuse(
            StatusCode::FORBIDDEN,
            "AccessDeniedException",
            "a page from elsewhere may not invoke functions",
        );
    }
    let function = bare_name(&name).to_owned();
    if !front.host.has(&function) {
        return failed(&InvokeError::Unknown(function));
    }
    if let Some(refusal) = front.refusal(&function, function == RESTOCK) {
        return refusal;
    }
    let kind =
        headers.get("x-amz-invocation-type").map_or("RequestResponse".as_bytes(), |kind| kind.as_bytes());
    let limit = if kind == b"Event" { MAX_EVENT } else { MAX_PAYLOAD };
    let Ok(mut payload) = read(&headers, body, limit).await else {
        let message = format!("the payload is over {limit} bytes");
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException", &message);
    };
    if payload.is_empty() {
        payload = Bytes::from_static(b"{}");
    } else if let Err(error) = serde_json::from_slice::<IgnoredAny>(&payload) {
        let message = format!("could not parse the request body as JSON: {error}");
        return refuse(StatusCode::BAD_REQUEST, "InvalidRequestContentException", &message);
    }
    match kind {
        b"RequestResponse" => match front.host.invoke(&function, payload, PATIENCE).await {
            Ok(outcome) => answered(outcome),
            Err(error) => failed(&error),
        },
        b"Event" => {
            tokio::spawn(run_event(front, function, payload));
            done(StatusCode::ACCEPTED)
        }
        b"DryRun" => done(StatusCode::NO_CONTENT),
        _ => refuse(
            StatusCode::BAD_REQUEST,
            "InvalidParameterValueException",
            "X-Amz-Invocation-Type is one of RequestResponse, Event and DryRun",
        ),
    }
}

async fn run_event(front: Front, function: String, payload: Bytes) {
    let mut delays = EVENT_DELAYS.iter();
    loop {
        match front.host.invoke(&function, payload.clone(), PATIENCE).await {
            Ok(Outcome::Answer(_)) => return,
            Ok(Outcome::Error(_)) => {}
            // Lambda keeps throttled events in its queue for hours.
            Err(InvokeError::Throttled(_)) => continue,
            Err(error) => {
                tracing::error!(function, %error, "an asynchronous invocation is lost");
                return;
            }
        }
        let Some(delay) = delays.next() else {
            tracing::error!(function, "an asynchronous invocation failed three times");
            return;
        };
        tokio::time::sleep(*delay).await;
    }
}

fn answered(outcome: Outcome) -> Response {
    let mut response = done(StatusCode::OK);
    let body = match outcome {
        Outcome::Answer(body) => body,
        Outcome::Error(error) => {
            response.headers_mut().insert(
                HeaderName::from_static("x-amz-function-error"),
                HeaderValue::from_static("Unhandled"),
            );
            error.body
        }
    };
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    *response.body_mut() = Body::from(body);
    response
}

fn done(status: StatusCode) -> Response {
    let headers =
        [("x-amz-executed-version", "$LATEST".to_owned()), ("x-amzn-requestid", crate::request_id())];
    (status, headers).into_response()
}

fn failed(error: &InvokeError) -> Response {
    let (status, kind) = match error {
        InvokeError::Unknown(_) => (StatusCode::NOT_FOUND, "ResourceNotFoundException"),
        InvokeError::Throttled(_) => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException"),
        InvokeError::PayloadTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLargeException"),
        InvokeError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "ServiceException"),
        InvokeError::Start { .. } => {
            tracing::error!(%error, "an invocation could not be served");
            (StatusCode::INTERNAL_SERVER_ERROR, "ServiceException")
        }
    };
    refuse(status, kind, &error.to_string())
}

fn refuse(status: StatusCode, kind: &'static str, message: &str) -> Response {
    let by = if status.is_server_error() { "Service" } else { "User" };
    // Most errors of this API spell it `Message`, some `message`; SDKs read both.
    let body = json!({ "Type": by, "Message": message, "message": message }).to_string();
    let headers = [("content-type", "application/json"), ("x-amzn-errortype", kind)];
    (status, headers, body).into_response()
}

/// The name in `name`, `name:qualifier`, `account:function:name` or an ARN.
fn bare_name(given: &str) -> &str {
    let name = given.rsplit_once("function:").map_or(given, |(_, name)| name);
    name.split_once(':').map_or(name, |(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_may_be_named_in_every_way_that_lambda_takes() {
        for given in [
            "notify",
            "notify:live",
            "000000000000:function:notify",
            "arn:aws:lambda:us-east-1:000000000000:function:notify:$LATEST",
        ] {
            assert_eq!(bare_name(given), "notify", "{given}");
        }
    }
}
