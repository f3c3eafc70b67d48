//! The restock of which each subscriber gets an email, whatever else happens.

use std::collections::BTreeSet;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::json;

use crate::support::{Record, Shop, System, shared, tag, until};

fn seconds_ago(seconds: i64) -> String {
    Timestamp::from_second(Timestamp::now().as_second() - seconds).unwrap().to_string()
}

#[tokio::test]
async fn asking_twice_is_waiting_once_and_both_answers_have_the_same_body() {
    let shop = shared();
    let wish = || json!({ "email": "Repeat@example.com" });
    let first = shop.ask("repeat", wish()).await;
    let second = shop.ask("repeat", json!({ "email": "repeat@EXAMPLE.com" })).await;
    assert_eq!((first.status, second.status), (201, 200));
    assert_eq!(first.body, second.body);
    assert_eq!(shop.waiting("repeat").await, 1);

    shop.stock("repeat", json!({ "quantity": 1 })).await;
    shop.only_mail("repeat@example.com").await;

    // A notified subscriber waits no longer, so subscribing again is new.
    let third = shop.ask("repeat", wish()).await;
    assert_eq!((third.status, &third.json()["inStock"]), (201, &json!(true)));
    shop.stock("repeat", json!({ "quantity": 0 })).await;
    shop.stock("repeat", json!({ "quantity": 1 })).await;
    assert_eq!(shop.mails("repeat@example.com", 2).await.len(), 2);
}

#[tokio::test]
async fn nobody_keeps_another_address_from_being_told_by_writing_its_user_id() {
    let shop = shared();
    let wish = |email: &str| json!({ "userId": "user-7", "email": email });
    assert_eq!(shop.ask("one-user", wish("first@example.com")).await.status, 201);
    assert_eq!(shop.ask("one-user", wish("second@example.com")).await.status, 201);
    shop.stock("one-user", json!({ "quantity": 1 })).await;
    shop.only_mail("first@example.com").await;
    shop.only_mail("second@example.com").await;
}

#[tokio::test]
async fn twenty_requests_of_one_shopper_at_once_are_one_subscription() {
    let shop = shared();
    let asks = (0..20).map(|_| shop.ask("at-once", json!({ "email": "at-once@example.com" })));
    let statuses: Vec<u16> = join_all(asks).await.into_iter().map(|answer| answer.status).collect();
    assert!(statuses.iter().all(|status| [200, 201].contains(status)), "{statuses:?}");
    assert_eq!(shop.waiting("at-once").await, 1);
    shop.stock("at-once", json!({ "quantity": 1 })).await;
    shop.only_mail("at-once@example.com").await;
}

#[tokio::test]
async fn nobody_who_asks_during_a_fan_out_is_lost_or_told_twice_for_one_restock() {
    let shop = shared();
    let early: Vec<String> = (0..60).map(|n| format!("early-{n}@example.com")).collect();
    let late: Vec<String> = (0..60).map(|n| format!("late-{n}@example.com")).collect();
    join_all(early.iter().map(|to| shop.subscribe("meanwhile", to))).await;

    let (first, answered) = tokio::join!(
        shop.stock("meanwhile", json!({ "quantity": 9 })),
        join_all(late.iter().map(async |to| {
            shop.subscribe("meanwhile", to).await;
            Timestamp::now()
        })),
    );
    for to in &early {
        let mail = shop.only_mail(to).await;
        assert_eq!(tag(&mail, "restock"), first);
    }
    shop.stock("meanwhile", json!({ "quantity": 0 })).await;
    let second = shop.stock("meanwhile", json!({ "quantity": 9 })).await;

    for (to, answered) in late.iter().zip(answered) {
        let mails = shop.mails(to, 1).await;
        let restocks: BTreeSet<&str> = mails.iter().map(|mail| tag(mail, "restock")).collect();
        assert_eq!(restocks.len(), mails.len(), "two mails for one restock: {mails:#?}");
        assert!(restocks.iter().all(|restock| [first.as_str(), second.as_str()].contains(restock)));
        // The first email was faster than the answer, so they wait again.
        let overtaken = mails[0]["Timestamp"].as_str().unwrap().parse::<Timestamp>().unwrap() <= answered;
        assert!(mails.len() == 1 || overtaken, "{mails:#?}");
    }
    for to in &early {
        assert_eq!(shop.told(to).await, 1, "one email was enough: none of the second restock");
    }
}

