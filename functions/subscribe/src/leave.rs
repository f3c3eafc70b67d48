//! Leaving a waitlist, by the link in an email. A GET changes nothing, because mail scanners follow
//! links; the page's button and an email program's one-click (RFC 8058) send a POST.
//!
//! The pages are in the language of the email that the link is from; where its entry is gone, or the
//! link is not one of ours, in the one that the browser asks for.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::unsubscribe::Ticket;
use http::StatusCode;
use lambda::http::{Problem, header, page};
use store::{Store, StoreError};

use crate::subscribe::backoff;
use crate::words::{self, Words};
use crate::{App, unavailable};

/// A shopper who subscribes again at the same moment conflicts with this a few times at most.
const ROUNDS: u32 = 10;

/// The page that asks.
pub(crate) async fn ask(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    token: &str,
) -> ApiGatewayV2httpResponse {
    let Some(ticket) = Ticket::verify(token, &app.config.key) else { return unknown(request) };
    let words = words(&app.store, request, &ticket).await;
    let Words { question, explanation, button, .. } = words;
    let form =
        format!("<p>{explanation}</p><form method=\"post\"><button type=\"submit\">{button}</button></form>");
    show(StatusCode::OK, words, question, &form)
}

/// Ends the subscription that the email was for.
pub(crate) async fn answer(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    token: &str,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let Some(ticket) = Ticket::verify(token, &app.config.key) else { return Ok(unknown(request)) };
    // Before it is gone.
    let words = words(&app.store, request, &ticket).await;
    leave(&app.store, &ticket).await.map_err(unavailable)?;
    tracing::info!(product = %ticket.product, shard = %ticket.shard, "unsubscribed");
    Ok(show(StatusCode::OK, words, words.done, &format!("<p>{}</p>", words.done_explanation)))
}

fn unknown(request: &ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    let words = words::preferred(header(request, "accept-language"));
    let body = format!("<p>{}</p>", words.invalid_explanation);
    show(StatusCode::NOT_FOUND, words, words.invalid, &body)
}

/// The words of the email's language. A table that does not answer is no reason to show no page.
async fn words(store: &Store, request: &ApiGatewayV2httpRequest, ticket: &Ticket) -> &'static Words {
    match store.waitlist(&ticket.product, ticket.shard).entry(ticket.position).await {
        // A language that emails do not have was written to in English.
        Ok(Some(entry)) => words::of(entry.locale.language()).unwrap_or(words::preferred(None)),
        Ok(None) => words::preferred(header(request, "accept-language")),
        Err(error) => {
            tracing::warn!(error = %lambda::error_chain(&error), "the language of an email is not known");
            words::preferred(header(request, "accept-language"))
        }
    }
}

async fn leave(store: &Store, ticket: &Ticket) -> Result<(), StoreError> {
    let mailed = (ticket.shard, ticket.position);
    for round in 0..ROUNDS {
        backoff(round).await;
        // Gone: unsubscribed already, or so long ago that the table forgot it.
        let waitlist = store.waitlist(&ticket.product, ticket.shard);
        let Some(subscriber) = waitlist.subscriber(ticket.position).await? else { return Ok(()) };
        // It may have been asked for again since the email, and stand elsewhere.
        let subscription = store.subscriptions().find(subscriber, &ticket.product).await?;
        let found = subscription.as_ref().map(|subscription| (subscriber, subscription));
        if store.subscriptions().leave(&ticket.product, mailed, found).await?.is_applied() {
            return Ok(());
        }
    }
    Err(StoreError::contended("a subscription"))
}

/// A page with a heading, in the language of these words.
pub(crate) fn show(status: StatusCode, words: &Words, title: &str, body: &str) -> ApiGatewayV2httpResponse {
    let language = words.language;
    page(
        status,
        language,
        format!(
            "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
             <style>:root{{color-scheme:light dark}}body{{font:18px/1.5 system-ui,sans-serif;max-width:32rem;\
             margin:15vh auto;padding:0 1rem}}button{{font:inherit;padding:.6rem 1.2rem}}</style></head>\
             <body><main><h1>{title}</h1>{body}</main></body></html>"
        ),
    )
}
