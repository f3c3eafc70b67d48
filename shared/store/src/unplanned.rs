//! Stock updates whose planning failed: one item per product, so that a sweep can plan what its event source has given up.
//! An update that is planned leaves none.

use domain::ProductId;
use domain::record::Record;
use domain::stock::{Place, StockUpdate};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{number, to_item};
use crate::request::{Condition, Pages, remove};
use crate::unreadable::{UnreadableRow, row};
use crate::{ItemKey, Outcome, Store, StoreError};

const KIND: &str = "unplanned update";
const PARTITION: &str = "UNPLANNED";
const RECORD_PARTITION: &str = "partition";
const OFFSET: &str = "offset";

/// The key of a product's update.
pub fn key(product: &ProductId) -> ItemKey {
    ItemKey::new(PARTITION, product.key_part())
}

/// A stock update whose planning failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Unplanned {
    /// The topic of its record.
    pub topic: String,
    /// The partition of its record.
    pub partition: i64,
    /// The offset of its record.
    pub offset: i64,
    /// When its record was written, in Unix milliseconds.
    pub written_ms: i64,
    /// The update, as JSON.
    pub update: String,
    /// When its planning failed last.
    #[serde(rename = "failedMs", with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub failed_at: Timestamp,
}

impl Unplanned {
    /// The update of a record, whose planning failed at `now`.
    ///
    /// # Errors
    /// `Unwritable`, where the update cannot be written as JSON.
    pub fn new(record: &Record, update: &StockUpdate, now: Timestamp) -> Result<Self, StoreError> {
        let update = serde_json::to_string(update).map_err(|_| StoreError::unwritable(KIND))?;
        let Place { partition, offset } = Place::of(record);
        let (topic, written_ms) = (record.topic.clone(), record.written_ms);
        Ok(Self { topic, partition, offset, written_ms, update, failed_at: now })
    }

    /// The record as far as planning needs it, its update as the value.
    pub fn record(&self) -> Record {
        Record {
            topic: self.topic.clone(),
            partition: self.partition,
            offset: self.offset,
            written_ms: self.written_ms,
            key: None,
            value: Some(self.update.clone().into_bytes()),
            headers: Vec::new(),
            fault: None,
        }
    }
}

/// The updates whose planning failed.
#[derive(Clone, Copy)]
pub struct UnplannedUpdates<'a>(pub(crate) &'a Store);

impl UnplannedUpdates<'_> {
    /// Writes down that the planning of an update failed. Refused where one that lies behind it in its partition stands
    /// there: a product's updates are planned in their order, so the earlier one has been given up.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn record(self, product: &ProductId, failed: &Unplanned) -> Result<Outcome, StoreError> {
        let not_behind =
            Condition::new("attribute_not_exists(pk) OR #partition <> :partition OR #offset <= :offset")
                .name("#partition", RECORD_PARTITION)
                .name("#offset", OFFSET)
                .value(":partition", number(failed.partition))
                .value(":offset", number(failed.offset));
        Ok(self.0.put_if(to_item(&key(product), failed, KIND)?, not_behind).await?.plain())
    }

    /// Removes what stands there of a product, on condition that it is this update still.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn remove(self, product: &ProductId, planned: &Unplanned) -> Result<Outcome, StoreError> {
        let key = Some(key(product).attributes());
        let delete = self.0.client.delete_item().table_name(&self.0.table).set_key(key);
        let delete = delete
            .condition_expression("#partition = :partition AND #offset = :offset")
            .expression_attribute_names("#partition", RECORD_PARTITION)
            .expression_attribute_names("#offset", OFFSET)
            .expression_attribute_values(":partition", number(planned.partition))
            .expression_attribute_values(":offset", number(planned.offset));
        remove(delete).await
    }

    /// All of them, page by page, strongly consistent.
    pub fn all(self) -> UnplannedPages {
        UnplannedPages(Pages::of(self.0.query(PARTITION.to_owned(), None).consistent_read(true)))
    }
}

/// The pages of the updates whose planning failed.
pub struct UnplannedPages(Pages);

impl UnplannedPages {
    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn next(&mut self) -> Result<Option<Vec<Result<Unplanned, UnreadableRow>>>, StoreError> {
        let page = self.0.items().await?;
        page.map(|items| items.into_iter().map(|item| row(item, KIND)).collect()).transpose()
    }
}
