//! Compares the emails that should have come with those that did: from the requests, their answers, the stock updates
//! and the inbox. It must not know how the system works, only what it promises:
//!
//! - A shopper who was answered "you wait" before a restock was sent gets its email. So does one who was answered "you
//!   wait, and it is not in stock" after it was sent: then it cannot have been seen yet.
//! - A sell-out right after a restock may leave them waiting for the next one. So a restock is held to this only
//!   where it *stood*: nothing was sent for the product until every subscriber could be notified.
//! - A shopper who subscribes again while the product is in stock waits anew, for the next restock.
//! - A shopper gets one email for a restock at most, and waits no longer after an email without subscribing again.
//! - Under rules of stock, an update is a restock only if the product was sold out by them before; `judge/waves.rs` says what
//!   they promise of its emails.
//!
//! A request takes effect at some moment, or several, between when it was sent and when it was answered, and either
//! side of anything that happens meanwhile is right.
//!
//! All times are microseconds since the epoch, on one clock. An inbox tells milliseconds, rounded down.

use std::collections::{BTreeMap, BTreeSet};

use super::rules::Rules;

mod waves;

/// How far an inbox's time may lie before the moment it means.
const MAIL_ROUNDING_US: i64 = 999;
/// A request that was never answered has its effect within this time, or none.
const NO_ANSWER_LIMIT_US: i64 = 60_000_000;

/// One request to subscribe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) shopper: usize,
    pub(crate) sent_us: i64,
    /// `None`: it failed, or no answer came, so whether the shopper waits is unknown.
    pub(crate) answer: Option<Answer>,
}

/// What "you wait" said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) at_us: i64,
    pub(crate) in_stock: bool,
}

/// A stock update that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Update {
    pub(crate) restock: String,
    pub(crate) quantity: u32,
    pub(crate) sent_us: i64,
    pub(crate) stood: Stood,
}

/// For how long nothing followed an update.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Stood {
    /// Not for long enough to say anything.
    #[default]
    No,
    /// Until a wave could be told.
    Wave,
    /// Until every subscriber could be notified.
    All,
}

/// An email to a shopper about this product.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mail {
    pub(crate) shopper: usize,
    pub(crate) restock: String,
    pub(crate) at_us: i64,
}

/// All that happened to one product. Updates are in the order they were sent in.
#[derive(Debug, Default)]
pub(crate) struct Story {
    pub(crate) rules: Rules,
    pub(crate) asks: Vec<Ask>,
    pub(crate) updates: Vec<Update>,
    pub(crate) mails: Vec<Mail>,
}

/// The outcome of all subscriptions. A shopper who subscribes twice before an email counts once.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// The number of subscriptions.
    pub(crate) asked: u64,
    /// Those that got their email, in time.
    pub(crate) told: u64,
    /// Those that got none, or one of a later restock than they should have.
    pub(crate) lost: u64,
    /// Those that still wait, rightly.
    pub(crate) waiting: u64,
    /// Those that may wait: unknown, because no request of theirs was answered.
    pub(crate) in_doubt: u64,
    /// Emails too many.
    pub(crate) twice: u64,
    /// Emails to a shopper who never subscribed, or for something that was never restocked.
    pub(crate) unasked: u64,
    /// Emails beyond what the stock allowed a wave.
    pub(crate) beyond: u64,
    /// Shoppers who were told later than one who had waited less long.
    pub(crate) passed_over: u64,
    /// From a restock's sending to each of its emails, in milliseconds.
    pub(crate) latencies_ms: Vec<u64>,
}

impl Verdict {
    pub(crate) fn add(&mut self, other: Self) {
        self.asked += other.asked;
        self.told += other.told;
        self.lost += other.lost;
        self.waiting += other.waiting;
        self.in_doubt += other.in_doubt;
        self.twice += other.twice;
        self.unasked += other.unasked;
        self.beyond += other.beyond;
        self.passed_over += other.passed_over;
        self.latencies_ms.extend(other.latencies_ms);
    }

