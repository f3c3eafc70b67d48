//! What rules of stock promise of the emails of one restock: no wave is larger than the stock at its time allows, no wave comes
//! sooner than it may, nobody is told before somebody who has waited longer, and a wave that nothing disturbs tells as many as
//! it may.
//!
//! Which emails are of one wave is not said. But a wave begins no sooner than `waveEvery` after the end of the one before, so
//! emails within `waveEvery` of the first one are of one wave, and so on. A wave that takes longer falls into two parts, each
//! no larger than it.

use std::collections::BTreeMap;

use super::{MAIL_ROUNDING_US, Pair, Stood, Story, Verdict};

/// Emails that came close together, in the order of their times.
struct Wave {
    start_us: i64,
    shoppers: Vec<usize>,
    /// How many the stock allowed.
    allowed: usize,
}

/// Somebody who surely waited when the restock was sent, and in whose place nothing was unsure.
struct Waiter {
    shopper: usize,
    /// They had their place by then.
    since_us: i64,
}

impl Story {
    /// Counts what the waves of each restock did wrong.
    pub(super) fn count_waves(&self, pairs: &BTreeMap<usize, Pair<'_>>, verdict: &mut Verdict) {
        if self.rules.is_empty() {
            return;
        }
        for index in (0..self.updates.len()).filter(|index| self.starts(*index)) {
            let parts = self.parts(index);
            let beyond = parts.iter().map(|wave| wave.shoppers.len().saturating_sub(wave.allowed));
            verdict.beyond += beyond.sum::<usize>() as u64;
            verdict.passed_over += self.passed_over(index, pairs, parts) as u64;
            verdict.lost += self.short_of(index, pairs) as u64;
        }
    }

    /// How many are missing of the waves that the restock at `index` could tell undisturbed.
    pub(crate) fn short(&self, index: usize) -> usize {
        self.short_of(index, &self.pairs())
    }

    fn short_of(&self, index: usize, pairs: &BTreeMap<usize, Pair<'_>>) -> usize {
        let next = self.next(index).unwrap_or(self.updates.len());
        let undisturbed = self.updates[index..next].iter().filter(|update| update.stood == Stood::Wave);
        let promised =
            undisturbed.fold(0_usize, |sum, update| sum.saturating_add(self.rules.wave(update.quantity)));
        let told = self.mails.iter().filter(|mail| mail.restock == self.updates[index].restock).count();
        self.waiters(index, pairs).len().min(promised).saturating_sub(told)
    }

    /// The emails of a restock in parts, none of which holds emails of two waves.
    fn parts(&self, index: usize) -> Vec<Wave> {
        let restock = &self.updates[index].restock;
        let mut mails: Vec<_> = self.mails.iter().filter(|mail| mail.restock == *restock).collect();
        mails.sort_by_key(|mail| mail.at_us);
        let mut parts: Vec<Wave> = Vec::new();
        for mail in mails {
            // Either time may be rounded down.
            let within = self.rules.every_us() - MAIL_ROUNDING_US;
            match parts.last_mut().filter(|part| mail.at_us < part.start_us + within) {
                Some(part) => part.shoppers.push(mail.shopper),
                None => {
                    let (start_us, allowed) = (mail.at_us, self.allowed(index, mail.at_us));
                    parts.push(Wave { start_us, shoppers: vec![mail.shopper], allowed });
                }
            }
        }
        parts
    }

    /// How many a wave of the restock at `index` may tell that began at this time: by the level at that time, or by one that
    /// had been replaced only just before.
    fn allowed(&self, index: usize, at_us: i64) -> usize {
        let next = self.next(index).unwrap_or(self.updates.len());
        let unseen_us = self.rules.every_us() / 2;
        let was_current = |place: &usize| {
            let until = self.updates.get(place + 1).filter(|_| place + 1 < next);
            self.updates[*place].sent_us <= at_us + MAIL_ROUNDING_US
                && until.is_none_or(|until| until.sent_us > at_us - unseen_us)
        };
        let sizes =
            (index..next).filter(was_current).map(|place| self.rules.wave(self.updates[place].quantity));
        sizes.max().unwrap_or_default()
    }

