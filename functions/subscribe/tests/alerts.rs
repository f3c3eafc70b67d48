//! A person's alerts and what the shop's back end may do with a person, in process, on a table in memory. Where an email would
//! go out there is no SES: the answer is the same.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::encodings::Body;
use domain::link::Manage;
use domain::suppression::Reason;
use domain::unsubscribe::Key;
use domain::{Address, PersonId, PersonKey, ProductId, UserId};
use jiff::Timestamp;
use notify_me_subscribe::{App, handle};
use serde_json::{Value, json};
use store::{Store, test_util};

mod support;

use support::{KEY, config};

struct Bench {
    app: App,
    store: Store,
}

struct Answer {
    status: i64,
    body: String,
    headers: http::HeaderMap,
}

impl Bench {
    async fn new() -> Self {
        let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned())
            // Nothing listens there.
            .endpoint_url("http://127.0.0.1:9")
            .load()
            .await;
        let store = test_util::store(&aws).await.unwrap();
        let config = config(&[]);
        Self { app: App::new(config, &aws, store.clone()), store }
    }

    async fn ask(&self, route: &str, parameters: Value, body: &str, headers: Value) -> Answer {
        let (method, path) = route.split_once(' ').unwrap();
        let token = parameters["token"].as_str().unwrap_or_default();
        let event = json!({
            "version": "2.0", "routeKey": route, "rawPath": path.replace("{token}", token), "headers": headers,
            "pathParameters": parameters, "requestContext": { "http": { "method": method } }, "body": body,
            "isBase64Encoded": false,
        });
        let request: ApiGatewayV2httpRequest = serde_json::from_value(event).unwrap();
        let answer = handle(&self.app, &request).await;
        let body = match answer.body {
            Some(Body::Text(text)) => text,
            _ => String::new(),
        };
        Answer { status: answer.status_code, body, headers: answer.headers }
    }

    async fn form(&self, route: &str, parameters: Value, body: &str) -> Answer {
        let headers = json!({ "content-type": "application/x-www-form-urlencoded" });
        self.ask(route, parameters, body, headers).await
    }

    async fn subscribe(&self, product: &str, wish: Value) {
        let route = "POST /products/{productId}/subscriptions";
        let answer = self.ask(route, json!({ "productId": product }), &wish.to_string(), json!({})).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
    }

    async fn back_end(&self, route: &str, who: &str, body: &str) -> (i64, Value) {
        let answer = self.ask(route, json!({ "proxy": who }), body, json!({})).await;
        (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
    }
}

fn person(address: &str) -> PersonId {
    PersonKey::new(KEY).unwrap().person(&Address::parse(address).unwrap())
}

fn token(address: &str, minutes: i64) -> Value {
    let expires = Timestamp::now() + jiff::SignedDuration::from_mins(minutes);
    json!({ "token": Manage { person: person(address), expires }.sign(&Key::new(KEY).unwrap()) })
}

#[tokio::test]
async fn a_person_sees_their_alerts_and_ends_them_and_no_get_changes_anything() {
    let bench = Bench::new().await;
    for product in ["a & b", "c", "d"] {
        bench.subscribe(product, json!({ "email": "jo@example.com", "locale": "de" })).await;
    }
    bench.subscribe("c", json!({ "email": "ann@example.com" })).await;
    let jo = || token("jo@example.com", 5);
    for method in ["GET", "HEAD"] {
        for path in ["", "/erase", "/export"] {
            let answer = bench.ask(&format!("{method} /alerts/{{token}}{path}"), jo(), "", json!({})).await;
            assert_eq!(answer.status, 200, "{method} {path}");
        }
    }
    let page = bench.ask("GET /alerts/{token}", jo(), "", json!({})).await;
    assert!(
        page.body.contains("lang=\"de\"") && page.body.contains("<h1>Ihre Benachrichtigungen</h1>"),
        "{}",
        page.body
    );
    assert_eq!(page.body.matches("data-state=\"waiting\"").count(), 3, "{}", page.body);
    assert!(page.body.contains("a &amp; b") && !page.body.contains("a & b"), "{}", page.body);
    assert!(page.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));

    let left = bench.form("POST /alerts/{token}/leave", jo(), "productId=a+%26+b").await;
    assert_eq!((left.status, left.body.matches("data-state").count()), (200, 2), "{}", left.body);
    assert!(
        left.body.contains("role=\"status\"") && left.body.contains("a &amp; b ist beendet"),
        "{}",
        left.body
    );
    assert_eq!(
        bench.form("POST /alerts/{token}/leave", jo(), "productId=a+%26+b").await.status,
        200,
        "twice"
    );
    for odd in ["", "productId=", "product=c"] {
        assert_eq!(bench.form("POST /alerts/{token}/leave", jo(), odd).await.status, 400, "{odd}");
    }
    let left = bench.form("POST /alerts/{token}/leave-all", jo(), "").await;
    assert!(left.status == 200 && !left.body.contains("data-state"), "{}", left.body);
    let ann = bench.ask("GET /alerts/{token}", token("ann@example.com", 5), "", json!({})).await;
    assert_eq!(ann.body.matches("data-state").count(), 1, "another's alerts are another's");
}