    /// Whether every email that should have come came, once, and no other.
    pub(crate) fn is_right(&self) -> bool {
        [self.lost, self.twice, self.unasked, self.beyond, self.passed_over] == [0; 5]
    }
}

impl Ask {
    /// When it has had its effect, if it ever has one.
    fn over_us(&self) -> i64 {
        self.answer.map_or(self.sent_us.saturating_add(NO_ANSWER_LIMIT_US), |answer| answer.at_us)
    }

    /// Whether this email may be the one that was asked for.
    fn is_before(&self, mail: &Mail) -> bool {
        self.sent_us <= mail.at_us + MAIL_ROUNDING_US
    }
}

/// One shopper and this product. Both lists are in the order of their times.
#[derive(Default)]
struct Pair<'a> {
    asks: Vec<&'a Ask>,
    mails: Vec<&'a Mail>,
}

impl Story {
    /// How many are still to be told by the update at `index`, if it stands.
    pub(crate) fn owing(&self, index: usize) -> usize {
        self.pairs().values().filter(|pair| self.unserved(pair, index).next().is_some()).count()
    }

    /// The verdict over all of it.
    pub(crate) fn judge(&self) -> Verdict {
        let mut verdict = Verdict::default();
        let pairs = self.pairs();
        for pair in pairs.values() {
            self.count_waits(pair, &mut verdict);
            self.count_mails(pair, &mut verdict);
        }
        self.count_waves(&pairs, &mut verdict);
        verdict
    }

    /// Whether the product can be bought by the update at `index`.
    fn in_stock(&self, index: usize) -> bool {
        self.updates.get(index).is_some_and(|update| update.quantity >= self.rules.least())
    }

    /// Whether the update at `index` is a restock. Without rules every update that leaves some is; with rules it is another
    /// level unless the product was sold out before.
    fn starts(&self, index: usize) -> bool {
        let was_in_stock = index.checked_sub(1).is_some_and(|before| self.in_stock(before));
        self.in_stock(index) && (self.rules.is_empty() || !was_in_stock)
    }

    /// The update after the one at `index` that is no other level of it.
    fn next(&self, index: usize) -> Option<usize> {
        let is_level = |at: &usize| !self.rules.is_empty() && self.in_stock(*at) && !self.starts(*at);
        (index + 1..self.updates.len()).find(|at| !is_level(at))
    }

