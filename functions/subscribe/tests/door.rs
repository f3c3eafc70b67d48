//! The door in process, on a table in memory: limits, refused addresses, challenges and forms.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use altcha::{Challenge, Payload, SolveChallengeOptions, solve_challenge};
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use aws_lambda_events::encodings::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use notify_me_subscribe::{App, handle};
use serde_json::{Value, json};
use store::test_util;

mod support;

use support::config;

const FORM: &str = "application/x-www-form-urlencoded";

/// The function with these settings beside those that must be.
async fn app(own: &[(&str, &str)]) -> App {
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    let store = test_util::store(&aws).await.unwrap();
    let config = config(own);
    App::new(config, &aws, store)
}

/// A request about the product `p`.
fn request(route: &str, headers: &Value, source: &str, body: &str) -> ApiGatewayV2httpRequest {
    let (method, path) = route.split_once(' ').unwrap();
    let event = json!({
        "version": "2.0", "routeKey": route, "rawPath": path.replace("{productId}", "p"), "headers": headers,
        "pathParameters": { "productId": "p" }, "body": body, "isBase64Encoded": false,
        "requestContext": { "http": { "method": method, "sourceIp": source } },
    });
    serde_json::from_value(event).unwrap()
}

const SUBSCRIBE: &str = "POST /products/{productId}/subscriptions";

fn text(answer: &ApiGatewayV2httpResponse) -> &str {
    match &answer.body {
        Some(Body::Text(text)) => text,
        _ => "",
    }
}

fn header<'a>(answer: &'a ApiGatewayV2httpResponse, name: &str) -> &'a str {
    answer.headers.get(name).map_or("", |value| value.to_str().unwrap())
}

async fn ask(app: &App, source: &str, wish: &Value) -> ApiGatewayV2httpResponse {
    handle(app, &request(SUBSCRIBE, &json!({}), source, &wish.to_string())).await
}

async fn status(app: &App, source: &str, email: &str) -> i64 {
    ask(app, source, &json!({ "email": email })).await.status_code
}

async fn waiting(app: &App) -> Value {
    let count = request("GET /products/{productId}/subscriptions/count", &json!({}), "192.0.2.1", "");
    serde_json::from_str::<Value>(text(&handle(app, &count).await)).unwrap()["waiting"].clone()
}

#[tokio::test]
async fn without_the_setting_nothing_is_limited() {
    let app = app(&[("LIMIT_SOURCE", "1/24h")]).await;
    for number in 0..20 {
        assert_eq!(status(&app, "192.0.2.1", &format!("{number}@example.com")).await, 201);
    }
}

#[tokio::test]
async fn a_source_that_asks_too_often_is_refused_alike_for_known_and_unknown_addresses() {
    let app = app(&[("LIMITS", "on"), ("LIMIT_SOURCE", "2/24h")]).await;
    assert_eq!(status(&app, "2001:db8::1", "known@example.com").await, 201);
    assert_eq!(status(&app, "2001:db8::2", "known@example.com").await, 200, "of the same network");
    let known = ask(&app, "2001:db8::3", &json!({ "email": "known@example.com" })).await;
    let unknown = ask(&app, "2001:db8::3", &json!({ "email": "unknown@example.com" })).await;
    for refused in [&known, &unknown] {
        assert_eq!(refused.status_code, 429);
        assert_eq!(header(refused, "content-type"), "application/problem+json");
        let seconds: u32 = header(refused, "retry-after").parse().unwrap();
        assert!((86_390..=86_400).contains(&seconds), "{seconds}");
    }
    let said = |answer| serde_json::from_str::<Value>(text(answer)).unwrap()["title"].clone();
    assert_eq!(said(&known), said(&unknown));
    assert_eq!(waiting(&app).await, 1, "nothing is written for one that is refused");
    // Not even the address is used up by it.
    for _ in 0..3 {
        assert_eq!(status(&app, "2001:db8::4", "unknown@example.com").await, 429);
    }
    assert_eq!(status(&app, "2001:db8:0:1::1", "unknown@example.com").await, 201, "another network");
}

#[tokio::test]
async fn bad_input_is_refused_before_it_uses_a_limit_up() {
    let app = app(&[("LIMITS", "on"), ("LIMIT_SOURCE", "1/24h")]).await;
    for email in ["", "nonsense", "postmaster@example.com"] {
        for _ in 0..2 {
            assert_eq!(status(&app, "192.0.2.1", email).await, 400, "{email}");
        }
    }
    assert_eq!(status(&app, "192.0.2.1", "a@example.com").await, 201);
    assert_eq!(status(&app, "192.0.2.1", "a@example.com").await, 429);
    assert_eq!(status(&app, "192.0.2.1", "nonsense").await, 400, "what is wrong is said first");
}

