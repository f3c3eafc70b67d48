//! An inventory that says its level every second while many subscribers are emailed, delivers a tenth of its records twice, and
//! whose topics are replayed by a second consumer group meanwhile. None of it may leave more jobs than the fan-out itself needs,
//! hold up another product, or delay the sell-out.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use domain::ProductId;
use kafka_poller::{LambdaEndpoint, Poller};
use serde_json::{Value, json};

use super::lab::{Got, Lab, Setup, names};
use super::progress::Progress;
use crate::embedded::kafka;
use crate::report::{Plot, Report};
use crate::up::mapping;

const SHARDS: u16 = 8;
/// How long a worker keeps a shard before the rest goes back in line.
const SLICE_SECONDS: u64 = 2;
/// Every so many-th record is delivered twice.
const TWICE: usize = 10;
/// Subscribers of the small product, and how long they may wait.
const FEW: usize = 3;
const FEW_WAIT: Duration = Duration::from_secs(2);
/// How soon the sell-out must be in the table, and SES be left alone.
const SELL_OUT: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);
/// How long the topics are replayed: far longer than it takes to read what lies there.
const REPLAY: Duration = Duration::from_secs(5);
/// How long nothing may happen before the drill gives up.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many subscribers, and how fast.
#[derive(clap::Args)]
pub(super) struct Args {
    /// How many subscribers wait for the product.
    #[arg(long, default_value_t = 100_000)]
    people: usize,
    /// Emails that SES takes in a second.
    #[arg(long, default_value_t = 5_000)]
    rate: u32,
}

/// The inventory: what it has said so far, to say some of it again.
struct Inventory<'a> {
    lab: &'a Lab,
    product: &'a ProductId,
    said: usize,
}

impl Inventory<'_> {
    /// Says the level, as a producer does that names no restock; every tenth record comes twice.
    async fn says(&mut self, level: u64) -> anyhow::Result<()> {
        let value =
            json!({ "productId": self.product, "quantity": level, "occurredAt": jiff::Timestamp::now() })
                .to_string();
        self.said += 1;
        for _ in 0..=usize::from(self.said.is_multiple_of(TWICE)) {
            self.lab.produce(kafka::RESTOCKS, self.product.as_str(), &value).await?;
        }
        Ok(())
    }
}

/// Runs it.
///
/// # Errors
/// When the system cannot be started, or does not come to an end.
pub(super) async fn run(args: Args) -> anyhow::Result<Report> {
    let people = args.people;
    let environment = vec![
        ("RESERVED_PERCENT", "0".to_owned()),
        ("SLICE_SECONDS", SLICE_SECONDS.to_string()),
        ("SEND_RATE", args.rate.to_string()),
    ];
    let account = ses_inbox::Options { max_send_rate: f64::from(args.rate) * 1.2, ..Default::default() };
    let lab = Lab::start(Setup { environment, ses: account, shards: SHARDS, ..Setup::default() }).await?;
    let ((many, _), (few, few_back)) = (names("many")?, names("few")?);
    {
        let progress = Progress::new(people, "subscribers");
        lab.seed(&many, people, |written| progress.at(written)).await?;
        lab.seed(&few, FEW, |_| ()).await?;
    }
    let mut inventory = Inventory { lab: &lab, product: &many, said: 0 };
    let before = records(&lab, kafka::BATCHES).await?;
    let started = Instant::now();
    let progress = Progress::new(people, "emails");
    let mut line = vec![(0.0, 0.0)];
    let mut level = people as u64;
    inventory.says(level).await?;
    let (mut second, mut few_since) = (Instant::now(), None);
    let (mut replayed_at, mut replay) = (None, Vec::new());
    // Until two thirds are emailed.
    loop {
        tokio::time::sleep(LOOK).await;
        let sent = lab.ses.counts().mails;
        progress.at(sent);
        if second.elapsed() >= Duration::from_secs(1) {
            second = Instant::now();
            line.push((started.elapsed().as_secs_f64(), sent as f64 / 1_000.0));
            level -= 1;
            inventory.says(level).await?;
        }
        match replayed_at {
            None if sent >= people / 4 => {
                replay = replays(&lab).await?;
                replayed_at = Some(Instant::now());
            }
            Some(at) if at.elapsed() >= REPLAY => stop(&mut replay).await,
            _ => {}
        }
        if few_since.is_none() && sent >= people / 3 {
            few_since = Some(jiff::Timestamp::now().as_millisecond());
            lab.stock(&few, &few_back, 1).await?;
        }
        if sent >= people * 2 / 3 {
            break;
        }
        anyhow::ensure!(started.elapsed() < PATIENCE, "it stands still at {sent}");
    }
    // The sell-out.
    let sold_out = Instant::now();
    inventory.says(0).await?;
    while lab.store.products().get(&many).await?.is_some_and(|known| known.in_stock()) {
        anyhow::ensure!(sold_out.elapsed() < PATIENCE, "the sell-out never comes to the table");
        tokio::time::sleep(LOOK).await;
    }
    let in_table = sold_out.elapsed();
    tokio::time::sleep(SELL_OUT).await;
    let left_alone = lab.ses.counts().mails;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let late = lab.ses.counts().mails - left_alone;
    let first_seconds = sold_out.duration_since(started).as_secs();
    // And back.
    let back = Instant::now();
    inventory.says(people as u64).await?;
    let all = people + FEW;
    while lab.ses.counts().mails < all {
        anyhow::ensure!(back.elapsed() < PATIENCE, "it stands still at {}", lab.ses.counts().mails);
        tokio::time::sleep(LOOK).await;
        progress.at(lab.ses.counts().mails);
        if second.elapsed() >= Duration::from_secs(1) {
            second = Instant::now();
            line.push((started.elapsed().as_secs_f64(), lab.ses.counts().mails as f64 / 1_000.0));
        }
    }
    let second_seconds = back.elapsed().as_secs();
    stop(&mut replay).await;
    // Jobs that come late must find nothing to do.
    tokio::time::sleep(Duration::from_secs(3)).await;
    drop(progress);
    let jobs = records(&lab, kafka::BATCHES).await? - before;
    let said = inventory.said;
    let few_waited = lab.ses.of_restock(few_back.as_str()).into_iter().max().zip(few_since);
    let few_waited =
        few_waited.and_then(|(at, since)| u64::try_from(at - since).ok()).map(Duration::from_millis);
    let few_waited = few_waited.context("the other product never came back")?;
    let got = lab.got(&[(many.clone(), people), (few.clone(), FEW)]);
    let got = got.values().fold(Got::default(), |sum, got| Got {
        lost: sum.lost + got.lost,
        doubled: sum.doubled + got.doubled,
    });
    lab.stop().await;

    // Each fan-out begins with a job a shard, and each slice of each shard may leave one.
    let slices = first_seconds.div_ceil(SLICE_SECONDS) + second_seconds.div_ceil(SLICE_SECONDS);
    let most_jobs = i64::from(SHARDS) * (2 + i64::try_from(slices)?);
    Ok(judged(Measured { people, got, said, jobs, most_jobs, few_waited, in_table, late, line }))
}

