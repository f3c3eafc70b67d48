//! Leaving a waitlist, by the link in a mail. A GET changes nothing, because mail scanners follow
//! links; the page's button and a mail program's one-click (RFC 8058) send a POST.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use domain::{Subscriber, unsubscribe::Ticket};
use http::StatusCode;
use platform::{
    http::{Problem, page},
    table::{ItemKey, Subscription, TableError},
};
use serde::Deserialize;

use crate::{
    App,
    join::{Transacted, delete_item, delete_subscription, give_way, transact},
    unavailable,
};

/// A shopper who asks again at the same moment gets in the way a few times at most.
const ROUNDS: u32 = 10;

/// The page that asks.
pub(crate) fn ask(app: &App, token: &str) -> ApiGatewayV2httpResponse {
    match Ticket::verify(token, &app.config.key) {
        Some(_) => show(
            StatusCode::OK,
            "Do not tell me any more?",
            "<p>You asked to be told when a product is back in stock.</p>\
             <form method=\"post\"><button type=\"submit\">Do not tell me any more</button></form>",
        ),
        None => unknown(),
    }
}

/// Ends the subscription that the mail was for.
pub(crate) async fn answer(app: &App, token: &str) -> Result<ApiGatewayV2httpResponse, Problem> {
    let Some(ticket) = Ticket::verify(token, &app.config.key) else { return Ok(unknown()) };
    leave(app, &ticket).await.map_err(unavailable)?;
    tracing::info!(product = %ticket.product, shard = %ticket.shard, "unsubscribed");
    Ok(show(StatusCode::OK, "Done", "<p>You will not be told about this product.</p>"))
}

fn unknown() -> ApiGatewayV2httpResponse {
    show(
        StatusCode::NOT_FOUND,
        "This link is not one of ours",
        "<p>Please use the link as it stands in the mail, to its last character.</p>",
    )
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

fn show(status: StatusCode, title: &str, body: &str) -> ApiGatewayV2httpResponse {
    page(
        status,
        format!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>{title}</title>\
             <style>:root{{color-scheme:light dark}}body{{font:18px/1.5 system-ui,sans-serif;max-width:32rem;\
             margin:15vh auto;padding:0 1rem}}button{{font:inherit;padding:.6rem 1.2rem}}</style></head>\
             <body><main><h1>{title}</h1>{body}</main></body></html>"
        ),
    )
}
