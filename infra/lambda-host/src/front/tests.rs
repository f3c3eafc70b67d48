//! The front, served, before real processes: what a client sees for each way an invocation ends.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use axum::routing::get;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::tests::function;
use crate::{Function, NOTIFY, RESTOCK, SUBSCRIBE};

struct Served {
    front: Front,
    host: Arc<Host>,
    backpressure: Backpressure,
    url: String,
}

async fn serve() -> Served {
    let named = |name| Function { name, timeout: Duration::from_secs(3), ..function() };
    let functions = vec![
        named(SUBSCRIBE),
        named(RESTOCK),
        Function { concurrency: 1, timeout: Duration::from_secs(20), ..named(NOTIFY) },
    ];
    let host = Arc::new(Host::new(functions));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let local = listener.local_addr().unwrap();
    let backpressure = Backpressure::default();
    let front = Front::new(host.clone(), backpressure.clone(), local);
    let extra = Router::new().route("/", get(|| async { "the page" }));
    let service = front.router(extra).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    Served { front, host, backpressure, url: format!("http://{local}") }
}

/// A client that asks no proxy.
fn http() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().unwrap()
}

impl Served {
    async fn put_stock(&self, query: &str) -> (u16, HeaderMap, String) {
        let url = format!("{}/products/p/stock{query}", self.url);
        let json = http().put(url).header("content-type", "application/json");
        read(json.body("{}").send().await.unwrap()).await
    }

    async fn invoke(&self, name: &str, kind: &str, payload: &str) -> (u16, HeaderMap, String) {
        let url = format!("{}/2015-03-31/functions/{name}/invocations", self.url);
        let request = http().post(url).header("x-amz-invocation-type", kind);
        read(request.body(payload.to_owned()).send().await.unwrap()).await
    }
}

async fn read(response: reqwest::Response) -> (u16, HeaderMap, String) {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    (status, headers, response.text().await.unwrap())
}

const WAIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_client_sees_what_api_gateway_would_show_for_each_way_an_invocation_ends() {
    let served = serve().await;
    let (status, headers, body) = served.put_stock("?do=create").await;
    assert_eq!((status, body.as_str()), (201, "{}"));
    assert!(headers.contains_key("apigw-requestid"));
    for (wish, expected, message) in [
        ("fail", 500, "Internal Server Error"),
        ("exit", 500, "Internal Server Error"),
        ("nonsense", 500, "Internal Server Error"),
        ("hang", 503, "Service Unavailable"),
    ] {
        let (status, headers, body) = served.put_stock(&format!("?do={wish}")).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &body["message"]), (expected, &json!(message)), "{wish}");
        assert_eq!(headers["content-type"], "application/problem+json", "{wish}");
        assert_eq!((&body["status"], &body["title"]), (&json!(expected), &json!(message)), "{wish}");
    }
    served.host.stop(WAIT).await;
}

#[tokio::test]
async fn the_page_goes_before_the_functions_and_everything_else_to_the_default_route() {
    let served = serve().await;
    let get =
        async |path: &str| read(http().get(format!("{}{path}", served.url)).send().await.unwrap()).await.2;
    assert_eq!(get("/").await, "the page");
    let event: Value = serde_json::from_str(&get("/products/x/y").await).unwrap();
    assert_eq!(event["payload"]["routeKey"], "$default");
    assert!(event["arn"].as_str().unwrap().ends_with(":subscribe"));
    served.host.stop(WAIT).await;
}

#[tokio::test]
async fn a_method_that_the_page_does_not_take_is_refused_with_a_problem_document() {
    let served = serve().await;
    let client = reqwest::Client::new();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let request = client.request(method.parse().unwrap(), format!("{}/", served.url));
        let (status, headers, body) = read(request.send().await.unwrap()).await;
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, &problem["status"]), (405, &json!(405)), "{method}");
        assert_eq!(headers["content-type"], "application/problem+json", "{method}");
        assert_eq!(headers["allow"], "GET,HEAD", "{method}");
    }
    let (status, _, body) = read(client.head(&served.url).send().await.unwrap()).await;
    assert_eq!((status, body.as_str()), (200, ""));
    served.host.stop(WAIT).await;
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let served = serve().await;
    let url = format!("{}/products/p/subscriptions", served.url);
    let body = vec![b'x'; MAX_BODY + 1];
    // The refusal comes while the body is still on its way; a client may see either first.
    if let Ok(response) = http().post(&url).body(body).send().await {
        assert_eq!(response.status(), 413);
    }
    // Over Lambda's limit, once it is in base64.
    let body = vec![b'x'; 5 * 1024 * 1024];
    let response = http().post(&url).body(body).send().await.unwrap();
    assert_eq!(response.status(), 413);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    served.host.stop(WAIT).await;
}

