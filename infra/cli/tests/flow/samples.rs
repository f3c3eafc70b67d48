//! The sample events of the repository, given to the functions by the Invoke API.

use serde_json::{Value, json};

use crate::support::{Shop, System, sample};

/// The key that the samples' unsubscribe links are signed with.
const KEY: &str = "an-example-key-for-the-sample-events";

/// The key of the hash in the token of the alerts' page.
const PERSON_KEY: &str = "another-example-key-for-the-sample-events";

async fn http(shop: &Shop, function: &str, name: &str) -> (u64, Value) {
    let answer = shop.invoke(function, &sample(name)).await.unwrap();
    let body = answer["body"].as_str().unwrap();
    let body = serde_json::from_str(body).unwrap_or_else(|_| Value::from(body));
    (answer["statusCode"].as_u64().unwrap(), body)
}

async fn taken(shop: &Shop, name: &str) {
    let answer =
        shop.invoke("notify", &sample(name)).await.unwrap_or_else(|error| panic!("{name}: {error:#}"));
    assert_eq!(answer, json!({ "batchItemFailures": [] }), "{name}");
}

#[tokio::test]
async fn every_sample_event_is_answered_as_its_description_says() {
    let data = tempfile::tempdir().unwrap();
    std::fs::write(data.path().join("unsubscribe.key"), KEY).unwrap();
    std::fs::write(data.path().join("person.key"), PERSON_KEY).unwrap();
    let system = System::start(&["--data", data.path().to_str().unwrap()], &[]);
    let shop = system.shop();
    let status = async |function, name| http(&shop, function, name).await.0;

    // Shoppers.
    assert_eq!(status("subscribe", "http-subscribe.json").await, 201);
    assert_eq!(status("subscribe", "http-subscribe.json").await, 200);
    assert_eq!(status("subscribe", "http-subscribe-base64.json").await, 201);
    let (status_of_form, page) = http(&shop, "subscribe", "http-subscribe-form.json").await;
    assert!(status_of_form == 200 && page.as_str().unwrap().contains("lang=\"de\""), "{page:#}");
    let (status_of_count, count) = http(&shop, "subscribe", "http-count.json").await;
    assert_eq!((status_of_count, &count["waiting"]), (200, &json!(3)));
    for (name, expected, field) in [
        ("http-subscribe-base64-garbage.json", 400, json!("body")),
        ("http-subscribe-without-body.json", 400, json!("body")),
        ("http-wrong-method.json", 405, Value::Null),
        ("http-unknown-route.json", 404, Value::Null),
    ] {
        let (status, problem) = http(&shop, "subscribe", name).await;
        assert_eq!((status, &problem["field"]), (expected, &field), "{name}: {problem:#}");
    }
    let (status_of_page, page) = http(&shop, "subscribe", "http-alerts-page.json").await;
    assert_eq!(status_of_page, 200, "it is signed");
    assert!(page.as_str().unwrap().contains("data-state=\"waiting\""), "{page:#}");
    let (status_of_link, link) = http(&shop, "subscribe", "http-alerts-link.json").await;
    assert_eq!((status_of_link, &link["status"]), (202, &json!("accepted")));
    assert!(shop.only_mail("user1@example.com").await["Subject"].as_str().unwrap().contains("Your alerts"));
    shop.clear_inbox().await;
    assert_eq!(status("subscribe", "http-unsubscribe-page.json").await, 200, "it is signed");
    assert_eq!(status("subscribe", "http-unsubscribe-one-click.json").await, 200);

    for name in ["http-confirm-page.json", "http-confirm.json"] {
        assert_eq!(
            status("subscribe", name).await,
            410,
            "{name} is signed, and its ask is not in this table"
        );
    }

    // A restock of 09:30, then all that is to be told of it, and what comes again.
    taken(&shop, "kafka-msk-restock.json").await;
    for to in ["user1@example.com", "user2@example.com", "user3@example.com"] {
        let mail = shop.only_mail(to).await;
        assert!(mail["Subject"].as_str().unwrap().contains("iPhone 15"), "{mail:#}");
    }
    for name in [
        "kafka-msk-restock.json",
        "kafka-self-managed-restock.json",
        "kafka-msk-restock-without-restock-id.json",
        "kafka-msk-headers-with-negative-bytes.json",
        "kafka-msk-tombstone.json",
        "kafka-msk-poison-among-good.json",
        "kafka-msk-several-partitions-and-both-topics.json",
        "kafka-msk-batch-job.json",
        "kafka-self-managed-batch-job.json",
    ] {
        taken(&shop, name).await;
    }
    assert_eq!(shop.told("user1@example.com").await, 1, "one shopper, one restock, one mail");

    // Poison: three among good records, the job of a later version. Tombstones are none.
    let reasons = |topic| {
        let dead = shop.records(topic).into_iter();
        let header = |headers: Vec<(String, Vec<u8>)>| {
            headers.into_iter().find(|(name, _)| name == "notify-me-reason")
        };
        dead.map(|(_, headers)| header(headers).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(reasons("item-restocked-dlq"), [true; 2]);
    assert_eq!(reasons("notification-batches-dlq"), [true; 1]);
    taken(&shop, "kafka-msk-all-poison.json").await;
    assert_eq!(reasons("item-restocked-dlq").len(), 6, "a few are dead letters, even where all are poison");

    // Sold out at 11:00, in plain text back again whenever the record was written, and the sweep.
    for name in [
        "kafka-msk-sold-out.json",
        "kafka-msk-restock-plain-text.json",
        "kafka-self-managed-restock-plain-text.json",
        "kafka-msk-restock-plain-text-with-name.json",
    ] {
        taken(&shop, name).await;
    }
    let swept = shop.invoke("notify", &sample("notify-sweep.json")).await.unwrap();
    assert!(swept["open"].is_u64() && swept["putBack"].is_u64(), "{swept:#}");

    // The inventory service.
    // The restock that was told above.
    let (status_of_restock, known) = http(&shop, "restock", "http-restock.json").await;
    assert_eq!((status_of_restock, &known["productId"]), (200, &json!("iphone15")), "{known:#}");
    let (status_of_release, refused) = http(&shop, "restock", "http-restock-release.json").await;
    assert_eq!(status_of_release, 409, "{refused:#}");
    for name in ["http-stock-update.json", "http-stock-update-sold-out.json"] {
        let (status, answer) = http(&shop, "restock", name).await;
        assert_eq!((status, &answer["productId"]), (202, &json!("iphone15")), "{name}");
        let key = sample(name)["headers"]["idempotency-key"].clone();
        assert!(key.is_null() || answer["restockId"] == key, "{name}: {answer:#}");
    }
    let (status, answer) = http(&shop, "restock", "http-rules.json").await;
    assert_eq!((status, &answer["rules"]["perUnit"]), (200, &json!(2)), "{answer:#}");
    for name in ["restock-direct.json", "restock-direct-sold-out.json"] {
        let answer = shop.invoke("restock", &sample(name)).await.unwrap();
        assert_eq!(answer["productId"], "iphone15", "{name}: {answer:#}");
    }
    let answers = shop.invoke("restock", &sample("restock-direct-list.json")).await.unwrap();
    let fields: Vec<&Value> = answers.as_array().unwrap().iter().map(|answer| &answer["field"]).collect();
    assert_eq!(fields, [&Value::Null, &Value::Null, &json!("quantity"), &Value::Null], "{answers:#}");
    assert_eq!(answers[3]["restockId"], "r-macbook-1");

    // What SES reports, from a queue and from EventBridge.
    for name in [
        "feedback-sqs-delivery.json",
        "feedback-sqs-delivery-delay.json",
        "feedback-sqs-reject.json",
        "feedback-sqs-rendering-failure.json",
        "feedback-sqs-bounce-transient.json",
        "feedback-sqs-bounce-permanent.json",
        "feedback-sqs-raw-bounce.json",
        "feedback-sqs-complaint.json",
        "feedback-sqs-complaint-not-spam.json",
    ] {
        let answer = shop.invoke("feedback", &sample(name)).await.unwrap();
        assert_eq!(answer, json!({ "batchItemFailures": [] }), "{name}");
    }
    let poison = sample("feedback-sqs-poison-among-good.json");
    let again = json!([{ "itemIdentifier": poison["Records"][1]["messageId"] }]);
    assert_eq!(shop.invoke("feedback", &poison).await.unwrap()["batchItemFailures"], again);
    shop.invoke("feedback", &sample("feedback-eventbridge-bounce.json")).await.unwrap();

    every_sample_was_used();
}

/// A sample that no line above names would be one that nothing tests.
fn every_sample_was_used() {
    let used = concat!(include_str!("samples.rs"), include_str!("dead_letters.rs"));
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../events");
    let files =
        std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let unused: Vec<String> =
        files.filter(|name| name.ends_with(".json") && !used.contains(&format!("\"{name}\""))).collect();
    assert_eq!(unused, Vec::<String>::new());
}
