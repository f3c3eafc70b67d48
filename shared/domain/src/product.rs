//! What is known of a product, and the decisions that hang on it: which stock updates count, whether a fan-out may have
//! missed a waitlist entry, whether a restock still has to be planned.

use serde::{Deserialize, Serialize};

use crate::stock::{Place, ProductInfo, Version};
use crate::{Position, RestockId, Shards};

/// How many restock ids a product remembers.
const REMEMBERED: usize = 8;

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
    /// The last updates that counted, oldest first, at most eight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recent: Vec<Heard>,
    /// Entries at or below it are delivered, or being delivered. It only ever grows.
    pub bound: Option<Position>,
    /// The restock for which the bound was last fixed.
    pub bound_of: Option<RestockId>,
    /// The version for which it was: a restock is planned once its own stands here. A sale of what is planned puts its
    /// version here as well.
    pub planned: Option<Version>,
    /// What emails say of the product.
    pub product: Option<ProductInfo>,
}

/// A product as it was read from the table. Its numbers of shards may be recorded before its first stock update is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProduct {
    /// The product; `None` before its first stock update.
    pub product: Option<Product>,
    /// The shards of its waitlist: one in the mail lane, unless the item says otherwise.
    pub shards: Shards,
}

/// An update that a product remembers: its restock, and where its record lay.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Heard(String);

impl Heard {
    fn new(event: &StockEvent) -> Self {
        Self::marked(event, event.version.is_none())
    }

    /// An update without a time to be believed is marked: it may have one when its record comes again.
    fn marked(event: &StockEvent, is_untimed: bool) -> Self {
        let (Place { partition, offset }, restock) = (event.place, &event.restock);
        let mark = if is_untimed { "~" } else { "" };
        Self(format!("{mark}{partition}@{offset} {restock}"))
    }

    fn is_of(&self, restock: &RestockId) -> bool {
        self.0.split_once(' ').is_some_and(|(_, known)| known == restock.as_str())
    }
}

/// A stock update, as far as its order among its product's is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StockEvent {
    /// Its restock.
    pub restock: RestockId,
    /// Units in stock; `None` is unknown.
    pub quantity: Option<u64>,
    /// Its version; `None` where it has no time to be believed, and follows what is recorded.
    pub version: Option<Version>,
    /// Where its record lies.
    pub place: Place,
    /// Whether its sender gave it an id and did not say when it happened: a retry has a later time than the update that it
    /// repeats, and is told by the restock's id.
    pub told_by_id: bool,
}

