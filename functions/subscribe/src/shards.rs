//! The numbers of shards that this process has read from products' items, so that a request need not read before it writes.
//! Such a number may be old: a place that goes by it is in a shard that every plan reads, and only spread less evenly.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::{ProductId, Shards};

/// The most products of which numbers are kept. When there are more, all are forgotten: unknown is one, and no lane but the
/// first; and the next look at a product tells its numbers anew.
const KEPT_PRODUCTS: usize = 1_000;

/// The numbers of products that have more than one shard.
#[derive(Debug, Default)]
pub(crate) struct KnownShards(Mutex<HashMap<ProductId, Shards>>);

impl KnownShards {
    /// Numbers that the product's item has had; one where none are known.
    pub(crate) fn of(&self, product: &ProductId) -> Shards {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(product).copied().unwrap_or(Shards::ONE)
    }

    /// Keeps numbers that the product's item has had. Those of a short list in one lane take no room.
    pub(crate) fn keep(&self, product: &ProductId, shards: Shards) {
        let known = self.of(product);
        let shards = known.or_more(shards);
        if shards == known {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEPT_PRODUCTS {
            kept.clear();
        }
        kept.insert(product.clone(), shards);
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use domain::{Lane, ShardCount};

    use super::*;

    fn id(n: usize) -> ProductId {
        ProductId::parse(&format!("p{n}")).unwrap()
    }

    #[test]
    fn the_largest_number_is_kept_of_so_many_products_at_most() {
        let known = KnownShards::default();
        let shards = |count| Shards::mail(ShardCount::new(count).unwrap());
        for (read, of) in [(1, 1), (4, 4), (2, 4), (1, 4), (8, 8)] {
            known.keep(&id(0), shards(read));
            assert_eq!(known.of(&id(0)), shards(of), "{read}");
        }
        assert_eq!(known.of(&id(1)), Shards::ONE);
        let opened = Shards::ONE.raised(Lane::PriorityMail, ShardCount::ONE);
        known.keep(&id(1), opened);
        assert_eq!(known.of(&id(1)), opened);
        known.keep(&id(0), opened);
        assert_eq!(known.of(&id(0)), Shards { priority: opened.priority, ..shards(8) });
        for n in 0..=KEPT_PRODUCTS {
            known.keep(&id(n), shards(8));
        }
        assert!(known.0.lock().unwrap().len() <= KEPT_PRODUCTS);
        assert_eq!(known.of(&id(KEPT_PRODUCTS)), shards(8));
    }
}
