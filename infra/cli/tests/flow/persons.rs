//! What the operator and the shop's back end do with a person: export, erase, suppress and lift.

use serde_json::{Value, json};

use crate::operator::{ask, document};
use crate::support::{System, shared};

#[tokio::test]
async fn the_back_end_exports_and_erases_a_subscriber_over_http() {
    let shop = shared();
    let jo = "persons-jo@example.com";
    shop.subscribe("persons-a", jo).await;
    let url = format!("/subscribers/{}", jo.replace('@', "%40"));
    let export = shop.request("GET", &url, &[], "").await;
    assert_eq!(export.json()["subscribers"][0]["subscriptions"][0]["state"], "waiting", "{export:?}");
    assert_eq!(shop.request("HEAD", &url, &[], "").await.status, 200);
    assert_eq!(shop.request("DELETE", &format!("{url}/"), &[], "").await.status, 202, "a slash at the end");
    assert_eq!(shop.request("GET", &url, &[], "").await.status, 404);
    assert_eq!(shop.waiting("persons-a").await, 0);
    let refused = shop.request("POST", &url, &[], "").await;
    assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD, DELETE"));
    let user = shop.request("GET", "/subscribers/gid:%2F%2Fshop%2F1", &[], "").await;
    assert_eq!(user.status, 404, "a user id with slashes, of whom nothing is kept: {user:?}");
}

#[tokio::test]
async fn the_back_end_suppresses_and_lifts_over_http() {
    let shop = shared();
    let jo = "persons-sup@example.com";
    shop.subscribe("persons-b", jo).await;
    let url = format!("/suppressions/{jo}");
    let put = shop.request("PUT", &url, &[], r#"{"reason":"abuse"}"#).await;
    assert_eq!((put.status, &put.json()["reason"]), (200, &json!("abuse")), "{put:?}");
    assert_eq!(shop.waiting("persons-b").await, 0);
    let refused = shop.request("DELETE", &url, &[], "").await;
    assert!(refused.status == 409 && refused.body.contains("askedByPerson"), "{refused:?}");
    let lifted = shop.request("DELETE", &url, &[], r#"{"askedByPerson":true}"#).await;
    assert_eq!((lifted.status, lifted.body.as_str()), (204, ""));
    assert_eq!(shop.request("GET", &url, &[], "").await.status, 404);
}

/// A command that fails, and what it says.
fn refused(system: &System, arguments: &[&str]) -> String {
    let output = ask(system, arguments, "");
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn the_operator_exports_and_erases_a_person_whose_address_is_in_no_shell_history() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    for product in ["persons-c", "persons-d"] {
        shop.subscribe(product, "jo@example.com").await;
    }
    let output = ask(&system, &["person", "export", "-"], "jo@example.com\n");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success() && said.contains("persons-c") && said.contains("waiting"), "{said}");
    assert!(!said.contains('@') && !said.contains("jo"), "an address is shown: {said}");
    let export = document(&system, &["person", "export", "jo@example.com"]);
    assert_eq!(export["subscribers"][0]["subscriptions"].as_array().unwrap().len(), 2, "{export:#}");
    let erased = document(&system, &["person", "erase", "jo@example.com"]);
    let expected = json!({ "subscribers": 1, "subscriptions": 2, "consentsKept": 0, "suppressionsKept": 0 });
    assert_eq!(erased["subscriptions"], expected["subscriptions"], "{erased:#}");
    assert_eq!(shop.waiting("persons-c").await + shop.waiting("persons-d").await, 0);
    let again = document(&system, &["person", "erase", "jo@example.com"]);
    assert_eq!(again["subscriptions"], 0, "{again:#}");
    for odd in [&["person", "export", "nobody@example.com"][..], &["person", "erase", "\u{7}"]] {
        let said = refused(&system, odd);
        assert!(!said.contains('@'), "{said}");
    }
}

#[tokio::test]
async fn the_operator_lists_adds_lifts_and_imports_suppressions() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    shop.subscribe("persons-e", "b@example.com").await;
    let add = |address: &'static str, reason| {
        document(&system, &["suppressions", "add", address, "--reason", reason])
    };
    let added = add("a@example.com", "optedOut");
    assert_eq!((&added["reason"], &added["isNew"]), (&json!("optedOut"), &json!(true)), "{added:#}");
    assert_eq!(add("a@example.com", "manual")["reason"], "optedOut", "the stronger one stands");

    let listed = json!([
        { "emailAddress": "a@example.com", "reason": "BOUNCE" },
        { "emailAddress": "b@example.com", "reason": "BOUNCE", "lastUpdateTime": "2026-11-23T09:30:00Z" },
        { "emailAddress": "c@example.com", "reason": "COMPLAINT" },
    ]);
    shop.ses_faults(json!({ "suppressed": listed })).await;
    let import = ["suppressions", "import", "--ses", &shop.ready.ses.clone()].map(str::to_owned);
    let import: Vec<&str> = import.iter().map(String::as_str).collect();
    let imported = document(&system, &import);
    let expected = json!({ "read": 3, "added": 2, "already": 1, "unreadable": 0, "lines": [] });
    assert_eq!(imported, expected);
    assert_eq!(document(&system, &import)["already"], 3, "again");
    assert_eq!(shop.waiting("persons-e").await, 0);

    let output = ask(
        &system,
        &["suppressions", "import", "-", "--json"],
        "d@example.com\nnobody\ne@example.com,COMPLAINT\n",
    );
    let imported: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(imported, json!({ "read": 2, "added": 2, "already": 0, "unreadable": 1, "lines": [2] }));

    let list = document(&system, &["suppressions", "list"]);
    let list = list["suppressions"].as_array().unwrap();
    let mut reasons: Vec<&str> = list.iter().map(|one| one["reason"].as_str().unwrap()).collect();
    reasons.sort_unstable();
    assert_eq!(reasons, ["bounce", "complaint", "complaint", "manual", "optedOut"]);
    let since = list.iter().find(|one| one["reason"] == "bounce").map(|one| &one["since"]);
    assert_eq!(since, Some(&json!("2026-11-23T09:30:00Z")));

    let said = refused(&system, &["suppressions", "lift", "c@example.com"]);
    assert!(said.contains("--asked-by-person") && !said.contains('@'), "{said}");
    let lifted = document(&system, &["suppressions", "lift", "c@example.com", "--asked-by-person"]);
    assert_eq!(lifted["lifted"], "complaint");
    assert_eq!(document(&system, &["suppressions", "lift", "b@example.com"])["lifted"], "bounce");
    assert_eq!(document(&system, &["suppressions", "lift", "b@example.com"])["lifted"], Value::Null);
    assert_eq!(document(&system, &["suppressions", "list"])["suppressions"].as_array().unwrap().len(), 3);
}
