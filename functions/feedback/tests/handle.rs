//! The function in process, on a table in memory: what follows from each sample event, and that none counts twice.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use domain::suppression::Reason;
use domain::{Address, Locale, PersonId, PersonKey, Place, Position, ProductId, RestockId, Shard};
use jiff::Timestamp;
use notify_me_feedback::{App, Config, handle};
use serde_json::{Value, json};
use store::feedback::CameBack;
use store::subscription::Subscription;
use store::waitlist::Entry;
use store::{Store, test_util};

const KEY: &str = "a secret of sixteen bytes or more";
const SENDER: &str = "example.com";

async fn app(settings: &[(&str, &str)]) -> (App, Store) {
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    let store = test_util::store(&aws).await.unwrap();
    let lookup = |name: &str| {
        let own = settings.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
        let value = own.or(match name {
            "PERSON_KEY" => Some(KEY),
            "SENDER" => Some("shop@example.com"),
            _ => None,
        });
        value.map(str::to_owned)
    };
    (App::new(Config::read(&lookup).unwrap(), store.clone()), store)
}

fn sample(name: &str) -> Value {
    let file = format!("{}/../../events/feedback-{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap()
}

fn jo() -> PersonId {
    PersonKey::new(KEY).unwrap().person(&Address::parse("jo@example.com").unwrap())
}

fn product(text: &str) -> ProductId {
    ProductId::parse(text).unwrap()
}

async fn subscribe(store: &Store, person: PersonId, name: &str) {
    let now = Timestamp::now();
    let ttl = now.as_second() + 900;
    let position = Position::new(u64::try_from(now.as_millisecond()).unwrap(), 7);
    let subscription = Subscription {
        position,
        shard: Shard::mail(0),
        created_at: now,
        channel: "email".to_owned(),
        confirmed_at: None,
        locale: Locale::default(),
        user_id: None,
        by: None,
        pending: None,
        emailed: None,
        ttl,
    };
    let address = Address::parse("jo@example.com").unwrap();
    let entry =
        Entry { subscriber: person, address, locale: Locale::default(), name: None, moved: false, ttl };
    let inserted = store.subscriptions().insert(person, &product(name), &subscription, &entry).await;
    assert!(inserted.unwrap().is_applied());
}

async fn waits(store: &Store) -> usize {
    store.subscriptions().all_of(jo(), Timestamp::now()).await.unwrap().0.len()
}

async fn suppressed(store: &Store) -> Option<Reason> {
    store.persons().read(jo()).await.unwrap().suppressed.map(|suppression| suppression.reason)
}

async fn came_back(store: &Store) -> CameBack {
    store.feedback().of_restock(&RestockId::parse("r-1001").unwrap()).await.unwrap()
}

/// A bounce of a fan-out's email, by its number.
fn bounce(number: usize, kind: &str, sub: &str) -> Value {
    let place =
        Place { product: product("p"), shard: Shard::mail(0), position: Position::new(7, number as u128) };
    let mut event = json!({
        "eventType": "Bounce",
        "bounce": {
            "bounceType": kind, "bounceSubType": sub, "feedbackId": format!("f-{number}"),
            "bouncedRecipients": [{ "emailAddress": "jo@example.com" }],
        },
        "mail": { "messageId": format!("m-{number}"), "tags": { "restock": ["r-1001"] } },
    });
    for (name, value) in place.tags() {
        event["mail"]["tags"][name] = json!([value]);
    }
    event
}

fn batch(events: impl IntoIterator<Item = Value>) -> Value {
    let records = events.into_iter().enumerate();
    let records = records.map(|(n, event)| json!({ "messageId": n.to_string(), "body": event.to_string() }));
    json!({ "Records": records.collect::<Vec<_>>() })
}

#[tokio::test]
async fn each_sample_has_its_consequence_and_a_second_time_it_has_none() {
    let bounced = CameBack { bounced: 1, complained: 0 };
    let complained = CameBack { bounced: 0, complained: 1 };
    for (name, reason, left, came) in [
        ("sqs-bounce-permanent", Some(Reason::Bounce), 0, bounced),
        ("sqs-raw-bounce", Some(Reason::Bounce), 0, bounced),
        ("eventbridge-bounce", Some(Reason::Bounce), 0, bounced),
        ("sqs-bounce-transient", None, 2, bounced),
        ("sqs-complaint", Some(Reason::Complaint), 0, complained),
        ("sqs-complaint-not-spam", None, 2, CameBack::default()),
        ("sqs-delivery", None, 2, CameBack::default()),
        ("sqs-reject", None, 2, CameBack::default()),
        ("sqs-rendering-failure", None, 2, CameBack::default()),
        ("sqs-delivery-delay", None, 2, CameBack::default()),
    ] {
        let (app, store) = app(&[]).await;
        for wanted in ["iphone15", "camera"] {
            subscribe(&store, jo(), wanted).await;
        }
        let mut answers = vec![];
        for _ in 0..2 {
            answers.push(handle(&app, sample(name)).await.unwrap());
            assert_eq!(suppressed(&store).await, reason, "{name}");
            assert_eq!(waits(&store).await, left, "{name}");
            assert_eq!(came_back(&store).await, came, "{name}");
        }
        assert!(
            answers.iter().all(|answer| answer["batchItemFailures"].as_array().is_none_or(Vec::is_empty))
        );
        let counts = store.sending(SENDER).state(Timestamp::now()).await.unwrap().counts;
        let in_rates = if name.contains("transient") { 0 } else { came.bounced };
        assert_eq!((counts.bounced, counts.complained), (in_rates, came.complained), "{name}");
    }
}

#[tokio::test]
async fn a_message_that_holds_no_event_comes_again_alone() {
    let (app, store) = app(&[]).await;
    let sample = sample("sqs-poison-among-good");
    let answer = handle(&app, sample.clone()).await.unwrap();
    let poison = sample["Records"][1]["messageId"].clone();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": poison }] }));
    assert_eq!(suppressed(&store).await, Some(Reason::Complaint));
    let alone = handle(&app, json!({ "detail-type": "x", "detail": { "mail": {} } })).await;
    assert!(alone.is_err(), "what came without a queue is tried again by its source");
}

#[tokio::test]
async fn passing_bounces_suppress_after_so_many_in_a_row_and_a_delivery_begins_a_new_row() {
    let (app, store) = app(&[("BOUNCES_IN_A_ROW", "3")]).await;
    let bounces = async |from: usize, to: usize| {
        for number in from..=to {
            for _ in 0..2 {
                let event = bounce(number, "Transient", "MailboxFull");
                handle(&app, batch([event.clone(), event])).await.unwrap();
            }
        }
        (store.persons().read(jo()).await.unwrap().bounces, suppressed(&store).await)
    };
    assert_eq!(bounces(1, 2).await, (2, None));
    handle(&app, sample("sqs-delivery")).await.unwrap();
    assert_eq!(bounces(3, 4).await, (2, None));
    assert_eq!(bounces(5, 5).await, (3, Some(Reason::Bounce)));
    assert_eq!(came_back(&store).await.bounced, 5, "each once");
}

#[tokio::test]
async fn an_email_to_an_address_that_cannot_be_read_leads_to_its_subscriber_by_its_place() {
    let (app, store) = app(&[]).await;
    subscribe(&store, jo(), "p").await;
    let (subscriptions, _) = store.subscriptions().all_of(jo(), Timestamp::now()).await.unwrap();
    let place = Place { product: product("p"), shard: Shard::mail(0), position: subscriptions[0].1.position };
    let mut event = bounce(1, "Permanent", "General");
    event["bounce"]["bouncedRecipients"] = json!([{ "emailAddress": "redacted" }]);
    for (name, value) in place.tags() {
        event["mail"]["tags"][name] = json!([value]);
    }
    handle(&app, batch([event])).await.unwrap();
    assert_eq!((suppressed(&store).await, waits(&store).await), (Some(Reason::Bounce), 0));
}

#[tokio::test]
async fn fan_outs_pause_when_too_much_bounces_and_what_ses_did_not_try_does_not_count() {
    let (app, store) = app(&[("BREAKER_LEAST_SENT", "100")]).await;
    let sending = store.sending(SENDER);
    let sent =
        store::budget::SlotCount { slots: 100, hour: domain::breaker::hour(Timestamp::now()), forget: &[] };
    assert!(store.send_budget(SENDER).start(1, 1, sent).await.unwrap().is_applied());
    let many = |from: usize, count: usize, sub: &'static str| {
        batch((from..from + count).map(move |number| bounce(number, "Permanent", sub)))
    };
    handle(&app, many(0, 50, "OnAccountSuppressionList")).await.unwrap();
    handle(&app, many(50, 5, "General")).await.unwrap();
    let state = sending.state(Timestamp::now()).await.unwrap();
    assert_eq!((state.counts.sent, state.counts.bounced, state.paused), (100, 5, None));
    assert_eq!(came_back(&store).await.bounced, 55);
    handle(&app, many(55, 1, "General")).await.unwrap();
    let paused = sending.state(Timestamp::now()).await.unwrap().paused.unwrap();
    assert!(paused.why.contains("bounces"), "{}", paused.why);
    assert!(sending.resume().await.unwrap().is_applied());
    handle(&app, many(55, 1, "General")).await.unwrap();
    handle(&app, many(56, 9, "General")).await.unwrap();
    assert_eq!(sending.state(Timestamp::now()).await.unwrap().paused, None, "it counts anew");
}

#[tokio::test]
async fn a_restock_whose_id_is_too_long_for_a_tag_is_found_by_the_place() {
    let (app, store) = app(&[]).await;
    let restock = RestockId::parse(&"#".repeat(200)).unwrap();
    let planned = store::summary::Planned {
        restock_id: restock.clone(),
        product_id: product("p"),
        bound: Some(Position::END),
        shard_count: 1,
        priority_shard_count: None,
        shards: vec![Shard::mail(0)],
        planned_at: Timestamp::now(),
    };
    store.summaries().record_plan(&planned).await.unwrap();
    let mut event = bounce(1, "Permanent", "General");
    event["mail"]["tags"]["restock"] = json!([restock.tag()]);
    handle(&app, batch([event])).await.unwrap();
    assert_eq!(store.feedback().of_restock(&restock).await.unwrap().bounced, 1);
}
