//! The function in process, on a table in memory and without a Kafka: what is refused before anything is published.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use domain::planning::Update;
use domain::product::{Awaited, Due};
use domain::rules::{Availability, Rules};
use domain::stock::{Place, Version};
use domain::{Address, Locale, PersonId, Position, ProductId, RestockId, Shard};
use jiff::{SignedDuration, Timestamp};
use notify_me_restock::{App, Config, handle};
use serde_json::{Value, json};
use store::name::{Asked, Named};
use store::summary::Planned;
use store::waitlist::Entry;
use store::{Store, test_util};

/// A port that no broker listens at.
const NO_KAFKA: &str = "127.0.0.1:1";

async fn app() -> (App, Store) {
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    let store = test_util::store(&aws).await.unwrap();
    let settings = |name: &str| match name {
        "KAFKA_BOOTSTRAP_SERVERS" => Some(NO_KAFKA.to_owned()),
        "DELIVERY_TIMEOUT_MS" => Some("50".to_owned()),
        _ => None,
    };
    let app = App::new(Config::read(&settings).unwrap()).unwrap().on(store.clone());
    (app, store)
}

fn request(body: &str) -> String {
    json!({
        "version": "2.0", "routeKey": "PUT /products/{productId}/stock", "pathParameters": { "productId": "p" },
        "headers": { "idempotency-key": "k" }, "requestContext": { "http": { "method": "PUT" } },
        "body": body, "isBase64Encoded": false,
    })
    .to_string()
}

