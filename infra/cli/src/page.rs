//! The page at `/`: a small shop, the stock switches of its inventory, and the inbox.
//!
//! Plain files, built into the program, and [`rules`] for what the API does not say. What the page shows and calls is in
//! `app.js`; this file only serves it, and says in a Content-Security-Policy that it loads nothing from elsewhere.

use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;

pub(crate) mod rules;

/// Everything from here, no inline script, no frame of anything else.
///
/// An email is shown in a sandboxed `srcdoc` frame, which inherits this policy: hence inline styles, which emails need.
/// Its scripts are stopped by both, and pictures from other hosts stay away, so opening an email notifies no other host.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Path, content type, content.
const ASSETS: [(&str, &str, &str); 10] = [
    ("/", "text/html; charset=utf-8", include_str!("page/index.html")),
    ("/page/style.css", "text/css; charset=utf-8", include_str!("page/style.css")),
    ("/page/app.js", "text/javascript; charset=utf-8", include_str!("page/app.js")),
    ("/page/pictures/bell.svg", SVG, include_str!("page/pictures/bell.svg")),
    ("/page/pictures/iphone15.svg", SVG, include_str!("page/pictures/iphone15.svg")),
    ("/page/pictures/moka-pot.svg", SVG, include_str!("page/pictures/moka-pot.svg")),
    ("/page/pictures/rangefinder.svg", SVG, include_str!("page/pictures/rangefinder.svg")),
    ("/page/pictures/arc-lamp.svg", SVG, include_str!("page/pictures/arc-lamp.svg")),
    ("/page/pictures/headphones.svg", SVG, include_str!("page/pictures/headphones.svg")),
    ("/page/pictures/city-bike.svg", SVG, include_str!("page/pictures/city-bike.svg")),
];
const SVG: &str = "image/svg+xml";

/// `/` and `/page/*`.
pub(crate) fn router() -> Router {
    ASSETS.into_iter().fold(Router::new(), |router, (path, content_type, content)| {
        router.route(path, get(async move || asset(content_type, content)))
    })
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
