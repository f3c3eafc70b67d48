//! Leaving a waitlist, by the link in a mail. A GET changes nothing, because mail scanners follow
//! links; the page's button and a mail program's one-click (RFC 8058) send a POST.
//!
//! The pages are in the language of the mail that the link is from; where its entry is gone, or the
//! link is not one of ours, in the one that the browser asks for.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::{Subscriber, unsubscribe::Ticket};
use http::StatusCode;
use lambda::http::{Problem, header, page};
use lambda::table::{Entry, ItemKey, Subscription, TableError};
use serde::Deserialize;

use crate::{
    App,
    join::{Transacted, delete_item, delete_subscription, give_way, transact},
    unavailable,
    words::{self, Words},
};

/// A shopper who asks again at the same moment gets in the way a few times at most.
const ROUNDS: u32 = 10;

/// The page that asks.
pub(crate) async fn ask(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    token: &str,
) -> ApiGatewayV2httpResponse {
    let Some(ticket) = Ticket::verify(token, &app.config.key) else { return unknown(request) };
    let words = words(app, request, &ticket).await;
    let Words { question, explanation, button, .. } = words;
    let form =
        format!("<p>{explanation}</p><form method=\"post\"><button type=\"submit\">{button}</button></form>");
    show(StatusCode::OK, words, question, &form)
}

/// Ends the subscription that the mail was for.
pub(crate) async fn answer(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    token: &str,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let Some(ticket) = Ticket::verify(token, &app.config.key) else { return Ok(unknown(request)) };
    // Before it is gone.
    let words = words(app, request, &ticket).await;
    leave(app, &ticket).await.map_err(unavailable)?;
    tracing::info!(product = %ticket.product, shard = %ticket.shard, "unsubscribed");
    Ok(show(StatusCode::OK, words, words.done, &format!("<p>{}</p>", words.done_explanation)))
}

fn unknown(request: &ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    let words = words::preferred(header(request, "accept-language"));
    let body = format!("<p>{}</p>", words.invalid_explanation);
    show(StatusCode::NOT_FOUND, words, words.invalid, &body)
}

/// The words of the mail's language. A table that does not answer is no reason to show no page.
async fn words(app: &App, request: &ApiGatewayV2httpRequest, ticket: &Ticket) -> &'static Words {
    let mailed = ItemKey::entry(&ticket.product, ticket.shard, ticket.position);
    match app.table.get::<Entry>(&mailed, "entry").await {
        // A language that mails do not have was written to in English.
        Ok(Some(entry)) => words::of(entry.locale.language()).unwrap_or(words::preferred(None)),
        Ok(None) => words::preferred(header(request, "accept-language")),
        Err(error) => {
            tracing::warn!(error = %lambda::error_chain(&error), "the language of a mail is not known");
            words::preferred(header(request, "accept-language"))
        }
    }
}

/// Whose an entry is. Nothing else of it is read: whoever cannot be mailed can still leave.
#[derive(Deserialize)]
struct Owner {
    subscriber: String,
}

async fn leave(app: &App, ticket: &Ticket) -> Result<(), TableError> {
    let mailed = ItemKey::entry(&ticket.product, ticket.shard, ticket.position);
    for round in 0..ROUNDS {
        give_way(round).await;
        // Gone: they have left already, or it was so long ago that the table forgot it.
        let Some(Owner { subscriber }) = app.table.get(&mailed, "entry").await? else { return Ok(()) };
        let key = ItemKey::subscription(&Subscriber::from_key(&subscriber), &ticket.product);
        let mut writes = vec![delete_item(app, &mailed)?];
        if let Some(now) = app.table.get::<Subscription>(&key, "subscription").await? {
            // They may have asked again since the mail, and stand elsewhere.
            if (now.shard, now.position) != (ticket.shard, ticket.position) {
                writes.push(delete_item(app, &ItemKey::entry(&ticket.product, now.shard, now.position))?);
            }
            writes.push(delete_subscription(app, &key, now.position)?);
        }
        if matches!(transact(app, writes).await?, Transacted::Done) {
            return Ok(());
        }
    }
    Err(TableError::contended("a subscription"))
}

fn show(status: StatusCode, words: &Words, title: &str, body: &str) -> ApiGatewayV2httpResponse {
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

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use aws_sdk_dynamodb::types::AttributeValue;
    use domain::ProductId;
    use lambda::table::{Item, read};

    use super::*;

    fn text(value: &str) -> AttributeValue {
        AttributeValue::S(value.to_owned())
    }

    /// Earlier versions knew a shopper with a user id by that, and took addresses that are refused
    /// today. Who waits since then is told, and leaves by the link in the mail.
    #[test]
    fn what_an_earlier_version_wrote_is_read_and_found_by_the_entry_of_a_mail() {
        let ttl = || ("ttl".to_owned(), AttributeValue::N("1900000000".to_owned()));
        let entry = Item::from([
            ("subscriber".to_owned(), text("u:user-1")),
            ("address".to_owned(), text("jo@my_shop.example.com")),
            ("locale".to_owned(), text("de-AT")),
            ("name".to_owned(), text("Jo <b>")),
            ttl(),
        ]);
        let entry: Entry = read(entry, "entry").unwrap();
        let product = ProductId::parse("iphone15").unwrap();
        let key = ItemKey::subscription(&Subscriber::from_key(&entry.subscriber), &product);
        assert_eq!((key.pk.as_str(), key.sk.as_str()), ("S#u:user-1", "P#iphone15"));

        let subscription = Item::from([
            ("position".to_owned(), text("01JD0000000000000000000000")),
            ("shard".to_owned(), AttributeValue::N("3".to_owned())),
            ("createdAt".to_owned(), text("2026-11-23T09:30:00Z")),
            ("channel".to_owned(), text("email")),
            ("consent".to_owned(), text("asked for one mail per restock of this product")),
            ("locale".to_owned(), text("de-AT")),
            ttl(),
        ]);
        let subscription: Subscription = read(subscription, "subscription").unwrap();
        assert_eq!((subscription.shard.0, subscription.user_id), (3, None));
    }
}
