//! What stands before a waitlist: an ask is let in, or refused before anything of it is written. The cheapest comes first: what
//! is refused for its own sake (an address that no shopper reads, a solution that is none) costs the table nothing, and
//! what one limit refuses does not use another one up that others share.
//!
//! Nothing here looks at a person or a subscription, so a refusal is the same for an address that is known and for one that is
//! not.
//!
//! Where the table does not say how often something was done, the ask is refused (503): what follows needs the same table, so
//! letting it in would serve nobody, and whoever can make the table slow could switch the limits off.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use domain::limit::retry_after;
use domain::source::{self, Arrival};
use domain::{Address, PersonId, ProductId};
use http::StatusCode;
use lambda::clock;
use lambda::http::{Problem, header};
use store::Outcome;

use crate::challenge::{self, Solved};
use crate::{App, unavailable};

mod closed;
pub(crate) mod config;

pub(crate) use closed::Closed;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The network that asks come from.
    Source,
    /// The product that is asked for.
    Product,
    /// The address that is to be told.
    Address,
}

impl Kind {
    /// Its name, in keys and logs.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Product => "product",
            Self::Address => "address",
        }
    }
}

/// An ask, as far as the door looks at it.
pub(crate) struct Ask<'a> {
    pub(crate) request: &'a ApiGatewayV2httpRequest,
    pub(crate) product: &'a ProductId,
    pub(crate) address: &'a Address,
    /// The solution of a challenge, as the ALTCHA widget writes it.
    pub(crate) solution: Option<&'a str>,
    /// Whether the shop vouches for the caller: then no robot is at work, and one network may be the shop's own server.
    pub(crate) vouched: bool,
}

/// Lets an ask in.
///
/// # Errors
/// The refusal; nothing is written then but that the limits were used.
pub(crate) async fn enter(app: &App, ask: &Ask<'_>) -> Result<(), Problem> {
    let door = &app.config.door;
    door.refused.check(ask.address)?;
    let solved = solved(app, ask)?;
    let keys = Keys::of(app, ask);
    // Known to be used up: neither the source's nor the product's is used for it.
    remembered(app, Kind::Address, keys.address)?;
    if !ask.vouched {
        limited(app, Kind::Source, keys.source).await?;
        match &solved {
            Some(solved) => use_up(app, ask, solved).await?,
            None => limited(app, Kind::Product, keys.product)
                .await
                .map_err(|used_up| if door.offers_challenges() { offer(ask, used_up) } else { used_up })?,
        }
    }
    limited(app, Kind::Address, keys.address).await
}

/// What the limits of an ask are kept under.
struct Keys {
    source: PersonId,
    product: PersonId,
    address: PersonId,
}

impl Keys {
    fn of(app: &App, ask: &Ask<'_>) -> Self {
        let hash = |kind: Kind, text: &str| app.config.person_key.other(kind.name(), text);
        Self {
            source: hash(Kind::Source, &network(app, ask.request)),
            product: hash(Kind::Product, ask.product.as_str()),
            address: hash(Kind::Address, &ask.address.without_tag()),
        }
    }
}

fn network(app: &App, request: &ApiGatewayV2httpRequest) -> String {
    let arrival = Arrival {
        peer: request.request_context.http.source_ip.as_deref(),
        forwarded_for: header(request, "x-forwarded-for"),
        viewer: header(request, "cloudfront-viewer-address"),
    };
    source::network(arrival, app.config.door.proxies)
}

/// The solution that came with an ask, proven to be one; `None` where none came and none is needed (yet).
fn solved(app: &App, ask: &Ask<'_>) -> Result<Option<Solved>, Problem> {
    let door = &app.config.door;
    if ask.vouched || !door.offers_challenges() {
        return Ok(None);
    }
    match ask.solution {
        Some(text) => match challenge::verify(&app.config.key, ask.product, text) {
            Some(solved) => Ok(Some(solved)),
            None => Err(unsolved(ask)),
        },
        None if door.challenge.is_asked_of_all() => {
            let problem = Problem::new(StatusCode::FORBIDDEN, "a challenge must be solved first");
            Err(offer(ask, problem.about(challenge::FIELD).accepting(challenge::ACCEPTED)))
        }
        None => Ok(None),
    }
}

/// A solution that is none, has expired, or was used before, for this product or another.
fn unsolved(ask: &Ask<'_>) -> Problem {
    let problem = Problem::new(StatusCode::FORBIDDEN, "the solution is not valid (any more)");
    offer(ask, problem.about(challenge::FIELD).accepting(challenge::ACCEPTED))
}

/// The same with where a challenge can be had.
fn offer(ask: &Ask<'_>, problem: Problem) -> Problem {
    problem.challenging(challenge::beside(ask.request))
}

async fn use_up(app: &App, ask: &Ask<'_>, solved: &Solved) -> Result<(), Problem> {
    let nonce = app.config.person_key.other("nonce", &solved.nonce);
    match app.store.limits().use_up(nonce, solved.expires).await.map_err(unavailable)? {
        Outcome::Applied(()) => Ok(()),
        Outcome::Refused(()) => Err(unsolved(ask)),
    }
}

/// Refuses what this process knows to be used up, without asking the table.
fn remembered(app: &App, kind: Kind, hash: PersonId) -> Result<(), Problem> {
    let now_us = clock::now_us();
    match app.closed.until(kind, hash, now_us) {
        Some(open_us) => Err(Problem::too_many(retry_after(open_us, now_us))),
        None => Ok(()),
    }
}

/// Uses a limit once.
async fn limited(app: &App, kind: Kind, hash: PersonId) -> Result<(), Problem> {
    let Some(limits) = &app.config.door.limits else { return Ok(()) };
    remembered(app, kind, hash)?;
    let now_us = clock::now_us();
    let taken = app.store.limits().take(kind.name(), hash, limits.of(kind), now_us).await;
    let Outcome::Refused(open_us) = taken.map_err(unavailable)? else { return Ok(()) };
    // Once for each time that it is used up, and not for each ask: a flood must not fill the log.
    tracing::info!(limit = kind.name(), "used up");
    app.closed.remember(kind, hash, open_us, now_us);
    Err(Problem::too_many(retry_after(open_us, now_us)))
}

#[cfg(test)]
mod tests;
