#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use serde_json::{Value, json};

use super::*;
use crate::{Position, ProductId, Shard};

fn place() -> Place {
    Place {
        product: ProductId::parse("a b/é").unwrap(),
        shard: Shard::mail(3),
        position: Position::new(7, 7),
    }
}

/// An event of this type with what is its own, as SES writes it.
fn event(name: &str, own: &str, value: Value) -> Value {
    let mut event = json!({
        "eventType": name,
        "mail": {
            "timestamp": "2026-11-23T09:30:00.000Z", "source": "Shop <shop@example.com>", "messageId": "m-1",
            "destination": ["ann@example.com"], "headersTruncated": false, "headers": [],
            "tags": { "ses:configuration-set": ["notify-me"], "restock": ["PO_207"] },
        },
    });
    for (name, value) in place().tags() {
        event["mail"]["tags"][name] = json!([value]);
    }
    event[own] = value;
    event
}

fn bounce(kind: &str, sub: &str) -> Value {
    let own = json!({
        "bounceType": kind, "bounceSubType": sub, "feedbackId": "f-1", "timestamp": "2026-11-23T09:30:01.000Z",
        "bouncedRecipients": [{ "emailAddress": "Ann <ann@example.com>", "action": "failed" }],
    });
    event("Bounce", "bounce", own)
}

fn complaint(kind: Value, sub: Value) -> Value {
    let own = json!({
        "complaintFeedbackType": kind, "complaintSubType": sub, "feedbackId": "f-1",
        "complainedRecipients": [{ "emailAddress": "ann@example.com" }],
    });
    event("Complaint", "complaint", own)
}

#[test]
fn each_event_has_its_kind_and_its_consequences() {
    use Came::{Bounced, Complained};
    let suppress = |reason| Reaction::Suppress(reason);
    let delivery = event("Delivery", "delivery", json!({ "recipients": ["ann@example.com"] }));
    let (bounced, complained) = (Some(Bounced), Some(Complained));
    for (event, reaction, came, in_rates) in [
        (bounce("Permanent", "General"), suppress(Reason::Bounce), bounced, bounced),
        (bounce("Permanent", "NoEmail"), suppress(Reason::Bounce), bounced, bounced),
        (bounce("Permanent", "Suppressed"), suppress(Reason::Bounce), bounced, None),
        (bounce("Permanent", "OnAccountSuppressionList"), suppress(Reason::Bounce), bounced, None),
        (bounce("Transient", "MailboxFull"), Reaction::CountBounce, bounced, None),
        (bounce("Undetermined", "Undetermined"), Reaction::CountBounce, bounced, None),
        (bounce("Newfangled", "General"), Reaction::CountBounce, bounced, None),
        (event("Bounce", "bounce", json!({})), Reaction::CountBounce, bounced, None),
        (complaint(json!("abuse"), json!(null)), suppress(Reason::Complaint), complained, complained),
        (complaint(json!(null), json!(null)), suppress(Reason::Complaint), complained, complained),
        (complaint(json!("not-spam"), json!(null)), Reaction::Nothing, None, None),
        (
            complaint(json!("abuse"), json!("OnAccountSuppressionList")),
            suppress(Reason::Complaint),
            complained,
            None,
        ),
        (delivery, Reaction::ForgetBounces, None, None),
        (event("Reject", "reject", json!({ "reason": "Bad content" })), Reaction::Nothing, None, None),
        (event("Rendering Failure", "failure", json!({})), Reaction::Nothing, None, None),
        (event("DeliveryDelay", "deliveryDelay", json!({})), Reaction::Nothing, None, None),
        (event("Send", "send", json!({})), Reaction::Nothing, None, None),
        (event("Whatever", "whatever", json!(7)), Reaction::Nothing, None, None),
    ] {
        let read = read(&event.to_string()).unwrap();
        assert_eq!(
            (read.kind.reaction(), read.kind.came(), read.kind.in_rates()),
            (reaction, came, in_rates),
            "{event}"
        );
    }
}

#[test]
fn an_event_is_the_same_in_every_envelope() {
    let bounce = bounce("Permanent", "General");
    let read_raw = read(&bounce.to_string()).unwrap();
    assert_eq!(read_raw.recipients, [Address::parse("ann@example.com").unwrap()]);
    assert_eq!(read_raw.restock, Some(RestockId::parse("PO 7").unwrap()));
    assert_eq!(read_raw.place, Some(place()));
    assert_eq!(read_raw.at, Some("2026-11-23T09:30:01Z".parse().unwrap()));
    let sns = json!({ "Type": "Notification", "MessageId": "x", "Message": bounce.to_string() });
    let bridge =
        json!({ "version": "0", "detail-type": "Email Bounced", "source": "aws.ses", "detail": bounce });
    for envelope in [sns, bridge] {
        assert_eq!(read(&envelope.to_string()), Ok(read_raw.clone()), "{envelope}");
    }
}

#[test]
fn an_event_is_known_by_its_feedback_or_by_its_message_and_type() {
    let id = |event: &Value| read(&event.to_string()).unwrap().id;
    let first = bounce("Permanent", "General");
    let mut other_message = first.clone();
    other_message["mail"]["messageId"] = json!("m-2");
    assert_eq!(id(&first), id(&other_message), "the same feedback");
    let mut other = first.clone();
    other["bounce"]["feedbackId"] = json!("f-2");
    assert_ne!(id(&first), id(&other));
    let (reject, delay) =
        (event("Reject", "reject", json!({})), event("DeliveryDelay", "deliveryDelay", json!({})));
    assert_ne!(id(&reject), id(&delay));
    let mut without = reject.clone();
    without["mail"] = json!({});
    assert_eq!(id(&without), id(&without));
    assert_ne!(id(&without), id(&reject));
}

#[test]
fn whatever_is_left_out_is_done_without() {
    for (text, recipients) in [
        (r#"{"eventType":"Delivery"}"#, 0),
        (r#"{"eventType":"Send","mail":{"tags":7,"destination":"x"}}"#, 0),
        (
            r#"{"notificationType":"Bounce","bounce":{"bouncedRecipients":[{"emailAddress":"a@example.com"}]}}"#,
            1,
        ),
        (r#"{"eventType":"Complaint","mail":{"destination":["a@example.com","not an address"]}}"#, 1),
        ("\u{feff}{\"eventType\":\"Open\",\"open\":{}}", 0),
    ] {
        let read = read(text).unwrap();
        assert_eq!((read.recipients.len(), read.restock, read.place), (recipients, None, None), "{text}");
    }
    let trial = json!({ "Type": "Notification", "Message": "Successfully validated SNS topic for Amazon SES event publishing." });
    for text in [trial.to_string(), trial["Message"].as_str().unwrap().to_owned()] {
        assert_eq!(read(&text).unwrap().kind, Kind::Other, "{text}");
    }
}

#[test]
fn what_is_no_event_is_refused_and_nothing_of_it_is_repeated() {
    for text in [
        "",
        "ann@example.com",
        "[]",
        "{}",
        r#"{"mail":{"destination":["ann@example.com"]}}"#,
        r#"{"Type":"Notification","Message":"ann@example.com"}"#,
        r#"{"Type":"SubscriptionConfirmation","Message":"ann@example.com","Token":"x"}"#,
        r#"{"eventType":"Bounce","bounce":{"bounceType":"Permanent"}}"#,
        r#"{"eventType":"Bounce","mail":{"destination":["ann at example.com"]}}"#,
    ] {
        let refused = read(text).unwrap_err().to_string();
        assert!(!refused.contains("ann"), "{text}: {refused}");
    }
}
