//! A person's alerts, by the link that was mailed to them: a page that shows them, and what its buttons do. A GET changes
//! nothing, because mail scanners follow links.
//!
//! After a button the same page is shown again with what was done, status 200: it works behind every proxy and stage, and to
//! load it anew repeats what is done already and changes nothing more.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::link::Manage;
use domain::suppression::Reason;
use domain::{Invalid, PersonId, ProductId};
use http::StatusCode;
use lambda::clock;
use lambda::http::{Problem, download, header, json};
use store::people::{self, Everything};
use store::{StoreError, erase};

use crate::{App, form, unavailable};

pub(crate) mod link;
mod page;
mod words;

use page::Links;
use words::Words;

/// What is asked of a person's alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Act {
    /// Show them.
    Show,
    /// End one.
    Leave,
    /// End all.
    LeaveAll,
    /// End all, and never send any again.
    Never,
    /// Show the page that asks whether everything is to be erased.
    AskErase,
    /// Erase everything.
    Erase,
    /// Give everything that is kept.
    Export,
}

/// Does it.
pub(crate) async fn answer(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    token: &str,
    act: Act,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let person = match Manage::verify(token, &app.config.key, clock::now()) {
        Ok(Manage { person, .. }) => person,
        Err(refused) => return Ok(page::refused(preferred(request), request, refused)),
    };
    if act == Act::Export {
        return export(app, person).await;
    }
    let found = read(app, person).await?;
    // Before it is gone.
    let words = found.locale().map_or_else(|| preferred(request), |locale| words::of(locale.language()));
    let links = Links::of(request, token);
    match act {
        Act::Show | Act::Export => Ok(page::list(words, &links, &found, None)),
        Act::AskErase => Ok(page::erase_question(words, &links)),
        Act::Leave => {
            let done = leave(app, request, person, &found, words).await?;
            Ok(page::list(words, &links, &read(app, person).await?, Some(&done)))
        }
        Act::LeaveAll => {
            let ended = erase::end_all(&app.store, person).await.map_err(unavailable)?;
            tracing::info!(ended, "a person has left everything");
            Ok(page::list(words, &links, &read(app, person).await?, Some(words.left_all)))
        }
        Act::Never => {
            never(app, person).await.map_err(unavailable)?;
            Ok(page::done(words, words.nevered, words.nevered_explanation))
        }
        Act::Erase => {
            let erased = erase::erase(&app.store, person, None).await.map_err(unavailable)?;
            tracing::info!(ended = erased.subscriptions, "a person has erased what was kept of them");
            Ok(page::done(words, words.erased, words.erased_explanation))
        }
    }
}

async fn read(app: &App, person: PersonId) -> Result<Everything, Problem> {
    people::everything(&app.store, person, clock::now()).await.map_err(unavailable)
}

async fn export(app: &App, person: PersonId) -> Result<ApiGatewayV2httpResponse, Problem> {
    let export = people::export(&app.store, &[person], clock::now()).await.map_err(unavailable)?;
    Ok(download(json(StatusCode::OK, &export), "my-alerts.json"))
}

/// Ends the alert that the form names. Gives what the page says of it.
async fn leave(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    person: PersonId,
    found: &Everything,
    words: &Words,
) -> Result<String, Problem> {
    let missing = || Invalid::new("productId", "is missing", "the id of a product, as a field of a form");
    let form = form::filled_in(request, app.config.max_body)?.ok_or_else(missing)?;
    let product = ProductId::parse(form["productId"].as_str().ok_or_else(missing)?)?;
    let ended = erase::end(&app.store, person, &product).await.map_err(unavailable)?;
    tracing::info!(%product, ended, "a person has left");
    let title = found.alerts.iter().find(|alert| alert.product == product);
    Ok(words.left.replace("{product}", title.map_or(product.as_str(), store::people::Alert::title)))
}

async fn never(app: &App, person: PersonId) -> Result<(), StoreError> {
    let _ = erase::suppress(&app.store, person, Reason::Abuse, clock::now()).await?;
    tracing::info!("a person wants no email");
    Ok(())
}

/// The words of the language that the browser asks for.
fn preferred(request: &ApiGatewayV2httpRequest) -> &'static Words {
    words::of(crate::words::preferred(header(request, "accept-language")).language)
}
