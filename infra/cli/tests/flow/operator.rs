//! What the operator asks, of a system that runs: what is answered is what the inbox shows.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Record, System, until};

/// `notify-me` with these arguments against a running system, and this standard input.
pub(crate) fn ask(system: &System, arguments: &[&str], input: &str) -> Output {
    let mut process = Command::new(env!("CARGO_BIN_EXE_notify-me"))
        .args(arguments)
        .arg("--ready-file")
        .arg(&system.ready_file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
    process.wait_with_output().unwrap()
}

/// The one document that `--json` gives.
pub(crate) fn document(system: &System, arguments: &[&str]) -> Value {
    let Output { status, stdout, stderr } = ask(system, &[arguments, &["--json"]].concat(), "");
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    serde_json::from_slice(&stdout).unwrap()
}

/// What is said to people.
fn said(system: &System, arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } = ask(system, arguments, "");
    assert!(status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

fn told(system: &System, product: &str, address: &str) -> Value {
    document(system, &["told", product, address])
}

#[tokio::test]
async fn a_restocks_status_counts_who_was_told_and_refused_and_told_says_which_it_was() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    system.raise_shards("status", 8).await;
    let waiting: Vec<String> = (0..60).map(|n| format!("status-{n}@example.com")).collect();
    join_all(waiting.iter().map(|to| shop.subscribe("status", to))).await;
    shop.ses_faults(json!({ "statuses": { "status-7@example.com": { "status": "MESSAGE_REJECTED" } } }))
        .await;
    let first = shop.stock("status", json!({ "quantity": 5 })).await;
    until("every other subscriber notified", async || (shop.everything().await.len() >= 59).then_some(()))
        .await;
    shop.rest().await;
    shop.stock("status", json!({ "quantity": 0 })).await;
    shop.rest().await;
    shop.subscribe("status", "late@example.com").await;

    let status = document(&system, &["restock", "status", &first]);
    let total = &status["total"];
    for (number, expected) in
        [("planned", 60), ("sent", 59), ("failed", 1), ("skipped", 0), ("inDoubt", 0), ("left", 0)]
    {
        assert_eq!(total[number], expected, "{number}: {status:#}");
    }
    assert_eq!((&status["productId"], &status["openShards"]), (&json!("status"), &json!(0)), "{status:#}");
    assert_eq!((&status["inStock"], &status["isCurrent"]), (&json!(false), &json!(false)), "{status:#}");
    assert_eq!(status["failures"], json!([{ "reason": "MESSAGE_REJECTED", "count": 1 }]));
    let shards = status["shards"].as_array().unwrap();
    let sum: u64 = shards.iter().map(|shard| shard["sent"].as_u64().unwrap()).sum();
    assert_eq!((shards.len(), sum), (8, 59), "{status:#}");

    let refused = told(&system, "status", "status-7@example.com");
    assert_eq!((&refused["status"], &refused["reason"]), (&json!("failed"), &json!("MESSAGE_REJECTED")));
    let one = told(&system, "status", " Status-3@Example.com");
    assert_eq!(
        (&one["status"], &one["restocks"][0]["restockId"]),
        (&json!("told"), &json!(first)),
        "{one:#}"
    );
    let late = told(&system, "status", "late@example.com");
    assert_eq!((&late["status"], &late["before"]["overall"]), (&json!("waiting"), &json!(0)), "{late:#}");
    assert_eq!(told(&system, "status", "nobody@example.com")["status"], "unknown");

    let Output { status, stdout, stderr } = ask(&system, &["told", "status", "-"], "status-3@example.com\n");
    let said = String::from_utf8([stdout, stderr].concat()).unwrap();
    assert!(status.success() && said.contains("Notified of"), "{said}");
    assert!(!said.contains("@") && !said.to_lowercase().contains("status-3"), "an address is shown: {said}");
}

#[tokio::test]
async fn a_held_restock_says_so_is_released_by_hand_and_its_waves_are_counted() {
    let system = System::start(&["--sweep", "1"], &[]);
    let shop = system.shop();
    for n in 0..5 {
        shop.subscribe("held", &format!("held-{n}@example.com")).await;
    }
    let rules = json!({ "release": "manual", "waveSize": 2, "waveEvery": 600 });
    let restock = shop.stock("held", json!({ "quantity": 5, "rules": rules })).await;
    shop.rest().await;

    let status = document(&system, &["restock", "status", &restock]);
    assert_eq!((&status["held"], &status["rules"]), (&json!("release"), &rules), "{status:#}");
    assert_eq!((&status["next"]["what"], &status["wave"]), (&json!("release"), &Value::Null), "{status:#}");
    assert_eq!((&status["total"]["left"], &status["total"]["sent"]), (&json!(5), &json!(0)), "{status:#}");
    let people = said(&system, &["restock", "status", &restock]);
    assert!(people.contains("until it is released") && people.contains("waveSize 2"), "{people}");

    let shown = document(&system, &["restock", "release", &restock, "--dry-run"]);
    let expected = json!({
        "restockId": restock, "productId": "held", "inStock": true, "waiting": 5, "precision": "exact", "firstWave": 2,
        "released": false, "beginsAt": null,
    });
    assert_eq!(shown, expected);
    assert_eq!(document(&system, &["restock", "status", &restock])["held"], "release", "a dry run");
    let people = said(&system, &["restock", "release", &restock]);
    assert!(people.contains("up to 2") && people.contains("Released. It begins with"), "{people}");
    let Output { status, stderr, .. } = ask(&system, &["restock", "release", &restock], "");
    let why = String::from_utf8(stderr).unwrap();
    assert!(!status.success() && why.contains("is not held"), "{why}");

    until("the first wave is told, and the next is due", async || {
        let next = &document(&system, &["restock", "status", &restock])["next"];
        (next["what"] == "wave").then_some(())
    })
    .await;
    assert_eq!(shop.everything().await.len(), 2);
    let status = document(&system, &["restock", "status", &restock]);
    assert_eq!(
        (&status["held"], &status["wave"]["number"], &status["wave"]["size"]),
        (&Value::Null, &json!(1), &json!(2))
    );
    assert_eq!((&status["total"]["sent"], &status["total"]["left"]), (&json!(2), &json!(0)), "{status:#}");
    assert_eq!((&status["ceiling"]["left"], &status["ceiling"]["precision"]), (&json!(3), &json!("exact")));
    let shown = document(&system, &["waitlist", "show", "held"]);
    assert_eq!((&shown["product"]["next"], &shown["waiting"]), (&status["next"], &json!(3)), "{shown:#}");
    let people = said(&system, &["restock", "status", &restock]);
    assert!(people.contains("3 wait up to there") && people.contains("the next wave"), "{people}");
}

#[tokio::test]
async fn a_held_restock_is_shown_and_released_over_http_also_where_its_id_has_a_slash() {
    let system = System::start(&["--sweep", "1"], &[]);
    let shop = system.shop();
    shop.subscribe("http-held", "http-held@example.com").await;
    let update = json!({ "quantity": 5, "rules": { "release": "manual" } });
    let restock = shop.stock_as("http-held", update, &[("idempotency-key", "PO/7 a")]).await;
    shop.rest().await;
    assert_eq!(restock, "PO/7 a");

    let held = json!({
        "restockId": restock, "productId": "http-held", "inStock": true, "held": "release", "waiting": 1,
        "precision": "exact",
    });
    for path in ["/restocks/PO%2F7%20a", "/restocks/PO/7%20a"] {
        let answer = shop.request("GET", path, &[], "").await;
        assert_eq!((answer.status, answer.json()), (200, held.clone()), "{path}");
    }
    let released = shop.request("POST", "/restocks/PO%2F7%20a/release", &[], "").await;
    assert_eq!((released.status, &released.json()["held"]), (200, &json!("plan")), "{released:?}");
    assert!(released.json()["nextAt"].is_string(), "{released:?}");
    shop.mails("http-held@example.com", 1).await;
    let again = shop.request("POST", "/restocks/PO%2F7%20a/release", &[], "").await;
    assert_eq!(again.status, 409, "{again:?}");
    assert_eq!(shop.request("POST", "/restocks/none/release", &[], "").await.status, 404);
    let refused = shop.request("DELETE", "/restocks/none", &[], "").await;
    assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"), "{refused:?}");
}

#[tokio::test]
async fn a_fan_out_that_stands_still_shows_its_open_shards_and_everybody_is_left() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    system.raise_shards("still", 8).await;
    let waiting: Vec<String> = (0..40).map(|n| format!("still-{n}@example.com")).collect();
    join_all(waiting.iter().map(|to| shop.subscribe("still", to))).await;
    let paused = waiting.iter().map(|to| (to.clone(), json!({ "status": "ACCOUNT_SENDING_PAUSED" })));
    shop.ses_faults(json!({ "statuses": paused.collect::<serde_json::Map<_, _>>() })).await;
    let restock = shop.stock("still", json!({ "quantity": 5 })).await;
    until("the stop is said", async || system.log().contains("ACCOUNT_SENDING_PAUSED").then_some(())).await;
    shop.rest().await;

    let status = document(&system, &["restock", "status", &restock]);
    assert_eq!(
        (&status["total"]["left"], &status["total"]["planned"]),
        (&json!(40), &json!(40)),
        "{status:#}"
    );
    let shards = status["shards"].as_array().unwrap();
    let open = shards.iter().filter(|shard| shard["state"] == "open").collect::<Vec<_>>();
    assert_eq!(status["openShards"], open.len(), "{status:#}");
    assert!(!open.is_empty() && open.iter().all(|shard| shard["lastInLineAt"].is_string()), "{status:#}");
    let one = told(&system, "still", "still-3@example.com");
    assert_eq!(
        (&one["status"], &one["restocks"][0]["restockId"]),
        (&json!("beingTold"), &json!(restock)),
        "{one:#}"
    );

    shop.stock("still", json!({ "quantity": 0 })).await;
    shop.rest().await;
    assert_eq!(told(&system, "still", "still-3@example.com")["status"], "waiting", "it sold out before");
    let people = said(&system, &["restock", "status", &restock]);
    assert!(people.contains("sold out") && people.contains("total"), "{people}");
}

