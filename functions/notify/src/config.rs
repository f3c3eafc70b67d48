//! The settings of `notify`.

use std::sync::Arc;
use std::time::Duration;

use domain::Address;
use domain::budget::Rate;
use domain::cursor::OnUnknown;
use domain::mail::Shop;
use domain::rules::Rules;
use domain::setting::{BadSettings, Setting, Settings, url_pattern};
use domain::unsubscribe::Key;
use kafka::{DELIVERY_MS, KafkaConfig};
use lambda::settings::{
    ALERTS_URL, SENDER, SES_CONFIGURATION_SET, SHOP_ADDRESS, SHOP_NAME, TABLE_NAME, UNSUBSCRIBE_KEY,
    UNSUBSCRIBE_URL,
};

const DELIVERY_TIMEOUT_MS: Setting = Setting::with_default(
    "DELIVERY_TIMEOUT_MS",
    "10000",
    "how long Kafka may take to confirm a record, 1 to 900000 ms; less than the function's time-out",
);
const PRODUCT_URL: Setting = Setting::required(
    "PRODUCT_URL",
    "the link to a product's page where an update brings none; `{productId}` stands for the id",
);
const SEND_RATE: Setting = Setting::optional(
    "SEND_RATE",
    "the account's own, from `GetAccount`",
    "emails per second, over all workers",
);
const RESERVED_PERCENT: Setting = Setting::with_default(
    "RESERVED_PERCENT",
    "10",
    "the share of the account's own rate that fan-outs leave to its other email, such as confirmations: 0 to 90 percent; \
     ignored when `SEND_RATE` is set",
);
const RULES: Setting = Setting::optional(
    "RULES",
    "none",
    "the shop's rules of whom a restock tells, and when, a JSON object such as `{\"minStock\":5,\"perUnit\":2}`; those of a \
     product and of an update hold over them",
);
const ON_UNKNOWN: Setting = Setting::with_default(
    "ON_UNKNOWN",
    "resend",
    "what to do with a call whose outcome is unknown, the first time: `resend` or `skip`",
);
const SLICE_SECONDS: Setting = Setting::with_default(
    "SLICE_SECONDS",
    "20",
    "how many seconds a worker spends on a job before the rest goes back to the topic, 1 to 900",
);
const SLICE_MAILS: Setting = Setting::with_default(
    "SLICE_MAILS",
    "100000",
    "how many emails a worker sends for a job before the rest goes back to the topic, 1 or more",
);
const SWEEP_AFTER_SECONDS: Setting = Setting::with_default(
    "SWEEP_AFTER_SECONDS",
    "300",
    "how many seconds a fan-out stands still before a sweep publishes its job again, 0 to 86400; the schedule's event overrides it",
);
const REPORT_BATCH_ITEM_FAILURES: Setting = Setting::with_default(
    "REPORT_BATCH_ITEM_FAILURES",
    "false",
    "`true` only if the mapping has that function response type: a failed record is then reported by itself. Otherwise it \
     fails its batch, which every mapping understands",
);

/// Every setting of this function, beside those of logging and [`kafka::SETTINGS`].
pub const SETTINGS: &[Setting] = &[
    TABLE_NAME,
    DELIVERY_TIMEOUT_MS,
    SENDER,
    SHOP_NAME,
    SHOP_ADDRESS,
    PRODUCT_URL,
    UNSUBSCRIBE_URL,
    ALERTS_URL,
    UNSUBSCRIBE_KEY,
    SES_CONFIGURATION_SET,
    SEND_RATE,
    RESERVED_PERCENT,
    RULES,
    ON_UNKNOWN,
    SLICE_SECONDS,
    SLICE_MAILS,
    SWEEP_AFTER_SECONDS,
    REPORT_BATCH_ITEM_FAILURES,
];

/// The settings, from the environment: [`SETTINGS`] and Kafka's.
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) table: String,
    pub(crate) kafka: KafkaConfig,
    pub(crate) delivery: Duration,
    pub(crate) sender: Address,
    pub(crate) shop: Shop,
    pub(crate) key: Key,
    pub(crate) configuration_set: Option<String>,
    pub(crate) rate: Option<Rate>,
    /// The share of the account's rate that is left to other email, 0 to 0.9.
    pub(crate) reserved: f64,
    pub(crate) on_unknown: OnUnknown,
    pub(crate) slice: Duration,
    pub(crate) slice_mails: u64,
    pub(crate) sweep_after: Duration,
    /// The shop's rules; empty where it has none.
    pub(crate) rules: Arc<Rules>,
    pub(crate) report_failures: bool,
    /// The function's name, which Lambda sets: what metrics are told apart by.
    pub(crate) function_name: String,
}

