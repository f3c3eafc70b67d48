//! The scheduled sweep: what an EventBridge rule sends on AWS. It sees to what is due, and puts the jobs of unfinished
//! fan-outs back in line.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use jiff::Timestamp;
use lambda_host::{ACCOUNT, Host, NOTIFY, Outcome, request_id};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// How often it is sent unless something else is asked for, and how old a fan-out must be to be swept.
pub(super) const PERIOD: Duration = Duration::from_secs(60);
/// How long it waits for a free process. The next one comes soon.
const PATIENCE: Duration = Duration::from_secs(5);

/// The schedule of the sweep.
pub(super) struct Schedule {
    pub(super) host: Arc<Host>,
    pub(super) region: String,
    /// How often it is sent.
    pub(super) period: Duration,
    /// Whether one is sent at once, for everything that is unfinished, however young.
    pub(super) at_start: bool,
}

impl Schedule {
    /// Sends the sweep again and again until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        let mut older_than = Duration::ZERO;
        if !self.at_start {
            if stop.run_until_cancelled(tokio::time::sleep(self.period)).await.is_none() {
                return;
            }
            older_than = PERIOD;
        }
        loop {
            self.send(older_than).await;
            older_than = PERIOD;
            if stop.run_until_cancelled(tokio::time::sleep(self.period)).await.is_none() {
                return;
            }
        }
    }

    async fn send(&self, older_than: Duration) {
        let event = event(&self.region, Timestamp::now(), older_than).to_string();
        match self.host.invoke(NOTIFY, Bytes::from(event), PATIENCE).await {
            Ok(Outcome::Answer(_)) => {}
            Ok(Outcome::Error(error)) => {
                tracing::warn!(cause = ?error.cause, "the scheduled sweep failed");
            }
            Err(error) => tracing::warn!(%error, "the scheduled sweep was not run"),
        }
    }
}

/// The event in the form that EventBridge gives it.
fn event(region: &str, now: Timestamp, older_than: Duration) -> Value {
    json!({
        "version": "0",
        "id": request_id(),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": ACCOUNT,
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        "region": region,
        "resources": [format!("arn:aws:events:{region}:{ACCOUNT}:rule/notify-me-sweep")],
        "detail": { "olderThanSeconds": older_than.as_secs() },
    })
}
