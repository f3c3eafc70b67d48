//! What may have come of a sequence of stock levels, by what was said of the product alone: a *run* is from an update with
//! enough units, after one with too few, to the next with too few. Only the first update of a run is a restock, and only a run
//! that holds long enough tells anybody. The last update of all is the one that is for everybody.

use serde_json::{Value, json};

/// How much longer than it must a run has to hold, once it is recorded, for it to be sure that it has told somebody, in
/// milliseconds: a sweep comes each second, and has many products to see to.
pub(super) const SURELY_MS: i64 = 10_000;
/// How long after a sell-out was recorded an email may still come, in milliseconds.
const AFTER_MS: i64 = 1_000;

/// What rules a product has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    /// The fewest units that count.
    pub(super) least: u64,
    pub(super) settle_ms: i64,
    /// The most emails for a restock, but the last.
    pub(super) wave: usize,
    /// How many wait from the beginning, by their number from 0 on, spread over so many shards.
    pub(super) people: usize,
    pub(super) shards: usize,
}

/// A level.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) quantity: u64,
    /// When it was said.
    pub(super) at_ms: i64,
    /// By when it was recorded; `None`: unknown.
    pub(super) recorded_ms: Option<i64>,
}

/// An email.
#[derive(Debug, Clone, Copy)]
pub(super) struct Email {
    /// The number of the person.
    pub(super) person: usize,
    /// The update that it names; `None`: none of the product's.
    pub(super) event: Option<usize>,
    pub(super) at_ms: i64,
}

/// A time in stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Run {
    /// Its first update, and the one that ends it.
    from: usize,
    until: Option<usize>,
}

/// What came of the updates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Count {
    people: usize,
    events: usize,
    /// Updates that start nothing: the product was in stock already, or is not.
    levels: usize,
    /// Runs that were too short, those that surely held, and those between.
    flaps: usize,
    held: usize,
    between: usize,
    /// Emails, but for the last update.
    told: usize,
    lost: usize,
    twice: usize,
    /// Emails for an update that is no restock, or unknown; for a restock that did not hold; before it held; after a
    /// sell-out; beyond the wave; out of order within a shard.
    for_nothing: usize,
    for_a_flap: usize,
    too_early: usize,
    too_late: usize,
    too_many: usize,
    out_of_order: usize,
    /// Emails that are missing of runs that surely held.
    missing: usize,
}

fn runs(rules: &Rules, events: &[Event]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut was_in_stock = false;
    for (index, event) in events.iter().enumerate() {
        let in_stock = event.quantity >= rules.least;
        match runs.last_mut() {
            _ if in_stock && !was_in_stock => runs.push(Run { from: index, until: None }),
            Some(run) if !in_stock && was_in_stock => run.until = Some(index),
            _ => {}
        }
        was_in_stock = in_stock;
    }
    runs
}

/// Counts what came of the updates of a product.
pub(super) fn count(rules: &Rules, events: &[Event], emails: &[Email]) -> Count {
    let runs = runs(rules, events);
    let last = events.len().saturating_sub(1);
    let mut count = Count { people: rules.people, events: events.len(), ..Count::default() };
    count.levels = events.len() - runs.len();
    let mut left = rules.people;
    for run in &runs {
        let of_run: Vec<&Email> = emails.iter().filter(|email| email.event == Some(run.from)).collect();
        count.run(rules, events, (*run, run.from == last), &of_run, left);
        left = left.saturating_sub(of_run.len());
    }
    let is_start = |email: &&Email| runs.iter().any(|run| email.event == Some(run.from));
    count.for_nothing = emails.len() - emails.iter().filter(is_start).count();
    let mut times = vec![0_usize; rules.people];
    for email in emails {
        match times.get_mut(email.person) {
            Some(times) => *times += 1,
            None => count.for_nothing += 1,
        }
    }
    count.lost = times.iter().filter(|times| **times == 0).count();
    count.twice = times.iter().map(|times| times.saturating_sub(1)).sum();
    for shard in 0..rules.shards {
        let of_shard: Vec<usize> =
            emails.iter().map(|email| email.person).filter(|person| person % rules.shards == shard).collect();
        count.out_of_order += of_shard.windows(2).filter(|two| two[1] <= two[0]).count();
    }
    count
}

