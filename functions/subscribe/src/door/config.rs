//! The settings of the door.

use std::str::FromStr;

use domain::limit::Limit;
use domain::setting::{Setting, Settings};
use domain::source::TrustedProxies;
use domain::unwelcome::RefusedDomains;

use super::Kind;

pub(crate) const LIMITS: Setting = Setting::with_default(
    "LIMITS",
    "off",
    "`on`: sign-ups are limited by source, address and product, and what is over a limit is answered 429",
);
pub(crate) const LIMIT_SOURCE: Setting = Setting::with_default(
    "LIMIT_SOURCE",
    "10/30s",
    "sign-ups from one network (an IPv4 address, or the first 64 bits of an IPv6 one): ten at once, then one every 30 s. Times are in `ms`, \
     `s`, `m` or `h`",
);
pub(crate) const LIMIT_ADDRESS: Setting =
    Setting::with_default("LIMIT_ADDRESS", "3/3m", "sign-ups of one address, whatever `+tag` it has");
pub(crate) const LIMIT_PRODUCT: Setting = Setting::with_default(
    "LIMIT_PRODUCT",
    "300/50ms",
    "sign-ups for one product without the solution of a challenge",
);
pub(crate) const TRUSTED_PROXIES: Setting = Setting::with_default(
    "TRUSTED_PROXIES",
    "0",
    "the proxies before the API that say for whom they call: how many append their caller to `X-Forwarded-For`, 0 to 8, or `cloudfront` for \
     `CloudFront-Viewer-Address`. Only where no caller can come around them: a caller could invent its source",
);
pub(crate) const CHALLENGE: Setting = Setting::with_default(
    "CHALLENGE",
    "off",
    "whether sign-ups need the solution of an ALTCHA challenge: `off`, `always`, or `adaptive`: where `LIMIT_PRODUCT` is used up",
);
pub(crate) const REFUSED_DOMAINS: Setting = Setting::optional(
    "REFUSED_DOMAINS",
    "none",
    "domains whose addresses are refused, with their subdomains, separated by commas. AWS gives a function 4 KB for all its variables \
     together",
);

/// The settings, read.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// `None` where nothing is limited.
    pub(super) limits: Option<Limits>,
    pub(super) proxies: TrustedProxies,
    pub(crate) challenge: Challenge,
    pub(super) refused: RefusedDomains,
}

/// The limit of each kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    source: Limit,
    address: Limit,
    product: Limit,
}

impl Limits {
    pub(super) fn of(&self, kind: Kind) -> Limit {
        match kind {
            Kind::Source => self.source,
            Kind::Address => self.address,
            Kind::Product => self.product,
        }
    }
}

/// When a challenge is to be solved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// Never.
    Off,
    /// In place of a product's limit that is used up.
    Adaptive,
    /// Before each ask.
    Always,
}

impl Challenge {
    /// Whether one is of use, given whether there are limits.
    pub(crate) fn is_offered(self, limits: bool) -> bool {
        match self {
            Self::Off => false,
            Self::Adaptive => limits,
            Self::Always => true,
        }
    }

    pub(super) fn is_asked_of_all(self) -> bool {
        self == Self::Always
    }
}

impl FromStr for Challenge {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "adaptive" => Ok(Self::Adaptive),
            "always" => Ok(Self::Always),
            _ => Err("off, adaptive or always"),
        }
    }
}

impl Config {
    /// Reads the settings; what is missing or unusable is noted there.
    pub(crate) fn read(settings: &mut Settings<'_>) -> Option<Self> {
        let on = settings.or_by(&LIMITS, |text| match text {
            "on" => Ok(true),
            "off" => Ok(false),
            _ => Err("on or off"),
        });
        let source = settings.or(&LIMIT_SOURCE);
        let address = settings.or(&LIMIT_ADDRESS);
        let product = settings.or(&LIMIT_PRODUCT);
        let proxies = settings.or(&TRUSTED_PROXIES);
        let challenge = settings.or(&CHALLENGE);
        // An empty list is one: unusable, it is noted.
        let refused = settings.optional(REFUSED_DOMAINS.name).unwrap_or_default();
        let limits = Limits { source: source?, address: address?, product: product? };
        Some(Self { limits: on?.then_some(limits), proxies: proxies?, challenge: challenge?, refused })
    }

    /// Whether a challenge is of use.
    pub(crate) fn offers_challenges(&self) -> bool {
        self.challenge.is_offered(self.limits.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &'static str, value: &'static str) -> Result<Config, String> {
        let lookup = move |asked: &str| (asked == name).then(|| value.to_owned());
        let mut settings = Settings::new(&lookup);
        let config = Config::read(&mut settings);
        settings.finish(config).map_err(|bad| bad.to_string())
    }

    #[test]
    fn limits_and_challenges_are_off_unless_asked_for() {
        let config = read("NONE", "");
        assert!(config.is_ok_and(|config| config.limits.is_none() && config.challenge == Challenge::Off));
        assert!(read("LIMITS", "on").is_ok_and(|config| config.limits.is_some()));
    }

    #[test]
    fn a_challenge_that_no_limit_can_ask_for_is_not_offered() {
        for (challenge, without, with) in [
            (Challenge::Off, false, false),
            (Challenge::Adaptive, false, true),
            (Challenge::Always, true, true),
        ] {
            assert_eq!(
                (challenge.is_offered(false), challenge.is_offered(true)),
                (without, with),
                "{challenge:?}"
            );
        }
    }

    #[test]
    fn each_setting_that_cannot_be_used_is_named_with_what_is_accepted_and_without_its_value() {
        for (name, value, accepted) in [
            ("LIMITS", "yes", "on or off"),
            ("LIMIT_SOURCE", "10 per minute", "BURST/TIME"),
            ("LIMIT_ADDRESS", "0/3m", "BURST/TIME"),
            ("LIMIT_PRODUCT", "300/20ps", "BURST/TIME"),
            ("TRUSTED_PROXIES", "all", "0 to 8"),
            ("CHALLENGE", "sometimes", "off, adaptive or always"),
            ("REFUSED_DOMAINS", "nonsense", "domains separated by commas"),
        ] {
            let message = read(name, value).err().unwrap_or_default();
            assert!(message.contains(&format!("{name} is not usable")), "{message}");
            assert!(message.contains(accepted) && !message.contains(value), "{message}");
        }
    }
}
