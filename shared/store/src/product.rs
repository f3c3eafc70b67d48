//! A product: the last stock update that counted, and the bound of its fan-outs. The record is
//! [`domain::product::Product`].

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::planning::Update;
use domain::product::{Product, StoredProduct};
use domain::stock::Version;
use domain::{Lane, Position, ProductId, RestockId, ShardCount, Shards};
use serde::Serialize;

use crate::item::{Item, from_item, number, parsed, string};
use crate::request::apply;
use crate::{ItemKey, Outcome, Store, StoreError};

const KIND: &str = "product";

// As `domain::product::Product` writes them; a test holds the two against each other.
const QUANTITY: &str = "quantity";
pub(crate) const VERSION: &str = "version";
const RESTOCK: &str = "restockId";
pub(crate) const BOUND: &str = "bound";
const BOUND_OF: &str = "boundOf";
const PLANNED: &str = "planned";
const RECENT: &str = "recent";
const DETAILS: &str = "product";
/// The number of shards of the waitlist's mail lane, which is no part of the record: it may be there before it.
pub(crate) const SHARDS: &str = "shards";
/// The same of the priority lane.
pub(crate) const PRIORITY_SHARDS: &str = "priorityShards";

/// The attribute of a lane's number of shards.
fn shards_name(lane: Lane) -> &'static str {
    match lane {
        Lane::Mail => SHARDS,
        Lane::PriorityMail => PRIORITY_SHARDS,
    }
}

/// The partition of a product and its plans.
pub(crate) fn partition(product: &ProductId) -> String {
    format!("P#{}", product.key_part())
}

/// The key of a product.
pub fn key(product: &ProductId) -> ItemKey {
    ItemKey::new(partition(product), "STATE")
}

/// The products.
#[derive(Clone, Copy)]
pub struct Products<'a>(pub(crate) &'a Store);