#[tokio::test]
async fn an_address_is_limited_from_wherever_it_is_asked_for_and_whatever_tag_it_has() {
    let app = app(&[("LIMITS", "on"), ("LIMIT_ADDRESS", "2/24h")]).await;
    assert_eq!(status(&app, "192.0.2.1", "jo@example.com").await, 201);
    assert_eq!(status(&app, "192.0.2.2", "Jo+1@example.com").await, 201);
    assert_eq!(status(&app, "192.0.2.3", "JO+2@example.com").await, 429);
    assert_eq!(status(&app, "192.0.2.3", "al@example.com").await, 201);
}

#[tokio::test]
async fn behind_trusted_proxies_the_last_untrusted_hop_is_the_source() {
    let app = app(&[("LIMITS", "on"), ("LIMIT_SOURCE", "1/24h"), ("TRUSTED_PROXIES", "1")]).await;
    let ask = async |forwarded: &str, email: &str| {
        let headers = json!({ "x-forwarded-for": forwarded });
        let body = json!({ "email": email }).to_string();
        handle(&app, &request(SUBSCRIBE, &headers, "198.51.100.1", &body)).await.status_code
    };
    assert_eq!(ask("192.0.2.1, 198.51.100.1", "a@example.com").await, 201);
    assert_eq!(ask("192.0.2.2, 198.51.100.1", "b@example.com").await, 201);
    assert_eq!(ask("203.0.113.5, 192.0.2.1, 198.51.100.1", "c@example.com").await, 429, "invented");
}

/// A challenge for a product, as a browser gets it.
async fn challenge(app: &App, product: &str) -> Challenge {
    let mut asked = request("GET /products/{productId}/challenge", &json!({}), "192.0.2.1", "");
    asked.path_parameters.insert("productId".to_owned(), product.to_owned());
    let answer = handle(app, &asked).await;
    assert_eq!((answer.status_code, header(&answer, "cache-control")), (200, "no-store"));
    serde_json::from_str(text(&answer)).unwrap()
}

fn solve(challenge: Challenge) -> Payload {
    let solution = solve_challenge(SolveChallengeOptions::new(&challenge)).unwrap().unwrap();
    Payload { challenge, solution }
}

fn written(payload: &Payload) -> String {
    STANDARD.encode(serde_json::to_vec(payload).unwrap())
}

fn wish(email: &str, solution: &str) -> Value {
    json!({ "email": email, "altcha": solution })
}

#[tokio::test]
async fn a_solution_opens_the_way_once_for_its_product_alone() {
    let app = app(&[("CHALLENGE", "always")]).await;
    let without = ask(&app, "192.0.2.1", &json!({ "email": "a@example.com" })).await;
    let problem: Value = serde_json::from_str(text(&without)).unwrap();
    assert_eq!((without.status_code, &problem["challenge"]), (403, &json!("challenge")), "{problem}");
    let solved = written(&solve(challenge(&app, "p").await));
    assert_eq!(ask(&app, "192.0.2.1", &wish("a@example.com", &solved)).await.status_code, 201);
    assert_eq!(ask(&app, "192.0.2.1", &wish("b@example.com", &solved)).await.status_code, 403, "used");
    let of_another = written(&solve(challenge(&app, "q").await));
    assert_eq!(ask(&app, "192.0.2.1", &wish("b@example.com", &of_another)).await.status_code, 403);
    assert_eq!(waiting(&app).await, 1);
}

#[tokio::test]
async fn what_is_no_solution_of_a_challenge_of_ours_opens_nothing() {
    let app = app(&[("CHALLENGE", "always")]).await;
    let good = solve(challenge(&app, "p").await);
    let altered = |change: &dyn Fn(&mut Payload)| {
        let mut payload = good.clone();
        change(&mut payload);
        written(&payload)
    };
    for (case, text) in [
        ("nothing", String::new()),
        ("garbage", "garbage".to_owned()),
        ("no JSON", STANDARD.encode("{")),
        ("a wrong key", altered(&|payload| payload.solution.derived_key.replace_range(..2, "ff"))),
        ("a wrong number", altered(&|payload| payload.solution.counter += 1)),
        ("no signature", altered(&|payload| payload.challenge.signature = None)),
        ("a cheaper one", altered(&|payload| payload.challenge.parameters.cost = 1)),
        ("a later end", altered(&|payload| payload.challenge.parameters.expires_at = Some(99_999_999_999))),
        ("no end", altered(&|payload| payload.challenge.parameters.expires_at = None)),
        ("an end long ago", altered(&|payload| payload.challenge.parameters.expires_at = Some(1))),
        ("no product", altered(&|payload| payload.challenge.parameters.data = None)),
    ] {
        let answer = ask(&app, "192.0.2.1", &wish("a@example.com", &text)).await;
        assert_eq!(answer.status_code, 403, "{case}");
        assert_eq!(serde_json::from_str::<Value>(self::text(&answer)).unwrap()["field"], "altcha", "{case}");
    }
    assert_eq!(ask(&app, "192.0.2.1", &wish("a@example.com", &written(&good))).await.status_code, 201);
}