impl Config {
    /// Reads the settings from `lookup`.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, BadSettings> {
        let mut settings = Settings::new(lookup);
        let kafka = KafkaConfig::from_settings(&mut settings);
        let sender = settings.required(SENDER.name);
        let shop_name = settings.required(SHOP_NAME.name);
        let shop_address = settings.optional(SHOP_ADDRESS.name);
        let product_url = settings.required_by(PRODUCT_URL.name, |text| url_pattern(text, "{productId}"));
        let unsubscribe_url = settings.required_by(UNSUBSCRIBE_URL.name, |text| url_pattern(text, "{token}"));
        let alerts_url = settings.required_by(ALERTS_URL.name, |text| url_pattern(text, "{token}"));
        let key = settings.required(UNSUBSCRIBE_KEY.name);
        let table = settings.or(&TABLE_NAME);
        let delivery = settings.whole_number(&DELIVERY_TIMEOUT_MS, DELIVERY_MS).map(Duration::from_millis);
        let configuration_set = settings.optional(SES_CONFIGURATION_SET.name);
        let rate = settings.optional_by(SEND_RATE.name, rate);
        let reserved = settings.or_by(&RESERVED_PERCENT, percent);
        let rules = settings.optional::<Rules>(RULES.name).unwrap_or_default();
        let on_unknown = settings.or(&ON_UNKNOWN);
        let slice = settings.whole_number(&SLICE_SECONDS, 1..=900).map(Duration::from_secs);
        let slice_mails = settings.whole_number(&SLICE_MAILS, 1..=u64::MAX);
        let sweep_after = settings.whole_number(&SWEEP_AFTER_SECONDS, 0..=86_400).map(Duration::from_secs);
        let report_failures = settings.or(&REPORT_BATCH_ITEM_FAILURES);
        let function_name = settings.optional("AWS_LAMBDA_FUNCTION_NAME");
        let config = (|| {
            Some(Self {
                table: table?,
                kafka: kafka?,
                delivery: delivery?,
                sender: sender?,
                shop: Shop {
                    name: shop_name?,
                    address: shop_address,
                    product_url: product_url?,
                    unsubscribe_url: unsubscribe_url?,
                    alerts_url: alerts_url?,
                },
                key: key?,
                configuration_set,
                rate,
                reserved: f64::from(reserved?) / 100.0,
                on_unknown: on_unknown?,
                slice: slice?,
                slice_mails: slice_mails?,
                sweep_after: sweep_after?,
                rules: Arc::new(rules),
                report_failures: report_failures?,
                function_name: function_name.unwrap_or_else(|| "notify".to_owned()),
            })
        })();
        settings.finish(config)
    }
}

fn rate(text: &str) -> Result<Rate, &'static str> {
    text.parse().ok().and_then(Rate::new).ok_or("a number above 0, up to 1000000")
}

fn percent(text: &str) -> Result<u8, &'static str> {
    text.parse().ok().filter(|percent| *percent <= 90).ok_or("a whole number from 0 to 90")
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_and_every_unusable_setting_is_named_at_once() {
        let refusal = Config::read(&|name| (name == "UNSUBSCRIBE_URL").then(|| "https://x/".to_owned()));
        let refusal = refusal.unwrap_err().to_string();
        for name in ["KAFKA_BOOTSTRAP_SERVERS", "SENDER", "SHOP_NAME", "PRODUCT_URL", "UNSUBSCRIBE_KEY"] {
            assert!(refusal.contains(&format!("{name} is missing")), "{refusal}");
        }
        assert!(refusal.contains("UNSUBSCRIBE_URL is not usable"), "{refusal}");
    }

    #[test]
    fn the_shops_rules_are_an_object_or_none_and_a_bad_one_is_named_by_its_field() {
        let read = |rules: &str| {
            Config::read(&|name| match name {
                "RULES" => Some(rules.to_owned()),
                "KAFKA_BOOTSTRAP_SERVERS" => Some("127.0.0.1:1".to_owned()),
                "SENDER" => Some("shop@example.com".to_owned()),
                "SHOP_NAME" => Some("Shop".to_owned()),
                "PRODUCT_URL" => Some("https://shop.example/{productId}".to_owned()),
                "UNSUBSCRIBE_URL" | "ALERTS_URL" => Some("https://shop.example/{token}".to_owned()),
                "UNSUBSCRIBE_KEY" => Some("a key of sixteen bytes".to_owned()),
                _ => None,
            })
        };
        assert!(read("").unwrap().rules.is_empty());
        assert!(read("{}").unwrap().rules.is_empty());
        assert_eq!(read(r#"{"minStock":5}"#).unwrap().rules.min_stock, Some(5));
        let refusal = read(r#"{"again":9}"#).unwrap_err().to_string();
        assert!(refusal.contains("RULES is not usable (again: is out of range"), "{refusal}");
        assert!(read("secret").unwrap_err().to_string().contains("RULES is not usable (it is not JSON"));
    }

    #[test]
    fn settings_that_can_do_no_work_are_refused_all_at_once() {
        const IDLE: [&str; 3] = ["SLICE_SECONDS", "SLICE_MAILS", "DELIVERY_TIMEOUT_MS"];
        let refusal = Config::read(&|name| IDLE.contains(&name).then(|| "0".to_owned()));
        let refusal = refusal.unwrap_err().to_string();
        for name in IDLE {
            assert!(refusal.contains(&format!("{name} is not usable (a whole number from 1")), "{refusal}");
        }
    }
}
