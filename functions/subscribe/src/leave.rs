//! Leaving a waitlist, by the link in an email. A GET changes nothing, because mail scanners follow
//! links; the page's button and an email program's one-click (RFC 8058) send a POST.
//!
//! The pages are in the language of the email that the link is from; where its entry is gone, or the
//! link is not one of ours, in the one that the browser asks for.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::unsubscribe::Ticket;
use http::StatusCode;
use lambda::http::{Problem, header};
use store::{Store, StoreError};

use crate::subscribe::backoff;
use crate::words::{self, Words};
use crate::{App, page, unavailable};

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
    let form = page::paragraph(explanation) + &page::button(button);
    page::show(StatusCode::OK, words.language, question, &form)
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
    Ok(page::show(StatusCode::OK, words.language, words.done, &page::paragraph(words.done_explanation)))
}

fn unknown(request: &ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    let words = words::preferred(header(request, "accept-language"));
    let body = page::paragraph(words.invalid_explanation);
    page::show(StatusCode::NOT_FOUND, words.language, words.invalid, &body)
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
