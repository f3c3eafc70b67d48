//! Kills `notify` (SIGKILL) before and after every request it makes to the table, SES and Kafka,
//! one run for each, and then at random, with redeliveries and rebalances beside. What people got
//! is counted from what SES took.

use std::cell::Cell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::cursor::MAX_CALL;
use domain::job::Job;
use domain::{ProductId, RestockId, Shard};
use kafka_poller::{LambdaEndpoint, Poller};
use serde_json::json;

use super::lab::{Counted, Got, Lab, Setup, names};
use super::progress::Progress;
use super::wire::Fate;
use crate::embedded::kafka;
use crate::report::{Plot, Report};
use crate::up::{MAPPINGS, mapping};

/// The most recipients of a call to SES: what a kill may leave in doubt in a shard.
const CALL: u64 = MAX_CALL as u64;
/// How long SES takes for a call: so that there is something to hit between a call and its answer.
const SES_TAKES_MS: u64 = 150;
/// How often it is looked whether a delivery is under way.
const LOOK: Duration = Duration::from_millis(5);
/// How often the sweep comes while killing at random; on AWS it is every minute.
const SWEEP: Duration = Duration::from_secs(10);
/// Subscribers of each restock that is killed at a point: three calls.
const CROWD: usize = 120;
/// Restocks under way at a time while killing at random, and the subscribers of each.
const BESIDE: usize = 6;
const CROWD_AT_RANDOM: usize = 400;
const SHARDS_AT_RANDOM: u16 = 4;

/// What to kill.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The number of random kills (0: kill only before and after each request).
    #[arg(long, default_value_t = 300)]
    random: u32,
    /// Skip the runs that kill before and after each request.
    #[arg(long)]
    no_points: bool,
    /// The number of systems that run side by side while killing at each request.
    #[arg(long, default_value_t = 6)]
    side_by_side: usize,
}

/// One run: where `notify` is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Point {
    number: u64,
    after: bool,
}

impl Point {
    fn when(self) -> &'static str {
        if self.after { "after" } else { "before" }
    }
}

/// What came of a run.
struct Outcome {
    point: Point,
    /// The request that the kill hit. The order differs a little from run to run, so it is noted as it happens; `None`
    /// where this run had fewer requests.
    hit: Option<String>,
    got: Got,
    counted: Counted,
    written_down: usize,
}

/// Kills.
///
/// # Errors
/// When a system cannot be started, or does not come to an end.
pub(super) async fn run(args: Args) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "kill",
        "Drill: kill",
        "notify is killed (SIGKILL) before and after every request it makes to the table, SES and Kafka while it tells \
         people of a restock, one run for each request, and then at random among many restocks, while jobs are delivered \
         twice and consumer groups rebalance. Promised: with ON_UNKNOWN=resend no subscriber is lost but those of a call that \
         was killed twice, who are written down, and only subscribers of a call in doubt get two emails; with skip no subscriber \
         gets two and only those of a call in doubt, which are written down, get none; never more than 50 in doubt for each \
         kill and shard. Kills at random come only while SES has a call that it has not answered; some leave a call in doubt, \
         or else nothing was shown. Meanwhile the sweep of unfinished fan-outs comes every ten seconds.",
    );
    let mut lines = Vec::new();
    for mode in ["resend", "skip"] {
        if !args.no_points {
            lines.push(points(mode, args.side_by_side.max(1), &mut report).await?);
        }
        if args.random > 0 {
            at_random(mode, args.random, &mut report).await?;
        }
    }
    report.plot = (!lines.is_empty()).then_some(Plot::Lines {
        title: "People in doubt after one kill, by where it hit",
        x: "request of the fan-out (before, then after it)",
        y: "people in doubt",
        lines,
    });
    Ok(report)
}

fn setup(mode: &str, processes: usize, shards: u16) -> Setup {
    // Slices of one call: so that jobs are put back in line, too.
    let environment = vec![("ON_UNKNOWN", mode.to_owned()), ("SLICE_MAILS", CALL.to_string())];
    Setup { environment, processes, shards, ..Setup::default() }
}

/// A system whose SES takes its time.
async fn start(mode: &str, processes: usize, shards: u16) -> anyhow::Result<Lab> {
    let lab = Lab::start(setup(mode, processes, shards)).await?;
    lab.ses_faults(&json!({ "latencyMs": SES_TAKES_MS })).await?;
    Ok(lab)
}

