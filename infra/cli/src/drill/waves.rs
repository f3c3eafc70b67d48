//! A waitlist that is told in waves: as many people wait as one asks for, 80 units come, and one person is told per unit. The
//! stock then falls to 40, every process is stopped and started again on the same data, and the next wave tells 40 more. Then
//! it is sold out.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use domain::product::{Awaited, Product};
use domain::{ProductId, RestockId};
use serde_json::{Value, json};

use super::lab::{Lab, Setup, names};
use super::progress::Progress;
use super::wire::Fate;
use crate::report::{Plot, Report};

/// The units that come, and those that are left when the next wave is due.
const UNITS: usize = 80;
const LEFT: usize = 40;
const SHARDS: usize = 8;
/// What a wave may cost the table beyond a restock that tells everybody who waits: for each shard a look at its first
/// places, and once the writing of a timer.
const MORE_FOR_A_SHARD: u64 = 1;
const LOOK: Duration = Duration::from_millis(200);
/// How often the system sweeps after it was started again.
const SWEEP: Duration = Duration::from_secs(1);
/// Long enough that no sweep comes but those that the drill makes itself, so that the calls of a wave can be told from theirs.
const NO_SWEEP: Duration = Duration::from_secs(86_400);
/// How much later than its time a wave may come, and how long one that must not come is waited for.
const LATE: Duration = Duration::from_secs(30);
const NONE_COMES: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(120);

/// How many people, and how long between waves.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The number of subscribers.
    #[arg(long, default_value_t = 1_000_000, value_parser = enough)]
    people: usize,
    /// Seconds from the end of a wave to the next.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    every: u64,
}

fn enough(text: &str) -> Result<usize, String> {
    let least = UNITS + LEFT + 1;
    text.parse()
        .ok()
        .filter(|people| *people >= least)
        .ok_or_else(|| format!("a whole number, {least} or more"))
}

/// An email to one of the subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mail {
    /// Which of them, the oldest first.
    number: usize,
    /// In Unix milliseconds.
    at_ms: i64,
}

/// The emails at the end of each part.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Parts {
    first: Vec<Mail>,
    second: Vec<Mail>,
    sold_out: Vec<Mail>,
}

/// How often the table was called.
#[derive(Debug, Default)]
struct Calls {
    /// For a restock of as many people as there are units, without rules.
    plain: BTreeMap<String, u64>,
    /// For the first wave.
    wave: BTreeMap<String, u64>,
    /// By a sweep that finds nothing due, and by the one that sees the wave's end.
    idle_sweep: u64,
    sweep: u64,
}

/// Runs it.
///
/// # Errors
/// When a system cannot be started, or does not come to an end.
pub(super) async fn run(args: Args) -> anyhow::Result<Report> {
    let data = tempfile::tempdir()?;
    let (product, restock) = names("many")?;
    let mut calls = Calls { plain: plain().await?, ..Calls::default() };

    let lab = Lab::start(setup(&args, data.path(), NO_SWEEP)).await?;
    {
        let progress = Progress::new(args.people, "people ask to be told");
        lab.seed(&product, args.people, |written| progress.at(written)).await?;
    }
    let first = first_wave(&lab, &product, &restock, &mut calls).await?;
    say(&lab, &product, "sold", LEFT).await?;
    lab.stop().await;

    let stopped = Instant::now();
    let lab = Lab::start(setup(&args, data.path(), SWEEP)).await?;
    let restarted = stopped.elapsed();
    let second = second_wave(&lab, &args).await?;
    say(&lab, &product, "out", 0).await?;
    tokio::time::sleep(Duration::from_secs(args.every) + NONE_COMES).await;
    let sold_out = mails(&lab);
    lab.stop().await;
    Ok(judged(&args, &Parts { first, second, sold_out }, &calls, restarted))
}

fn setup(args: &Args, data: &Path, sweep: Duration) -> Setup {
    let rules = json!({ "perUnit": 1, "waveEvery": args.every });
    Setup {
        environment: vec![("RULES", rules.to_string())],
        shards: SHARDS as u16,
        data: Some(data.to_owned()),
        sweep: Some(sweep),
        ..Setup::default()
    }
}

/// The calls to the table for a restock of as many people as there are units, in a shop without rules.
async fn plain() -> anyhow::Result<BTreeMap<String, u64>> {
    let setup = Setup { shards: SHARDS as u16, sweep: Some(NO_SWEEP), ..Setup::default() };
    let lab = Lab::start(setup).await?;
    warm(&lab).await?;
    let (product, restock) = names("few")?;
    lab.seed(&product, UNITS, |_| ()).await?;
    let calls = counted(&lab, async {
        lab.stock(&product, &restock, UNITS as u64).await?;
        lab.settled(&product, &restock).await
    });
    let calls = calls.await?;
    lab.stop().await;
    Ok(calls)
}

/// One restock before what is measured: the first one of a process asks for more.
async fn warm(lab: &Lab) -> anyhow::Result<()> {
    let (product, restock) = names("warm")?;
    lab.seed(&product, 1, |_| ()).await?;
    lab.stock(&product, &restock, 1).await?;
    lab.settled(&product, &restock).await
}