#[tokio::test]
async fn a_waitlist_is_shown_in_its_order_without_an_address_and_told_gives_the_place_in_it() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    system.raise_shards("queue", 3).await;
    for n in 0..5 {
        shop.subscribe("queue", &format!("queue-{n}@example.com")).await;
    }
    shop.ask("queue", json!({ "email": "queue-user@example.com", "userId": "user-5" })).await;

    let list = document(&system, &["waitlist", "show", "queue", "--limit", "4"]);
    assert_eq!(
        (&list["waiting"], &list["product"], &list["shardCount"]),
        (&json!(6), &Value::Null, &json!(3))
    );
    let first = list["first"].as_array().unwrap();
    let hashes: Vec<&Value> = first.iter().map(|place| &place["subscriber"]).collect();
    let asked: Vec<Value> =
        (0..4).map(|n| document(&system, &["told", "queue", &format!("queue-{n}@example.com")])).collect();
    assert_eq!(hashes, asked.iter().map(|told| &told["subscriber"]).collect::<Vec<_>>(), "{list:#}");
    for (n, told) in asked.iter().enumerate() {
        assert_eq!((&told["status"], &told["before"]["overall"]), (&json!("waiting"), &json!(n)), "{told:#}");
    }
    let user = document(&system, &["told", "queue", "queue-user@example.com"]);
    assert_eq!(user["before"]["overall"], 5, "{user:#}");
    let people = said(&system, &["waitlist", "show", "queue"]);
    assert!(
        people.contains("covered by bound") && !people.contains('@') && !people.contains("queue-0"),
        "{people}"
    );

    shop.stock("queue", json!({ "quantity": 5 })).await;
    shop.mails("queue-user@example.com", 1).await;
    shop.rest().await;
    let list = document(&system, &["waitlist", "show", "queue"]);
    assert_eq!(
        (&list["waiting"], &list["shardCount"]),
        (&json!(0), &json!(3)),
        "the product says it: {list:#}"
    );
    assert_eq!((&list["product"]["inStock"], &list["product"]["quantity"]), (&json!(true), &json!(5)));
}