impl Count {
    /// Counts a run, whether it is the last update's, and its emails, when so many people were left.
    fn run(
        &mut self,
        rules: &Rules,
        events: &[Event],
        (run, is_last): (Run, bool),
        emails: &[&Email],
        left: usize,
    ) {
        let since_ms = events[run.from].at_ms;
        let end = run.until.map(|until| events[until]);
        // It is over by the time at which that was recorded, and not before it was said.
        let most_ms = end.map_or(Some(i64::MAX), |end| Some(end.recorded_ms? - since_ms)).unwrap_or(i64::MAX);
        // What was recorded late can only have held from then on.
        let known_ms = events[run.from].recorded_ms.unwrap_or(i64::MAX);
        let least_ms = end.map_or(i64::MAX, |end| end.at_ms.saturating_sub(known_ms));
        let is_flap = most_ms < rules.settle_ms;
        let surely = least_ms >= rules.settle_ms + SURELY_MS;
        let wave = if is_last { rules.people } else { rules.wave };
        match (is_flap, surely) {
            _ if is_last => {}
            (true, _) => self.flaps += 1,
            (false, true) => self.held += 1,
            (false, false) => self.between += 1,
        }
        if !is_last {
            self.told += emails.len();
        }
        if is_flap {
            self.for_a_flap += emails.len();
        }
        self.too_many += emails.len().saturating_sub(wave);
        if surely {
            self.missing += wave.min(left).saturating_sub(emails.len());
        }
        let until_ms =
            end.map_or(Some(i64::MAX), |end| Some(end.recorded_ms? + AFTER_MS)).unwrap_or(i64::MAX);
        self.too_early += emails.iter().filter(|email| email.at_ms < since_ms + rules.settle_ms).count();
        self.too_late += emails.iter().filter(|email| email.at_ms > until_ms).count();
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.people += other.people;
        self.events += other.events;
        self.levels += other.levels;
        self.flaps += other.flaps;
        self.held += other.held;
        self.between += other.between;
        self.told += other.told;
        for (sum, more) in self.wrongs_mut().into_iter().zip(other.wrongs()) {
            *sum += more.1;
        }
    }

