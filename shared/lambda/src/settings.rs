//! The settings that several functions have: each is described once.

use domain::setting::Setting;

/// The table's name.
pub const TABLE_NAME: Setting = Setting::with_default("TABLE_NAME", "notify-me", "the table's name");

/// The key of the unsubscribe links.
pub const UNSUBSCRIBE_KEY: Setting = Setting::required(
    "UNSUBSCRIBE_KEY",
    "signs unsubscribe links; 16 bytes or more, the same for `subscribe` and `notify`",
);

/// The largest body of a request.
pub const MAX_BODY_BYTES: Setting =
    Setting::with_default("MAX_BODY_BYTES", "16384", "the largest body of a request, 1 to 6291456 bytes");

/// What [`MAX_BODY_BYTES`] may be: Lambda takes no larger payload.
pub const BODY_BYTES: std::ops::RangeInclusive<u64> = 1..=6 * 1024 * 1024;
