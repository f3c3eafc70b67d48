//! Items of the table that cannot be read: each is written down, counted (the metric of that name has an alarm) and left as it
//! is, so that a person can mend it. Nothing else waits for that.

use lambda::clock;
use store::{ItemKey, Store, StoreError};

use crate::metrics;

/// Writes down that the item at `key` cannot be read. The same item is one row, however often it is met.
pub(crate) async fn write_down(store: &Store, key: &ItemKey, error: &StoreError) -> Result<(), StoreError> {
    metrics::unreadable();
    // The keys that come here name products, shards and restocks, and no subscriber.
    tracing::error!(pk = key.pk(), sk = key.sk(), %error, "passed; it stays as it is until a person mends it");
    store.unreadable().record(key, error, clock::now()).await
}
