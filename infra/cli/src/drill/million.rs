//! Tells a million people of one product, some of them throttled by SES on the way, while three
//! wait for another product: the emails that each got, the calls that it took, the memory and the CPU.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use domain::{ProductId, RestockId};
use serde_json::{Value, json};

use super::lab::{Lab, Setup, address, names};
use super::progress::Progress;
use super::wire::Fate;
use crate::report::{Plot, Report};

/// Every so many-th is throttled once: 2 %.
const THROTTLED: usize = 50;
/// The calls that 1,000 emails may take, at most.
const TABLE_CALLS: f64 = 26.0;
const SES_CALLS: f64 = 20.4;
/// The shards of a waitlist.
const SHARDS: usize = 8;
/// The subscribers of the other product, and how long they may have to wait.
const FEW: usize = 3;
const FEW_WAIT: Duration = Duration::from_secs(5);
/// How often it is looked.
const LOOK: Duration = Duration::from_secs(1);
/// How much more memory the processes may take in the end than when a quarter is told.
const GROWTH: f64 = 1.25;

/// How many people.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The number of subscribers.
    #[arg(long, default_value_t = 1_000_000)]
    people: usize,
    /// The number of recipients that SES accepts per second.
    #[arg(long, default_value_t = 50_000.0)]
    rate: f64,
}

/// The processes of `notify`, as `ps` sees them.
#[derive(Default, Clone, Copy)]
struct Load {
    processes: usize,
    /// Of all together, in KiB.
    memory: u64,
    cpu_seconds: u64,
}

/// Runs it.
///
/// # Errors
/// When the system cannot be started, or does not come to an end.
pub(super) async fn run(args: Args) -> anyhow::Result<Report> {
    let people = args.people;
    let environment = vec![("RESERVED_PERCENT", "0".to_owned())];
    let account = ses_inbox::Options { max_send_rate: args.rate, ..ses_inbox::Options::default() };
    let lab =
        Lab::start(Setup { environment, ses: account, shards: SHARDS as u16, ..Setup::default() }).await?;
    let ((many, many_back), (few, few_back)) = (names("many")?, names("few")?);
    {
        let progress = Progress::new(people, "people ask to be told");
        lab.seed(&many, people, |written| progress.at(written)).await?;
        lab.seed(&few, FEW, |_| ()).await?;
    }
    throttle_some(&lab, &many, people).await?;
    let calls = Arc::new(Mutex::new(BTreeMap::<String, u64>::new()));
    let counting = calls.clone();
    lab.wire.arm(move |seen| {
        *counting.lock().unwrap_or_else(PoisonError::into_inner).entry(seen.what.clone()).or_default() += 1;
        Fate::Passed
    });

    let before = load();
    lab.stock(&many, &many_back, 1).await?;
    let started = Instant::now();
    let Told { sent, memory, few_waited } = follow(&lab, people, (&few, &few_back)).await?;
    let seconds = started.elapsed().as_secs_f64();
    lab.settled(&many, &many_back).await?;
    let after = load();
    lab.wire.disarm();

    let got = lab.got(&[(many.clone(), people), (few.clone(), FEW)]);
    let got = got.values().fold((0, 0), |sum, got| (sum.0 + got.lost, sum.1 + got.doubled));
    let counts = lab.ses.counts();
    lab.stop().await;
    let calls = std::mem::take(&mut *calls.lock().unwrap_or_else(PoisonError::into_inner));
    let cpu = after.cpu_seconds.saturating_sub(before.cpu_seconds);
    let throttled = counts.throttled;
    Ok(judged(Measured { people, got, seconds, cpu, throttled, calls, few_waited, sent, memory }))
}

/// What was seen while they were told.
struct Told {
    sent: Vec<(f64, f64)>,
    memory: Vec<(f64, f64)>,
    few_waited: Duration,
}

/// Looks on until everybody is told, and has the other product come back on the way.
async fn follow(lab: &Lab, people: usize, (few, few_back): (&ProductId, &RestockId)) -> anyhow::Result<Told> {
    let started = Instant::now();
    let (mut sent, mut memory) = (vec![(0.0, 0.0)], Vec::new());
    let mut few_waited = None;
    let progress = Progress::new(people, "people are told");
    let mut last = (Instant::now(), 0);
    loop {
        tokio::time::sleep(LOOK).await;
        let told = lab.ses.counts().mails;
        progress.at(told);
        let (at, now) = (started.elapsed().as_secs_f64(), load());
        sent.push((at, told as f64 / 1_000.0));
        memory.push((at, now.memory as f64 / 1_024.0 / now.processes.max(1) as f64));
        if few_waited.is_none() && told >= people / 3 {
            few_waited = Some(beside(lab, few, few_back).await?);
        }
        if told >= people + FEW {
            break;
        }
        if told > last.1 {
            last = (Instant::now(), told);
        }
        anyhow::ensure!(last.0.elapsed() < Duration::from_secs(120), "it stands still at {told}");
    }
    let few_waited = few_waited.context("the other product never came back")?;
    Ok(Told { sent, memory, few_waited })
}

/// Has SES throttle one in [`THROTTLED`] the first time.
async fn throttle_some(lab: &Lab, many: &ProductId, people: usize) -> anyhow::Result<()> {
    let throttled = (0..people).step_by(THROTTLED);
    let throttled =
        throttled.map(|number| (address(many, number), json!({ "status": "ACCOUNT_THROTTLED", "times": 1 })));
    lab.ses_faults(&json!({ "statuses": throttled.collect::<serde_json::Map<_, _>>() })).await
}

