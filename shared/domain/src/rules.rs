//! What a shop rules of whom a restock tells, and when: how many at a time, from which stock on, how long it must hold, at
//! which hours. A shop has rules, a product may have its own, and a stock update may bring some; each field of the nearer one
//! holds over the farther one's.
//!
//! What a rule does is a pure function of the rule, the stock, and the time. A product keeps the rules in force with each
//! update and each plan, so every reader of it decides alike.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The rules of a shop, of a product, or of one stock update. Every field is optional.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
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
    /// Seconds from the end of a wave to the next; 3,600 unless given.
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

/// Subscribers per unit, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct PerUnit(u32);

/// What counts as in stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sellable {
    /// Units that are there.
    Stock,
    /// What can be ordered as well, ahead of its delivery.
    Backorder,
}

/// Who lets a restock begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Release {
    /// It begins by itself.
    Auto,
    /// An operator, or the shop's back end.
    Manual,
}

/// Hours of the day in a time zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Window {
    /// From this time of day, `08:00`.
    pub from: String,
    /// To this one, `20:00`; where it is not after `from`, that of the next day.
    pub to: String,
    /// An IANA time zone, such as `Europe/Berlin`.
    pub zone: String,
}

/// What can be sold, as a stock update says: units that are there, or what can be ordered ahead of its delivery.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Availability {
    /// As many as the quantity says.
    #[default]
    InStock,
    /// The same, and the shop says that they are few.
    FewLeft,
    /// It can be ordered, and comes later.
    Backorder,
    /// It can be ordered before it is out.
    Preorder,
}

impl Availability {
    pub(crate) const ACCEPTED: &'static str = "inStock, fewLeft, backorder or preorder";

    /// Whether there is nothing to say of it beside the quantity.
    pub fn is_plain(&self) -> bool {
        *self == Self::InStock
    }
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

    /// Whether there is none: then an update of a product that is in stock already is a restock of its own.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a product with this quantity (`None` is unknown) counts as in stock.
    pub fn in_stock(&self, availability: Availability, quantity: Option<u64>) -> bool {
        match availability {
            Availability::Backorder | Availability::Preorder => self.sellable == Some(Sellable::Backorder),
            Availability::InStock | Availability::FewLeft => {
                quantity.is_none_or(|units| units >= self.least())
            }
        }
    }

    /// The fewest units with which a product counts as in stock.
    fn least(&self) -> u64 {
        self.min_stock.unwrap_or(1).max(1).saturating_add(self.reserve.unwrap_or(0))
    }

    /// How many subscribers a wave tells; `None` is everybody. What is on backorder has no quantity, so no waves.
    pub fn wave(&self, availability: Availability, quantity: Option<u64>) -> Option<u64> {
        if matches!(availability, Availability::Backorder | Availability::Preorder) {
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
        now
    }
}

impl PerUnit {
    /// Subscribers for these units, rounded up.
    pub fn people(self, units: u64) -> u64 {
        units.saturating_mul(u64::from(self.0)).div_ceil(1_000)
    }
}

impl TryFrom<f64> for PerUnit {
    type Error = &'static str;
    fn try_from(number: f64) -> Result<Self, Self::Error> {
        const ACCEPTED: &str = "a number from 0.1 to 1000";
        if !(0.1..=1_000.0).contains(&number) {
            return Err(ACCEPTED);
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in the range")]
        Ok(Self((number * 1_000.0).round() as u32))
    }
}

impl From<PerUnit> for f64 {
    fn from(PerUnit(thousandths): PerUnit) -> Self {
        Self::from(thousandths) / 1_000.0
    }
}
