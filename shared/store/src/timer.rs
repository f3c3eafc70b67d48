//! Timers: by what time a sweep is to look at a product. A timer is written before the product says what it waits for, and says
//! nothing itself: one that the product does not name (any more) is removed by the sweep that comes upon it.

use std::num::NonZeroU16;

use domain::ProductId;
use domain::product::Due;
use domain::shard::bucket_of;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::to_item;
use crate::request::{Pages, remove};
use crate::unreadable::{UnreadableRow, row};
use crate::{ItemKey, Store, StoreError};

const KIND: &str = "timer";

/// The number of partitions over which the timers are spread.
pub const BUCKETS: NonZeroU16 = NonZeroU16::new(16).unwrap();

/// A sweep is to look at a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Timer {
    /// The product.
    pub product_id: ProductId,
    /// What the product waits for, if it does still.
    pub due: Due,
}

fn bucket(number: u16) -> String {
    format!("DUE#{number}")
}

/// Milliseconds in so many digits sort as times do, until the year 5138.
fn sort_key(at: Timestamp, product: &str) -> String {
    format!("{:014}#{product}", at.as_millisecond().max(0))
}

/// The key of a timer: in the order of the times.
pub fn key(timer: &Timer) -> ItemKey {
    let number = bucket_of(&timer.product_id, BUCKETS);
    ItemKey::new(bucket(number), sort_key(timer.due.at, &timer.product_id.key_part()))
}

/// The timers.
#[derive(Clone, Copy)]
pub struct Timers<'a>(pub(crate) &'a Store);

impl Timers<'_> {
    /// Writes a timer.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn put(self, timer: &Timer) -> Result<(), StoreError> {
        self.0.put(to_item(&key(timer), timer, KIND)?).await
    }

    /// Removes a timer.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn remove(self, timer: &Timer) -> Result<(), StoreError> {
        let key = Some(key(timer).attributes());
        let delete = self.0.client.delete_item().table_name(&self.0.table).set_key(key);
        remove(delete).await.map(drop)
    }

    /// The timers of a bucket below [`BUCKETS`] that have run down by `now`, oldest first, page by page, strongly consistent.
    pub fn run_down(self, number: u16, now: Timestamp) -> TimerPages {
        let range = (sort_key(Timestamp::UNIX_EPOCH, ""), sort_key(now, "~"));
        TimerPages(Pages::of(self.0.query(bucket(number), Some(range)).consistent_read(true)))
    }
}

/// The pages of timers.
pub struct TimerPages(Pages);

impl TimerPages {
    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn next(&mut self) -> Result<Option<Vec<Result<Timer, UnreadableRow>>>, StoreError> {
        let page = self.0.items().await?;
        page.map(|items| items.into_iter().map(|item| row(item, KIND)).collect()).transpose()
    }
}
