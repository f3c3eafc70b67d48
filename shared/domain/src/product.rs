//! A product's item in the table, and the decisions that hang on it: which stock updates count,
//! whether a waitlist entry may have been passed by, whether a restock still has to be planned.

use serde::{Deserialize, Serialize};

use crate::{
    Position, RestockId,
    stock::{ProductInfo, Version},
};

/// What is known of a product: the last stock update, and how far its waitlist is being told.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Product {
    /// How many there are; none means some.
    pub quantity: Option<u64>,
    /// The last update that counted.
    pub version: Version,
    /// Its restock.
    pub restock_id: RestockId,
    /// Everybody at or below is told, or is being told. It only ever grows.
    pub bound: Option<Position>,
    /// The restock for which the bound was last fixed; a restock is planned once it stands here.
    pub bound_of: Option<RestockId>,
    /// What mails say of the product.
    pub product: Option<ProductInfo>,
}

/// What a stock update is to a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// News: it is to be written down.
    News,
    /// The update that is written down already: go on from where it is.
    Current,
    /// Something later is known; nothing is to be done.
    Stale,
}

impl Product {
    /// Whether it can be bought.
    pub fn in_stock(&self) -> bool {
        self.quantity != Some(0)
    }

    /// What an update is, given what is known (`None`: nothing). The table's conditional write
    /// decides the same way; see the condition beside it.
    pub fn standing(
        known: Option<&Self>,
        version: &Version,
        restock: &RestockId,
        in_stock: bool,
    ) -> Standing {
        let Some(known) = known else { return Standing::News };
        let current = known.restock_id == *restock && known.in_stock() == in_stock;
        // A caller's retry of a restock that was planned and has since been overtaken, say by a
        // sell-out, comes with a later time and must not bring the restock back.
        let overtaken = known.bound_of.as_ref() == Some(restock) && known.restock_id != *restock;
        if known.version < *version && !overtaken {
            Standing::News
        } else if current {
            Standing::Current
        } else {
            Standing::Stale
        }
    }

    /// Whether the bound of the restock that is current stands already.
    pub fn is_planned(&self) -> bool {
        self.bound_of.as_ref() == Some(&self.restock_id)
    }

    /// The bound to fix, given the last position of every shard: it never goes back.
    pub fn bound_over(&self, last: impl IntoIterator<Item = Position>) -> Option<Position> {
        last.into_iter().chain(self.bound).max()
    }

    /// The bound that somebody who stands at `position` must be moved past, because a fan-out that
    /// did not see the entry may have gone by.
    ///
    /// Who asks a second time (so that the entry was not `just_written`) while there is stock is not
    /// moved: the fan-out under way tells them where they stand, and moving them would take that
    /// mail from them.
    pub fn must_move_past(&self, position: Position, just_written: bool) -> Option<Position> {
        self.bound.filter(|bound| *bound >= position && (just_written || !self.in_stock()))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
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
    fn the_first_update_and_a_later_one_are_news_and_an_earlier_one_is_stale() {
        let known = known("r2", 20, 5, None);
        assert_eq!(Product::standing(None, &version(1), &id("r1"), true), Standing::News);
        assert_eq!(Product::standing(Some(&known), &version(21), &id("r3"), false), Standing::News);
        assert_eq!(Product::standing(Some(&known), &version(19), &id("r1"), true), Standing::Stale);
    }

    #[test]
    fn a_redelivered_update_is_the_current_one() {
        let known = known("r2", 20, 5, Some("r2"));
        assert_eq!(Product::standing(Some(&known), &version(20), &id("r2"), true), Standing::Current);
    }

    #[test]
    fn a_late_retry_of_a_restock_does_not_undo_the_sell_out_after_it() {
        let sold_out = known("s", 20, 0, Some("r"));
        assert_eq!(Product::standing(Some(&sold_out), &version(30), &id("r"), true), Standing::Stale);
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
    fn who_asks_again_stays_in_a_fan_out_that_is_under_way_and_moves_past_one_that_has_stopped() {
        let bound = Position::new(50, 0);
        assert_eq!(known("r", 20, 5, None).must_move_past(bound, false), None);
        assert_eq!(known("s", 20, 0, None).must_move_past(bound, false), Some(bound));
    }
}
