//! One worker, as fast as it can while every call to SES takes 50 ms.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use notify_me::report::{Goal, Plot, Report};
use serde_json::json;

use super::round;
use crate::contender::{Contender, Feed, Form, Running};
use crate::rig::{Rig, back_in_stock, jobs};
use crate::stub::Account;

const PEOPLE: usize = 60_000;
/// For contenders that send one email after the other.
const FEW: usize = 200;
const LATENCY: Duration = Duration::from_millis(50);
const LIMIT: Duration = Duration::from_secs(300);

/// Measures the contenders.
///
/// # Errors
/// When a contender does not do its work.
pub(crate) async fn run(rig: &Rig) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "throughput",
        "One worker, SES answering after 50 ms",
        "One process, nothing paces it, and every call to SES takes 50 ms. Mails a second between the first and the last \
         of them. Ours has the slices of one restock in one invocation, as the topic of jobs hands them out, with claims and \
         budget on.",
    );
    let contenders = rig.with_ours(|one| one.feed == Feed::Runtime);
    let mut bars = Vec::new();
    for contender in &contenders {
        let people = if contender.form == Form::Naive { FEW } else { PEOPLE };
        let (rate, cpu) = measure(rig, contender, people).await?;
        if contender.ours {
            report.goal(Goal::at_least("mails a second, one worker, SES at 50 ms", 5_000.0), rate);
            report.goal(Goal::at_most("CPU for 1,000 mails, of a list of 60,000 (ms)", 4.0), cpu);
        }
        crate::progress(format!("throughput: {}: {rate} mails a second", contender.label()));
        report.row(vec![
            ("contender", json!(contender.label())),
            ("people", json!(people)),
            ("mails a second", json!(rate)),
            ("CPU for 1,000 mails (ms)", json!(cpu)),
        ]);
        bars.push((contender.label(), rate));
    }
    report.plot = Some(Plot::Bars { title: "One worker, SES at 50 ms", unit: "mails a second", bars });
    Ok(report)
}

async fn measure(rig: &Rig, contender: &Contender, people: usize) -> anyhow::Result<(f64, f64)> {
    rig.stub.ses.become_account(Account { latency: LATENCY, ..Account::default() });
    let waiting = rig.wait(contender, people)?;
    let mut running = Running::start(contender, &rig.stub, &[("SLICE_MAILS", "1000000".to_owned())]).await?;
    running.ready().await?;
    // The plan begins with telling, for a second; the jobs that it leaves are what is measured.
    let (already, payload) = if contender.ours {
        running.invoke(&back_in_stock(&waiting.product)).await?;
        (rig.stub.ses.times().len(), jobs(rig, &waiting)?)
    } else {
        (0, back_in_stock(&waiting.product))
    };
    let cpu = running.cpu()?;
    running.invoke(&payload).await?;
    rig.stub.ses.accepted(people, LIMIT).await?;
    let cpu = running.cpu()?.saturating_sub(cpu);
    running.stop().await;
    rig.stub.ses.told(&waiting.people)?;
    let times: Vec<Instant> = rig.stub.ses.times().split_off(already);
    let (first, last) = times.first().zip(times.last()).context("no email was sent")?;
    let told = times.len() as f64;
    Ok((round(told / (*last - *first).as_secs_f64()), round(cpu.as_secs_f64() * 1e6 / told)))
}