#[tokio::test]
async fn a_restock_that_comes_twice_is_one_restock() {
    let shop = shared();
    shop.subscribe("twice", "twice@example.com").await;
    let record =
        r#"{"restockId":"twice-1","productId":"twice","quantity":5,"occurredAt":"2026-11-23T09:30:00Z"}"#;
    let record = Record { key: Some("twice"), ..Record::text(record) };
    shop.produce("item-restocked", &[record, record]);
    assert_eq!(tag(&shop.only_mail("twice@example.com").await, "restock"), "twice-1");

    shop.produce("item-restocked", &[record]);
    assert_eq!(shop.told("twice@example.com").await, 1);

    let key = [("idempotency-key", "twice-2")];
    let ids = [
        shop.stock_as("twice", json!({ "quantity": 5 }), &key).await,
        shop.stock_as("twice", json!({ "quantity": 5 }), &key).await,
    ];
    assert_eq!(ids, ["twice-2", "twice-2"], "the key is the restock");
    assert_eq!(shop.told("twice@example.com").await, 1);
}

#[tokio::test]
async fn a_callers_late_retry_of_a_restock_does_not_bring_it_back_after_the_sell_out() {
    let shop = shared();
    let key = [("idempotency-key", "retried-1")];
    shop.subscribe("retried", "retried-1@example.com").await;
    shop.stock_as("retried", json!({ "quantity": 5 }), &key).await;
    shop.only_mail("retried-1@example.com").await;
    shop.stock("retried", json!({ "quantity": 0 })).await;
    shop.rest().await;
    assert!(!shop.subscribe("retried", "retried-2@example.com").await, "sold out");

    shop.stock_as("retried", json!({ "quantity": 5 }), &key).await;

    assert_eq!(shop.told("retried-2@example.com").await, 0);
}

/// Each update of a product is a record whose sender does not say when it happened, unless that is given here.
async fn produce(shop: &Shop, product: &str, updates: &[(&str, u32, Option<i64>)]) {
    for (restock, quantity, ago) in updates {
        let mut update = json!({ "productId": product, "restockId": restock, "quantity": quantity });
        if let Some(ago) = ago {
            update["occurredAt"] = json!(seconds_ago(*ago));
        }
        shop.produce("item-restocked", &[Record { key: Some(product), ..Record::text(&update.to_string()) }]);
        shop.rest().await;
    }
}

#[tokio::test]
async fn an_id_given_to_several_deliveries_is_heard_each_time() {
    let shop = shared();
    for (product, sell_out, second) in [
        // A purchase order that brings the product twice, sold out under the same id, with and without times.
        ("order-1", ("po-1", 0, None), ("po-1", 9, None)),
        ("order-2", ("po-2", 0, None), ("po-2", 5, None)),
        ("order-3", ("po-3", 0, Some(20)), ("po-3", 5, Some(10))),
        // Sold out under another id: the time says that the second delivery is not a retry of the first.
        ("order-4", ("sold-4", 0, Some(20)), ("po-4", 5, Some(10))),
    ] {
        let [early, late] = ["early", "late"].map(|who| format!("{who}-{product}@example.com"));
        shop.subscribe(product, &early).await;
        let first = second.2.map(|_| 30);
        produce(&shop, product, &[(second.0, 5, first), sell_out]).await;
        shop.only_mail(&early).await;
        assert!(!shop.subscribe(product, &late).await, "sold out");
        produce(&shop, product, &[second]).await;
        shop.only_mail(&late).await;
        assert_eq!(shop.told(&early).await, 1);
    }
}

#[tokio::test]
async fn a_retry_without_a_time_of_its_own_undoes_nothing_that_came_after() {
    let shop = shared();
    produce(&shop, "undone-1", &[("sale-1", 0, None), ("truck-1", 7, None), ("sale-1", 0, None)]).await;
    assert!(shop.subscribe("undone-1", "undone-1@example.com").await, "it is still in stock");
    produce(&shop, "undone-2", &[("truck-2", 7, None), ("sale-2", 0, None)]).await;
    assert!(!shop.subscribe("undone-2", "undone-2@example.com").await, "sold out");
    produce(&shop, "undone-2", &[("truck-2", 7, None)]).await;
    assert_eq!(shop.told("undone-2@example.com").await, 0);
}

#[tokio::test]
async fn each_of_two_restocks_tells_whoever_asked_before_it() {
    let shop = shared();
    shop.subscribe("waves", "wave-1@example.com").await;
    let first = shop.stock("waves", json!({ "quantity": 3 })).await;
    assert_eq!(tag(&shop.only_mail("wave-1@example.com").await, "restock"), first);

    assert!(shop.subscribe("waves", "wave-2@example.com").await, "in stock, and so they are told");
    assert_eq!(shop.told("wave-2@example.com").await, 0);
    let second = shop.stock("waves", json!({ "quantity": 8 })).await;
    assert_eq!(tag(&shop.only_mail("wave-2@example.com").await, "restock"), second);
    assert_eq!(shop.told("wave-1@example.com").await, 1);
}

