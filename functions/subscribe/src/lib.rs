//! The function `subscribe`: a shopper's way in and out of a product's waitlist, over HTTP
//! (API Gateway HTTP API, payload format 2.0).

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::{ProductId, ShardCount, setting::Settings, unsubscribe::Key};
use http::{Method, StatusCode};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use platform::{
    http::{Problem, json, json_body, without_body},
    table::{Table, TableError},
};
use serde_json::json;

mod count;
mod join;
mod leave;
mod product;
mod request;
mod route;
mod words;

use route::Route;

/// The settings, from the environment.
///
/// | variable | default | meaning |
/// |---|---|---|
/// | `TABLE_NAME` | `notify-me` | the table |
/// | `SHARDS` | 8 | shards of each waitlist, 1 to 1024; the same for every function |
/// | `UNSUBSCRIBE_KEY` | required | signs unsubscribe links; the same as `notify`'s |
/// | `UNIFORM_STATUS` | false | true: a subscription is answered 202, new or not |
/// | `MAX_BODY_BYTES` | 16384 | the largest body |
/// | `WAIT_DAYS` | 400 | how long somebody waits at most |
#[derive(Debug, Clone)]
pub struct Config {
    table: String,
    shards: ShardCount,
    key: Key,
    uniform_status: bool,
    max_body: usize,
    wait_days: u32,
}

impl Config {
    /// Reads the settings from `lookup`.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, domain::setting::BadSettings> {
        let mut settings = Settings::new(lookup);
        let config = Self {
            table: settings.or("TABLE_NAME", "notify-me".to_owned()),
            shards: settings.or("SHARDS", ShardCount::DEFAULT),
            uniform_status: settings.or("UNIFORM_STATUS", false),
            max_body: settings.or("MAX_BODY_BYTES", 16_384),
            wait_days: settings.or("WAIT_DAYS", 400),
            key: match settings.required("UNSUBSCRIBE_KEY") {
                Some(key) => key,
                None => return settings.finish(None),
            },
        };
        settings.finish(Some(config))
    }
}

/// What the function is made of.
pub struct App {
    config: Config,
    table: Table,
    counts: count::Counts,
}

/// Serves invocations until the runtime stops.
pub async fn run() -> Result<(), Error> {
    lambda_runtime::tracing::init_default_subscriber();
    let config = Config::read(&|name| std::env::var(name).ok())?;
    let client = aws_sdk_dynamodb::Client::new(&platform::aws::config().await);
    let table = Table::new(client, config.table.clone());
    let app = &App { table, config, counts: count::Counts::default() };
    lambda_runtime::run(service_fn(move |event: LambdaEvent<ApiGatewayV2httpRequest>| async move {
        Ok::<_, Error>(handle(app, &event.payload).await)
    }))
    .await
}

/// Answers one request.
pub async fn handle(app: &App, request: &ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    let answered = match Route::of(request) {
        Ok(Route::Join(product)) => join(app, request, &product).await,
        Ok(Route::Product(product)) => product::answer(app, &product).await,
        Ok(Route::Count(product)) => count::answer(app, &product).await,
        Ok(Route::Ask(token)) => Ok(leave::ask(app, request, &token).await),
        Ok(Route::Leave(token)) => leave::answer(app, request, &token).await,
        Err(problem) => Err(problem),
    };
    let answer = answered.unwrap_or_else(|problem| problem.response());
    if request.request_context.http.method == Method::HEAD { without_body(answer) } else { answer }
}

async fn join(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    product: &ProductId,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let wish = request::Wish::read(&json_body(request, app.config.max_body)?)?;
    let joined = join::join(app, product, &wish).await.map_err(unavailable)?;
    tracing::info!(%product, shard = %joined.shard, new = joined.new, "subscribed");
    let status = match joined.new {
        _ if app.config.uniform_status => StatusCode::ACCEPTED,
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    // The same body whether somebody is new or not, so that nobody can find out who waits.
    let mut body = json!({ "productId": product, "status": "waiting", "inStock": joined.in_stock });
    if !wish.ignored.is_empty() {
        body["ignored"] = json!(wish.ignored);
    }
    Ok(json(status, &body))
}

/// A DynamoDB request failed. Whatever was done until then is repeatable; where repeating cannot help, the answer says so.
fn unavailable(error: TableError) -> Problem {
    tracing::error!(error = %platform::causes(&error), "the table does not answer");
    if !error.is_transient() {
        return Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the waitlist needs an operator; nothing is lost",
        );
    }
    Problem::try_later("the waitlist cannot be reached right now; nothing is lost, please try again", 2)
}