impl Products<'_> {
    /// The product, strongly consistent; `None` before its first stock update.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn get(self, product: &ProductId) -> Result<Option<Product>, StoreError> {
        product_of(self.0.get_item(&key(product)).await?)
    }

    /// The product and the numbers of shards of its waitlist, strongly consistent.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn read(self, product: &ProductId) -> Result<StoredProduct, StoreError> {
        stored(self.0.get_item(&key(product)).await?)
    }

    /// Records the number of shards of a lane of a waitlist, unless the item has it or a larger one: it only ever grows, so
    /// that a plan reads every shard that a place was ever put into. Refused, a larger one stands.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`, and `Contended` where a transaction was in the way.
    pub async fn raise_shards(
        self,
        product: &ProductId,
        lane: Lane,
        shards: ShardCount,
    ) -> Result<Outcome, StoreError> {
        let update = self
            .0
            .update(&key(product), "attribute_not_exists(#shards) OR #shards <= :shards")
            .update_expression("SET #shards = :shards")
            .expression_attribute_names("#shards", shards_name(lane))
            .expression_attribute_values(":shards", number(shards.get()));
        Ok(apply(update).await?.plain())
    }

    /// Writes a stock update, on condition that the product is at the version that the update has seen: so the decision
    /// that the update counts, [`Product::update_order`], holds for what it replaces. Applied or refused, it gives the
    /// product as it stood before, and the numbers of shards, which it leaves as they are.
    ///
    /// # Errors
    /// Every kind of [`StoreError`]; `Contended` where a [move](crate::subscription::Move) was just checking the product.
    pub async fn record_stock_update(
        self,
        product: &ProductId,
        update: &Update,
    ) -> Result<Outcome<StoredProduct, StoredProduct>, StoreError> {
        let write = self.write(product, update, (RESTOCK, string(&update.restock)))?;
        Ok(match apply(write.return_values(ReturnValue::AllOld)).await? {
            Outcome::Applied(item) => Outcome::Applied(stored(item)?),
            Outcome::Refused(item) => Outcome::Refused(stored(item)?),
        })
    }

    /// Writes a sale: fewer units of a product that is in stock and planned, on the same condition. Its restock stays the
    /// current one, and planned, so that nothing of the fan-out under way changes. Refused, it gives the product as it
    /// stands.
    ///
    /// # Errors
    /// Every kind of [`StoreError`], as of [`Products::record_stock_update`].
    pub async fn record_sale(
        self,
        product: &ProductId,
        sale: &Update,
    ) -> Result<Outcome<(), StoredProduct>, StoreError> {
        let write = self.write(product, sale, (PLANNED, string(sale.version.as_str())))?;
        Ok(match apply(write).await? {
            Outcome::Applied(_) => Outcome::Applied(()),
            Outcome::Refused(item) => Outcome::Refused(stored(item)?),
        })
    }

    /// The write of what an update makes of a product, on condition that the product is as the update has seen it. A
    /// quantity or details that are not known any more are removed.
    fn write(
        self,
        product: &ProductId,
        update: &Update,
        own: (&str, AttributeValue),
    ) -> Result<UpdateItemFluentBuilder, StoreError> {
        let Update { seen, version, quantity, details, recent, .. } = update;
        let condition = if seen.is_some() { "#version = :seen" } else { "attribute_not_exists(#version)" };
        let mut write = self
            .0
            .update(&key(product), condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if let Some(seen) = seen {
            write = write.expression_attribute_values(":seen", string(seen.as_str()));
        }
        let attributes = [
            (VERSION, Some(string(version.as_str()))),
            (own.0, Some(own.1)),
            (RECENT, Some(value_of(recent)?)),
            (QUANTITY, quantity.map(number)),
            (DETAILS, details.as_ref().map(value_of).transpose()?),
        ];
        let (mut set, mut gone) = (Vec::new(), Vec::new());
        for (attribute, value) in attributes {
            write = write.expression_attribute_names(format!("#{attribute}"), attribute);
            if let Some(value) = value {
                write = write.expression_attribute_values(format!(":{attribute}"), value);
                set.push(format!("#{attribute} = :{attribute}"));
            } else {
                gone.push(format!("#{attribute}"));
            }
        }
        let mut expression = format!("SET {}", set.join(", "));
        if !gone.is_empty() {
            expression.push_str(&format!(" REMOVE {}", gone.join(", ")));
        }
        Ok(write.update_expression(expression))
    }

    /// Fixes the bound of a restock, as long as `version` is the product's current one and has no bound yet: with any
    /// number of planners an update has one bound, and the product's never goes back. Refused, it gives the product as it
    /// stands: another planner has fixed the bound, or another update has overtaken it. `None` where no shard ever had an
    /// entry: the restock counts as planned all the same.
    ///
    /// # Errors
    /// Every kind of [`StoreError`], as of [`Products::record_stock_update`].
    pub async fn fix_bound(
        self,
        product: &ProductId,
        restock: &RestockId,
        version: &Version,
        bound: Option<Position>,
    ) -> Result<Outcome<(), Option<Product>>, StoreError> {
        let unplanned = "#version = :version AND (attribute_not_exists(#planned) OR #planned <> :version)";
        let update = self
            .0
            .update(&key(product), unplanned)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_names("#planned", PLANNED)
            .expression_attribute_names("#boundOf", BOUND_OF)
            .expression_attribute_values(":version", string(version.as_str()))
            .expression_attribute_values(":restock", string(restock));
        let update = match bound {
            Some(bound) => update
                .update_expression("SET #planned = :version, #boundOf = :restock, #bound = :bound")
                .expression_attribute_names("#bound", BOUND)
                .expression_attribute_values(":bound", string(bound)),
            None => update.update_expression("SET #planned = :version, #boundOf = :restock"),
        };
        Ok(match apply(update).await? {
            Outcome::Applied(_) => Outcome::Applied(()),
            Outcome::Refused(item) => Outcome::Refused(product_of(item)?),
        })
    }
}

fn value_of(part: &impl Serialize) -> Result<AttributeValue, StoreError> {
    serde_dynamo::to_attribute_value(part).map_err(|_| StoreError::unwritable(KIND))
}

