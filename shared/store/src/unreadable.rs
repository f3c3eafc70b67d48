//! Items of the table that cannot be read. Each is written down under one partition key, so that an operator finds them
//! all, and is left as it is until a person mends it.

use jiff::Timestamp;
use serde::Serialize;

use crate::item::{WithTtl, to_item};
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