#[tokio::test]
async fn a_key_that_came_with_another_update_is_refused_and_without_kafka_an_update_is_to_come_again() {
    let (app, store) = app().await;
    let (key, product, now) =
        (RestockId::parse("k").unwrap(), ProductId::parse("p").unwrap(), Timestamp::now());
    let answer = handle(&app, &request(r#"{"quantity":5}"#)).await.unwrap();
    assert_eq!(answer["statusCode"], 503, "{answer}");
    let (_, known) = store.names().take(&key, &Named::new(&product, None, now), now).await.unwrap();
    let asked = known.unwrap().request.unwrap();
    assert_eq!(asked.place, None, "nothing was published");

    let answer = handle(&app, &request(r#"{"quantity":6}"#)).await.unwrap();
    assert_eq!(answer["statusCode"], 422, "{answer}");

    // Published by the first request, whose answer was lost.
    let published = Asked { place: Some((1, 2)), ..asked };
    store.names().put(&key, &Named::new(&product, Some(published), now)).await.unwrap();
    let answer = handle(&app, &request(r#"{"quantity":5}"#)).await.unwrap();
    assert_eq!(answer["statusCode"], 202, "{answer}");
    assert!(answer["body"].as_str().unwrap().contains(r#""offset":2"#), "{answer}");
}

/// A request for the rules of `a/b`, by either of their routes.
async fn rules(app: &App, route: &str, body: Option<&str>) -> (i64, Value) {
    let (method, path) = route.split_once(' ').unwrap();
    let name = if path.contains('+') { "proxy" } else { "productId" };
    let event = json!({
        "version": "2.0", "routeKey": route, "pathParameters": { name: "a/b" }, "headers": {},
        "requestContext": { "http": { "method": method } }, "body": body, "isBase64Encoded": false,
    });
    let answer = handle(app, &event.to_string()).await.unwrap();
    let body = answer["body"].as_str().and_then(|body| serde_json::from_str(body).ok());
    (answer["statusCode"].as_i64().unwrap(), body.unwrap_or_default())
}

#[tokio::test]
async fn a_product_has_rules_of_its_own_until_they_are_taken_away() {
    let (app, store) = app().await;
    let of = |rules: Value| json!({ "productId": "a/b", "rules": rules });
    let (plain, greedy) = ("/products/{productId}/rules", "/rules/{proxy+}");
    assert_eq!(rules(&app, &format!("GET {plain}"), None).await, (200, of(json!({}))));
    let put = format!("PUT {plain}");
    let answer = rules(&app, &put, Some(r#"{"minStock":5,"perUnit":2.0,"settle":null}"#)).await;
    let set = of(json!({ "minStock": 5, "perUnit": 2 }));
    assert_eq!(answer, (200, set.clone()));
    for path in [plain, greedy] {
        assert_eq!(rules(&app, &format!("GET {path}"), None).await, (200, set.clone()), "{path}");
        assert_eq!(rules(&app, &format!("HEAD {path}"), None).await, (200, Value::Null), "{path}");
    }
    let stored = store.products().read(&ProductId::parse("a/b").unwrap()).await.unwrap();
    assert_eq!((stored.rules.min_stock, stored.product), (Some(5), None));

    for (body, field) in [
        (None, "body"),
        (Some("[]"), "body"),
        (Some(r#"{"order":"newest"}"#), "body"),
        (Some(r#"{"minStock":0}"#), "minStock"),
        (Some(r#"{"window":{"from":"08:00","to":"20:00","zone":"Mars"}}"#), "window.zone"),
    ] {
        let (status, problem) = rules(&app, &put, body).await;
        assert_eq!((status, &problem["field"]), (400, &json!(field)), "{body:?}: {problem}");
    }
    assert_eq!(rules(&app, &format!("GET {plain}"), None).await, (200, set), "a refusal changes nothing");

    for _ in 0..2 {
        assert_eq!(rules(&app, &format!("DELETE {greedy}"), None).await, (204, Value::Null));
        assert_eq!(rules(&app, &format!("GET {greedy}"), None).await, (200, of(json!({}))));
    }
}

#[tokio::test]
async fn a_direct_invocation_that_is_no_update_fails_as_a_whole_and_in_a_list_alone() {
    let (app, _) = app().await;
    assert!(handle(&app, r#"{"quantity":5}"#).await.is_err());
    let answers = handle(&app, r#"[{"quantity":5},{"productId":"p","quantity":"x"}]"#).await.unwrap();
    assert_eq!(answers.as_array().map(Vec::len), Some(2), "{answers}");
}

/// A restock `PO/7` of the product `p` that waits for a release, and three who wait.
async fn hold(store: &Store, now: Timestamp) {
    let (product, restock) = (ProductId::parse("p").unwrap(), RestockId::parse("PO/7").unwrap());
    let update = Update {
        seen: None,
        version: Version::new(Some(now), None, now, Place { partition: 0, offset: 1 }).unwrap(),
        restock: restock.clone(),
        quantity: Some(5),
        availability: Availability::InStock,
        rules: Some(Box::new(Rules { wave_size: Some(2), ..Rules::default() })),
        own_rules: None,
        variant: None,
        variants: vec![],
        due: Some(Due::new(now, Awaited::Release)),
        details: None,
        recent: vec![],
        keeps_plan: false,
    };
    assert!(store.products().record_stock_update(&product, &update).await.unwrap().is_applied());
    let planned = Planned {
        restock_id: restock,
        product_id: product.clone(),
        bound: None,
        shard_count: 1,
        priority_shard_count: None,
        shards: vec![],
        planned_at: now,
    };
    store.summaries().record_plan(&planned).await.unwrap();
    let entries = (1..=3).map(|n| {
        let entry = Entry {
            subscriber: PersonId::from_bytes([n; 16]),
            address: Address::parse(&format!("shopper{n}@example.com")).unwrap(),
            locale: Locale::default(),
            name: None,
            moved: false,
            ttl: now.as_second() + 3_600,
        };
        (Shard::mail(0), Position::new(u64::from(n), 0), entry)
    });
    store.seed_entries(&product, entries).await.unwrap();
}

/// A request about a restock: its status, and its document.
async fn about(app: &App, method: &str, rest: &str) -> (u64, Value) {
    let event = json!({
        "version": "2.0", "routeKey": format!("{method} /restocks/{{proxy+}}"), "pathParameters": { "proxy": rest },
        "headers": {}, "requestContext": { "http": { "method": method } }, "isBase64Encoded": false,
    });
    let answer = handle(app, &event.to_string()).await.unwrap();
    let body = answer["body"].as_str().filter(|body| !body.is_empty());
    (answer["statusCode"].as_u64().unwrap(), serde_json::from_str(body.unwrap_or("null")).unwrap())
}

#[tokio::test]
async fn a_held_restock_is_shown_and_released_once() {
    let (app, store) = app().await;
    let now = Timestamp::now() - SignedDuration::from_secs(60);
    hold(&store, now).await;
    let held = json!({
        "restockId": "PO/7", "productId": "p", "inStock": true, "held": "release", "waiting": 3, "precision": "exact",
        "firstWave": 2,
    });
    assert_eq!(about(&app, "GET", "PO/7").await, (200, held.clone()));
    assert_eq!(about(&app, "GET", "PO/7/").await, (200, held.clone()));
    assert_eq!(about(&app, "HEAD", "PO/7").await, (200, Value::Null));
    let (status, problem) = about(&app, "POST", "PO/7").await;
    assert_eq!((status, &problem["accepted"]), (405, &json!("GET, HEAD")));

    let (status, mut released) = about(&app, "POST", "PO/7/release").await;
    let next: Timestamp = released["nextAt"].as_str().unwrap().parse().unwrap();
    assert!(status == 200 && (now..=Timestamp::now()).contains(&next), "{released}");
    released.as_object_mut().unwrap().remove("nextAt");
    let mut expected = held;
    expected["held"] = json!("plan");
    assert_eq!(released, expected);

    let (status, problem) = about(&app, "POST", "PO/7/release").await;
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("begins by itself"), "{problem}");
}

#[tokio::test]
async fn a_restock_that_is_not_known_is_not_found_and_its_id_is_not_repeated() {
    let (app, _) = app().await;
    for (method, rest, expected) in [
        ("GET", "unheard-of", 404),
        ("POST", "unheard-of/release", 404),
        ("GET", "", 400),
        ("POST", " /release", 400),
    ] {
        let (status, problem) = about(&app, method, rest).await;
        assert!(status == expected && problem["status"] == expected, "{method} {rest}: {problem}");
        assert!(!problem.to_string().contains("unheard-of"), "{problem}");
    }
}
