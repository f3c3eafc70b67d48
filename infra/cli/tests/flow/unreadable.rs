//! Items of the table that cannot be read, as a rule that was tightened, an import or a person's hand leaves them: each is
//! one outcome of its own, and everything else goes on.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::support::{Shop, System, header, until};

type Item = HashMap<String, AttributeValue>;

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn key(item: &Item) -> (&str, &str) {
    (item["pk"].as_s().unwrap(), item["sk"].as_s().unwrap())
}

/// The items whose partition key begins so.
async fn items(system: &System, prefix: &str) -> Vec<Item> {
    let scanned = system.dynamodb().scan().table_name(&system.ready.table).send().await.unwrap();
    let of_prefix = |item: &Item| key(item).0.starts_with(prefix);
    scanned.items.unwrap_or_default().into_iter().filter(of_prefix).collect()
}

async fn put(system: &System, item: Item) {
    let put = system.dynamodb().put_item().table_name(&system.ready.table).set_item(Some(item));
    put.send().await.unwrap();
}

async fn sweep(shop: &Shop) -> Value {
    let event = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": { "olderThanSeconds": 0 } });
    shop.invoke("notify", &event).await.unwrap()
}

async fn wait_for(shop: &Shop, product: &str, people: usize) -> Vec<String> {
    let people: Vec<String> = (0..people).map(|n| format!("{product}-{n}@example.com")).collect();
    join_all(people.iter().map(|to| shop.subscribe(product, to))).await;
    people
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_passed_as_failed_and_everybody_else_is_told() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    system.raise_shards("rows", 8).await;
    let people = wait_for(&shop, "rows", 60).await;
    let entries: Vec<Item> =
        items(&system, "W#rows#").await.into_iter().filter(|item| key(item).1.starts_with("E#")).collect();
    assert_eq!(entries.len(), people.len());
    // One of each kind, in whichever shards they are; what an email can do without spoils nothing.
    let odd: [(&str, Option<AttributeValue>); 5] = [
        ("address", Some(s("not an address"))),
        ("address", None),
        ("address", Some(AttributeValue::N("1".to_owned()))),
        ("locale", Some(AttributeValue::N("1".to_owned()))),
        ("ttl", Some(s("never"))),
    ];
    for (entry, (field, value)) in entries.iter().zip(odd) {
        let mut entry = entry.clone();
        match value {
            Some(value) => entry.insert(field.to_owned(), value),
            None => entry.remove(field),
        };
        put(&system, entry).await;
    }
    // At the end of each shard, where a plan looks for the last position.
    for shard in 0..8 {
        let stray = [("pk", s(&format!("W#rows#m0.{shard}"))), ("sk", s("E#zzz"))];
        put(&system, stray.map(|(name, value)| (name.to_owned(), value)).into()).await;
    }

    let restock = shop.stock("rows", json!({ "quantity": 5 })).await;
    until("every other subscriber notified", async || (shop.everything().await.len() >= 57).then_some(()))
        .await;
    shop.rest().await;
    assert_eq!(shop.everything().await.len(), 57, "no subscriber gets two");
    let failed: Vec<Item> = items(&system, &format!("R#{restock}"))
        .await
        .into_iter()
        .filter(|item| key(item).1.starts_with("FAILED#"))
        .collect();
    assert_eq!(failed.len(), 3, "{failed:?}");
    assert!(failed.iter().all(|item| item["reason"] == s("UNREADABLE")), "{failed:?}");
    let counted = items(&system, &format!("R#{restock}")).await.into_iter();
    let counted = counted.filter(|item| key(item).1.starts_with("SHARD#"));
    let failed: u64 = counted.map(|item| item["failed"].as_n().unwrap().parse::<u64>().unwrap()).sum();
    assert_eq!(failed, 3, "the summary counts them");
    assert!(items(&system, "OPEN#").await.is_empty(), "the fan-out has ended");
    assert!(!system.log().contains("not an address"), "an item is shown");
}

