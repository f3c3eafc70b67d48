//! The values of rules: how many per unit, what counts as in stock, who lets a restock begin.

use serde::{Deserialize, Serialize, Serializer};

/// Subscribers per unit, in thousandths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PerUnit(u32);

impl PerUnit {
    /// What a rule may be, as refusals say it.
    pub(super) const ACCEPTED: &'static str = "a number from 0.1 to 1000";

    /// Subscribers for these units, rounded up.
    pub fn people(self, units: u64) -> u64 {
        // Wider than the product of the largest quantity and the largest number per unit.
        let people = (u128::from(units) * u128::from(self.0)).div_ceil(1_000);
        u64::try_from(people).unwrap_or(u64::MAX)
    }
}

impl TryFrom<f64> for PerUnit {
    type Error = &'static str;

    fn try_from(number: f64) -> Result<Self, Self::Error> {
        if !(0.1..=1_000.0).contains(&number) {
            return Err(Self::ACCEPTED);
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

impl Serialize for PerUnit {
    /// As a shop would write it: 2 and not 2.0.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_multiple_of(1_000) {
            serializer.serialize_u32(self.0 / 1_000)
        } else {
            serializer.serialize_f64(f64::from(*self))
        }
    }
}

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
    /// What an update may say, as refusals say it.
    pub(crate) const ACCEPTED: &'static str = "inStock, fewLeft, backorder or preorder";

    /// Whether there is nothing to say of it beside the quantity.
    pub fn is_plain(&self) -> bool {
        *self == Self::InStock
    }

    /// Whether it can be ordered ahead of its delivery, so that no quantity counts.
    pub fn is_ahead(self) -> bool {
        matches!(self, Self::Backorder | Self::Preorder)
    }
}
