//! What happens in a simulation: made up from a seed, before anything is sent. The same seed gives the same story; only
//! the name of the run, which keeps two runs on one system apart, differs. Knows no network and no clock.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::rules::Rules;

/// How much is to happen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) products: usize,
    pub(crate) shoppers: usize,
    pub(crate) restocks: usize,
}

/// A shopper who subscribes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shopper {
    pub(crate) email: String,
    pub(crate) user_id: Option<String>,
    pub(crate) locale: Option<&'static str>,
    pub(crate) name: Option<&'static str>,
}

/// A product and all that happens to it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) chapters: Vec<Chapter>,
}

/// A time of being sold out, and the restock that ends it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Chapter {
    /// The shoppers that subscribe before the restock, by their place in the list.
    pub(crate) before: Vec<usize>,
    /// The shoppers that subscribe from the restock on, and how many milliseconds after it.
    pub(crate) during: Vec<(usize, u64)>,
    pub(crate) ending: Ending,
    /// The units that it comes back with, and those that are left after some sales; where it stands, a wave can be told between
    /// one level and the next.
    pub(crate) levels: Vec<u32>,
}

/// How many units come where no rule makes anything of them.
const UNITS: u32 = 10;

/// How a chapter ends.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It never comes back.
    #[default]
    SoldOut,
    /// It comes back, and every subscriber can be notified before anything else happens.
    Stands,
    /// It comes back, and sells out again so many milliseconds later.
    Glimpse(u64),
}

/// The whole story.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Story {
    pub(crate) shoppers: Vec<Shopper>,
    pub(crate) products: Vec<Product>,
}

/// A fan-out of a few hundred takes about this long on one machine, so what is to happen during one happens within it.
const FAN_OUT_MS: u64 = 600;
const NAMES: [&str; 6] = ["Ada", "Jürgen", "Zoé", "O'Neil", "李雷", "<b>Bo</b>"];
const LOCALES: [&str; 5] = ["en", "de", "de-AT", "fr", "pt-BR"];

impl Story {
    /// Makes up a story. There is at least one product and one shopper.
    pub(crate) fn new(size: Size, seed: u64, run: &str) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let shoppers: Vec<Shopper> = (0..size.shoppers.max(1)).map(|n| shopper(&mut dice, n, run)).collect();
        let products = size.products.max(1);
        let mut products: Vec<Product> = (0..products)
            .map(|n| {
                let restocks = size.restocks / products + usize::from(n < size.restocks % products);
                product(&mut dice, n, restocks, run)
            })
            .collect();
        for n in 0..shoppers.len() {
            // Most want one thing, some want three; a few products are what most people want.
            let wishes = [1, 1, 1, 1, 1, 2, 2, 2, 3, 3][dice.random_range(0..10)];
            for _ in 0..wishes {
                let up_to = dice.random_range(0..products.len());
                let product = &mut products[dice.random_range(0..=up_to)];
                product.ask(&mut dice, n);
                // Impatient, forgetful, or told and still interested.
                while dice.random_ratio(1, 6) {
                    product.ask(&mut dice, n);
                }
            }
        }
        Self { shoppers, products }
    }

    /// Lets the units that come and go be such that these rules matter: few of them, which fall from wave to wave, and in the
    /// end enough for everybody. Without rules nothing is changed.
    #[must_use]
    pub(crate) fn under(mut self, rules: &Rules, seed: u64) -> Self {
        if rules.is_empty() {
            return self;
        }
        let mut dice = StdRng::seed_from_u64(seed);
        let everybody = u32::try_from(self.shoppers.len()).unwrap_or(u32::MAX);
        for product in &mut self.products {
            let last = product.chapters.len() - 1;
            for (number, chapter) in product.chapters.iter_mut().enumerate() {
                chapter.levels = match chapter.ending {
                    // A tenth of a person per unit is the least that a rule can say.
                    _ if number == last => vec![rules.least().saturating_add(everybody.saturating_mul(10))],
                    Ending::Glimpse(_) | Ending::SoldOut => vec![few(&mut dice, rules)],
                    Ending::Stands => falling(&mut dice, rules),
                };
            }
        }
        self
    }

    /// How many requests shoppers make.
    pub(crate) fn asks(&self) -> usize {
        let chapters = self.products.iter().flat_map(|product| &product.chapters);
        chapters.map(|chapter| chapter.before.len() + chapter.during.len()).sum()
    }
}

/// Some units, now and then fewer than count.
fn few(dice: &mut StdRng, rules: &Rules) -> u32 {
    let least = rules.least();
    if dice.random_ratio(1, 6) { least - 1 } else { least + dice.random_range(0..8) }
}

/// Some units and, after each wave, fewer.
fn falling(dice: &mut StdRng, rules: &Rules) -> Vec<u32> {
    let mut levels = vec![few(dice, rules)];
    while let Some(level) = levels.last().copied()
        && level >= rules.least()
        && levels.len() < 3
    {
        levels.push(level - dice.random_range(1..=3).min(level));
    }
    levels
}

