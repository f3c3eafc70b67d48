//! Cross-origin requests: a page that this machine serves on another port may call the API, as a
//! shop's development server does; a page from anywhere else may not.

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use url::{Host, Url};

/// The origin of a request, if it is one of this machine.
pub(super) fn origin(headers: &HeaderMap) -> Option<HeaderValue> {
    let origin = headers.get(ORIGIN)?;
    let url = Url::parse(origin.to_str().ok()?).ok()?;
    let local = match url.host()? {
        Host::Domain(name) => name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    };
    local.then(|| origin.clone())
}

/// True if a browser sent the request for a page from elsewhere.
pub(super) fn is_foreign(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) && origin(headers).is_none()
}

/// The answer to a preflight request, which the gateway gives without asking a function.
pub(super) fn preflight(method: &Method, headers: &HeaderMap) -> Option<Response> {
    if *method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Some(origin) = origin(headers) {
        let own = response.headers_mut();
        allow(own, Some(origin));
        own.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET,POST,PUT"));
        own.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type,idempotency-key"));
        own.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    Some(response)
}

/// Lets the page at `origin` read the response.
pub(super) fn allow(headers: &mut HeaderMap, origin: Option<HeaderValue>) {
    if let Some(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(origin: &'static str) -> HeaderMap {
        [(ORIGIN, HeaderValue::from_static(origin))].into_iter().collect()
    }

    #[test]
    fn only_origins_of_this_machine_are_let_in() {
        for local in ["http://localhost:5173", "http://127.0.0.1:8080", "http://[::1]:1"] {
            assert!(origin(&from(local)).is_some() && !is_foreign(&from(local)), "{local}");
        }
        for foreign in ["https://example.com", "http://localhost.example.com", "null"] {
            assert!(origin(&from(foreign)).is_none() && is_foreign(&from(foreign)), "{foreign}");
        }
        assert!(!is_foreign(&HeaderMap::new()));
    }
}
