//! Subscriptions, one after the other, as API Gateway hands them in.

use std::time::{Duration, Instant};

use anyhow::ensure;
use notify_me::report::Report;
use serde_json::{Value, json};

use super::{ms, percentile, round};
use crate::contender::Running;
use crate::rig::Rig;

const BEFORE: usize = 200;
const REQUESTS: usize = 3_000;

/// Measures ours: the others have none.
///
/// # Errors
/// When a subscription is refused.
pub(crate) async fn run(rig: &Rig) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "subscribe",
        "Subscribe requests",
        format!(
            "{REQUESTS} subscriptions of different people, one after the other, after {BEFORE} that do not count. The time is \
             from the invocation to its answer, DynamoDB answering at once; each reads the person, \
             is one transaction and one read, and keeps the record of the ask."
        ),
    );
    let text = std::fs::read_to_string(rig.root.join("events/http-subscribe.json"))?;
    let mut event: Value = serde_json::from_str(&text)?;
    let mut running = Running::start(&rig.function("subscribe"), &rig.stub, &[]).await?;
    running.ready().await?;
    let init = ms(running.started.elapsed());
    let (mut times, mut cpu) = (Vec::new(), Duration::ZERO);
    for number in 0..BEFORE + REQUESTS {
        if number == BEFORE {
            cpu = running.cpu()?;
            rig.stub.tables.take_calls();
        }
        event["body"] = json!({ "email": format!("{number}.new@example.com") }).to_string().into();
        event["isBase64Encoded"] = json!(false);
        let started = Instant::now();
        let answer = running.invoke(&event).await?;
        ensure!(answer["statusCode"] == 201, "a subscription was answered {answer}");
        if number >= BEFORE {
            times.push(ms(started.elapsed()));
        }
    }
    let cpu = running.cpu()?.saturating_sub(cpu).as_secs_f64() * 1_000.0 / REQUESTS as f64;
    let calls: u64 = rig.stub.tables.take_calls().values().sum();
    let figures = [
        ("CPU of a request (ms)", json!(round(cpu))),
        ("p50 (ms)", json!(percentile(&times, 50.0))),
        ("p99 (ms)", json!(percentile(&times, 99.0))),
        ("calls to the table", json!(round(calls as f64 / REQUESTS as f64))),
        ("init (ms)", json!(init)),
        ("peak memory (MB)", json!(round(running.peak_mb()?))),
    ];
    for (figure, value) in figures {
        report.row(vec![("figure", json!(figure)), ("value", value)]);
    }
    running.stop().await;
    Ok(report)
}
