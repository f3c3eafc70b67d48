//! What cannot be served is refused with a problem document (RFC 9457) that names the field and what is accepted.

use serde_json::{Value, json};

use crate::support::{Answer, header, shared};

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
        ("p", with("email", json!(" ")), "email"),
        ("p", with("email", json!("jo@exa_mple.com")), "email"),
        ("p", with("email", json!("jo@my_shop.example.com")), "email"),
        ("p", with("email", json!("jo@mail._domain.example")), "email"),
        ("p", with("email", json!("jo@-example.com")), "email"),
        ("p", with("email", json!("jo@example.com.")), "email"),
        ("p", with("email", json!("jo@192.0.2.1")), "email"),
        ("p", with("email", json!("jo@[192.0.2.1]")), "email"),
        ("p", with("email", json!("\"jo\"@example.com")), "email"),
        ("p", with("email", json!(format!("jo@{}.example", "x".repeat(64)))), "email"),
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
        ("GET", "/products/"),
        ("GET", "/products/p/reviews"),
        ("GET", "/products/p/reviews/"),
        ("GET", "/page/no-such-picture.svg"),
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
        ("POST", "/products/p", "GET, HEAD"),
        ("POST", "/products/p/", "GET, HEAD"),
        ("HEAD", "/products/p/stock", "PUT"),
        ("GET", "/products/p/stock/", "PUT"),
        ("HEAD", "/products/p/subscriptions", "POST"),
        ("POST", "/products/p/subscriptions/count", "GET, HEAD"),
        ("POST", "/products/p/stock", "PUT"),
        ("PATCH", "/products/p/stock", "PUT"),
        ("POST", "/products/p/rules/", "GET, HEAD, PUT, DELETE"),
        ("PUT", "/unsubscribe/t", "GET, HEAD, POST"),
    ] {
        let answer = shop.request(method, path, &[], "").await;
        assert_eq!(answer.header("allow"), allow, "{method} {path}");
        if method == "HEAD" {
            assert_eq!((answer.status, answer.body.as_str()), (405, ""), "{path}");
        } else {
            assert_eq!(problem(&answer, 405, path)["detail"], "method not allowed");
        }
    }
    // The page's own paths, which no function serves.
    for path in ["/", "/page/app.js"] {
        let answer = shop.request("POST", path, &JSON, "{}").await;
        problem(&answer, 405, path);
        assert_eq!(answer.header("allow"), "GET,HEAD", "{path}");
    }
}

#[tokio::test]
async fn a_slash_at_the_end_of_a_path_does_not_count() {
    let shop = shared();
    let wish = r#"{"email":"slash@example.com"}"#;
    let ask = async |path| shop.request("POST", path, &JSON, wish).await.status;
    assert_eq!(ask("/products/slash/subscriptions/").await, 201);
    assert_eq!(ask("/products/slash/subscriptions").await, 200, "it is the same list");
    for path in ["/products/slash/subscriptions/count/", "/products/slash/", "/products/slash"] {
        let answer = shop.request("GET", path, &[], "").await;
        assert_eq!((answer.status, &answer.json()["waiting"]), (200, &json!(1)), "{path}: {answer:?}");
    }
    // Behind a login on AWS, so the route without the slash is named, and a client that follows it is taken there.
    let answer = shop.request("PUT", "/products/slash/stock/", &JSON, r#"{"quantity":4}"#).await;
    assert_eq!((answer.status, &answer.json()["productId"]), (202, &json!("slash")), "{answer:?}");
    let mail = shop.only_mail("slash@example.com").await;
    let link = header(&mail, "List-Unsubscribe").trim_matches(['<', '>']).to_owned();
    let page = shop.request("GET", &format!("{link}/"), &[], "").await;
    assert!(page.status == 200 && page.body.contains("<form method=\"post\">"), "{page:?}");
}

#[tokio::test]
async fn head_is_answered_as_get_is_without_a_body() {
    let shop = shared();
    shop.subscribe("head", "head@example.com").await;
    shop.stock("head", json!({ "quantity": 1 })).await;
    let mail = shop.only_mail("head@example.com").await;
    let link = header(&mail, "List-Unsubscribe").trim_matches(['<', '>']).to_owned();
    shop.subscribe("head", "head@example.com").await;
    let forged = format!("{}/unsubscribe/x", shop.api);
    for path in [
        link.as_str(),
        &forged,
        "/products/head",
        "/products/head/",
        "/products/head/subscriptions/count",
        "/products/none/of/these",
        "/",
        "/page/app.js",
    ] {
        let get = shop.request("GET", path, &[], "").await;
        let head = shop.request("HEAD", path, &[], "").await;
        assert_eq!((head.status, head.body.as_str()), (get.status, ""), "{path}");
        for name in ["content-type", "cache-control", "content-language", "content-security-policy"] {
            assert_eq!(head.header(name), get.header(name), "{path} {name}");
        }
        // Left out, or that of the body that is.
        assert!(
            ["", get.header("content-length")].contains(&head.header("content-length")),
            "{path}: {head:?}"
        );
    }
    assert_eq!(shop.waiting("head").await, 1, "a link checker ends nothing");
}

#[tokio::test]
async fn a_byte_order_mark_before_a_body_is_ignored() {
    let shop = shared();
    for kind in ["application/json", "application/octet-stream"] {
        let headers = [("content-type", kind)];
        let wish = format!("\u{feff}{}", json!({ "email": format!("{}@example.com", kind.len()) }));
        let answer = shop.request("POST", "/products/marked/subscriptions", &headers, wish).await;
        assert_eq!(answer.status, 201, "{kind}: {answer:?}");
        let update = "\u{feff}{\"quantity\":1}";
        let answer = shop.request("PUT", "/products/marked-stock/stock", &headers, update).await;
        assert_eq!(answer.status, 202, "{kind}: {answer:?}");
    }
}
