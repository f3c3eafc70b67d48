//! How many wait for a product. An estimate: consumed entries are not counted, expired ones are
//! until the table drops them, and beyond [`PER_SHARD`] in a shard the number is a lower bound.

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_sdk_dynamodb::types::Select;
use domain::{Position, ProductId, Shard};
use futures::future::try_join_all;
use http::StatusCode;
use platform::{
    http::{Problem, json},
    table::{TableError, entry_sort_key, waitlist},
};
use serde_json::json;

use crate::{App, unavailable};

/// The most entries that are counted in a shard: what keeps a count cheap on a long list.
const PER_SHARD: i32 = 1_000;

pub(crate) async fn answer(app: &App, product: &ProductId) -> Result<ApiGatewayV2httpResponse, Problem> {
    let shards = app.config.shards.all().map(|shard| count(app, product, shard));
    let counts = try_join_all(shards).await.map_err(unavailable)?;
    let waiting: u64 = counts.iter().map(|(count, _)| count).sum();
    let precision = if counts.iter().all(|(_, whole)| *whole) { "exact" } else { "atLeast" };
    Ok(json(StatusCode::OK, &json!({ "productId": product, "waiting": waiting, "precision": precision })))
}

/// How many wait in a shard, and whether that is all of them.
async fn count(app: &App, product: &ProductId, shard: Shard) -> Result<(u64, bool), TableError> {
    let cursor = app.table.cursor(product, shard).await?.cursor;
    let waiting = (entry_sort_key(cursor.committed.next()), entry_sort_key(Position::END));
    let counted = app
        .table
        .query(waitlist(product, shard), Some(waiting))
        .select(Select::Count)
        .limit(PER_SHARD)
        .send()
        .await
        .map_err(|e| TableError::of("Query", &e))?;
    let owed = cursor.carried.len() as u64;
    Ok((u64::try_from(counted.count).unwrap_or_default() + owed, counted.last_evaluated_key.is_none()))
}
