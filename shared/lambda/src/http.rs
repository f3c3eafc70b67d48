//! Answers to HTTP requests that came through API Gateway: JSON, pages, and problem documents
//! (RFC 9457) that name the field and what is accepted.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::Invalid;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

/// A request that is refused, or that could not be served. Its type is `about:blank`, which RFC
/// 9457 lets a document leave out: the status says it all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    title: &'static str,
    status: u16,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted: Option<Box<str>>,
    /// Where a challenge can be had whose solution opens the way, relative to the request's own address.
    #[serde(skip_serializing_if = "Option::is_none")]
    challenge: Option<Box<str>>,
    #[serde(skip)]
    headers: Vec<(HeaderName, String)>,
}

impl Problem {
    /// A problem with its status and what happened.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            detail: detail.into(),
            field: None,
            accepted: None,
            challenge: None,
            headers: Vec::new(),
        }
    }

    /// 405 with the methods that are allowed.
    pub fn method_not_allowed(allow: &str) -> Self {
        let problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed");
        Self { accepted: Some(allow.into()), ..problem }.with(header::ALLOW, allow)
    }

    /// 308: the resource is at `location`, which takes the same method and body there.
    pub fn moved(location: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PERMANENT_REDIRECT, detail).with(header::LOCATION, location)
    }

    /// 503: something that is needed does not answer. Nothing was done; it is worth another try.
    pub fn try_later(detail: impl Into<String>, seconds: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail).with(header::RETRY_AFTER, &seconds.to_string())
    }

    /// 429: a limit is used up for so many seconds (RFC 6585, 4). Nothing was done.
    pub fn too_many(seconds: u32) -> Self {
        let detail = format!("too many requests; please try again in {seconds} s");
        Self::new(StatusCode::TOO_MANY_REQUESTS, detail).with(header::RETRY_AFTER, &seconds.to_string())
    }

    /// The same with where a challenge can be had whose solution opens the way.
    #[must_use]
    pub fn challenging(self, location: impl Into<Box<str>>) -> Self {
        Self { challenge: Some(location.into()), ..self }
    }

    /// The same about a field.
    #[must_use]
    pub fn about(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }

    /// Its status.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// The field that it is about.
    pub fn field(&self) -> Option<&'static str> {
        self.field
    }

    /// Another answer to the same request, with the headers of this one.
    #[must_use]
    pub fn told_by(&self, mut response: ApiGatewayV2httpResponse) -> ApiGatewayV2httpResponse {
        for (name, value) in &self.headers {
            set(&mut response.headers, name.clone(), value);
        }
        response
    }

    /// The same with what would be accepted.
    #[must_use]
    pub fn accepting(self, accepted: impl Into<Box<str>>) -> Self {
        Self { accepted: Some(accepted.into()), ..self }
    }

    fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// The answer that carries it.
    pub fn response(&self) -> ApiGatewayV2httpResponse {
        let mut response = json(self.status(), self);
        set(&mut response.headers, header::CONTENT_TYPE, "application/problem+json");
        self.told_by(response)
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        Self {
            field: Some(invalid.field),
            accepted: Some(invalid.accepted.into()),
            ..Self::new(StatusCode::BAD_REQUEST, format!("{} {}", invalid.field, invalid.problem))
        }
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, body: &impl Serialize) -> ApiGatewayV2httpResponse {
    #[expect(clippy::expect_used, reason = "answers are texts and numbers under fixed names")]
    let body = serde_json::to_string(body).expect("an answer serialises");
    answer(status, "application/json", body)
}

/// The same answer, which a cache may give again for so many seconds.
#[must_use]
pub fn cacheable(mut response: ApiGatewayV2httpResponse, seconds: u32) -> ApiGatewayV2httpResponse {
    set(&mut response.headers, header::CACHE_CONTROL, &format!("public, max-age={seconds}"));
    response
}

/// The same answer, which a browser keeps as a file of this name.
#[must_use]
pub fn download(mut response: ApiGatewayV2httpResponse, name: &'static str) -> ApiGatewayV2httpResponse {
    set(&mut response.headers, header::CONTENT_DISPOSITION, &format!("attachment; filename=\"{name}\""));
    response
}

/// An answer without content: 204.
pub fn nothing() -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(StatusCode::NO_CONTENT.as_u16());
    set(&mut response.headers, header::CACHE_CONTROL, "no-store");
    response
}

/// The same answer as one to HEAD: without its body (RFC 9110, 9.3.2).
#[must_use]
pub fn without_body(mut response: ApiGatewayV2httpResponse) -> ApiGatewayV2httpResponse {
    response.body = None;
    response
}

