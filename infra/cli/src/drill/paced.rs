//! Keeps to the send rate: how much of it is used, and whether it is ever exceeded, with one shard
//! worked on at a time and with many side by side, on an SES account that has just that rate.

use std::time::Duration;

use serde_json::json;

use super::lab::{Lab, Setup, names};
use super::progress::Progress;
use crate::report::{Plot, Report, Row};

const RATES: [u32; 4] = [14, 300, 2_000, 5_000];
const WORKERS: [u16; 3] = [1, 8, 64];
/// What must be used of the rate, at least.
const USED: f64 = 0.98;
/// The steady part of a run: from this share of its time to that one.
const STEADY: (f64, f64) = (0.15, 0.85);

/// How long.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The approximate duration of each run.
    #[arg(long, default_value_t = 20)]
    seconds: u32,
    /// Run only this rate.
    #[arg(long)]
    rate: Option<u32>,
    /// Run only this number of workers.
    #[arg(long)]
    workers: Option<u16>,
}

/// Runs them.
///
/// # Errors
/// When a system cannot be started.
pub(super) async fn run(args: Args) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "paced",
        "Drill: paced",
        "One product's waitlist in 1, 8 and 64 shards is told at 14, 300, 2,000 and 5,000 mails a second, by as many \
         workers (over up to 8 processes), on an account that SES gives just that rate. Promised in the steady part: at \
         least 98 % of the rate is used, no second sees more than one second's worth beyond it, SES throttles nothing.",
    );
    let runs: Vec<(u32, u16)> = RATES
        .iter()
        .flat_map(|rate| WORKERS.map(|workers| (*rate, workers)))
        .filter(|(rate, workers)| {
            args.rate.is_none_or(|only| only == *rate) && args.workers.is_none_or(|only| only == *workers)
        })
        .collect();
    let progress = Progress::new(runs.len(), "runs");
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for (done, (rate, workers)) in runs.into_iter().enumerate() {
        let row = paced(rate, workers, args.seconds).await?;
        let name = format!("{workers} workers");
        let point = (f64::from(rate), row.get("usedPercent").as_f64().unwrap_or_default());
        match lines.iter_mut().find(|(line, _)| *line == name) {
            Some((_, line)) => line.push(point),
            None => lines.push((name, vec![point])),
        }
        judge(rate, workers, &row, &mut report);
        report.row(row.0);
        progress.at(done + 1);
    }
    report.plot =
        Some(Plot::Lines { title: "Used of the rate", x: "mails a second", y: "percent used", lines });
    Ok(report)
}

async fn paced(rate: u32, workers: u16, seconds: u32) -> anyhow::Result<Row> {
    let account = ses_inbox::Options { max_send_rate: f64::from(rate), ..ses_inbox::Options::default() };
    let environment = vec![("SEND_RATE", rate.to_string())];
    let lab = Lab::start(Setup { environment, shards: workers, ses: account, ..Setup::default() }).await?;
    let (product, restock) = names("paced")?;
    let people = (rate * seconds) as usize;
    lab.seed(&product, people, |_| ()).await?;
    lab.stock(&product, &restock, 1).await?;
    let patience = Duration::from_secs(u64::from(seconds) * 2 + 60);
    let settled = tokio::time::timeout(patience, lab.settled(&product, &restock)).await;
    let mut at: Vec<i64> = lab.ses.captured().iter().map(|mail| mail.at_ms).collect();
    at.sort_unstable();
    let throttled = lab.ses.counts().throttled;
    lab.stop().await;
    let (first, last) = (at.first().copied().unwrap_or_default(), at.last().copied().unwrap_or_default());
    let span = (last - first) as f64;
    let from = first + (span * STEADY.0) as i64;
    let to = first + (span * STEADY.1) as i64;
    // Between two calls, so that no part of a call is counted at either end.
    let from = at.iter().copied().find(|time| *time >= from).unwrap_or(from);
    let to = at.iter().copied().find(|time| *time >= to).unwrap_or(to);
    let steady = at.iter().filter(|time| (from..to).contains(*time)).count();
    let used = steady as f64 / (f64::from(rate) * (to - from).max(1) as f64 / 1_000.0);
    Ok(Row(vec![
        ("rate", json!(rate)),
        ("workers", json!(workers)),
        ("people", json!(people)),
        ("told", json!(at.len())),
        ("ended", json!(matches!(settled, Ok(Ok(()))))),
        ("seconds", json!((span / 100.0).round() / 10.0)),
        ("usedPercent", json!((used * 1_000.0).round() / 10.0)),
        ("mostInASecond", json!(most_in_a_second(&at))),
        ("throttledCalls", json!(throttled)),
    ]))
}

fn judge(rate: u32, workers: u16, row: &Row, report: &mut Report) {
    let number = |name: &str| row.get(name).as_f64().unwrap_or_default();
    let place = format!("{rate} a second, {workers} workers");
    report.demand(*row.get("ended") == true && row.get("told") == row.get("people"), || {
        format!("{place}: not every subscriber got one email")
    });
    let used = number("usedPercent") / 100.0;
    report.demand(used >= USED, || format!("{place}: {:.1} % used", used * 100.0));
    let most = number("mostInASecond");
    report.demand(most <= f64::from(rate) * 2.0, || format!("{place}: {most} in one second"));
    let throttled = number("throttledCalls");
    report.demand(throttled == 0.0, || format!("{place}: {throttled} calls throttled"));
}

/// The most emails in any second, given their times in order, in milliseconds.
fn most_in_a_second(at: &[i64]) -> usize {
    let mut from = 0;
    let mut most = 0;
    for (to, time) in at.iter().enumerate() {
        while at[from] <= time - 1_000 {
            from += 1;
        }
        most = most.max(to + 1 - from);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fullest_second_is_found_wherever_it_begins() {
        assert_eq!(most_in_a_second(&[]), 0);
        assert_eq!(most_in_a_second(&[0, 999, 1_000, 1_500, 1_998, 3_000]), 4);
    }
}