#[tokio::test]
async fn what_is_not_known_or_cannot_be_used_is_said_and_fails_without_showing_an_address() {
    let system = System::start(&[], &[]);
    for (arguments, expected) in [
        (vec!["restock", "status", "no-such-restock"], "no restock no-such-restock is planned"),
        (vec!["restock", "status", "a\tb"], "an invalid character at position 2"),
        (vec!["waitlist", "show", "no-such-product"], "product no-such-product is not known"),
        (vec!["told", "no-such-product", "jo@example.org"], "product no-such-product is not known"),
        (vec!["told", "p", "jo@example.org and al"], "email"),
        (vec!["dead-letters", "list", "--topic", "no-such-topic"], "no topic no-such-topic-dlq"),
        (vec!["dead-letters", "replay"], "--all"),
        (
            vec!["dead-letters", "replay", "--topic", "item-restocked", "--offset", "99"],
            "not found: item-restocked-dlq-0@99",
        ),
    ] {
        let Output { status, stderr, .. } = ask(&system, &arguments, "");
        let said = String::from_utf8(stderr).unwrap();
        assert_eq!(status.code(), Some(1), "{arguments:?}: {said}");
        assert!(said.contains(expected) && !said.contains("jo@example.org"), "{arguments:?}: {said}");
    }
    let nowhere = Command::new(env!("CARGO_BIN_EXE_notify-me"))
        .args(["restock", "status", "r"])
        .env_remove("NOTIFY_ME_READY_FILE")
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("--ready-file"), "{nowhere:?}");
}

