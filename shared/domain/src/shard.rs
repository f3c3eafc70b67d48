//! The shards of a product's waitlist: how many there are in each lane, and which one a subscriber waits in.
//!
//! The mail lane has one shard until it is long, and then as many as the setting of `subscribe` says. The priority lane has
//! none until the first subscriber comes whom the shop vouches for with priority, and grows as the other does. Both numbers
//! stand on the product's item and only grow. Why no subscriber is lost, with any mix of versions and settings: a subscriber
//! in shard `k` of a lane was written under a number of that lane above `k` that its writer had read from the item, or had
//! written there before the entry, so every plan whose first step comes after that has read at least that number. A plan
//! whose first step came before has left its bound for the writer's look.

use std::fmt;
use std::hash::Hasher;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};
use siphasher::sip::SipHasher13;

use crate::{Invalid, PersonId, ProductId};

/// The most shards of a lane.
const MOST: u16 = 1_024;

/// How many shards a lane of a waitlist has, 1 to 1,024. More let more workers send for one product, and take more subscriptions a
/// second; fewer cost fewer reads per restock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShardCount(NonZeroU16);

/// The part of a subscriber that decides their shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubscriberHash(pub(crate) u64);

/// What the entries of a shard are told by, and when. The order of lanes is that in which a plan begins them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Email, to subscribers whom the shop vouches for with priority.
    PriorityMail,
    /// Email, to all others.
    Mail,
}

/// A shard: its lane, and its number there. In keys, jobs and logs it is `m0.3`: the lane, a point and the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Shard {
    /// The lane.
    pub lane: Lane,
    /// The number, from 0 to 1,023.
    pub number: u16,
}

/// How many shards a waitlist has in each lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shards {
    /// In the mail lane.
    pub mail: ShardCount,
    /// In the priority lane; `None`: there is no such lane.
    pub priority: Option<ShardCount>,
}

/// What a shard's text may be, as refusals say it.
pub const ACCEPTED_SHARD: &str = "m0 or m1, a point, and a number from 0 to 1023";

impl ShardCount {
    /// The default of the setting: 8.
    pub const DEFAULT: Self = Self(NonZeroU16::new(8).unwrap());
    /// One: that of a list that is not long yet.
    pub const ONE: Self = Self(NonZeroU16::new(1).unwrap());
    /// A number of shards from 1 to 1,024.
    pub const fn new(count: u16) -> Option<Self> {
        match NonZeroU16::new(count) {
            Some(number) if count <= MOST => Some(Self(number)),
            _ => None,
        }
    }

    /// The number.
    pub fn get(self) -> u16 {
        self.0.get()
    }

    /// Every shard of a lane that has so many.
    pub fn all(self, lane: Lane) -> impl Iterator<Item = Shard> {
        (0..self.0.get()).map(move |number| Shard { lane, number })
    }

    /// The shard of a lane in which a subscriber waits: their hash modulo the count. It is stored with the subscription, so a
    /// later count moves no waiting subscriber.
    pub fn of(self, lane: Lane, subscriber: SubscriberHash) -> Shard {
        Shard { lane, number: modulo(subscriber.0, self.0) }
    }
}

impl Lane {
    /// Every lane, in their order.
    pub const ALL: [Self; 2] = [Self::PriorityMail, Self::Mail];

    /// Its name in a shard's text.
    const fn name(self) -> &'static str {
        match self {
            Self::PriorityMail => "m1",
            Self::Mail => "m0",
        }
    }

    /// Its number in a shard's bytes, up to 63.
    const fn code(self) -> u16 {
        match self {
            Self::Mail => 0,
            Self::PriorityMail => 1,
        }
    }
}

impl Shards {
    /// One shard in the mail lane: a list that is not long yet, and that no subscriber with priority waits in.
    pub const ONE: Self = Self::mail(ShardCount::ONE);

    /// So many in the mail lane, and no other lane.
    pub const fn mail(mail: ShardCount) -> Self {
        Self { mail, priority: None }
    }

    /// How many a lane has; `None`: there is no such lane.
    pub const fn count(self, lane: Lane) -> Option<ShardCount> {
        match lane {
            Lane::Mail => Some(self.mail),
            Lane::PriorityMail => self.priority,
        }
    }

    /// How many there are in all lanes.
    pub fn total(self) -> u16 {
        Lane::ALL.into_iter().filter_map(|lane| self.count(lane)).map(ShardCount::get).sum()
    }

