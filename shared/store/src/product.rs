//! A product: the last stock update that counted, and the bound of its fan-outs. The record is
//! [`domain::product::Product`].

use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::product::{Product, StoredProduct};
use domain::stock::{ProductInfo, Version};
use domain::{Position, ProductId, RestockId, ShardCount};

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
const DETAILS: &str = "product";
/// The number of shards of the product's waitlist, which is no part of the record: it may be there before it.
pub(crate) const SHARDS: &str = "shards";

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

/// The part of a product that a stock update sets.
#[derive(Debug, Clone, Copy)]
pub struct StockState<'a> {
    /// The update's place among all updates of the product.
    pub version: &'a Version,
    /// Its restock.
    pub restock: &'a RestockId,
    /// Units in stock; `None`: unknown, and what stood there is removed.
    pub quantity: Option<u64>,
    /// The details that emails show; `None`: there are none, and what stood there is removed.
    pub details: Option<&'a ProductInfo>,
}

/// The part of a product that a sale sets.
#[derive(Debug, Clone, Copy)]
pub struct Sale<'a> {
    /// The version of the product that it was found to be a sale of.
    pub seen: &'a Version,
    /// Its own place among all updates of the product.
    pub version: &'a Version,
    /// Units in stock.
    pub quantity: u64,
    /// The details that emails show; `None`: there are none, and what stood there is removed.
    pub details: Option<&'a ProductInfo>,
}

impl Products<'_> {
    /// The product, strongly consistent; `None` before its first stock update.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn get(self, product: &ProductId) -> Result<Option<Product>, StoreError> {
        product_of(self.0.get_item(&key(product)).await?)
    }

    /// The product and the number of shards of its waitlist, strongly consistent.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn read(self, product: &ProductId) -> Result<StoredProduct, StoreError> {
        self.stored(self.0.get_item(&key(product)).await?).await
    }

    /// Records the number of shards of a waitlist, unless the item has it or a larger one: it only ever grows, so that a
    /// plan reads every shard that a place was ever put into. Refused, a larger one stands.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`, and `Contended` where a transaction was in the way.
    pub async fn raise_shards(self, product: &ProductId, shards: ShardCount) -> Result<Outcome, StoreError> {
        let update = self
            .0
            .update(&key(product), "attribute_not_exists(#shards) OR #shards <= :shards")
            .update_expression("SET #shards = :shards")
            .expression_attribute_names("#shards", SHARDS)
            .expression_attribute_values(":shards", number(shards.get()));
        Ok(apply(update).await?.plain())
    }

    /// The item as a product and its shards.
    async fn stored(self, item: Option<Item>) -> Result<StoredProduct, StoreError> {
        let recorded = item.as_ref().map(shards_of).transpose()?.flatten();
        Ok(StoredProduct { product: product_of(item)?, shards: self.0.shards(recorded).await? })
    }

    /// Writes a stock update, unless the item holds a newer one, or this restock was planned before and another update
    /// came after it: the same decision as [`Product::update_order`] makes. So of two updates in any order, also delivered
    /// twice, the newer one stands in the end, and a late retry of a restock does not undo the sell-out after it.
    ///
    /// A sale, which [`Products::record_sale`] is for, is refused too. Applied or refused, it gives the product as it stood
    /// before, and the number of shards, which it leaves as it is.
    ///
    /// # Errors
    /// Every kind of [`StoreError`]; `Contended` where a [move](crate::subscription::Move) was just checking the product.
    pub async fn record_stock_update(
        self,
        product: &ProductId,
        state: StockState<'_>,
    ) -> Result<Outcome<StoredProduct, StoredProduct>, StoreError> {
        let newer = "attribute_not_exists(#version) OR (#version < :version AND \
                     (attribute_not_exists(#boundOf) OR #boundOf <> :restock OR #restock = :restock)";
        let condition = match state.quantity {
            Some(quantity) if quantity > 0 => {
                format!("{newer} AND NOT (#quantity > :quantity AND #boundOf = #restock))")
            }
            _ => format!("{newer})"),
        };
        let mut update = self
            .0
            .update(&key(product), &condition)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_names("#boundOf", BOUND_OF)
            .expression_attribute_names("#restock", RESTOCK)
            .expression_attribute_names("#quantity", QUANTITY)
            .expression_attribute_names("#product", DETAILS)
            .expression_attribute_values(":version", string(state.version.as_str()))
            .expression_attribute_values(":restock", string(state.restock))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let (mut set, mut gone) = ("SET #version = :version, #restock = :restock".to_owned(), Vec::new());
        match state.details {
            Some(details) => {
                set.push_str(", #product = :product");
                update = update.expression_attribute_values(":product", value_of(details)?);
            }
            None => gone.push("#product"),
        }
        match state.quantity {
            Some(quantity) => {
                set.push_str(", #quantity = :quantity");
                update = update.expression_attribute_values(":quantity", number(quantity));
            }
            None => gone.push("#quantity"),
        }
        if !gone.is_empty() {
            set.push_str(&format!(" REMOVE {}", gone.join(", ")));
        }
        Ok(match apply(update.update_expression(set)).await? {
            Outcome::Applied(item) => Outcome::Applied(self.stored(item).await?),
            Outcome::Refused(item) => Outcome::Refused(self.stored(item).await?),
        })
    }

    /// Writes a sale: fewer units of a product that is in stock and planned. Its restock stays the current one, so that
    /// nothing of the fan-out under way changes. Refused where another update came in between: it gives the product as it
    /// stands.
    ///
    /// # Errors
    /// Every kind of [`StoreError`], as of [`Products::record_stock_update`].
    pub async fn record_sale(
        self,
        product: &ProductId,
        sale: Sale<'_>,
    ) -> Result<Outcome<(), StoredProduct>, StoreError> {
        let mut update = self
            .0
            .update(&key(product), "#version = :seen")
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_names("#quantity", QUANTITY)
            .expression_attribute_names("#product", DETAILS)
            .expression_attribute_values(":seen", string(sale.seen.as_str()))
            .expression_attribute_values(":version", string(sale.version.as_str()))
            .expression_attribute_values(":quantity", number(sale.quantity))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let set = "SET #version = :version, #quantity = :quantity";
        let expression = match sale.details {
            Some(details) => {
                update = update.expression_attribute_values(":product", value_of(details)?);
                format!("{set}, #product = :product")
            }
            None => format!("{set} REMOVE #product"),
        };
        Ok(match apply(update.update_expression(expression)).await? {
            Outcome::Applied(_) => Outcome::Applied(()),
            Outcome::Refused(item) => Outcome::Refused(self.stored(item).await?),
        })
    }

    /// Fixes the bound of a restock, as long as that is the product's current one and has no bound yet: with any number of
    /// planners a restock has one bound, and the product's never goes back. Refused, it gives the product as it stands:
    /// another planner has fixed the restock's bound, or another restock, or a sell-out, has overtaken it. `None` where no
    /// shard ever had an entry: the restock counts as planned all the same.
    ///
    /// # Errors
    /// Every kind of [`StoreError`], as of [`Products::record_stock_update`].
    pub async fn fix_bound(
        self,
        product: &ProductId,
        restock: &RestockId,
        bound: Option<Position>,
    ) -> Result<Outcome<(), Option<Product>>, StoreError> {
        let update = self
            .0
            .update(
                &key(product),
                "#restock = :restock AND (attribute_not_exists(#boundOf) OR #boundOf <> :restock)",
            )
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_names("#restock", RESTOCK)
            .expression_attribute_names("#boundOf", BOUND_OF)
            .expression_attribute_values(":restock", string(restock));
        let update = match bound {
            Some(bound) => update
                .update_expression("SET #boundOf = :restock, #bound = :bound")
                .expression_attribute_names("#bound", BOUND)
                .expression_attribute_values(":bound", string(bound)),
            None => update.update_expression("SET #boundOf = :restock"),
        };
        Ok(match apply(update).await? {
            Outcome::Applied(_) => Outcome::Applied(()),
            Outcome::Refused(item) => Outcome::Refused(product_of(item)?),
        })
    }
}

