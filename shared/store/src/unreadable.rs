//! Items of the table that cannot be read. Each is written down under one partition key, so that an operator finds them
//! all, and is left as it is until a person mends it.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::item::{Item, WithTtl, from_item, to_item};
use crate::{ItemKey, Store, StoreError};

const PARTITION: &str = "UNREADABLE";

fn key(of: &ItemKey) -> ItemKey {
    ItemKey::new(PARTITION, format!("{}|{}", of.pk, of.sk))
}

#[derive(Serialize)]
struct Unreadable {
    reason: String,
    #[serde(rename = "seenMs", with = "jiff::fmt::serde::timestamp::millisecond::required")]
    seen_at: Timestamp,
}

/// An item that cannot be read, among others of its kind; it keeps none of them back.
#[derive(Debug)]
pub struct UnreadableRow {
    /// Its key.
    pub key: ItemKey,
    /// The error of reading it.
    pub error: StoreError,
}

/// One item of many. An error is one without a key to write down.
pub(crate) fn row<T: DeserializeOwned>(
    item: Item,
    kind: &'static str,
) -> Result<Result<T, UnreadableRow>, StoreError> {
    let key = ItemKey::of(&item);
    match (from_item(item, kind), key) {
        (Ok(read), _) => Ok(Ok(read)),
        (Err(error), Some(key)) => Ok(Err(UnreadableRow { key, error })),
        (Err(error), None) => Err(error),
    }
}

/// The items that could not be read.
#[derive(Clone, Copy)]
pub struct UnreadableItems<'a>(pub(crate) &'a Store);

impl UnreadableItems<'_> {
    /// Writes down that the item at `of` could not be read at `now`, and why. The same item is one row, however often it
    /// is met.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn record(self, of: &ItemKey, error: &StoreError, now: Timestamp) -> Result<(), StoreError> {
        let seen = Unreadable { reason: error.to_string(), seen_at: now };
        self.0.put(to_item(&key(of), &WithTtl::from(now, &seen), "unreadable")?).await
    }
}