/// One run for each request and moment.
async fn points(
    mode: &str,
    side_by_side: usize,
    report: &mut Report,
) -> anyhow::Result<(String, Vec<(f64, f64)>)> {
    // The requests of an undisturbed run, from a cold start on.
    let lab = start(mode, 1, 1).await?;
    let asked = undisturbed(&lab).await?;
    let points: VecDeque<Point> =
        (0..asked).flat_map(|number| [false, true].map(|after| Point { number, after })).collect();
    let progress = Arc::new(Progress::new(points.len(), "kills, one at each request"));
    let (todo, done) = (Arc::new(Mutex::new(points)), Arc::new(Mutex::new(Vec::new())));
    let mut labs = vec![lab];
    while labs.len() < side_by_side {
        labs.push(start(mode, 1, 1).await?);
    }
    let workers = labs.into_iter().map(|lab| {
        let (todo, done, progress) = (todo.clone(), done.clone(), progress.clone());
        async move {
            let next = || todo.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            while let Some(point) = next() {
                let outcome = killed_at(&lab, point).await?;
                let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
                done.push(outcome);
                progress.at(done.len());
            }
            lab.stop().await;
            anyhow::Ok(())
        }
    });
    futures::future::try_join_all(workers).await?;
    let outcomes = std::mem::take(&mut *done.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((mode.to_owned(), reported(mode, &outcomes, report)))
}

/// Reports the runs by what they hit, and gives the people in doubt by where it was.
fn reported(mode: &str, outcomes: &[Outcome], report: &mut Report) -> Vec<(f64, f64)> {
    let mut line = Vec::new();
    let mut by_request = BTreeMap::<(&str, bool), Vec<&Outcome>>::new();
    for outcome in outcomes {
        judge(mode, outcome, report);
        let Point { number, after } = outcome.point;
        if let Some(hit) = &outcome.hit {
            line.push((number as f64 + if after { 0.5 } else { 0.0 }, outcome.counted.in_doubt as f64));
            by_request.entry((hit, after)).or_default().push(outcome);
        }
    }
    line.sort_by(|a, b| a.0.total_cmp(&b.0));
    let in_doubt: u64 = outcomes.iter().map(|run| run.counted.in_doubt).sum();
    report.demand(in_doubt > 0, || format!("{mode}: no kill at a request left a call in doubt"));
    let missed = outcomes.iter().filter(|run| run.hit.is_none()).count();
    // The last requests of a run may not come in another.
    report.demand(missed * 10 <= outcomes.len(), || format!("{mode}: {missed} kills at a request missed"));
    for ((what, after), runs) in by_request {
        report.row(vec![
            ("onUnknown", json!(mode)),
            ("killed", json!(format!("{} {what}", if after { "after" } else { "before" }))),
            ("kills", json!(runs.len())),
            ("atWork", json!(runs.len())),
            ("people", json!(runs.len() * CROWD)),
            ("lost", json!(runs.iter().map(|run| run.got.lost).sum::<usize>())),
            ("twice", json!(runs.iter().map(|run| run.got.doubled).sum::<usize>())),
            ("inDoubt", json!(runs.iter().map(|run| run.counted.in_doubt).sum::<u64>())),
            ("mostInDoubt", json!(runs.iter().map(|run| run.counted.in_doubt).max())),
        ]);
    }
    line
}

/// How many requests a restock takes without a kill.
async fn undisturbed(lab: &Lab) -> anyhow::Result<u64> {
    let (product, restock) = names("undisturbed")?;
    lab.seed(&product, CROWD, |_| ()).await?;
    lab.kill(1.0);
    lab.wire.arm(|_| Fate::Passed);
    lab.stock(&product, &restock, 1).await?;
    lab.settled(&product, &restock).await?;
    Ok(lab.wire.disarm().len() as u64)
}

/// Kills at one request and gives what came of it.
async fn killed_at(lab: &Lab, point: Point) -> anyhow::Result<Outcome> {
    let (product, restock) = names(&format!("{}-{}", point.when(), point.number))?;
    lab.seed(&product, CROWD, |_| ()).await?;
    lab.kill(1.0);
    let hit = Arc::new(Mutex::new(None));
    let (Point { number, after }, noted) = (point, hit.clone());
    lab.wire.arm(move |seen| {
        if seen.number != number {
            return Fate::Passed;
        }
        *noted.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen.what.clone());
        if after { Fate::KilledAfter } else { Fate::KilledBefore }
    });
    lab.stock(&product, &restock, 1).await?;
    lab.settled(&product, &restock).await?;
    lab.wire.disarm();
    let hit = hit.lock().unwrap_or_else(PoisonError::into_inner).take();
    let got = lab.got(&[(product.clone(), CROWD)]).remove(product.as_str()).unwrap_or_default();
    let (counted, written_down) = (lab.counted(&restock).await?, lab.written_down(&restock).await?);
    Ok(Outcome { point, hit, got, counted, written_down })
}

