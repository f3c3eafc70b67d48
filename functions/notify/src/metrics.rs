//! What the alarms and the dashboard stand on: metrics as log lines, in CloudWatch's embedded
//! metric format, so that sending them costs no call. Namespace `NotifyMe`, dimension
//! `FunctionName`. One line an invocation, with what was counted in it.
//!
//! | metric | unit | counts |
//! |---|---|---|
//! | `Sent` | count | emails that SES accepted |
//! | `Failed` | count | recipients that SES rejected; they are written down |
//! | `InDoubt` | count | recipients of calls whose fate a crash or a time-out left open |
//! | `Throttled` | count | calls that SES throttled, in part or as a whole |
//! | `SendingStopped` | count | slices that ended because the account may not send |
//! | `SendingPaused` | count | slices that ended because fan-outs pause |
//! | `Poison` | count | records written to the dead letters |
//! | `Unreadable` | count | items of the table that cannot be read: entries that are passed as failed, and others that are left as they are |
//! | `SlotWait` | ms | what a slice waited for send slots, altogether |
//! | `Lag` | ms | age of the oldest record of an invocation as it came in |

use std::io;
use std::time::Duration;

use metrics::{Unit, counter, describe_counter, describe_histogram, histogram};
use metrics_cloudwatch_embedded::{Builder, Collector};

const SENT: &str = "Sent";
const FAILED: &str = "Failed";
const IN_DOUBT: &str = "InDoubt";
const THROTTLED: &str = "Throttled";
const SENDING_STOPPED: &str = "SendingStopped";
const SENDING_PAUSED: &str = "SendingPaused";
const POISON: &str = "Poison";
const UNREADABLE: &str = "Unreadable";
const SLOT_WAIT: &str = "SlotWait";
const LAG: &str = "Lag";

/// Collects the metrics of this process from here on.
pub(crate) fn start(function_name: String) -> Result<&'static Collector, lambda_runtime::Error> {
    let builder = Builder::new().cloudwatch_namespace("NotifyMe");
    let collector = builder.with_dimension("FunctionName", function_name).init()?;
    for name in [SENT, FAILED, IN_DOUBT, THROTTLED, SENDING_STOPPED, SENDING_PAUSED, POISON, UNREADABLE] {
        describe_counter!(name, Unit::Count, "");
    }
    for name in [SLOT_WAIT, LAG] {
        describe_histogram!(name, Unit::Milliseconds, "");
    }
    Ok(collector)
}

/// Writes what was counted since the last time, if anything was.
pub(crate) fn write(collector: &Collector) {
    if let Err(error) = collector.flush(io::stdout().lock()) {
        tracing::warn!(%error, "metrics are lost");
    }
}

/// SES answered a call.
pub(crate) fn answered(accepted: u64, rejected: u64) {
    counter!(SENT).increment(accepted);
    counter!(FAILED).increment(rejected);
}

/// The fate of a call to this many is not known.
pub(crate) fn in_doubt(count: u32) {
    counter!(IN_DOUBT).increment(u64::from(count));
}

/// SES throttled a call.
pub(crate) fn throttled() {
    counter!(THROTTLED).increment(1);
}

/// The account may not send.
pub(crate) fn sending_stopped() {
    counter!(SENDING_STOPPED).increment(1);
}

/// Fan-outs pause.
pub(crate) fn sending_paused() {
    counter!(SENDING_PAUSED).increment(1);
}

/// A record was written to the dead letters.
pub(crate) fn poison() {
    counter!(POISON).increment(1);
}

/// An item of the table cannot be read.
pub(crate) fn unreadable() {
    counter!(UNREADABLE).increment(1);
}

/// A slice waited for so long for its send slots. One value a slice: a line takes no more than a
/// hundred.
pub(crate) fn slot_wait(waited: Duration) {
    histogram!(SLOT_WAIT).record(waited.as_secs_f64() * 1_000.0);
}

/// The oldest record of an invocation was this old.
pub(crate) fn lag(age: Duration) {
    histogram!(LAG).record(age.as_secs_f64() * 1_000.0);
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn an_invocation_is_one_line_of_what_happened_in_it() {
        let collector = start("shop-notify".to_owned()).unwrap();
        answered(48, 2);
        answered(50, 0);
        throttled();
        lag(Duration::from_millis(250));
        let mut line = Vec::new();
        collector.flush(&mut line).unwrap();
        let mut line: Value = serde_json::from_slice(&line).unwrap();
        assert!(line["_aws"]["Timestamp"].as_u64().unwrap() > 1_700_000_000_000);
        line["_aws"]["Timestamp"] = json!(0);
        assert_eq!(
            line,
            json!({
                "_aws": {"Timestamp": 0, "CloudWatchMetrics": [{
                    "Namespace": "NotifyMe",
                    "Dimensions": [["FunctionName"]],
                    "Metrics": [
                        {"Name": "Failed", "Unit": "Count"},
                        {"Name": "Lag", "Unit": "Milliseconds"},
                        {"Name": "Sent", "Unit": "Count"},
                        {"Name": "Throttled", "Unit": "Count"},
                    ],
                }]},
                "FunctionName": "shop-notify", "Sent": 98, "Failed": 2, "Throttled": 1, "Lag": [250.0],
            })
        );
        let mut nothing = Vec::new();
        collector.flush(&mut nothing).unwrap();
        assert!(nothing.is_empty(), "what was written is not written again");
    }
}
