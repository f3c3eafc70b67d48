//! Products and restocks have the ids that other systems chose, and a restock is its product's own.

use std::process::Command;

use serde_json::{Value, json};

use crate::support::{Record, System, header, link_after, shared, tag};

const JSON: (&str, &str) = ("content-type", "application/json");

/// An id as one segment of a path.
fn segment(id: &str) -> String {
    id.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn a_product_may_be_called_anything_that_a_shop_prints_on_it() {
    let shop = shared();
    let long = "é".repeat(127);
    for (n, sku) in [
        "CLE-056621/6",
        "HEADS-5/0 1oz-Orange",
        "B2X_2443714|4",
        "gid://shopify/Product/632910392",
        "100% wool #2",
        "a%2Fb",
        "café ☕ 商品",
        "{\"size\":[4]}\\",
        "a/stock",
        long.as_str(),
    ]
    .into_iter()
    .enumerate()
    {
        let (to, path) = (format!("sku-{n}@example.com"), segment(sku));
        let asked = shop.ask(&path, json!({ "email": to })).await;
        assert_eq!((asked.status, &asked.json()["productId"]), (201, &json!(sku)), "{sku}");
        assert_eq!(shop.waiting(&path).await, 1, "{sku}");
        let answer =
            shop.request("PUT", &format!("/products/{path}/stock"), &[JSON], r#"{"quantity":2}"#).await;
        assert_eq!((answer.status, &answer.json()["productId"]), (202, &json!(sku)), "{sku}");
        let mail = shop.only_mail(&to).await;
        assert_eq!(mail["Subject"], format!("{sku} is back in stock"));
        let encoded: String = link_after(&mail, "See it in the shop:").to_owned();
        assert!(encoded.is_ascii() && !encoded.contains(['"', '{', '|', ' ']), "{encoded}");

        // The link in the email holds the product, and ends the waiting for it.
        shop.ask(&path, json!({ "email": to })).await;
        let link = link_after(&mail, "Unsubscribe from this alert: ").to_owned();
        assert_eq!(header(&mail, "List-Unsubscribe"), format!("<{link}>"));
        assert_eq!(shop.request("POST", &link, &[], "").await.status, 200, "{sku}");
        assert_eq!(shop.waiting(&path).await, 0, "{sku}");
    }
}

#[tokio::test]
async fn a_stock_update_whose_slashes_are_not_encoded_is_the_same_and_no_other_resource_takes_a_put() {
    let shop = shared();
    shop.subscribe("CLE%2F6%2Fb", "slashed@example.com").await;
    for path in ["/products/CLE/6/b/stock", "/products/CLE%2F6/b/stock/"] {
        let answer = shop.request("PUT", path, &[JSON], r#"{"quantity":2}"#).await;
        assert_eq!((answer.status, &answer.json()["productId"]), (202, &json!("CLE/6/b")), "{path}");
    }
    shop.only_mail("slashed@example.com").await;
    for (path, status, allow) in [
        ("/products/p/subscriptions", 405, "POST"),
        ("/products/p/reviews", 404, ""),
        ("/products//stock", 400, ""),
    ] {
        let answer = shop.request("PUT", path, &[JSON], r#"{"quantity":2}"#).await;
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{path}: {answer:?}");
    }
}

#[tokio::test]
async fn products_whose_ids_look_like_parts_of_keys_do_not_meet() {
    let shop = shared();
    let ids = ["meet#1", "meet%231", "meet", "meet#1#0", "Meet#1", " meet#2 "];
    for (n, id) in ids.iter().enumerate() {
        shop.subscribe(&segment(id), &format!("meet-{n}@example.com")).await;
    }
    shop.stock(&segment("meet#1"), json!({ "quantity": 1 })).await;
    shop.only_mail("meet-0@example.com").await;
    for (n, id) in ids.iter().enumerate().skip(1) {
        assert_eq!(shop.told(&format!("meet-{n}@example.com")).await, 0, "{id}");
    }
    shop.stock(&segment("meet#2"), json!({ "quantity": 1 })).await;
    shop.only_mail("meet-5@example.com").await;
}

#[tokio::test]
async fn ids_that_are_no_text_of_a_shop_are_refused_with_their_field() {
    let shop = shared();
    for id in ["%0A", "a%00b", "a%E2%80%AEb", "%2E%2E%2E", "%20", "a%FF", &"x".repeat(256)] {
        let answer =
            shop.request("PUT", &format!("/products/{id}/stock"), &[JSON], r#"{"quantity":2}"#).await;
        assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("productId")), "{id}: {answer:?}");
    }
}

#[tokio::test]
async fn a_restock_may_be_named_after_a_purchase_order_and_an_odd_name_keeps_nobody_untold() {
    let shop = shared();
    for (n, (restock, expected)) in [
        (json!("PO-17/2026"), Some("PO-17_2f2026")),
        (json!("Bestellung Nº 7 #2"), Some("Bestellung_20N_c2_ba_207_20_232")),
        (json!(4711), Some("4711")),
        (json!("odd\nname"), None),
        (json!("x".repeat(256)), None),
        (json!({ "id": 7 }), None),
        (json!(""), None),
    ]
    .into_iter()
    .enumerate()
    {
        let (product, to) = (format!("po-{n}"), format!("po-{n}@example.com"));
        shop.subscribe(&product, &to).await;
        let value = json!({ "productId": product, "quantity": 4, "restockId": restock }).to_string();
        shop.produce("item-restocked", &[Record { key: Some(&product), ..Record::text(&value) }]);
        let mail = shop.only_mail(&to).await;
        match expected {
            Some(tagged) => assert_eq!(tag(&mail, "restock"), tagged, "{restock}"),
            None => assert!(tag(&mail, "restock").starts_with("item-restocked-"), "{restock}: {mail:#}"),
        }
    }
}

#[tokio::test]
async fn an_idempotency_key_is_any_printable_text_and_its_products_own() {
    let shop = shared();
    let key = [("idempotency-key", "\"ASN-7/2026 line 3\"")];
    for n in 0..3 {
        shop.subscribe("own-one", &format!("own-one-{n}@example.com")).await;
        shop.subscribe("own-two", &format!("own-two-{n}@example.com")).await;
    }
    let first = shop.stock_as("own-one", json!({ "quantity": 5 }), &key).await;
    let second = shop.stock_as("own-two", json!({ "quantity": 5 }), &key).await;
    assert_eq!(first, "ASN-7/2026 line 3");
    assert_ne!(first, second);
    for n in 0..3 {
        shop.only_mail(&format!("own-one-{n}@example.com")).await;
        shop.only_mail(&format!("own-two-{n}@example.com")).await;
    }
    // And each is the same again.
    for (product, restock) in [("own-one", &first), ("own-two", &second)] {
        assert_eq!(shop.stock_as(product, json!({ "quantity": 5 }), &key).await, *restock);
    }
}

#[tokio::test]
async fn a_retry_is_answered_as_the_first_request_was_and_another_request_under_its_key_is_not_taken() {
    let shop = shared();
    let put = async |body: &str| {
        let headers = [JSON, ("idempotency-key", "delivery 12")];
        shop.request("PUT", "/products/keyed/stock", &headers, body.to_owned()).await
    };
    shop.subscribe("keyed", "keyed@example.com").await;
    let first = put(r#"{"quantity":5,"product":{"name":"Chair"}}"#).await;
    assert_eq!(first.status, 202, "{first:?}");
    let again = put(r#"{ "product": {"name": "Chair"}, "quantity": 5.0 }"#).await;
    assert_eq!((again.status, &again.body), (202, &first.body), "one update is one record");

    for other in [r#"{"quantity":6,"product":{"name":"Chair"}}"#, r#"{"quantity":5}"#, r#"{"quantity":0}"#] {
        let refused = put(other).await;
        assert_eq!(refused.status, 422, "{other}: {refused:?}");
        assert_eq!(refused.header("content-type"), "application/problem+json");
    }
    shop.only_mail("keyed@example.com").await;
    assert!(shop.subscribe("keyed", "keyed-later@example.com").await, "what was refused changed nothing");
}

#[tokio::test]
async fn a_sell_out_that_is_sent_again_does_not_undo_the_restock_after_it() {
    let shop = shared();
    let key = [("idempotency-key", "sell-out-again")];
    shop.stock_as("undone", json!({ "quantity": 0 }), &key).await;
    shop.stock("undone", json!({ "quantity": 3 })).await;
    shop.stock_as("undone", json!({ "quantity": 0 }), &key).await;
    shop.rest().await;
    assert!(shop.subscribe("undone", "undone@example.com").await, "it is in stock");
}

/// What `restock status` says of a restock.
fn status(system: &System, restock: &str) -> Value {
    let shown = Command::new(env!("CARGO_BIN_EXE_notify-me"))
        .args(["restock", "status", restock, "--json", "--ready-file"])
        .arg(&system.ready_file)
        .output()
        .unwrap();
    serde_json::from_slice(&shown.stdout).unwrap()
}

#[tokio::test]
async fn the_status_of_a_restock_counts_its_own_people_where_one_name_was_given_to_two() {
    let system = System::start(&[], &[]);
    let shop = system.shop();
    let ask = async |product: &str, people: usize| {
        for n in 0..people {
            shop.subscribe(&segment(product), &format!("{}-{n}@example.com", product.len())).await;
        }
    };
    // One key.
    let key = [("idempotency-key", "ASN 47/11")];
    let mut restocks = Vec::new();
    for (product, people) in [("counted#1", 2), ("counted/by 2", 3)] {
        ask(product, people).await;
        restocks.push((
            shop.stock_as(&segment(product), json!({ "quantity": 5 }), &key).await,
            product,
            people,
        ));
    }
    // One restock id in a list, whose records are planned side by side.
    let list: Vec<Value> = ["listed one", "listed as two", "listed as number three"]
        .map(|id| json!({ "productId": id, "quantity": 5, "restockId": "PO-7" }))
        .into();
    for (n, one) in list.iter().enumerate() {
        ask(one["productId"].as_str().unwrap(), n + 2).await;
    }
    shop.invoke("restock", &json!(list)).await.unwrap();
    for (product, people) in restocks.iter().map(|(_, product, people)| (*product, *people)).chain([
        ("listed one", 2),
        ("listed as two", 3),
        ("listed as number three", 4),
    ]) {
        for n in 0..people {
            shop.only_mail(&format!("{}-{n}@example.com", product.len())).await;
        }
    }
    for (restock, product, people) in restocks {
        let status = status(&system, &restock);
        assert_eq!(status["productId"], product, "{status:#}");
        assert_eq!(status["total"]["sent"], people, "{status:#}");
    }
    let status = status(&system, "PO-7");
    let place = list.iter().position(|one| one["productId"] == status["productId"]).unwrap();
    assert_eq!(status["total"]["sent"], place + 2, "{status:#}");
}