#[tokio::test]
async fn a_shard_whose_cursor_cannot_be_read_stands_still_alone_until_it_is_mended() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    system.raise_shards("cursor", 8).await;
    wait_for(&shop, "cursor", 40).await;
    wait_for(&shop, "other", 5).await;
    let entries = items(&system, "W#cursor#").await;
    let shard = key(&entries[0]).0.to_owned();
    let in_shard = entries.iter().filter(|item| key(item).0 == shard).count();
    let cursor = [("pk", s(&shard)), ("sk", s("CURSOR")), ("committed", AttributeValue::Bool(true))];
    put(&system, cursor.map(|(name, value)| (name.to_owned(), value)).into()).await;

    shop.stock("cursor", json!({ "quantity": 5 })).await;
    shop.stock("other", json!({ "quantity": 5 })).await;
    let told = 45 - in_shard;
    until("all other shards told", async || (shop.everything().await.len() >= told).then_some(())).await;
    shop.rest().await;
    assert_eq!(shop.everything().await.len(), told);
    assert_eq!(items(&system, "OPEN#").await.len(), 1, "its fan-out stays open");
    assert_eq!(items(&system, "UNREADABLE").await.len(), 1, "it is written down");
    assert_eq!(sweep(&shop).await["putBack"], 1, "and a sweep tries it again");
    shop.rest().await;

    let mended = system.dynamodb().delete_item().table_name(&system.ready.table);
    mended.key("pk", s(&shard)).key("sk", s("CURSOR")).send().await.unwrap();
    sweep(&shop).await;
    until("the shard told", async || (shop.everything().await.len() >= 45).then_some(())).await;
    shop.rest().await;
    assert_eq!(shop.everything().await.len(), 45, "no subscriber gets two");
}

#[tokio::test]
async fn a_product_that_cannot_be_read_sends_its_updates_to_the_dead_letters_and_holds_up_no_other() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    wait_for(&shop, "intact", 2).await;
    let product = [("pk", s("P#broken")), ("sk", s("STATE")), ("version", AttributeValue::Bool(true))];
    put(&system, product.map(|(name, value)| (name.to_owned(), value)).into()).await;
    shop.stock("broken", json!({ "quantity": 5 })).await;
    shop.stock("broken", json!({ "quantity": 6 })).await;
    shop.stock("intact", json!({ "quantity": 5 })).await;
    until("the others told", async || (shop.everything().await.len() >= 2).then_some(())).await;
    until("dead letters", async || (shop.records("item-restocked-dlq").len() == 2).then_some(())).await;
    shop.rest().await;
}

#[tokio::test]
async fn who_cannot_be_read_can_still_leave_and_ask_again() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    wait_for(&shop, "left", 1).await;
    shop.stock("left", json!({ "quantity": 1 })).await;
    let mail = shop.only_mail("left-0@example.com").await;
    let link = header(&mail, "List-Unsubscribe").trim_matches(['<', '>']).to_owned();
    let path = link.replace(&shop.ready.api, "");
    let entry = items(&system, "W#left#").await.into_iter().find(|item| key(item).1.starts_with("E#"));
    let mut entry = entry.unwrap();
    entry.insert("address".to_owned(), s("not an address"));
    put(&system, entry).await;
    assert_eq!(shop.request("POST", &path, &[], "").await.status, 200);
    let subscriptions = items(&system, "S#").await.into_iter().filter(|item| key(item).1.starts_with("P#"));
    assert_eq!(subscriptions.count(), 0, "the subscription is gone");
    assert!(!items(&system, "W#left#").await.iter().any(|item| key(item).1.starts_with("E#")));
    assert!(shop.subscribe("left", "left-0@example.com").await, "a new subscription");
}

#[tokio::test]
async fn a_sweep_passes_what_it_cannot_read() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    for bucket in 0..16 {
        for (sk, bound) in [("a#0", s("not a position")), ("zzz", AttributeValue::N("7".to_owned()))] {
            let open = [("pk", s(&format!("OPEN#{bucket}"))), ("sk", s(sk)), ("bound", bound)];
            put(&system, open.map(|(name, value)| (name.to_owned(), value)).into()).await;
        }
    }
    // One that can be read, among them.
    let number = |number: &str| AttributeValue::N(number.to_owned());
    let open = [
        ("pk", s("OPEN#3")),
        ("sk", s("b#m0.3")),
        ("restockId", s("r")),
        ("productId", s("b")),
        ("shard", s("m0.3")),
        ("bound", s("01ARZ3NDEKTSV4RRFFQ69G5FAV")),
        ("movedMs", number("0")),
    ];
    put(&system, open.map(|(name, value)| (name.to_owned(), value)).into()).await;
    let swept = sweep(&shop).await;
    assert_eq!((&swept["open"], &swept["putBack"]), (&json!(1), &json!(1)), "{swept}");
    assert_eq!(items(&system, "UNREADABLE").await.len(), 32, "each is written down");
    sweep(&shop).await;
    assert_eq!(items(&system, "UNREADABLE").await.len(), 32, "once");
}
