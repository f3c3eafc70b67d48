//! What is to be done with an update, given the product that it is of, and when its restock may begin.

use jiff::Timestamp;

use super::state::State;
use super::{Cause, Outcome, Planning, Update, UpdateSays};
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
        self.state = match (Product::update_order(known.as_ref(), event, &rules), known) {
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
        let rules = self.shop_rules.overlaid(of_product);
        of_update.map_or_else(|| rules.clone(), |nearest| rules.overlaid(nearest))
    }

    fn update(&self, event: &StockEvent, says: &UpdateSays, rules: Rules, known: Option<Product>) -> Update {
        let StockEvent { restock, quantity, availability, version, place, .. } = event;
        let recent = Product::recent_after(known.as_ref(), event);
        let keeps_plan = known.as_ref().is_some_and(Product::is_planned);
        let (seen, details) = known.map(|known| (known.version, known.product)).unzip();
        let version = version.clone().unwrap_or_else(|| Version::following(seen.as_ref(), *place));
        let due = self.hold(&rules, &version).filter(|_| rules.in_stock(*availability, *quantity));
        Update {
            seen,
            version,
            restock: restock.clone(),
            quantity: *quantity,
            availability: *availability,
            details: ProductInfo::after(details.flatten(), says.details.as_ref()),
            rules: Some(rules).filter(|rules| !rules.is_empty()).map(Box::new),
            own_rules: says.rules.clone(),
            due,
            recent,
            keeps_plan,
        }
    }

    /// What a restock of this version waits for before it is planned; `None`: nothing.
    fn hold(&self, rules: &Rules, version: &Version) -> Option<Due> {
        let since = version.at().map_or(self.now, |at| at.min(self.now));
        let settled = since.checked_add(rules.settle()).unwrap_or(Timestamp::MAX).max(self.now);
        if rules.is_manual() {
            return Some(Due::new(settled, Awaited::Release));
        }
        let begins = rules.opens(settled);
        (begins > self.now).then(|| Due::new(begins, Awaited::Plan))
    }
}
