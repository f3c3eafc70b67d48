//! What a shop rules of whom a restock tells, and when: how many at a time, from which stock on, how long it must hold, at
//! which hours. A shop has rules, a product may have its own, and a stock update may bring some; each field of the nearer one
//! holds over the farther one's.
//!
//! What a rule does is a pure function of the rule, the stock, and the time. A product keeps the rules in force with each
//! update and each plan, so every reader of it decides alike.

use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

mod read;
#[cfg(test)]
mod tests;
mod values;
mod window;

pub use values::{Availability, PerUnit, Release, Sellable};
pub use window::Window;

/// The rules of a shop, of a product, or of one stock update. Every field is optional.
///
/// A sender's are read by [`Rules::read`], which refuses what it does not know. What was stored is read by its `Deserialize`,
/// as far as it is understood: rules must not keep a product from being read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rules {
    /// With fewer units than this, after the reserve, the product counts as sold out; 1 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub min_stock: Option<u64>,
    /// Units that are taken off the quantity first; 0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reserve: Option<u64>,
    /// Subscribers to tell per unit in stock, 0.1 to 1,000; everybody unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_unit: Option<PerUnit>,
    /// The most subscribers of a wave; everybody unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave_size: Option<u64>,
    /// Seconds from the end of a wave to the next, at least 1; 3,600 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wave_every: Option<u64>,
    /// Seconds that stock must hold before anybody is told; 0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub settle: Option<u64>,
    /// Seconds in which nobody is told of the same product again; 0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cooldown: Option<u64>,
    /// Seconds by which the priority lane is told before the others; 0 unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_start: Option<u64>,
    /// What counts as in stock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sellable: Option<Sellable>,
    /// How often one subscription may be told, 1 to 5; once unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub again: Option<u8>,
    /// The hours of the day at which emails go out; all unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Who lets a restock begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
}

impl Rules {
    /// These rules, with each field that `nearer` gives in place of theirs.
    #[must_use]
    pub fn overlaid(&self, nearer: &Self) -> Self {
        let nearer = nearer.clone();
        Self {
            min_stock: nearer.min_stock.or(self.min_stock),
            reserve: nearer.reserve.or(self.reserve),
            per_unit: nearer.per_unit.or(self.per_unit),
            wave_size: nearer.wave_size.or(self.wave_size),
            wave_every: nearer.wave_every.or(self.wave_every),
            settle: nearer.settle.or(self.settle),
            cooldown: nearer.cooldown.or(self.cooldown),
            head_start: nearer.head_start.or(self.head_start),
            sellable: nearer.sellable.or(self.sellable),
            again: nearer.again.or(self.again),
            window: nearer.window.or_else(|| self.window.clone()),
            release: nearer.release.or(self.release),
        }
    }

    /// The rules that hold for an update: its own over the product's, and those over the shop's.
    #[must_use]
    pub fn in_force(shop: &Self, product: &Self, update: Option<&Self>) -> Self {
        let rules = shop.overlaid(product);
        match update {
            Some(update) => rules.overlaid(update),
            None => rules,
        }
    }

    /// Whether there is none: then an update of a product that is in stock already is a restock of its own.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a product with this quantity (`None` is unknown) counts as in stock.
    pub fn in_stock(&self, availability: Availability, quantity: Option<u64>) -> bool {
        if availability.is_ahead() {
            return self.sellable == Some(Sellable::Backorder);
        }
        quantity.is_none_or(|units| units >= self.least())
    }

    /// The fewest units with which a product counts as in stock.
    fn least(&self) -> u64 {
        self.min_stock.unwrap_or(1).max(1).saturating_add(self.reserve.unwrap_or(0))
    }

    /// How many subscribers a wave tells; `None` is everybody. What is on backorder has no quantity, so no waves.
    pub fn wave(&self, availability: Availability, quantity: Option<u64>) -> Option<u64> {
        if availability.is_ahead() {
            return None;
        }
        let units = quantity.map(|units| units.saturating_sub(self.reserve.unwrap_or(0)));
        let by_units = self.per_unit.zip(units).map(|(per_unit, units)| per_unit.people(units));
        by_units.into_iter().chain(self.wave_size).min()
    }

    /// The time from the end of a wave to the next.
    pub fn wave_every(&self) -> Duration {
        Duration::from_secs(self.wave_every.unwrap_or(3_600))
    }

    /// How long stock must hold before anybody is told.
    pub fn settle(&self) -> Duration {
        Duration::from_secs(self.settle.unwrap_or(0))
    }

    /// By how much the priority lane is told before the others.
    pub fn head_start(&self) -> Duration {
        Duration::from_secs(self.head_start.unwrap_or(0))
    }

    /// Whether somebody must let a restock begin.
    pub fn is_manual(&self) -> bool {
        self.release == Some(Release::Manual)
    }

    /// When emails may go out, from `now` on: `now` within the window, else when it opens next.
    pub fn opens(&self, now: Timestamp) -> Timestamp {
        self.window.as_ref().and_then(|window| window.next(now)).map_or(now, |(opens, _)| opens)
    }

    /// When the window closes that is open at [`Rules::opens`]; `None` where emails may go out at all hours.
    pub fn closes(&self, now: Timestamp) -> Option<Timestamp> {
        self.window.as_ref()?.next(now).map(|(_, closes)| closes)
    }
}
