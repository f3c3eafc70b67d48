//! `/page/products/{productId}`: what the rules of stock have in store for a product, for the page of this machine alone. The
//! open route of the API says none of it, for a shop's rules are its own business.

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use domain::{ProductId, RestockId};
use serde::Serialize;
use store::Store;

use crate::coming::Coming;

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Known {
    /// The restock that can be released; `None` before the first stock update.
    restock_id: Option<RestockId>,
    #[serde(flatten)]
    coming: Coming,
}

/// The route, on this table.
pub(crate) fn router(store: Store) -> Router {
    Router::new().route("/page/products/{product}", get(answer)).with_state(store)
}

async fn answer(State(store): State<Store>, Path(product): Path<String>) -> Response {
    let Ok(product) = ProductId::parse(&product) else { return StatusCode::NOT_FOUND.into_response() };
    match store.products().get(&product).await {
        Ok(known) => {
            let known =
                known.map(|known| Known { coming: Coming::of(&known), restock_id: Some(known.restock_id) });
            ([(header::CACHE_CONTROL, "no-store")], Json(known.unwrap_or_default())).into_response()
        }
        Err(error) => {
            tracing::warn!(error = %lambda::error_chain(&error), "the page cannot show what comes next");
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}
