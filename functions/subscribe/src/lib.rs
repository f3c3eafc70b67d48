//! The function `subscribe`: a shopper's way in and out of a product's waitlist, over HTTP
//! (API Gateway HTTP API, payload format 2.0).

use aws_config::SdkConfig;
use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::asking::Confirmation;
use domain::redirect::Redirect;
use domain::setting::{Setting, Settings, url_pattern};
use domain::unsubscribe::Key;
use domain::user_token::UserTokenKey;
use domain::{Address, PersonKey, ShardCount};
use http::{Method, StatusCode};
use lambda::http::{Problem, without_body};
use lambda::settings::{
    ALERTS_URL, BODY_BYTES, MAX_BODY_BYTES, PERSON_KEY, SENDER, SES_CONFIGURATION_SET, SHOP_ADDRESS,
    SHOP_NAME, TABLE_NAME, UNSUBSCRIBE_KEY, UNSUBSCRIBE_URL,
};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use store::{Store, StoreError};

mod alerts;
mod ask;
mod backend;
mod challenge;
mod confirm;
mod confirm_words;
mod consent;
mod count;
mod door;
mod emails;
mod form;
mod hands;
mod leave;
mod mailer;
mod pace;
mod page;
mod pending;
mod product;
mod request;
mod route;
mod shards;
mod subscribe;
mod words;

use door::config::{
    CHALLENGE, LIMIT_ADDRESS, LIMIT_PRODUCT, LIMIT_SOURCE, LIMITS, REFUSED_DOMAINS, TRUSTED_PROXIES,
};
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
const CONFIRMATION: Setting = Setting::with_default(
    "CONFIRMATION",
    "off",
    "which asks a person has to confirm by the link in an email before they wait: `off`, none; `guests`, those of persons for whom \
     the shop does not vouch; `all`. A confirmed address needs no second confirmation",
);
const CONFIRM_HOURS: Setting = Setting::with_default(
    "CONFIRM_HOURS",
    "48",
    "how long an ask can be confirmed, in hours, 1 to 720; then it is forgotten",
);
const CONSENT_DAYS: Setting = Setting::with_default(
    "CONSENT_DAYS",
    "1095",
    "how long the record of an ask is kept, in days, 1 to 36500; it outlives the subscription, and holds no address",
);
const EMAILS_A_DAY: Setting = Setting::with_default(
    "EMAILS_A_DAY",
    "5",
    "the most emails that others can cause to an address in a day, 1 to 100: those that ask for a confirmation, and the like",
);
const USER_TOKEN_KEY: Setting = Setting::optional(
    "USER_TOKEN_KEY",
    "no `userToken` is believed",
    "what the shop's back end signs its `userToken`s with; 16 bytes or more",
);
const WAIT_DAYS: Setting =
    Setting::with_default("WAIT_DAYS", "400", "the longest that a subscriber waits, in days, 1 to 36500");

const FORM_REDIRECT: Setting = Setting::optional(
    "FORM_REDIRECT",
    "a page of our own",
    "where the browser goes after a plain form was posted; `{productId}` stands for the product, `{status}` for `waiting`, `accepted`, \
     `invalid`, `limited`, `challenge` or `unavailable`",
);

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
    UNSUBSCRIBE_URL,
    ALERTS_URL,
    CONFIRMATION,
    CONFIRM_HOURS,
    CONSENT_DAYS,
    EMAILS_A_DAY,
    USER_TOKEN_KEY,
    UNIFORM_STATUS,
    MAX_BODY_BYTES,
    WAIT_DAYS,
    FORM_REDIRECT,
    LIMITS,
    LIMIT_SOURCE,
    LIMIT_ADDRESS,
    LIMIT_PRODUCT,
    TRUSTED_PROXIES,
    CHALLENGE,
    REFUSED_DOMAINS,
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
    unsubscribe_url: String,
    alerts_url: String,
    confirmation: Confirmation,
    confirm_hours: u32,
    consent_days: u32,
    emails_a_day: u32,
    user_token_key: Option<UserTokenKey>,
    uniform_status: bool,
    max_body: usize,
    wait_days: u32,
    form_redirect: Option<Redirect>,
    door: door::config::Config,
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
        let unsubscribe_url = settings.required_by(UNSUBSCRIBE_URL.name, |text| url_pattern(text, "{token}"));
        let alerts_url = settings.required_by(ALERTS_URL.name, |text| url_pattern(text, "{token}"));
        let confirmation = settings.or(&CONFIRMATION);
        let confirm_hours = settings.whole_number(&CONFIRM_HOURS, 1..=720);
        let consent_days = settings.whole_number(&CONSENT_DAYS, 1..=36_500);
        let emails_a_day = settings.whole_number(&EMAILS_A_DAY, 1..=100);
        let user_token_key = settings.optional(USER_TOKEN_KEY.name);
        let uniform_status = settings.or(&UNIFORM_STATUS);
        let max_body = settings.whole_number(&MAX_BODY_BYTES, BODY_BYTES);
        let wait_days = settings.whole_number(&WAIT_DAYS, 1..=36_500);
        let form_redirect = settings.optional(FORM_REDIRECT.name);
        let door = door::config::Config::read(&mut settings);
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
                unsubscribe_url: unsubscribe_url?,
                alerts_url: alerts_url?,
                confirmation: confirmation?,
                confirm_hours: u32::try_from(confirm_hours?).ok()?,
                consent_days: u32::try_from(consent_days?).ok()?,
                emails_a_day: u32::try_from(emails_a_day?).ok()?,
                user_token_key,
                uniform_status: uniform_status?,
                max_body: usize::try_from(max_body?).ok()?,
                wait_days: u32::try_from(wait_days?).ok()?,
                form_redirect,
                door: door?,
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
    closed: door::Closed,
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
            closed: door::Closed::default(),
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
        Ok(Route::Subscribe(product)) => form::answer(app, request, &product).await,
        Ok(Route::Challenge(product)) => challenge::answer(app, &product),
        Ok(Route::Product(product)) => product::answer(app, &product).await,
        Ok(Route::Count(product)) => count::answer(app, &product).await,
        Ok(Route::Ask(token)) => Ok(leave::ask(app, request, &token).await),
        Ok(Route::Leave(token)) => leave::answer(app, request, &token).await,
        Ok(Route::AskToConfirm(token)) => Ok(confirm::ask(app, request, &token).await),
        Ok(Route::Confirm(token)) => confirm::answer(app, request, &token).await,
        Ok(Route::AlertsLink) => alerts::link::answer(app, request).await,
        Ok(Route::Alerts(token, act)) => alerts::answer(app, request, &token, act).await,
        Ok(Route::BackEnd(wanted)) => backend::answer(app, request, &wanted).await,
        Err(problem) => Err(problem),
    };
    let answer = answered.unwrap_or_else(|problem| problem.response());
    if request.request_context.http.method == Method::HEAD { without_body(answer) } else { answer }
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
