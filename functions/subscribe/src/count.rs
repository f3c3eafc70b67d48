//! The number of subscribers that wait for a product. Consumed entries and expired ones are not counted; beyond
//! [`MOST_READ`] entries the number is a lower bound.
//!
//! The API is open to everyone, so a count costs a bounded number of reads, and the count of a long
//! list is kept for a while, the longer the more was read: of a product,
//! each process reads 100 entries a second at most. The count of a short list costs next to
//! nothing, and is always the present one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_lambda_events::apigw::ApiGatewayV2httpResponse;
use domain::{Position, ProductId, Shard, Shards};
use futures::future::try_join_all;
use http::StatusCode;
use lambda::clock;
use lambda::http::{Problem, json};
use serde_json::json;
use store::StoreError;
use store::waitlist::{Count, Counting};

use crate::{App, unavailable};

/// The most entries that a count reads, over all shards, while that is [`LEAST_OF_SHARD`] of each; and once more at most
/// where some shards are much longer than others.
const MOST_READ: usize = 1_000;
/// Of each shard, so many entries are read in any case: a query that meets its limit cannot say
/// that there are no more, so with one of each no number would be exact.
const LEAST_OF_SHARD: usize = 4;
/// A list of which at most so many entries are read is counted at every request.
const SHORT: u64 = 100;
/// The count of a longer one is kept for so many milliseconds for each entry that was read.
const KEPT_MS_PER_ENTRY: u64 = 10;
/// The most products of which a count is kept.
const KEPT_PRODUCTS: usize = 1_000;

/// The counts that are kept, and until when, in Unix milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<ProductId, (u64, Count)>>);

impl Counts {
    fn get(&self, product: &ProductId, now_ms: u64) -> Option<Count> {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(product).filter(|(until, _)| now_ms < *until).map(|(_, count)| *count)
    }

    /// Keeps the count of a long list.
    fn keep(&self, product: &ProductId, count: Count, now_ms: u64) {
        if count.read <= SHORT {
            return;
        }
        let until = now_ms + count.read * KEPT_MS_PER_ENTRY;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_PRODUCTS {
            kept.retain(|_, (until, _)| now_ms < *until);
        }
        if kept.len() < KEPT_PRODUCTS {
            kept.insert(product.clone(), (until, count));
        }
    }
}

pub(crate) async fn answer(app: &App, product: &ProductId) -> Result<ApiGatewayV2httpResponse, Problem> {
    let count = match app.counts.get(product, clock::now_ms()) {
        Some(kept) => kept,
        None => {
            let stored = app.store.products().read(product).await.map_err(unavailable)?;
            waiting(app, product, stored.shards).await.map_err(unavailable)?
        }
    };
    let (waiting, precision) = (count.number, count.precision());
    Ok(json(StatusCode::OK, &json!({ "productId": product, "waiting": waiting, "precision": precision })))
}

/// The number of subscribers that wait for a product.
///
/// # Errors
/// When a cursor or a waitlist cannot be read.
pub(crate) async fn waiting(app: &App, product: &ProductId, shards: Shards) -> Result<Count, StoreError> {
    let now_ms = clock::now_ms();
    if let Some(kept) = app.counts.get(product, now_ms) {
        return Ok(kept);
    }
    app.shards.keep(product, shards);
    let most = most_in_a_shard(shards.total());
    let all: Vec<Shard> = shards.all().collect();
    let cursors = app.store.cursors().read_all(product, &all).await?;
    let store = &app.store;
    let count = async |shard: &Shard, most: i32| match cursors.get(shard) {
        Some(stored) => {
            let waitlist = store.waitlist(product, *shard);
            waitlist.count(&stored.cursor, Position::END, Counting::AtMost(most), clock::now()).await
        }
        // It cannot be read: nothing is known of who waits there.
        None => Ok(Count { exact: false, ..Count::NONE }),
    };
    let counts = try_join_all(all.iter().map(|shard| count(shard, most))).await?;
    // A list that has just become long has most of its entries in its first shard, and reads little of the others.
    let further = further(&counts);
    let recounts = all.iter().zip(counts).map(async |(shard, counted)| {
        if counted.exact || further == 0 {
            return Ok(counted);
        }
        let again = count(shard, most + further).await?;
        Ok::<_, StoreError>(Count { read: counted.read + again.read, ..again })
    });
    let count = Count::sum(try_join_all(recounts).await?);
    app.counts.keep(product, count, now_ms);
    Ok(count)
}

/// How many more entries may be read of each shard that met its limit: what the others have left of [`MOST_READ`].
fn further(counts: &[Count]) -> i32 {
    let read = usize::try_from(counts.iter().map(|count| count.read).sum::<u64>()).unwrap_or(usize::MAX);
    let limited = counts.iter().filter(|count| !count.exact).count();
    let left = MOST_READ.saturating_sub(read).checked_div(limited).unwrap_or_default();
    i32::try_from(left).unwrap_or(i32::MAX)
}

/// The most entries that are read of each shard, of so many.
fn most_in_a_shard(shards: u16) -> i32 {
    i32::try_from((MOST_READ / usize::from(shards.max(1))).max(LEAST_OF_SHARD)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn id(n: usize) -> ProductId {
        ProductId::parse(&format!("p{n}")).unwrap()
    }

    fn long(read: u64) -> Count {
        Count { number: 1_000, exact: false, read }
    }

    #[test]
    fn the_count_of_a_list_is_kept_the_longer_the_more_it_cost_and_that_of_a_short_one_is_not() {
        for (read, ms) in [(101, 1_010), (160, 1_600), (1_000, 10_000)] {
            let counts = Counts::default();
            counts.keep(&id(1), long(read), 5_000);
            assert_eq!(counts.get(&id(1), 5_000 + ms - 1), Some(long(read)), "{read}");
            assert_eq!(counts.get(&id(1), 5_000 + ms), None, "{read}");
        }
        let counts = Counts::default();
        counts.keep(&id(1), long(SHORT), 5_000);
        assert_eq!(counts.get(&id(1), 5_000), None);
    }

    #[test]
    fn a_count_reads_a_bounded_number_of_entries_however_many_shards_there_are() {
        for (shards, most) in [(1, 1_000), (8, 125), (250, 4), (1_024, 4)] {
            assert_eq!(most_in_a_shard(shards), most, "{shards}");
        }
    }

    #[test]
    fn what_short_shards_leave_is_read_of_the_long_ones() {
        let (full, rest) = (Count { read: 125, ..long(0) }, |read| Count { number: read, exact: true, read });
        for (counts, left) in [
            (vec![full; 8], 0),
            (vec![full, rest(6), rest(4), rest(0), rest(0), rest(0), rest(0), rest(0)], 865),
            (vec![full, full, rest(50), rest(0), rest(0), rest(0), rest(0), rest(0)], 350),
            (vec![rest(9), rest(0)], 0),
            (vec![long(1_000)], 0),
            (vec![long(4); 300], 0),
        ] {
            assert_eq!(further(&counts), left, "{counts:?}");
        }
    }

    #[test]
    fn no_more_than_so_many_counts_are_kept() {
        let counts = Counts::default();
        for n in 0..KEPT_PRODUCTS + 10 {
            counts.keep(&id(n), long(1_000), 0);
        }
        assert_eq!(counts.0.lock().unwrap().len(), KEPT_PRODUCTS);
        counts.keep(&id(KEPT_PRODUCTS), long(1_000), 10_000);
        assert_eq!(counts.get(&id(KEPT_PRODUCTS), 10_000), Some(long(1_000)), "what has expired makes room");
    }
}
