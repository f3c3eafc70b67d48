//! The settings that several functions have: each is described once.

use domain::setting::Setting;

/// The table's name.
pub const TABLE_NAME: Setting = Setting::with_default("TABLE_NAME", "notify-me", "the table's name");

/// The key of the unsubscribe links.
pub const UNSUBSCRIBE_KEY: Setting = Setting::required(
    "UNSUBSCRIBE_KEY",
    "signs unsubscribe links; 16 bytes or more, the same for `subscribe` and `notify`",
);

/// The unsubscribe link.
pub const UNSUBSCRIBE_URL: Setting =
    Setting::required("UNSUBSCRIBE_URL", "the unsubscribe link; `{token}` stands for the token");

/// The key of the hashes that keys hold in place of addresses.
pub const PERSON_KEY: Setting = Setting::required(
    "PERSON_KEY",
    "turns addresses into the hashes that the table's keys hold; 16 bytes or more, the same for every function that has it. It must never \
     change: with another key nobody is found again",
);

/// The sender of emails.
pub const SENDER: Setting = Setting::required("SENDER", "the From address of emails, verified with SES");

/// The shop's name.
pub const SHOP_NAME: Setting = Setting::required("SHOP_NAME", "the shop's name in emails");

/// The shop's postal address.
pub const SHOP_ADDRESS: Setting = Setting::optional(
    "SHOP_ADDRESS",
    "none",
    "the shop's postal address, in one line, at the foot of each email; the law of some countries asks for it",
);

/// The configuration set.
pub const SES_CONFIGURATION_SET: Setting =
    Setting::optional("SES_CONFIGURATION_SET", "none", "the SES configuration set");

/// The link to a person's alerts.
pub const ALERTS_URL: Setting = Setting::required(
    "ALERTS_URL",
    "the link under which a person sees and ends their alerts; `{token}` stands for the token",
);

/// The largest body of a request.
pub const MAX_BODY_BYTES: Setting =
    Setting::with_default("MAX_BODY_BYTES", "16384", "the largest body of a request, 1 to 6291456 bytes");

/// What [`MAX_BODY_BYTES`] may be: Lambda takes no larger payload.
pub const BODY_BYTES: std::ops::RangeInclusive<u64> = 1..=6 * 1024 * 1024;
