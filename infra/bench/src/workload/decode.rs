//! A payload of 10,000 Kafka records, none of which names its product: decoding alone, because such a batch is refused
//! as a whole.

use domain::ProductId;
use notify_me::report::{Plot, Report};
use serde_json::{Value, json};

use super::{median, ms, round};
use crate::contender::{Contender, Feed, Form, Running};
use crate::rig::{Rig, event, update};

const RECORDS: usize = 10_000;
const TIMES: usize = 7;

/// Measures the contenders that decode payloads.
///
/// # Errors
/// When a contender takes what it is to refuse.
pub(crate) async fn run(rig: &Rig) -> anyhow::Result<Report> {
    let payload = payload()?;
    let megabytes = payload.to_string().len() as f64 / 1e6;
    let mut report = Report::new(
        "decode",
        "10,000 Kafka records in one payload",
        format!(
            "An invocation of {megabytes:.1} MB whose records are whole JSON but name no product. All of them are decoded \
             and the batch is refused. Median CPU of {TIMES} invocations, after one."
        ),
    );
    let contenders = rig.with_ours(|one| one.feed == Feed::Runtime && one.form == Form::Tuned);
    let mut bars = Vec::new();
    let mut base = 1.0;
    for contender in &contenders {
        let cpu = measure(rig, contender, &payload).await?;
        if contender.ours {
            base = cpu.max(0.01);
        }
        crate::progress(format!("decode: {}: {cpu} ms of CPU", contender.label()));
        report.row(vec![
            ("contender", json!(contender.label())),
            ("CPU for 10,000 records (ms)", json!(cpu)),
            ("factor", json!(round(cpu / base))),
        ]);
        bars.push((contender.label(), cpu));
    }
    report.plot = Some(Plot::Bars { title: "CPU for 10,000 records in one payload", unit: "ms", bars });
    Ok(report)
}

async fn measure(rig: &Rig, contender: &Contender, payload: &Value) -> anyhow::Result<f64> {
    let mut running = Running::start(contender, &rig.stub, &[]).await?;
    running.ready().await?;
    let mut times = Vec::new();
    for number in 0..=TIMES {
        let before = running.cpu()?;
        running.refused(payload).await?;
        if number > 0 {
            times.push(ms(running.cpu()?.saturating_sub(before)));
        }
    }
    running.stop().await;
    Ok(median(&times))
}

fn payload() -> anyhow::Result<Value> {
    let mut value = update(&ProductId::parse("none").map_err(|_| anyhow::anyhow!("not an id"))?);
    if let Some(fields) = value.as_object_mut() {
        fields.remove("productId");
        fields.remove("product");
    }
    Ok(event("item-restocked", std::iter::repeat_n(("none", &value), RECORDS)))
}
