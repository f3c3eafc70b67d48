//! Confirming an ask, by the link in the email that asks for it. A GET changes nothing, because mail scanners follow links;
//! the page's button sends a POST. To press it twice is no mistake.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::Lane;
use domain::link::{Confirm, Refused};
use domain::subscribing::Outcome;
use domain::suppression::Reason;
use http::StatusCode;
use jiff::Timestamp;
use lambda::clock;
use lambda::http::{Problem, header};
use store::StoreError;
use store::person::Person;

use crate::confirm_words::{self, Words};
use crate::subscribe::confirm;
use crate::{App, page, unavailable, words};

/// The page that asks.
pub(crate) async fn ask(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    token: &str,
) -> ApiGatewayV2httpResponse {
    let now = clock::now();
    let link = match Confirm::verify(token, &app.config.key, now) {
        Ok(link) => link,
        Err(refused) => return refuse(preferred(request), refused),
    };
    let words = match app.store.subscriptions().find(link.person, &link.product).await {
        Ok(Some(found)) if !found.is_expired(now) => confirm_words::of(found.locale.language()),
        Ok(_) => return refuse(preferred(request), Refused::Expired),
        // A table that does not answer is no reason to show no page.
        Err(error) => {
            tracing::warn!(error = %lambda::error_chain(&error), "the language of an ask is not known");
            preferred(request)
        }
    };
    let body = page::paragraph(words.explanation) + &page::button(words.button);
    page::show(StatusCode::OK, words.language, words.question, &body)
}

/// Confirms the ask that the email was for.
pub(crate) async fn answer(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    token: &str,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let now = clock::now();
    let link = match Confirm::verify(token, &app.config.key, now) {
        Ok(link) => link,
        Err(refused) => return Ok(refuse(preferred(request), refused)),
    };
    let person = app.store.persons().read(link.person).await.map_err(unavailable)?;
    if !may_confirm(&person) {
        return Ok(refuse(preferred(request), Refused::Expired));
    }
    // The lane is that of the ask.
    let confirmed = confirm(app, link.person, &link.product, link.position, Lane::Mail).await;
    let confirmed = confirmed.map_err(unavailable)?;
    let words = confirmed.locale.as_ref().map(|locale| confirm_words::of(locale.language()));
    let words = words.unwrap_or_else(|| preferred(request));
    let (title, text) = match confirmed.outcome {
        Outcome::Subscribed(subscribed) if subscribed.in_stock => (words.done, words.in_stock),
        Outcome::Subscribed(_) => (words.done, words.sold_out),
        Outcome::Over => (words.over, words.over_explanation),
        Outcome::Gone | Outcome::Contended => return Ok(refuse(words, Refused::Expired)),
    };
    settle(app, &link, &person, now).await.map_err(unavailable)?;
    tracing::info!(product = %link.product, "confirmed");
    Ok(page::show(StatusCode::OK, words.language, title, &page::paragraph(text)))
}

/// Whether a person may confirm: one who is to be left alone only where it was their own word, and this is their new one.
fn may_confirm(person: &Person) -> bool {
    person.suppressed.is_none_or(|suppression| suppression.reason.lets_confirmations_through())
}

/// Writes down what follows from a confirmation that came to its end. The record of the ask comes first: once it says so, a
/// later confirmation whose turn is over takes no new place.
async fn settle(app: &App, link: &Confirm, person: &Person, now: Timestamp) -> Result<(), StoreError> {
    let (store, who) = (&app.store, link.person);
    store.consents().confirm(who, link.position, now).await.map(drop)?;
    if person.confirmed_at.is_none() {
        store.persons().confirm(who, now).await.map(drop)?;
    }
    if person.suppressed.is_some() {
        store.persons().lift(who, Reason::OptedOut).await.map(drop)?;
    }
    Ok(())
}

fn refuse(words: &Words, refused: Refused) -> ApiGatewayV2httpResponse {
    let (status, title, text) = match refused {
        Refused::Unknown => (StatusCode::NOT_FOUND, words.invalid, words.invalid_explanation),
        Refused::Expired => (StatusCode::GONE, words.gone, words.gone_explanation),
    };
    page::show(status, words.language, title, &page::paragraph(text))
}

/// The words of the language that the browser asks for.
fn preferred(request: &ApiGatewayV2httpRequest) -> &'static Words {
    confirm_words::of(words::preferred(header(request, "accept-language")).language)
}