#[tokio::test]
async fn a_link_that_opens_nothing_offers_a_new_one_and_does_nothing() {
    let bench = Bench::new().await;
    bench.subscribe("p", json!({ "email": "jo@example.com" })).await;
    let german = json!({ "accept-language": "de" });
    for (token, status) in
        [(token("jo@example.com", -1), 410), (json!({ "token": "new" }), 404), (json!({ "token": "" }), 404)]
    {
        for route in [
            "GET /alerts/{token}",
            "GET /alerts/{token}/export",
            "POST /alerts/{token}/erase",
            "POST /alerts/{token}/never",
        ] {
            let answer = bench.ask(route, token.clone(), "", german.clone()).await;
            assert_eq!(answer.status, status, "{route}");
            assert!(
                answer.body.contains("lang=\"de\"") && answer.body.contains("type=\"email\""),
                "{}",
                answer.body
            );
            let action = if route.ends_with("{token}") { "action=\"link\"" } else { "action=\"../link\"" };
            assert!(answer.body.contains(action), "{route}: {}", answer.body);
        }
    }
    let found =
        bench.store.subscriptions().find(person("jo@example.com"), &ProductId::parse("p").unwrap()).await;
    assert!(found.unwrap().is_some());
}

#[tokio::test]
async fn who_wants_no_email_gets_none_and_who_erases_is_gone() {
    let bench = Bench::new().await;
    bench.subscribe("p", json!({ "email": "jo@example.com" })).await;
    let answer = bench.form("POST /alerts/{token}/never", token("jo@example.com", 5), "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let jo = person("jo@example.com");
    let found = store::people::everything(&bench.store, jo, Timestamp::now()).await.unwrap();
    assert_eq!((found.alerts.len(), found.person.suppressed.unwrap().reason), (0, Reason::Abuse));

    bench.subscribe("p", json!({ "email": "ann@example.com" })).await;
    let ann = || token("ann@example.com", 5);
    let asked = bench.ask("GET /alerts/{token}/erase", ann(), "", json!({})).await;
    assert!(
        asked.body.contains("<form method=\"post\"") && asked.body.contains("Erase your data?"),
        "{}",
        asked.body
    );
    let export = bench.ask("GET /alerts/{token}/export", ann(), "", json!({})).await;
    assert!(export.headers["content-disposition"].to_str().unwrap().starts_with("attachment"));
    let export: Value = serde_json::from_str(&export.body).unwrap();
    assert_eq!(export["subscribers"][0]["subscriptions"][0]["email"], "ann@example.com");
    let erased = bench.form("POST /alerts/{token}/erase", ann(), "").await;
    assert!(erased.status == 200 && erased.body.contains("Your data is erased"), "{}", erased.body);
    let export = bench.ask("GET /alerts/{token}/export", ann(), "", json!({})).await;
    let export: Value = serde_json::from_str(&export.body).unwrap();
    assert_eq!(export["subscribers"], json!([]), "{export:#}");
}

#[tokio::test]
async fn the_answer_to_who_asks_for_a_link_does_not_tell_whether_the_address_is_known() {
    let bench = Bench::new().await;
    bench.subscribe("p", json!({ "email": "jo@example.com", "locale": "fr" })).await;
    let mut bodies = Vec::new();
    for email in ["jo@example.com", "nobody@example.com"] {
        let answer = bench
            .ask("POST /alerts/link", json!({}), &json!({ "email": email }).to_string(), json!({}))
            .await;
        assert_eq!(answer.status, 202, "{}", answer.body);
        let page =
            bench.form("POST /alerts/link", json!({}), &format!("email={}", email.replace('@', "%40"))).await;
        assert!(page.status == 202 && page.body.contains("Look into your inbox"), "{}", page.body);
        bodies.push((answer.body, page.body));
    }
    assert_eq!(bodies[0], bodies[1]);
    // Of the one whom nobody knows, nothing was written.
    let stranger = bench.store.persons().read(person("nobody@example.com")).await.unwrap();
    assert_eq!(stranger, store::person::Person::default());
    assert_eq!(bench.store.persons().read(person("jo@example.com")).await.unwrap().emails, 2);

    for (body, form) in
        [("{}", false), ("", false), (r#"{"email":"jo"}"#, false), ("email=jo", true), ("", true)]
    {
        let answer = match form {
            true => bench.form("POST /alerts/link", json!({}), body).await,
            false => bench.ask("POST /alerts/link", json!({}), body, json!({})).await,
        };
        assert_eq!(
            (answer.status, answer.body.contains("role=\"alert\"")),
            (400, form),
            "{body} {}",
            answer.body
        );
        assert!(!answer.body.contains(">jo<"), "what was written is not repeated");
    }
}

#[tokio::test]
async fn nobody_is_mailed_more_links_than_three_a_day() {
    let bench = Bench::new().await;
    bench.subscribe("p", json!({ "email": "jo@example.com" })).await;
    for _ in 0..5 {
        let ask = bench.ask("POST /alerts/link", json!({}), r#"{"email":"jo@example.com"}"#, json!({}));
        let answer = tokio::time::timeout(Duration::from_secs(20), ask).await.unwrap();
        assert_eq!(answer.status, 202);
    }
    assert_eq!(bench.store.persons().read(person("jo@example.com")).await.unwrap().emails, 3);
}

#[tokio::test]
async fn the_back_end_exports_and_erases_by_address_or_by_user_id() {
    let bench = Bench::new().await;
    let (get, delete) = ("GET /subscribers/{proxy+}", "DELETE /subscribers/{proxy+}");
    bench.subscribe("p", json!({ "email": "jo@example.com", "userId": "gid://shop/1" })).await;
    let user = UserId::parse("gid://shop/1").unwrap();
    bench.store.users().link(&user, person("jo@example.com"), i64::MAX).await.unwrap();
    for who in ["jo@example.com", "JO@example.com/", "gid://shop/1"] {
        let (status, export) = bench.back_end(get, who, "").await;
        let subscription = &export["subscribers"][0]["subscriptions"][0];
        assert_eq!((status, &subscription["state"]), (200, &json!("waiting")), "{who}: {export:#}");
    }
    assert_eq!(bench.back_end(get, "nobody@example.com", "").await.0, 404);
    assert_eq!(bench.back_end(get, "\u{7}", "").await.0, 400);
    for _ in 0..2 {
        assert_eq!(bench.back_end(delete, "gid://shop/1", "").await, (202, json!({ "status": "accepted" })));
    }
    assert_eq!(bench.back_end(get, "jo@example.com", "").await.0, 404);
    assert_eq!(bench.back_end(get, "gid://shop/1", "").await.0, 404);
}

#[tokio::test]
async fn the_back_end_suppresses_and_lifts_but_not_what_is_the_persons_own_word() {
    let bench = Bench::new().await;
    let (get, put, delete) =
        ("GET /suppressions/{proxy+}", "PUT /suppressions/{proxy+}", "DELETE /suppressions/{proxy+}");
    let jo = "jo@example.com";
    bench.subscribe("p", json!({ "email": jo })).await;
    assert_eq!(bench.back_end(get, jo, "").await.0, 404);
    let (status, put_once) = bench.back_end(put, jo, "").await;
    assert_eq!((status, &put_once["reason"]), (200, &json!("manual")));
    assert!(
        store::people::everything(&bench.store, person(jo), Timestamp::now())
            .await
            .unwrap()
            .alerts
            .is_empty()
    );
    assert_eq!(bench.back_end(put, jo, "\u{feff} ").await, (200, put_once.clone()), "again changes nothing");
    assert_eq!(bench.back_end(get, jo, "").await, (200, put_once));
    assert_eq!(bench.back_end(delete, jo, "").await.0, 204);
    assert_eq!(bench.back_end(delete, jo, "").await.0, 204, "and again");

    for (reason, operator) in [("bounce", 204), ("optedOut", 409), ("complaint", 409), ("abuse", 409)] {
        let (status, found) = bench.back_end(put, jo, &json!({ "reason": reason }).to_string()).await;
        assert_eq!((status, &found["reason"]), (200, &json!(reason)));
        let (status, problem) = bench.back_end(delete, jo, "{}").await;
        assert_eq!(status, operator, "{reason}: {problem}");
        if operator == 409 {
            assert!(problem["accepted"].as_str().unwrap().contains("askedByPerson"), "{problem}");
            assert_eq!(
                bench.back_end(delete, jo, r#"{"askedByPerson":"yes"}"#).await.0,
                409,
                "only true is true"
            );
            assert_eq!(bench.back_end(delete, jo, r#"{"askedByPerson":true}"#).await.0, 204, "{reason}");
        }
    }
    for odd in [r#"{"reason":"other"}"#, r#"{"reason":5}"#, "[]", "x"] {
        assert_eq!(bench.back_end(put, jo, odd).await.0, 400, "{odd}");
    }
    assert_eq!(bench.back_end(put, "no address", "").await.0, 400);
}
