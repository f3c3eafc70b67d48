//! From a function's answer back to an HTTP response, as API Gateway does for payload format 2.0.

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, SET_COOKIE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Headers that the server decides on; a function cannot set them.
const OWN: [&str; 4] = ["connection", "content-length", "transfer-encoding", "keep-alive"];

/// Builds the response. `None`: the answer is not one that API Gateway would take.
pub(crate) fn response(answer: &Bytes) -> Option<Response> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    match answer {
        Value::Object(fields) if fields.contains_key("statusCode") => full(&fields),
        Value::String(text) => Some(short(text)),
        other => Some(short(other.to_string())),
    }
}

/// The short form: any JSON without a status is the body of a 200.
fn short(body: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}

fn full(fields: &Map<String, Value>) -> Option<Response> {
    let status = match fields.get("statusCode")? {
        Value::Number(number) => u16::try_from(number.as_u64()?).ok()?,
        Value::String(text) => text.parse().ok()?,
        _ => return None,
    };
    // 1xx would leave the client waiting for another response.
    let status = StatusCode::from_u16(status).ok().filter(|status| status.as_u16() >= 200)?;
    let mut headers = HeaderMap::new();
    if let Some(Value::Object(given)) = fields.get("headers") {
        for (name, value) in given {
            let name = HeaderName::try_from(name).ok()?;
            if !OWN.contains(&name.as_str()) {
                headers.append(name, HeaderValue::try_from(scalar(value)?).ok()?);
            }
        }
    }
    for cookie in fields.get("cookies").and_then(Value::as_array).into_iter().flatten() {
        headers.append(SET_COOKIE, HeaderValue::try_from(cookie.as_str()?).ok()?);
    }
    let text = match fields.get("body") {
        None | Some(Value::Null) => String::new(),
        Some(body) => scalar(body)?,
    };
    let encoded = fields.get("isBase64Encoded").and_then(Value::as_bool).unwrap_or(false);
    let body = if encoded { STANDARD.decode(text).ok()? } else { text.into_bytes() };
    if !headers.contains_key(CONTENT_TYPE) && !body.is_empty() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain;charset=UTF-8"));
    }
    Some((status, headers, Body::from(body)).into_response())
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

/// A problem document, RFC 9457.
pub(crate) fn problem(status: StatusCode, detail: &str) -> Response {
    let problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": detail,
    });
    document(status, &problem)
}

/// The answer that API Gateway gives on its own behalf. There it is `{"message"}` alone, which
/// an HTTP API cannot change; here it is a problem document that has this member too.
pub(crate) fn gateway(status: StatusCode, message: &str) -> Response {
    let problem = json!({
        "type": "about:blank",
        "title": status.canonical_reason(),
        "status": status.as_u16(),
        "detail": message,
        "message": message,
    });
    document(status, &problem)
}

fn document(status: StatusCode, problem: &Value) -> Response {
    (status, [(CONTENT_TYPE, "application/problem+json")], problem.to_string()).into_response()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    async fn read(answer: Value) -> (u16, HeaderMap, Vec<u8>) {
        let response = response(&Bytes::from(answer.to_string())).unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        (parts.status.as_u16(), parts.headers, body.to_vec())
    }

    #[tokio::test]
    async fn the_full_form_sets_status_headers_cookies_and_body() {
        let (status, headers, body) = read(json!({
            "statusCode": 201,
            "headers": { "Content-Type": "text/html", "X-N": 5, "Content-Length": "999" },
            "cookies": ["a=1; Secure", "b=2"],
            "body": "<p>ü</p>",
        }))
        .await;
        assert_eq!((status, body), (201, "<p>ü</p>".as_bytes().to_vec()));
        assert_eq!(
            (&headers["content-type"], &headers["x-n"]),
            (&HeaderValue::from_static("text/html"), &HeaderValue::from_static("5"))
        );
        let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; Secure", "b=2"]);
        assert!(!headers.contains_key("content-length"));
    }

    #[tokio::test]
    async fn a_base64_body_is_decoded() {
        let answer = json!({ "statusCode": 200, "body": "AP8=", "isBase64Encoded": true });
        assert_eq!(read(answer).await.2, [0, 255]);
    }

    #[tokio::test]
    async fn any_other_json_is_the_body_of_a_200() {
        for (answer, expected) in [
            (json!({ "a": 1 }), r#"{"a":1}"#),
            (json!([1, 2]), "[1,2]"),
            (json!("text"), "text"),
            (json!(null), "null"),
        ] {
            let (status, headers, body) = read(answer).await;
            assert_eq!((status, body), (200, expected.as_bytes().to_vec()));
            assert_eq!(headers["content-type"], "application/json");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_a_response_is_refused() {
        for answer in [
            json!({ "statusCode": "created" }),
            json!({ "statusCode": 99 }),
            json!({ "statusCode": 101 }),
            json!({ "statusCode": 200, "headers": { "bad name": "x" } }),
            json!({ "statusCode": 200, "headers": { "x": "line\nbreak" } }),
            json!({ "statusCode": 200, "body": "%%%", "isBase64Encoded": true }),
            json!({ "statusCode": 200, "body": { "not": "text" } }),
        ] {
            let answer = Bytes::from(answer.to_string());
            assert!(response(&answer).is_none(), "{answer:?}");
        }
        assert!(response(&Bytes::from_static(b"not json")).is_none());
    }
}