#[tokio::test]
async fn dead_letters_are_listed_masked_and_come_back_when_they_are_replayed() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    let poison = Record {
        key: Some("broken"),
        headers: &[("trace", b"abc")],
        ..Record::text("{\"email\":\"jo@example.org\",\u{1b}[2J")
    };
    // One at a time: a batch in which nothing can be read fails as a whole.
    shop.produce("item-restocked", &[poison]);
    until("a dead letter", async || (!shop.records("item-restocked-dlq").is_empty()).then_some(())).await;

    let list = document(&system, &["dead-letters", "list"]);
    let letter = &list["deadLetters"][0];
    assert_eq!(
        (&letter["topic"], &letter["key"]),
        (&json!("item-restocked-dlq"), &json!("broken")),
        "{list:#}"
    );
    assert!(letter["reason"].as_str().unwrap().contains("not JSON"), "{list:#}");
    let source = letter["source"].as_str().unwrap();
    assert!(source.starts_with("item-restocked-") && source.ends_with("@0"), "{list:#}");
    assert_eq!(letter["preview"], r#"{"email":"[address]",\u{1b}[2J"#);
    assert_eq!(letter["replayedFrom"], Value::Null);
    let people = said(&system, &["dead-letters", "list"]);
    assert!(people.contains("not JSON") && !people.contains("jo@") && !people.contains('\u{1b}'), "{people}");
    assert_eq!(document(&system, &["dead-letters", "list"]), list, "listing changes nothing");

    // It is as unreadable as before, so it comes to the dead letters again, and says from where.
    let replay = ["dead-letters", "replay", "--topic", "item-restocked", "--offset", "0"];
    let done = document(&system, &replay);
    assert_eq!(done["replayed"][0]["to"]["topic"], "item-restocked", "{done:#}");
    until("it again", async || (shop.records("item-restocked-dlq").len() == 2).then_some(())).await;
    let (value, headers) = shop.records("item-restocked-dlq").remove(1);
    assert!(String::from_utf8(value.unwrap()).unwrap().contains("jo@example.org"));
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["trace", "notify-me-replayed-from", "notify-me-reason", "notify-me-source"]);
    let list = document(&system, &["dead-letters", "list", "--topic", "item-restocked"]);
    assert_eq!(list["deadLetters"][1]["replayedFrom"], "item-restocked-dlq-0@0", "{list:#}");

    // A dead letter that can be read after all does what it says.
    shop.subscribe("replayed", "replayed@example.com").await;
    shop.produce("item-restocked-dlq", &[Record::text("replayed")]);
    let done = document(&system, &["dead-letters", "replay", "--topic", "item-restocked", "--offset", "0@2"]);
    assert_eq!((&done["replayed"][0]["offset"], &done["notFound"]), (&json!(2), &json!([])), "{done:#}");
    shop.only_mail("replayed@example.com").await;
}

