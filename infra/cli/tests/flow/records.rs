//! Records as other people's producers and mappings give them: what stands beside the value spoils nothing.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

use crate::support::{PATIENCE, Shop, System, shared};

fn record(product: &str, offset: i64) -> Value {
    let value = STANDARD.encode(json!({ "productId": product, "quantity": 1 }).to_string());
    json!({ "topic": "item-restocked", "partition": 0, "offset": offset, "timestamp": 1_795_426_200_000_i64,
        "timestampType": "CREATE_TIME", "headers": [], "value": value })
}

async fn both_told(shop: &Shop, name: &str, odd: Value) {
    let (spoiled, next) = (format!("odd-{name}"), format!("next-{name}"));
    for product in [&spoiled, &next] {
        shop.subscribe(product, &format!("{product}@example.com")).await;
    }
    let mut first = record(&spoiled, 1_000_001);
    for (field, value) in odd.as_object().unwrap() {
        first[field] = value.clone();
    }
    let records = json!({ "item-restocked-0": [first, record(&next, 1_000_002)] });
    let event =
        json!({ "eventSource": "SelfManagedKafka", "bootstrapServers": "b:9092", "records": records });
    let answer = shop.invoke("notify", &event).await;
    assert_eq!(answer.unwrap()["batchItemFailures"], json!([]), "{name}");
    for product in [&spoiled, &next] {
        shop.mails(&format!("{product}@example.com"), 1).await;
    }
}

#[tokio::test]
async fn odd_times_types_headers_and_keys_spoil_neither_their_record_nor_the_next() {
    let shop = shared();
    for (name, odd) in [
        ("no-time", json!({ "timestamp": -1, "timestampType": "NO_TIMESTAMP_TYPE" })),
        ("nanoseconds", json!({ "timestamp": 1_795_426_200_000_000_000_i64 })),
        ("largest", json!({ "timestamp": i64::MAX })),
        ("smallest", json!({ "timestamp": i64::MIN, "timestampType": 7 })),
        ("text", json!({ "timestamp": "yesterday", "key": { "not": "a key" } })),
        ("headers", json!({ "headers": [{ "headerKey": "aGVhZGVyVmFsdWU=" }] })),
        ("header-object", json!({ "headers": { "headerKey": null }, "key": "%%%" })),
        ("place", json!({ "topic": null, "partition": "none", "offset": "1000001" })),
        ("other-place", json!({ "topic": "somewhere else", "partition": -7, "offset": 1_000_001.0 })),
    ] {
        both_told(&shop, name, odd).await;
    }
}

#[tokio::test]
async fn an_update_from_a_clock_that_is_ahead_keeps_back_nothing_that_lies_behind_it() {
    let shop = shared();
    let now = jiff::Timestamp::now();
    let at = |seconds: i64| now + jiff::SignedDuration::from_secs(seconds);
    let update = |offset: i64, quantity: u32, at: jiff::Timestamp| {
        let body = json!({ "productId": "clocks", "quantity": quantity, "occurredAt": at });
        json!({ "offset": offset, "timestamp": at.as_millisecond(), "value": STANDARD.encode(body.to_string()) })
    };
    let invoke = async |records: &[Value]| {
        let event = json!({ "eventSource": "SelfManagedKafka", "bootstrapServers": "b:9092",
            "records": { "item-restocked-0": records } });
        let answer = shop.invoke("notify", &event).await;
        assert_eq!(answer.unwrap()["batchItemFailures"], json!([]));
    };
    // By its own clock, and so by its record's, it happens in four minutes. The restock behind it happened before it is read.
    let (ahead, honest) = (update(2_000_001, 0, at(240)), update(2_000_002, 5, at(-5)));
    shop.subscribe("clocks", "clocks@example.com").await;
    invoke(&[ahead.clone(), honest]).await;
    shop.only_mail("clocks@example.com").await;
    // Delivered once more, it undoes nothing.
    invoke(&[ahead]).await;
    assert!(shop.subscribe("clocks", "clocks-2@example.com").await, "it is still in stock");
}

#[tokio::test]
async fn what_is_no_record_goes_to_the_dead_letters_by_itself_and_those_beside_it_are_worked_on() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    shop.subscribe("beside", "beside@example.com").await;
    let tombstone = json!({ "topic": "item-restocked", "partition": 0, "offset": 6, "value": null });
    let useless = [json!(7), json!(null), json!({ "value": "eA==" }), json!({ "offset": 5, "value": "%%" })];
    let mut list = useless.to_vec();
    list.extend([tombstone, record("beside", 8)]);
    let event = json!({ "eventSource": "aws:kafka", "records": {
        "item-restocked-0": list,
        "item-restocked-1": { "in": "no list" },
        "notification-batches-4": ["a job?"],
        "nowhere": [{ "offset": 9, "value": 3 }],
    } });
    let answer = shop.invoke("notify", &event).await.unwrap();
    assert_eq!(answer["batchItemFailures"], json!([]), "all are taken");
    shop.only_mail("beside@example.com").await;
    assert_eq!(shop.records("item-restocked-dlq").len(), useless.len() + 2, "a tombstone is none of them");
    assert_eq!(shop.records("notification-batches-dlq").len(), 1);
}

#[tokio::test]
async fn a_record_compressed_with_any_codec_is_read() {
    let shop = shared();
    for codec in ["gzip", "snappy", "lz4", "zstd"] {
        let product = format!("codec-{codec}");
        shop.subscribe(&product, &format!("{product}@example.com")).await;
        let producer: FutureProducer = ClientConfig::new()
            .set("bootstrap.servers", &shop.ready.kafka)
            .set("compression.type", codec)
            .set("linger.ms", "20")
            .create()
            .unwrap();
        let value = json!({ "productId": product, "quantity": 1, "note": "x".repeat(3_000) }).to_string();
        let record = FutureRecord::<str, _>::to("item-restocked").payload(&value);
        producer.send(record, PATIENCE).await.unwrap();
        shop.only_mail(&format!("{product}@example.com")).await;
    }
}
