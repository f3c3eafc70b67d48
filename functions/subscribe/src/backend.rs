//! What the shop's back end may ask of a person: everything that is kept, the end of it, and whether they get email at all.
//! These routes ask for the same login as stock updates, at the API: nothing here is served that came as `$default`.

use std::fmt;
use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::fields::{Fields, without_mark};
use domain::suppression::{Lifter, Reason};
use domain::{Address, Invalid, PersonId, UserId};
use http::StatusCode;
use lambda::clock;
use lambda::http::{Problem, body, json, json_body, nothing};
use serde_json::{Value, json};
use store::person::Lifting;
use store::{StoreError, erase, people};

use crate::{App, unavailable};

/// How long an erasure may take within one request. What is left then is done by the next.
const ERASURE: Duration = Duration::from_secs(7);
/// What names a subscriber.
const ACCEPTED_SUBSCRIBER: &str = "an email address, or a user id of 1 to 255 bytes";
const ACCEPTED_REASON: &str = "bounce, complaint, optedOut, abuse or manual";

/// What is asked of it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Everything that is kept of a subscriber, by address or user id.
    Export(String),
    /// The end of it.
    Erase(String),
    /// Whether an address gets email.
    Suppression(String),
    /// That it gets none.
    Suppress(String),
    /// That it gets some again.
    Lift(String),
}

/// Shows nothing of whom it is about.
impl fmt::Debug for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Export(_) => "Export(…)",
            Self::Erase(_) => "Erase(…)",
            Self::Suppression(_) => "Suppression(…)",
            Self::Suppress(_) => "Suppress(…)",
            Self::Lift(_) => "Lift(…)",
        })
    }
}

/// Does it.
pub(crate) async fn answer(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    wanted: &Wanted,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    match wanted {
        Wanted::Export(subscriber) => export(app, subscriber).await,
        Wanted::Erase(subscriber) => erase_all(app, subscriber).await,
        Wanted::Suppression(address) => suppression(app, person(app, address)?).await,
        Wanted::Suppress(address) => suppress(app, request, person(app, address)?).await,
        Wanted::Lift(address) => lift(app, request, person(app, address)?).await,
    }
}

fn person(app: &App, address: &str) -> Result<PersonId, Invalid> {
    Ok(app.config.person_key.person(&Address::parse(address)?))
}

/// The persons whom an address or a user id names.
async fn named(app: &App, subscriber: &str) -> Result<Vec<PersonId>, Problem> {
    if Address::parse(subscriber).is_err() && UserId::parse(subscriber).is_err() {
        return Err(Invalid::new("subscriber", "names nobody", ACCEPTED_SUBSCRIBER).into());
    }
    people::named(&app.store, &app.config.person_key, subscriber).await.map_err(unavailable)
}

async fn export(app: &App, subscriber: &str) -> Result<ApiGatewayV2httpResponse, Problem> {
    let persons = named(app, subscriber).await?;
    let export = people::export(&app.store, &persons, clock::now()).await.map_err(unavailable)?;
    if export.is_empty() {
        return Err(Problem::new(StatusCode::NOT_FOUND, "nothing is kept of this subscriber"));
    }
    Ok(json(StatusCode::OK, &export))
}

async fn erase_all(app: &App, subscriber: &str) -> Result<ApiGatewayV2httpResponse, Problem> {
    let (persons, user) = (named(app, subscriber).await?, UserId::parse(subscriber).ok());
    let work = async {
        let mut ended = 0;
        for person in persons {
            ended += erase::erase(&app.store, person, user.as_ref()).await?.subscriptions;
        }
        Ok::<_, StoreError>(ended)
    };
    let Ok(done) = tokio::time::timeout(ERASURE, work).await else {
        return Err(Problem::try_later("a part is erased; please send the same again for the rest", 1));
    };
    tracing::info!(ended = done.map_err(unavailable)?, "a subscriber was erased");
    // The same whether anything was kept.
    Ok(json(StatusCode::ACCEPTED, &json!({ "status": "accepted" })))
}

async fn suppression(app: &App, person: PersonId) -> Result<ApiGatewayV2httpResponse, Problem> {
    let found = app.store.persons().read(person).await.map_err(unavailable)?;
    let none = || Problem::new(StatusCode::NOT_FOUND, "this address is not suppressed");
    let found = found.suppressed.ok_or_else(none)?;
    Ok(json(StatusCode::OK, &json!({ "reason": found.reason, "since": found.since })))
}

async fn suppress(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    person: PersonId,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let body = optional_body(app, request)?;
    let fields = Fields::of(&body, "body")?;
    let reason = match fields.text("reason", ACCEPTED_REASON)? {
        None => Reason::Manual,
        Some(text) => text.parse().map_err(|_| Invalid::new("reason", "is not known", ACCEPTED_REASON))?,
    };
    let written = erase::suppress(&app.store, person, reason, clock::now()).await.map_err(unavailable)?;
    tracing::info!(%reason, new = written.is_applied(), "an address is suppressed");
    // A stronger reason stays, and is told.
    suppression(app, person).await
}

async fn lift(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    person: PersonId,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let body = optional_body(app, request)?;
    let asked = Fields::of(&body, "body")?.raw("askedByPerson").and_then(Value::as_bool).unwrap_or_default();
    let lifter = if asked { Lifter::OperatorForPerson } else { Lifter::Operator };
    match app.store.persons().lift_as(person, lifter).await.map_err(unavailable)? {
        Lifting::Nothing => {}
        Lifting::Lifted(reason) => tracing::info!(%reason, asked, "a suppression is lifted"),
        Lifting::NotTheirs(reason) => return Err(persons_word(reason)),
    }
    Ok(nothing())
}

fn persons_word(reason: Reason) -> Problem {
    let detail =
        format!("the reason is {reason}: that is the person's own word, and only they can take it back");
    Problem::new(StatusCode::CONFLICT, detail)
        .accepting("{\"askedByPerson\": true}, where the person has asked the shop to lift it")
}

/// The body as JSON; an empty object where there is none.
fn optional_body(app: &App, request: &ApiGatewayV2httpRequest) -> Result<Value, Problem> {
    let bytes = body(request, app.config.max_body)?;
    if without_mark(&bytes).iter().all(u8::is_ascii_whitespace) {
        return Ok(json!({}));
    }
    json_body(request, app.config.max_body)
}
