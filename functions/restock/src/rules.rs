//! A product's own rules: `PUT`, `GET` and `DELETE /products/{productId}/rules`. They count from the product's next stock update
//! or wave on.

use std::time::Duration;

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::ProductId;
use domain::rules::Rules;
use http::StatusCode;
use lambda::http::{Problem, body, json, nothing};
use serde_json::json;
use store::StoreError;

use crate::App;

/// The table's time; the function's time-out is 15 s.
const TABLE: Duration = Duration::from_secs(10);

pub(crate) async fn show(app: &App, product: &ProductId) -> Result<ApiGatewayV2httpResponse, Problem> {
    let store = app.store().await;
    let known = in_time(Box::pin(store.products().read(product))).await?;
    Ok(answer(product, &known.rules))
}

pub(crate) async fn set(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    product: &ProductId,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let rules = Rules::from_json(&body(request, app.config.max_body)?)?;
    let store = app.store().await;
    in_time(Box::pin(store.products().set_rules(product, Some(&rules)))).await?;
    tracing::info!(%product, "the product has rules of its own");
    Ok(answer(product, &rules))
}

pub(crate) async fn end(app: &App, product: &ProductId) -> Result<ApiGatewayV2httpResponse, Problem> {
    let store = app.store().await;
    in_time(Box::pin(store.products().set_rules(product, None))).await?;
    tracing::info!(%product, "the product has no rules of its own any more");
    Ok(nothing())
}

fn answer(product: &ProductId, rules: &Rules) -> ApiGatewayV2httpResponse {
    json(StatusCode::OK, &json!({ "productId": product, "rules": rules }))
}

/// What the table did, unless it took too long.
async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, Problem> {
    let later = || Problem::try_later("the table cannot be reached right now; please send the same again", 2);
    let Ok(done) = tokio::time::timeout(TABLE, work).await else {
        tracing::error!("the table does not answer in time");
        return Err(later());
    };
    done.map_err(|error| {
        tracing::error!(error = %lambda::error_chain(&error), "the table does not answer");
        if error.is_transient() {
            return later();
        }
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the table needs attention from its operator")
    })
}
