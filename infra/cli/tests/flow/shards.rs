//! The shards of a waitlist: one until the list is long, and those of the priority lane.

use std::collections::BTreeMap;

use domain::user_token::{UserTokenKey, Vouched};
use domain::{Address, UserId};
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::{Shop, System, tag, until};

/// The one address that an email went to.
fn recipient(mail: &Value) -> String {
    mail["Destination"]["ToAddresses"][0].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_short_list_is_told_exactly_in_the_order_in_which_they_asked() {
    let system = System::start(&[], &[("SEND_RATE", "1000")]);
    let shop = system.shop();
    // More than one call to SES takes.
    let people: Vec<String> = (0..70).map(|n| format!("in-turn-{n}@example.com")).collect();
    for one in &people {
        shop.subscribe("in-turn", one).await;
    }
    shop.stock("in-turn", json!({ "quantity": 5 })).await;
    until("all told", async || (shop.everything().await.len() >= people.len()).then_some(())).await;
    shop.rest().await;
    let told: Vec<String> = shop.everything().await.iter().map(recipient).collect();
    assert_eq!(told, people);
    assert_eq!(system.shards("in-turn").await, None, "nothing is recorded of a short list");
}

#[tokio::test]
async fn a_list_gets_more_shards_while_people_ask_and_a_restock_runs_and_each_is_told_once() {
    let system = System::start(&[], &[("SHARDS", "4"), ("SEND_RATE", "1000")]);
    let shop = system.shop();
    let mut people = Vec::new();
    let (mut waves, mut since_raised) = (0, 0);
    // Some of them ask before the restock, some while it runs, and some after it; the raise may come in any of these.
    while since_raised < 3 {
        assert!(waves < 60, "the list is not raised, or not told: {} asked", people.len());
        let wave: Vec<String> = (0..64).map(|n| format!("w{waves}-{n}@example.com")).collect();
        let ask = join_all(wave.iter().map(|to| shop.subscribe("grows", to)));
        let restock = async {
            if waves == 3 {
                shop.stock("grows", json!({ "quantity": 5 })).await;
            }
        };
        tokio::join!(ask, restock);
        people.extend(wave);
        waves += 1;
        let is_planned = !shop.everything().await.is_empty();
        since_raised += u32::from(is_planned && system.shards("grows").await.is_some());
    }
    assert_eq!(system.shards("grows").await, Some(4), "as the setting says");
    shop.stock("grows", json!({ "quantity": 0 })).await;
    shop.rest().await;
    let restock = shop.stock("grows", json!({ "quantity": 5 })).await;
    until("all told", async || (shop.everything().await.len() >= people.len()).then_some(())).await;
    shop.rest().await;
    let mut told: BTreeMap<String, usize> = BTreeMap::new();
    let mails = shop.everything().await;
    for mail in &mails {
        *told.entry(recipient(mail)).or_default() += 1;
    }
    assert_eq!(told.len(), people.len());
    assert!(told.values().all(|times| *times == 1), "nobody twice");
    let of_last = mails.iter().filter(|mail| tag(mail, "restock") == restock);
    let shards: std::collections::BTreeSet<&str> = of_last.map(|mail| tag(mail, "shard")).collect();
    assert!(shards.len() > 1, "the last who asked are in more than one: {shards:?}");
    assert_eq!(shop.waiting("grows").await, 0);
}

const KEY: &str = "a key for these tests and nothing else";

/// Asks as somebody whom the shop vouches for.
async fn ask_with_priority(shop: &Shop, product: &str, email: &str) {
    let (user, address) = (UserId::parse("user-1").unwrap(), Address::parse(email).unwrap());
    let expires = Timestamp::now() + SignedDuration::from_mins(5);
    let token = UserTokenKey::new(KEY).unwrap().sign(&user, &address, expires, Vouched { priority: true });
    let asked = shop.ask(product, json!({ "email": email, "userId": "user-1", "userToken": token })).await;
    assert_eq!((asked.status, asked.json().get("ignored")), (201, None), "{asked:?}");
}

#[tokio::test]
async fn the_others_are_told_once_the_head_start_is_over() {
    let rules = ("RULES", r#"{"headStart":3}"#);
    let system = System::start(&["--sweep", "1"], &[("USER_TOKEN_KEY", KEY), rules]);
    let shop = system.shop();
    shop.subscribe("head-start", "later@example.com").await;
    ask_with_priority(&shop, "head-start", "first@example.com").await;
    shop.stock("head-start", json!({ "quantity": 5 })).await;
    shop.only_mail("first@example.com").await;
    assert_eq!(shop.told("later@example.com").await, 0);
    shop.only_mail("later@example.com").await;
    assert_eq!(shop.waiting("head-start").await, 0);
    // Nobody with priority waits: there is nothing to wait for.
    shop.stock("head-start", json!({ "quantity": 0 })).await;
    shop.subscribe("head-start", "alone@example.com").await;
    shop.stock("head-start", json!({ "quantity": 5 })).await;
    shop.only_mail("alone@example.com").await;
}

#[tokio::test]
async fn who_is_vouched_for_with_priority_is_told_first_and_the_other_as_well() {
    // Slots are given in the order in which shards ask for them, so slow ones show who came first.
    let system = System::start(&[], &[("USER_TOKEN_KEY", KEY), ("SEND_RATE", "1")]);
    let shop = system.shop();
    // The one without priority has asked before.
    assert!(!shop.subscribe("lanes", "later@example.com").await, "it is not in stock");
    ask_with_priority(&shop, "lanes", "first@example.com").await;
    assert_eq!(shop.waiting("lanes").await, 2);
    shop.stock("lanes", json!({ "quantity": 5 })).await;
    until("both told", async || (shop.everything().await.len() >= 2).then_some(())).await;
    shop.rest().await;
    let mails = shop.everything().await;
    let told: Vec<(String, &str)> = mails.iter().map(|mail| (recipient(mail), tag(mail, "shard"))).collect();
    let expected = [("first@example.com", "m1-0"), ("later@example.com", "m0-0")];
    assert_eq!(told, expected.map(|(to, shard)| (to.to_owned(), shard)));
    assert_eq!(shop.waiting("lanes").await, 0);
}
