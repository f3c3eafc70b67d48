//! What is to be done with an update, given the product that it is of, and when its restock may begin.

use jiff::Timestamp;

use super::state::State;
use super::{Cause, Outcome, Planning, Update, UpdateSays, variant};
use crate::ProductId;
use crate::product::{Awaited, Due, Product, StockEvent, StoredProduct, UpdateOrder};
use crate::rules::Rules;
use crate::stock::{ProductInfo, Version};

impl Planning {
    /// What to do with the update, or with what is due, by the product as it stands.
    pub(super) fn decide(&mut self, known: StoredProduct) {
        // Of an update that is recorded already, this look comes after step 1 too; and so it does of what is due.
        self.shards = known.shards;
        let (event, says) = match &self.cause {
            Cause::Update(event, says) => (event, says),
            Cause::Due(due, _) => return self.decide_due(*due, known),
        };
        let StoredProduct { product: known, rules, .. } = known;
        let rules = self.in_force(&rules, says.rules.as_deref());
        let order = match &says.variant {
            Some(variant) => variant::order(known.as_ref(), event, variant, &rules),
            None => Product::update_order(known.as_ref(), event, &rules),
        };
        self.state = match (order, known) {
            (UpdateOrder::Newer, known) => {
                let update = self.update(event, says, rules, known);
                let due = update.due;
                State::RecordStockUpdate(update).after_timer(due)
            }
            (UpdateOrder::Sale, known) => State::RecordSale(self.update(event, says, rules, known)),
            (UpdateOrder::Duplicate, Some(product)) => return self.go_on_from(product),
            (UpdateOrder::Stale | UpdateOrder::Duplicate, _) => State::Finished(Outcome::Stale),
        };
    }

    /// The rules in force: the shop's, over them the product's, over them the update's.
    pub(super) fn in_force(&self, of_product: &Rules, of_update: Option<&Rules>) -> Rules {
        Rules::in_force(&self.shop_rules, of_product, of_update)
    }

    fn update(&self, event: &StockEvent, says: &UpdateSays, rules: Rules, known: Option<Product>) -> Update {
        let StockEvent { restock, quantity, availability, version, place, .. } = event;
        let in_stock = rules.in_stock(*availability, *quantity);
        let (variant, variants) = match &says.variant {
            Some(of) => (Some(of.clone()), variant::in_stock_after(known.as_ref(), of, in_stock)),
            None => (None, known.as_ref().map(|known| known.variants.clone()).unwrap_or_default()),
        };
        if let Some(known) =
            known.as_ref().filter(|known| variant.is_some() && variant != known.variant && !in_stock)
        {
            // Another variant than the announced one sold out: of the parent nothing else changes.
            return self.without_variant(event, known, variants);
        }
        let recent = Product::recent_after(known.as_ref(), event);
        let keeps_plan = known.as_ref().is_some_and(Product::is_planned);
        let (seen, details) = known.map(|known| (known.version, known.product)).unzip();
        // The updates of a parent's variants are in no common order: each follows the one that was heard before.
        let own = version.clone().filter(|own| says.variant.is_none() || seen.as_ref() < Some(own));
        let version = own.unwrap_or_else(|| Version::following(seen.as_ref(), *place));
        let due = self.hold(&rules).filter(|_| in_stock);
        Update {
            seen,
            version,
            restock: restock.clone(),
            quantity: *quantity,
            availability: *availability,
            details: ProductInfo::after(details.flatten(), says.details.as_ref()),
            rules: Some(rules).filter(|rules| !rules.is_empty()).map(Box::new),
            own_rules: says.rules.clone(),
            variant,
            variants,
            due,
            recent,
            keeps_plan,
        }
    }

    /// What a product becomes of which a variant sold out that is not the announced one.
    fn without_variant(&self, event: &StockEvent, known: &Product, variants: Vec<ProductId>) -> Update {
        Update {
            seen: Some(known.version.clone()),
            version: Version::following(Some(&known.version), event.place),
            restock: known.restock_id.clone(),
            quantity: known.quantity,
            availability: known.availability,
            details: known.product.clone(),
            rules: known.rules.clone(),
            own_rules: known.own_rules.clone(),
            variant: known.variant.clone(),
            variants,
            due: known.due,
            recent: Product::recent_after(Some(known), event),
            keeps_plan: known.is_planned(),
        }
    }

    /// What a restock waits for before it is planned; `None`: nothing. That its stock holds is counted from now, whenever it
    /// came: of an update that was read late, the next one may be late as well.
    fn hold(&self, rules: &Rules) -> Option<Due> {
        let settled = self.now.checked_add(rules.settle()).unwrap_or(Timestamp::MAX);
        if rules.is_manual() {
            return Some(Due::new(settled, Awaited::Release));
        }
        let begins = rules.opens(settled);
        (begins > self.now).then(|| Due::new(begins, Awaited::Plan))
    }
}
