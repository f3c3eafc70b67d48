//! From an HTTP request to the event that API Gateway makes of it: HTTP API, payload format 2.0.
//! Follows AWS's description of the format, and captures of real events where that is silent:
//! `rawPath` is decoded, cookies are not among the headers, and a body is text only under a few
//! content types.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use axum::body::Bytes;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, COOKIE, HOST, USER_AGENT};
use axum::http::request::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use url::form_urlencoded;

use super::routes::{Match, decode};
use crate::ACCOUNT;

/// What is known about a request beside the request itself.
pub(crate) struct Arrival<'a> {
    /// The caller.
    pub(crate) peer: SocketAddr,
    /// Where the front listens.
    pub(crate) local: SocketAddr,
    /// When the request arrived.
    pub(crate) at: Timestamp,
    /// The request's identifier.
    pub(crate) id: &'a str,
    /// The trace header of the request.
    pub(crate) trace: &'a str,
}

/// Builds the event.
pub(crate) fn event(request: &Parts, body: &Bytes, route: &Match, arrival: &Arrival<'_>) -> Value {
    let path = decode(request.uri.path());
    let query = request.uri.query().unwrap_or_default();
    let host = text(&request.headers, HOST.as_str());
    let domain = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name).to_owned();
    let mut event = Map::new();
    let mut put = |key: &str, value: Value| event.insert(key.to_owned(), value);

    put("version", "2.0".into());
    put("routeKey", route.key.as_str().into());
    put("rawPath", path.as_str().into());
    put("rawQueryString", query.into());
    let cookies = cookies(&request.headers);
    if !cookies.is_empty() {
        put("cookies", cookies.into());
    }
    put("headers", headers(&request.headers, arrival));
    if !query.is_empty() {
        put("queryStringParameters", query_parameters(query));
    }
    put(
        "requestContext",
        json!({
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": domain,
            "domainPrefix": domain.split('.').next(),
            "http": {
                "method": request.method.as_str(),
                "path": path,
                "protocol": format!("{:?}", request.version),
                "sourceIp": arrival.peer.ip().to_string(),
                "userAgent": text(&request.headers, USER_AGENT.as_str()),
            },
            "requestId": arrival.id,
            "routeKey": route.key,
            "stage": "$default",
            "time": arrival.at.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": arrival.at.as_millisecond(),
        }),
    );
    if !route.parameters.is_empty() {
        let parameters: BTreeMap<_, _> = route.parameters.iter().cloned().collect();
        put("pathParameters", json!(parameters));
    }
    let is_text = is_text(&text(&request.headers, CONTENT_TYPE.as_str()));
    let encoded = match std::str::from_utf8(body) {
        _ if body.is_empty() => false,
        Ok(body) if is_text => {
            put("body", body.into());
            false
        }
        _ => {
            put("body", STANDARD.encode(body).into());
            true
        }
    };
    put("isBase64Encoded", encoded.into());
    Value::Object(event)
}

/// The content types whose bodies API Gateway hands on as text; all others, a form and a missing
/// one among them, come in base64.
fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence.starts_with("text/")
        || ["application/json", "application/xml", "application/javascript"].contains(&essence.as_str())
}

fn headers(given: &HeaderMap, arrival: &Arrival<'_>) -> Value {
    let mut headers: BTreeMap<&str, String> = given
        .keys()
        .filter(|name| *name != COOKIE)
        .map(|name| (name.as_str(), text(given, name.as_str())))
        .collect();
    let peer = arrival.peer.ip().to_string();
    headers
        .entry("x-forwarded-for")
        .and_modify(|earlier| *earlier = format!("{earlier}, {peer}"))
        .or_insert(peer);
    headers.insert("x-forwarded-port", arrival.local.port().to_string());
    headers.insert("x-forwarded-proto", "http".to_owned());
    headers.insert("x-amzn-trace-id", arrival.trace.to_owned());
    json!(headers)
}

/// All values of a header, joined with commas.
fn text(headers: &HeaderMap, name: &str) -> String {
    let values = headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(",")
}

fn cookies(headers: &HeaderMap) -> Vec<String> {
    let values = headers.get_all(COOKIE).iter();
    values
        .flat_map(|value| {
            let line = String::from_utf8_lossy(value.as_bytes()).into_owned();
            line.split(';').map(|cookie| cookie.trim().to_owned()).collect::<Vec<_>>()
        })
        .filter(|cookie| !cookie.is_empty())
        .collect()
}

