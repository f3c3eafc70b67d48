//! A field of a stock update that cannot be used is as if absent; what people read stays as it was written.

use serde_json::{Value, json};

use crate::support::{Record, Shop, shared, text};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A stock update as it stands, which is taken. Gives the fields that were left out.
async fn put(shop: &Shop, product: &str, body: &str) -> Vec<String> {
    let path = format!("/products/{product}/stock");
    let answer = shop.request("PUT", &path, &JSON, body.to_owned()).await;
    assert_eq!(answer.status, 202, "{body}: {answer:?}");
    let ignored = answer.json()["ignored"].clone();
    let fields = ignored.as_array().cloned().unwrap_or_default();
    for one in &fields {
        assert!(one["problem"].as_str().is_some_and(|problem| !problem.is_empty()), "{ignored:#}");
    }
    fields.iter().map(|one| one["field"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn one_detail_that_cannot_be_used_is_left_out_by_itself() {
    let shop = shared();
    let good = json!({ "name": "Green Chair", "url": "https://shop.example/chair", "price": "99.00 €" });
    for (n, (field, value)) in [
        ("imageUrl", json!("")),
        ("imageUrl", json!("/chair.jpg")),
        ("imageUrl", json!({ "src": "https://shop.example/chair.jpg" })),
        ("price", json!("")),
        ("price", json!({ "amount": "99.00", "currencyCode": "EUR" })),
    ]
    .into_iter()
    .enumerate()
    {
        let mut details = good.clone();
        details[field] = value;
        let (product, asked) = (format!("detail-{n}"), format!("detail-{n}@example.com"));
        let (produced, told) = (format!("record-{n}"), format!("record-{n}@example.com"));
        shop.subscribe(&product, &asked).await;
        shop.subscribe(&produced, &told).await;
        let body = json!({ "quantity": 1, "product": details }).to_string();
        assert_eq!(put(&shop, &product, &body).await, [format!("product.{field}")], "{body}");
        let record = json!({ "productId": produced, "quantity": 1, "product": details }).to_string();
        shop.produce("item-restocked", &[Record { key: Some(&produced), ..Record::text(&record) }]);
        for to in [&asked, &told] {
            let mail = shop.only_mail(to).await;
            assert_eq!(mail["Subject"], "Green Chair is back in stock", "{record}");
            assert!(text(&mail).contains("https://shop.example/chair"), "{record}: {mail:#}");
            assert_eq!(text(&mail).contains("99.00 €"), field != "price", "{record}: {mail:#}");
        }
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_used_leaves_the_link_and_a_picture_without_its_scheme_is_shown() {
    let shop = shared();
    shop.subscribe("nameless", "nameless@example.com").await;
    let details = json!({ "name": "", "url": "https://shop.example/chair",
        "imageUrl": "//cdn.shopify.com/s/files/1/chair.jpg" });
    let body = json!({ "quantity": 1, "product": details }).to_string();
    assert_eq!(put(&shop, "nameless", &body).await, ["product.name"]);
    let mail = shop.only_mail("nameless@example.com").await;
    assert_eq!(mail["Subject"], "nameless is back in stock");
    assert!(text(&mail).contains("https://shop.example/chair"), "{mail:#}");
    let html = mail["Body"]["html_part"].as_str().unwrap();
    assert!(html.contains("https://cdn.shopify.com/s/files/1/chair.jpg"), "{html}");
}

#[tokio::test]
async fn a_price_shows_as_it_was_written_whichever_way_it_came() {
    let shop = shared();
    for (n, price) in ["20.00", "19.90", "100", "0.50", "1234567890123456789.10"].into_iter().enumerate() {
        let update = |id: &str| {
            let product =
                r#"{"name":"Chair","url":"https://shop.example/c","price":PRICE}"#.replace("PRICE", price);
            format!(r#"{{"productId":"{id}","quantity":1,"product":{product}}}"#)
        };
        let ids = ["put", "record", "direct", "list"].map(|way| format!("price-{way}-{n}"));
        let [over_http, record, direct, list] = &ids;
        for id in &ids {
            shop.subscribe(id, &format!("{id}@example.com")).await;
        }
        put(&shop, over_http, &update(over_http)).await;
        shop.produce("item-restocked", &[Record { key: Some(record), ..Record::text(&update(record)) }]);
        for payload in [update(direct), format!("[{}]", update(list))] {
            let path = "/2015-03-31/functions/restock/invocations";
            let answer = shop.request("POST", path, &[], payload).await;
            assert_eq!((answer.status, answer.header("x-amz-function-error")), (200, ""), "{answer:?}");
        }
        for id in &ids {
            let mail = shop.only_mail(&format!("{id}@example.com")).await;
            assert!(text(&mail).lines().any(|line| line == price), "{id}: {price}: {mail:#}");
        }
    }
}

#[tokio::test]
async fn a_restock_without_details_keeps_what_was_known_but_for_the_price() {
    let shop = shared();
    shop.subscribe("kept", "kept-1@example.com").await;
    let details = json!({ "name": "Oak Chair", "url": "https://shop.example/oak",
        "imageUrl": "https://shop.example/oak.jpg", "price": "99.00 €" });
    shop.stock("kept", json!({ "quantity": 3, "product": details })).await;
    assert!(text(&shop.only_mail("kept-1@example.com").await).contains("99.00 €"));

    for (n, update) in
        [json!({ "quantity": 3 }), json!({ "quantity": 3, "product": { "url": "https://shop.example/oak" } })]
            .into_iter()
            .enumerate()
    {
        shop.stock("kept", json!({ "quantity": 0 })).await;
        let to = format!("kept-again-{n}@example.com");
        shop.rest().await;
        shop.subscribe("kept", &to).await;
        shop.stock("kept", update).await;
        let mail = shop.only_mail(&to).await;
        assert_eq!(mail["Subject"], "Oak Chair is back in stock");
        assert!(text(&mail).contains("https://shop.example/oak"), "{mail:#}");
        assert!(
            mail["Body"]["html_part"].as_str().unwrap().contains("https://shop.example/oak.jpg"),
            "{mail:#}"
        );
        assert!(!text(&mail).contains("99.00"), "{mail:#}");
    }
}

#[tokio::test]
async fn quantities_below_zero_are_a_sell_out_and_a_point_makes_no_fraction() {
    let shop = shared();
    for (n, below) in ["-2", "-2.0", "-9223372036854775809"].into_iter().enumerate() {
        let (over_http, record) = (format!("oversold-{n}"), format!("oversold-record-{n}"));
        for id in [&over_http, &record] {
            shop.stock(id, json!({ "quantity": 3 })).await;
        }
        put(&shop, &over_http, &format!(r#"{{"quantity":{below}}}"#)).await;
        let value = format!(r#"{{"productId":"{record}","quantity":{below}}}"#);
        shop.produce("item-restocked", &[Record { key: Some(&record), ..Record::text(&value) }]);
        shop.rest().await;
        for id in [&over_http, &record] {
            assert!(!shop.subscribe(id, &format!("{id}@example.com")).await, "{id}: {below}");
        }
    }
    for (n, five) in ["5.0", "5.0000", "5e0", "0.5e1"].into_iter().enumerate() {
        let (over_http, record) = (format!("five-{n}"), format!("five-record-{n}"));
        for id in [&over_http, &record] {
            shop.subscribe(id, &format!("{id}@example.com")).await;
        }
        put(&shop, &over_http, &format!(r#"{{"quantity":{five}}}"#)).await;
        let value = format!(r#"{{"productId":"{record}","quantity":{five}}}"#);
        shop.produce("item-restocked", &[Record { key: Some(&record), ..Record::text(&value) }]);
        for id in [&over_http, &record] {
            shop.only_mail(&format!("{id}@example.com")).await;
        }
    }
}

#[tokio::test]
async fn a_quantity_that_nobody_knows_tells_nobody() {
    let shop = shared();
    shop.subscribe("unknown", "unknown@example.com").await;
    for quantity in ["null", "\"\"", "5.5", "\"some\""] {
        let value = format!(r#"{{"productId":"unknown","quantity":{quantity}}}"#);
        shop.produce("item-restocked", &[Record { key: Some("unknown"), ..Record::text(&value) }]);
        let refused = shop.request("PUT", "/products/unknown/stock", &JSON, value).await;
        assert_eq!((refused.status, &refused.json()["field"]), (400, &json!("quantity")), "{quantity}");
    }
    assert_eq!(shop.told("unknown@example.com").await, 0);
    let dead = shop.records("item-restocked-dlq");
    let of_quantity = dead.iter().filter(|(value, headers)| {
        let is_ours = value.as_ref().is_some_and(|value| value.starts_with(br#"{"productId":"unknown""#));
        is_ours && headers.iter().any(|(_, reason)| reason.starts_with(b"quantity: "))
    });
    assert_eq!(of_quantity.count(), 4, "{dead:?}");
}

#[tokio::test]
async fn a_sell_out_from_the_future_does_not_swallow_the_restock_after_it() {
    let shop = shared();
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_mins(4);
    let soon = soon.to_string();
    for (n, (time, named)) in [
        ("2099-01-01T00:00:00Z", true),
        ("9999-12-31T23:59:59Z", true),
        ("9999-12-31", true),
        ("+10000-01-01T00:00:00Z", true),
        ("0001-01-01T00:00:00Z", true),
        ("23.11.2026", true),
        (soon.as_str(), true),
        ("2026-01-01T00:00:00Z", false),
    ]
    .into_iter()
    .enumerate()
    {
        let (over_http, record) = (format!("ahead-{n}"), format!("ahead-record-{n}"));
        let body = |id: &str| json!({ "productId": id, "quantity": 0, "occurredAt": time }).to_string();
        let ignored = put(&shop, &over_http, &body(&over_http)).await;
        assert_eq!(ignored, if named { vec!["occurredAt"] } else { vec![] }, "{time}");
        shop.produce("item-restocked", &[Record { key: Some(&record), ..Record::text(&body(&record)) }]);
        shop.rest().await;
        for id in [&over_http, &record] {
            let to = format!("{id}@example.com");
            assert!(!shop.subscribe(id, &to).await, "{time}");
            shop.stock(id, json!({ "quantity": 3 })).await;
            shop.only_mail(&to).await;
        }
    }
}

#[tokio::test]
async fn a_byte_order_mark_before_an_update_is_ignored() {
    let shop = shared();
    for id in ["marked-put", "marked-record", "marked-text"] {
        shop.subscribe(id, &format!("{id}@example.com")).await;
    }
    put(&shop, "marked-put", "\u{feff}{\"quantity\":1}").await;
    let record = "\u{feff}{\"productId\":\"marked-record\",\"quantity\":1}";
    shop.produce("item-restocked", &[Record::text(record), Record::text("\u{feff}marked-text\r\n")]);
    for id in ["marked-put", "marked-record", "marked-text"] {
        shop.only_mail(&format!("{id}@example.com")).await;
    }
}

#[tokio::test]
async fn an_optional_field_left_empty_is_taken_and_named() {
    let shop = shared();
    let body = json!({ "quantity": 1, "occurredAt": "", "restockId": "",
        "product": { "name": "", "url": "", "imageUrl": "", "price": "" } });
    let ignored = put(&shop, "empty-fields", &body.to_string()).await;
    let all = ["restockId", "occurredAt", "product.name", "product.url", "product.imageUrl", "product.price"];
    assert_eq!(ignored, all);
    let nulls = json!({ "quantity": 1, "occurredAt": null, "restockId": null, "product": Value::Null });
    assert!(put(&shop, "empty-fields", &nulls.to_string()).await.is_empty());
}