    /// How many were not told by a restock, or by a later wave of it than somebody who has waited less long.
    fn passed_over(&self, index: usize, pairs: &BTreeMap<usize, Pair<'_>>, parts: Vec<Wave>) -> usize {
        let is_over = self.next(index).is_some();
        // Two parts may be one wave if together they are not too large for one.
        let mut waves: Vec<Wave> = Vec::new();
        for part in parts {
            match waves.last_mut().filter(|wave| wave.shoppers.len() + part.shoppers.len() <= wave.allowed) {
                Some(wave) => wave.shoppers.extend(part.shoppers),
                None => waves.push(part),
            }
        }
        // A sell-out may have come between the shards of the last one.
        if is_over && waves.last().is_some_and(|wave| wave.shoppers.len() < wave.allowed) {
            waves.pop();
        }
        let mut waiters = self.waiters(index, pairs);
        let mut passed_over = 0;
        for wave in &waves {
            waiters.retain(|waiter| !wave.shoppers.contains(&waiter.shopper));
            let latest =
                wave.shoppers.iter().filter_map(|shopper| self.place_us(index, pairs.get(shopper)?)).max();
            let before = waiters.len();
            waiters.retain(|waiter| latest.is_none_or(|latest| waiter.since_us >= latest));
            passed_over += before - waiters.len();
        }
        passed_over
    }

    /// Who surely waits for the restock at `index` when it is sent.
    fn waiters(&self, index: usize, pairs: &BTreeMap<usize, Pair<'_>>) -> Vec<Waiter> {
        let restock = &self.updates[index];
        let until_us = self.next(index).map_or(i64::MAX, |next| self.updates[next].sent_us);
        let waiter = |(shopper, pair): (&usize, &Pair<'_>)| {
            let earlier =
                pair.mails.iter().filter(|mail| mail.restock != restock.restock && mail.at_us <= until_us);
            let told_us = earlier.map(|mail| mail.at_us + MAIL_ROUNDING_US).max().unwrap_or(i64::MIN);
            let asks = || pair.asks.iter().filter(|ask| ask.sent_us < until_us);
            // An ask that was under way when they were told may wait, or not.
            let is_unsure = asks().any(|ask| ask.sent_us <= told_us && ask.over_us() >= told_us);
            let since_us = asks().filter(|ask| ask.sent_us > told_us).map(|ask| ask.over_us()).max()?;
            let waits = asks().any(|ask| ask.sent_us > told_us && ask.answer.is_some());
            (waits && !is_unsure && since_us < restock.sent_us)
                .then_some(Waiter { shopper: *shopper, since_us })
        };
        pairs.iter().filter_map(waiter).collect()
    }

    /// The earliest time of which a shopper's place can be who is told by the restock at `index`.
    fn place_us(&self, index: usize, pair: &Pair<'_>) -> Option<i64> {
        let restock = &self.updates[index].restock;
        let before = pair.mails.iter().take_while(|mail| mail.restock != *restock).last();
        let told_by =
            before.and_then(|mail| self.updates.iter().find(|update| update.restock == mail.restock));
        let since_us = told_by.map_or(i64::MIN, |update| update.sent_us);
        pair.asks.iter().filter(|ask| ask.over_us() >= since_us).map(|ask| ask.sent_us).min()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Answer, Ask, Mail, Update};
    use super::*;
    use crate::simulate::rules::Rules;

    const MS: i64 = 1_000;

    /// Six who asked one after the other; one unit a person, and two seconds between waves: three units, then two, then none,
    /// and at last enough for all. Times are in milliseconds.
    fn right() -> Story {
        let ask = |shopper: usize| Ask {
            shopper,
            sent_us: shopper as i64 * 10 * MS,
            answer: Some(Answer { at_us: (shopper as i64 * 10 + 5) * MS, in_stock: false }),
        };
        let update = |restock: &str, sent: i64, quantity, stood| Update {
            restock: restock.to_owned(),
            quantity,
            sent_us: sent * MS,
            stood,
        };
        let mail =
            |shopper, restock: &str, at: i64| Mail { shopper, restock: restock.to_owned(), at_us: at * MS };
        Story {
            rules: Rules { per_unit: Some(1.0), wave_every: Some(2), ..Rules::default() },
            asks: (0..6).map(ask).collect(),
            updates: vec![
                update("r", 1_000, 3, Stood::Wave),
                update("sale", 1_200, 2, Stood::Wave),
                update("out", 5_000, 0, Stood::No),
                update("last", 6_000, 100, Stood::All),
            ],
            mails: vec![
                mail(1, "r", 1_100),
                mail(0, "r", 1_101),
                mail(2, "r", 1_102),
                mail(3, "r", 4_000),
                mail(4, "r", 4_000),
                mail(5, "last", 6_100),
            ],
        }
    }

    #[test]
    fn waves_as_promised_are_right() {
        let verdict = right().judge();
        assert!(verdict.is_right(), "{verdict:?}");
        assert_eq!((verdict.asked, verdict.told), (6, 6));
    }