/// The page's head: what is done, and what is promised.
fn head(people: usize) -> Report {
    Report::new(
        "million",
        "Drill: million",
        format!(
            "{people} people wait for one product, in {SHARDS} shards; SES throttles 2 % of them once. When a third is told, \
             another product that three wait for comes back too. Promised: every subscriber gets one email; at most \
             {TABLE_CALLS} calls to the table and {SES_CALLS} to SES for 1,000 mails (beside one for each of the three, and one \
             at the end of each shard for whom SES throttled last); the memory does not grow with the list; the three do not \
             wait for the million."
        ),
    )
}

/// What the drill saw.
struct Measured {
    people: usize,
    /// Subscribers without an email, and those with more than one.
    got: (usize, usize),
    seconds: f64,
    /// Of all processes of `notify`, in seconds.
    cpu: u64,
    /// Calls to SES that were throttled as a whole.
    throttled: u64,
    /// How often each kind of request was made.
    calls: BTreeMap<String, u64>,
    few_waited: Duration,
    /// Thousands of emails by seconds.
    sent: Vec<(f64, f64)>,
    /// MB of a process by seconds.
    memory: Vec<(f64, f64)>,
}

/// Holds what was seen against what is promised.
fn judged(measured: Measured) -> Report {
    let Measured { people, got, seconds, cpu, throttled, calls, few_waited, sent, memory } = measured;
    let mut report = head(people);
    let thousands = (people + FEW) as f64 / 1_000.0;
    let per_thousand = |kind: &str| {
        let sum: u64 = calls.iter().filter(|(what, _)| what.starts_with(kind)).map(|(_, count)| count).sum();
        (sum as f64 / thousands * 100.0).round() / 100.0
    };
    let (table, mail, records) =
        (per_thousand("table"), per_thousand("SES Send"), per_thousand("Kafka Produce"));
    let quarter = memory.len() / 4;
    let most = |part: &[(f64, f64)]| part.iter().map(|(_, mb)| *mb).fold(0.0, f64::max);
    let (early, late) =
        (most(&memory[..=quarter.min(memory.len() - 1)]), most(&memory[memory.len() - quarter.max(1)..]));

    report.demand(got == (0, 0), || format!("{} lost, {} told twice", got.0, got.1));
    report.demand(table <= TABLE_CALLS, || format!("{table} calls to the table for 1,000 mails"));
    let sends: u64 =
        calls.iter().filter(|(what, _)| what.starts_with("SES Send")).map(|(_, count)| count).sum();
    let most = (SES_CALLS * people as f64 / 1_000.0).ceil() as u64 + (SHARDS + FEW) as u64;
    report.demand(sends <= most, || format!("{mail} calls to SES for 1,000 mails"));
    report.demand(late <= early * GROWTH, || format!("from {early:.0} to {late:.0} MB a process"));
    report.demand(few_waited <= FEW_WAIT, || format!("the three waited for {few_waited:?}"));
    let figures: [(&str, Value); 14] = [
        ("people", json!(people)),
        ("lost", json!(got.0)),
        ("twice", json!(got.1)),
        ("seconds", json!((seconds * 10.0).round() / 10.0)),
        ("mails a second", json!((people as f64 / seconds).round())),
        ("CPU seconds of notify", json!(cpu)),
        ("CPU ms for 1,000 mails", json!((cpu as f64 * 1_000.0 / thousands * 10.0).round() / 10.0)),
        ("calls to the table for 1,000 mails", json!(table)),
        ("calls to SES for 1,000 mails", json!(mail)),
        ("records for 1,000 mails", json!(records)),
        ("whole calls throttled", json!(throttled)),
        ("memory of a process, first quarter (MB)", json!(early.round())),
        ("memory of a process, last quarter (MB)", json!(late.round())),
        ("the three waited (ms)", json!(few_waited.as_millis() as u64)),
    ];
    for (figure, value) in figures {
        report.row(vec![("figure", json!(figure)), ("value", json!(value))]);
    }
    for (what, count) in &calls {
        report.row(vec![("figure", json!(format!("calls: {what}"))), ("value", json!(count))]);
    }
    report.plot = Some(Plot::Lines {
        title: "A million people are told",
        x: "seconds",
        y: "thousands told; MB of a process",
        lines: vec![("thousands told".to_owned(), sent), ("memory of a process, MB".to_owned(), memory)],
    });
    report
}

/// Lets the other product come back, and gives how long its three waited.
async fn beside(lab: &Lab, product: &ProductId, restock: &RestockId) -> anyhow::Result<Duration> {
    let before = jiff::Timestamp::now().as_millisecond();
    lab.stock(product, restock, 1).await?;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mails = lab.ses.of_restock(restock.as_str());
        if mails.len() >= FEW {
            let last = mails.into_iter().max().unwrap_or(before);
            return Ok(Duration::from_millis(u64::try_from(last - before).unwrap_or_default()));
        }
        if jiff::Timestamp::now().as_millisecond() - before > 60_000 {
            return Ok(Duration::from_secs(60));
        }
    }
}

/// What the processes of `notify` take now.
fn load() -> Load {
    let own = std::process::id().to_string();
    let listed = std::process::Command::new("ps").args(["-A", "-o", "ppid=,rss=,cputimes=,args="]).output();
    let listed =
        listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let mut load = Load::default();
    for line in listed.lines().filter(|line| line.ends_with("function notify")) {
        let mut words = line.split_whitespace();
        if words.next() != Some(&own) {
            continue;
        }
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or_default();
        load.processes += 1;
        load.memory += number();
        load.cpu_seconds += number();
    }
    load
}