/// The page's head: what is done, and what is promised.
fn head(people: usize) -> Report {
    Report::new(
        "feed",
        "Drill: feed",
        format!(
            "{people} subscribers wait for one product, in {SHARDS} shards. It comes back, and from then on the inventory says \
             its falling level every second; every tenth record is delivered twice, and for {} s a second consumer group \
             replays both topics from their beginning. When a third is emailed, another product that {FEW} wait for comes back; at two \
             thirds the product is sold out, and later it comes back for the rest. Promised: no more job records than shards, \
             for each of the two restocks, and slices of {SLICE_SECONDS} s; the {FEW} are emailed within {} s; the sell-out \
             is in the table within {} s, and SES gets no more emails from a second later on; \
             every subscriber is emailed exactly once.",
            REPLAY.as_secs(),
            FEW_WAIT.as_secs(),
            SELL_OUT.as_secs(),
        ),
    )
}

/// What the drill saw.
struct Measured {
    people: usize,
    got: Got,
    /// Stock updates.
    said: usize,
    /// Job records, and how many are enough.
    jobs: i64,
    most_jobs: i64,
    few_waited: Duration,
    /// How soon the sell-out was in the table.
    in_table: Duration,
    /// Emails more than a second after the sell-out.
    late: usize,
    /// Thousands of emails by seconds.
    line: Vec<(f64, f64)>,
}

/// Holds what was seen against what is promised.
fn judged(measured: Measured) -> Report {
    let Measured { people, got, said, jobs, most_jobs, few_waited, in_table, late, line } = measured;
    let mut report = head(people);
    report.demand(got == Got::default(), || format!("{} lost, {} emailed twice", got.lost, got.doubled));
    report.demand(jobs <= most_jobs, || format!("{jobs} job records, where {most_jobs} are enough"));
    report.demand(few_waited <= FEW_WAIT, || format!("the {FEW} waited for {few_waited:?}"));
    report.demand(in_table <= SELL_OUT, || format!("the sell-out took {in_table:?}"));
    report.demand(late == 0, || format!("{late} emails more than a second after the sell-out"));
    let figures: [(&str, Value); 9] = [
        ("subscribers", json!(people)),
        ("lost", json!(got.lost)),
        ("twice", json!(got.doubled)),
        ("stock updates", json!(said)),
        ("job records", json!(jobs)),
        ("job records that are enough", json!(most_jobs)),
        ("the other product's subscribers waited (ms)", json!(few_waited.as_millis() as u64)),
        ("the sell-out was in the table after (ms)", json!(in_table.as_millis() as u64)),
        ("emails more than a second after it", json!(late)),
    ];
    for (figure, value) in figures {
        report.row(vec![("figure", json!(figure)), ("value", value)]);
    }
    report.plot = Some(Plot::Lines {
        title: "Emails while the inventory says its level",
        x: "seconds",
        y: "thousands of emails",
        lines: vec![("thousands of emails".to_owned(), line)],
    });
    report
}

/// A second consumer group that reads both topics from their beginning, as a replay does.
async fn replays(lab: &Lab) -> anyhow::Result<Vec<Poller>> {
    let mut pollers = Vec::new();
    for topic in [kafka::RESTOCKS, kafka::BATCHES] {
        let mapping = mapping(lab.servers(), topic, &format!("replay-{topic}"), false);
        pollers.push(Poller::start(mapping, LambdaEndpoint::Url(lab.api().to_owned())).await?);
    }
    Ok(pollers)
}

/// Stops the pollers that are there.
async fn stop(pollers: &mut Vec<Poller>) {
    for poller in pollers.drain(..) {
        poller.stop().await;
    }
}

/// How many records a topic has seen.
async fn records(lab: &Lab, topic: &'static str) -> anyhow::Result<i64> {
    let servers = lab.servers().to_owned();
    Ok(tokio::task::spawn_blocking(move || kafka::written(&servers, topic)).await??)
}
