//! How many wait for a product. Consumed entries and expired ones are not counted; beyond
//! [`MOST_READ`] entries the number is a lower bound.
//!
//! Anybody may ask, as often as they like, so a count costs a bounded number of reads, and the
//! count of a long list is kept for [`KEPT_MS`] by whoever counted it. That of a short one costs
//! next to nothing, and is always the present one.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use domain::{Position, ProductId, Shard};
use futures::future::try_join_all;
use http::StatusCode;
use platform::{
    chance,
    http::{Problem, json},
    table::{TableError, entry_sort_key, waitlist},
};
use serde_json::json;

use crate::{App, unavailable};

/// The most entries that a count reads, over all shards; at least one of each.
const MOST_READ: usize = 1_000;
/// A list of at most so many is counted at every request.
const SHORT: u64 = 100;
/// How long the count of a longer one is kept, in milliseconds.
const KEPT_MS: u64 = 10_000;
/// Of how many products a count is kept.
const KEPT_PRODUCTS: usize = 1_000;

/// How many wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) count: u64,
    /// Whether that is all of them.
    exact: bool,
}

impl Waiting {
    /// What the number is, as answers say it.
    pub(crate) fn precision(self) -> &'static str {
        if self.exact { "exact" } else { "atLeast" }
    }
}

/// The counts that are kept: what was counted, and when, in Unix milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<ProductId, (u64, Waiting)>>);

impl Counts {
    fn get(&self, product: &ProductId, now_ms: u64) -> Option<Waiting> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(product).filter(|(at, _)| now_ms.saturating_sub(*at) < KEPT_MS).map(|(_, waiting)| *waiting)
    }

    fn keep(&self, product: &ProductId, waiting: Waiting, now_ms: u64) {
        if waiting.exact && waiting.count <= SHORT {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_PRODUCTS {
            kept.retain(|_, (at, _)| now_ms.saturating_sub(*at) < KEPT_MS);
        }
        if kept.len() < KEPT_PRODUCTS {
            kept.insert(product.clone(), (now_ms, waiting));
        }
    }
}

pub(crate) async fn answer(app: &App, product: &ProductId) -> Result<ApiGatewayV2httpResponse, Problem> {
    let waiting = waiting(app, product).await.map_err(unavailable)?;
    let (count, precision) = (waiting.count, waiting.precision());
    Ok(json(StatusCode::OK, &json!({ "productId": product, "waiting": count, "precision": precision })))
}

/// How many wait for a product.
pub(crate) async fn waiting(app: &App, product: &ProductId) -> Result<Waiting, TableError> {
    let now_ms = chance::now_ms();
    if let Some(kept) = app.counts.get(product, now_ms) {
        return Ok(kept);
    }
    let shards = app.config.shards.all().count();
    let limit = i32::try_from((MOST_READ / shards).max(1)).unwrap_or(1);
    let counts = try_join_all(app.config.shards.all().map(|shard| count(app, product, shard, limit))).await?;
    let waiting = Waiting {
        count: counts.iter().map(|waiting| waiting.count).sum(),
        exact: counts.iter().all(|waiting| waiting.exact),
    };
    app.counts.keep(product, waiting, now_ms);
    Ok(waiting)
}

/// How many wait in a shard, reading at most `limit` entries.
async fn count(app: &App, product: &ProductId, shard: Shard, limit: i32) -> Result<Waiting, TableError> {
    let cursor = app.table.cursor(product, shard).await?.cursor;
    let waiting = (entry_sort_key(cursor.committed.next()), entry_sort_key(Position::END));
    let now = chance::now().as_second();
    let counted = app
        .table
        .query(waitlist(product, shard), Some(waiting))
        .select(Select::Count)
        .filter_expression("#ttl > :now")
        .expression_attribute_names("#ttl", "ttl")
        .expression_attribute_values(":now", AttributeValue::N(now.to_string()))
        .limit(limit)
        .send()
        .await
        .map_err(|e| TableError::of("Query", &e))?;
    let owed = cursor.carried.len() as u64;
    let count = u64::try_from(counted.count).unwrap_or_default() + owed;
    Ok(Waiting { count, exact: counted.last_evaluated_key.is_none() })
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(n: usize) -> ProductId {
        ProductId::parse(&format!("p{n}")).unwrap()
    }

    const LONG: Waiting = Waiting { count: 1_000, exact: false };

    #[test]
    fn the_count_of_a_long_list_is_kept_for_a_while_and_that_of_a_short_one_is_not() {
        let counts = Counts::default();
        counts.keep(&id(1), LONG, 5_000);
        assert_eq!(counts.get(&id(1), 5_000 + KEPT_MS - 1), Some(LONG));
        assert_eq!(counts.get(&id(1), 5_000 + KEPT_MS), None);
        counts.keep(&id(2), Waiting { count: SHORT, exact: true }, 5_000);
        assert_eq!(counts.get(&id(2), 5_000), None);
    }

    #[test]
    fn no_more_than_so_many_counts_are_kept() {
        let counts = Counts::default();
        for n in 0..KEPT_PRODUCTS + 10 {
            counts.keep(&id(n), LONG, 0);
        }
        assert_eq!(counts.0.lock().unwrap().len(), KEPT_PRODUCTS);
        counts.keep(&id(KEPT_PRODUCTS), LONG, KEPT_MS);
        assert_eq!(counts.get(&id(KEPT_PRODUCTS), KEPT_MS), Some(LONG), "what has expired makes room");
    }
}