/// A stock update in the order of its product's updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateOrder {
    /// Newer than what is recorded: it is to be recorded.
    Newer,
    /// Newer, but a sale: fewer units than are recorded, of a product that is in stock and planned. It is recorded, and no
    /// email is sent for it.
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

    /// The order of an update, given the product as recorded (`None`: never).
    pub fn update_order(known: Option<&Self>, event: &StockEvent) -> UpdateOrder {
        let Some(known) = known else { return UpdateOrder::Newer };
        let newer = event.version.as_ref().is_none_or(|version| known.version < *version);
        if newer && !known.has_heard(event) {
            if known.is_planned() && known.is_sold_down_to(event.quantity) {
                UpdateOrder::Sale
            } else {
                UpdateOrder::Newer
            }
        } else if known.restock_id == event.restock && known.in_stock() == (event.quantity != Some(0)) {
            UpdateOrder::Duplicate
        } else {
            UpdateOrder::Stale
        }
    }

    /// Whether an update has counted already, whatever its version says: its record comes again, and had no time to be
    /// believed at first; or its sender sent it again and did not say when it happened. It must not undo what came after it.
    ///
    /// A sender may give one id to several deliveries, say of one purchase order: the update is another one where it
    /// brings another quantity than the last, of the same id, has left.
    fn has_heard(&self, event: &StockEvent) -> bool {
        let another = self.restock_id == event.restock && self.quantity != event.quantity;
        let is_retry = || self.recent.iter().any(|heard| heard.is_of(&event.restock));
        self.recent.contains(&Heard::marked(event, true))
            || (event.told_by_id && !another && is_retry())
            || self.says_the_same(event)
    }

    /// Whether an update says the level that is recorded, of the same moment: its record was written twice. It is not worth a
    /// plan, unless the first one has none yet.
    fn says_the_same(&self, event: &StockEvent) -> bool {
        let same_time =
            event.version.as_ref().is_some_and(|version| version.is_of_the_time_of(&self.version));
        same_time && self.quantity == event.quantity && (self.is_planned() || !self.in_stock())
    }

    /// The last updates that counted, once `event` has.
    pub fn recent_after(known: Option<&Self>, event: &StockEvent) -> Vec<Heard> {
        let known = known.map(|known| known.recent.as_slice()).unwrap_or_default();
        let kept = known.len().saturating_sub(REMEMBERED - 1);
        known.iter().skip(kept).cloned().chain([Heard::new(event)]).collect()
    }

    fn is_sold_down_to(&self, quantity: Option<u64>) -> bool {
        let fewer = |(now, before): (u64, u64)| 0 < now && now < before;
        quantity.zip(self.quantity).is_some_and(fewer)
    }

    /// Whether the bound of the update that is current stands already.
    pub fn is_planned(&self) -> bool {
        self.planned.as_ref() == Some(&self.version)
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

    use jiff::Timestamp;

    use super::*;

    fn place(offset: i64) -> Place {
        Place { partition: 0, offset }
    }

    fn version(second: i64) -> Version {
        let at = Timestamp::from_second(second).unwrap();
        Version::new(Some(at), None, at, place(second)).unwrap()
    }

    fn id(text: &str) -> RestockId {
        RestockId::parse(text).unwrap()
    }

    /// An update whose sender says that it happened at `second`, which is its offset as well.
    fn event(restock: &str, second: i64, quantity: u64) -> StockEvent {
        StockEvent {
            restock: id(restock),
            quantity: Some(quantity),
            version: Some(version(second)),
            place: place(second),
            told_by_id: false,
        }
    }

    /// The same with the time of its record, as its sender did not say when it happened.
    fn retry(restock: &str, second: i64, quantity: u64) -> StockEvent {
        StockEvent { told_by_id: true, ..event(restock, second, quantity) }
    }

    /// A product after these updates, each of which was planned if it is a restock.
    fn after(events: &[StockEvent]) -> Product {
        let mut known: Option<Product> = None;
        for event in events {
            let before = known.take();
            let seen = before.as_ref().map(|known| &known.version);
            let version = event.version.clone().unwrap_or_else(|| Version::following(seen, event.place));
            known = Some(Product {
                quantity: event.quantity,
                restock_id: event.restock.clone(),
                recent: Product::recent_after(before.as_ref(), event),
                bound: Some(Position::new(50, 0)),
                bound_of: None,
                planned: (event.quantity != Some(0)).then(|| version.clone()),
                product: None,
                version,
            });
        }
        known.unwrap()
    }

    fn known(restock: &str, second: i64, quantity: u64) -> Product {
        Product { planned: None, ..after(&[event(restock, second, quantity)]) }
    }

    #[test]
    fn the_first_update_and_a_later_one_are_newer_and_an_earlier_one_is_stale() {
        let known = known("r2", 20, 5);
        assert_eq!(Product::update_order(None, &event("r1", 1, 5)), UpdateOrder::Newer);
        assert_eq!(Product::update_order(Some(&known), &event("r3", 21, 0)), UpdateOrder::Newer);
        assert_eq!(Product::update_order(Some(&known), &event("r1", 19, 5)), UpdateOrder::Stale);
    }

    #[test]
    fn a_redelivered_update_is_a_duplicate() {
        let known = after(&[event("r2", 20, 5)]);
        assert_eq!(Product::update_order(Some(&known), &event("r2", 20, 5)), UpdateOrder::Duplicate);
    }

    #[test]
    fn fewer_of_what_is_planned_is_a_sale() {
        let order = |planned: bool, before, now| {
            let known = after(&[StockEvent { quantity: before, ..event("r", 20, 1) }]);
            let known = if planned { known } else { Product { planned: None, ..known } };
            Product::update_order(Some(&known), &StockEvent { quantity: now, ..event("s", 21, 1) })
        };
        for (planned, before, now, expected) in [
            (true, Some(5), Some(4), UpdateOrder::Sale),
            (true, Some(5), Some(5), UpdateOrder::Newer),
            (true, Some(5), Some(6), UpdateOrder::Newer),
            (true, Some(5), Some(0), UpdateOrder::Newer),
            (true, Some(5), None, UpdateOrder::Newer),
            (true, Some(0), Some(4), UpdateOrder::Newer),
            (true, None, Some(4), UpdateOrder::Newer),
            (false, Some(5), Some(4), UpdateOrder::Newer),
        ] {
            assert_eq!(order(planned, before, now), expected, "{planned} {before:?} {now:?}");
        }
    }

    #[test]
    fn a_retry_without_a_time_of_its_own_is_the_update_that_it_repeats() {
        use UpdateOrder::{Duplicate, Newer, Stale};
        for (events, again, expected) in [
            // At once.
            (vec![retry("r", 1, 5)], retry("r", 9, 5), Duplicate),
            (vec![retry("s", 1, 0)], retry("s", 9, 0), Duplicate),
            // Of a restock after the sell-out, and of a sell-out after the restock.
            (vec![retry("r", 1, 5), retry("s", 2, 0)], retry("r", 9, 5), Stale),
            (vec![retry("s", 1, 0), retry("r", 2, 5)], retry("s", 9, 0), Stale),
            // Long after.
            (vec![retry("r", 1, 5), retry("s", 2, 0), event("t", 3, 7)], retry("r", 9, 5), Stale),
            // Whatever the record's own time is worth.
            (
                vec![retry("r", 1, 5), retry("s", 2, 0)],
                StockEvent { version: None, ..retry("r", 9, 5) },
                Stale,
            ),
            // An update of another id is none.
            (vec![retry("r", 1, 5), retry("s", 2, 0)], retry("t", 9, 5), Newer),
        ] {
            let known = after(&events);
            assert_eq!(Product::update_order(Some(&known), &again), expected, "{events:?} {again:?}");
        }
    }

    #[test]
    fn an_id_that_is_given_to_several_deliveries_is_heard_each_time() {
        for (events, next) in [
            // In, out and in under one id, with and without times.
            (vec![retry("po-7", 1, 5), retry("po-7", 2, 0)], retry("po-7", 3, 9)),
            (vec![retry("po-7", 1, 5), retry("po-7", 2, 0)], retry("po-7", 3, 5)),
            (vec![event("po-7", 1, 5), event("po-7", 2, 0)], event("po-7", 3, 5)),
            // Another sell-out in between: the time tells it from a retry.
            (vec![event("po-7", 1, 5), event("s", 2, 0)], event("po-7", 3, 5)),
            // More of what is in stock.
            (vec![event("po-7", 1, 5)], event("po-7", 3, 9)),
        ] {
            let known = after(&events);
            assert_eq!(Product::update_order(Some(&known), &next), UpdateOrder::Newer, "{events:?} {next:?}");
        }
    }

    #[test]
    fn a_record_that_comes_again_is_the_same_update_whatever_its_times_are_by_then() {
        // Its times had not come when it was read first, and it followed what was recorded.
        let ahead = |version| StockEvent { version, ..event("s", 40, 0) };
        let first = ahead(None);
        let known = after(&[event("q", 10, 5), first.clone(), event("r", 20, 5)]);
        for again in [ahead(None), ahead(Some(version(40)))] {
            assert_eq!(Product::update_order(Some(&known), &again), UpdateOrder::Stale);
        }
        let known = after(&[event("q", 10, 5), first]);
        assert_eq!(Product::update_order(Some(&known), &ahead(None)), UpdateOrder::Duplicate);
        // A topic that is made anew begins at the first offset again: a later time is another update.
        let known = after(&[event("r", 20, 5), event("s", 30, 0)]);
        let anew = StockEvent { place: place(20), ..event("r", 50, 5) };
        assert_eq!(Product::update_order(Some(&known), &anew), UpdateOrder::Newer);
    }

    #[test]
    fn a_level_that_is_said_twice_of_one_moment_is_one_update() {
        let again = |offset| StockEvent { place: place(offset), ..event("r 2", 20, 5) };
        let later = |offset, quantity| {
            let version = Version::new(version(20).at(), None, version(90).at().unwrap(), place(offset));
            StockEvent { version, quantity: Some(quantity), ..again(offset) }
        };
        let known = after(&[event("r", 20, 5)]);
        assert_eq!(Product::update_order(Some(&known), &later(21, 5)), UpdateOrder::Stale);
        assert_eq!(Product::update_order(Some(&known), &later(21, 6)), UpdateOrder::Newer);
        assert_eq!(Product::update_order(Some(&known), &event("r 2", 21, 5)), UpdateOrder::Newer);
        let unplanned = Product { planned: None, ..known };
        assert_eq!(Product::update_order(Some(&unplanned), &later(21, 5)), UpdateOrder::Newer);
    }

    #[test]
    fn the_last_eight_updates_are_remembered() {
        let events: Vec<StockEvent> = (1..=20).map(|n| event(&format!("r {n}"), n, 1)).collect();
        let known = after(&events);
        assert_eq!(known.recent.len(), 8);
        for (n, expected) in [(12, UpdateOrder::Newer), (13, UpdateOrder::Stale), (19, UpdateOrder::Stale)] {
            let again = retry(&format!("r {n}"), 30, 9);
            assert_eq!(Product::update_order(Some(&known), &again), expected, "{n}");
        }
    }

    #[test]
    fn the_bound_never_goes_back() {
        let known = known("r", 20, 5);
        assert_eq!(known.bound_over([Position::new(10, 0)]), Some(Position::new(50, 0)));
        assert_eq!(
            known.bound_over([Position::new(60, 0), Position::new(10, 0)]),
            Some(Position::new(60, 0))
        );
    }

    #[test]
    fn an_entry_at_the_bound_must_move_and_one_past_it_stands() {
        let known = known("r", 20, 5);
        let bound = Position::new(50, 0);
        assert_eq!(known.must_move_past(bound, true), Some(bound));
        assert_eq!(known.must_move_past(bound.next(), true), None);
    }

    #[test]
    fn a_repeat_stays_in_a_fan_out_under_way_and_moves_past_one_that_has_stopped() {
        let bound = Position::new(50, 0);
        assert_eq!(known("r", 20, 5).must_move_past(bound, false), None);
        assert_eq!(known("s", 20, 0).must_move_past(bound, false), Some(bound));
    }
}
