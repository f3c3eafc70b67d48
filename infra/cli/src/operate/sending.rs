//! `notify-me sending`: whether fan-outs pause, and why; pausing and resuming them.

use anyhow::bail;
use domain::breaker::{HOURS, Pause, PausedBy, sender_name};
use domain::{Address, ProductId};
use jiff::Timestamp;
use serde::Serialize;
use store::fanout::BUCKETS;
use store::sending::State;
use store::{Store, StoreError};

use super::place::TableArgs;
use super::show;

const MORE: &str = "\
Fan-outs pause by themselves when too many emails bounce or are reported as spam (settings BOUNCE_LIMIT_PERCENT,
COMPLAINT_LIMIT_PERCENT and BREAKER_LEAST_SENT of `feedback`). Nobody is lost: jobs wait, and go on where they stopped.
Subscriptions and the emails that they cause are not paused.

A pause stops new send slots; those that are reserved, about a second's worth, are used. Resuming forgets the counts, so that
what was before does not pause fan-outs again, and has the next sweep put the waiting jobs back in line: within a minute.

--json: {sender, paused: null or {by, why, since}, hours, sent, bounced, complained, bouncePercent, complaintPercent}, and for
pause and resume `changed`: false where fan-outs paused before, or did not.";

/// Which sender.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The functions' SENDER, or its domain [default: the ready file's].
    #[arg(long, value_name = "ADDRESS", env = "SENDER")]
    sender: Option<String>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableArgs,
}

/// Which sender, and why.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct PauseArgs {
    /// Why, for whoever looks at it later.
    #[arg(long, value_name = "TEXT")]
    why: String,
    #[command(flatten)]
    args: Args,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    sender: String,
    paused: Option<Pause>,
    hours: i64,
    sent: u64,
    bounced: u64,
    complained: u64,
    bounce_percent: f64,
    complaint_percent: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
}

impl Args {
    fn sender(&self) -> anyhow::Result<String> {
        match self.sender.clone().or(self.table.sender()?) {
            Some(text) if text.contains('@') => Ok(sender_name(&Address::parse(&text)?)),
            Some(domain) => Ok(domain.to_ascii_lowercase()),
            None => bail!("no sender given: use --sender ADDRESS, or set SENDER to that of the functions"),
        }
    }

    async fn tell(&self, store: &Store, sender: String, changed: Option<bool>) -> anyhow::Result<()> {
        let State { paused, counts } = store.sending(&sender).state(Timestamp::now()).await?;
        let round = |percent: f64| (percent * 1_000.0).round() / 1_000.0;
        let status = Status {
            sender,
            paused,
            hours: HOURS,
            sent: counts.sent,
            bounced: counts.bounced,
            complained: counts.complained,
            bounce_percent: round(counts.bounce_percent()),
            complaint_percent: round(counts.complaint_percent()),
            changed,
        };
        if self.json {
            return show::json(&status);
        }
        status.tell();
        Ok(())
    }
}

/// Says whether fan-outs pause.
pub(super) async fn status(args: Args) -> anyhow::Result<()> {
    let (store, sender) = (args.table.store().await?, args.sender()?);
    args.tell(&store, sender, None).await
}

/// Pauses them.
pub(super) async fn pause(PauseArgs { why, args }: PauseArgs) -> anyhow::Result<()> {
    let (store, sender) = (args.table.store().await?, args.sender()?);
    let pause = Pause { by: PausedBy::Operator, why, since: Timestamp::now() };
    let changed = store.sending(&sender).pause(&pause).await?.is_applied();
    args.tell(&store, sender, Some(changed)).await
}

/// Lets them go on.
pub(super) async fn resume(args: Args) -> anyhow::Result<()> {
    let (store, sender) = (args.table.store().await?, args.sender()?);
    let changed = store.sending(&sender).resume().await?.is_applied();
    let waiting = wake(&store).await?;
    if !args.json && !waiting.is_empty() {
        crate::console::say(format_args!("{} fan-outs go on with the next sweep.", waiting.len()));
    }
    args.tell(&store, sender, Some(changed)).await
}

/// Lets every open fan-out look as if it had stood still for long, so that the next sweep puts its job back in line. One that is
/// worked on, or has moved since it was read, is left alone or loses nothing: of a shard's jobs one lives.
async fn wake(store: &Store) -> Result<Vec<ProductId>, StoreError> {
    let mut waiting = Vec::new();
    for number in 0..BUCKETS.get() {
        let mut bucket = store.fan_outs().bucket(number);
        while let Some(page) = bucket.next().await? {
            // One that cannot be read is the sweep's to write down.
            for job in page.into_iter().flatten().map(|open| open.job) {
                let Some(ticket) = &job.ticket else { continue };
                if store.fan_outs().pass_on(ticket, &job, Timestamp::UNIX_EPOCH).await?.is_applied() {
                    waiting.push(job.product_id);
                }
            }
        }
    }
    Ok(waiting)
}

impl Status {
    fn tell(&self) {
        let now = Timestamp::now();
        let mut facts = vec![("sender", self.sender.clone())];
        match &self.paused {
            None => facts.push(("fan-outs", "go on".to_owned())),
            Some(Pause { by, why, since }) => facts.extend([
                ("fan-outs", format!("paused by the {by}")),
                ("why", why.clone()),
                ("since", show::when(*since, now)),
            ]),
        }
        facts.extend([
            ("sent", format!("{} in {} hours", self.sent, self.hours)),
            ("bounced", format!("{} ({} %)", self.bounced, self.bounce_percent)),
            ("complained", format!("{} ({} %)", self.complained, self.complaint_percent)),
        ]);
        if self.changed == Some(false) {
            facts.push(("changed", "nothing".to_owned()));
        }
        show::facts(&facts);
    }
}
