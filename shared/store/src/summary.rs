//! The summary of a restock: its plan, its count of each shard, and its failed entries. Kept for 400 days.

use std::collections::BTreeMap;

use domain::cursor::Tally;
use domain::{Position, ProductId, RestockId, Shard, ShardCount, Shards};
use futures::future::try_join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{TTL, WithTtl, from_item, is_expired, text, to_item};
use crate::request::{Condition, Pages};
use crate::{ItemKey, Store, StoreError, product};

pub use domain::delivery::{IN_DOUBT, UNREADABLE};

const PLAN: &str = "PLAN#";
const REASON: &str = "reason";

pub(crate) fn partition(restock: &RestockId) -> String {
    format!("R#{}", restock.key_part())
}

/// The key of a restock's plan, by the restock.
pub fn key(restock: &RestockId) -> ItemKey {
    ItemKey::new(partition(restock), "SUMMARY")
}

/// The key of a restock's plan, by the product: in the order of the bounds.
pub(crate) fn plan_key(product: &ProductId, bound: Position, restock: &RestockId) -> ItemKey {
    ItemKey::new(product::partition(product), format!("{PLAN}{bound}#{}", restock.key_part()))
}

/// The key of a restock's count of one shard.
pub fn shard_key(restock: &RestockId, shard: Shard) -> ItemKey {
    ItemKey::new(partition(restock), format!("SHARD#{shard}"))
}

pub(crate) fn failed_key(restock: &RestockId, position: Position) -> ItemKey {
    ItemKey::new(partition(restock), format!("FAILED#{position}"))
}

/// The plan of a restock; written once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// The restock.
    pub restock_id: RestockId,
    /// The product.
    pub product_id: ProductId,
    /// Every entry at or below was to be delivered; `None` where no shard ever had an entry, or while the restock is held back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<Position>,
    /// How many shards the waitlist's mail lane had.
    pub shard_count: u16,
    /// How many its priority lane had; `None`: there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority_shard_count: Option<u16>,
    /// The shards that had an entry to deliver.
    pub shards: Vec<Shard>,
    /// When it was planned.
    #[serde(rename = "plannedMs", with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub planned_at: Timestamp,
}

impl Planned {
    /// How many shards the waitlist had in each lane. A number that is none counts as one.
    pub fn counts(&self) -> Shards {
        let count = |number| ShardCount::new(number).unwrap_or(ShardCount::ONE);
        Shards { mail: count(self.shard_count), priority: self.priority_shard_count.map(count) }
    }
}

/// The record of an entry that a restock could not deliver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// SES's word for it, or [`IN_DOUBT`] or [`UNREADABLE`].
    pub reason: String,
}

/// Plans and results of restocks.
#[derive(Clone, Copy)]
pub struct Summaries<'a>(pub(crate) &'a Store);