    fn pairs(&self) -> BTreeMap<usize, Pair<'_>> {
        let mut pairs: BTreeMap<usize, Pair<'_>> = BTreeMap::new();
        for ask in &self.asks {
            pairs.entry(ask.shopper).or_default().asks.push(ask);
        }
        for mail in &self.mails {
            pairs.entry(mail.shopper).or_default().mails.push(mail);
        }
        for pair in pairs.values_mut() {
            pair.asks.sort_by_key(|ask| ask.sent_us);
            pair.mails.sort_by_key(|mail| mail.at_us);
        }
        pairs
    }

    /// Those asks (by their place) that the update at `index` should have told by the time of the next one, and
    /// did not.
    fn unserved<'a>(&'a self, pair: &'a Pair<'a>, index: usize) -> impl Iterator<Item = usize> + 'a {
        let update = self.updates.get(index).filter(|_| self.starts(index));
        let until_us = self.next(index).map_or(i64::MAX, |next| self.updates[next].sent_us);
        let sent_us = update.map_or(i64::MAX, |update| update.sent_us);
        // After it was sent, and still "not in stock".
        let unseen =
            move |ask: &Ask| ask.answer.is_some_and(|answer| !answer.in_stock && answer.at_us < until_us);
        let covered = move |ask: &Ask| {
            ask.answer.is_some_and(|answer| answer.at_us < sent_us) || (update.is_some() && unseen(ask))
        };
        // Asking again, once it is known to be in stock, is waiting for the next restock.
        let anew = move |ask: &&Ask| ask.sent_us < until_us && ask.over_us() >= sent_us && !unseen(ask);
        let excused = update.is_none() || pair.asks.iter().any(anew);
        let told =
            move |ask: &Ask| pair.mails.iter().any(|mail| ask.is_before(mail) && mail.at_us <= until_us);
        let owed =
            pair.asks.iter().enumerate().filter(move |(_, ask)| !excused && covered(ask) && !told(ask));
        owed.map(|(place, _)| place)
    }

    fn count_waits(&self, pair: &Pair<'_>, verdict: &mut Verdict) {
        let stood = self.updates.iter().enumerate().filter(|(_, update)| update.stood == Stood::All);
        let late: BTreeSet<usize> = stood.flat_map(|(index, _)| self.unserved(pair, index)).collect();
        // A wait is all the asks that one email ends, or that none does.
        let mut waits: BTreeMap<Option<usize>, (bool, bool)> = BTreeMap::new();
        for (place, ask) in pair.asks.iter().enumerate() {
            let ended_by = pair.mails.iter().position(|mail| ask.is_before(mail));
            let (answered, lost) = waits.entry(ended_by).or_default();
            *answered |= ask.answer.is_some();
            *lost |= late.contains(&place);
        }
        for (ended_by, (answered, lost)) in waits {
            match (ended_by.is_some() || answered, lost, ended_by) {
                (false, _, _) => {
                    verdict.in_doubt += 1;
                    continue;
                }
                (true, true, _) => verdict.lost += 1,
                (true, false, Some(_)) => verdict.told += 1,
                (true, false, None) => verdict.waiting += 1,
            }
            verdict.asked += 1;
        }
    }

    fn count_mails(&self, pair: &Pair<'_>, verdict: &mut Verdict) {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        // When the restock was sent that the last right email was for.
        let mut before_us = i64::MIN;
        for mail in &pair.mails {
            let is_of = |index: &usize| self.starts(*index) && self.updates[*index].restock == mail.restock;
            let restock = (0..self.updates.len()).find(is_of).map(|index| &self.updates[index]);
            let Some(restock) = restock.filter(|_| pair.asks.iter().any(|ask| ask.is_before(mail))) else {
                verdict.unasked += 1;
                continue;
            };
            // The email of a restock ends every subscription that was answered before it was sent.
            let waits = pair.asks.iter().any(|ask| ask.is_before(mail) && ask.over_us() >= before_us);
            if !seen.insert(&mail.restock) || !waits {
                verdict.twice += 1;
                continue;
            }
            before_us = restock.sent_us.max(before_us);
            let latency_us = (mail.at_us + MAIL_ROUNDING_US - restock.sent_us).max(0);
            verdict.latencies_ms.push(latency_us.unsigned_abs() / 1_000);
        }
    }
}

