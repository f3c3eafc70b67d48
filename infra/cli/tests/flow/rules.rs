//! The rules of a product over HTTP, and what an update may say beside its quantity.

use serde_json::{Value, json};

use crate::support::shared;

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

#[tokio::test]
async fn a_product_is_given_rules_and_they_are_read_and_taken_away_whatever_its_id() {
    let shop = shared();
    let paths = [
        "/products/ruled%2Fred/rules",
        "/products/ruled/red/rules/",
        "/rules/ruled/red",
        "/rules/ruled%2Fred/",
    ];
    for (units, path) in (1..).zip(paths) {
        let answer = shop.request("PUT", path, &JSON, json!({ "minStock": units }).to_string()).await;
        let set = json!({ "productId": "ruled/red", "rules": { "minStock": units } });
        assert_eq!((answer.status, answer.json()), (200, set.clone()), "{path}");
        for path in ["/products/ruled%2Fred/rules", "/rules/ruled/red"] {
            let answer = shop.request("GET", path, &[], "").await;
            assert_eq!((answer.status, answer.json()), (200, set.clone()), "{path}");
            let head = shop.request("HEAD", path, &[], "").await;
            assert_eq!((head.status, head.body.as_str()), (200, ""), "{path}");
        }
    }
    // They are no stock update, and stay beside one.
    let read = shop.request("GET", "/products/ruled%2Fred", &[], "").await;
    assert_eq!(read.json()["inStock"], false);
    shop.subscribe("ruled%2Fred", "ruled@example.com").await;
    shop.stock("ruled%2Fred", json!({ "quantity": 9 })).await;
    shop.only_mail("ruled@example.com").await;
    let rules = async || shop.request("GET", "/rules/ruled/red", &[], "").await.json()["rules"].clone();
    assert_eq!(rules().await, json!({ "minStock": 4 }));
    let read = shop.request("GET", "/products/ruled%2Fred", &[], "").await;
    assert_eq!(read.json()["inStock"], true);

    for path in ["/products/ruled%2Fred/rules", "/rules/ruled/red"] {
        assert_eq!(shop.request("DELETE", path, &[], "").await.status, 204, "{path}");
        assert_eq!(rules().await, json!({}));
    }
    let refused = shop.request("PUT", "/rules/ruled/red", &JSON, r#"{"again":6}"#).await;
    assert_eq!((refused.status, &refused.json()["field"]), (400, &json!("again")), "{refused:?}");
    let refused = shop.request("PATCH", "/rules/ruled/red", &JSON, "{}").await;
    assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD, PUT, DELETE"));
    // On AWS, the way of a reader to an id with a slash; here as there it has passed no login.
    assert_eq!(shop.request("GET", "/products/ruled/red/rules", &[], "").await.status, 403);
}

#[tokio::test]
async fn an_update_is_refused_for_rules_that_cannot_be_kept_and_needs_no_quantity_for_what_is_ordered_ahead()
{
    let shop = shared();
    for (update, status, field) in [
        (json!({ "quantity": 5, "rules": { "minStock": 0 } }), 400, json!("rules.minStock")),
        (json!({ "quantity": 5, "rules": [] }), 400, json!("rules")),
        (json!({ "quantity": 5, "availability": "soon" }), 400, json!("availability")),
        (json!({ "availability": "fewLeft" }), 400, json!("quantity")),
        (json!({ "availability": "preorder", "parentId": "ruled" }), 202, Value::Null),
        (json!({ "quantity": 0, "availability": "backorder", "rules": { "reserve": 2 } }), 202, Value::Null),
    ] {
        let answer = shop.request("PUT", "/products/said/stock", &JSON, update.to_string()).await;
        assert_eq!((answer.status, &answer.json()["field"]), (status, &field), "{update}: {answer:?}");
    }
}
