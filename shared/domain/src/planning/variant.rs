//! A variant's update, as an update of the product that it is a variant of: subscribers of the parent ("any size") are told
//! when any variant comes, with that variant's details. What a parent says of its stock is what its announced variant says; the
//! others that are in stock are remembered by their ids, so that only one that comes begins a restock.

use sha2::{Digest, Sha256};

use crate::product::{Product, StockEvent, UpdateOrder};
use crate::rules::Rules;
use crate::stock::StockUpdate;
use crate::{ProductId, RestockId};

/// The most variants in stock that a parent remembers; a further one begins a restock at each of its updates.
const REMEMBERED: usize = 100;

impl StockUpdate {
    /// This update as one of the parent, for the restock that it was planned as; `None` where the product is no variant.
    pub fn of_parent(&self, restock: &RestockId) -> Option<Self> {
        let parent = self.parent_id.clone().filter(|parent| *parent != self.product_id)?;
        let restock_id = Some(of_parent(restock, &parent));
        Some(Self { restock_id, generated_id: true, product_id: parent, parent_id: None, ..self.clone() })
    }
}

/// The parent's restock has an id of its own, because its counts are; the same at each delivery of the record.
fn of_parent(restock: &RestockId, parent: &ProductId) -> RestockId {
    let hash = Sha256::digest(format!("{restock}\n{parent}"));
    let hash: String = hash.iter().take(12).map(|byte| format!("{byte:02x}")).collect();
    #[expect(clippy::expect_used, reason = "letters, digits and a hyphen, and never only dots")]
    RestockId::parse(&format!("variant-{hash}")).expect("a restock's id")
}

/// The order of a variant's update among its parent's, which other variants' updates are as well: the variant's own planning has
/// told already that it is no late one.
pub(super) fn order(
    known: Option<&Product>,
    event: &StockEvent,
    variant: &ProductId,
    rules: &Rules,
) -> UpdateOrder {
    let Some(known) = known else { return UpdateOrder::Newer };
    let in_stock = rules.in_stock(event.availability, event.quantity);
    if known.has_record(event) {
        let stands = known.restock_id == event.restock && known.in_stock() == in_stock;
        return if stands { UpdateOrder::Duplicate } else { UpdateOrder::Stale };
    }
    let announced = known.variant.as_ref() == Some(variant);
    let had = known.variants.contains(variant);
    match (in_stock, announced) {
        (true, true) if had && known.in_stock() && known.is_level_with(event, rules) => UpdateOrder::Sale,
        (true, false) if had && known.in_stock() => UpdateOrder::Stale,
        (true, _) | (false, true) => UpdateOrder::Newer,
        (false, false) if had => UpdateOrder::Sale,
        (false, false) => UpdateOrder::Stale,
    }
}

/// The variants in stock once this one's update is recorded.
pub(super) fn in_stock_after(known: Option<&Product>, variant: &ProductId, in_stock: bool) -> Vec<ProductId> {
    let before = known.map(|known| known.variants.as_slice()).unwrap_or_default();
    let others = before.iter().filter(|other| *other != variant).cloned();
    let mut after: Vec<ProductId> = others.chain(in_stock.then(|| variant.clone())).collect();
    after.drain(..after.len().saturating_sub(REMEMBERED));
    after
}
