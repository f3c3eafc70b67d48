//! The door before the table in memory, and before one that does not answer.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use store::{Store, test_util};

use super::*;
use crate::Config;

async fn app(own: &[(&str, &str)], table: Option<&str>) -> App {
    let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
    let store = match table {
        None => test_util::store(&aws).await.unwrap(),
        Some(table) => Store::at(&aws, Some(table), "table"),
    };
    let setting = |name: &str| match name {
        "UNSUBSCRIBE_KEY" | "PERSON_KEY" => Some("a secret of some length"),
        "SENDER" => Some("shop@example.com"),
        "SHOP_NAME" => Some("Shop"),
        "CONFIRM_URL" | "ALERTS_URL" | "UNSUBSCRIBE_URL" => Some("https://shop.example/{token}"),
        _ => own.iter().find(|(own, _)| *own == name).map(|(_, value)| *value),
    };
    let config = Config::read(&|name| setting(name).map(str::to_owned)).unwrap();
    App::new(config, &aws, store)
}

async fn enters(app: &App, email: &str, vouched: bool) -> Result<(), StatusCode> {
    let mut request = ApiGatewayV2httpRequest::default();
    request.request_context.http.source_ip = Some("192.0.2.1".to_owned());
    let (product, address) = (ProductId::parse("p").unwrap(), Address::parse(email).unwrap());
    let ask = Ask { request: &request, product: &product, address: &address, solution: None, vouched };
    enter(app, &ask).await.map_err(|problem| problem.status())
}

#[tokio::test]
async fn a_caller_for_whom_the_shop_vouches_is_limited_by_the_address_alone() {
    const TOO_MANY: Result<(), StatusCode> = Err(StatusCode::TOO_MANY_REQUESTS);
    let limits =
        [("LIMITS", "on"), ("LIMIT_SOURCE", "1/24h"), ("LIMIT_PRODUCT", "1/24h"), ("LIMIT_ADDRESS", "2/24h")];
    let limited = app(&limits, None).await;
    assert_eq!(enters(&limited, "a@example.com", false).await, Ok(()));
    assert_eq!(enters(&limited, "b@example.com", false).await, TOO_MANY);
    for _ in 0..2 {
        assert_eq!(enters(&limited, "b@example.com", true).await, Ok(()));
    }
    assert_eq!(enters(&limited, "b@example.com", true).await, TOO_MANY);
    let challenging = app(&[("CHALLENGE", "always")], None).await;
    assert_eq!(enters(&challenging, "a@example.com", false).await, Err(StatusCode::FORBIDDEN));
    assert_eq!(enters(&challenging, "a@example.com", true).await, Ok(()));
    let refused = enters(&challenging, "abuse@example.com", true).await;
    assert_eq!(refused, Err(StatusCode::BAD_REQUEST), "no shopper reads it, whoever vouches");
}

#[tokio::test]
async fn where_the_table_does_not_answer_nothing_is_let_in() {
    // Nothing listens there.
    let app = app(&[("LIMITS", "on")], Some("http://127.0.0.1:9")).await;
    assert_eq!(enters(&app, "a@example.com", false).await, Err(StatusCode::SERVICE_UNAVAILABLE));
}
