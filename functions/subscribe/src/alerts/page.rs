//! The pages of a person's alerts, as HTML. They load nothing, and every change is a button that sends a POST.
//!
//! Their links are relative to `/alerts/`, so that they lead there through whatever a proxy has put in front of it.

use std::fmt::Write as _;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::link::Refused;
use domain::mail::escaped;
use http::StatusCode;
use store::people::{Alert, Everything};

use super::words::Words;
use crate::page::show;

/// The way from a request's path to `/alerts/`: one step up for each segment that follows the first.
fn base(request: &ApiGatewayV2httpRequest) -> String {
    let path = request.raw_path.as_deref().unwrap_or_default();
    let rest = path.rsplit_once("/alerts/").map_or("", |(_, rest)| rest);
    "../".repeat(rest.matches('/').count())
}

/// Where a person's pages lie, seen from the request's.
pub(super) struct Links {
    own: String,
    link: String,
}

impl Links {
    pub(super) fn of(request: &ApiGatewayV2httpRequest, token: &str) -> Self {
        let base = base(request);
        Self { own: escaped(&format!("{base}{token}")), link: format!("{base}link") }
    }
}

/// The list of a person's alerts, under what was just done.
pub(super) fn list(
    words: &'static Words,
    links: &Links,
    found: &Everything,
    done: Option<&str>,
) -> ApiGatewayV2httpResponse {
    let mut body = String::new();
    if let Some(done) = done {
        // Writing to a string does not fail.
        let _ = write!(body, "<p role=\"status\"><strong>{}</strong></p>", escaped(done));
    }
    if found.alerts.is_empty() {
        let _ = write!(body, "<p>{}</p>", words.none);
    } else {
        body.push_str("<ul style=\"padding-left:1.2rem\">");
        body.extend(found.alerts.iter().map(|alert| item(words, links, alert)));
        body.push_str("</ul>");
        body.push_str(&button("post", &format!("{}/leave-all", links.own), words.leave_all, ""));
    }
    let _ = write!(
        body,
        "<h2>{data}</h2><p><a href=\"{own}/export\" download>{export}</a></p><p>{explanation}</p>{never}{erase}",
        data = words.data,
        own = links.own,
        export = words.export,
        explanation = words.never_explanation,
        never = button("post", &format!("{}/never", links.own), words.never, ""),
        erase = button("get", &format!("{}/erase", links.own), words.erase, ""),
    );
    page(StatusCode::OK, words, words.title, &body)
}

fn item(words: &Words, links: &Links, alert: &Alert) -> String {
    let title = escaped(alert.title());
    let day = alert.subscription.created_at.strftime("%Y-%m-%d");
    let id = escaped(alert.product.as_str());
    let form = format!(
        "<form method=\"post\" action=\"{own}/leave\"><input type=\"hidden\" name=\"productId\" value=\"{id}\">\
         <button type=\"submit\" aria-label=\"{leave}: {title}\">{leave}</button></form>",
        own = links.own,
        leave = words.leave,
    );
    format!(
        "<li style=\"margin-bottom:1rem\"><strong>{title}</strong><br>{since} <time>{day}</time>, \
         <span data-state=\"{word}\">{state}</span>{form}</li>",
        since = words.since,
        word = alert.state.word(),
        state = words.state(alert.state),
    )
}

fn button(method: &str, action: &str, label: &str, fields: &str) -> String {
    format!(
        "<form method=\"{method}\" action=\"{action}\" style=\"margin:1rem 0\">{fields}<button type=\"submit\">{label}</button></form>"
    )
}

/// The page that asks whether everything is to be erased.
pub(super) fn erase_question(words: &'static Words, links: &Links) -> ApiGatewayV2httpResponse {
    let body = format!(
        "<p>{}</p>{}<p><a href=\"{}\">{}</a></p>",
        words.erase_explanation,
        button("post", &format!("{}/erase", links.own), words.erase_yes, ""),
        links.own,
        words.back
    );
    page(StatusCode::OK, words, words.erase_question, &body)
}

/// A page that says what was done, for good.
pub(super) fn done(words: &'static Words, title: &str, explanation: &str) -> ApiGatewayV2httpResponse {
    page(StatusCode::OK, words, title, &format!("<p>{explanation}</p>"))
}

/// The page of a link that opens nothing, with a form that asks for another.
pub(super) fn refused(
    words: &'static Words,
    request: &ApiGatewayV2httpRequest,
    refused: Refused,
) -> ApiGatewayV2httpResponse {
    let (status, title) = match refused {
        Refused::Expired => (StatusCode::GONE, words.expired),
        Refused::Unknown => (StatusCode::NOT_FOUND, words.unknown),
    };
    page(status, words, title, &form(words, &Links::of(request, "").link, ""))
}

/// The same form, once more because of what was written into it.
pub(super) fn bad_address(
    words: &'static Words,
    request: &ApiGatewayV2httpRequest,
) -> ApiGatewayV2httpResponse {
    let problem = format!("<p role=\"alert\" id=\"problem\">{}</p>", words.bad_address);
    let form =
        form(words, &Links::of(request, "").link, " aria-invalid=\"true\" aria-describedby=\"problem\"");
    page(StatusCode::BAD_REQUEST, words, words.title, &(problem + &form))
}

fn form(words: &Words, action: &str, state: &str) -> String {
    let fields = format!(
        "<p><label for=\"email\">{}</label><br><input id=\"email\" name=\"email\" type=\"email\" autocomplete=\"email\" required \
         style=\"font:inherit;padding:.5rem;width:100%;box-sizing:border-box\"{state}></p>",
        words.email
    );
    format!("<p>{}</p>{}", words.ask_explanation, button("post", action, words.send, &fields))
}

/// The answer to the form, whatever is kept.
pub(super) fn sent(words: &'static Words) -> ApiGatewayV2httpResponse {
    page(StatusCode::ACCEPTED, words, words.sent, &format!("<p>{}</p>", words.sent_explanation))
}

fn page(status: StatusCode, words: &Words, title: &str, body: &str) -> ApiGatewayV2httpResponse {
    show(status, words.language, title, body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_alerts_from_wherever_the_page_was_reached() {
        for (path, from) in [
            ("/alerts/t", ""),
            ("/alerts/t/", "../"),
            ("/stage/alerts/t", ""),
            ("/alerts/t/leave", "../"),
            ("/alerts/t/leave/", "../../"),
            ("/alerts/link", ""),
            ("", ""),
        ] {
            let mut request = ApiGatewayV2httpRequest::default();
            request.raw_path = Some(path.to_owned());
            assert_eq!(base(&request), from, "{path}");
        }
    }
}
