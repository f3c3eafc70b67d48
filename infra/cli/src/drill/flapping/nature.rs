//! How the stock of a product comes and goes.

use std::time::Duration;

use serde_json::{Value, json};

/// How a product's stock behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// Some units or none, for a while.
    Plain,
    /// It comes, is sold step by step, and sells out.
    Selling,
    /// Whenever it comes, it sells out before its stock has held.
    Nervous,
    /// Some units or none, and its updates say how many count.
    Ruled,
    /// Its updates say how many count, and there are always fewer.
    Scarce,
}

/// What the updates of some products bring.
const MIN_STOCK: u64 = 5;
const RESERVE: u64 = 2;

impl Nature {
    pub(super) const ALL: [Self; 5] = [Self::Plain, Self::Selling, Self::Nervous, Self::Ruled, Self::Scarce];

    /// That of the product of this number.
    pub(super) fn of(number: usize) -> Self {
        Self::ALL[number % Self::ALL.len()]
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "comes and goes",
            Self::Selling => "is sold step by step",
            Self::Nervous => "never holds",
            Self::Ruled => "comes and goes, above 6",
            Self::Scarce => "stays below 7",
        }
    }

    /// The rules that come with its updates.
    pub(super) fn rules(self) -> Option<Value> {
        self.is_ruled().then(|| json!({ "minStock": MIN_STOCK, "reserve": RESERVE }))
    }

    /// The fewest units that count.
    pub(super) fn least(self) -> u64 {
        if self.is_ruled() { MIN_STOCK + RESERVE } else { 1 }
    }

    fn is_ruled(self) -> bool {
        matches!(self, Self::Ruled | Self::Scarce)
    }

    /// The level after this one, and how long it holds.
    pub(super) fn next(self, level: u64, settle: Duration) -> (u64, Duration) {
        let some_while = Duration::from_millis(rand::random_range(1_000..7_000));
        match self {
            Self::Plain if rand::random_ratio(1, 2) => (0, some_while),
            Self::Plain => (rand::random_range(1..=10), some_while),
            Self::Selling if level == 0 => (rand::random_range(4..=12), some_while),
            Self::Selling => (level.saturating_sub(rand::random_range(1..=4)), some_while),
            Self::Nervous if level == 0 => {
                (rand::random_range(1..=10), settle.mul_f64(rand::random_range(0.1..0.5)))
            }
            Self::Nervous => (0, some_while),
            Self::Ruled => (rand::random_range(0..=13), some_while),
            Self::Scarce => (rand::random_range(0..MIN_STOCK + RESERVE), some_while),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(3);

    fn levels(nature: Nature) -> Vec<(u64, Duration)> {
        let mut level = 0;
        (0..1_000)
            .map(|_| {
                let next = nature.next(level, SETTLE);
                level = next.0;
                next
            })
            .collect()
    }

    #[test]
    fn what_is_nervous_never_holds_and_what_is_scarce_never_counts() {
        let nervous = levels(Nature::Nervous);
        assert!(nervous.iter().all(|(level, hold)| *level == 0 || *hold * 2 <= SETTLE));
        assert!(levels(Nature::Scarce).iter().all(|(level, _)| *level < Nature::Scarce.least()));
    }

    #[test]
    fn what_is_sold_step_by_step_comes_again_only_when_it_was_sold_out() {
        let levels = levels(Nature::Selling);
        assert!(levels.windows(2).all(|two| two[0].0 == 0 || two[1].0 < two[0].0));
        assert!(levels.iter().filter(|(level, _)| *level == 0).count() > 10);
    }
}
