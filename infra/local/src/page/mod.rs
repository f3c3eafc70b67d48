//! The page at `/`: a small shop, the stock switches of its inventory, and the inbox.
//!
//! Plain files, built into the program. The page may load nothing from elsewhere, and says so in its
//! Content-Security-Policy. What it shows and calls is in `app.js`.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

/// Everything from here and nothing inline. A mail is shown in a sandboxed frame of its own origin, which
/// inherits this policy: hence inline styles, which mails need, and pictures by link. Scripts never run in it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data: http: https:; connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

const HTML: &str = include_str!("index.html");
const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("app.js");

pub(crate) fn router() -> Router {
    Router::new()
        .route("/", get(async || asset("text/html; charset=utf-8", HTML)))
        .route(
            "/page/style.css",
            get(async || asset("text/css; charset=utf-8", STYLE)),
        )
        .route(
            "/page/app.js",
            get(async || asset("text/javascript; charset=utf-8", SCRIPT)),
        )
}

fn asset(content_type: &'static str, content: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        // Built into the program: a newer program at the same address must not meet an older page.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, content)
}