/// How often the table was called while this was done, by what it was asked for.
async fn counted(
    lab: &Lab,
    done: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<BTreeMap<String, u64>> {
    lab.wire.arm(|_| Fate::Passed);
    done.await?;
    let mut calls = BTreeMap::new();
    for what in lab.wire.disarm() {
        if what.starts_with("table ") {
            *calls.entry(what).or_default() += 1;
        }
    }
    Ok(calls)
}

/// Lets the units come, sees to the end of the first wave, and gives the emails.
async fn first_wave(
    lab: &Lab,
    product: &ProductId,
    restock: &RestockId,
    calls: &mut Calls,
) -> anyhow::Result<Vec<Mail>> {
    warm(lab).await?;
    // What is due of the restock before.
    for _ in 0..2 {
        lab.sweep().await;
    }
    let sweep = || {
        counted(lab, async {
            lab.sweep().await;
            Ok(())
        })
    };
    calls.idle_sweep = sweep().await?.values().sum();
    calls.wave = counted(lab, async {
        lab.stock(product, restock, UNITS as u64).await?;
        lab.settled(product, restock).await
    })
    .await?;
    calls.sweep = sweep().await?.values().sum();
    let is_over = |known: &Product| known.due.is_some_and(|due| due.what == Awaited::Wave);
    until(lab, product, "its first wave to end", is_over).await?;
    Ok(mails(lab))
}

/// Waits for the wave after the restart, and gives all emails so far.
async fn second_wave(lab: &Lab, args: &Args) -> anyhow::Result<Vec<Mail>> {
    let started = Instant::now();
    while mails(lab).len() < UNITS + LEFT && started.elapsed() < Duration::from_secs(args.every) + LATE {
        tokio::time::sleep(LOOK).await;
    }
    // If more follow, they are of the same wave.
    tokio::time::sleep(Duration::from_secs(1)).await;
    Ok(mails(lab))
}

/// Says a level, and waits until the table has it.
async fn say(lab: &Lab, product: &ProductId, name: &str, units: usize) -> anyhow::Result<()> {
    let (_, update) = names(name)?;
    lab.stock(product, &update, units as u64).await?;
    until(lab, product, "its level", |known| known.quantity == Some(units as u64)).await
}

async fn until(
    lab: &Lab,
    product: &ProductId,
    what: &str,
    is_so: impl Fn(&Product) -> bool,
) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        let known = lab.store.products().get(product).await?.context("the product is not known")?;
        if is_so(&known) {
            return Ok(());
        }
        anyhow::ensure!(started.elapsed() < PATIENCE, "{product} waits for {what} in vain");
        tokio::time::sleep(LOOK).await;
    }
}

/// The emails of the product so far, in the order in which SES took them.
fn mails(lab: &Lab) -> Vec<Mail> {
    let of = |mail: &ses_inbox::Captured| {
        let number = mail.to.split_once(".many@")?.0.parse().ok()?;
        Some(Mail { number, at_ms: mail.at_ms })
    };
    lab.ses.captured().iter().filter_map(of).collect()
}

/// The page's head: what is done, and what is promised.
fn head(args: &Args) -> Report {
    let Args { people, every } = args;
    Report::new(
        "waves",
        "Drill: waves",
        format!(
            "{people} people wait for one product, in {SHARDS} shards. {UNITS} units come, and the shop's rules are one email per \
             unit and {every} s from the end of a wave to the next. Then the stock is said to be {LEFT}, every process is \
             stopped, and all is started again on the same data, with a sweep each second; after the second wave the product \
             is sold out. Promised: the first wave tells the {UNITS} who have waited longest, in the order of each shard; the \
             second, at least {every} s later, the next {LEFT}; nobody more, and nobody twice; a wave costs the table at most \
             {MORE_FOR_A_SHARD} call for each shard, and one, more than a restock that only {UNITS} wait for.",
        ),
    )
}

/// What of the emails is not as promised.
fn broken(parts: &Parts, every: Duration) -> Vec<String> {
    let mut broken = Vec::new();
    let told =
        [("the first wave", &parts.first, 0..UNITS), ("the second wave", &parts.second, UNITS..UNITS + LEFT)];
    let mut before = 0;
    for (wave, all, promised) in told {
        let mut numbers: Vec<usize> = all.iter().skip(before).map(|mail| mail.number).collect();
        before = all.len();
        let out_of_order = (0..SHARDS).any(|shard| {
            let of_shard: Vec<usize> =
                numbers.iter().copied().filter(|number| number % SHARDS == shard).collect();
            !of_shard.is_sorted()
        });
        if out_of_order {
            broken.push(format!("{wave} is out of order within a shard"));
        }
        numbers.sort_unstable();
        if !numbers.iter().copied().eq(promised.clone()) {
            let missing = promised.clone().filter(|number| numbers.binary_search(number).is_err()).count();
            let (sent, due) = (numbers.len(), promised.len());
            broken.push(format!(
                "{wave} has {sent} emails and not {due}; {missing} of those whose turn it was have none"
            ));
        }
    }
    let more = parts.sold_out.len().saturating_sub(parts.second.len());
    if more > 0 {
        broken.push(format!("{more} emails after it was sold out"));
    }
    let end = parts.first.iter().map(|mail| mail.at_ms).max();
    let next = parts.second.iter().skip(parts.first.len()).map(|mail| mail.at_ms).min();
    if let Some((end, next)) = end.zip(next)
        && u128::try_from(next - end).unwrap_or_default() < every.as_millis()
    {
        broken.push(format!("the second wave came {} ms after the first", next - end));
    }
    broken
}

