//! The rules of stock: waves, thresholds, stock that must hold, hours of the day, variants.

use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::support::{Shop, System, shared, until};

fn start(rules: &Value) -> System {
    System::start(&["--sweep", "1"], &[("RULES", &rules.to_string())])
}

fn people(product: &str, count: usize) -> Vec<String> {
    (0..count).map(|n| format!("{product}-{n}@example.com")).collect()
}

async fn crowd(shop: &Shop, product: &str, count: usize) -> Vec<String> {
    let people = people(product, count);
    for one in &people {
        shop.subscribe(product, one).await;
    }
    people
}

/// To whom emails have gone, in their order.
async fn told(shop: &Shop) -> Vec<String> {
    let to = |mail: &Value| mail["Destination"]["ToAddresses"][0].as_str().unwrap().to_owned();
    shop.everything().await.iter().map(to).collect()
}

async fn told_to(shop: &Shop, count: usize) -> Vec<String> {
    until("so many are told", async || (told(shop).await.len() >= count).then_some(())).await;
    told(shop).await
}

/// Long enough for several sweeps.
async fn sweeps() {
    tokio::time::sleep(Duration::from_secs(4)).await;
}

#[tokio::test]
async fn waves_tell_as_many_as_there_are_units_and_count_them_anew_before_each() {
    let system = start(&json!({ "perUnit": 1, "waveEvery": 2 }));
    let shop = system.shop();
    let people = crowd(&shop, "waves", 12).await;
    shop.stock("waves", json!({ "quantity": 4 })).await;
    assert_eq!(told_to(&shop, 4).await, people[..4]);
    assert_eq!(shop.waiting("waves").await, 8);
    // Two were sold: that starts nothing, and the next wave is as large as what is left.
    shop.stock("waves", json!({ "quantity": 2 })).await;
    assert_eq!(told(&shop).await.len(), 4);
    assert_eq!(told_to(&shop, 6).await, people[..6]);
    // Whoever asks now is told of the product by a later restock, and is not lost.
    shop.subscribe("waves", "late@example.com").await;
    // Sold out between two waves.
    shop.stock("waves", json!({ "quantity": 0 })).await;
    let before = told(&shop).await.len();
    assert!(before == 6 || before == 8, "{before}");
    sweeps().await;
    assert_eq!(told(&shop).await.len(), before);
    // And back: those whom no wave reached come first.
    shop.stock("waves", json!({ "quantity": 100 })).await;
    let all = told_to(&shop, 13).await;
    assert_eq!((&all[..12], all[12].as_str()), (&people[..], "late@example.com"));
    sweeps().await;
    assert_eq!(told(&shop).await.len(), 13);
}

#[tokio::test]
async fn a_threshold_is_the_new_zero_and_units_are_held_back() {
    let system = start(&json!({ "minStock": 3, "reserve": 2 }));
    let shop = system.shop();
    shop.subscribe("few", "few@example.com").await;
    shop.stock("few", json!({ "quantity": 4 })).await;
    sweeps().await;
    assert_eq!(told(&shop).await.len(), 0);
    assert_eq!(shop.request("GET", "/products/few", &[], "").await.json()["inStock"], false);
    shop.stock("few", json!({ "quantity": 5 })).await;
    shop.only_mail("few@example.com").await;
    // More and fewer of what is in stock start nothing; below the threshold and back do.
    shop.subscribe("few", "second@example.com").await;
    for quantity in [9, 6, 8] {
        shop.stock("few", json!({ "quantity": quantity })).await;
    }
    sweeps().await;
    assert_eq!(told(&shop).await.len(), 1);
    shop.stock("few", json!({ "quantity": 4 })).await;
    shop.stock("few", json!({ "quantity": 5 })).await;
    shop.only_mail("second@example.com").await;
}

#[tokio::test]
async fn stock_that_does_not_hold_tells_nobody_and_stock_that_does_tells_everybody() {
    let system = start(&json!({ "settle": 3 }));
    let shop = system.shop();
    shop.subscribe("flaps", "flaps@example.com").await;
    for _ in 0..3 {
        shop.stock("flaps", json!({ "quantity": 5 })).await;
        tokio::time::sleep(Duration::from_millis(800)).await;
        shop.stock("flaps", json!({ "quantity": 0 })).await;
    }
    sweeps().await;
    assert_eq!(told(&shop).await.len(), 0);
    shop.stock("flaps", json!({ "quantity": 5 })).await;
    shop.stock("flaps", json!({ "quantity": 4 })).await;
    assert_eq!(told(&shop).await.len(), 0);
    shop.only_mail("flaps@example.com").await;
}

#[tokio::test]
async fn no_email_goes_out_at_an_hour_that_the_rules_do_not_allow() {
    let hour = |hours: i64| {
        let at = Timestamp::now() + jiff::SignedDuration::from_hours(hours);
        at.to_zoned(TimeZone::UTC).strftime("%H:%M").to_string()
    };
    let closed = json!({ "window": { "from": hour(2), "to": hour(4), "zone": "Etc/UTC" } });
    let system = start(&closed);
    let shop = system.shop();
    shop.subscribe("hours", "hours@example.com").await;
    shop.stock("hours", json!({ "quantity": 5 })).await;
    sweeps().await;
    assert_eq!(told(&shop).await.len(), 0);
    // The update's own rules hold over the shop's.
    shop.stock("hours", json!({ "quantity": 0 })).await;
    let open = json!({ "from": hour(-2), "to": hour(2), "zone": "Etc/UTC" });
    shop.stock("hours", json!({ "quantity": 5, "rules": { "window": open } })).await;
    shop.only_mail("hours@example.com").await;
}

#[tokio::test]
async fn whoever_asked_for_any_size_is_told_once_when_one_comes_with_its_details() {
    let shop = shared();
    shop.subscribe("any-size", "any-size@example.com").await;
    shop.subscribe("size-m", "size-m@example.com").await;
    let comes = |size: &str| json!({ "quantity": 3, "parentId": "any-size", "product": { "name": size } });
    shop.stock("size-l", comes("Size L")).await;
    let mail = shop.only_mail("any-size@example.com").await;
    assert!(mail.to_string().contains("Size L"), "{mail}");
    shop.stock("size-m", comes("Size M")).await;
    shop.only_mail("size-m@example.com").await;
    shop.rest().await;
    assert_eq!(shop.mails("any-size@example.com", 1).await.len(), 1);
}
