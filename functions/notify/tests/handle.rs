//! The function in process, on a table in memory, without SES and Kafka.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::record::Record;
use domain::stock::StockUpdate;
use domain::{Address, Locale, PersonId, Position, ProductId, RestockId, Shard};
use jiff::Timestamp;
use notify_me_notify::{App, Config, handle};
use serde_json::{Value, json};
use store::subscription::Subscription;
use store::unplanned::Unplanned;
use store::waitlist::Entry;
use store::{Store, test_util};
use tokio::time::Instant;

async fn app() -> (App, Store) {
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    let store = test_util::store(&aws).await.unwrap();
    let settings = |name: &str| {
        let value = match name {
            // No broker listens there.
            "KAFKA_BOOTSTRAP_SERVERS" => "127.0.0.1:1",
            "DELIVERY_TIMEOUT_MS" => "50",
            "SENDER" => "shop@example.com",
            "SHOP_NAME" => "Shop",
            "PRODUCT_URL" => "https://shop.example/p/{productId}",
            "UNSUBSCRIBE_URL" => "https://api.example/unsubscribe/{token}",
            "ALERTS_URL" => "https://api.example/alerts/{token}",
            "UNSUBSCRIBE_KEY" => "a secret of sixteen bytes or more",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let app = App::new(Config::read(&settings).unwrap(), &aws, store.clone()).unwrap();
    (app, store)
}

/// An event with one record, written a minute into 2026, whose update happened in this second of it.
fn event(offset: u64, restock: &str, quantity: u64, second: u64) -> Value {
    let update = json!({
        "restockId": restock, "productId": "p", "quantity": quantity,
        "occurredAt": format!("2026-01-01T00:00:{second:02}Z"),
    });
    let record = json!({
        "topic": "item-restocked", "partition": 0, "offset": offset, "timestamp": 1_767_225_660_000_u64,
        "timestampType": "CREATE_TIME", "value": STANDARD.encode(update.to_string()), "headers": [],
    });
    json!({ "eventSource": "aws:kafka", "records": { "item-restocked-0": [record] } })
}

#[tokio::test]
async fn the_latest_update_of_a_product_stands_in_whatever_order_they_come() {
    let (app, store) = app().await;
    let product = ProductId::parse("p").unwrap();
    let until = Instant::now() + Duration::from_secs(30);
    for (offset, restock, quantity, second, stands) in [
        (0, "r-1", 5, 10, ("r-1", true)),
        (1, "r-2", 0, 20, ("r-2", false)),
        (2, "r-0", 7, 5, ("r-2", false)),
        (3, "r-3", 7, 30, ("r-3", true)),
        (3, "r-3", 7, 30, ("r-3", true)),
    ] {
        handle(&app, event(offset, restock, quantity, second), until).await.unwrap();
        let known = store.products().get(&product).await.unwrap().unwrap();
        assert_eq!((known.restock_id.as_str(), known.in_stock()), stands, "{restock}");
        assert_eq!(known.is_planned(), known.in_stock(), "{restock}");
    }
    let plan = store.summaries().plan(&RestockId::parse("r-3").unwrap(), Timestamp::now()).await.unwrap();
    assert!(plan.is_none(), "there is nothing to say of a restock that no subscriber waits for");
    let schedule = json!({ "detail-type": "Scheduled Event", "detail": {} });
    let swept = handle(&app, schedule, until).await.unwrap();
    assert_eq!(swept, json!({ "open": 0, "putBack": 0, "planned": 0, "due": 0 }));
}

/// The updates whose planning failed, by product and offset.
async fn unplanned(store: &Store) -> Vec<i64> {
    let mut pages = store.unplanned().all();
    let mut found = Vec::new();
    while let Some(page) = pages.next().await.unwrap() {
        found.extend(page.into_iter().map(|row| row.unwrap().offset));
    }
    found
}

#[tokio::test]
async fn an_update_whose_planning_fails_is_written_down() {
    let (app, store) = app().await;
    let (product, until) = (ProductId::parse("p").unwrap(), Instant::now() + Duration::from_secs(30));
    handle(&app, event(0, "r-1", 5, 10), until).await.unwrap();
    assert!(unplanned(&store).await.is_empty());
    // In stock and planned: what waits goes to the topic, and Kafka is away.
    let (subscriber, position) = (PersonId::from_bytes([1; 16]), Position::new(1, 0));
    let ttl = Timestamp::now().as_second() + 900;
    let subscription = Subscription {
        position,
        shard: Shard::mail(0),
        created_at: Timestamp::now(),
        channel: "email".to_owned(),
        confirmed_at: None,
        locale: Locale::default(),
        user_id: None,
        by: None,
        pending: None,
        emailed: None,
        ttl,
    };
    let entry = Entry {
        subscriber,
        address: Address::parse("one@example.com").unwrap(),
        locale: Locale::default(),
        name: None,
        moved: false,
        ttl,
    };
    let inserted = store.subscriptions().insert(subscriber, &product, &subscription, &entry).await;
    assert!(inserted.unwrap().is_applied());
    for (offset, restock, stands) in [(1, "r-2", 1), (3, "r-4", 3), (2, "r-3", 3)] {
        let failed = handle(&app, event(offset, restock, 9, 20 + offset), until).await;
        assert_eq!(failed.is_err(), offset >= stands, "{restock}");
        assert_eq!(unplanned(&store).await, [i64::try_from(stands).unwrap()], "{restock}");
    }
}

#[tokio::test]
async fn the_sweep_plans_what_an_event_source_has_given_up() {
    let (app, store) = app().await;
    let until = Instant::now() + Duration::from_secs(30);
    let sweep = async |seconds: u64| {
        let detail = json!({ "olderThanSeconds": seconds });
        let swept = handle(&app, json!({ "detail-type": "Scheduled Event", "detail": detail }), until).await;
        swept.unwrap()["planned"].clone()
    };
    for (product, quantity) in [("back", 5), ("gone", 0)] {
        let update = json!({ "productId": product, "restockId": "r", "quantity": quantity }).to_string();
        let update = StockUpdate::from_record(Some(update.as_bytes())).unwrap().update;
        let record = Record {
            topic: "item-restocked".to_owned(),
            partition: 0,
            offset: 7,
            written_ms: 1_767_225_660_000,
            key: None,
            value: None,
            headers: vec![],
            fault: None,
        };
        let failed = Unplanned::new(&record, &update, Timestamp::now()).unwrap();
        assert!(store.unplanned().record(&update.product_id, &failed).await.unwrap().is_applied());
    }
    assert_eq!(sweep(900).await, 0, "their event source still tries");
    assert_eq!(sweep(0).await, 2);
    for (product, in_stock) in [("back", true), ("gone", false)] {
        let known = store.products().get(&ProductId::parse(product).unwrap()).await.unwrap().unwrap();
        assert_eq!((known.in_stock(), known.is_planned()), (in_stock, in_stock), "{product}");
        assert_eq!(known.version.at(), Timestamp::from_millisecond(1_767_225_660_000).ok());
    }
    assert_eq!((sweep(0).await, unplanned(&store).await), (json!(0), vec![]), "once");
}
