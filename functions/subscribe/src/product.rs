//! What is known of a product: its stock, and how many wait for it. For shop pages, so a copy that
//! is some seconds old may be served.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use domain::ProductId;
use domain::product::Product;
use http::StatusCode;
use lambda::http::{Problem, cacheable, json};
use serde::Serialize;
use store::waitlist::Count;

use crate::{App, count, unavailable};

/// How long an answer may be kept by a browser or a CDN.
const MAX_AGE_SECONDS: u32 = 5;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Known<'a> {
    product_id: &'a ProductId,
    in_stock: bool,
    /// Not there where it is not known: before the first stock update, or after one without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    quantity: Option<u64>,
    waiting: u64,
    precision: &'static str,
}

impl<'a> Known<'a> {
    /// A product of which no stock update was read is not in stock, as far as is known here;
    /// people can wait for it, so it is not 404.
    fn new(product_id: &'a ProductId, product: Option<&Product>, waiting: Count) -> Self {
        Self {
            product_id,
            in_stock: product.is_some_and(Product::in_stock),
            quantity: product.and_then(|product| product.quantity),
            waiting: waiting.number,
            precision: waiting.precision(),
        }
    }
}

pub(crate) async fn answer(app: &App, id: &ProductId) -> Result<ApiGatewayV2httpResponse, Problem> {
    let stored = app.store.products().read(id).await.map_err(unavailable)?;
    let waiting = count::waiting(app, id, stored.shards).await.map_err(unavailable)?;
    let known = Known::new(id, stored.product.as_ref(), waiting);
    Ok(cacheable(json(StatusCode::OK, &known), MAX_AGE_SECONDS))
}