#[tokio::test]
async fn an_adaptive_challenge_takes_the_place_of_a_products_limit_that_is_used_up() {
    let app = app(&[("LIMITS", "on"), ("CHALLENGE", "adaptive"), ("LIMIT_PRODUCT", "2/24h")]).await;
    for number in 0..2 {
        assert_eq!(status(&app, "192.0.2.1", &format!("{number}@example.com")).await, 201);
    }
    for _ in 0..5 {
        let refused = ask(&app, "192.0.2.2", &json!({ "email": "jo@example.com" })).await;
        let problem: Value = serde_json::from_str(text(&refused)).unwrap();
        assert_eq!((refused.status_code, &problem["challenge"]), (429, &json!("challenge")), "{problem}");
        assert!(!header(&refused, "retry-after").is_empty());
    }
    let solved = written(&solve(challenge(&app, "p").await));
    let answer = ask(&app, "192.0.2.2", &wish("jo@example.com", &solved)).await;
    assert_eq!(answer.status_code, 201, "the refusals did not use the address up");
}

#[tokio::test]
async fn a_challenge_that_is_not_asked_for_cannot_be_had_and_a_solution_is_not_looked_at() {
    for own in [&[][..], &[("CHALLENGE", "adaptive")]] {
        let app = app(own).await;
        let asked = request("GET /products/{productId}/challenge", &json!({}), "192.0.2.1", "");
        assert_eq!(handle(&app, &asked).await.status_code, 404);
        assert_eq!(ask(&app, "192.0.2.1", &wish("a@example.com", "garbage")).await.status_code, 201);
    }
}

async fn post(app: &App, language: &str, body: &str) -> ApiGatewayV2httpResponse {
    let headers = json!({ "content-type": FORM, "accept-language": language });
    let mut request = request(SUBSCRIBE, &headers, "192.0.2.1", body);
    // As API Gateway sends a form.
    request.body = Some(STANDARD.encode(body));
    request.is_base64_encoded = true;
    handle(app, &request).await
}

#[tokio::test]
async fn a_plain_form_is_answered_by_a_page_in_its_language() {
    let app =
        app(&[("LIMITS", "on"), ("LIMIT_ADDRESS", "2/24h"), ("REFUSED_DOMAINS", "refused.example")]).await;
    for (language, body, status, lang, title) in [
        ("de", "email=jo%40example.com&name=Jo", 200, "de", "Sie stehen auf der Liste"),
        ("de", "email=jo%40example.com&locale=fr-CA", 200, "fr", "Vous êtes sur la liste"),
        ("de", "email=jo%40example.com&locale=ja", 429, "de", "Zu viele Anfragen"),
        ("fr", "email=", 400, "fr", "Cette adresse e-mail ne peut pas être utilisée"),
        ("", "name=Jo", 400, "en", "This email address cannot be used"),
        ("", "email=jo@refused.example", 400, "en", "This email address cannot be used"),
        ("", "", 400, "en", "This email address cannot be used"),
    ] {
        let answer = post(&app, language, body).await;
        let page = text(&answer);
        assert_eq!(answer.status_code, status, "{body}: {page}");
        assert!(header(&answer, "content-type").starts_with("text/html"), "{body}");
        assert!(page.contains(&format!("lang=\"{lang}\"")) && page.contains(title), "{body}: {page}");
        assert!(!page.contains("example"), "nothing that was sent is repeated: {page}");
        assert_eq!(!header(&answer, "retry-after").is_empty(), status == 429, "{body}");
    }
    assert_eq!(waiting(&app).await, 1);
}

#[tokio::test]
async fn a_form_goes_where_the_shop_wants_also_when_it_is_refused() {
    let redirect = "https://shop.example/p/{productId}?alert={status}";
    let own = [("FORM_REDIRECT", redirect), ("LIMITS", "on"), ("LIMIT_ADDRESS", "1/24h")];
    let app = app(&own).await;
    for (body, word) in [
        ("email=jo@example.com", "waiting"),
        ("email=jo@example.com", "limited"),
        ("email=nobody", "invalid"),
    ] {
        let answer = post(&app, "de", body).await;
        let location = header(&answer, "location");
        assert_eq!(
            (answer.status_code, location),
            (303, format!("https://shop.example/p/p?alert={word}").as_str())
        );
    }
    // A program gets what it always did.
    assert_eq!(status(&app, "192.0.2.1", "al@example.com").await, 201);
}

#[tokio::test]
async fn json_stays_json_whatever_its_content_type_says() {
    let app = app(&[]).await;
    for (number, kind) in [
        "application/json",
        "application/json; charset=utf-8",
        "text/plain",
        "application/octet-stream",
        FORM,
        "multipart/form-data; boundary=x",
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({ "email": format!("{number}@example.com") }).to_string();
        let answer =
            handle(&app, &request(SUBSCRIBE, &json!({ "content-type": kind }), "192.0.2.1", &body)).await;
        assert_eq!(
            (answer.status_code, header(&answer, "content-type")),
            (201, "application/json"),
            "{kind}"
        );
    }
    assert_eq!(status(&app, "192.0.2.1", "without@example.com").await, 201);
}
