//! What is known of a product, and the decisions that hang on it: which stock updates count, whether a fan-out may have
//! missed a waitlist entry, whether a restock still has to be planned.

use serde::{Deserialize, Serialize};

use crate::shard::WaitlistShards;
use crate::stock::{ProductInfo, Version};
use crate::{Position, RestockId};

/// A product: its last stock update, and how far its waitlist has been, or is being, delivered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// Units in stock; `None` is unknown, and counts as in stock.
    pub quantity: Option<u64>,
    /// The last update that counted.
    pub version: Version,
    /// Its restock.
    pub restock_id: RestockId,
    /// Entries at or below it are delivered, or being delivered. It only ever grows.
    pub bound: Option<Position>,
    /// The restock for which the bound was last fixed; a restock is planned once it stands here.
    pub bound_of: Option<RestockId>,
    /// What emails say of the product.
    pub product: Option<ProductInfo>,
}

/// A product as it was read from the table. Its number of shards may be recorded before its first stock update is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProduct {
    /// The product; `None` before its first stock update.
    pub product: Option<Product>,
    /// The shards of its waitlist.
    pub shards: WaitlistShards,
}

/// A stock update in the order of its product's updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOrder {
    /// Newer than what is recorded: it is to be recorded.
    Newer,
    /// Newer, but a sale: fewer units than are recorded, of a product that is in stock and planned. It is recorded, and nobody
    /// is told anew.
    Sale,
    /// The update that is recorded already, delivered once more: planning goes on from where it is.
    Duplicate,
    /// A later update is recorded; nothing is to be done.
    Stale,
}

impl Product {
    /// Whether it can be bought.
    pub fn in_stock(&self) -> bool {
        self.quantity != Some(0)
    }

    /// The order of an update, given the product as recorded (`None`: never). The condition of the table's write of a
    /// stock update decides the same way.
    pub fn update_order(
        known: Option<&Self>,
        version: &Version,
        restock: &RestockId,
        quantity: Option<u64>,
    ) -> UpdateOrder {
        let Some(known) = known else { return UpdateOrder::Newer };
        let in_stock = quantity != Some(0);
        let recorded = known.restock_id == *restock && known.in_stock() == in_stock;
        // A sender's retry of a restock that was planned and has since been overtaken, say by a
        // sell-out, comes with a later time and must not bring the restock back.
        let overtaken = known.bound_of.as_ref() == Some(restock) && known.restock_id != *restock;
        if known.version < *version && !overtaken {
            if known.is_planned() && known.is_sold_down_to(quantity) {
                UpdateOrder::Sale
            } else {
                UpdateOrder::Newer
            }
        } else if recorded {
            UpdateOrder::Duplicate
        } else {
            UpdateOrder::Stale
        }
    }

    fn is_sold_down_to(&self, quantity: Option<u64>) -> bool {
        let fewer = |(now, before): (u64, u64)| 0 < now && now < before;
        quantity.zip(self.quantity).is_some_and(fewer)
    }

    /// Whether the bound of the restock that is current stands already.
    pub fn is_planned(&self) -> bool {
        self.bound_of.as_ref() == Some(&self.restock_id)
    }

    /// The bound to fix, given the last position of every shard: it never goes back.
    pub fn bound_over(&self, last: impl IntoIterator<Item = Position>) -> Option<Position> {
        last.into_iter().chain(self.bound).max()
    }

