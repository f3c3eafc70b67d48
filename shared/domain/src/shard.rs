//! The shards of a product's waitlist: how many there are, and which one a subscriber waits in.
//!
//! A waitlist has one shard until it is long, and then as many as the setting of `subscribe` says. The number stands on the
//! product's item and only grows. Why no subscriber is lost, with any mix of versions and settings: a subscriber in shard
//! `k` was written under a number above `k` that its writer had read from the item, so every plan whose first step comes
//! after that has read at least that number. A plan whose first step came before has left its bound for the writer's look.

use std::fmt;
use std::hash::Hasher;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::{PersonId, ProductId};

/// How many shards a waitlist has, 1 to 1,024. More let more workers send for one product, and take more subscriptions a
/// second; fewer cost fewer reads per restock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardCount(NonZeroU16);

/// The part of a subscriber that decides their shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubscriberHash(pub(crate) u64);

/// A shard's number, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u16);

impl ShardCount {
    /// The default of the setting: 8.
    pub const DEFAULT: Self = Self(NonZeroU16::new(8).unwrap());
    /// One: that of a list that is not long yet.
    pub const ONE: Self = Self(NonZeroU16::new(1).unwrap());
    /// A number of shards from 1 to 1,024.
    pub const fn new(count: u16) -> Option<Self> {
        match NonZeroU16::new(count) {
            Some(number) if count <= 1_024 => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0.get()
    }

    /// Every shard.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        (0..self.0.get()).map(Shard)
    }

    /// The shard in which a subscriber waits: their hash modulo the count. It is stored with the subscription, so a later
    /// count moves no waiting subscriber.
    pub fn of(self, subscriber: SubscriberHash) -> Shard {
        Shard(modulo(subscriber.0, self.0))
    }
}

impl SubscriberHash {
    /// The first eight bytes of the person, whose hash is spread evenly already.
    pub fn of(person: PersonId) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = person.to_bytes();
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

impl Shard {
    /// One of so many buckets, over which the shards of all products are spread: those of one product one beside the other,
    /// and the first ones of many products evenly.
    pub fn bucket(self, product: &ProductId, buckets: NonZeroU16) -> u16 {
        modulo(hash(product.as_str()).wrapping_add(u64::from(self.0)), buckets)
    }
}

/// One of so many buckets, over which products are spread evenly.
pub fn bucket_of(product: &ProductId, buckets: NonZeroU16) -> u16 {
    modulo(hash(product.as_str()), buckets)
}

fn hash(text: &str) -> u64 {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    hasher.finish()
}

fn modulo(number: u64, of: NonZeroU16) -> u16 {
    // Less than a number that fits.
    u16::try_from(number % u64::from(of.get())).unwrap_or_default()
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
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::{Address, PersonKey};

    fn key() -> PersonKey {
        PersonKey::new("a secret of some length").unwrap()
    }

    fn subscriber(n: usize) -> SubscriberHash {
        SubscriberHash::of(key().person(&Address::parse(&format!("shopper{n}@example.com")).unwrap()))
    }

    #[test]
    fn a_subscriber_stays_in_its_shard_for_ever() {
        // Fixed numbers: another hash would lose every waiting subscriber.
        let shards: Vec<u16> = (0..8).map(|n| ShardCount::DEFAULT.of(subscriber(n)).0).collect();
        assert_eq!(shards, [1, 5, 4, 3, 3, 0, 1, 2]);
    }

    #[test]
    fn shards_fill_evenly() {
        let mut filled = [0_usize; 8];
        for n in 0..80_000 {
            filled[usize::from(ShardCount::DEFAULT.of(subscriber(n)).0)] += 1;
        }
        assert!(filled.iter().all(|n| (9_500..=10_500).contains(n)), "{filled:?}");
    }

    #[test]
    fn only_sensible_counts_are_taken() {
        assert!(ShardCount::new(0).is_none() && ShardCount::new(1_025).is_none());
        assert_eq!(ShardCount::new(1_024).map(|count| count.all().count()), Some(1_024));
    }

    #[test]
    fn the_shards_of_a_product_are_in_buckets_of_their_own_and_those_of_many_products_spread_evenly() {
        let sixteen = NonZeroU16::new(16).unwrap();
        let product = |n: usize| ProductId::parse(&format!("sku-{n}")).unwrap();
        let of_one: std::collections::BTreeSet<u16> =
            (0..16).map(|shard| Shard(shard).bucket(&product(1), sixteen)).collect();
        assert_eq!(of_one.len(), 16);
        let mut filled = [0_usize; 16];
        for n in 0..16_000 {
            filled[usize::from(Shard(0).bucket(&product(n), sixteen))] += 1;
        }
        assert!(filled.iter().all(|n| (850..=1_150).contains(n)), "{filled:?}");
    }
}
