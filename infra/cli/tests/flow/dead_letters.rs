//! What Lambda's own failure destination wrote: its documents are looked at and written back record by record.

use serde_json::{Value, json};

use crate::operator::document;
use crate::support::{Record, System, sample, until};

#[tokio::test]
async fn a_record_that_lambda_gave_up_is_listed_as_itself_and_written_back_to_its_topic() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    shop.subscribe("iphone15", "given-up@example.com").await;
    let letter = sample("dead-letter-of-lambda.json");
    shop.produce("item-restocked-dlq", &[Record::text(&letter.to_string())]);

    let list = document(&system, &["dead-letters", "list"]);
    let shown = &list["deadLetters"][0];
    for (field, expected) in [
        ("topic", json!("item-restocked-dlq")),
        ("offset", json!(0)),
        ("key", json!("iphone15")),
        ("reason", json!("RetriesExhausted: Unhandled")),
        ("source", json!("item-restocked-0@41")),
        ("valueIsKept", json!(true)),
        ("preview", json!(r#"{"productId":"iphone15","quantity":5,"restockId":"r-2026-11-23-0041"}"#)),
    ] {
        assert_eq!(shown[field], expected, "{field}: {list:#}");
    }
    let done = document(&system, &["dead-letters", "replay", "--topic", "item-restocked", "--offset", "0"]);
    assert_eq!(done["replayed"][0]["to"]["topic"], "item-restocked", "{done:#}");
    assert_eq!((&done["passed"], &done["notFound"]), (&json!([]), &json!([])), "{done:#}");
    shop.only_mail("given-up@example.com").await;
}

#[tokio::test]
async fn a_job_that_lambda_gave_up_comes_back_with_its_key_its_value_and_its_headers() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    // It cannot be read, so it ends among the dead letters again, and shows there how it came back.
    let mut job = sample("kafka-msk-batch-job.json")["records"]["notification-batches-3"][0].clone();
    job["value"] = json!("eyJ2IjoyfQ==");
    job["headers"] = json!([{ "trace": [97, -61, -92] }, { "trace": "Yg==" }]);
    let mut letter = sample("dead-letter-of-lambda.json");
    // One that is no record beside it keeps no other from coming back.
    letter["payload"]["records"] = json!({ "notification-batches-3": [7, job] });
    shop.produce("notification-batches-dlq", &[Record::text(&letter.to_string())]);

    let list = document(&system, &["dead-letters", "list", "--topic", "notification-batches"]);
    assert_eq!(list["deadLetters"].as_array().unwrap().len(), 2, "{list:#}");
    let done = document(&system, &["dead-letters", "replay", "--topic", "notification-batches", "--all"]);
    let count = |field: &str| done[field].as_array().unwrap().len();
    assert_eq!((count("replayed"), count("passed")), (1, 1), "{done:#}");
    assert_eq!(done["replayed"][0]["to"]["topic"], "notification-batches", "{done:#}");
    until("it again", async || (shop.records("notification-batches-dlq").len() == 2).then_some(())).await;
    let (value, headers) = shop.records("notification-batches-dlq").remove(1);
    assert_eq!(value.as_deref(), Some(&br#"{"v":2}"#[..]));
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["trace", "trace", "notify-me-replayed-from", "notify-me-reason", "notify-me-source"];
    assert_eq!(names, expected);
    assert_eq!((headers[0].1.as_slice(), headers[1].1.as_slice()), ("aä".as_bytes(), &b"b"[..]));
    assert_eq!(headers[2].1, b"notification-batches-dlq-0@0");
    let list = document(&system, &["dead-letters", "list", "--topic", "notification-batches"]);
    assert_eq!(list["deadLetters"][2]["key"], "iphone15#m0.3", "{list:#}");
}

#[tokio::test]
async fn a_record_that_lambda_left_out_is_passed_and_said_to_be_where_it_was() {
    let system = System::start(&[], &[]);
    let mut letter = sample("dead-letter-of-lambda.json");
    letter.as_object_mut().unwrap().remove("payload");
    letter["KafkaBatchInfo"]["recordsInfo"] =
        json!({ "item-restocked-2": { "firstRecordOffset": "41", "lastRecordOffset": "43" } });
    letter["KafkaBatchInfo"]["payloadSize"] = json!(2_039_086);
    system.shop().produce("item-restocked-dlq", &[Record::text(&letter.to_string())]);

    let list = document(&system, &["dead-letters", "list"]);
    let shown = &list["deadLetters"][0];
    assert_eq!(shown["source"], "item-restocked-2@41", "{list:#}");
    assert_eq!((&shown["valueIsKept"], &shown["valueBytes"]), (&json!(false), &json!(2_039_086)), "{list:#}");
    let done = document(&system, &["dead-letters", "replay", "--all"]);
    assert_eq!(done["replayed"], json!([]), "{done:#}");
    assert!(done["passed"][0]["why"].as_str().unwrap().contains("item-restocked-2@41"), "{done:#}");
}

#[tokio::test]
async fn a_stock_update_that_looks_like_lambdas_document_writes_nothing_anywhere_else() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    let mut forged = sample("dead-letter-of-lambda.json");
    let record = forged["payload"]["records"]["item-restocked-0"].take();
    forged["payload"]["records"] = json!({ "notification-batches-0": record });
    // It is no stock update, so `notify` puts it among the dead letters.
    shop.produce("item-restocked", &[Record::text(&forged.to_string())]);
    until("a dead letter", async || (!shop.records("item-restocked-dlq").is_empty()).then_some(())).await;

    let done = document(&system, &["dead-letters", "replay", "--topic", "item-restocked", "--all"]);
    let to: Vec<&Value> =
        done["replayed"].as_array().unwrap().iter().map(|replayed| &replayed["to"]["topic"]).collect();
    assert_eq!(to, ["item-restocked"], "{done:#}");
}
