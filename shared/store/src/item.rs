//! Keys, and items between their records and the SDK.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::StoreError;

/// An item as the SDK has it.
pub(crate) type Item = HashMap<String, AttributeValue>;

pub(crate) const PK: &str = "pk";
pub(crate) const SK: &str = "sk";
/// The attribute that holds the Unix second from which on DynamoDB may remove an item.
pub(crate) const TTL: &str = "ttl";

/// A table key. The modules make them; others only hand them on.
#[derive(Clone, PartialEq, Eq)]
pub struct ItemKey {
    pub(crate) pk: String,
    pub(crate) sk: String,
}

/// Shows nothing: the key of a subscription holds an address.
impl fmt::Debug for ItemKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ItemKey(…)")
    }
}

impl ItemKey {
    pub(crate) fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    /// The partition key.
    pub fn pk(&self) -> &str {
        &self.pk
    }

    /// The sort key.
    pub fn sk(&self) -> &str {
        &self.sk
    }

    /// The key that an item was read with: DynamoDB gives no item without its key.
    pub(crate) fn of(item: &Item) -> Option<Self> {
        Some(Self::new(text(item, PK)?, text(item, SK)?))
    }

    /// The key's two attributes.
    pub(crate) fn attributes(&self) -> Item {
        HashMap::from([(PK.to_owned(), string(&self.pk)), (SK.to_owned(), string(&self.sk))])
    }
}

/// The text of an attribute; `None` where there is none, or it is no text.
pub(crate) fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// The number of an attribute; `None` where there is none, or it is no such number.
pub(crate) fn parsed<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

/// Whether an item's time is over, although the table has it still: DynamoDB removes it "within a few days" only ("Using
/// time to live (TTL) in DynamoDB", developer guide). One without a time stays.
pub(crate) fn is_expired(item: &Item, now: Timestamp) -> bool {
    parsed::<i64>(item, TTL).is_some_and(|ttl| ttl <= now.as_second())
}

pub(crate) fn string(text: impl fmt::Display) -> AttributeValue {
    AttributeValue::S(text.to_string())
}

pub(crate) fn number(number: impl fmt::Display) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// The attributes of `record` under `key`. `kind` names it in an error.
pub(crate) fn to_item(
    key: &ItemKey,
    record: &impl Serialize,
    kind: &'static str,
) -> Result<Item, StoreError> {
    let mut item: Item = serde_dynamo::to_item(record).map_err(|_| StoreError::unwritable(kind))?;
    item.extend(key.attributes());
    Ok(item)
}

/// A record as the value of one attribute.
pub(crate) fn value(record: &impl Serialize, kind: &'static str) -> Result<AttributeValue, StoreError> {
    serde_dynamo::to_attribute_value(record).map_err(|_| StoreError::unwritable(kind))
}

/// Reads an item. An error names the kind and never shows the item.
pub(crate) fn from_item<T: DeserializeOwned>(item: Item, kind: &'static str) -> Result<T, StoreError> {
    serde_dynamo::from_item(item).map_err(|_| StoreError::unreadable(kind))
}

/// How long the table keeps what came of a restock: 400 days.
pub(crate) const KEPT_SECONDS: i64 = 400 * 86_400;

/// A record with a TTL.
#[derive(Serialize)]
pub(crate) struct WithTtl<'a, T> {
    #[serde(flatten)]
    record: &'a T,
    ttl: i64,
}

impl<'a, T> WithTtl<'a, T> {
    /// Kept for [`KEPT_SECONDS`] from `now` on.
    pub(crate) fn from(now: Timestamp, record: &'a T) -> Self {
        Self { record, ttl: now.as_second() + KEPT_SECONDS }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use domain::{Position, ProductId, RestockId, Shard};

    use super::*;
    use crate::{cursor, fanout, name, product, summary, waitlist};

    #[test]
    fn the_keys_of_plain_ids_are_as_they_ever_were_and_no_two_ids_meet_in_one() {
        let product_id = |text: &str| ProductId::parse(text).unwrap();
        let restock = |text: &str| RestockId::parse(text).unwrap();
        let text = |key: ItemKey| format!("{} {}", key.pk, key.sk);
        let (plain, r) = (product_id("SKU-1.2_b:~@+"), restock("r-1"));
        assert_eq!(text(cursor::key(&plain, Shard::mail(3))), "W#SKU-1.2_b:~@+#m0.3 CURSOR");
        assert_eq!(text(product::key(&plain)), "P#SKU-1.2_b:~@+ STATE");
        assert_eq!(fanout::key(&plain, Shard::mail(3)).sk, "SKU-1.2_b:~@+#m0.3");
        assert_eq!(text(summary::key(&r)), "R#r-1 SUMMARY");
        assert!(summary::plan_key(&plain, Position::START, &r).sk.ends_with("#r-1"));
        let partition = |id: &str, shard| waitlist::partition(&product_id(id), Shard::mail(shard));
        assert_ne!(partition("a#1", 2), partition("a%231", 2));
        assert_eq!(partition("CLE/6 é|4", 0), "W#CLE/6 é|4#m0.0");
    }

    #[test]
    fn the_longest_ids_fit_into_dynamodbs_keys() {
        let (product, restock) =
            (ProductId::parse(&"#".repeat(255)).unwrap(), RestockId::parse(&"%".repeat(255)).unwrap());
        for key in [
            waitlist::key(&product, Shard::mail(1023), Position::END),
            summary::plan_key(&product, Position::END, &restock),
            summary::failed_key(&restock, Position::END),
            fanout::key(&product, Shard::mail(1023)),
            name::key(&restock),
        ] {
            assert!(key.pk.len() <= 2_048 && key.sk.len() <= 1_024, "{} {}", key.pk.len(), key.sk.len());
        }
    }

    #[test]
    fn a_shards_cursor_sorts_before_its_entries() {
        assert!(cursor::SORT_KEY < waitlist::sort_key(Position::START).as_str());
    }
}
