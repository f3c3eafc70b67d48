//! How many wait for a product. Consumed entries and expired ones are not counted; beyond
//! [`MOST_READ`] entries the number is a lower bound.
//!
//! Anybody may ask, as often as they like, so a count costs a bounded number of reads, and whoever
//! counted a long list keeps the number for a while, the longer the more was read: of a product,
//! each process reads 100 entries a second at most. The count of a short list costs next to
//! nothing, and is always the present one.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use aws_sdk_dynamodb::types::{AttributeValue, Select};
use domain::{Position, ProductId, Shard, ShardCount};
use futures::future::try_join_all;
use http::StatusCode;
use platform::{
    chance,
    http::{Problem, json},
    table::{TableError, entry_sort_key, waitlist},
};
use serde_json::json;

use crate::{App, unavailable};

/// The most entries that a count reads, over all shards, while that is [`LEAST_OF_SHARD`] of each.
const MOST_READ: usize = 1_000;
/// Of each shard, so many entries are read in any case: a query that meets its limit cannot say
/// that there are no more, so with one of each no number would be exact.
const LEAST_OF_SHARD: usize = 4;
/// A list of which at most so many entries are read is counted at every request.
const SHORT: u64 = 100;
/// How long the count of a longer one is kept for each entry that was read, in milliseconds.
const KEPT_MS_PER_ENTRY: u64 = 10;
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

/// The counts that are kept, and until when, in Unix milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<ProductId, (u64, Waiting)>>);

impl Counts {
    fn get(&self, product: &ProductId, now_ms: u64) -> Option<Waiting> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(product).filter(|(until, _)| now_ms < *until).map(|(_, waiting)| *waiting)
    }

    /// Keeps a count that took so many reads.
    fn keep(&self, product: &ProductId, waiting: Waiting, read: u64, now_ms: u64) {
        if read <= SHORT {
            return;
        }
        let until = now_ms + read * KEPT_MS_PER_ENTRY;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_PRODUCTS {
            kept.retain(|_, (until, _)| now_ms < *until);
        }
        if kept.len() < KEPT_PRODUCTS {
            kept.insert(product.clone(), (until, waiting));
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
    let limit = most_in_a_shard(app.config.shards);
    let counts = try_join_all(app.config.shards.all().map(|shard| count(app, product, shard, limit))).await?;
    let waiting = Waiting {
        count: counts.iter().map(|(waiting, _)| waiting.count).sum(),
        exact: counts.iter().all(|(waiting, _)| waiting.exact),
    };
    app.counts.keep(product, waiting, counts.iter().map(|(_, read)| read).sum(), now_ms);
    Ok(waiting)
}

/// How many entries of each shard are read at most.
fn most_in_a_shard(shards: ShardCount) -> i32 {
    i32::try_from((MOST_READ / shards.all().count()).max(LEAST_OF_SHARD)).unwrap_or(i32::MAX)
}

/// How many wait in a shard, and how many entries were read for it, at most `limit`.
async fn count(
    app: &App,
    product: &ProductId,
    shard: Shard,
    limit: i32,
) -> Result<(Waiting, u64), TableError> {
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
    let number = |count: i32| u64::try_from(count).unwrap_or_default();
    let count = number(counted.count) + cursor.pending_retries.len() as u64;
    let exact = counted.last_evaluated_key.is_none();
    // Those that the filter left out were read as well.
    Ok((Waiting { count, exact }, number(counted.scanned_count)))
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
    fn the_count_of_a_list_is_kept_the_longer_the_more_it_cost_and_that_of_a_short_one_is_not() {
        for (read, ms) in [(101, 1_010), (160, 1_600), (1_000, 10_000)] {
            let counts = Counts::default();
            counts.keep(&id(1), LONG, read, 5_000);
            assert_eq!(counts.get(&id(1), 5_000 + ms - 1), Some(LONG), "{read}");
            assert_eq!(counts.get(&id(1), 5_000 + ms), None, "{read}");
        }
        let counts = Counts::default();
        counts.keep(&id(1), LONG, SHORT, 5_000);
        assert_eq!(counts.get(&id(1), 5_000), None);
    }

    #[test]
    fn a_count_reads_a_bounded_number_of_entries_however_many_shards_there_are() {
        for (shards, most) in [(1, 1_000), (8, 125), (250, 4), (1_024, 4)] {
            assert_eq!(most_in_a_shard(ShardCount::new(shards).unwrap()), most, "{shards}");
        }
    }

    #[test]
    fn no_more_than_so_many_counts_are_kept() {
        let counts = Counts::default();
        for n in 0..KEPT_PRODUCTS + 10 {
            counts.keep(&id(n), LONG, 1_000, 0);
        }
        assert_eq!(counts.0.lock().unwrap().len(), KEPT_PRODUCTS);
        counts.keep(&id(KEPT_PRODUCTS), LONG, 1_000, 10_000);
        assert_eq!(counts.get(&id(KEPT_PRODUCTS), 10_000), Some(LONG), "what has expired makes room");
    }
}
