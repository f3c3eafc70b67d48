//! The function in process, on a table in memory, without SES and Kafka: stock updates that no subscriber waits for.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::{ProductId, RestockId};
use notify_me_notify::{App, Config, handle};
use serde_json::{Value, json};
use store::{Store, test_util};
use tokio::time::Instant;

async fn app() -> (App, Store) {
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    let store = test_util::store(&aws).await.unwrap();
    let settings = |name: &str| {
        let value = match name {
            // No broker listens there.
            "KAFKA_BOOTSTRAP_SERVERS" => "127.0.0.1:1",
            "SENDER" => "shop@example.com",
            "SHOP_NAME" => "Shop",
            "PRODUCT_URL" => "https://shop.example/p/{productId}",
            "UNSUBSCRIBE_URL" => "https://api.example/unsubscribe/{token}",
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
    for (restock, planned) in [("r-1", true), ("r-2", false), ("r-0", false), ("r-3", true)] {
        let plan = store.summaries().plan(&RestockId::parse(restock).unwrap()).await.unwrap();
        assert_eq!(plan.is_some(), planned, "{restock}");
        assert!(plan.is_none_or(|plan| plan.bound.is_none() && plan.shards.is_empty()), "no entry is there");
    }
    let schedule = json!({ "detail-type": "Scheduled Event", "detail": {} });
    let swept = handle(&app, schedule, until).await.unwrap();
    assert_eq!(swept, json!({ "open": 0, "putBack": 0 }));
}