/// Holds what was seen against what is promised.
fn judged(args: &Args, parts: &Parts, calls: &Calls, restarted: Duration) -> Report {
    let mut report = head(args);
    report.failures = broken(parts, Duration::from_secs(args.every));
    let (plain, wave): (u64, u64) = (calls.plain.values().sum(), calls.wave.values().sum());
    let most = plain + MORE_FOR_A_SHARD * SHARDS as u64 + 1;
    report.demand(wave <= most, || format!("{wave} calls to the table for a wave, where {most} are enough"));
    let counts = [
        parts.first.len(),
        parts.second.len().saturating_sub(parts.first.len()),
        parts.sold_out.len().saturating_sub(parts.second.len()),
    ];
    let at = |mail: Option<&Mail>| mail.map_or(0, |mail| mail.at_ms);
    let between = at(parts.second.get(parts.first.len())) - at(parts.first.last());
    let figures: [(&str, Value); 9] = [
        ("people who wait", json!(args.people)),
        ("emails of the first wave", json!(counts[0])),
        ("emails of the second wave", json!(counts[1])),
        ("emails after it was sold out", json!(counts[2])),
        ("from the first wave to the second (ms)", json!(between)),
        ("all was started again within (ms)", json!(restarted.as_millis() as u64)),
        ("calls to the table for the first wave", json!(wave)),
        ("calls to the table for a restock that only as many wait for", json!(plain)),
        (
            "calls to the table of the sweep that sees the wave's end, beyond an idle one's",
            json!(calls.sweep.saturating_sub(calls.idle_sweep)),
        ),
    ];
    for (figure, value) in figures {
        report.row(vec![("figure", json!(figure)), ("value", value)]);
    }
    for (what, count) in &calls.wave {
        let beside = calls.plain.get(what).copied().unwrap_or_default();
        let figure = format!("calls of the wave, and of the restock: {what}");
        report.row(vec![("figure", json!(figure)), ("value", json!(format!("{count}, {beside}")))]);
    }
    report.plot = Some(Plot::Lines {
        title: "A waitlist is told in waves",
        x: "seconds",
        y: "emails",
        lines: vec![("emails".to_owned(), steps(&parts.sold_out))],
    });
    report
}

/// How many emails there were by each second, as steps.
fn steps(mails: &[Mail]) -> Vec<(f64, f64)> {
    let since = mails.first().map_or(0, |mail| mail.at_ms);
    let mut line = vec![(0.0, 0.0)];
    for (before, mail) in mails.iter().enumerate() {
        let at = (mail.at_ms - since) as f64 / 1_000.0;
        line.extend([(at, before as f64), (at, before as f64 + 1.0)]);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_secs(10);

    /// The emails as they are promised.
    fn right() -> Parts {
        let mail = |number: usize| Mail { number, at_ms: if number < UNITS { 5 } else { 10_100 } };
        let all: Vec<Mail> = (0..UNITS + LEFT).map(mail).collect();
        Parts { first: all[..UNITS].to_vec(), second: all.clone(), sold_out: all }
    }

    #[test]
    fn waves_as_promised_break_nothing() {
        assert_eq!(broken(&right(), EVERY), Vec::<String>::new());
    }

    #[test]
    fn each_broken_promise_is_found() {
        let spoilt = |spoil: fn(&mut Parts), said: &str| {
            let mut parts = right();
            spoil(&mut parts);
            let broken = broken(&parts, EVERY);
            assert!(broken.iter().any(|promise| promise.contains(said)), "{said}: {broken:?}");
        };
        spoilt(|parts| parts.first.truncate(UNITS - 1), "first wave has 79 emails");
        spoilt(|parts| parts.first[3].number = UNITS, "1 of those whose turn it was have none");
        spoilt(|parts| parts.first[3].number = 4, "1 of those whose turn it was have none");
        spoilt(|parts| parts.first.swap(0, SHARDS), "first wave is out of order");
        spoilt(|parts| parts.second.push(Mail { number: 200, at_ms: 10_100 }), "second wave has 41 emails");
        spoilt(
            |parts| parts.second[UNITS + 1].number = 0,
            "second wave has 40 emails and not 40; 1 of those",
        );
        spoilt(|parts| parts.second[UNITS].at_ms = 9_000, "the second wave came 8995 ms after the first");
        spoilt(
            |parts| parts.sold_out.push(Mail { number: 200, at_ms: 30_000 }),
            "1 emails after it was sold out",
        );
    }
}