    /// The bound past which an entry at `position` must be moved, because a fan-out that did not see it may have gone by.
    ///
    /// A repeated request (its entry was not `just_written`) is not moved while there is stock: the fan-out under way
    /// delivers the entry where it stands, and a move would take that email from its subscriber.
    pub fn must_move_past(&self, position: Position, just_written: bool) -> Option<Position> {
        self.bound.filter(|bound| *bound >= position && (just_written || !self.in_stock()))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use jiff::Timestamp;

    fn version(second: i64) -> Version {
        let at = Timestamp::from_second(second).unwrap();
        Version::new(Some(at), None, at, 0, second)
    }

    fn id(text: &str) -> RestockId {
        RestockId::parse(text).unwrap()
    }

    fn known(restock: &str, second: i64, quantity: u64, bound_of: Option<&str>) -> Product {
        Product {
            quantity: Some(quantity),
            version: version(second),
            restock_id: id(restock),
            bound: Some(Position::new(50, 0)),
            bound_of: bound_of.map(id),
            product: None,
        }
    }

    #[test]
    fn the_first_update_and_a_later_one_are_newer_and_an_earlier_one_is_stale() {
        let known = known("r2", 20, 5, None);
        assert_eq!(Product::update_order(None, &version(1), &id("r1"), Some(5)), UpdateOrder::Newer);
        assert_eq!(Product::update_order(Some(&known), &version(21), &id("r3"), Some(0)), UpdateOrder::Newer);
        assert_eq!(Product::update_order(Some(&known), &version(19), &id("r1"), Some(5)), UpdateOrder::Stale);
    }

    #[test]
    fn a_redelivered_update_is_a_duplicate() {
        let known = known("r2", 20, 5, Some("r2"));
        assert_eq!(
            Product::update_order(Some(&known), &version(20), &id("r2"), Some(5)),
            UpdateOrder::Duplicate
        );
    }

    #[test]
    fn fewer_of_what_is_planned_is_a_sale() {
        let order = |bound_of, before, now| {
            Product::update_order(Some(&known("r", 20, before, bound_of)), &version(21), &id("s"), now)
        };
        for (bound_of, before, now, expected) in [
            (Some("r"), 5, Some(4), UpdateOrder::Sale),
            (Some("r"), 5, Some(5), UpdateOrder::Newer),
            (Some("r"), 5, Some(6), UpdateOrder::Newer),
            (Some("r"), 5, Some(0), UpdateOrder::Newer),
            (Some("r"), 5, None, UpdateOrder::Newer),
            (Some("r"), 0, Some(4), UpdateOrder::Newer),
            (Some("before"), 5, Some(4), UpdateOrder::Newer),
            (None, 5, Some(4), UpdateOrder::Newer),
        ] {
            assert_eq!(order(bound_of, before, now), expected, "{bound_of:?} {before} {now:?}");
        }
        let unknown = Product { quantity: None, ..known("r", 20, 0, Some("r")) };
        assert_eq!(
            Product::update_order(Some(&unknown), &version(21), &id("s"), Some(4)),
            UpdateOrder::Newer
        );
    }

    #[test]
    fn a_late_retry_of_a_restock_does_not_undo_the_sell_out_after_it() {
        let sold_out = known("s", 20, 0, Some("r"));
        assert_eq!(
            Product::update_order(Some(&sold_out), &version(30), &id("r"), Some(5)),
            UpdateOrder::Stale
        );
    }

    #[test]
    fn the_bound_never_goes_back() {
        let known = known("r", 20, 5, None);
        assert_eq!(known.bound_over([Position::new(10, 0)]), Some(Position::new(50, 0)));
        assert_eq!(
            known.bound_over([Position::new(60, 0), Position::new(10, 0)]),
            Some(Position::new(60, 0))
        );
    }

    #[test]
    fn an_entry_at_the_bound_must_move_and_one_past_it_stands() {
        let known = known("r", 20, 5, None);
        let bound = Position::new(50, 0);
        assert_eq!(known.must_move_past(bound, true), Some(bound));
        assert_eq!(known.must_move_past(bound.next(), true), None);
    }

    #[test]
    fn a_repeat_stays_in_a_fan_out_under_way_and_moves_past_one_that_has_stopped() {
        let bound = Position::new(50, 0);
        assert_eq!(known("r", 20, 5, None).must_move_past(bound, false), None);
        assert_eq!(known("s", 20, 0, None).must_move_past(bound, false), Some(bound));
    }
}
