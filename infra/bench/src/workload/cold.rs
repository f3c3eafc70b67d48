//! From the start of a process to its first 1,000 emails, at the processor shares of several memory sizes. As on Lambda,
//! initialising has a whole processor, and the share holds from the first invocation on.

use std::time::Duration;

use notify_me::report::{Goal, Plot, Report};
use serde_json::json;

use super::{median, ms, round};
use crate::contender::{Contender, Feed, Form, Running};
use crate::rig::{Rig, back_in_stock};
use crate::stub::Account;

const MAILS: usize = 1_000;
const LIMIT: Duration = Duration::from_secs(300);
/// Memory sizes whose share is set; `None` is the whole machine.
const SHARES: [Option<u32>; 4] = [None, Some(1_024), Some(512), Some(128)];

struct Run {
    first_mails: f64,
    init: f64,
    cpu: f64,
    peak: f64,
}

/// Measures the contenders.
///
/// # Errors
/// When a contender does not do its work.
pub(crate) async fn run(rig: &Rig) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "cold",
        "Cold start to the first 1,000 mails",
        "A process is started, gets one stock update that 1,000 wait for, and is timed until SES has taken the \
         thousandth mail. A share is that of a function with so much memory, from the first invocation on; initialising \
         has a whole processor, as on Lambda. SES and DynamoDB answer at once, over TLS. Medians; CPU and memory are \
         the process's own, to the end of the invocation.",
    );
    let mut bars = Vec::new();
    let contenders = rig.with_ours(|_| true);
    for contender in &contenders {
        for share in SHARES {
            let middle = measured(rig, contender, share, &mut report).await?;
            if share == Some(128) {
                bars.push((contender.label(), middle));
            }
        }
    }
    report.plot = Some(Plot::Bars {
        title: "Cold start to the first 1,000 mails at the share of 128 MB",
        unit: "ms",
        bars,
    });
    Ok(report)
}

/// Measures one contender at one share, and gives the median of its times.
async fn measured(
    rig: &Rig,
    contender: &Contender,
    share: Option<u32>,
    report: &mut Report,
) -> anyhow::Result<f64> {
    let times = match (contender.ours, contender.form, contender.feed) {
        (true, ..) => 15,
        (_, Form::Tuned, Feed::Runtime) => 3,
        // Up to minutes each.
        _ => 1,
    };
    let mut runs = Vec::new();
    for _ in 0..times {
        runs.push(once(rig, contender, share).await?);
    }
    let of = |pick: fn(&Run) -> f64| runs.iter().map(pick).collect::<Vec<_>>();
    let first = of(|run| run.first_mails);
    let (middle, peak) = (median(&first), median(&of(|run| run.peak)));
    let at = share.map_or_else(|| "unthrottled".to_owned(), |mb| format!("{mb} MB"));
    crate::progress(format!("cold: {} at {at}: {middle} ms", contender.label()));
    report.row(vec![
        ("contender", json!(contender.label())),
        ("share", json!(at)),
        ("runs", json!(times)),
        ("first 1,000 mails (ms)", json!(middle)),
        ("least", json!(first.iter().copied().fold(f64::INFINITY, f64::min))),
        ("most", json!(first.iter().copied().fold(0.0, f64::max))),
        ("of it init (ms)", json!(median(&of(|run| run.init)))),
        ("CPU (ms)", json!(median(&of(|run| run.cpu)))),
        ("peak memory (MB)", json!(peak)),
    ]);
    match share {
        None if contender.ours => {
            report.goal(Goal::at_most("cold start to the first 1,000 mails, unthrottled (ms)", 55.0), middle);
            report.goal(Goal::at_most("peak memory, cold and 1,000 mails (MB)", 16.0), peak);
        }
        Some(128) if contender.ours => {
            let goal = "cold start to the first 1,000 mails at a 128 MB share (ms)";
            report.goal(Goal::at_most(goal, 70.0), middle);
        }
        _ => {}
    }
    Ok(middle)
}

async fn once(rig: &Rig, contender: &Contender, share: Option<u32>) -> anyhow::Result<Run> {
    rig.stub.ses.become_account(Account::default());
    let waiting = rig.wait(contender, MAILS)?;
    let (mut running, init) = match contender.feed {
        Feed::Runtime => {
            let mut running = Running::start(contender, &rig.stub, &[]).await?;
            let ready = running.ready().await?;
            let init = ms(ready - running.started);
            (running, init)
        }
        Feed::Kafka => {
            let from = rig.new_topic(1).await?;
            rig.publish(&from[1].1, &waiting).await?;
            (Running::start(contender, &rig.stub, &from).await?, 0.0)
        }
    };
    if let Some(memory_mb) = share {
        running.share(memory_mb)?;
    }
    if contender.feed == Feed::Runtime {
        running.invoke(&back_in_stock(&waiting.product)).await?;
    }
    let last = rig.stub.ses.accepted(MAILS, LIMIT).await?;
    let run = Run {
        first_mails: ms(last - running.started),
        init,
        cpu: ms(running.cpu()?),
        peak: round(running.peak_mb()?),
    };
    running.stop().await;
    rig.stub.ses.told(&waiting.people)?;
    Ok(run)
}
