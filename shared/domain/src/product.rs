//! What is known of a product, and the decisions that hang on it: which stock updates count, whether a fan-out may have
//! missed a waitlist entry, whether a restock still has to be planned.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::rules::{Availability, Rules};
use crate::stock::{Place, ProductInfo, Version};
use crate::{Lane, Position, ProductId, RestockId, Shards};

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
    /// The ceiling of its restock: entries at or below it are delivered, or being delivered, or come with a later wave.
    /// It only ever grows.
    pub bound: Option<Position>,
    /// The restock for which the bound was last fixed.
    pub bound_of: Option<RestockId>,
    /// The version for which it was: a restock is planned once its own stands here. A sale of what is planned puts its
    /// version here as well.
    pub planned: Option<Version>,
    /// What emails say of the product.
    pub product: Option<ProductInfo>,
    /// What can be sold, as the last update said.
    #[serde(default, skip_serializing_if = "Availability::is_plain")]
    pub availability: Availability,
    /// The rules in force since the last update, plan or wave; absent where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<Box<Rules>>,
    /// The rules that came with the last update.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own_rules: Option<Box<Rules>>,
    /// The variant of which the last update was; `None`: it was the product's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<ProductId>,
    /// Its variants that are in stock, in the order in which they came, as far as they are remembered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub variants: Vec<ProductId>,
    /// How many bounds and waves were ever fixed: of two jobs of a shard, that with the higher number is the later one.
    #[serde(default)]
    pub turn: u64,
    /// The wave up to which the ceiling is opened; `None`: it is open to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<Wave>,
    /// How far any bound or wave has ever come: up to there a worker may have read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub farthest: Option<Reach>,
    /// What comes next by itself, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<Due>,
}

/// A part of a waitlist that is told at once: a smaller bound than the ceiling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Wave {
    /// Its number in its restock, from 1.
    pub number: u64,
    /// The place of its last subscriber in each lane: no entry past it is told yet.
    pub reach: Reach,
    /// For how many subscribers the stock was enough; `None`: for all, and only their lanes come one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// How far the lanes of a waitlist are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Reach {
    /// In the priority lane.
    pub priority: Position,
    /// In the mail lane.
    pub mail: Position,
}

impl Reach {
    /// As far in every lane.
    pub const fn all(position: Position) -> Self {
        Self { priority: position, mail: position }
    }

    /// In this lane.
    pub fn of(self, lane: Lane) -> Position {
        match lane {
            Lane::PriorityMail => self.priority,
            Lane::Mail => self.mail,
        }
    }

    /// The same, with another place in this lane.
    #[must_use]
    pub fn with(self, lane: Lane, position: Position) -> Self {
        match lane {
            Lane::PriorityMail => Self { priority: position, ..self },
            Lane::Mail => Self { mail: position, ..self },
        }
    }

    /// The nearer place of each lane.
    #[must_use]
    pub fn min(self, other: Self) -> Self {
        Self { priority: self.priority.min(other.priority), mail: self.mail.min(other.mail) }
    }

    /// The farther place of each lane.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { priority: self.priority.max(other.priority), mail: self.mail.max(other.mail) }
    }
}

/// What comes next of a product by itself. The time is kept in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Due {
    /// Not before this time.
    #[serde(rename = "atMs", with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub at: Timestamp,
    /// What it is.
    pub what: Awaited,
}

/// What a product waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Awaited {
    /// The plan of its restock: until then stock must hold, or the hours of the day do not allow it.
    Plan,
    /// An operator's word that its restock may begin.
    Release,
    /// The end of the priority lane's head start.
    Lanes,
    /// The end of the wave, or the fan-out, that is being delivered.
    End,
    /// The next wave.
    Wave,
}

impl Due {
    /// At a time of whole milliseconds, which is what the table keeps.
    pub fn new(at: Timestamp, what: Awaited) -> Self {
        let at = Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at);
        Self { at, what }
    }

    /// Whether it comes by itself, and not by a person's word.
    pub fn is_timed(self) -> bool {
        self.what != Awaited::Release
    }
}

