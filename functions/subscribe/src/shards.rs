//! The numbers of shards that this process has read from products' items, so that a request need not read before it writes.
//! Such a number may be old: a place that goes by it is in a shard that every plan reads, and only spread less evenly.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::{ProductId, ShardCount};

/// The most products of which a number is kept. When there are more, all are forgotten: unknown is one, and the next look at
/// a product tells its number anew.
const KEPT_PRODUCTS: usize = 1_000;

/// The numbers above one.
#[derive(Debug, Default)]
pub(crate) struct KnownShards(Mutex<HashMap<ProductId, ShardCount>>);

impl KnownShards {
    /// A number that the product's item has had; one where none is known.
    pub(crate) fn of(&self, product: &ProductId) -> ShardCount {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(product).copied().unwrap_or(ShardCount::ONE)
    }

    /// Keeps a number that the product's item has had. The number of a short list takes no room.
    pub(crate) fn keep(&self, product: &ProductId, shards: ShardCount) {
        if shards == ShardCount::ONE || self.of(product) >= shards {
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

    use super::*;

    fn id(n: usize) -> ProductId {
        ProductId::parse(&format!("p{n}")).unwrap()
    }

    #[test]
    fn the_largest_number_is_kept_of_so_many_products_at_most() {
        let (known, shards) = (KnownShards::default(), |count| ShardCount::new(count).unwrap());
        for (read, of) in [(1, 1), (4, 4), (2, 4), (1, 4), (8, 8)] {
            known.keep(&id(0), shards(read));
            assert_eq!(known.of(&id(0)), shards(of), "{read}");
        }
        assert_eq!(known.of(&id(1)), ShardCount::ONE);
        for n in 0..=KEPT_PRODUCTS {
            known.keep(&id(n), shards(8));
        }
        assert!(known.0.lock().unwrap().len() <= KEPT_PRODUCTS);
        assert_eq!(known.of(&id(KEPT_PRODUCTS)), shards(8));
    }
}