/// The value that `share` percent of the sorted `values` do not exceed (nearest rank); 0 of none.
pub(crate) fn percentile(values: &[u64], share: usize) -> u64 {
    let rank = (values.len() * share).div_ceil(100).max(1);
    values.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000;

    /// A story told in milliseconds.
    #[derive(Default)]
    struct Told(Story);

    impl Told {
        fn asks(self, shopper: usize, sent: i64, answered: i64, in_stock: bool) -> Self {
            self.tries(shopper, sent, Some(Answer { at_us: answered * MS, in_stock }))
        }

        fn tries(mut self, shopper: usize, sent: i64, answer: Option<Answer>) -> Self {
            self.0.asks.push(Ask { shopper, sent_us: sent * MS, answer });
            self
        }

        fn update(mut self, restock: &str, sent: i64, in_stock: bool, stood: bool) -> Self {
            let quantity = if in_stock { 10 } else { 0 };
            let stood = if stood { Stood::All } else { Stood::No };
            self.0.updates.push(Update { restock: restock.to_owned(), quantity, sent_us: sent * MS, stood });
            self
        }

        fn restock(self, restock: &str, sent: i64) -> Self {
            self.update(restock, sent, true, true)
        }

        /// A restock that is overtaken before every subscriber could be notified.
        fn glimpse(self, restock: &str, sent: i64) -> Self {
            self.update(restock, sent, true, false)
        }

        fn sold_out(self, sent: i64) -> Self {
            self.update("out", sent, false, false)
        }

        fn mail(mut self, shopper: usize, restock: &str, at: i64) -> Self {
            self.0.mails.push(Mail { shopper, restock: restock.to_owned(), at_us: at * MS });
            self
        }

        /// asked, told, lost, waiting, twice, unasked
        fn counts(&self) -> [u64; 6] {
            let Verdict { asked, told, lost, waiting, twice, unasked, .. } = self.0.judge();
            [asked, told, lost, waiting, twice, unasked]
        }
    }

    fn story() -> Told {
        Told::default()
    }

    #[test]
    fn who_asks_and_is_told_once_by_the_next_restock_is_all_right() {
        let told = story().asks(1, 10, 12, false).restock("r", 20).mail(1, "r", 25);
        assert_eq!(told.counts(), [1, 1, 0, 0, 0, 0]);
        let verdict = told.0.judge();
        assert!(verdict.is_right());
        assert_eq!(verdict.latencies_ms, [5]);
    }

    #[test]
    fn who_waits_and_gets_no_mail_is_lost() {
        let told = story().asks(1, 10, 12, false).asks(2, 10, 12, false).restock("r", 20).mail(1, "r", 25);
        assert_eq!(told.counts(), [2, 1, 1, 0, 0, 0]);
        assert!(!told.0.judge().is_right());
        assert_eq!(told.0.owing(0), 1);
    }

    #[test]
    fn who_is_told_by_a_later_restock_than_the_one_that_stood_is_lost() {
        let late = |stood| {
            story()
                .asks(1, 10, 12, false)
                .update("r1", 20, true, stood)
                .sold_out(100)
                .restock("r2", 110)
                .mail(1, "r2", 120)
        };
        assert_eq!(late(true).counts(), [1, 0, 1, 0, 0, 0]);
        assert_eq!(late(false).counts(), [1, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn two_mails_for_one_restock_are_one_too_many() {
        let told = story()
            .asks(1, 10, 12, false)
            .restock("r", 20)
            .mail(1, "r", 25)
            .mail(1, "r", 25)
            .mail(1, "r", 900);
        assert_eq!(told.counts(), [1, 1, 0, 0, 2, 0]);
    }

    #[test]
    fn two_mails_for_two_restocks_are_one_too_many_unless_they_asked_again() {
        let start =
            || story().asks(1, 10, 12, false).asks(1, 14, 15, false).restock("r1", 20).mail(1, "r1", 25);
        let once = start().sold_out(50).restock("r2", 60).mail(1, "r2", 65);
        assert_eq!(once.counts(), [1, 1, 0, 0, 1, 0]);
        let again = start().asks(1, 40, 41, true).sold_out(50).restock("r2", 60).mail(1, "r2", 65);
        assert_eq!(again.counts(), [2, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn a_mail_without_asking_or_before_asking_or_without_a_restock_is_found() {
        let told = story()
            .asks(1, 30, 31, true)
            .restock("r", 20)
            .mail(1, "r", 25)
            .mail(2, "r", 25)
            .asks(3, 10, 12, false)
            .mail(3, "r", 25)
            .mail(3, "another", 26)
            .mail(3, "out", 27);
        assert_eq!(told.counts(), [2, 1, 0, 1, 0, 4]);
    }

    #[test]
    fn who_asks_while_it_is_in_stock_waits_for_the_next_restock() {
        let in_stock = || story().restock("r1", 20).asks(1, 30, 31, true);
        assert_eq!(in_stock().counts(), [1, 0, 0, 1, 0, 0]);
        assert_eq!(in_stock().sold_out(40).restock("r2", 50).counts(), [1, 0, 1, 0, 0, 0]);
        assert_eq!(in_stock().sold_out(40).restock("r2", 50).mail(1, "r2", 55).counts(), [1, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn who_is_told_it_is_not_in_stock_after_the_restock_was_sent_is_owed_its_mail() {
        let told = story().restock("r", 20).asks(1, 15, 22, false);
        assert_eq!(told.counts(), [1, 0, 1, 0, 0, 0]);
        // The restock may have been seen between the request and its answer.
        let told = story().restock("r", 20).asks(1, 15, 22, true);
        assert_eq!(told.counts(), [1, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_request_that_is_under_way_during_a_mail_may_wait_on_or_be_done() {
        let start = || story().restock("r1", 20).asks(1, 15, 40, true).mail(1, "r1", 30).sold_out(50);
        assert_eq!(start().restock("r2", 60).counts(), [1, 1, 0, 0, 0, 0]);
        assert_eq!(start().restock("r2", 60).mail(1, "r2", 70).counts(), [1, 1, 0, 0, 0, 0]);
        let thrice =
            start().restock("r2", 60).mail(1, "r2", 70).sold_out(80).restock("r3", 90).mail(1, "r3", 95);
        assert_eq!(thrice.counts(), [1, 1, 0, 0, 1, 0]);
    }

    #[test]
    fn asking_again_during_a_fan_out_is_waiting_anew() {
        // Passed over by the first restock, because it stands past it now; told by the second.
        let start = || story().asks(1, 10, 12, false).restock("r1", 20).asks(1, 30, 31, true).sold_out(50);
        assert_eq!(start().restock("r2", 60).mail(1, "r2", 65).counts(), [1, 1, 0, 0, 0, 0]);
        assert_eq!(start().restock("r2", 60).counts(), [1, 0, 1, 0, 0, 0]);
        // Or the first email was on its way already.
        let both = start().mail(1, "r1", 33).restock("r2", 60).mail(1, "r2", 65);
        assert_eq!(both.counts(), [1, 1, 0, 0, 0, 0]);
    }

    #[test]
    fn a_request_without_an_answer_is_in_doubt_and_neither_lost_nor_told_without_asking() {
        let silent = || story().tries(1, 10, None).restock("r", 20);
        assert_eq!(silent().counts(), [0, 0, 0, 0, 0, 0]);
        assert_eq!(silent().0.judge().in_doubt, 1);
        assert_eq!(silent().mail(1, "r", 25).counts(), [1, 1, 0, 0, 0, 0]);
        // Long after it, the answered one counts again.
        let later = story().tries(1, 10, None).asks(1, 11, 12, false).restock("r", 70_000);
        assert_eq!(later.counts(), [1, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn a_glimpse_owes_nobody_a_mail_and_the_restock_after_it_does() {
        let told = story().asks(1, 10, 12, false).glimpse("r1", 20).sold_out(21);
        assert_eq!(told.counts(), [1, 0, 0, 1, 0, 0]);
        assert_eq!(told.restock("r2", 30).counts(), [1, 0, 1, 0, 0, 0]);
    }

    #[test]
    fn an_inbox_that_rounds_its_times_down_accuses_nobody() {
        let mut told = story().asks(1, 10, 12, false).restock("r", 20).mail(1, "r", 20);
        told.0.asks.push(Ask {
            shopper: 2,
            sent_us: 25_400,
            answer: Some(Answer { at_us: 25_600, in_stock: false }),
        });
        assert_eq!(told.mail(2, "r", 25).counts(), [2, 2, 0, 0, 0, 0]);
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let values: Vec<u64> = (1..=200).collect();
        assert_eq!(
            (percentile(&values, 50), percentile(&values, 99), percentile(&values, 100)),
            (100, 198, 200)
        );
        assert_eq!((percentile(&[7], 99), percentile(&[], 50)), (7, 0));
    }
}
