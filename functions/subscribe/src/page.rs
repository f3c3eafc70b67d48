//! The pages that links in emails lead to: one heading, a few sentences, a form at most.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use http::StatusCode;
use lambda::http::page;

const STYLE: &str = ":root{color-scheme:light dark}body{font:18px/1.5 system-ui,sans-serif;max-width:32rem;\
                     margin:15vh auto;padding:0 1rem}button{font:inherit;padding:.6rem 1.2rem}";

/// A page in a language. `title` and `body` are HTML.
pub(crate) fn show(status: StatusCode, language: &str, title: &str, body: &str) -> ApiGatewayV2httpResponse {
    page(
        status,
        language,
        format!(
            "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
             <style>{STYLE}</style></head><body><main><h1>{title}</h1>{body}</main></body></html>"
        ),
    )
}

/// A paragraph.
pub(crate) fn paragraph(text: &str) -> String {
    format!("<p>{text}</p>")
}

/// A form with nothing but its button, which sends a POST to the page's own address.
pub(crate) fn button(label: &str) -> String {
    format!("<form method=\"post\"><button type=\"submit\">{label}</button></form>")
}
