//! Lets a story happen to a system: every product's chapters side by side with the others', every chapter's requests and
//! stock updates as they fall, while the inbox is read. What happened is kept per product, for the judge.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::{try_join, try_join_all};
use tokio::time::{Instant, sleep};

use super::judge::{self, Mail, Stood, Update, Verdict};
use super::mails::{Inbox, Received};
use super::progress::Progress;
use super::rules::Rules;
use super::shop::{Shop, now_us};
use super::story::{Chapter, Ending, Product, Story};

/// How long the inbox must be quiet at the end: an email too many comes within this time or not at all.
const QUIET: Duration = Duration::from_secs(2);
/// How often the inbox is looked at, and how often the emails that are owed are counted.
const LOOK: Duration = Duration::from_millis(100);
const COUNT: Duration = Duration::from_millis(200);

/// What happened so far.
pub(crate) struct Run<'a> {
    story: &'a Story,
    name: &'a str,
    shop: Shop,
    progress: &'a Progress,
    /// How long nothing may move before the emails that are still owed are given up.
    patience: Duration,
    rules: &'a Rules,
    happened: Vec<Mutex<judge::Story>>,
    /// Shoppers by their address.
    shoppers: HashMap<&'a str, usize>,
    moved: Mutex<Moved>,
}

/// When something last happened, and what came in that has no place in the story.
struct Moved {
    at: Instant,
    strays: u64,
}

impl<'a> Run<'a> {
    pub(crate) fn new(
        story: &'a Story,
        name: &'a str,
        shop: Shop,
        progress: &'a Progress,
        (patience, rules): (Duration, &'a Rules),
    ) -> Self {
        let untouched = || judge::Story { rules: rules.clone(), ..judge::Story::default() };
        Self {
            story,
            name,
            shop,
            progress,
            patience,
            rules,
            happened: story.products.iter().map(|_| Mutex::new(untouched())).collect(),
            shoppers: story
                .shoppers
                .iter()
                .enumerate()
                .map(|(n, shopper)| (shopper.email.as_str(), n))
                .collect(),
            moved: Mutex::new(Moved { at: Instant::now(), strays: 0 }),
        }
    }

    /// Plays the story, waits until everything has come to rest, and judges it.
    ///
    /// # Errors
    /// When the system refuses a request, or does not answer any more.
    pub(crate) async fn play(&self, mut inbox: Inbox) -> anyhow::Result<Verdict> {
        let happens = async {
            try_join_all((0..self.story.products.len()).map(|n| self.play_product(n))).await?;
            while self.still() < QUIET {
                sleep(LOOK).await;
            }
            anyhow::Ok(())
        };
        tokio::select! {
            ended = happens => ended?,
            failed = self.read(&mut inbox) => return Err(failed),
        }
        Ok(self.judge())
    }

    fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for happened in &self.happened {
            verdict.add(lock(happened).judge());
        }
        verdict.unasked += lock(&self.moved).strays;
        verdict.latencies_ms.sort_unstable();
        verdict
    }

    async fn play_product(&self, n: usize) -> anyhow::Result<()> {
        let product = &self.story.products[n];
        let last = product.chapters.len() - 1;
        for (number, chapter) in product.chapters.iter().enumerate() {
            self.update(n, &format!("{}-{n}-{number}-out", self.name), 0).await?;
            try_join_all(chapter.before.iter().map(|shopper| self.ask(product, n, *shopper, 0))).await?;
            if chapter.ending != Ending::SoldOut {
                let restock = format!("{}-{n}-{number}", self.name);
                let stood = if self.rules.is_empty() || number == last { Stood::All } else { Stood::Wave };
                let restocked = self.restock(n, &restock, chapter, stood);
                try_join(self.ask_during(product, n, chapter), restocked).await?;
                self.progress.restocked();
            }
        }
        Ok(())
    }