fn query_parameters(query: &str) -> Value {
    let mut parameters: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        parameters
            .entry(key.into_owned())
            .and_modify(|values| *values = format!("{values},{value}"))
            .or_insert_with(|| value.into_owned());
    }
    json!(parameters)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use axum::http::Request;

    use super::super::routes;
    use super::*;

    fn made(request: Request<()>, body: &'static [u8]) -> Value {
        let (parts, ()) = request.into_parts();
        let route = routes::find(parts.method.as_str(), parts.uri.path());
        let arrival = Arrival {
            peer: "127.0.0.1:50000".parse().unwrap(),
            local: "127.0.0.1:3000".parse().unwrap(),
            at: "2026-11-23T09:05:07.25Z".parse().unwrap(),
            id: "the-id",
            trace: "Root=1-0-0",
        };
        event(&parts, &Bytes::from_static(body), &route, &arrival)
    }

    #[test]
    fn a_request_becomes_the_documented_event() {
        let request = Request::put("/products/iphone15/stock?dry=run")
            .header("Host", "shop.example:3000")
            .header("User-Agent", "curl/8")
            .header("Content-Type", "application/json")
            .body(())
            .unwrap();
        assert_eq!(
            made(request, br#"{"quantity":5}"#),
            json!({
                "version": "2.0",
                "routeKey": "PUT /products/{productId}/stock",
                "rawPath": "/products/iphone15/stock",
                "rawQueryString": "dry=run",
                "headers": {
                    "content-type": "application/json",
                    "host": "shop.example:3000",
                    "user-agent": "curl/8",
                    "x-amzn-trace-id": "Root=1-0-0",
                    "x-forwarded-for": "127.0.0.1",
                    "x-forwarded-port": "3000",
                    "x-forwarded-proto": "http",
                },
                "queryStringParameters": { "dry": "run" },
                "requestContext": {
                    "accountId": "000000000000",
                    "apiId": "local",
                    "domainName": "shop.example",
                    "domainPrefix": "shop",
                    "http": {
                        "method": "PUT",
                        "path": "/products/iphone15/stock",
                        "protocol": "HTTP/1.1",
                        "sourceIp": "127.0.0.1",
                        "userAgent": "curl/8",
                    },
                    "requestId": "the-id",
                    "routeKey": "PUT /products/{productId}/stock",
                    "stage": "$default",
                    "time": "23/Nov/2026:09:05:07 +0000",
                    "timeEpoch": 1_795_424_707_250_i64,
                },
                "pathParameters": { "productId": "iphone15" },
                "body": r#"{"quantity":5}"#,
                "isBase64Encoded": false,
            })
        );
    }

    #[test]
    fn it_is_an_event_that_the_functions_library_reads() {
        let request = Request::get("/unsubscribe/t").header("Cookie", "a=1").body(()).unwrap();
        let text = made(request, b"").to_string();
        let read: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["routeKey"], "GET /unsubscribe/{token}");
        for absent in ["body", "stageVariables", "queryStringParameters"] {
            assert!(read.get(absent).is_none(), "{absent}");
        }
        assert_eq!(read["isBase64Encoded"], false);
    }

    #[test]
    fn non_ascii_paths_are_decoded_once_and_bytes_that_are_not_text_do_not_fail() {
        let get = |path: &str| made(Request::get(path).body(()).unwrap(), b"");
        let event = get("/unsubscribe/%C3%A4%2F%2525");
        assert_eq!(event["rawPath"], "/unsubscribe/ä/%25");
        assert_eq!(event["pathParameters"]["token"], "ä/%25");
        assert_eq!(get("/unsubscribe/%FF")["pathParameters"]["token"], "\u{fffd}");
    }

    #[test]
    fn same_named_headers_and_query_parameters_are_joined_with_commas() {
        let request = Request::get("/x?a=1&b=%26+c&a=2&flag")
            .header("X-Two", "one")
            .header("X-Two", "two")
            .header("X-Bytes", &b"caf\xc3\xa9"[..])
            .body(())
            .unwrap();
        let event = made(request, b"");
        assert_eq!(event["headers"]["x-two"], "one,two");
        assert_eq!(event["headers"]["x-bytes"], "café");
        let expected = json!({ "a": "1,2", "b": "& c", "flag": "" });
        assert_eq!(event["queryStringParameters"], expected);
        assert_eq!(event["rawQueryString"], "a=1&b=%26+c&a=2&flag");
    }

    #[test]
    fn cookies_have_a_place_of_their_own() {
        let request =
            Request::get("/x").header("Cookie", "a=1; b=2").header("Cookie", "c=3").body(()).unwrap();
        let event = made(request, b"");
        assert_eq!(event["cookies"], json!(["a=1", "b=2", "c=3"]));
        assert!(event["headers"].get("cookie").is_none());
    }

    #[test]
    fn a_body_is_text_only_where_api_gateway_takes_it_for_text() {
        for (content_type, body, expected) in [
            (Some("application/json; charset=utf-8"), &b"{}"[..], json!(["{}", false])),
            (Some("Text/Plain"), b"hi", json!(["hi", false])),
            (Some("application/x-www-form-urlencoded"), b"a=1", json!(["YT0x", true])),
            (Some("application/octet-stream"), b"\x00\xff", json!(["AP8=", true])),
            (Some("application/json"), b"\xff", json!(["/w==", true])),
            (None, b"{}", json!(["e30=", true])),
        ] {
            let mut request = Request::post("/x");
            if let Some(content_type) = content_type {
                request = request.header("Content-Type", content_type);
            }
            let event = made(request.body(()).unwrap(), body);
            let found = json!([event["body"], event["isBase64Encoded"]]);
            assert_eq!(found, expected, "{content_type:?}");
        }
    }
}