#[tokio::test]
async fn poison_that_is_too_large_for_the_dead_letters_goes_there_shortened_and_its_partition_goes_on() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    shop.subscribe("behind", "behind@example.com").await;
    // A broker takes a little over 1 MiB unless it is told otherwise; a copy with the reason beside it is larger.
    let large = vec![b'{'; 1_048_300];
    let partition = Some(1);
    let poison = Record { key: Some("large"), value: Some(&large), partition, ..Record::default() };
    shop.produce("item-restocked", &[poison, Record { partition, ..Record::text("behind") }]);

    shop.only_mail("behind@example.com").await;
    let (value, headers) = shop.records("item-restocked-dlq").remove(0);
    assert_eq!(value, None);
    let header = |name: &str| {
        let found =
            headers.iter().find(|(found, _)| found == name).unwrap_or_else(|| panic!("{name} is missing"));
        String::from_utf8_lossy(&found.1).into_owned()
    };
    assert_eq!(header("notify-me-value-bytes"), "1048300");
    assert_eq!(header("notify-me-source"), "item-restocked-1@0");
    assert!(header("notify-me-reason").contains("stays at its source"), "{}", header("notify-me-reason"));
    let list = document(&system, &["dead-letters", "list"]);
    let letter = &list["deadLetters"][0];
    assert_eq!(
        (&letter["valueBytes"], &letter["valueIsKept"]),
        (&json!(1_048_300), &json!(false)),
        "{list:#}"
    );
    let done = document(&system, &["dead-letters", "replay", "--all"]);
    assert_eq!(
        (done["replayed"].as_array().unwrap().len(), done["passed"].as_array().unwrap().len()),
        (0, 1)
    );
}

#[tokio::test]
async fn a_batch_that_lambda_itself_gave_up_is_listed_and_replayed_record_by_record() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    for product in ["given-up-1", "given-up-2"] {
        shop.subscribe(product, &format!("{product}@example.com")).await;
    }
    let record = |offset: u64, product: &str| {
        let value = STANDARD.encode(json!({ "productId": product, "quantity": 1 }).to_string());
        json!({ "topic": "item-restocked", "partition": 0, "offset": offset, "timestamp": 1, "value": value, "headers": [] })
    };
    let records = json!({ "item-restocked-0": [record(41, "given-up-1"), record(42, "given-up-2")] });
    let letter = json!({
        "requestContext": { "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 101 },
        "responseContext": { "statusCode": 200, "functionError": "Unhandled" },
        "version": "1.0",
        "KafkaBatchInfo": { "batchSize": 2 },
        "payload": { "eventSource": "aws:kafka", "records": records },
    });
    shop.produce("item-restocked-dlq", &[Record::text(&letter.to_string())]);

    let list = document(&system, &["dead-letters", "list", "--topic", "item-restocked"]);
    let sources: Vec<&str> = list["deadLetters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|letter| letter["source"].as_str().unwrap())
        .collect();
    assert_eq!(sources, ["item-restocked-0@41", "item-restocked-0@42"], "{list:#}");
    assert_eq!(list["deadLetters"][0]["reason"], "RetryAttemptsExhausted: Unhandled");
    let done = document(&system, &["dead-letters", "replay", "--topic", "item-restocked", "--all"]);
    assert_eq!(done["replayed"].as_array().unwrap().len(), 2, "{done:#}");
    for product in ["given-up-1", "given-up-2"] {
        shop.only_mail(&format!("{product}@example.com")).await;
    }
}