#[tokio::test]
async fn a_sell_out_tells_nobody_and_who_waits_is_told_by_the_next_restock() {
    let shop = shared();
    shop.subscribe("sold-out", "patient@example.com").await;
    shop.stock("sold-out", json!({ "quantity": 0 })).await;
    assert_eq!(shop.told("patient@example.com").await, 0);
    assert_eq!(shop.waiting("sold-out").await, 1);
    let restock = shop.stock("sold-out", json!({ "quantity": 1 })).await;
    assert_eq!(tag(&shop.only_mail("patient@example.com").await, "restock"), restock);
}

#[tokio::test]
async fn a_restock_and_its_sell_out_in_one_breath_lose_nobody() {
    let shop = shared();
    let waiting: Vec<String> = (0..40).map(|n| format!("breath-{n}@example.com")).collect();
    join_all(waiting.iter().map(|to| shop.subscribe("breath", to))).await;
    let at = |quantity: u32, ago| {
        json!({ "productId": "breath", "quantity": quantity, "occurredAt": seconds_ago(ago) }).to_string()
    };
    let (restock, sell_out) = (at(5, 20), at(0, 10));
    let record = |value| Record { key: Some("breath"), ..Record::text(value) };
    shop.produce("item-restocked", &[record(&restock), record(&sell_out)]);
    shop.rest().await;
    shop.stock("breath", json!({ "quantity": 5 })).await;
    for to in &waiting {
        shop.only_mail(to).await;
    }
}

#[tokio::test]
async fn a_level_feed_during_a_fan_out_leaves_no_jobs_and_holds_up_no_sell_out() {
    // 200 people are told in 10 seconds, in slices of 2.
    let system = System::start(&[], &[("SEND_RATE", "20"), ("SLICE_SECONDS", "2")]);
    let shop = system.shop();
    system.raise_shards("feed", 8).await;
    join_all((0..200).map(async |n| shop.subscribe("feed", &format!("feed-{n}@example.com")).await)).await;
    shop.stock("feed", json!({ "quantity": 1_000 })).await;
    until("the first told", async || (!shop.everything().await.is_empty()).then_some(())).await;
    for level in (980..1_000).rev() {
        shop.stock("feed", json!({ "quantity": level })).await;
    }
    shop.stock("feed", json!({ "quantity": 0 })).await;
    shop.rest().await;
    let told = shop.everything().await.len();
    assert!(told < 150, "the sell-out came too late: {told} were told");
    // One for each of eight shards after the head start, and after each slice; with one for each update it would be 160 more.
    let jobs = shop.count_of("notification-batches");
    assert!(jobs <= 48, "{jobs} jobs");
    // A subscriber without an email waits.
    shop.stock("feed", json!({ "quantity": 5 })).await;
    until("every subscriber notified", async || (shop.everything().await.len() == 200).then_some(())).await;
    assert_eq!(shop.waiting("feed").await, 0);
}

#[tokio::test]
async fn what_happened_earlier_than_what_is_known_changes_nothing() {
    let shop = shared();
    shop.stock("stale", json!({ "quantity": 0, "occurredAt": seconds_ago(60) })).await;
    shop.subscribe("stale", "stale@example.com").await;
    let late = shop.stock("stale", json!({ "quantity": 5, "occurredAt": seconds_ago(120) })).await;
    assert_eq!(shop.told("stale@example.com").await, 0);

    let restock = shop.stock("stale", json!({ "quantity": 5, "occurredAt": seconds_ago(30) })).await;
    assert_ne!(late, restock);
    assert_eq!(tag(&shop.only_mail("stale@example.com").await, "restock"), restock);

    // A sell-out that is older than the restock does not stop it either.
    shop.stock("stale", json!({ "quantity": 0, "occurredAt": seconds_ago(45) })).await;
    shop.rest().await;
    assert!(shop.subscribe("stale", "stale-2@example.com").await, "it is still in stock");
}

