//! What 1,000 emails take once a process is warm: processor time, calls, memory. Here it is also checked that all say the
//! same to the same people.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use domain::ShardCount;
use notify_me::report::{Goal, Plot, Report};
use serde_json::json;

use super::{median, ms, round};
use crate::contender::{Contender, Feed, Form, Running};
use crate::rig::{Rig, Waiting, back_in_stock};
use crate::stub::{Account, Said};

const MAILS: usize = 1_000;
/// Lists in one shard: how many wait, and the most calls to the table and to SES for a restock of it.
const SHORT: [(usize, f64, f64); 4] = [(0, 4.0, 0.0), (3, 16.0, 1.0), (50, 16.0, 1.0), (1_000, 34.0, 20.0)];
const LIMIT: Duration = Duration::from_secs(300);

/// What one invocation took.
struct Round {
    cpu: f64,
    table: BTreeMap<String, u64>,
    ses: BTreeMap<&'static str, u64>,
    said: BTreeMap<String, Said>,
}

impl Round {
    fn table_calls(&self) -> u64 {
        self.table.values().sum()
    }

    fn ses_calls(&self) -> u64 {
        self.ses.iter().filter(|(name, _)| name.starts_with("Send")).map(|(_, count)| count).sum()
    }
}

/// Measures the contenders.
///
/// # Errors
/// When a contender does not do its work, or not the same work.
pub(crate) async fn run(rig: &Rig) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "warm",
        "1,000 mails from a warm process",
        "One stock update after another, 1,000 waiting for each, after some that do not count. Every contender's mails \
         are compared: the same people, the same words, once each. Medians; the factor is against ours.",
    );
    let contenders = rig.with_ours(|_| true);
    let mut bars = Vec::new();
    let mut reference: Option<BTreeMap<String, Said>> = None;
    let mut base = 1.0;
    for contender in &contenders {
        let (rounds, peak) = measure(rig, contender).await?;
        let last = rounds.last().context("nothing was measured")?;
        match &reference {
            None => reference = Some(last.said.clone()),
            Some(reference) => same(reference, &last.said).with_context(|| contender.label())?,
        }
        let cpu = median(&rounds.iter().map(|round| round.cpu).collect::<Vec<_>>());
        if contender.ours {
            base = cpu.max(0.01);
            report.goal(Goal::at_most("CPU for 1,000 mails, a restock of their own, warm (ms)", 4.0), cpu);
            counted(&mut report, last);
        }
        crate::progress(format!("warm: {}: {cpu} ms of CPU", contender.label()));
        report.row(vec![
            ("contender", json!(contender.label())),
            ("CPU for 1,000 mails (ms)", json!(cpu)),
            ("factor", json!(round(cpu / base))),
            ("table calls", json!(last.table_calls())),
            ("SES calls", json!(last.ses_calls())),
            ("peak memory (MB)", json!(peak)),
        ]);
        bars.push((contender.label(), cpu));
    }
    report.plot = Some(Plot::Bars { title: "CPU for 1,000 mails, warm", unit: "ms", bars });
    Ok(report)
}

/// Our calls for 1,000 emails, which no machine's mood changes. In 8 shards, 1,000 are 24 calls of 41 or 42; what a
/// restock costs once is in the table's count.
///
/// # Errors
/// When they are more than promised.
pub(crate) async fn counts(rig: &Rig) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "counts",
        "Calls for a restock",
        "What a restock asks of the table and of SES: of a product that 1,000 wait for in 8 shards, and of those that have \
         one shard, as every list has until it is long.",
    );
    let long = List { people: MAILS, shards: ShardCount::DEFAULT };
    let round = calls(rig, &mut report, long).await?;
    counted(&mut report, &round);
    for (people, table, ses) in SHORT {
        let round = calls(rig, &mut report, List { people, shards: ShardCount::ONE }).await?;
        let to = |what: &str| format!("calls to {what} for a restock that {people} wait for in one shard");
        report.goal(Goal::at_most(&to("the table"), table), round.table_calls() as f64);
        report.goal(Goal::at_most(&to("SES"), ses), round.ses_calls() as f64);
    }
    Ok(report)
}

