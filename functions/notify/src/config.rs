//! The settings of `notify`.

use std::time::Duration;

use domain::{
    Address, ShardCount,
    budget::Rate,
    cursor::OnUnknown,
    mail::Shop,
    setting::{BadSettings, Settings},
    unsubscribe::Key,
};
use platform::kafka::Kafka;

/// The settings, from the environment.
///
/// | variable | default | meaning |
/// |---|---|---|
/// | `TABLE_NAME` | `notify-me` | the table |
/// | `SHARDS` | 8 | shards of each waitlist, 1 to 1024; the same for every function |
/// | `KAFKA_BOOTSTRAP_SERVERS` | required | where Kafka is |
/// | `KAFKA_SECURITY` and what belongs to it | `plaintext` | how to log in: [`platform::kafka::Security::read`] |
/// | `KAFKA_RESTOCK_TOPIC` | `item-restocked` | stock updates; dead letters go to it with `-dlq` |
/// | `KAFKA_BATCHES_TOPIC` | `notification-batches` | fan-out jobs; dead letters likewise |
/// | `DELIVERY_TIMEOUT_MS` | 10000 | how long Kafka has to take a record |
/// | `SENDER` | required | the address mails come from, verified with SES |
/// | `SHOP_NAME` | required | the shop, as mails name it |
/// | `PRODUCT_URL` | required | a product's page, with `{productId}` for its id |
/// | `UNSUBSCRIBE_URL` | required | the unsubscribe link, with `{token}` for its token |
/// | `UNSUBSCRIBE_KEY` | required | signs unsubscribe links; the same as `subscribe`'s |
/// | `SES_CONFIGURATION_SET` | none | the SES configuration set |
/// | `SEND_RATE` | SES's own | mails per second over all workers; unset: what `GetAccount` says |
/// | `RESERVED_PERCENT` | 10 | the share of SES's own rate that fan-outs leave to other mail of the account, such as confirmations: 0 to 90; no part of `SEND_RATE` |
/// | `ON_UNKNOWN` | `resend` | a call whose fate a crash left open: `resend` or `skip` |
/// | `SLICE_SECONDS` | 20 | how long a job works before its rest goes back in line |
/// | `SLICE_MAILS` | 100000 | how many mails likewise |
/// | `SWEEP_AFTER_SECONDS` | 300 | how long a fan-out stands still before a sweep puts it back |
/// | `REPORT_BATCH_ITEM_FAILURES` | false | true where the mapping has that function response type: a failed record is reported by itself instead of failing its batch |
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) table: String,
    pub(crate) shards: ShardCount,
    pub(crate) kafka: Kafka,
    pub(crate) delivery: Duration,
    pub(crate) sender: Address,
    pub(crate) shop: Shop,
    pub(crate) key: Key,
    pub(crate) configuration_set: Option<String>,
    pub(crate) rate: Option<Rate>,
    /// The share of the account's rate that is left to other mail, 0 to 0.9.
    pub(crate) reserved: f64,
    pub(crate) on_unknown: OnUnknown,
    pub(crate) slice: Duration,
    pub(crate) slice_mails: u64,
    pub(crate) sweep_after: Duration,
    pub(crate) report_failures: bool,
    /// The function's name, which Lambda sets: what metrics are told apart by.
    pub(crate) function_name: String,
}

impl Config {
    /// Reads the settings from `lookup`.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, BadSettings> {
        let mut settings = Settings::new(lookup);
        let kafka = Kafka::read(&mut settings);
        let sender = settings.required("SENDER");
        let shop_name = settings.required("SHOP_NAME");
        let product_url = settings.required_by("PRODUCT_URL", |text| pattern(text, "{productId}"));
        let unsubscribe_url = settings.required_by("UNSUBSCRIBE_URL", |text| pattern(text, "{token}"));
        let key = settings.required("UNSUBSCRIBE_KEY");
        let table = settings.or("TABLE_NAME", "notify-me".to_owned());
        let shards = settings.or("SHARDS", ShardCount::DEFAULT);
        let delivery = Duration::from_millis(settings.or("DELIVERY_TIMEOUT_MS", 10_000));
        let configuration_set = settings.optional("SES_CONFIGURATION_SET");
        let rate = settings.optional_by("SEND_RATE", rate);
        let reserved = settings.optional_by("RESERVED_PERCENT", percent);
        let on_unknown = settings.or("ON_UNKNOWN", OnUnknown::Resend);
        let slice = Duration::from_secs(settings.or("SLICE_SECONDS", 20));
        let slice_mails = settings.or("SLICE_MAILS", 100_000);
        let sweep_after = Duration::from_secs(settings.or("SWEEP_AFTER_SECONDS", 300));
        let report_failures = settings.or("REPORT_BATCH_ITEM_FAILURES", false);
        let function_name = settings.or("AWS_LAMBDA_FUNCTION_NAME", "notify".to_owned());
        let config = (|| {
            Some(Self {
                table,
                shards,
                kafka: kafka?,
                delivery,
                sender: sender?,
                shop: Shop { name: shop_name?, product_url: product_url?, unsubscribe_url: unsubscribe_url? },
                key: key?,
                configuration_set,
                rate,
                reserved: f64::from(reserved.unwrap_or(10)) / 100.0,
                on_unknown,
                slice,
                slice_mails,
                sweep_after,
                report_failures,
                function_name,
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

/// An http(s) URL with `place` in it, to be filled in.
fn pattern(text: &str, place: &str) -> Result<String, String> {
    let web = text.starts_with("https://") || text.starts_with("http://");
    if web && text.contains(place) {
        Ok(text.to_owned())
    } else {
        Err(format!("an http or https URL with {place} in it"))
    }
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
}
