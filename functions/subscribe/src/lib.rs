//! The function `subscribe`: a shopper's way in and out of a product's waitlist, over HTTP
//! (API Gateway HTTP API, payload format 2.0).

use aws_config::SdkConfig;
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::setting::{Setting, Settings, url_pattern};
use domain::unsubscribe::Key;
use domain::{Address, PersonKey, ProductId, ShardCount};
use http::{Method, StatusCode};
use lambda::http::{Problem, json, json_body, without_body};
use lambda::settings::{
    ALERTS_URL, BODY_BYTES, MAX_BODY_BYTES, PERSON_KEY, SENDER, SES_CONFIGURATION_SET, SHOP_ADDRESS,
    SHOP_NAME, TABLE_NAME, UNSUBSCRIBE_KEY,
};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::json;
use store::{Store, StoreError};

mod alerts;
mod backend;
mod count;
mod form;
mod leave;
mod mailer;
mod pace;
mod page;
mod product;
mod request;
mod route;
mod shards;
mod subscribe;
mod words;

use route::Route;

const SHARDS: Setting = Setting::with_default(
    "SHARDS",
    "8",
    "shards of a waitlist that has become long, 1 to 1024; one that is short has one. It may be changed at any time: a list \
     never gets fewer",
);
const CONFIRM_URL: Setting = Setting::required(
    "CONFIRM_URL",
    "the link under which a person confirms an ask; `{token}` stands for the token",
);
const UNIFORM_STATUS: Setting = Setting::with_default(
    "UNIFORM_STATUS",
    "false",
    "`true`: every subscription is answered 202, new or not",
);
const WAIT_DAYS: Setting =
    Setting::with_default("WAIT_DAYS", "400", "the longest that a subscriber waits, in days, 1 to 36500");

/// Every setting of this function, beside those of logging.
pub const SETTINGS: &[Setting] = &[
    TABLE_NAME,
    SHARDS,
    PERSON_KEY,
    UNSUBSCRIBE_KEY,
    SENDER,
    SHOP_NAME,
    SHOP_ADDRESS,
    SES_CONFIGURATION_SET,
    CONFIRM_URL,
    ALERTS_URL,
    UNIFORM_STATUS,
    MAX_BODY_BYTES,
    WAIT_DAYS,
];

/// The settings, from the environment: [`SETTINGS`].
#[derive(Debug, Clone)]
pub struct Config {
    table: String,
    shards: ShardCount,
    person_key: PersonKey,
    key: Key,
    sender: Address,
    shop_name: String,
    shop_address: Option<String>,
    configuration_set: Option<String>,
    confirm_url: String,
    alerts_url: String,
    uniform_status: bool,
    max_body: usize,
    wait_days: u32,
}

impl Config {
    /// Reads the settings from `lookup`.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, domain::setting::BadSettings> {
        let mut settings = Settings::new(lookup);
        let table = settings.or(&TABLE_NAME);
        let shards = settings.or(&SHARDS);
        let person_key = settings.required(PERSON_KEY.name);
        let key = settings.required(UNSUBSCRIBE_KEY.name);
        let sender = settings.required(SENDER.name);
        let shop_name = settings.required(SHOP_NAME.name);
        let shop_address = settings.optional(SHOP_ADDRESS.name);
        let configuration_set = settings.optional(SES_CONFIGURATION_SET.name);
        let confirm_url = settings.required_by(CONFIRM_URL.name, |text| url_pattern(text, "{token}"));
        let alerts_url = settings.required_by(ALERTS_URL.name, |text| url_pattern(text, "{token}"));
        let uniform_status = settings.or(&UNIFORM_STATUS);
        let max_body = settings.whole_number(&MAX_BODY_BYTES, BODY_BYTES);
        let wait_days = settings.whole_number(&WAIT_DAYS, 1..=36_500);
        let config = (|| {
            Some(Self {
                table: table?,
                shards: shards?,
                person_key: person_key?,
                key: key?,
                sender: sender?,
                shop_name: shop_name?,
                shop_address,
                configuration_set,
                confirm_url: confirm_url?,
                alerts_url: alerts_url?,
                uniform_status: uniform_status?,
                max_body: usize::try_from(max_body?).ok()?,
                wait_days: u32::try_from(wait_days?).ok()?,
            })
        })();
        settings.finish(config)
    }
}

