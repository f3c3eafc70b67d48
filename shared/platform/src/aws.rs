//! AWS clients: one TLS stack, one connection pool, time-outs on every call.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, SdkConfig, retry::RetryConfig, stalled_stream_protection::StalledStreamProtectionConfig,
    timeout::TimeoutConfig,
};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, rustls_provider::CryptoMode},
};

/// How long one attempt of a call to the table may take.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How long a call to the table may take with its retries.
const OPERATION: Duration = Duration::from_secs(8);

/// How long a connection is kept that nobody uses: a function that thaws finds older ones dead.
const IDLE: Duration = Duration::from_secs(20);

/// The configuration that all clients of a process are made from. Region, credentials and
/// endpoints come from the SDK's usual environment (`AWS_REGION`, `AWS_ENDPOINT_URL_DYNAMODB`, …).
pub async fn config() -> SdkConfig {
    let http =
        Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).pool_idle_timeout(IDLE).build_https();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        // Answers are small, and every attempt has its time-out: nothing is gained by watching their bytes come in.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(1))
                .operation_attempt_timeout(ATTEMPT)
                .operation_timeout(OPERATION)
                .build(),
        )
        .load()
        .await
}
