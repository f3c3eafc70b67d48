//! The edition of the table: how many shards the waitlists have whose product's item says nothing of it.
//!
//! An earlier edition put the places of every list into as many shards as its setting said, eight unless set, and wrote the
//! number nowhere. In a table of this edition a list without a number has one shard. One item of the table tells the two
//! apart. It is written to a table in which no place is yet; where it is not, a plan reads the earlier edition's eight. So
//! no subscriber of that edition is lost, of a product with stock updates or without, and no list of a new table ever
//! costs eight reads. Where that edition was set to more than eight, its operator writes the item with that number first.
//!
//! A list of an earlier edition costs what it did, until it is long, and its number recorded.

use std::time::Duration;

use domain::ShardCount;
use domain::shard::WaitlistShards;
use serde::{Deserialize, Serialize};

use crate::item::{Item, PK, text, to_item};
use crate::request::Condition;
use crate::{ItemKey, Store, StoreError, waitlist};

const KIND: &str = "edition";
/// A table of more items than these is not looked through for a place: it has one.
const LOOKED_THROUGH: i32 = 100;

#[derive(Serialize, Deserialize)]
struct Edition {
    shards: u16,
}

pub(crate) fn key() -> ItemKey {
    ItemKey::new("EDITION", "SHARDS")
}

/// The item of a table that holds no place yet.
pub(crate) fn item() -> Result<Item, StoreError> {
    to_item(&key(), &Edition { shards: ShardCount::ONE.get() }, KIND)
}

/// How long a function waits for its first look at the table.
const PATIENCE: Duration = Duration::from_secs(2);

impl Store {
    /// Does [`Store::mark_if_new`], as a function does when it starts. A failure is logged and nothing more: the first
    /// request finds out about the table itself.
    pub async fn prepare(&self) {
        match tokio::time::timeout(PATIENCE, self.mark_if_new()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the edition of the table is not known yet"),
            Err(_) => tracing::warn!("the table does not answer yet"),
        }
    }

    /// Writes down that a list of this table has one shard unless its product says otherwise, if no place is in it yet. A
    /// function does that when it starts, before it can write one.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`. Nothing depends on it but the cost of a plan.
    pub async fn mark_if_new(&self) -> Result<(), StoreError> {
        if self.edition().await?.is_some() {
            return Ok(());
        }
        let scan = self.client.scan().table_name(&self.table).projection_expression(PK);
        let scan = scan.limit(LOOKED_THROUGH).consistent_read(true).send();
        let scanned = scan.await.map_err(|error| StoreError::of("Scan", &error))?;
        let is_place = |item: &Item| text(item, PK).is_none_or(waitlist::is_partition);
        if scanned.last_evaluated_key.is_none() && !scanned.items().iter().any(is_place) {
            // Refused: another process was faster.
            let _ = self.put_if(item()?, Condition::absent()).await?;
            self.edition().await?;
        }
        Ok(())
    }

    /// The shards of a list whose product has this number recorded.
    pub(crate) async fn shards(&self, recorded: Option<ShardCount>) -> Result<WaitlistShards, StoreError> {
        let unrecorded = match (recorded, self.unrecorded.get()) {
            // It is not asked for.
            (Some(recorded), _) => recorded,
            (None, Some(known)) => *known,
            (None, None) => {
                let found = self.edition().await?.unwrap_or(ShardCount::FIRST_EDITION);
                *self.unrecorded.get_or_init(|| found)
            }
        };
        Ok(WaitlistShards { recorded, unrecorded })
    }

    /// The number in the table's item, which never changes once it is there; `None` where there is no such item.
    async fn edition(&self) -> Result<Option<ShardCount>, StoreError> {
        if let Some(known) = self.unrecorded.get() {
            return Ok(Some(*known));
        }
        let Some(Edition { shards }) = self.get(&key(), KIND).await? else { return Ok(None) };
        let found = ShardCount::new(shards).ok_or_else(|| StoreError::unreadable(KIND))?;
        Ok(Some(*self.unrecorded.get_or_init(|| found)))
    }
}