fn value_of(details: &ProductInfo) -> Result<AttributeValue, StoreError> {
    serde_dynamo::to_attribute_value(details).map_err(|_| StoreError::unwritable(KIND))
}

/// The product in an item; `None` where no stock update is recorded in it. Of an item that was not there before a write,
/// DynamoDB gives nothing, and other tables give its key.
fn product_of(item: Option<Item>) -> Result<Option<Product>, StoreError> {
    item.filter(|item| item.contains_key(VERSION)).map(|item| from_item(item, KIND)).transpose()
}

/// The number of shards in an item; `None` where it has none.
fn shards_of(item: &Item) -> Result<Option<ShardCount>, StoreError> {
    if !item.contains_key(SHARDS) {
        return Ok(None);
    }
    let shards = parsed(item, SHARDS).and_then(ShardCount::new);
    shards.map(Some).ok_or_else(|| StoreError::unreadable(KIND))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use std::collections::BTreeSet;

    use domain::stock::StockUpdate;
    use jiff::Timestamp;

    use super::*;
    use crate::item::to_item;

    #[test]
    fn the_attributes_of_expressions_are_the_records() {
        let body = br#"{"productId":"p","quantity":1,"product":{"name":"n"}}"#;
        let details = StockUpdate::from_record(Some(body)).unwrap().update.product;
        let restock = RestockId::parse("r").unwrap();
        let product = Product {
            quantity: Some(1),
            version: Version::new(None, None, Timestamp::UNIX_EPOCH, 0, 0),
            restock_id: restock.clone(),
            bound: Some(Position::START),
            bound_of: Some(restock),
            product: ProductInfo::after(None, details.as_ref()),
        };
        assert!(product.product.is_some());
        let item = to_item(&key(&ProductId::parse("p").unwrap()), &product, KIND).unwrap();
        let names: BTreeSet<&str> = item.keys().map(String::as_str).collect();
        assert_eq!(names, BTreeSet::from(["pk", "sk", QUANTITY, VERSION, RESTOCK, BOUND, BOUND_OF, DETAILS]));
        assert_eq!(from_item::<Product>(item, KIND).unwrap(), product);
    }
}