    async fn ask_during(&self, product: &Product, n: usize, chapter: &Chapter) -> anyhow::Result<()> {
        let asks = chapter.during.iter().map(|(shopper, delay_ms)| self.ask(product, n, *shopper, *delay_ms));
        try_join_all(asks).await.map(drop)
    }

    async fn ask(&self, product: &Product, n: usize, shopper: usize, delay_ms: u64) -> anyhow::Result<()> {
        sleep(Duration::from_millis(delay_ms)).await;
        let record = |ask| lock(&self.happened[n]).asks.push(ask);
        self.shop.ask(product, shopper, &self.story.shoppers[shopper], record).await?;
        self.progress.asked();
        self.move_on();
        Ok(())
    }

    /// Lets the product come back, and sell out or stand as the chapter has it: until every subscriber was told, or wave by
    /// wave, with some sold between one and the next.
    async fn restock(&self, n: usize, restock: &str, chapter: &Chapter, stood: Stood) -> anyhow::Result<()> {
        let mut first = None;
        for (number, level) in chapter.levels.iter().enumerate() {
            let update = if number == 0 { restock.to_owned() } else { format!("{restock}-sale{number}") };
            let index = self.update(n, &update, *level).await?;
            if let Ending::Glimpse(after_ms) = chapter.ending {
                sleep(Duration::from_millis(after_ms)).await;
                return Ok(());
            }
            if *level < self.rules.least() {
                return Ok(());
            }
            lock(&self.happened[n]).updates[index].stood = stood;
            let first = *first.get_or_insert(index);
            let is_owing = || match stood {
                Stood::All => lock(&self.happened[n]).owing(first) > 0,
                Stood::Wave | Stood::No => lock(&self.happened[n]).short(first) > 0,
            };
            while is_owing() && self.still() < self.patience {
                sleep(COUNT).await;
            }
        }
        Ok(())
    }

    /// Sends a stock update and gives its place among the product's.
    async fn update(&self, n: usize, restock: &str, quantity: u32) -> anyhow::Result<usize> {
        let index = {
            let mut happened = lock(&self.happened[n]);
            happened.updates.push(Update {
                restock: restock.to_owned(),
                quantity,
                sent_us: now_us(),
                stood: Stood::No,
            });
            happened.updates.len() - 1
        };
        self.shop.update(&self.story.products[n], restock, quantity).await?;
        self.move_on();
        Ok(index)
    }

    /// Reads the inbox for ever; returns only with an error.
    async fn read(&self, inbox: &mut Inbox) -> anyhow::Error {
        let mut failures = 0;
        loop {
            match inbox.next().await {
                Ok(mails) if mails.is_empty() => sleep(LOOK).await,
                Ok(mails) => {
                    failures = 0;
                    mails.into_iter().for_each(|mail| self.received(mail));
                }
                // The system may be on its way back.
                Err(_) if failures < 50 => {
                    failures += 1;
                    sleep(COUNT).await;
                }
                Err(error) => return error,
            }
        }
    }

    /// Puts an email where it belongs. Emails to others than our shoppers are not looked at.
    fn received(&self, mail: Received) {
        let Some(shopper) = self.shoppers.get(mail.to.as_str()).copied() else { return };
        self.progress.told();
        self.move_on();
        // The restock's tag names the product, and the link must be the same one's.
        let product = mail.restock.split('-').nth(1).and_then(|n| n.parse::<usize>().ok());
        let links_to = |product: &Product| mail.text.split_whitespace().any(|word| word == product.url);
        match product.filter(|n| self.story.products.get(*n).is_some_and(links_to)) {
            Some(n) => {
                let Received { restock, at_us, .. } = mail;
                lock(&self.happened[n]).mails.push(Mail { shopper, restock, at_us });
            }
            None => lock(&self.moved).strays += 1,
        }
    }

    fn move_on(&self) {
        lock(&self.moved).at = Instant::now();
    }

    /// How long nothing has happened.
    fn still(&self) -> Duration {
        lock(&self.moved).at.elapsed()
    }
}

/// No holder leaves anything half done, so what a panic poisoned is whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