fn judge(mode: &str, outcome: &Outcome, report: &mut Report) {
    let Outcome { point, hit, got, counted, written_down } = outcome;
    let place = || {
        let hit = hit.as_deref().unwrap_or("which never came");
        format!("{mode}, killed {} request {} ({hit})", point.when(), point.number)
    };
    report.demand(counted.in_doubt <= CALL, || format!("{}: {} in doubt", place(), counted.in_doubt));
    report.demand(mode != "resend" || got.lost == 0, || format!("{}: {} lost", place(), got.lost));
    demand_of(mode, *got, *counted, *written_down, &place, report);
}

/// What holds of any restock.
fn demand_of(
    mode: &str,
    got: Got,
    counted: Counted,
    written_down: usize,
    place: &dyn Fn() -> String,
    report: &mut Report,
) {
    match mode {
        "resend" => {
            // Only people who were in doubt twice are passed: two kills at the calls to them.
            report.demand(got.lost <= written_down, || {
                format!("{}: {} lost, {written_down} written down", place(), got.lost)
            });
            report.demand(got.doubled as u64 <= counted.in_doubt, || {
                format!("{}: {} told twice, {} in doubt", place(), got.doubled, counted.in_doubt)
            });
        }
        _ => {
            report.demand(got.doubled == 0, || format!("{}: {} told twice", place(), got.doubled));
            report.demand(got.lost <= written_down, || {
                format!("{}: {} not told, {written_down} written down", place(), got.lost)
            });
        }
    }
}

/// Kills at random while restocks come and go.
async fn at_random(mode: &str, kills: u32, report: &mut Report) -> anyhow::Result<()> {
    let lab = start(mode, 8, SHARDS_AT_RANDOM).await?;
    let progress = Progress::new(kills as usize, "kills at random");
    let mut seen = Troubles::default();
    let mut restocks = Vec::new();
    let started = Instant::now();
    while seen.killed < kills {
        let round = one_round(&lab, restocks.len()).await?;
        restocks.extend(round.iter().cloned());
        let over = Cell::new(false);
        let told = async {
            for (product, restock) in &round {
                lab.settled(product, restock).await?;
            }
            over.set(true);
            anyhow::Ok(())
        };
        // A worker that dies between the ticket of what is left and its publication leaves it to the sweep.
        let told = async {
            tokio::select! {
                told = told => told,
                () = sweeps(&lab) => Ok(()),
            }
        };
        let trouble = troubles(&lab, &round, &mut seen, kills, &over, &progress);
        futures::future::try_join(told, trouble).await?;
    }
    // A job that comes late must find nothing to do.
    tokio::time::sleep(Duration::from_secs(3)).await;
    judge_random(mode, &lab, &restocks, &seen, started.elapsed(), report).await?;
    lab.stop().await;
    Ok(())
}

/// The troubles that there were.
#[derive(Default)]
struct Troubles {
    killed: u32,
    redelivered: u32,
    rebalanced: u32,
}

/// Kills, redelivers and rebalances for half a minute; then the round is let finish.
async fn troubles(
    lab: &Lab,
    round: &[(ProductId, RestockId)],
    seen: &mut Troubles,
    kills: u32,
    over: &Cell<bool>,
    progress: &Progress,
) -> anyhow::Result<()> {
    let mut extra = Vec::new();
    let until = Instant::now() + Duration::from_secs(30);
    while seen.killed < kills && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(rand::random_range(20..250))).await;
        while !lab.wire.is_sending() && !over.get() {
            tokio::time::sleep(LOOK).await;
        }
        if over.get() {
            break;
        }
        lab.kill(0.5);
        seen.killed += 1;
        progress.at(seen.killed as usize);
        let (product, restock) = &round[rand::random_range(0..round.len())];
        if rand::random_range(0..3) == 0 && redeliver(lab, product, restock).await? {
            seen.redelivered += 1;
        }
        if rand::random_range(0..12) == 0 {
            extra.extend(one_member_more(lab).await?);
            seen.rebalanced += 1;
        }
        if extra.len() > 4 {
            stop(&mut extra).await;
            seen.rebalanced += 1;
        }
    }
    stop(&mut extra).await;
    Ok(())
}