/// An item as a product and its shards: one in the mail lane, unless it says otherwise.
fn stored(item: Option<Item>) -> Result<StoredProduct, StoreError> {
    let count = |lane| item.as_ref().map_or(Ok(None), |item| count_of(item, shards_name(lane)));
    let mail = count(Lane::Mail)?.unwrap_or(ShardCount::ONE);
    let shards = Shards { mail, priority: count(Lane::PriorityMail)? };
    Ok(StoredProduct { product: product_of(item)?, shards })
}

/// The product in an item; `None` where no stock update is recorded in it. Of an item that was not there before a write,
/// DynamoDB gives nothing, and other tables give its key.
fn product_of(item: Option<Item>) -> Result<Option<Product>, StoreError> {
    item.filter(|item| item.contains_key(VERSION)).map(|item| from_item(item, KIND)).transpose()
}

/// The number of shards under this name in an item; `None` where it has none.
fn count_of(item: &Item, name: &str) -> Result<Option<ShardCount>, StoreError> {
    if !item.contains_key(name) {
        return Ok(None);
    }
    let shards = parsed(item, name).and_then(ShardCount::new);
    shards.map(Some).ok_or_else(|| StoreError::unreadable(KIND))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::collections::BTreeSet;

    use domain::product::StockEvent;
    use domain::stock::{Place, ProductInfo, StockUpdate};

    use super::*;
    use crate::item::to_item;

    const PLACE: Place = Place { partition: 0, offset: 0 };

    #[test]
    fn the_attributes_of_expressions_are_the_records() {
        let body = br#"{"productId":"p","quantity":1,"product":{"name":"n"}}"#;
        let details = StockUpdate::from_record(Some(body)).unwrap().update.product;
        let restock = RestockId::parse("r").unwrap();
        let (version, place) = (Version::following(None, PLACE), PLACE);
        let event = StockEvent {
            restock: restock.clone(),
            quantity: Some(1),
            version: None,
            place,
            told_by_id: false,
        };
        let product = Product {
            quantity: Some(1),
            version: version.clone(),
            restock_id: restock.clone(),
            recent: Product::recent_after(None, &event),
            bound: Some(Position::START),
            bound_of: Some(restock),
            planned: Some(version),
            product: ProductInfo::after(None, details.as_ref()),
        };
        assert!(product.product.is_some());
        let item = to_item(&key(&ProductId::parse("p").unwrap()), &product, KIND).unwrap();
        let names: BTreeSet<&str> = item.keys().map(String::as_str).collect();
        let ours = [QUANTITY, VERSION, RESTOCK, RECENT, BOUND, BOUND_OF, PLANNED, DETAILS];
        assert_eq!(names, ours.into_iter().chain(["pk", "sk"]).collect());
        assert_eq!(from_item::<Product>(item, KIND).unwrap(), product);
    }

    #[test]
    fn a_lane_has_the_number_of_shards_that_the_item_says_and_an_odd_one_makes_it_unreadable() {
        let with = |attributes: &[(&str, &str)]| {
            let number = |(name, count): &(&str, &str)| ((*name).to_owned(), number(count));
            stored(Some(attributes.iter().map(number).collect()))
        };
        let (one, eight) = (ShardCount::ONE, ShardCount::DEFAULT);
        assert_eq!(stored(None).unwrap().shards, Shards::ONE);
        for (attributes, mail, priority) in [
            (&[][..], one, None),
            (&[("shards", "8")], eight, None),
            (&[("priorityShards", "1")], one, Some(one)),
            (&[("shards", "8"), ("priorityShards", "8")], eight, Some(eight)),
        ] {
            assert_eq!(with(attributes).unwrap().shards, Shards { mail, priority }, "{attributes:?}");
        }
        for odd in ["0", "1025", "-1", "1.5"] {
            assert!(with(&[("shards", odd)]).unwrap_err().is_corrupt(), "{odd}");
            assert!(with(&[("priorityShards", odd)]).unwrap_err().is_corrupt(), "{odd}");
        }
    }
}