    /// Every shard of every lane, those with priority first.
    pub fn all(self) -> impl Iterator<Item = Shard> {
        Lane::ALL.into_iter().filter_map(move |lane| Some(self.count(lane)?.all(lane))).flatten()
    }

    /// The shard of a lane in which a subscriber waits; `None` where there is no such lane.
    pub fn of(self, lane: Lane, subscriber: SubscriberHash) -> Option<Shard> {
        Some(self.count(lane)?.of(lane, subscriber))
    }

    /// The same with at least so many in a lane.
    #[must_use]
    pub fn raised(self, lane: Lane, to: ShardCount) -> Self {
        match lane {
            Lane::Mail => Self { mail: self.mail.max(to), ..self },
            Lane::PriorityMail => Self { priority: self.priority.max(Some(to)), ..self },
        }
    }

    /// In each lane the larger number of both: as numbers only grow, a list that had each has at least these.
    #[must_use]
    pub fn or_more(self, other: Self) -> Self {
        Self { mail: self.mail.max(other.mail), priority: self.priority.max(other.priority) }
    }
}

impl SubscriberHash {
    /// The first eight bytes of the person, whose hash is spread evenly already.
    pub fn of(person: PersonId) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = person.to_bytes();
        Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
    }
}

/// How many buckets lie between the first shards of two lanes: as many as a long list has shards, unless set otherwise.
const LANES_APART: u64 = 8;

impl Shard {
    /// The bytes of [`Shard::to_bytes`].
    pub const BYTES: usize = 2;

    /// A shard of the mail lane.
    pub const fn mail(number: u16) -> Self {
        Self { lane: Lane::Mail, number }
    }

    /// The first shard of a lane.
    pub const fn first(lane: Lane) -> Self {
        Self { lane, number: 0 }
    }

    /// One of so many buckets, over which the shards of all products are spread: those of one product one beside the other,
    /// and the first ones of many products evenly.
    pub fn bucket(self, product: &ProductId, buckets: NonZeroU16) -> u16 {
        let in_product = u64::from(self.lane.code()) * LANES_APART + u64::from(self.number);
        modulo(hash(product.as_str()).wrapping_add(in_product), buckets)
    }

    /// The text with a hyphen for its point, `m0-3`: SES takes letters, digits, `_` and `-` in the value of a tag.
    pub fn tag(self) -> String {
        format!("{}-{}", self.lane.name(), self.number)
    }

    /// The lane and the number, which takes the lower ten bits, for texts that hold bytes.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        (self.lane.code() * MOST + self.number).to_be_bytes()
    }

    /// Reads what [`Shard::to_bytes`] gave; `None` where there is no such lane.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Option<Self> {
        let both = u16::from_be_bytes(bytes);
        let lane = Lane::ALL.into_iter().find(|lane| lane.code() == both / MOST)?;
        Some(Self { lane, number: both % MOST })
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
        write!(f, "{}.{}", self.lane.name(), self.number)
    }
}

impl From<Shard> for String {
    fn from(shard: Shard) -> Self {
        shard.to_string()
    }
}

/// A shard has one text: no sign, no zero before the number.
impl std::str::FromStr for Shard {
    type Err = Invalid;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |problem| Err(Invalid::new("shard", problem, ACCEPTED_SHARD));
        let Some((name, digits)) = text.split_once('.') else { return refuse("has no point") };
        let Some(lane) = Lane::ALL.into_iter().find(|lane| lane.name() == name) else {
            return refuse("is of no known lane");
        };
        let number =
            digits.parse().ok().filter(|number: &u16| *number < MOST && number.to_string() == digits);
        match number {
            Some(number) => Ok(Self { lane, number }),
            None => refuse("has no such number"),
        }
    }
}

