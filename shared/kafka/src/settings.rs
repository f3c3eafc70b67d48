//! The settings of Kafka, which every function that speaks to it has.

use domain::setting::Setting;

/// The topic of stock updates.
pub(super) const RESTOCK_TOPIC: Setting = Setting::with_default(
    "KAFKA_RESTOCK_TOPIC",
    "item-restocked",
    "the topic of stock updates; its dead letters go to the same name with `-dlq`",
);

/// The topic of fan-out jobs.
pub(super) const BATCHES_TOPIC: Setting = Setting::with_default(
    "KAFKA_BATCHES_TOPIC",
    "notification-batches",
    "the topic of fan-out jobs; dead letters likewise",
);

/// All of them. What a login takes is said by [`super::Security::from_settings`].
pub const SETTINGS: &[Setting] = &[
    Setting::required("KAFKA_BOOTSTRAP_SERVERS", "where Kafka is: `host:port,host:port`"),
    Setting::with_default(
        "KAFKA_SECURITY",
        "plaintext",
        "how to log in: `plaintext`, `tls`, `plain`, `scram-256`, `scram` (SHA-512), `mtls` or `msk-iam`; a setting below that the login does not use is refused",
    ),
    Setting::optional("KAFKA_USERNAME", "none", "required for a login with a password"),
    Setting::optional("KAFKA_PASSWORD", "none", "likewise"),
    Setting::optional(
        "KAFKA_CLIENT_CERTIFICATE",
        "none",
        "required for `mtls`: PEM, the client's own certificate first",
    ),
    Setting::optional("KAFKA_CLIENT_KEY", "none", "required for `mtls`: PEM, not encrypted"),
    Setting::optional(
        "KAFKA_CA_CERTIFICATE",
        "the system's CAs",
        "PEM: the CA of the brokers' certificates, for all but `plaintext`",
    ),
    RESTOCK_TOPIC,
    BATCHES_TOPIC,
];

/// What `DELIVERY_TIMEOUT_MS` may be, in milliseconds: no invocation lasts longer than 15 minutes.
pub const DELIVERY_MS: std::ops::RangeInclusive<u64> = 1..=900_000;
