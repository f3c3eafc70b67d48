//! What emails cost beside SES: requests counted at two list sizes, a straight line through them, and list prices.

use std::time::Duration;

use notify_me::report::{Plot, Report};
use serde_json::json;

use crate::contender::Running;
use crate::rig::{Rig, back_in_stock, jobs};
use crate::stub::{Account, Units};
use crate::workload::round;

/// The two list sizes.
const FEW: usize = 1_000;
const MANY: usize = 41_000;
const LIMIT: Duration = Duration::from_secs(300);
/// Memory of `notify` as the template has it, in GB.
const MEMORY_GB: f64 = 0.25;
/// Emails of one slice before the rest goes back in line (`SLICE_MAILS`).
const SLICE: f64 = 100_000.0;

/// List prices in US dollars, us-east-1, on demand, Arm, as they were known in November 2026. They change: put in your own.
struct Prices {
    write_unit: f64,
    read_unit: f64,
    gb_second: f64,
    invocation: f64,
    ses_mail: f64,
}

const PRICES: Prices = Prices {
    write_unit: 0.625e-6,
    read_unit: 0.125e-6,
    gb_second: 13.3334e-6,
    invocation: 0.2e-6,
    ses_mail: 0.1e-3,
};

/// What a restock takes: so much once, and so much for each email.
struct Line {
    once: f64,
    each: f64,
}

impl Line {
    fn through(few: f64, many: f64) -> Self {
        let each = (many - few) / (MANY - FEW) as f64;
        Self { once: (few - each * FEW as f64).max(0.0), each }
    }

    fn at(&self, restocks: f64, mails: f64) -> f64 {
        self.once * restocks + self.each * mails
    }
}

/// Counts, and works out the costs.
///
/// # Errors
/// When a subscriber gets no email.
pub(crate) async fn run(rig: &Rig) -> anyhow::Result<Report> {
    let (few, many) = (count(rig, FEW).await?, count(rig, MANY).await?);
    let writes = Line::through(few.write, many.write);
    let reads = Line::through(few.read, many.read);
    let mut report = Report::new(
        "cost",
        "What mails cost beside SES",
        format!(
            "Units of DynamoDB counted for {FEW} and {MANY} waiting, with a straight line through both: a restock takes \
             {:.0} write and {:.0} read units once (in 8 shards), and each mail {:.4} write and {:.4} read units.\n\n\
             `cost = writes × {} + reads × {} + GB-seconds × {} + invocations × {}` US dollars, with \
             `writes = {:.0} × restocks + {:.4} × mails`, `reads = {:.0} × restocks + {:.4} × mails`, \
             `GB-seconds = {MEMORY_GB} × mails ÷ rate × shards worked on side by side`, and an invocation for each restock and \
             for each {SLICE} mails or 20 seconds of a shard. These are list prices (us-east-1, on demand, Arm) as they were known when this was written; put in \
             your own. Kafka, and pollers where they are provisioned, cost by the hour and not by the mail. Joining costs a \
             transaction: about 4 write units a subscription, which its TTL takes back for nothing.\n\n\
             About an eighth of what a restock takes once is for each shard, so more shards make a restock dearer and a mail not. Products \
             that do not come back cost nothing: ten million of them cost what their restocks cost.",
            writes.once,
            reads.once,
            writes.each,
            reads.each,
            dollars(PRICES.write_unit),
            dollars(PRICES.read_unit),
            dollars(PRICES.gb_second),
            dollars(PRICES.invocation),
            writes.once,
            writes.each,
            reads.once,
            reads.each,
        ),
    );
    let mut lines = Vec::new();
    for (restocks, rate) in [(1.0, 14.0), (1.0, 300.0), (1.0, 5_000.0), (1_000.0, 300.0)] {
        let line = dear(&writes, &reads, restocks, rate, &mut report);
        let restocks = if restocks > 1.0 { format!("{restocks} restocks") } else { "one restock".to_owned() };
        lines.push((format!("{restocks}, {rate} a second"), line));
    }
    report.plot = Some(Plot::Lines {
        title: "Cost beside SES, in percent of SES",
        x: "mails (power of ten)",
        y: "percent",
        lines,
    });
    Ok(report)
}

/// What so many restocks cost at a rate, by the number of mails: a row for each, and the share of SES's price, in percent.
fn dear(writes: &Line, reads: &Line, restocks: f64, rate: f64, report: &mut Report) -> Vec<(f64, f64)> {
    let mut line = Vec::new();
    for mails in [1e3, 1e4, 1e5, 1e6, 1e7, 1e8] {
        let seconds = mails / rate;
        // A shard is worked on for as long as the fan-out lasts, and at most 8 are at a time.
        let gb_seconds = MEMORY_GB * seconds * 8.0;
        let invocations = restocks + (mails / SLICE).max(seconds / 20.0 * 8.0);
        let table =
            writes.at(restocks, mails) * PRICES.write_unit + reads.at(restocks, mails) * PRICES.read_unit;
        let lambda = gb_seconds * PRICES.gb_second + invocations * PRICES.invocation;
        let ses = mails * PRICES.ses_mail;
        line.push((mails.log10(), (table + lambda) / ses * 100.0));
        report.row(vec![
            ("mails", json!(mails)),
            ("restocks", json!(restocks)),
            ("mails a second", json!(rate)),
            ("DynamoDB ($)", json!(cents(table))),
            ("Lambda ($)", json!(cents(lambda))),
            ("SES ($)", json!(cents(ses))),
            ("beside SES (%)", json!(round((table + lambda) / ses * 100.0))),
        ]);
    }
    line
}

/// The units that a restock takes which so many wait for.
async fn count(rig: &Rig, people: usize) -> anyhow::Result<Units> {
    rig.stub.ses.become_account(Account::default());
    let notify = rig.notify();
    let waiting = rig.wait(&notify, people)?;
    let mut running = Running::start(&notify, &rig.stub, &[]).await?;
    running.ready().await?;
    let metered = rig.stub.tables.meter();
    running.invoke(&back_in_stock(&waiting.product)).await?;
    while rig.stub.ses.times().len() < people {
        running.invoke(&jobs(rig, &waiting)?).await?;
    }
    rig.stub.ses.accepted(people, LIMIT).await?;
    let units = metered.units();
    running.stop().await;
    rig.stub.ses.told(&waiting.people)?;
    Ok(units)
}

/// A price, without an exponent.
fn dollars(price: f64) -> String {
    format!("{price:.10}").trim_end_matches('0').to_owned()
}

/// To a tenth of a cent.
fn cents(dollars: f64) -> f64 {
    (dollars * 1_000.0).round() / 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_through_both_counts() {
        let line = Line::through(100.0 + 0.5 * FEW as f64, 100.0 + 0.5 * MANY as f64);
        assert!((line.at(1.0, MANY as f64) - (100.0 + 0.5 * MANY as f64)).abs() < 1e-6);
        assert!((line.at(3.0, 0.0) - 300.0).abs() < 1e-6);
    }
}
