//! What is to be done with an update, given the product that it is of.

use super::state::State;
use super::{Outcome, Planning, Update};
use crate::product::{Product, StockEvent, StoredProduct, UpdateOrder};
use crate::stock::{ProductInfo, Version};

impl Planning {
    /// What to do with the update, by the product as it stands.
    pub(super) fn decide(&mut self, known: StoredProduct) {
        let StoredProduct { product: known, shards, .. } = known;
        // Of an update that is recorded already, this look comes after step 1 too.
        self.shards = shards;
        self.state = match (Product::update_order(known.as_ref(), &self.event), known) {
            (UpdateOrder::Newer, known) => State::RecordStockUpdate(self.update(known)),
            (UpdateOrder::Sale, known) => State::RecordSale(self.update(known)),
            (UpdateOrder::Duplicate, Some(product)) => return self.go_on_from(product),
            (UpdateOrder::Stale | UpdateOrder::Duplicate, _) => State::Finished(Outcome::Stale),
        };
    }

    fn update(&self, known: Option<Product>) -> Update {
        let StockEvent { restock, quantity, version, place, .. } = &self.event;
        let recent = Product::recent_after(known.as_ref(), &self.event);
        let (seen, details) = known.map(|known| (known.version, known.product)).unzip();
        let version = version.clone().unwrap_or_else(|| Version::following(seen.as_ref(), *place));
        let details = ProductInfo::after(details.flatten(), self.news.as_ref());
        Update { seen, version, restock: restock.clone(), quantity: *quantity, details, recent }
    }
}
