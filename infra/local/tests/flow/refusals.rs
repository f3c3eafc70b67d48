//! What cannot be served is refused with a problem document (RFC 9457) that names the field and what is accepted.

use serde_json::{Value, json};

use crate::support::{Answer, shared};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// The problem document of a refusal.
fn problem(answer: &Answer, status: u16, case: &str) -> Value {
    assert_eq!(answer.status, status, "{case}: {answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json", "{case}: {answer:?}");
    let problem = answer.json();
    assert_eq!(problem["status"], status, "{case}: {problem:#}");
    for field in ["title", "detail"] {
        assert!(problem[field].as_str().is_some_and(|text| text.len() > 3), "{case}: {problem:#}");
    }
    problem
}

#[tokio::test]
async fn a_subscription_that_cannot_be_used_is_refused_with_the_field_and_what_is_accepted() {
    let shop = shared();
    let long = "x".repeat(256);
    let wish = r#"{"email":"a@example.com"}"#;
    let with = |field: &str, value: Value| {
        let mut wish = json!({ "email": "a@example.com" });
        wish[field] = value;
        wish.to_string()
    };
    let cases: Vec<(&str, String, &str)> = vec![
        ("p", String::new(), "body"),
        ("p", " \n".to_owned(), "body"),
        ("p", "{".to_owned(), "body"),
        ("p", "email=a@example.com".to_owned(), "body"),
        ("p", "[]".to_owned(), "body"),
        ("p", "null".to_owned(), "body"),
        ("p", "\"a@example.com\"".to_owned(), "body"),
        ("p", "{}".to_owned(), "email"),
        ("p", with("email", json!(null)), "email"),
        ("p", with("email", json!(7)), "email"),
        ("p", with("email", json!("not-an-address")), "email"),
        ("p", with("email", json!("a@example.com, b@example.com")), "email"),
        ("p", with("email", json!("a@example.com\r\nBcc: b@example.com")), "email"),
        ("p", with("email", json!("jö@example.com")), "email"),
        ("p", with("locale", json!("german")), "locale"),
        ("p", with("locale", json!("de-AT-1996-x")), "locale"),
        ("p", with("locale", json!(1)), "locale"),
        ("p", with("userId", json!("a\tb")), "userId"),
        ("p", with("userId", json!("x".repeat(256))), "userId"),
        ("p", with("name", json!("x".repeat(101))), "name"),
        ("p", with("name", json!("a\nb")), "name"),
        (long.as_str(), wish.to_owned(), "productId"),
        ("%20", wish.to_owned(), "productId"),
        ("a%E2%80%AEb", wish.to_owned(), "productId"),
        ("a%FF", wish.to_owned(), "productId"),
        ("a%00", wish.to_owned(), "productId"),
        ("%2E%2E%2E", wish.to_owned(), "productId"),
    ];
    for (product, body, field) in cases {
        let case = format!("{product} {body}");
        let path = format!("/products/{product}/subscriptions");
        let answer = shop.request("POST", &path, &JSON, body.clone()).await;
        let problem = problem(&answer, 400, &case);
        assert_eq!(problem["field"], field, "{case}: {problem:#}");
        assert!(problem["accepted"].as_str().is_some_and(|text| !text.is_empty()), "{case}: {problem:#}");
        assert!(
            !answer.body.contains("example.com") || problem["accepted"].to_string().contains("example.com")
        );
        assert!(!answer.body.contains("Bcc"), "what was sent is not repeated: {answer:?}");
    }
    assert_eq!(shop.waiting("p").await, 0);
}

#[tokio::test]
async fn a_stock_update_that_cannot_be_used_is_refused_with_the_field_and_what_is_accepted() {
    let shop = shared();
    let long = "x".repeat(256);
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "body"),
        ("quantity=1".to_owned(), "body"),
        ("{}".to_owned(), "quantity"),
        (r#"{"quantity":"1"}"#.to_owned(), "quantity"),
        (r#"{"quantity":1.5}"#.to_owned(), "quantity"),
        (r#"{"quantity":9007199254740992}"#.to_owned(), "quantity"),
    ];
    for (body, field) in cases {
        let answer = shop.request("PUT", "/products/refused/stock", &JSON, body.clone()).await;
        assert_eq!(problem(&answer, 400, &body)["field"], field, "{body}");
    }
    let key = [JSON[0], ("idempotency-key", long.as_str())];
    let answer = shop.request("PUT", "/products/refused/stock", &key, r#"{"quantity":1}"#).await;
    assert_eq!(problem(&answer, 400, "key")["field"], "Idempotency-Key");
    let answer = shop.request("PUT", "/products/caf%00/stock", &JSON, r#"{"quantity":1}"#).await;
    assert_eq!(problem(&answer, 400, "product")["field"], "productId");
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_the_limit_is_named() {
    let shop = shared();
    let body = json!({ "email": "a@example.com", "more": "x".repeat(17_000) }).to_string();
    for (method, path) in [("POST", "/products/p/subscriptions"), ("PUT", "/products/p/stock")] {
        for kind in ["application/json", "application/octet-stream"] {
            let answer = shop.request(method, path, &[("content-type", kind)], body.clone()).await;
            let problem = problem(&answer, 413, path);
            assert!(problem["accepted"].as_str().unwrap().contains("16384"), "{problem:#}");
        }
    }
}

#[tokio::test]
async fn a_path_that_nobody_has_is_not_found_and_a_method_that_it_does_not_take_is_named() {
    let shop = shared();
    for (method, path) in [
        ("GET", "/products"),
        ("GET", "/products/p"),
        ("GET", "/products/p/reviews"),
        ("POST", "/products/p/subscriptions/more"),
        ("GET", "/unsubscribe"),
        ("GET", "/unsubscribe/a/b"),
    ] {
        let answer = shop.request(method, path, &[], "").await;
        problem(&answer, 404, path);
    }
    for (method, path, allow) in [
        ("GET", "/products/p/subscriptions", "POST"),
        ("DELETE", "/products/p/subscriptions", "POST"),
        ("POST", "/products/p/subscriptions/count", "GET"),
        ("POST", "/products/p/stock", "PUT"),
        ("PATCH", "/products/p/stock", "PUT"),
        ("PUT", "/unsubscribe/t", "GET, POST"),
    ] {
        let answer = shop.request(method, path, &[], "").await;
        problem(&answer, 405, path);
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
    }
}
