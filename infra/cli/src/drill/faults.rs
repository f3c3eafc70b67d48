//! Lets the parts fail in every way they do, while emails go out, and mends them. Each fault ends
//! by itself when it is mended (or by `notify`'s own doing), and no subscriber is lost.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::ProductId;
use serde_json::{Value, json};

use super::lab::{Lab, Setup, address, names};
use super::progress::Progress;
use super::wire::{Fate, Seen};
use crate::report::{Report, Row};

/// Subscribers of each run.
const CROWD: usize = 600;
/// Emails a second: the fan-out outlasts the fault's beginning.
const RATE: u32 = 200;
/// How long a fault lasts.
const LASTS: Duration = Duration::from_secs(5);
/// How often the sweep comes while a fan-out does not end; on AWS it is every minute.
const SWEEP: Duration = Duration::from_secs(2);
/// How long the rest of the delivery may take once it is mended.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which faults.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Run only the faults whose name contains this.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// The number of systems that run side by side.
    #[arg(long, default_value_t = 3)]
    side_by_side: usize,
}

/// A way in which a part fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    BrokerDown,
    ProducerFenced,
    KafkaAnswersLost,
    TableThrottled,
    TableRefuses,
    TableSlow,
    WritesLostInTransit,
    SesThrottles,
    SesInDebt,
    HalfOfEachCallFails,
    SendsUnanswered,
    DailyQuota,
    SendingPaused,
}

impl Fault {
    const ALL: [Self; 13] = [
        Self::BrokerDown,
        Self::ProducerFenced,
        Self::KafkaAnswersLost,
        Self::TableThrottled,
        Self::TableRefuses,
        Self::TableSlow,
        Self::WritesLostInTransit,
        Self::SesThrottles,
        Self::SesInDebt,
        Self::HalfOfEachCallFails,
        Self::SendsUnanswered,
        Self::DailyQuota,
        Self::SendingPaused,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::BrokerDown => "Kafka's broker down and back",
            Self::ProducerFenced => "Kafka fences the producer",
            Self::KafkaAnswersLost => "Kafka's answers lost (a third)",
            Self::TableThrottled => "table throttled (half)",
            Self::TableRefuses => "table throttled (all)",
            Self::TableSlow => "table slow (700 ms)",
            Self::WritesLostInTransit => "table's answers to writes lost (a third)",
            Self::SesThrottles => "SES throttles (20 calls)",
            Self::SesInDebt => "rate set four times too high: debt",
            Self::HalfOfEachCallFails => "half of each call fails, twice",
            Self::SendsUnanswered => "SES takes calls and does not answer (3)",
            Self::DailyQuota => "daily quota used up",
            Self::SendingPaused => "account's sending paused",
        }
    }

    /// Makes it so.
    async fn begin(self, lab: &Lab) -> anyhow::Result<()> {
        let mut third = third();
        match self {
            Self::BrokerDown => {
                // Once it is in use.
                let down = lab.wire.kafka_is_down.clone();
                lab.wire.arm(move |seen| {
                    if seen.what == "Kafka Produce" {
                        down.store(true, Ordering::SeqCst);
                    }
                    Fate::Passed
                });
            }
            Self::ProducerFenced => {
                let (fence, mut fenced) = (lab.fence(6), false);
                lab.wire.arm(move |seen| {
                    if seen.what == "Kafka Produce" && !std::mem::replace(&mut fenced, true) {
                        fence();
                        // It is passed on; that counts it.
                        return Fate::Delayed(Duration::ZERO);
                    }
                    Fate::Passed
                });
            }
            Self::KafkaAnswersLost => lab.wire.arm(move |seen| match seen.what.as_str() {
                "Kafka Produce" => third(seen),
                _ => Fate::Passed,
            }),
            Self::TableThrottled => lab.wire.arm(|seen| match seen.what.starts_with("table") {
                true if rand::random() => Fate::Throttled,
                _ => Fate::Passed,
            }),
            Self::TableRefuses => lab.wire.arm(|seen| match seen.what.starts_with("table") {
                true => Fate::Throttled,
                false => Fate::Passed,
            }),
            Self::TableSlow => lab.wire.arm(|seen| match seen.what.starts_with("table") {
                true => Fate::Delayed(Duration::from_millis(700)),
                false => Fate::Passed,
            }),
            Self::WritesLostInTransit => lab.wire.arm(move |seen| match seen.what.as_str() {
                "table PutItem" | "table UpdateItem" | "table DeleteItem" => third(seen),
                _ => Fate::Passed,
            }),
            Self::SesThrottles => lab.ses_faults(&json!({ "throttleNext": 20 })).await?,
            Self::SesInDebt => {}
            Self::HalfOfEachCallFails => {
                lab.ses_faults(&statuses(2, json!({ "status": "TRANSIENT_FAILURE", "times": 2 }))).await?;
            }
            Self::SendsUnanswered => lab.ses_faults(&json!({ "dropNext": 3 })).await?,
            Self::DailyQuota => {
                lab.ses_faults(&statuses(1, json!({ "status": "ACCOUNT_DAILY_QUOTA_EXCEEDED" }))).await?;
            }
            Self::SendingPaused => {
                lab.ses_faults(&statuses(1, json!({ "status": "ACCOUNT_SENDING_PAUSED" }))).await?;
            }
        }
        Ok(())
    }

    /// How often it hit, when it is mended. What SES does wrong, it does to every call, once there is one.
    fn hits(self, lab: &Lab) -> u64 {
        let ses = lab.ses.counts();
        match self {
            Self::BrokerDown => u64::from(lab.wire.kafka_is_down.load(Ordering::SeqCst)),
            Self::SesThrottles | Self::SesInDebt => ses.throttled,
            Self::HalfOfEachCallFails | Self::SendsUnanswered | Self::DailyQuota | Self::SendingPaused => {
                ses.calls
            }
            Self::ProducerFenced
            | Self::KafkaAnswersLost
            | Self::TableThrottled
            | Self::TableRefuses
            | Self::TableSlow
            | Self::WritesLostInTransit => lab.wire.disturbed(),
        }
    }

    fn setup(self) -> Setup {
        let rate = if self == Self::SesInDebt { f64::from(RATE) / 4.0 } else { 5_000.0 };
        let environment = [("SEND_RATE", RATE.to_string()), ("SLICE_SECONDS", "1".to_owned())];
        let ses = ses_inbox::Options { max_send_rate: rate, ..ses_inbox::Options::default() };
        Setup { environment: environment.into(), shards: 2, processes: 8, ses, ..Setup::default() }
    }
}