impl TryFrom<String> for Shard {
    type Error = Invalid;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
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
        let shards: Vec<u16> =
            (0..8).map(|n| ShardCount::DEFAULT.of(Lane::Mail, subscriber(n)).number).collect();
        assert_eq!(shards, [1, 5, 4, 3, 3, 0, 1, 2]);
    }

    #[test]
    fn shards_fill_evenly() {
        let mut filled = [0_usize; 8];
        for n in 0..80_000 {
            filled[usize::from(ShardCount::DEFAULT.of(Lane::Mail, subscriber(n)).number)] += 1;
        }
        assert!(filled.iter().all(|n| (9_500..=10_500).contains(n)), "{filled:?}");
    }

    #[test]
    fn only_sensible_counts_are_taken() {
        assert!(ShardCount::new(0).is_none() && ShardCount::new(1_025).is_none());
        assert_eq!(ShardCount::new(1_024).map(|count| count.all(Lane::Mail).count()), Some(1_024));
    }

    #[test]
    fn the_shards_of_a_product_are_in_buckets_of_their_own_and_those_of_many_products_spread_evenly() {
        let sixteen = NonZeroU16::new(16).unwrap();
        let product = |n: usize| ProductId::parse(&format!("sku-{n}")).unwrap();
        let eight = Shards { mail: ShardCount::DEFAULT, priority: Some(ShardCount::DEFAULT) };
        let of_one: std::collections::BTreeSet<u16> =
            eight.all().map(|shard| shard.bucket(&product(1), sixteen)).collect();
        assert_eq!(of_one.len(), 16);
        let mut filled = [0_usize; 16];
        for n in 0..16_000 {
            filled[usize::from(Shard::mail(0).bucket(&product(n), sixteen))] += 1;
        }
        assert!(filled.iter().all(|n| (850..=1_150).contains(n)), "{filled:?}");
    }
    #[test]
    fn a_shard_has_one_text_and_every_other_is_refused() {
        for (shard, text, tag) in [
            (Shard::mail(0), "m0.0", "m0-0"),
            (Shard::mail(1_023), "m0.1023", "m0-1023"),
            (Shard { lane: Lane::PriorityMail, number: 10 }, "m1.10", "m1-10"),
        ] {
            assert_eq!((shard.to_string(), shard.tag()), (text.to_owned(), tag.to_owned()));
            assert_eq!(text.parse::<Shard>().unwrap(), shard);
            assert_eq!(serde_json::to_string(&shard).unwrap(), format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Shard>(&format!("\"{text}\"")).unwrap(), shard);
            assert_eq!(Shard::from_bytes(shard.to_bytes()), Some(shard));
        }
        for text in [
            "", "3", "m0", "m0.", ".3", "m0.03", "m0.+3", "m0.-3", "m0. 3", "M0.3", "m2.3", "p0.3",
            "m0.1024", "m0.65536", "m0.3.1",
        ] {
            let refused = text.parse::<Shard>().unwrap_err();
            assert_eq!((refused.field, refused.accepted), ("shard", ACCEPTED_SHARD), "{text}");
            assert!(serde_json::from_str::<Shard>(&format!("\"{text}\"")).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Shard>("3").is_err());
        assert_eq!((Shard::from_bytes([8, 0]), Shard::from_bytes([255, 255])), (None, None));
    }

    #[test]
    fn the_shards_of_all_lanes_begin_with_those_of_priority_and_a_lane_that_is_not_there_has_none() {
        let two = ShardCount::new(2).unwrap();
        let both = Shards { mail: two, priority: Some(ShardCount::ONE) };
        let texts: Vec<String> = both.all().map(|shard| shard.to_string()).collect();
        assert_eq!((texts.join(" "), both.total()), ("m1.0 m0.0 m0.1".to_owned(), 3));
        assert!(both.all().is_sorted());
        assert_eq!((Shards::ONE.all().count(), Shards::ONE.total()), (1, 1));
        let odd = SubscriberHash(5);
        assert_eq!(both.of(Lane::Mail, odd), Some(Shard::mail(1)));
        assert_eq!(both.of(Lane::PriorityMail, odd), Some(Shard::first(Lane::PriorityMail)));
        assert_eq!(Shards::ONE.of(Lane::PriorityMail, odd), None);
    }

    #[test]
    fn numbers_of_shards_only_grow_each_for_itself() {
        let (two, eight) = (ShardCount::new(2).unwrap(), ShardCount::DEFAULT);
        let opened = Shards::mail(eight).raised(Lane::PriorityMail, ShardCount::ONE);
        assert_eq!(opened, Shards { mail: eight, priority: Some(ShardCount::ONE) });
        assert_eq!(opened.raised(Lane::Mail, two), opened);
        let other = Shards { mail: two, priority: Some(two) };
        let both = Shards { mail: eight, priority: Some(two) };
        assert_eq!((opened.or_more(other), other.or_more(opened)), (both, both));
        assert_eq!(opened.or_more(Shards::ONE), opened);
    }
}