impl Summaries<'_> {
    /// A restock's plan, strongly consistent; `None` where none is written down, or its time is over at `now`.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn plan(self, restock: &RestockId, now: Timestamp) -> Result<Option<Planned>, StoreError> {
        self.0.get_living(&key(restock), "summary", now).await
    }

    /// Writes down a plan at its time, where there is none of the restock yet: by the product, so that a bound leads from an entry to
    /// the restocks that covered it, and by the restock. By the product first, so that a summary that is there says that
    /// both are. A redelivered restock leaves the first plan, because by then fewer shards have an entry to deliver.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn record_plan(self, planned: &Planned) -> Result<(), StoreError> {
        let Planned { restock_id, product_id, bound, planned_at, .. } = planned;
        let by_bound = bound.map(|bound| plan_key(product_id, bound, restock_id));
        for key in by_bound.into_iter().chain([key(restock_id)]) {
            let item = to_item(&key, &WithTtl::from(*planned_at, planned), "plan")?;
            // Refused: it is there already. One of a restock that was held back has no bound.
            let _ = self
                .0
                .put_if(item, Condition::new("attribute_not_exists(#bound)").name("#bound", "bound"))
                .await?;
        }
        Ok(())
    }

    /// The plans of a product whose bound covers the entry at `position`, in the order of their bounds, then of their
    /// times; at most `most`, strongly consistent, without those whose time is over at `now`.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn plans_covering(
        self,
        product: &ProductId,
        position: Position,
        most: i32,
        now: Timestamp,
    ) -> Result<Vec<Planned>, StoreError> {
        let range = (format!("{PLAN}{position}"), format!("{PLAN}{}~", Position::END));
        let query = self.0.query(product::partition(product), Some(range)).limit(most).consistent_read(true);
        let items = Pages::of(query).items().await?.unwrap_or_default();
        let living = items.into_iter().filter(|item| !is_expired(item, now));
        let plans = living.map(|item| from_item::<Planned>(item, "plan"));
        let mut plans: Vec<Planned> = plans.collect::<Result<_, _>>()?;
        plans.sort_by_key(|planned| (planned.bound, planned.planned_at));
        Ok(plans)
    }

    /// A restock's count of one shard, strongly consistent; `None` also where its time is over at `now`.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn shard(
        self,
        restock: &RestockId,
        shard: Shard,
        now: Timestamp,
    ) -> Result<Option<Tally>, StoreError> {
        self.0.get_living(&shard_key(restock, shard), "count", now).await
    }

    /// Writes the count of one shard for the tally's restock, over the one before: the whole count, so that it may be
    /// repeated.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn put_shard(self, shard: Shard, tally: &Tally, now: Timestamp) -> Result<(), StoreError> {
        let key = shard_key(&tally.restock_id, shard);
        self.0.put(to_item(&key, &WithTtl::from(now, tally), "count")?).await
    }

    /// Writes down the entries that a restock could not deliver, each with its reason: by their positions, not their
    /// addresses. One that is written down already has the new reason.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`. Some of them may be written then.
    pub async fn put_failures(
        self,
        restock: &RestockId,
        failed: &[(Position, String)],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let writes = failed.iter().map(|(position, reason)| async move {
            let failure = Failure { reason: reason.clone() };
            let item = to_item(&failed_key(restock, *position), &WithTtl::from(now, &failure), "failure")?;
            self.0.put(item).await
        });
        try_join_all(writes).await.map(drop)
    }

    /// The record of the entry at `position`, strongly consistent; `None` where the restock did not fail to deliver it,
    /// or its time is over at `now`.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn failure(
        self,
        restock: &RestockId,
        position: Position,
        now: Timestamp,
    ) -> Result<Option<Failure>, StoreError> {
        self.0.get_living(&failed_key(restock, position), "failure", now).await
    }

    /// How many entries a restock could not deliver, for each reason, strongly consistent, without those whose time is over
    /// at `now`.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn failures(
        self,
        restock: &RestockId,
        now: Timestamp,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        let range = [Position::START, Position::END].map(|position| failed_key(restock, position).sk);
        let query = self
            .0
            .query(partition(restock), Some(range.into()))
            .projection_expression("#reason, #ttl")
            .expression_attribute_names("#reason", REASON)
            .expression_attribute_names("#ttl", TTL)
            .consistent_read(true);
        let (mut reasons, mut pages) = (BTreeMap::new(), Pages::of(query));
        while let Some(items) = pages.items().await? {
            for item in items.iter().filter(|item| !is_expired(item, now)) {
                *reasons.entry(text(item, REASON).unwrap_or_default().to_owned()).or_default() += 1;
            }
        }
        Ok(reasons)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::item::{KEPT_SECONDS, parsed};

    #[test]
    fn a_plan_reads_back_from_the_attributes_that_it_ever_had() {
        let planned = Planned {
            restock_id: RestockId::parse("r").unwrap(),
            product_id: ProductId::parse("p").unwrap(),
            bound: Some(Position::START),
            shard_count: 8,
            priority_shard_count: None,
            shards: vec![Shard::mail(2)],
            planned_at: Timestamp::from_millisecond(1_700_000_000_123).unwrap(),
        };
        let record = WithTtl::from(planned.planned_at, &planned);
        let item = to_item(&key(&planned.restock_id), &record, "plan").unwrap();
        let mut names: Vec<&str> = item.keys().map(String::as_str).collect();
        names.sort_unstable();
        let expected =
            ["bound", "pk", "plannedMs", "productId", "restockId", "shardCount", "shards", "sk", TTL];
        assert_eq!(names, expected);
        assert_eq!(parsed::<i64>(&item, "plannedMs"), Some(1_700_000_000_123));
        assert_eq!(parsed::<i64>(&item, TTL), Some(1_700_000_000 + KEPT_SECONDS));
        assert_eq!(from_item::<Planned>(item, "plan").unwrap(), planned);
        assert_eq!(planned.counts(), Shards::mail(ShardCount::DEFAULT));
        // Of one that is held back there is no attribute: so the plan itself may be written over it.
        let both = Planned { priority_shard_count: Some(2), bound: None, ..planned };
        assert_eq!(both.counts(), Shards { mail: ShardCount::DEFAULT, priority: ShardCount::new(2) });
        let item = to_item(&key(&both.restock_id), &both, "plan").unwrap();
        assert_eq!(parsed::<u16>(&item, "priorityShardCount"), Some(2));
        assert!(!item.contains_key("bound"));
        assert_eq!(from_item::<Planned>(item, "plan").unwrap(), both);
    }

    #[test]
    fn a_failure_has_the_attribute_that_failures_are_counted_by() {
        let failure = Failure { reason: IN_DOUBT.to_owned() };
        let restock = RestockId::parse("r").unwrap();
        let item = to_item(&failed_key(&restock, Position::START), &failure, "failure").unwrap();
        assert_eq!(text(&item, REASON), Some(IN_DOUBT));
    }
}
