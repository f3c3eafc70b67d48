//! What the alarms and the dashboard stand on: metrics as log lines, in CloudWatch's embedded metric format, as those of `notify`:
//! namespace `NotifyMe`, dimension `FunctionName`, one line an invocation. An event that is known counts nothing.
//!
//! | metric | counts |
//! |---|---|
//! | `Bounces` | emails that bounced for good |
//! | `PassingBounces` | emails that did not arrive for a reason that may pass |
//! | `Complaints` | emails that were reported as spam |
//! | `Suppressed` | persons who get no email any more |
//! | `Rejects` | emails that SES did not send because of their content |
//! | `RenderingFailures` | emails that SES could not render |
//! | `DeliveryDelays` | emails that have not arrived yet |
//! | `UnknownEvents` | events of a kind that nothing follows from |
//! | `UnreadableEvents` | messages that hold no event |
//! | `SendingPaused` | pauses of fan-outs by the breaker |

use std::io;

use domain::feedback::{Bounce, Kind};
use metrics::{Unit, counter, describe_counter};
use metrics_cloudwatch_embedded::{Builder, Collector};

const BOUNCES: &str = "Bounces";
const PASSING_BOUNCES: &str = "PassingBounces";
const COMPLAINTS: &str = "Complaints";
const SUPPRESSED: &str = "Suppressed";
const REJECTS: &str = "Rejects";
const RENDERING_FAILURES: &str = "RenderingFailures";
const DELIVERY_DELAYS: &str = "DeliveryDelays";
const UNKNOWN_EVENTS: &str = "UnknownEvents";
const UNREADABLE_EVENTS: &str = "UnreadableEvents";
const SENDING_PAUSED: &str = "SendingPaused";

/// Collects the metrics of this process from here on.
pub(crate) fn start(function_name: String) -> Result<&'static Collector, lambda_runtime::Error> {
    let builder = Builder::new().cloudwatch_namespace("NotifyMe");
    let collector = builder.with_dimension("FunctionName", function_name).init()?;
    for name in [
        BOUNCES,
        PASSING_BOUNCES,
        COMPLAINTS,
        SUPPRESSED,
        REJECTS,
        RENDERING_FAILURES,
        DELIVERY_DELAYS,
        UNKNOWN_EVENTS,
        UNREADABLE_EVENTS,
        SENDING_PAUSED,
    ] {
        describe_counter!(name, Unit::Count, "");
    }
    Ok(collector)
}

/// Writes what was counted since the last time, if anything was.
pub(crate) fn write(collector: &Collector) {
    if let Err(error) = collector.flush(io::stdout().lock()) {
        tracing::warn!(%error, "metrics are lost");
    }
}

/// This happened to an email.
pub(crate) fn happened(kind: Kind) {
    let name = match kind {
        Kind::Bounce(Bounce::Permanent { .. }) => BOUNCES,
        Kind::Bounce(Bounce::Passing) => PASSING_BOUNCES,
        Kind::Complaint { spam: true, .. } => COMPLAINTS,
        Kind::Reject => REJECTS,
        Kind::RenderingFailure => RENDERING_FAILURES,
        Kind::DeliveryDelay => DELIVERY_DELAYS,
        // SES's own metrics count them.
        Kind::Delivery => return,
        Kind::Complaint { spam: false, .. } | Kind::Other => UNKNOWN_EVENTS,
    };
    counter!(name).increment(1);
}

/// A person gets no email any more.
pub(crate) fn suppressed() {
    counter!(SUPPRESSED).increment(1);
}

/// A message holds no event.
pub(crate) fn unreadable() {
    counter!(UNREADABLE_EVENTS).increment(1);
}

/// The breaker pauses fan-outs.
pub(crate) fn sending_paused() {
    counter!(SENDING_PAUSED).increment(1);
}