    fn wrongs(&self) -> [(&'static str, usize); 9] {
        [
            ("not told at all", self.lost),
            ("emails too many for one person", self.twice),
            ("emails for an update that starts nothing", self.for_nothing),
            ("emails for stock that did not hold", self.for_a_flap),
            ("emails before the stock had held", self.too_early),
            ("emails beyond a second after a sell-out was recorded", self.too_late),
            ("emails beyond a wave", self.too_many),
            ("emails out of order within a shard", self.out_of_order),
            ("emails missing of stock that held", self.missing),
        ]
    }

    fn wrongs_mut(&mut self) -> [&mut usize; 9] {
        [
            &mut self.lost,
            &mut self.twice,
            &mut self.for_nothing,
            &mut self.for_a_flap,
            &mut self.too_early,
            &mut self.too_late,
            &mut self.too_many,
            &mut self.out_of_order,
            &mut self.missing,
        ]
    }

    /// What is not as promised.
    pub(super) fn broken(&self) -> Vec<String> {
        let wrongs = self.wrongs().into_iter().filter(|(_, count)| *count > 0);
        wrongs.map(|(what, count)| format!("{count} {what}")).collect()
    }

    /// The figures of a row.
    pub(super) fn figures(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("people", json!(self.people)),
            ("updates", json!(self.events)),
            ("sales, levels, sell-outs", json!(self.levels)),
            ("flaps", json!(self.flaps)),
            ("perhaps held", json!(self.between)),
            ("held", json!(self.held)),
            ("emails meanwhile", json!(self.told)),
            ("for nothing", json!(self.for_nothing + self.for_a_flap)),
            ("too early", json!(self.too_early)),
            ("while sold out", json!(self.too_late)),
            ("beyond a wave", json!(self.too_many)),
            ("missing", json!(self.missing)),
            ("lost", json!(self.lost)),
            ("twice", json!(self.twice)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { least: 7, settle_ms: 3_000, wave: 2, people: 5, shards: 2 };

    /// Levels by the second, each recorded 100 ms later.
    fn events(levels: &[(i64, u64)]) -> Vec<Event> {
        let event = |(second, quantity): &(i64, u64)| Event {
            quantity: *quantity,
            at_ms: second * 1_000,
            recorded_ms: Some(second * 1_000 + 100),
        };
        levels.iter().map(event).collect()
    }

    /// Too few; a flap; a run with a sale in it; and at last enough for all.
    fn story() -> Vec<Event> {
        events(&[(0, 6), (1, 8), (3, 0), (10, 12), (12, 7), (30, 2), (40, 100)])
    }

    fn email(person: usize, event: usize, at_ms: i64) -> Email {
        Email { person, event: Some(event), at_ms }
    }

    /// What is promised of it.
    fn right() -> Vec<Email> {
        vec![
            email(0, 3, 13_100),
            email(1, 3, 13_100),
            email(2, 6, 43_100),
            email(3, 6, 43_100),
            email(4, 6, 43_100),
        ]
    }

    #[test]
    fn emails_as_promised_break_nothing() {
        let count = count(&RULES, &story(), &right());
        assert_eq!(count.broken(), Vec::<String>::new());
        assert_eq!((count.events, count.levels, count.flaps, count.held, count.told), (7, 4, 1, 1, 2));
    }

    #[test]
    fn each_broken_promise_is_found() {
        let spoilt = |spoil: fn(&mut Vec<Email>), said: &str| {
            let mut emails = right();
            spoil(&mut emails);
            let broken = count(&RULES, &story(), &emails).broken();
            assert!(broken.iter().any(|promise| promise.contains(said)), "{said}: {broken:?}");
        };
        spoilt(|emails| emails.truncate(4), "1 not told at all");
        spoilt(|emails| emails.push(email(4, 6, 43_200)), "1 emails too many for one person");
        spoilt(|emails| emails[0].event = Some(0), "1 emails for an update that starts nothing");
        spoilt(|emails| emails[0].event = Some(4), "1 emails for an update that starts nothing");
        spoilt(|emails| emails[0].event = None, "1 emails for an update that starts nothing");
        spoilt(|emails| emails[0].event = Some(1), "1 emails for stock that did not hold");
        spoilt(|emails| emails[0].at_ms = 12_900, "1 emails before the stock had held");
        spoilt(|emails| emails[1].at_ms = 31_200, "1 emails beyond a second after a sell-out");
        spoilt(|emails| emails[2].event = Some(3), "1 emails beyond a wave");
        spoilt(|emails| emails.swap(0, 2), "1 emails out of order within a shard");
        spoilt(|emails| emails[1].event = Some(6), "1 emails missing of stock that held");
    }

    #[test]
    fn a_run_that_ends_about_when_it_has_held_may_tell_or_not() {
        let events = events(&[(0, 8), (3, 0), (10, 100)]);
        let told = [email(0, 0, 3_050), email(1, 2, 13_000)];
        let rules = Rules { people: 2, ..RULES };
        assert_eq!(count(&rules, &events, &told).broken(), Vec::<String>::new());
        let later = [email(0, 2, 13_050), email(1, 2, 13_000)];
        assert_eq!(count(&rules, &events, &later).broken(), Vec::<String>::new());
    }
}