    /// What spoils the story, and what is then wrong: lost, beyond, passed over, unasked.
    fn spoilt(spoil: impl Fn(&mut Story)) -> [u64; 4] {
        let mut story = right();
        spoil(&mut story);
        let verdict = story.judge();
        assert!(!verdict.is_right(), "{verdict:?}");
        [verdict.lost, verdict.beyond, verdict.passed_over, verdict.unasked]
    }

    #[test]
    fn a_wave_beyond_what_the_stock_allows_is_found() {
        // The sixth is told with the first three.
        let early = |story: &mut Story| {
            story.mails[5] = Mail { restock: "r".to_owned(), at_us: 1_103 * MS, ..story.mails[5].clone() }
        };
        assert_eq!(spoilt(early)[1], 1);
        // The second wave is as large as the first, though one was sold.
        let large = |story: &mut Story| {
            story.mails[5] = Mail { restock: "r".to_owned(), at_us: 4_001 * MS, ..story.mails[5].clone() }
        };
        assert_eq!(spoilt(large)[1], 1);
        // A reserve is not told of.
        assert_eq!(spoilt(|story| story.rules.reserve = Some(1))[1], 2);
        // It comes too soon, so it is no wave of its own.
        assert_eq!(
            spoilt(|story| story.mails[3..5].iter_mut().for_each(|mail| mail.at_us = 3_000 * MS))[1],
            2
        );
    }

    #[test]
    fn a_level_that_was_replaced_just_before_may_be_unseen() {
        let mut story = right();
        story.mails[5] = Mail { restock: "r".to_owned(), at_us: 4_001 * MS, ..story.mails[5].clone() };
        story.updates[1].sent_us = 3_500 * MS;
        assert_eq!(story.judge().beyond, 0);
    }

    #[test]
    fn who_has_waited_longer_and_is_told_later_is_found() {
        let swap = |story: &mut Story| {
            story.mails[0].shopper = 4;
            story.mails[4].shopper = 1;
        };
        // The second and the fourth.
        assert_eq!(spoilt(swap), [0, 0, 2, 0]);
        // By another restock: the first, and with it all whom the sixth came before.
        let swap = |story: &mut Story| {
            story.mails[1].shopper = 5;
            story.mails[5].shopper = 0;
        };
        assert_eq!(spoilt(swap)[2], 3);
    }

    #[test]
    fn within_a_wave_any_order_of_shards_is_right_and_so_is_one_that_a_sell_out_cut() {
        let mut story = right();
        story.mails[0].at_us = 1_500 * MS;
        assert!(story.judge().is_right());
        // The older one of the second wave is told by the next restock.
        story.updates[1].stood = Stood::No;
        story.mails[3] = Mail { restock: "last".to_owned(), at_us: 6_100 * MS, ..story.mails[3].clone() };
        let verdict = story.judge();
        assert!(verdict.is_right(), "{verdict:?}");
    }

    #[test]
    fn a_wave_that_nothing_disturbed_and_that_told_too_few_is_found() {
        let few = |story: &mut Story| {
            story.mails[4] = Mail { restock: "last".to_owned(), at_us: 6_100 * MS, ..story.mails[4].clone() }
        };
        assert_eq!(spoilt(few), [1, 0, 0, 0]);
        let mut story = right();
        few(&mut story);
        assert_eq!(story.short(0), 1);
        // Nor is anybody left in the end.
        assert_eq!(spoilt(|story| drop(story.mails.pop()))[0], 1);
    }

    #[test]
    fn an_email_for_a_sale_or_for_too_few_units_is_unasked() {
        assert_eq!(spoilt(|story| story.mails[3].restock = "sale".to_owned())[3], 1);
        assert_eq!(spoilt(|story| story.rules.min_stock = Some(4))[3], 5);
    }

    #[test]
    fn whoever_asked_once_told_waits_behind_the_others() {
        let mut story = right();
        // The first asks again while the second wave is awaited, and is told in the end.
        let answer = Some(Answer { at_us: 1_205 * MS, in_stock: true });
        story.asks.push(Ask { shopper: 0, sent_us: 1_200 * MS, answer });
        story.mails.push(Mail { shopper: 0, restock: "last".to_owned(), at_us: 6_100 * MS });
        let verdict = story.judge();
        assert!(verdict.is_right(), "{verdict:?}");
        // Told once more by the same restock, it takes another one's turn, whom nobody tells.
        story.mails[3].shopper = 0;
        let verdict = story.judge();
        assert_eq!((verdict.twice, verdict.lost, verdict.passed_over), (1, 1, 2), "{verdict:?}");
    }
}
