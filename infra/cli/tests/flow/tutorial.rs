//! What a reader of the tutorial tries first.

use std::process::Command;

use serde_json::json;

use crate::support::{Record, System, repository, shared, tag, text};

#[tokio::test]
async fn everybody_who_waits_for_the_iphone_is_told_when_the_inventory_service_says_it_is_back() {
    let shop = shared();
    for user in ["user1", "user2", "user3"] {
        let wish = json!({ "userId": user, "email": format!("{user}@example.com") });
        let answer = shop.ask("iphone15", wish).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        assert_eq!(answer.json(), json!({ "productId": "iphone15", "status": "waiting", "inStock": false }));
    }
    assert_eq!(shop.waiting("iphone15").await, 3);

    let restock = shop.stock("iphone15", json!({ "quantity": 25 })).await;

    for user in ["user1", "user2", "user3"] {
        let mail = shop.only_mail(&format!("{user}@example.com")).await;
        assert_eq!(mail["Subject"], "iphone15 is back in stock");
        assert_eq!(tag(&mail, "restock"), restock);
        assert!(text(&mail).contains(&format!("{}/#product-iphone15", shop.api)), "{mail:#}");
    }
    assert_eq!(shop.waiting("iphone15").await, 0);
    assert_eq!(shop.inbox("user4@example.com").await, Vec::<serde_json::Value>::new());
}

#[tokio::test]
async fn any_kafka_producer_may_say_that_a_product_is_back_in_plain_text_without_a_key() {
    let shop = shared();
    for (product, value) in [
        ("plain-text", "plain-text"),
        ("plain-pair", "productId=plain-pair"),
        ("plain-json", r#"{"productId":"plain-json","warehouse":"north"}"#),
    ] {
        let to = format!("{product}@example.com");
        shop.subscribe(product, &to).await;
        shop.produce("item-restocked", &[Record::text(value)]);
        let mail = shop.only_mail(&to).await;
        assert_eq!(mail["Subject"], format!("{product} is back in stock"));
        assert!(
            tag(&mail, "restock").starts_with("item-restocked-"),
            "it is named after its record: {mail:#}"
        );
    }
}

#[tokio::test]
async fn records_of_all_three_partitions_are_read() {
    let shop = shared();
    for partition in 0..3 {
        let (product, to) = (format!("partition-{partition}"), format!("partition-{partition}@example.com"));
        shop.subscribe(&product, &to).await;
        let record = Record { partition: Some(partition), ..Record::text(&product) };
        shop.produce("item-restocked", &[record]);
        shop.only_mail(&to).await;
    }
}

#[tokio::test]
async fn the_tutorials_own_java_producer_brings_the_mail() {
    if std::env::var("NOTIFY_ME_WITHOUT_JAVA").is_ok_and(|value| value == "1") {
        eprintln!("*** NOT TESTED: the tutorial's Java producer (NOTIFY_ME_WITHOUT_JAVA=1) ***");
        return;
    }
    let system = System::start(&[], &[]);
    let shop = system.shop();
    shop.subscribe("iphone15", "user1@example.com").await;

    let jars =
        Command::new(repository().join("infra/real-parts")).args(["jars", "tutorial"]).output().unwrap();
    assert!(jars.status.success(), "{}", String::from_utf8_lossy(&jars.stderr));
    let jars = String::from_utf8(jars.stdout).unwrap();
    let sent = Command::new("java")
        .args(["-XX:TieredStopAtLevel=1", "-cp", &format!("{}/*", jars.trim())])
        .arg(repository().join("infra/java/TutorialProducer.java"))
        .args([&shop.kafka, "iphone15"])
        .output()
        .unwrap();
    assert!(sent.status.success(), "{}", String::from_utf8_lossy(&sent.stderr));

    let mail = shop.only_mail("user1@example.com").await;
    assert_eq!(mail["Subject"], "iphone15 is back in stock");
    assert!(tag(&mail, "restock").starts_with("item-restocked-"), "it is named after its record: {mail:#}");
}
