//! The settings of the function under test.

use notify_me_subscribe::Config;

/// Every key.
pub(crate) const KEY: &str = "a secret of sixteen bytes or more";

/// The settings that must be there, and these of the test's own.
pub(crate) fn config(own: &[(&str, &str)]) -> Config {
    let setting = |name: &str| {
        let own = own.iter().find(|(own, _)| *own == name).map(|(_, value)| *value);
        own.or(match name {
            "UNSUBSCRIBE_KEY" | "PERSON_KEY" => Some(KEY),
            "SENDER" => Some("shop@example.com"),
            "SHOP_NAME" => Some("Shop"),
            "CONFIRM_URL" | "ALERTS_URL" | "UNSUBSCRIBE_URL" => Some("https://shop.example/{token}"),
            _ => None,
        })
    };
    Config::read(&|name| setting(name).map(str::to_owned)).unwrap()
}