/// Measures the calls for a restock of a list, and reports them one operation a row.
async fn calls(rig: &Rig, report: &mut Report, list: List) -> anyhow::Result<Round> {
    let (mut rounds, _) = measure_times(rig, &rig.notify(), list, 1, 1).await?;
    let round = rounds.pop().context("nothing was measured")?;
    let table = round.table.iter().map(|(name, count)| (name.as_str(), count));
    for (operation, count) in table.chain(round.ses.iter().map(|(name, count)| (*name, count))) {
        report.row(vec![
            ("waiting", json!(list.people)),
            ("shards", json!(list.shards.get())),
            ("operation", json!(operation)),
            ("calls", json!(count)),
        ]);
    }
    Ok(round)
}

fn counted(report: &mut Report, round: &Round) {
    report.goal(Goal::at_most("calls to SES for 1,000 mails in 8 shards", 24.0), round.ses_calls() as f64);
    report.goal(
        Goal::at_most("calls to the table for 1,000 mails in 8 shards", 130.0),
        round.table_calls() as f64,
    );
}

async fn measure(rig: &Rig, contender: &Contender) -> anyhow::Result<(Vec<Round>, f64)> {
    let (before, times) = match (contender.ours, contender.form) {
        (true, _) => (3, 15),
        (_, Form::Tuned) => (6, 5),
        (_, Form::Naive) => (2, 2),
    };
    let list = List { people: MAILS, shards: ShardCount::DEFAULT };
    measure_times(rig, contender, list, before, times).await
}

/// How many wait for a product, in how many shards.
#[derive(Clone, Copy)]
struct List {
    people: usize,
    shards: ShardCount,
}

async fn measure_times(
    rig: &Rig,
    contender: &Contender,
    list: List,
    before: usize,
    times: usize,
) -> anyhow::Result<(Vec<Round>, f64)> {
    rig.stub.ses.become_account(Account::default());
    let from = if contender.feed == Feed::Kafka { Some(rig.new_topic(1).await?) } else { None };
    let topic = from.as_ref().map(|from| from[1].1.clone());
    let mut running =
        Running::start(contender, &rig.stub, from.as_ref().map_or(&[], |from| from.as_slice())).await?;
    if topic.is_none() {
        running.ready().await?;
    }
    let mut rounds = Vec::new();
    for number in 0..before + times {
        let waiting = rig.wait_in(contender, list.people, list.shards)?;
        rig.stub.ses.forget();
        rig.stub.tables.take_calls();
        let cpu = running.cpu()?;
        tell(rig, topic.as_deref(), &mut running, &waiting).await?;
        let cpu = running.cpu()?.saturating_sub(cpu);
        if number >= before {
            let said = rig.stub.ses.told(&waiting.people)?;
            rounds.push(Round {
                cpu: ms(cpu),
                table: rig.stub.tables.take_calls(),
                ses: rig.stub.ses.calls().0,
                said,
            });
        }
    }
    let peak = round(running.peak_mb()?);
    running.stop().await;
    Ok((rounds, peak))
}

async fn tell(
    rig: &Rig,
    topic: Option<&str>,
    running: &mut Running,
    waiting: &Waiting,
) -> anyhow::Result<()> {
    match topic {
        None => {
            running.invoke(&back_in_stock(&waiting.product)).await?;
        }
        Some(topic) => rig.publish(topic, waiting).await?,
    }
    if !waiting.people.is_empty() {
        rig.stub.ses.accepted(waiting.people.len(), LIMIT).await?;
    }
    if topic.is_some() {
        // Its last write to the table comes after its last email.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    Ok(())
}

/// Whether the same people were told the same.
fn same(reference: &BTreeMap<String, Said>, other: &BTreeMap<String, Said>) -> anyhow::Result<()> {
    for ((address, expected), (other_address, said)) in reference.iter().zip(other) {
        ensure!(address == other_address, "other people were told");
        for (name, value) in expected {
            let found = said.get(name).map_or("nothing", String::as_str);
            ensure!(found == value, "{name} is {found:?} in an email, and {value:?} in ours");
        }
        let more = said.keys().find(|name| !expected.contains_key(*name));
        ensure!(more.is_none(), "{more:?} is in an email, and not in ours");
    }
    Ok(())
}