#[tokio::test]
async fn poison_among_good_records_goes_to_the_dead_letters_with_its_headers_and_the_reason() {
    let shop = shared();
    for n in [1, 2, 3] {
        shop.subscribe(&format!("good-{n}"), &format!("good-{n}@example.com")).await;
    }
    let good = |value| Record { partition: Some(1), ..Record::text(value) };
    let headers: [(&str, &[u8]); 2] = [("source", b"feed-7"), ("warehouse", "Zürich".as_bytes())];
    let torn = Record { headers: &headers, key: Some("k"), ..good(r#"{"productId":"#) };
    let binary = Record { value: Some(&[0xff, 0xfe, 0x00]), ..good("") };
    let tombstone = Record { value: None, key: Some("good-tombstone"), ..good("") };
    shop.produce(
        "item-restocked",
        &[good("good-1"), torn, good("good-2"), binary, tombstone, good("good-3")],
    );

    for n in [1, 2, 3] {
        shop.only_mail(&format!("good-{n}@example.com")).await;
    }
    let dead = shop.records("item-restocked-dlq");
    let find = |value: Option<&[u8]>| {
        let found = dead.iter().find(|(dead, _)| dead.as_deref() == value);
        &found.unwrap_or_else(|| panic!("{value:?} is not among {dead:?}")).1
    };
    let header = |headers: &[(String, Vec<u8>)], name: &str| {
        let found = headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        String::from_utf8(found.unwrap_or_default()).unwrap()
    };
    let torn = find(torn.value);
    assert_eq!((header(torn, "source"), header(torn, "warehouse")), ("feed-7".into(), "Zürich".into()));
    assert!(header(torn, "notify-me-reason").contains("is not JSON"), "{torn:?}");
    assert!(header(torn, "notify-me-source").starts_with("item-restocked-1@"), "{torn:?}");
    assert!(header(find(binary.value), "notify-me-reason").contains("UTF-8"));
    assert!(!dead.iter().any(|(value, _)| value.is_none()), "a tombstone is no poison: {dead:?}");
}

#[tokio::test]
async fn a_batch_of_nothing_but_poison_is_taken_apart_and_the_partition_goes_on() {
    let shop = shared();
    shop.subscribe("after-poison", "after-poison@example.com").await;
    // So many that the batch fails loudly, and is taken apart.
    let values: Vec<String> = (0..30).map(|n| format!("nothing but poison {n}")).collect();
    let poison: Vec<Record<'_>> =
        values.iter().map(|value| Record { partition: Some(2), ..Record::text(value) }).collect();
    shop.produce("item-restocked", &poison);
    shop.rest().await;
    shop.produce("item-restocked", &[Record { partition: Some(2), ..Record::text("after-poison") }]);
    shop.only_mail("after-poison@example.com").await;
    let dead = shop.records("item-restocked-dlq");
    for value in &values {
        let times = dead.iter().filter(|(dead, _)| dead.as_deref() == Some(value.as_bytes())).count();
        assert_eq!(times, 1, "{value}");
    }
}

#[tokio::test]
async fn a_job_that_cannot_be_read_is_poison_too() {
    let shop = shared();
    shop.produce("notification-batches", &[Record::text(r#"{"v":2,"productId":"from-the-future"}"#)]);
    shop.rest().await;
    let dead = shop.records("notification-batches-dlq");
    let found = dead.iter().filter(|(value, _)| value.as_deref().unwrap().ends_with(b"\"from-the-future\"}"));
    assert_eq!(found.count(), 1, "{dead:?}");
}

#[tokio::test]
async fn a_direct_invocation_with_a_list_answers_each_update_in_its_place() {
    let shop = shared();
    for product in ["listed-1", "listed-3"] {
        shop.subscribe(product, &format!("{product}@example.com")).await;
    }
    let list = json!([
        { "productId": "listed-1", "quantity": 4 },
        { "productId": "listed-2", "quantity": 4.5 },
        { "productId": "listed-3", "quantity": 4, "restockId": "listed-r3" },
        { "quantity": 4 },
    ]);
    let answers = shop.invoke("restock", &list).await.unwrap();
    assert_eq!(answers.as_array().unwrap().len(), 4, "{answers:#}");
    assert_eq!(answers[0]["productId"], "listed-1");
    assert_eq!((&answers[1]["status"], &answers[1]["field"]), (&json!(400), &json!("quantity")));
    assert_eq!(answers[2]["restockId"], "listed-r3");
    assert_eq!(answers[3]["field"], "productId");
    assert!(answers[2]["offset"].is_i64() && answers[2]["partition"].is_i64(), "{answers:#}");
    shop.only_mail("listed-1@example.com").await;
    assert_eq!(tag(&shop.only_mail("listed-3@example.com").await, "restock"), "listed-r3");
}

#[tokio::test]
async fn a_direct_invocation_that_cannot_be_used_fails_as_a_whole() {
    let shop = shared();
    for payload in [json!([]), json!({}), json!({ "productId": "p" }), json!(vec![json!({}); 1_001])] {
        let error = shop.invoke("restock", &payload).await.unwrap_err();
        assert_eq!(error["errorType"], "InvalidStockUpdate", "{error:#}");
    }
}
