//! An inventory that says its level every second while many subscribers are emailed, delivers a tenth of its records twice, and
//! whose topics are replayed by a second consumer group meanwhile. None of it may leave more jobs than the fan-out itself needs,
//! hold up another product, or delay the sell-out.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use domain::{ProductId, RestockId};
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
    let inventory = Inventory { lab: &lab, product: &many, said: 0 };
    let before = records(&lab, kafka::BATCHES).await?;
    let mut feed = Feed {
        inventory,
        people,
        started: Instant::now(),
        second: Instant::now(),
        line: vec![(0.0, 0.0)],
        progress: Progress::new(people, "emails"),
        replay: Vec::new(),
    };
    feed.inventory.says(people as u64).await?;
    let few_since = feed.until_two_thirds(&few, &few_back).await?;
    let first_seconds = feed.started.elapsed().as_secs();
    let (in_table, late) = feed.sell_out().await?;
    let second_seconds = feed.come_back().await?;
    let Feed { inventory: Inventory { said, .. }, line, mut replay, .. } = feed;
    stop(&mut replay).await;
    // Jobs that come late must find nothing to do.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let jobs = records(&lab, kafka::BATCHES).await? - before;
    let last = lab.ses.of_restock(few_back.as_str()).into_iter().max();
    let few_waited = last
        .and_then(|at| u64::try_from(at - few_since).ok())
        .context("the other product never came back")?;
    let few_waited = Duration::from_millis(few_waited);
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

/// The drill while it runs.
struct Feed<'a> {
    inventory: Inventory<'a>,
    people: usize,
    started: Instant,
    /// When the last point of the line was taken.
    second: Instant,
    /// Thousands of emails by seconds.
    line: Vec<(f64, f64)>,
    progress: Progress,
    /// The consumer group that replays the topics.
    replay: Vec<Poller>,
}

impl Feed<'_> {
    fn sent(&self) -> usize {
        self.inventory.lab.ses.counts().mails
    }

    /// Takes a point of the line each second, and gives whether it did.
    fn point(&mut self) -> bool {
        let sent = self.sent();
        self.progress.at(sent);
        let is_due = self.second.elapsed() >= Duration::from_secs(1);
        if is_due {
            self.second = Instant::now();
            self.line.push((self.started.elapsed().as_secs_f64(), sent as f64 / 1_000.0));
        }
        is_due
    }

    /// Says the falling level each second until two thirds are emailed. Gives when the other product came back, in Unix
    /// milliseconds.
    async fn until_two_thirds(&mut self, few: &ProductId, few_back: &RestockId) -> anyhow::Result<i64> {
        let (mut level, mut replayed_at, mut few_since) = (self.people as u64, None, None);
        loop {
            tokio::time::sleep(LOOK).await;
            if self.point() {
                level -= 1;
                self.inventory.says(level).await?;
            }
            let (sent, lab) = (self.sent(), self.inventory.lab);
            match replayed_at {
                None if sent >= self.people / 4 => {
                    self.replay = replays(lab).await?;
                    replayed_at = Some(Instant::now());
                }
                Some(at) if Instant::now() >= at + REPLAY => stop(&mut self.replay).await,
                _ => {}
            }
            if few_since.is_none() && sent >= self.people / 3 {
                few_since = Some(jiff::Timestamp::now().as_millisecond());
                lab.stock(few, few_back, 1).await?;
            }
            if sent >= self.people * 2 / 3 {
                return few_since.context("the other product never came back");
            }
            anyhow::ensure!(self.started.elapsed() < PATIENCE, "it stands still at {sent}");
        }
    }

    /// Sells out. Gives how soon that was in the table, and the emails that came more than a second later.
    async fn sell_out(&mut self) -> anyhow::Result<(Duration, usize)> {
        let Inventory { lab, product, .. } = self.inventory;
        let sold_out = Instant::now();
        self.inventory.says(0).await?;
        while lab.store.products().get(product).await?.is_some_and(|known| known.in_stock()) {
            anyhow::ensure!(sold_out.elapsed() < PATIENCE, "the sell-out never comes to the table");
            tokio::time::sleep(LOOK).await;
        }
        let in_table = sold_out.elapsed();
        tokio::time::sleep(SELL_OUT).await;
        let left_alone = self.sent();
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok((in_table, self.sent() - left_alone))
    }

    /// Comes back for the rest. Gives how many seconds it took.
    async fn come_back(&mut self) -> anyhow::Result<u64> {
        let back = Instant::now();
        self.inventory.says(self.people as u64).await?;
        while self.sent() < self.people + FEW {
            anyhow::ensure!(back.elapsed() < PATIENCE, "it stands still at {}", self.sent());
            tokio::time::sleep(LOOK).await;
            self.point();
        }
        Ok(back.elapsed().as_secs())
    }
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