/// What the function is made of.
pub struct App {
    config: Config,
    store: Store,
    mailer: mailer::Mailer,
    counts: count::Counts,
    shards: shards::KnownShards,
    pace: pace::Pace,
}

impl App {
    /// The function with these settings, on this table; `aws` is SES's. Nothing is connected yet.
    pub fn new(config: Config, aws: &SdkConfig, store: Store) -> Self {
        let mailer =
            mailer::Mailer::new(aws, &config.shop_name, &config.sender, config.configuration_set.clone());
        Self {
            config,
            store,
            mailer,
            counts: count::Counts::default(),
            shards: shards::KnownShards::default(),
            pace: pace::Pace::default(),
        }
    }
}

/// Serves invocations until the runtime stops.
pub async fn run() -> Result<(), Error> {
    lambda::logs::init();
    let config = Config::read(&|name| std::env::var(name).ok())?;
    let aws = lambda::aws::config().await;
    let store = Store::new(&aws, config.table.clone());
    let app = &App::new(config, &aws, store);
    lambda_runtime::run(service_fn(move |event: LambdaEvent<ApiGatewayV2httpRequest>| async move {
        Ok::<_, Error>(handle(app, &event.payload).await)
    }))
    .await
}

/// Answers one request.
pub async fn handle(app: &App, request: &ApiGatewayV2httpRequest) -> ApiGatewayV2httpResponse {
    let answered = match Route::of(request) {
        Ok(Route::Subscribe(product)) => subscribe(app, request, &product).await,
        Ok(Route::Product(product)) => product::answer(app, &product).await,
        Ok(Route::Count(product)) => count::answer(app, &product).await,
        Ok(Route::Ask(token)) => Ok(leave::ask(app, request, &token).await),
        Ok(Route::Leave(token)) => leave::answer(app, request, &token).await,
        Ok(Route::AlertsLink) => alerts::link::answer(app, request).await,
        Ok(Route::Alerts(token, act)) => alerts::answer(app, request, &token, act).await,
        Ok(Route::BackEnd(wanted)) => backend::answer(app, request, &wanted).await,
        Err(problem) => Err(problem),
    };
    let answer = answered.unwrap_or_else(|problem| problem.response());
    if request.request_context.http.method == Method::HEAD { without_body(answer) } else { answer }
}

async fn subscribe(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    product: &ProductId,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let wish = request::Wish::read(&json_body(request, app.config.max_body)?)?;
    let subscribed = subscribe::subscribe(app, product, &wish).await.map_err(unavailable)?;
    tracing::info!(%product, shard = %subscribed.shard, new = subscribed.new, "subscribed");
    let status = match subscribed.new {
        _ if app.config.uniform_status => StatusCode::ACCEPTED,
        true => StatusCode::CREATED,
        false => StatusCode::OK,
    };
    // The same body for a new and a repeated subscription, so that the API does not reveal subscribers.
    let mut body = json!({ "productId": product, "status": "waiting", "inStock": subscribed.in_stock });
    if !wish.ignored.is_empty() {
        body["ignored"] = json!(wish.ignored);
    }
    Ok(json(status, &body))
}

/// A DynamoDB request failed. Whatever was done until then is repeatable; where repeating cannot help, the answer says so.
fn unavailable(error: StoreError) -> Problem {
    tracing::error!(error = %lambda::error_chain(&error), "the table does not answer");
    if !error.is_transient() {
        return Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the waitlist needs attention from its operator; nothing is lost",
        );
    }
    Problem::try_later("the waitlist cannot be reached right now; nothing is lost, please try again", 2)
}
