//! The function in process, on a table in memory: in, counted, and out by the link of an email.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use aws_lambda_events::encodings::Body;
use domain::unsubscribe::{Key, Ticket};
use domain::{Address, PersonKey, ProductId};
use notify_me_subscribe::{App, handle};
use serde_json::{Value, json};
use store::{Store, test_util};

mod support;

use support::{KEY, config};

async fn app() -> (App, Store) {
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    let store = test_util::store(&aws).await.unwrap();
    let config = config(&[]);
    (App::new(config, &aws, store.clone()), store)
}

fn request(route: &str, parameters: &Value, body: &str) -> ApiGatewayV2httpRequest {
    let (method, path) = route.split_once(' ').unwrap();
    let event = json!({
        "version": "2.0", "routeKey": route, "rawPath": path, "headers": {}, "pathParameters": parameters,
        "requestContext": { "http": { "method": method } }, "body": body, "isBase64Encoded": false,
    });
    serde_json::from_value(event).unwrap()
}

async fn answer(app: &App, request: &ApiGatewayV2httpRequest) -> (i64, String) {
    let answer = handle(app, request).await;
    match answer.body {
        Some(Body::Text(text)) => (answer.status_code, text),
        _ => (answer.status_code, String::new()),
    }
}

#[tokio::test]
async fn a_shopper_subscribes_once_is_counted_and_leaves_by_the_link_of_an_email() {
    let (app, store) = app().await;
    let id = json!({ "productId": "iphone15" });
    let subscribe = "POST /products/{productId}/subscriptions";
    let subscribe = request(subscribe, &id, r#"{"email":"jo@example.com","locale":"de"}"#);
    let count = request("GET /products/{productId}/subscriptions/count", &id, "");
    let waiting =
        async || serde_json::from_str::<Value>(&answer(&app, &count).await.1).unwrap()["waiting"].clone();

    assert_eq!(answer(&app, &subscribe).await.0, 201);
    assert_eq!(answer(&app, &subscribe).await.0, 200, "the second time, nothing is new");
    assert_eq!(waiting().await, 1);

    let product = ProductId::parse("iphone15").unwrap();
    let subscriber = PersonKey::new(KEY).unwrap().person(&Address::parse("jo@example.com").unwrap());
    let found = store.subscriptions().find(subscriber, &product).await.unwrap().unwrap();
    let ticket = Ticket { product, shard: found.shard, position: found.position };
    let token = json!({ "token": ticket.sign(&Key::new(KEY).unwrap()) });
    let (status, page) = answer(&app, &request("GET /unsubscribe/{token}", &token, "")).await;
    assert!(status == 200 && page.contains("lang=\"de\""), "{status} {page}");
    assert_eq!(waiting().await, 1, "a link that is followed changes nothing");
    assert_eq!(answer(&app, &request("POST /unsubscribe/{token}", &token, "")).await.0, 200);
    assert_eq!(waiting().await, 0);
    assert_eq!(answer(&app, &subscribe).await.0, 201, "new again");
}
