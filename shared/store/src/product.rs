//! A product: the last stock update that counted, and the bound of its fan-outs. The record is
//! [`domain::product::Product`].

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::planning::{Fix, Update};
use domain::product::{Due, Product, StoredProduct};
use domain::rules::Rules;
use domain::{Lane, ProductId, ShardCount, Shards};
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
const AVAILABILITY: &str = "availability";
const RULES: &str = "rules";
const OWN_RULES: &str = "ownRules";
const VARIANT: &str = "variant";
const VARIANTS: &str = "variants";
const TURN: &str = "turn";
const WAVE: &str = "wave";
const FARTHEST: &str = "farthest";
const DUE: &str = "due";
/// The number of shards of the waitlist's mail lane, which is no part of the record: it may be there before it.
pub(crate) const SHARDS: &str = "shards";
/// The same of the priority lane.
pub(crate) const PRIORITY_SHARDS: &str = "priorityShards";

/// The rules of its own, a map, which are no part of the record either.
const RULED: &str = "ruled";

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

    /// The product, the numbers of shards of its waitlist, and the rules of its own, strongly consistent.
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

    /// Gives a product rules of its own, in place of those that it has; `None`, or empty ones, take them away. Nothing else of
    /// the product changes, and it need not be known.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`, and `Contended` where a transaction was in the way.
    pub async fn set_rules(self, product: &ProductId, rules: Option<&Rules>) -> Result<(), StoreError> {
        let update = match rules.filter(|rules| !rules.is_empty()) {
            Some(rules) => self
                .0
                .client
                .update_item()
                .table_name(&self.0.table)
                .set_key(Some(key(product).attributes()))
                .update_expression("SET #ruled = :ruled")
                .expression_attribute_values(":ruled", value_of(rules)?),
            // Refused where there is none: an item is not made for that.
            None => {
                self.0.update(&key(product), "attribute_exists(#ruled)").update_expression("REMOVE #ruled")
            }
        };
        apply(update.expression_attribute_names("#ruled", RULED)).await.map(drop)
    }

    /// Writes a stock update, on condition that the product is at the version that the update has seen: so the decision
    /// that the update counts, [`Product::update_order`], holds for what it replaces. Applied or refused, it gives the
    /// product as it stood before, with the numbers of shards and the rules, which it leaves as they are.
    ///
    /// # Errors
    /// Every kind of [`StoreError`]; `Contended` where a [move](crate::subscription::Move) was just checking the product.
    pub async fn record_stock_update(
        self,
        product: &ProductId,
        update: &Update,
    ) -> Result<Outcome<StoredProduct, StoredProduct>, StoreError> {
        let due = update.due.as_ref().map(value_of).transpose()?;
        let own = vec![(RESTOCK, Some(string(&update.restock))), (DUE, due)];
        let write = self.write(product, update, own)?;
        Ok(match apply(write.return_values(ReturnValue::AllOld)).await? {
            Outcome::Applied(item) => Outcome::Applied(stored(item)?),
            Outcome::Refused(item) => Outcome::Refused(stored(item)?),
        })
    }

    /// Writes a sale, or another level, of a product that is in stock and planned, or held back, on the same condition. Its
    /// restock stays the current one, and planned, so that nothing of the fan-out under way changes, nor of what is due.
    /// Refused, it gives the product as it stands.
    ///
    /// # Errors
    /// Every kind of [`StoreError`], as of [`Products::record_stock_update`].
    pub async fn record_sale(
        self,
        product: &ProductId,
        sale: &Update,
    ) -> Result<Outcome<(), StoredProduct>, StoreError> {
        let planned = sale.keeps_plan.then(|| (PLANNED, Some(string(sale.version.as_str()))));
        let write = self.write(product, sale, planned.into_iter().collect())?;
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
        own: Vec<(&str, Option<AttributeValue>)>,
    ) -> Result<UpdateItemFluentBuilder, StoreError> {
        let Update { seen, version, quantity, details, recent, availability, rules, own_rules, .. } = update;
        // A bound leaves the version, and makes of a restock that was held a planned one: a level that knew it as held would
        // take that from it.
        let held = "#version = :seen AND (attribute_not_exists(#planned) OR #planned <> :seen)";
        let is_level_of_held = !update.keeps_plan && own.is_empty();
        let condition = match seen {
            Some(_) if is_level_of_held => held,
            Some(_) => "#version = :seen",
            None => "attribute_not_exists(#version)",
        };
        let mut write = self
            .0
            .update(&key(product), condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if let Some(seen) = seen {
            write = write.expression_attribute_values(":seen", string(seen.as_str()));
        }
        if is_level_of_held {
            write = write.expression_attribute_names("#planned", PLANNED);
        }
        let attributes = [
            (VERSION, Some(string(version.as_str()))),
            (RECENT, Some(value_of(recent)?)),
            (QUANTITY, quantity.map(number)),
            (DETAILS, details.as_ref().map(value_of).transpose()?),
            (AVAILABILITY, (!availability.is_plain()).then(|| value_of(availability)).transpose()?),
            (RULES, rules.as_ref().map(value_of).transpose()?),
            (OWN_RULES, own_rules.as_ref().map(value_of).transpose()?),
            (VARIANT, update.variant.as_ref().map(string)),
            (VARIANTS, (!update.variants.is_empty()).then(|| value_of(&update.variants)).transpose()?),
        ];
        Ok(set_or_remove(write, attributes.into_iter().chain(own)))
    }

    /// Fixes the bound of a restock, as long as the version is the product's current one and has no bound yet: with any
    /// number of planners an update has one bound, and the product's never goes back. Or opens it up to the next wave, as
    /// long as the version is the current one and no other wave was opened since. Refused, it gives the product as it
    /// stands: another planner has fixed the bound, or another update has overtaken it. A bound of `None`, where no shard
    /// ever had an entry, is none: the restock counts as planned all the same.
    ///
    /// # Errors
    /// Every kind of [`StoreError`], as of [`Products::record_stock_update`].
    pub async fn fix_bound(
        self,
        product: &ProductId,
        fix: &Fix,
    ) -> Result<Outcome<(), Option<Product>>, StoreError> {
        let condition = if fix.is_next_wave {
            "#version = :version AND #planned = :planned AND #turn = :seen"
        } else {
            "#version = :version AND (attribute_not_exists(#planned) OR #planned <> :planned)"
        };
        let write = self
            .0
            .update(&key(product), condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .expression_attribute_names("#version", VERSION)
            .expression_attribute_values(":version", string(fix.version.as_str()));
        let write = match fix.is_next_wave {
            true => write.expression_attribute_values(":seen", number(fix.turn)),
            false => write,
        };
        let attributes = [
            (PLANNED, Some(string(fix.version.as_str()))),
            (BOUND_OF, Some(string(&fix.restock))),
            (TURN, Some(number(fix.turn + 1))),
            (WAVE, fix.wave.as_ref().map(value_of).transpose()?),
            (FARTHEST, fix.farthest.as_ref().map(value_of).transpose()?),
            (DUE, fix.due.as_ref().map(value_of).transpose()?),
            (RULES, fix.rules.as_ref().map(value_of).transpose()?),
        ];
        let bound = fix.bound.map(|bound| (BOUND, Some(string(bound))));
        let write = set_or_remove(write, attributes.into_iter().chain(bound));
        Ok(match apply(write).await? {
            Outcome::Applied(_) => Outcome::Applied(()),
            Outcome::Refused(item) => Outcome::Refused(product_of(item)?),
        })
    }

    /// Puts off what a product waits for, or ends it, as long as it waits for `seen` and no bound or wave was fixed since `turn`.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`, and `Contended` where a transaction was in the way.
    pub async fn put_off(
        self,
        product: &ProductId,
        turn: u64,
        seen: Due,
        next: Option<Due>,
    ) -> Result<Outcome, StoreError> {
        // No turn is written before the first bound is.
        let condition = if turn == 0 {
            "#seen = :seen AND attribute_not_exists(#turn)"
        } else {
            "#seen = :seen AND #turn = :turn"
        };
        let write = self
            .0
            .update(&key(product), condition)
            .expression_attribute_names("#seen", DUE)
            .expression_attribute_names("#turn", TURN)
            .expression_attribute_values(":seen", value_of(&seen)?);
        let write = if turn == 0 { write } else { write.expression_attribute_values(":turn", number(turn)) };
        let next = next.as_ref().map(value_of).transpose()?;
        Ok(apply(set_or_remove(write, [(DUE, next)])).await?.plain())
    }
}

/// A write of these attributes; those without a value are removed.
fn set_or_remove<'n>(
    mut write: UpdateItemFluentBuilder,
    attributes: impl IntoIterator<Item = (&'n str, Option<AttributeValue>)>,
) -> UpdateItemFluentBuilder {
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
    let set = (!set.is_empty()).then(|| format!("SET {}", set.join(", ")));
    let gone = (!gone.is_empty()).then(|| format!("REMOVE {}", gone.join(", ")));
    let expression: Vec<String> = set.into_iter().chain(gone).collect();
    write.update_expression(expression.join(" "))
}

fn value_of(part: &impl Serialize) -> Result<AttributeValue, StoreError> {
    serde_dynamo::to_attribute_value(part).map_err(|_| StoreError::unwritable(KIND))
}

/// An item as a product with its shards, one in the mail lane unless it says otherwise, and its rules.
fn stored(item: Option<Item>) -> Result<StoredProduct, StoreError> {
    let count = |lane| item.as_ref().map_or(Ok(None), |item| count_of(item, shards_name(lane)));
    let mail = count(Lane::Mail)?.unwrap_or(ShardCount::ONE);
    let shards = Shards { mail, priority: count(Lane::PriorityMail)? };
    let rules = item.as_ref().map(rules_of).unwrap_or_default();
    Ok(StoredProduct { product: product_of(item)?, shards, rules })
}

/// The rules in an item, as far as they are understood: none of them may keep the product from being read.
fn rules_of(item: &Item) -> Rules {
    let ruled = item.get(RULED).cloned();
    ruled.and_then(|ruled| serde_dynamo::from_attribute_value(ruled).ok()).unwrap_or_default()
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

    use domain::product::{Awaited, Reach, StockEvent, Wave};
    use domain::rules::Availability;
    use domain::stock::{Place, ProductInfo, StockUpdate, Version};
    use domain::{Position, RestockId};

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
            availability: Availability::FewLeft,
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
            availability: Availability::FewLeft,
            rules: Some(Box::default()),
            own_rules: Some(Box::default()),
            variant: Some(ProductId::parse("v").unwrap()),
            variants: vec![ProductId::parse("v").unwrap()],
            turn: 3,
            wave: Some(Wave { number: 1, reach: Reach::all(Position::START), size: Some(2) }),
            farthest: Some(Reach::all(Position::START)),
            due: Some(Due::new(jiff::Timestamp::UNIX_EPOCH, Awaited::Wave)),
        };
        assert!(product.product.is_some());
        let item = to_item(&key(&ProductId::parse("p").unwrap()), &product, KIND).unwrap();
        let names: BTreeSet<&str> = item.keys().map(String::as_str).collect();
        let ours = [
            QUANTITY,
            VERSION,
            RESTOCK,
            RECENT,
            BOUND,
            BOUND_OF,
            PLANNED,
            DETAILS,
            AVAILABILITY,
            RULES,
            OWN_RULES,
            VARIANT,
            VARIANTS,
            TURN,
            WAVE,
            FARTHEST,
            DUE,
        ];
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
