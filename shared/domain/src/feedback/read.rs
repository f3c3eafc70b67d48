//! Reading an event of SES's, in each of the envelopes that it comes in. Of the event itself nothing is required but its type:
//! SES leaves fields out (delays and rendering failures come without headers), and adds new ones.

use jiff::Timestamp;
use serde_json::Value;

use super::{Bounce, Event, EventId, Kind};
use crate::fields::{Invalid, without_mark};
use crate::place;
use crate::{Address, Place, RestockId};

/// What an event may be, as refusals say it.
pub const ACCEPTED_EVENT: &str = "an event of SES's with its eventType, as it is, in an SNS notification, or as an EventBridge event's detail";

/// How SES begins the notification with which it tries a topic that it is to publish to. It is no JSON.
const TRIAL: &str = "Successfully validated SNS topic";

/// Reads the event in `body`: SES's JSON as it is (SNS with raw message delivery), as the `Message` of an SNS notification, or
/// as the `detail` of an EventBridge event.
///
/// # Errors
/// Where it is none of these: it stays unreadable however often it comes.
pub fn read(body: &str) -> Result<Event, Invalid> {
    if body.starts_with(TRIAL) {
        return Ok(trial(body));
    }
    let outer = json(body)?;
    if let (Some(_), Some(detail)) = (outer.get("detail-type"), outer.get("detail")) {
        return event(detail);
    }
    match (text(&outer, "/Type"), text(&outer, "/Message")) {
        (Some("Notification"), Some(message)) if message.starts_with(TRIAL) => Ok(trial(body)),
        (Some("Notification"), Some(message)) => event(&json(message)?),
        _ => event(&outer),
    }
}

fn json(text: &str) -> Result<Value, Invalid> {
    serde_json::from_slice(without_mark(text.as_bytes())).map_err(|error| {
        // The error's own text can quote what was sent.
        let problem = format!("is not JSON (line {}, column {})", error.line(), error.column());
        Invalid::new("event", problem, ACCEPTED_EVENT)
    })
}

fn trial(body: &str) -> Event {
    let id = EventId::of("trial", body);
    Event {
        id,
        kind: Kind::Other,
        recipients: vec![],
        at: None,
        restock: None,
        restock_tag: None,
        place: None,
    }
}

fn event(value: &Value) -> Result<Event, Invalid> {
    // Identities without a configuration set call it `notificationType`; the rest is the same.
    let name = text(value, "/eventType").or_else(|| text(value, "/notificationType"));
    let name = name.ok_or_else(|| Invalid::new("event", "has no eventType", ACCEPTED_EVENT))?;
    let kind = kind(name, value);
    let own = own(kind);
    let recipients = recipients(value, kind);
    if recipients.is_empty() && needs_recipients(kind) && place(value).is_none() {
        return Err(Invalid::new("event", "names no recipient that can be read", ACCEPTED_EVENT));
    }
    let tag = |name: &str| text(value, &format!("/mail/tags/{name}/0"));
    let at = own.and_then(|own| text(value, &format!("/{own}/timestamp")));
    let at = at.or_else(|| text(value, "/mail/timestamp")).and_then(|at| at.parse::<Timestamp>().ok());
    Ok(Event {
        id: id(name, value, own),
        kind,
        recipients,
        at,
        restock: tag("restock").and_then(RestockId::from_tag),
        restock_tag: tag("restock").map(str::to_owned),
        place: place(value),
    })
}

fn kind(name: &str, event: &Value) -> Kind {
    match name {
        "Bounce" => Kind::Bounce(bounce(event)),
        "Complaint" => Kind::Complaint {
            // The sign of a recipient who took the email out of the spam folder (RFC 6430).
            spam: text(event, "/complaint/complaintFeedbackType") != Some("not-spam"),
            listed: text(event, "/complaint/complaintSubType") == Some("OnAccountSuppressionList"),
        },
        "Delivery" => Kind::Delivery,
        "Reject" => Kind::Reject,
        "Rendering Failure" | "RenderingFailure" => Kind::RenderingFailure,
        "DeliveryDelay" => Kind::DeliveryDelay,
        _ => Kind::Other,
    }
}

fn bounce(event: &Value) -> Bounce {
    if text(event, "/bounce/bounceType") != Some("Permanent") {
        return Bounce::Passing;
    }
    let listed = text(event, "/bounce/bounceSubType");
    Bounce::Permanent { listed: matches!(listed, Some("Suppressed" | "OnAccountSuppressionList")) }
}

/// The field of its own that an event of this kind has.
fn own(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::Bounce(_) => Some("bounce"),
        Kind::Complaint { .. } => Some("complaint"),
        Kind::Delivery => Some("delivery"),
        Kind::DeliveryDelay => Some("deliveryDelay"),
        Kind::Reject | Kind::RenderingFailure | Kind::Other => None,
    }
}

/// A bounce and a complaint have an id of their own; of every other kind a message has one. Without either, the whole text
/// stands for it.
fn id(name: &str, event: &Value, own: Option<&str>) -> EventId {
    if let Some(feedback) = own.and_then(|own| text(event, &format!("/{own}/feedbackId"))) {
        return EventId::of("feedback", feedback);
    }
    match text(event, "/mail/messageId") {
        Some(message) => EventId::of(name, message),
        None => EventId::of("event", &event.to_string()),
    }
}

fn needs_recipients(kind: Kind) -> bool {
    matches!(kind, Kind::Bounce(_) | Kind::Complaint { spam: true, .. })
}

/// Those that the event names, or else all of the email: a provider may leave out which of them complained.
fn recipients(event: &Value, kind: Kind) -> Vec<Address> {
    let named = match kind {
        Kind::Bounce(_) => addresses(event, "/bounce/bouncedRecipients"),
        Kind::Complaint { .. } => addresses(event, "/complaint/complainedRecipients"),
        Kind::Delivery => addresses(event, "/delivery/recipients"),
        Kind::DeliveryDelay => addresses(event, "/deliveryDelay/delayedRecipients"),
        Kind::Reject | Kind::RenderingFailure | Kind::Other => vec![],
    };
    if named.is_empty() { addresses(event, "/mail/destination") } else { named }
}

/// The addresses of a list of texts, or of objects with an `emailAddress`. One that is no address is left out.
fn addresses(event: &Value, pointer: &str) -> Vec<Address> {
    let list = event.pointer(pointer).and_then(Value::as_array);
    let texts =
        list.into_iter().flatten().filter_map(|one| one.as_str().or_else(|| text(one, "/emailAddress")));
    texts.filter_map(|text| Address::parse(bare(text)).ok()).collect()
}

/// The address itself, without the display name that may stand before it.
fn bare(text: &str) -> &str {
    let named = text.trim().strip_suffix('>').and_then(|named| named.rsplit_once('<'));
    named.map_or(text, |(_, address)| address)
}

fn place(event: &Value) -> Option<Place> {
    let [place, more] = place::TAGS.map(|name| text(event, &format!("/mail/tags/{name}/0")));
    Place::read(place?, more)
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer)?.as_str()
}
