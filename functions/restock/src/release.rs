//! `GET /restocks/{restockId}` and `POST /restocks/{restockId}/release`: what a restock would tell, and the word that one
//! that is held back may begin. Both ask for the login of stock updates, at the API.

use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use domain::product::{Awaited, Wave};
use domain::{ProductId, RestockId};
use http::StatusCode;
use jiff::Timestamp;
use lambda::clock;
use lambda::http::{Problem, json};
use serde::Serialize;
use store::release::{Outlook, Release, outlook, release};
use store::waitlist::Counting;
use store::{Store, StoreError};

use crate::App;

/// The table's time; the function's time-out is 15 s.
const PATIENCE: Duration = Duration::from_secs(10);
/// The entries of a shard that a count looks at; a longer line is a lower bound. So many are some 60 read units.
const COUNTED: Counting = Counting::AtMost(2_000);

/// What is asked of a restock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// What it would tell.
    Outlook,
    /// That it begins.
    Release,
}

/// What is known of a restock.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Known<'a> {
    restock_id: &'a RestockId,
    product_id: &'a ProductId,
    in_stock: bool,
    /// Until what it is held back; not there where it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    held: Option<Awaited>,
    waiting: u64,
    precision: &'static str,
    /// How many are told first; not there where all are, or where it is not held back.
    #[serde(skip_serializing_if = "Option::is_none")]
    first_wave: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wave: Option<Wave>,
    /// When its plan or its next wave is due; not there where it waits for a release, or nothing is due.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_at: Option<Timestamp>,
}

impl<'a> Known<'a> {
    fn new(known: &'a Outlook) -> Self {
        let is_held = known.is_held();
        let comes =
            known.due.filter(|due| matches!(due.what, Awaited::Plan | Awaited::Wave | Awaited::Lanes));
        Self {
            restock_id: &known.restock,
            product_id: &known.product,
            in_stock: known.in_stock,
            held: known.due.filter(|_| is_held).map(|due| due.what),
            waiting: known.waiting.number,
            precision: known.waiting.precision(),
            first_wave: known.first_wave.filter(|_| is_held),
            wave: known.wave,
            next_at: comes.map(|due| due.at),
        }
    }
}

pub(crate) async fn answer(
    app: &App,
    restock: &RestockId,
    asked: Asked,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let store = app.store().await;
    // Boxed, for most requests are stock updates and need no room for these.
    let done = Box::pin(done(store, restock, asked));
    tokio::time::timeout(PATIENCE, done).await.map_err(|_| {
        tracing::error!(%restock, "the table does not answer in time");
        try_later()
    })?
}

async fn done(store: &Store, restock: &RestockId, asked: Asked) -> Result<ApiGatewayV2httpResponse, Problem> {
    if let Asked::Release = asked {
        match release(store, restock, clock::now()).await.map_err(unavailable)? {
            Release::Released { product, at } => {
                tracing::info!(%product, %restock, %at, "released");
            }
            Release::NotHeld { why, .. } => {
                return Err(Problem::new(StatusCode::CONFLICT, format!("the restock is not held: {why}")));
            }
            Release::Unknown => return Err(unknown()),
        }
    }
    let known = outlook(store, restock, COUNTED, clock::now()).await.map_err(unavailable)?;
    Ok(json(StatusCode::OK, &Known::new(&known.ok_or_else(unknown)?)))
}

fn unknown() -> Problem {
    let why = "no restock of this id is held or planned: no subscriber waited for it, or it is unknown, not processed yet, \
               or a sell-out";
    Problem::new(StatusCode::NOT_FOUND, why)
}

fn unavailable(error: StoreError) -> Problem {
    tracing::error!(error = %lambda::error_chain(&error), "a restock cannot be looked up or released");
    if error.is_transient() {
        return try_later();
    }
    let detail = "the table needs attention from its operator; nothing is lost";
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, detail)
}

/// A release that was written, and whose answer was lost, is found released by the next try.
fn try_later() -> Problem {
    Problem::try_later("the table cannot be reached right now; please try again", 2)
}
