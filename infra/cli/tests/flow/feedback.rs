//! What SES reports of emails: who bounces or complains is told nothing more, and too much of either pauses fan-outs.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{System, shared, tag, until};

/// Runs `notify-me` on a system, and gives what it says as JSON.
fn operate(system: &System, arguments: &[&str]) -> Value {
    let mut command = Command::new(env!("CARGO_BIN_EXE_notify-me"));
    let run =
        command.args(arguments).arg("--json").arg("--ready-file").arg(&system.ready_file).output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    serde_json::from_slice(&run.stdout).unwrap()
}

#[tokio::test]
async fn whoever_bounces_or_complains_waits_for_nothing_any_more() {
    let shop = shared();
    for (mailbox, became) in [
        ("bounce+flow", "bounced"),
        ("complaint+flow", "complained"),
        ("suppressionlist+flow", "onSuppressionList"),
    ] {
        let address = format!("{mailbox}@simulator.amazonses.com");
        let (told, other) = (format!("told-{became}"), format!("other-{became}"));
        shop.subscribe(&told, &address).await;
        shop.subscribe(&other, &address).await;
        shop.subscribe(&other, "stays@example.com").await;
        shop.stock(&told, json!({ "quantity": 1 })).await;
        let mail = shop.mails(&address, 1).await.remove(0);
        assert_eq!(mail["became"], became, "{mail:#}");
        assert!(!tag(&mail, "place").is_empty() && !tag(&mail, "restock").is_empty(), "{mail:#}");
        until("their other subscription ends", async || (shop.waiting(&other).await == 1).then_some(()))
            .await;
        shop.stock(&other, json!({ "quantity": 1 })).await;
        shop.mails("stays@example.com", 1).await;
        assert_eq!(shop.told(&address).await, 1, "{became}");
    }
}

#[tokio::test]
async fn whoever_gets_their_email_is_told_again() {
    let shop = shared();
    for mailbox in ["success+flow", "ooto+flow"] {
        let address = format!("{mailbox}@simulator.amazonses.com");
        for product in ["delivered-1", "delivered-2"] {
            shop.subscribe(product, &address).await;
        }
    }
    for (product, count) in [("delivered-1", 1), ("delivered-2", 2)] {
        shop.stock(product, json!({ "quantity": 1 })).await;
        for mailbox in ["success+flow", "ooto+flow"] {
            let mails = shop.mails(&format!("{mailbox}@simulator.amazonses.com"), count).await;
            assert_eq!(mails[count - 1]["became"], "delivered");
        }
    }
}

#[tokio::test]
async fn events_that_come_twice_count_once_and_a_restock_says_what_came_back() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    shop.ses_faults(json!({ "events": { "byAddress": { "ann@example.com": "bounced", "bo@example.com": "complained" } } }))
        .await;
    for name in ["ann", "bo", "cy"] {
        shop.subscribe("lamp", &format!("{name}@example.com")).await;
    }
    let restock = shop.stock("lamp", json!({ "quantity": 1 })).await;
    let came_back = async || {
        let status = operate(&system, &["restock", "status", &restock]);
        let numbers = (status["bounced"].clone(), status["complained"].clone());
        (numbers == (json!(1), json!(1))).then_some(status)
    };
    shop.mails("cy@example.com", 1).await;
    let status = until("the restock counts what came back", came_back).await;
    assert_eq!(status["total"]["sent"], 3, "{status:#}");
    // The same events once more, in the envelope of EventBridge.
    for name in ["ann", "bo"] {
        let mail = shop.mails(&format!("{name}@example.com"), 1).await.remove(0);
        let again = json!({ "detail-type": "Email Bounced", "source": "aws.ses", "detail": mail["Event"] });
        shop.invoke("feedback", &again).await.unwrap();
    }
    let status = operate(&system, &["restock", "status", &restock]);
    assert_eq!((&status["bounced"], &status["complained"]), (&json!(1), &json!(1)), "{status:#}");
    let sending = operate(&system, &["sending", "status"]);
    assert_eq!((&sending["bounced"], &sending["complained"]), (&json!(1), &json!(1)), "{sending:#}");
    assert_eq!(sending["paused"], Value::Null, "too few to say anything");
}

#[tokio::test]
async fn a_paused_fan_out_goes_on_where_it_stopped_and_nobody_is_told_twice() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    let paused = operate(&system, &["sending", "pause", "--why", "a test"]);
    assert_eq!(
        (&paused["changed"], &paused["paused"]["by"]),
        (&json!(true), &json!("operator")),
        "{paused:#}"
    );
    assert_eq!(operate(&system, &["sending", "pause", "--why", "again"])["changed"], false);
    for name in ["ann", "bo"] {
        shop.subscribe("lamp", &format!("{name}@example.com")).await;
    }
    shop.stock("lamp", json!({ "quantity": 1 })).await;
    shop.rest().await;
    assert!(shop.everything().await.is_empty(), "fan-outs pause");
    assert_eq!(shop.waiting("lamp").await, 2, "nobody is consumed");
    let resumed = operate(&system, &["sending", "resume"]);
    assert_eq!((&resumed["changed"], &resumed["paused"]), (&json!(true), &Value::Null), "{resumed:#}");
    let sweep = json!({ "detail-type": "Scheduled Event", "detail": { "olderThanSeconds": 300 } });
    let swept = shop.invoke("notify", &sweep).await.unwrap();
    assert_eq!(swept["putBack"], 1, "resuming lets the next sweep take it: {swept}");
    for name in ["ann", "bo"] {
        shop.only_mail(&format!("{name}@example.com")).await;
    }
}

#[tokio::test]
async fn a_fan_out_of_which_much_bounces_is_paused_and_the_rest_is_told_after_it_was_resumed() {
    const PEOPLE: usize = 150;
    // One shard, one second's worth at 20 a second, so that the breaker finds most of them still waiting.
    let system = System::start(&[], &[("SEND_RATE", "20"), ("BREAKER_LEAST_SENT", "20")]);
    let shop = system.shop();
    let address = |number: usize| format!("b{number}@example.com");
    let bounced: serde_json::Map<String, Value> =
        (0..PEOPLE).step_by(5).map(|number| (address(number), json!("bounced"))).collect();
    shop.ses_faults(json!({ "events": { "byAddress": bounced } })).await;
    for number in 0..PEOPLE {
        shop.subscribe("many", &address(number)).await;
    }
    shop.stock("many", json!({ "quantity": 1 })).await;
    let is_paused = async || {
        let state = operate(&system, &["sending", "status"]);
        (state["paused"]["by"] == "breaker").then_some(())
    };
    until("the breaker pauses fan-outs", is_paused).await;
    shop.rest().await;
    let told = shop.everything().await.len();
    assert!((20..PEOPLE).contains(&told), "{told} were told");
    // No rate pauses it any more.
    shop.ses_faults(json!({})).await;
    assert_eq!(operate(&system, &["sending", "resume"])["changed"], true);
    let sweep = json!({ "detail-type": "Scheduled Event", "detail": {} });
    shop.invoke("notify", &sweep).await.unwrap();
    until("the rest is told", async || (shop.everything().await.len() >= PEOPLE).then_some(())).await;
    shop.rest().await;
    let mut told: Vec<String> = shop
        .everything()
        .await
        .iter()
        .map(|mail| mail["Destination"]["ToAddresses"][0].as_str().unwrap().to_owned())
        .collect();
    told.sort();
    told.dedup();
    assert_eq!((told.len(), shop.everything().await.len()), (PEOPLE, PEOPLE), "each once");
}