/// Holds the random part against what is promised.
async fn judge_random(
    mode: &str,
    lab: &Lab,
    restocks: &[(ProductId, RestockId)],
    seen: &Troubles,
    took: Duration,
    report: &mut Report,
) -> anyhow::Result<()> {
    let products: Vec<_> = restocks.iter().map(|(product, _)| (product.clone(), CROWD_AT_RANDOM)).collect();
    let got = lab.got(&products);
    let (mut lost, mut doubled, mut in_doubt) = (0, 0, 0);
    for (product, restock) in restocks {
        let got = got.get(product.as_str()).copied().unwrap_or_default();
        let (counted, written_down) = (lab.counted(restock).await?, lab.written_down(restock).await?);
        demand_of(mode, got, counted, written_down, &|| format!("{mode}, at random, {product}"), report);
        (lost, doubled, in_doubt) = (lost + got.lost, doubled + got.doubled, in_doubt + counted.in_doubt);
    }
    let (at_work, killed) = (lab.hit(), seen.killed);
    report.demand(at_work > 0, || format!("{mode}, at random: no kill hit a process at work"));
    report.demand(in_doubt > 0, || format!("{mode}, at random: no kill left a call in doubt"));
    let most = u64::from(killed) * CALL * u64::from(SHARDS_AT_RANDOM);
    report
        .demand(in_doubt <= most, || format!("{mode}, at random: {in_doubt} in doubt after {killed} kills"));
    let (redelivered, rebalanced, seconds) = (seen.redelivered, seen.rebalanced, took.as_secs_f64());
    report.row(vec![
        ("onUnknown", json!(mode)),
        (
            "killed",
            json!(format!("at random ({redelivered} redeliveries, {rebalanced} rebalances, {seconds:.0} s)")),
        ),
        ("kills", json!(killed)),
        ("atWork", json!(at_work)),
        ("people", json!(restocks.len() * CROWD_AT_RANDOM)),
        ("lost", json!(lost)),
        ("twice", json!(doubled)),
        ("inDoubt", json!(in_doubt)),
        ("mostInDoubt", json!(null)),
    ]);
    Ok(())
}

/// Sweeps for as long as it is polled.
async fn sweeps(lab: &Lab) {
    loop {
        tokio::time::sleep(SWEEP).await;
        lab.sweep().await;
    }
}

/// Some products that come back at the same time, the first of them with this number.
async fn one_round(lab: &Lab, first: usize) -> anyhow::Result<Vec<(ProductId, RestockId)>> {
    let mut round = Vec::new();
    for number in first..first + BESIDE {
        let (product, restock) = names(&format!("random-{number}"))?;
        lab.seed(&product, CROWD_AT_RANDOM, |_| ()).await?;
        round.push((product, restock));
    }
    for (product, restock) in &round {
        lab.stock(product, restock, 1).await?;
    }
    Ok(round)
}

/// How often a member that finds no broker is started anew: on a busy machine the embedded Kafka may be late.
const MEMBER_TRIES: u32 = 5;

/// Another member of both consumer groups.
async fn one_member_more(lab: &Lab) -> anyhow::Result<Vec<Poller>> {
    let mut pollers = Vec::new();
    for (topic, group) in MAPPINGS {
        let mut tries = 0;
        let poller = loop {
            let mapping = mapping(lab.servers(), topic, group, false);
            match Poller::start(mapping, LambdaEndpoint::Url(lab.api().to_owned())).await {
                Err(_) if tries < MEMBER_TRIES => tries += 1,
                started => break started?,
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        pollers.push(poller);
    }
    Ok(pollers)
}

async fn stop(pollers: &mut Vec<Poller>) {
    for poller in pollers.drain(..) {
        poller.stop().await;
    }
}

/// Puts the job of some shard in line once more, as a redelivery would. False where the restock is
/// not planned yet.
async fn redeliver(lab: &Lab, product: &ProductId, restock: &RestockId) -> anyhow::Result<bool> {
    let known = lab.store.products().get(product).await?;
    let planned = known.filter(|known| known.bound_of.as_ref() == Some(restock));
    let Some((bound, turn)) = planned.and_then(|known| Some((known.reach()?.mail, known.turn))) else {
        return Ok(false);
    };
    let shard = Shard::mail(rand::random_range(0..SHARDS_AT_RANDOM));
    let (restock_id, product_id) = (restock.clone(), product.clone());
    let job = Job { restock_id, product_id, shard, bound, turn, ticket: None };
    lab.produce(kafka::BATCHES, &job.key(), &job.to_json()).await?;
    Ok(true)
}