impl Product {
    fn ask(&mut self, dice: &mut StdRng, shopper: usize) {
        let last = self.chapters.len() - 1;
        let chapter = dice.random_range(0..=last);
        let during = dice.random_ratio(1, 3);
        // Half of them at the very moment: what is under way while a fan-out is planned is what is easily lost.
        let delay_ms = if dice.random() { 0 } else { dice.random_range(0..FAN_OUT_MS) };
        let into = &mut self.chapters[chapter];
        // The last restock notifies every subscriber, so no shopper subscribes after it.
        if during && chapter < last {
            into.during.push((shopper, delay_ms));
        } else {
            into.before.push(shopper);
        }
    }
}

fn shopper(dice: &mut StdRng, n: usize, run: &str) -> Shopper {
    Shopper {
        email: format!("shopper{n}.{run}@example.com"),
        user_id: dice.random_bool(0.5).then(|| format!("{run}-{n}")),
        locale: dice.random_bool(0.7).then(|| LOCALES[dice.random_range(0..LOCALES.len())]),
        name: dice.random_bool(0.5).then(|| NAMES[dice.random_range(0..NAMES.len())]),
    }
}

fn product(dice: &mut StdRng, n: usize, restocks: usize, run: &str) -> Product {
    let id = format!("sim-{run}-{n}");
    let chapters = match restocks {
        0 => vec![Chapter { levels: vec![UNITS], ..Chapter::default() }],
        _ => (1..=restocks)
            .map(|chapter| Chapter {
                ending: if chapter == restocks || dice.random_ratio(1, 3) {
                    Ending::Stands
                } else {
                    Ending::Glimpse(dice.random_range(0..FAN_OUT_MS))
                },
                levels: vec![UNITS],
                ..Chapter::default()
            })
            .collect(),
    };
    Product {
        name: format!("Gadget & Co. no. {n}"),
        url: format!("https://shop.example/p/{id}"),
        id,
        chapters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { products: 7, shoppers: 500, restocks: 30 };

    #[test]
    fn the_same_seed_tells_the_same_story_and_another_one_another() {
        assert_eq!(Story::new(SIZE, 1, "a"), Story::new(SIZE, 1, "a"));
        assert_ne!(Story::new(SIZE, 1, "a"), Story::new(SIZE, 2, "a"));
    }

    #[test]
    fn every_restock_happens_and_the_last_of_each_product_stands() {
        let story = Story::new(SIZE, 1, "a");
        let restocks: usize = story.products.iter().map(|product| product.chapters.len()).sum();
        assert_eq!(restocks, 30);
        for product in &story.products {
            let last = product.chapters.last().map(|last| (last.ending, last.during.len()));
            assert_eq!(last, Some((Ending::Stands, 0)), "{}", product.id);
        }
        let glimpses = story.products.iter().flat_map(|product| &product.chapters);
        assert!(glimpses.filter(|chapter| matches!(chapter.ending, Ending::Glimpse(_))).count() > 5);
    }

    #[test]
    fn everybody_asks_and_some_ask_again() {
        let story = Story::new(SIZE, 1, "a");
        let mut asks = vec![0; SIZE.shoppers];
        for chapter in story.products.iter().flat_map(|product| &product.chapters) {
            for shopper in chapter.before.iter().chain(chapter.during.iter().map(|(shopper, _)| shopper)) {
                asks[*shopper] += 1;
            }
        }
        assert!(asks.iter().all(|asks| *asks > 0));
        assert_eq!(asks.iter().sum::<usize>(), story.asks());
        assert!(story.asks() > SIZE.shoppers * 3 / 2);
    }

    #[test]
    fn under_rules_the_units_are_few_and_fall_and_in_the_end_are_enough() {
        let plain = || Story::new(SIZE, 1, "a");
        assert_eq!(plain().under(&Rules::default(), 1), plain());
        let rules = Rules { min_stock: Some(3), reserve: Some(2), ..Rules::default() };
        let story = plain().under(&rules, 1);
        let chapters = || story.products.iter().flat_map(|product| &product.chapters);
        assert!(chapters().all(|chapter| chapter.levels.windows(2).all(|two| two[1] < two[0])));
        assert!(chapters().any(|chapter| chapter.levels.len() > 1 && chapter.ending == Ending::Stands));
        assert!(chapters().any(|chapter| chapter.levels[0] < 5));
        for product in &story.products {
            assert_eq!(product.chapters.last().map(|last| last.levels.clone()), Some(vec![5 + 5_000]));
        }
    }

    #[test]
    fn with_fewer_restocks_than_products_the_rest_never_comes_back() {
        let story = Story::new(Size { products: 3, shoppers: 5, restocks: 1 }, 1, "a");
        let endings: Vec<Ending> = story.products.iter().map(|product| product.chapters[0].ending).collect();
        assert_eq!(endings, [Ending::Stands, Ending::SoldOut, Ending::SoldOut]);
    }
}