/// A product as it was read from the table. Its numbers of shards and its rules may be recorded before its first stock update
/// is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProduct {
    /// The product; `None` before its first stock update.
    pub product: Option<Product>,
    /// The shards of its waitlist: one in the mail lane, unless the item says otherwise.
    pub shards: Shards,
    /// The rules of its own, as far as they are understood; empty where it has none.
    pub rules: Rules,
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
    /// What can be sold.
    pub availability: Availability,
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
    /// Newer, but a sale, or another level: fewer units than are recorded, of a product that is in stock and planned; with
    /// rules, any number of units that leaves it in stock. It is recorded, and no email is sent for it.
    Sale,
    /// The update that is recorded already, delivered once more: planning goes on from where it is.
    Duplicate,
    /// A later update is recorded; nothing is to be done.
    Stale,
}

impl Product {
    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        static NONE: std::sync::LazyLock<Rules> = std::sync::LazyLock::new(Rules::default);
        self.rules.as_deref().unwrap_or(&NONE)
    }

    /// Whether it can be bought, by its rules.
    pub fn in_stock(&self) -> bool {
        self.rules().in_stock(self.availability, self.quantity)
    }

    /// Whether emails of it may go out: it is in stock, and its restock is not held back.
    pub fn is_sendable(&self) -> bool {
        self.in_stock() && !self.is_held()
    }

    /// Whether its restock is to be planned later.
    pub fn is_held(&self) -> bool {
        self.due.is_some_and(|due| matches!(due.what, Awaited::Plan | Awaited::Release))
    }

    /// The last places that may be told: those of the wave, or else the ceiling.
    pub fn reach(&self) -> Option<Reach> {
        let bound = self.bound.map(Reach::all)?;
        Some(self.wave.map_or(bound, |wave| wave.reach.min(bound)))
    }

    /// Whether the ceiling is open to the end.
    pub fn is_open(&self) -> bool {
        self.reach() == self.bound.map(Reach::all)
    }

    /// The order of an update, given the product as recorded (`None`: never) and the rules that are in force with the update.
    pub fn update_order(known: Option<&Self>, event: &StockEvent, rules: &Rules) -> UpdateOrder {
        let Some(known) = known else { return UpdateOrder::Newer };
        let newer = event.version.as_ref().is_none_or(|version| known.version < *version);
        let in_stock = rules.in_stock(event.availability, event.quantity);
        if newer && !known.has_heard(event) {
            if in_stock && known.is_level_with(event, rules) { UpdateOrder::Sale } else { UpdateOrder::Newer }
        } else if known.restock_id == event.restock && known.in_stock() == in_stock {
            UpdateOrder::Duplicate
        } else {
            UpdateOrder::Stale
        }
    }

    /// Whether an update that leaves the product in stock starts nothing: without rules only a sale of what is planned; with
    /// rules a quantity is a level, and only its rise from sold out starts something.
    pub(crate) fn is_level_with(&self, event: &StockEvent, rules: &Rules) -> bool {
        if rules.is_empty() {
            return self.is_planned() && self.is_sold_down_to(event.quantity);
        }
        self.in_stock() && (self.is_planned() || self.is_held())
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

    /// Whether the record of an update has counted already, however its time was understood.
    pub(crate) fn has_record(&self, event: &StockEvent) -> bool {
        [true, false].into_iter().any(|is_untimed| self.recent.contains(&Heard::marked(event, is_untimed)))
    }

    /// Whether an update says the level that is recorded, of the same moment: its record was written twice. It is not worth a
    /// plan, unless the first one has none yet.
    fn says_the_same(&self, event: &StockEvent) -> bool {
        let same_time =
            event.version.as_ref().is_some_and(|version| version.is_of_the_time_of(&self.version));
        same_time
            && self.quantity == event.quantity
            && (self.is_planned() || self.is_held() || !self.in_stock())
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
    /// delivers the entry where it stands, and a move would take that email from its subscriber. Nor is it moved where
    /// no wave has ever come up to it: it keeps its place for the next one.
    pub fn must_move_past(&self, lane: Lane, position: Position, just_written: bool) -> Option<Position> {
        let passed = match (just_written, self.farthest) {
            (false, _) if self.in_stock() => None,
            (false, Some(farthest)) => Some(farthest.of(lane)),
            _ => self.bound,
        };
        passed.filter(|passed| *passed >= position).and(self.bound)
    }
}

#[cfg(test)]
impl Product {
    /// A product at this version, of which nothing but its restock is known.
    pub(crate) fn bare(version: Version, restock_id: RestockId) -> Self {
        Self {
            quantity: None,
            version,
            restock_id,
            recent: vec![],
            bound: None,
            bound_of: None,
            planned: None,
            product: None,
            availability: Availability::InStock,
            rules: None,
            own_rules: None,
            variant: None,
            variants: vec![],
            turn: 0,
            wave: None,
            farthest: None,
            due: None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use jiff::Timestamp;

    use super::*;

    fn order_of(known: Option<&Product>, event: &StockEvent) -> UpdateOrder {
        Product::update_order(known, event, &Rules::default())
    }

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
            availability: Availability::InStock,
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
                recent: Product::recent_after(before.as_ref(), event),
                bound: Some(Position::new(50, 0)),
                planned: (event.quantity != Some(0)).then(|| version.clone()),
                ..Product::bare(version, event.restock.clone())
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
        assert_eq!(order_of(None, &event("r1", 1, 5)), UpdateOrder::Newer);
        assert_eq!(order_of(Some(&known), &event("r3", 21, 0)), UpdateOrder::Newer);
        assert_eq!(order_of(Some(&known), &event("r1", 19, 5)), UpdateOrder::Stale);
    }

    #[test]
    fn a_redelivered_update_is_a_duplicate() {
        let known = after(&[event("r2", 20, 5)]);
        assert_eq!(order_of(Some(&known), &event("r2", 20, 5)), UpdateOrder::Duplicate);
    }

    #[test]
    fn fewer_of_what_is_planned_is_a_sale() {
        let order = |planned: bool, before, now| {
            let known = after(&[StockEvent { quantity: before, ..event("r", 20, 1) }]);
            let known = if planned { known } else { Product { planned: None, ..known } };
            order_of(Some(&known), &StockEvent { quantity: now, ..event("s", 21, 1) })
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
            assert_eq!(order_of(Some(&known), &again), expected, "{events:?} {again:?}");
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
            assert_eq!(order_of(Some(&known), &next), UpdateOrder::Newer, "{events:?} {next:?}");
        }
    }

    #[test]
    fn a_record_that_comes_again_is_the_same_update_whatever_its_times_are_by_then() {
        // Its times had not come when it was read first, and it followed what was recorded.
        let ahead = |version| StockEvent { version, ..event("s", 40, 0) };
        let first = ahead(None);
        let known = after(&[event("q", 10, 5), first.clone(), event("r", 20, 5)]);
        for again in [ahead(None), ahead(Some(version(40)))] {
            assert_eq!(order_of(Some(&known), &again), UpdateOrder::Stale);
        }
        let known = after(&[event("q", 10, 5), first]);
        assert_eq!(order_of(Some(&known), &ahead(None)), UpdateOrder::Duplicate);
        // A topic that is made anew begins at the first offset again: a later time is another update.
        let known = after(&[event("r", 20, 5), event("s", 30, 0)]);
        let anew = StockEvent { place: place(20), ..event("r", 50, 5) };
        assert_eq!(order_of(Some(&known), &anew), UpdateOrder::Newer);
    }

    #[test]
    fn a_level_that_is_said_twice_of_one_moment_is_one_update() {
        let again = |offset| StockEvent { place: place(offset), ..event("r 2", 20, 5) };
        let later = |offset, quantity| {
            let version = Version::new(version(20).at(), None, version(90).at().unwrap(), place(offset));
            StockEvent { version, quantity: Some(quantity), ..again(offset) }
        };
        let known = after(&[event("r", 20, 5)]);
        assert_eq!(order_of(Some(&known), &later(21, 5)), UpdateOrder::Stale);
        assert_eq!(order_of(Some(&known), &later(21, 6)), UpdateOrder::Newer);
        assert_eq!(order_of(Some(&known), &event("r 2", 21, 5)), UpdateOrder::Newer);
        let unplanned = Product { planned: None, ..known };
        assert_eq!(order_of(Some(&unplanned), &later(21, 5)), UpdateOrder::Newer);
    }

    #[test]
    fn the_last_eight_updates_are_remembered() {
        let events: Vec<StockEvent> = (1..=20).map(|n| event(&format!("r {n}"), n, 1)).collect();
        let known = after(&events);
        assert_eq!(known.recent.len(), 8);
        for (n, expected) in [(12, UpdateOrder::Newer), (13, UpdateOrder::Stale), (19, UpdateOrder::Stale)] {
            let again = retry(&format!("r {n}"), 30, 9);
            assert_eq!(order_of(Some(&known), &again), expected, "{n}");
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
        assert_eq!(known.must_move_past(Lane::Mail, bound, true), Some(bound));
        assert_eq!(known.must_move_past(Lane::Mail, bound.next(), true), None);
    }

    #[test]
    fn a_repeat_stays_in_a_fan_out_under_way_and_moves_past_one_that_has_stopped() {
        let bound = Position::new(50, 0);
        assert_eq!(known("r", 20, 5).must_move_past(Lane::Mail, bound, false), None);
        assert_eq!(known("s", 20, 0).must_move_past(Lane::Mail, bound, false), Some(bound));
    }

    #[test]
    fn with_rules_a_quantity_is_a_level_and_only_its_rise_from_sold_out_starts_something() {
        use UpdateOrder::{Newer, Sale};
        let rules = Rules { min_stock: Some(5), ..Rules::default() };
        let known = |quantity, planned: bool, held: bool| {
            let version = planned.then(|| version(20));
            let due = held.then(|| Due::new(Timestamp::MAX, Awaited::Plan));
            let rules = Some(Box::new(rules.clone()));
            Product { rules, due, planned: version, ..known("r", 20, quantity) }
        };
        for (before, planned, held, now, expected) in [
            (4, false, false, 5, Newer),
            (5, true, false, 9, Sale),
            (9, true, false, 5, Sale),
            (5, true, false, 3, Newer),
            (3, true, false, 6, Newer),
            // Its stock must hold a while: it does.
            (6, false, true, 5, Sale),
            // Its planner died.
            (6, false, false, 5, Newer),
        ] {
            let known = known(before, planned, held);
            let order = Product::update_order(Some(&known), &event("s", 21, now), &rules);
            assert_eq!(order, expected, "{before} {planned} {held} {now}");
        }
    }

    #[test]
    fn no_email_goes_out_while_a_restock_is_held_back() {
        let held = |what| Product { due: Some(Due::new(Timestamp::MAX, what)), ..known("r", 20, 5) };
        for (what, sendable) in
            [(Awaited::Plan, false), (Awaited::Release, false), (Awaited::End, true), (Awaited::Wave, true)]
        {
            assert_eq!(held(what).is_sendable(), sendable, "{what:?}");
            assert!(held(what).in_stock());
        }
    }

    #[test]
    fn a_repeat_keeps_its_place_where_no_wave_has_come_up_to_it() {
        let reach = Reach { mail: Position::new(20, 0), priority: Position::new(40, 0) };
        let wave = Some(Wave { number: 1, reach, size: Some(2) });
        let waved = |quantity| Product { wave, farthest: Some(reach), ..known("s", 20, quantity) };
        assert_eq!(waved(5).reach(), Some(reach));
        let ceiling = Some(Position::new(50, 0));
        for (place, just_written, quantity, moves) in [
            (30, true, 5, true),
            (30, true, 0, true),
            (30, false, 0, false),
            (20, false, 0, true),
            (20, false, 5, false),
        ] {
            let past = waved(quantity).must_move_past(Lane::Mail, Position::new(place, 0), just_written);
            assert_eq!(past, ceiling.filter(|_| moves), "{place} {just_written} {quantity}");
        }
    }
}