/// 303: what came of the request is told at `location`, which is to be fetched with GET (RFC 9110, 15.4.4).
pub fn see_other(location: &str) -> ApiGatewayV2httpResponse {
    let mut response = answer(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", String::new());
    set(&mut response.headers, header::LOCATION, location);
    response
}

/// An HTML page in a language. It may load nothing and be framed by no page.
pub fn page(status: StatusCode, language: &str, html: String) -> ApiGatewayV2httpResponse {
    let mut response = answer(status, "text/html; charset=utf-8", html);
    let policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'";
    set(&mut response.headers, header::CONTENT_SECURITY_POLICY, policy);
    set(&mut response.headers, header::REFERRER_POLICY, "no-referrer");
    set(&mut response.headers, header::CONTENT_LANGUAGE, language);
    response
}

fn answer(status: StatusCode, kind: &str, body: String) -> ApiGatewayV2httpResponse {
    let mut response = ApiGatewayV2httpResponse::default();
    response.status_code = i64::from(status.as_u16());
    response.body = Some(Body::Text(body));
    set(&mut response.headers, header::CONTENT_TYPE, kind);
    set(&mut response.headers, header::CACHE_CONTROL, "no-store");
    set(&mut response.headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The request's body as bytes, of at most `limit`.
pub fn body(request: &ApiGatewayV2httpRequest, limit: usize) -> Result<Vec<u8>, Problem> {
    let text = request.body.as_deref().unwrap_or_default();
    let too_large = || {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
            .accepting(format!("a body of at most {limit} bytes"))
    };
    // Base 64 is a third longer than what it carries.
    if text.len() / 4 * 3 > limit.saturating_add(3) {
        return Err(too_large());
    }
    let bytes = if request.is_base64_encoded {
        STANDARD.decode(text).map_err(|_| Invalid::new("body", "is not valid base64", "JSON"))?
    } else {
        text.as_bytes().to_vec()
    };
    if bytes.len() > limit { Err(too_large()) } else { Ok(bytes) }
}

/// The byte order mark of UTF-8. .NET and PowerShell write it; RFC 8259, 8.1, lets a reader ignore it.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The request's body as JSON, whatever its content type says it is.
pub fn json_body(request: &ApiGatewayV2httpRequest, limit: usize) -> Result<serde_json::Value, Problem> {
    let bytes = body(request, limit)?;
    let bytes = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Invalid::new("body", "is missing", "a JSON object").into());
    }
    serde_json::from_slice(bytes).map_err(|e| {
        // The parser's own words could repeat a part of the body, so only the place is told.
        let problem = format!("is not JSON (line {}, column {})", e.line(), e.column());
        Invalid::new("body", problem, "a JSON object").into()
    })
}

/// A header's value, whatever the case of its name.
pub fn header<'a>(request: &'a ApiGatewayV2httpRequest, name: &str) -> Option<&'a str> {
    request.headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use serde_json::json;

    use super::*;

    fn request(body: &str, encoded: bool) -> ApiGatewayV2httpRequest {
        let mut request = ApiGatewayV2httpRequest::default();
        request.body = Some(if encoded { STANDARD.encode(body) } else { body.to_owned() });
        request.is_base64_encoded = encoded;
        request
    }

    #[test]
    fn a_byte_order_mark_before_the_body_is_ignored_however_the_body_comes() {
        for encoded in [false, true] {
            let read = |body| json_body(&request(body, encoded), 100);
            assert_eq!(read("\u{feff}{\"a\":1}").unwrap(), json!({ "a": 1 }));
            assert_eq!(read("{\"a\":1}").unwrap(), json!({ "a": 1 }));
            for nothing in ["", "\u{feff}", "\u{feff} \n", "\u{feff}\u{feff}{}", "{\u{feff}}"] {
                assert_eq!(read(nothing).unwrap_err().field, Some("body"), "{nothing:?}");
            }
        }
    }

    #[test]
    fn a_limit_that_is_used_up_says_for_how_long_and_where_there_is_another_way() {
        let problem = Problem::too_many(7).challenging("challenge");
        assert_eq!((problem.status(), problem.field()), (StatusCode::TOO_MANY_REQUESTS, None));
        let page = problem.told_by(page(problem.status(), "en", String::new()));
        for answer in [problem.response(), page] {
            assert_eq!(
                (answer.status_code, &answer.headers["retry-after"]),
                (429, &HeaderValue::from_static("7"))
            );
        }
        let Some(Body::Text(text)) = problem.response().body else { panic!("no text") };
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            document,
            json!({ "title": "Too Many Requests", "status": 429, "detail": "too many requests; please try again in 7 s",
                "challenge": "challenge" })
        );
    }

    #[test]
    fn another_page_is_told_without_a_body_of_its_own() {
        let answer = see_other("https://shop.example/thanks");
        assert_eq!(
            (answer.status_code, &answer.headers["location"]),
            (303, &HeaderValue::from_static("https://shop.example/thanks"))
        );
        assert_eq!(answer.body, Some(Body::Text(String::new())));
    }

    #[test]
    fn an_answer_to_head_is_the_same_without_its_body() {
        let full = cacheable(json(StatusCode::OK, &json!({})), 5);
        let head = without_body(full.clone());
        assert_eq!(
            (head.body, head.status_code, head.headers),
            (None, full.status_code, full.headers.clone())
        );
        assert_eq!(full.headers["cache-control"], "public, max-age=5");
    }
}
