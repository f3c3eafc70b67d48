//! The settings of `feedback`.

use domain::breaker::Limits;
use domain::setting::{BadSettings, Setting, Settings};
use domain::{Address, PersonKey};
use lambda::settings::{PERSON_KEY, SENDER, TABLE_NAME};

const BOUNCES_IN_A_ROW: Setting = Setting::with_default(
    "BOUNCES_IN_A_ROW",
    "5",
    "after how many emails in a row that did not arrive, for reasons that may pass, an address gets no more; 1 to 1000",
);
const BOUNCE_LIMIT_PERCENT: Setting = Setting::with_default(
    "BOUNCE_LIMIT_PERCENT",
    "5",
    "the share of emails in 24 hours that may bounce for good before fan-outs pause, 0 to 100 percent",
);
const COMPLAINT_LIMIT_PERCENT: Setting = Setting::with_default(
    "COMPLAINT_LIMIT_PERCENT",
    "0.1",
    "the share of emails in 24 hours that may be reported as spam before fan-outs pause, 0 to 100 percent",
);
const BREAKER_LEAST_SENT: Setting = Setting::with_default(
    "BREAKER_LEAST_SENT",
    "1000",
    "how many emails must have been sent in 24 hours before either share pauses fan-outs, 1 or more",
);

/// Every setting of this function, beside those of logging.
pub const SETTINGS: &[Setting] = &[
    TABLE_NAME,
    PERSON_KEY,
    SENDER,
    BOUNCES_IN_A_ROW,
    BOUNCE_LIMIT_PERCENT,
    COMPLAINT_LIMIT_PERCENT,
    BREAKER_LEAST_SENT,
];

/// The settings, from the environment: [`SETTINGS`].
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) table: String,
    pub(crate) person_key: PersonKey,
    pub(crate) sender: Address,
    pub(crate) bounces_in_a_row: u32,
    pub(crate) limits: Limits,
    /// The function's name, which Lambda sets: what metrics are told apart by.
    pub(crate) function_name: String,
}

impl Config {
    /// Reads the settings from `lookup`.
    ///
    /// # Errors
    /// Every setting that is missing or unusable.
    pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Self, BadSettings> {
        let mut settings = Settings::new(lookup);
        let table = settings.or(&TABLE_NAME);
        let person_key = settings.required(PERSON_KEY.name);
        let sender = settings.required(SENDER.name);
        let in_a_row = settings.whole_number(&BOUNCES_IN_A_ROW, 1..=1_000);
        let bounces = settings.or(&BOUNCE_LIMIT_PERCENT);
        let complaints = settings.or(&COMPLAINT_LIMIT_PERCENT);
        let least_sent = settings.whole_number(&BREAKER_LEAST_SENT, 1..=u64::MAX);
        let function_name = settings.optional("AWS_LAMBDA_FUNCTION_NAME");
        let config = (|| {
            Some(Self {
                table: table?,
                person_key: person_key?,
                sender: sender?,
                bounces_in_a_row: u32::try_from(in_a_row?).ok()?,
                limits: Limits { bounces: bounces?, complaints: complaints?, least_sent: least_sent? },
                function_name: function_name.unwrap_or_else(|| "feedback".to_owned()),
            })
        })();
        settings.finish(config)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_and_every_unusable_setting_is_named_at_once() {
        let lookup = |name: &str| match name {
            "BOUNCE_LIMIT_PERCENT" => Some("many".to_owned()),
            "BOUNCES_IN_A_ROW" | "BREAKER_LEAST_SENT" => Some("0".to_owned()),
            _ => None,
        };
        let refusal = Config::read(&lookup).unwrap_err().to_string();
        for problem in [
            "PERSON_KEY is missing",
            "SENDER is missing",
            "BOUNCE_LIMIT_PERCENT is not usable",
            "BOUNCES_IN_A_ROW is not usable",
            "BREAKER_LEAST_SENT is not usable",
        ] {
            assert!(refusal.contains(problem), "{refusal}");
        }
    }
}
