//! The reads that more than one of the operator's commands makes. All are strongly consistent, and subscribers move
//! meanwhile, so two numbers of one answer may be a moment apart.

use domain::cursor::{Cursor, Tally};
use domain::product::StoredProduct;
use domain::{Position, ProductId, RestockId, Shard, ShardCount, Shards};
use jiff::Timestamp;
use store::waitlist::{Count, Counting};
use store::{Store, StoreError};

/// How many shards are read side by side.
pub(super) const SIDE_BY_SIDE: usize = 16;

/// How many wait in a shard at or below `through`.
pub(super) async fn waiting(
    store: &Store,
    product: &ProductId,
    shard: Shard,
    cursor: &Cursor,
    through: Position,
) -> Result<Count, StoreError> {
    store.waitlist(product, shard).count(cursor, through, Counting::Thorough, Timestamp::now()).await
}

/// A shard's cursor, and the count there for a restock: on the cursor, where that counts for it still, or else in the
/// restock's summary.
pub(super) async fn tally(
    store: &Store,
    product: &ProductId,
    restock: &RestockId,
    shard: Shard,
) -> Result<(Cursor, Option<Tally>), StoreError> {
    let cursor = store.cursors().read(product, shard).await?.cursor;
    let here = cursor.tally.clone().filter(|tally| tally.restock_id == *restock);
    let tally = match here {
        Some(tally) => Some(tally),
        None => store.summaries().shard(restock, shard, Timestamp::now()).await?,
    };
    Ok((cursor, tally))
}

/// The shards of a waitlist, and the source of their number in the mail lane: `argument` or `product`.
pub(super) fn shards(stored: &StoredProduct, asked: Option<ShardCount>) -> (Shards, &'static str) {
    let shards = stored.shards;
    asked.map_or((shards, "product"), |mail| (Shards { mail, ..shards }, "argument"))
}