/// A status for every `each`th of the crowd.
fn statuses(each: usize, status: Value) -> Value {
    let Ok(product) = ProductId::parse(PRODUCT) else { return Value::Null };
    let of_crowd = (0..CROWD).step_by(each).map(|number| (address(&product, number), status.clone()));
    json!({ "statuses": of_crowd.collect::<serde_json::Map<_, _>>() })
}

const PRODUCT: &str = "disturbed";

/// Runs them.
///
/// # Errors
/// When a system cannot be started.
pub(super) async fn run(args: Args) -> anyhow::Result<Report> {
    let mut report = Report::new(
        "faults",
        "Drill: faults",
        "While people are told, a part fails for five seconds (or as often as it says) and is mended. Promised: \
         every subscriber gets an email, and two only if their call was in doubt. The sweep of unfinished fan-outs comes \
         every two seconds here, every minute on AWS.",
    );
    let wanted = |fault: &Fault| args.only.as_ref().is_none_or(|only| fault.name().contains(only.as_str()));
    let faults: Vec<Fault> = Fault::ALL.into_iter().filter(wanted).collect();
    let progress = Progress::new(faults.len(), "faults");
    for (done, beside) in faults.chunks(args.side_by_side.max(1)).enumerate() {
        let rows = futures::future::try_join_all(beside.iter().map(|fault| disturbed(*fault))).await?;
        for (fault, row) in beside.iter().zip(rows) {
            judge(*fault, &row, &mut report);
            report.row(row.0);
        }
        progress.at((done + 1) * args.side_by_side);
    }
    Ok(report)
}

async fn disturbed(fault: Fault) -> anyhow::Result<Row> {
    let lab = Lab::start(fault.setup()).await?;
    let (product, restock) = names(PRODUCT)?;
    lab.seed(&product, CROWD, |_| ()).await?;
    fault.begin(&lab).await?;
    lab.stock(&product, &restock, 1).await?;
    tokio::time::sleep(LASTS).await;
    let hits = fault.hits(&lab);
    lab.mend().await?;
    let mended = Instant::now();
    let ended = tokio::time::timeout(PATIENCE, async {
        let swept = async {
            loop {
                tokio::time::sleep(SWEEP).await;
                lab.sweep().await;
            }
        };
        tokio::select! {
            settled = lab.settled(&product, &restock) => settled,
            () = swept => Ok(()),
        }
    });
    let in_time = matches!(ended.await, Ok(Ok(())));
    let seconds = mended.elapsed().as_secs_f64();
    let got = lab.got(&[(product.clone(), CROWD)]).remove(product.as_str()).unwrap_or_default();
    let counted = lab.counted(&restock).await?;
    let ses = lab.ses.counts();
    lab.stop().await;
    Ok(Row(vec![
        ("fault", json!(fault.name())),
        ("hits", json!(hits)),
        ("people", json!(CROWD)),
        ("ended", json!(in_time)),
        ("secondsAfter", json!((seconds * 10.0).round() / 10.0)),
        ("lost", json!(got.lost)),
        ("twice", json!(got.doubled)),
        ("inDoubt", json!(counted.in_doubt)),
        ("sesCalls", json!(ses.calls)),
        ("throttledCalls", json!(ses.throttled)),
    ]))
}

fn judge(fault: Fault, row: &Row, report: &mut Report) {
    let number = |name: &str| row.get(name).as_u64().unwrap_or(u64::MAX);
    let name = fault.name();
    report.demand(number("hits") > 0, || format!("{name}: it missed, so nothing was shown"));
    report.demand(*row.get("ended") == true, || format!("{name}: it did not end"));
    report.demand(number("lost") == 0, || format!("{name}: {} lost", number("lost")));
    let (twice, in_doubt) = (number("twice"), number("inDoubt"));
    report.demand(twice <= in_doubt, || format!("{name}: {twice} told twice, {in_doubt} in doubt"));
}

/// Loses the first answer and every third after it: some parts are asked only a few times while the fault lasts.
fn third() -> impl FnMut(&Seen) -> Fate {
    let mut answers = 0_u32;
    move |_| {
        answers += 1;
        if answers % 3 == 1 { Fate::AnswerLost } else { Fate::Passed }
    }
}
