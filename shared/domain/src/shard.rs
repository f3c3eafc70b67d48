//! Which shard of a product's waitlist a subscriber waits in.

use std::fmt;
use std::hash::Hasher;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::Subscriber;

/// How many shards each waitlist has, 1 to 1,024. More let more workers send for one product;
/// fewer cost fewer reads per restock. It may be raised later, never lowered: plans read the
/// shards from 0 up to this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardCount(NonZeroU16);

/// A shard's number, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

impl ShardCount {
    /// The default: 8.
    pub const DEFAULT: Self = Self(NonZeroU16::new(8).unwrap());

    /// A number of shards from 1 to 1,024.
    pub fn new(count: u16) -> Option<Self> {
        NonZeroU16::new(count).filter(|count| count.get() <= 1_024).map(Self)
    }

    /// Every shard.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.0.get()).map(Shard)
    }

    /// The shard in which `subscriber` waits: SipHash 1-3 with a zero key, modulo the count. It is
    /// stored with the subscription, so a later count moves no waiting subscriber.
    pub fn of(self, subscriber: &Subscriber) -> Shard {
        let mut hasher = SipHasher13::new();
        hasher.write(subscriber.as_key().as_bytes());
        let count = u64::from(self.0.get());
        // Less than the count, which fits.
        Shard(u16::try_from(hasher.finish() % count).unwrap_or_default())
    }
}

impl Default for ShardCount {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl std::str::FromStr for ShardCount {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().ok().and_then(Self::new).ok_or("a whole number from 1 to 1024")
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subscriber(n: usize) -> Subscriber {
        Subscriber::from_key(&format!("a:shopper{n}@example.com"))
    }

    #[test]
    fn a_subscriber_stays_in_its_shard_for_ever() {
        // Fixed numbers: another hash would lose every waiting subscriber.
        let shards: Vec<u16> = (0..8).map(|n| ShardCount::DEFAULT.of(&subscriber(n)).0).collect();
        assert_eq!(shards, [1, 5, 2, 4, 7, 1, 2, 6]);
    }

    #[test]
    fn shards_fill_evenly() {
        let mut filled = [0_usize; 8];
        for n in 0..80_000 {
            filled[usize::from(ShardCount::DEFAULT.of(&subscriber(n)).0)] += 1;
        }
        assert!(filled.iter().all(|n| (9_500..=10_500).contains(n)), "{filled:?}");
    }

    #[test]
    fn only_sensible_counts_are_taken() {
        assert!(ShardCount::new(0).is_none() && ShardCount::new(1_025).is_none());
        assert_eq!(ShardCount::new(1_024).map(|count| count.all().count()), Some(1_024));
    }
}