#[tokio::test]
async fn under_backpressure_stock_updates_are_refused_and_nothing_else() {
    let served = serve().await;
    served.backpressure.set(Some("the reason".to_owned()));
    let direct = served.invoke(RESTOCK, "RequestResponse", "{}").await;
    for (status, headers, body) in [served.put_stock("").await, direct] {
        assert_eq!((status, &headers["content-type"]), (503, &"application/problem+json".parse().unwrap()));
        assert!(headers.contains_key("retry-after"));
        let problem: Value = serde_json::from_str(&body).unwrap();
        assert!(problem["detail"].as_str().unwrap().contains("the reason"), "{problem}");
    }
    assert_eq!(served.invoke(SUBSCRIBE, "RequestResponse", "{}").await.0, 200);
    served.backpressure.set(None);
    assert_eq!(served.put_stock("?do=create").await.0, 201);
    served.host.stop(WAIT).await;
}

#[tokio::test]
async fn the_invoke_api_answers_as_lambda_does() {
    let served = serve().await;
    let (status, headers, body) = served.invoke(NOTIFY, "RequestResponse", r#"{"a":1}"#).await;
    assert_eq!((status, &headers["x-amz-executed-version"]), (200, &"$LATEST".parse().unwrap()));
    assert!(!headers.contains_key("x-amz-function-error"));
    assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["payload"], json!({ "a": 1 }));

    let failed = served.invoke(NOTIFY, "RequestResponse", r#"{"do":"fail"}"#).await;
    assert_eq!((failed.0, &failed.1["x-amz-function-error"]), (200, &"Unhandled".parse().unwrap()));
    assert!(failed.2.contains("as asked"));

    assert_eq!(served.invoke(NOTIFY, "DryRun", "{}").await.0, 204);
    assert_eq!(served.invoke(NOTIFY, "Event", "{}").await.0, 202);
    for (name, kind, payload, status, error) in [
        ("unknown", "RequestResponse", "{}", 404, "ResourceNotFoundException"),
        (NOTIFY, "RequestResponse", "{", 400, "InvalidRequestContentException"),
        (NOTIFY, "Sometimes", "{}", 400, "InvalidParameterValueException"),
    ] {
        let answer = served.invoke(name, kind, payload).await;
        assert_eq!((answer.0, &answer.1["x-amzn-errortype"]), (status, &error.parse().unwrap()));
    }
    let large = " ".repeat(invoke::MAX_EVENT + 1);
    assert_eq!(served.invoke(NOTIFY, "Event", &large).await.0, 413);
    served.host.stop(WAIT).await;
}

#[tokio::test]
async fn the_invoke_api_says_when_all_processes_are_busy() {
    let served = serve().await;
    served.invoke(NOTIFY, "RequestResponse", "{}").await;
    let busy = served.invoke(NOTIFY, "RequestResponse", r#"{"ms":4000}"#);
    let refused = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        served.invoke(NOTIFY, "RequestResponse", "{}").await
    };
    let (busy, refused) = tokio::join!(busy, refused);
    assert_eq!(busy.0, 200);
    let expected = (429, &"TooManyRequestsException".parse().unwrap());
    assert_eq!((refused.0, &refused.1["x-amzn-errortype"]), expected);
    served.host.stop(WAIT).await;
}

#[tokio::test]
async fn closing_waits_for_requests_in_flight_and_only_the_deliveries_go_on() {
    let served = serve().await;
    served.put_stock("?do=create").await;
    let (in_flight, ()) = tokio::join!(served.put_stock("?do=hang"), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let started = tokio::time::Instant::now();
        served.front.close(WAIT).await;
        assert!(started.elapsed() > Duration::from_millis(500), "it did not wait");
    });
    assert_eq!(in_flight.0, 503);
    let (status, headers, _) = served.put_stock("?do=create").await;
    assert_eq!((status, &headers["retry-after"]), (503, &RETRY_SECONDS));
    assert_eq!(served.invoke(RESTOCK, "RequestResponse", "{}").await.0, 503);
    assert_eq!(served.invoke(NOTIFY, "RequestResponse", "{}").await.0, 200);
    served.host.stop(WAIT).await;
}
