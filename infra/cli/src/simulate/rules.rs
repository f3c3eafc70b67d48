//! The rules of stock that a simulation plays and judges by: how many units count, and how many people a wave may tell of
//! them. They are worked out here once more, and not as the system does it, so that the judge is no echo of it.

use serde::{Deserialize, Serialize};

/// Rules of stock. All are optional; what is not given does not restrict.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct Rules {
    /// With fewer units than this, after the reserve, the product is sold out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) min_stock: Option<u32>,
    /// Units that are taken off first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reserve: Option<u32>,
    /// People per unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) per_unit: Option<f64>,
    /// The most people of a wave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wave_size: Option<usize>,
    /// Seconds from the end of a wave to the next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) wave_every: Option<u32>,
}

/// The system's own time between waves, in seconds, where no rule says another.
const EVERY: u32 = 3_600;

impl Rules {
    /// Reads them as JSON.
    ///
    /// # Errors
    /// What is accepted.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        // An array would be read as the fields in their order.
        let object = Some(text).filter(|text| text.trim_start().starts_with('{'));
        let rules: Option<Self> = object.and_then(|text| serde_json::from_str(text).ok());
        let usable = |rules: &Self| {
            rules.per_unit.is_none_or(|people| (0.1..=1_000.0).contains(&people))
                && rules.wave_size != Some(0)
        };
        rules.filter(usable).ok_or_else(|| {
            "give a JSON object with any of minStock, reserve, perUnit (0.1 to 1000), waveSize (1 or more) and waveEvery"
                .to_owned()
        })
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The fewest units that count as in stock.
    pub(crate) fn least(&self) -> u32 {
        self.reserve() + self.min_stock.unwrap_or(1).max(1)
    }

    /// Units that are never told of.
    pub(crate) fn reserve(&self) -> u32 {
        self.reserve.unwrap_or(0)
    }

    /// How many a wave may tell with so many units in stock.
    pub(crate) fn wave(&self, quantity: u32) -> usize {
        let units = f64::from(quantity.saturating_sub(self.reserve()));
        // A tenth of ten units is one person, whatever floating point makes of it.
        let by_units = self.per_unit.map(|people| (people * units - 1e-6).ceil().max(0.0) as usize);
        by_units.unwrap_or(usize::MAX).min(self.wave_size.unwrap_or(usize::MAX))
    }

    /// The time from the end of a wave to the next, in microseconds.
    pub(crate) fn every_us(&self) -> i64 {
        i64::from(self.wave_every.unwrap_or(EVERY)) * 1_000_000
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn rules(text: &str) -> Rules {
        Rules::read(text).unwrap()
    }

    #[test]
    fn a_wave_is_what_the_units_and_the_cap_allow() {
        assert_eq!(rules("{}").wave(3), usize::MAX);
        let per_unit = rules(r#"{"perUnit": 2.5, "reserve": 3}"#);
        assert_eq!([2, 3, 4, 8].map(|quantity| per_unit.wave(quantity)), [0, 0, 3, 13]);
        assert_eq!(rules(r#"{"perUnit": 0.1}"#).wave(10), 1);
        assert_eq!(rules(r#"{"perUnit": 2, "waveSize": 5}"#).wave(10), 5);
    }

    #[test]
    fn units_count_above_the_reserve() {
        assert_eq!(rules("{}").least(), 1);
        assert_eq!(rules(r#"{"minStock": 5, "reserve": 2}"#).least(), 7);
        assert_eq!(rules(r#"{"minStock": 0}"#).least(), 1);
    }

    #[test]
    fn rules_that_the_judge_does_not_know_are_refused() {
        for text in ["[]", r#"{"settle": 3}"#, r#"{"perUnit": 0}"#, r#"{"waveSize": 0}"#, "no"] {
            assert!(Rules::read(text).is_err_and(|accepted| accepted.contains("minStock")), "{text}");
        }
    }
}
