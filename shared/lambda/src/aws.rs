//! AWS clients, built in one place: one TLS stack, one connection pool.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_http_client::tls::{Provider, TlsContext};

use crate::roots;

/// How long one attempt of a call to the table may take.
const ATTEMPT: Duration = Duration::from_secs(3);
/// How long a call to the table may take with its retries.
const OPERATION: Duration = Duration::from_secs(8);

/// How long an idle connection is kept: a function that thaws finds older ones dead.
const IDLE: Duration = Duration::from_secs(20);

/// What every client of this project begins with. Region, credentials and endpoints come from the SDK's usual environment
/// (`AWS_REGION`, `AWS_ENDPOINT_URL_DYNAMODB`, …), retries and time-outs are the SDK's own.
pub fn loader() -> ConfigLoader {
    trusting(None)
}

/// The same, trusting these certificates, or the machine's.
fn trusting(roots: Option<TlsContext>) -> ConfigLoader {
    let http = Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).pool_idle_timeout(IDLE);
    let http = http.tls_context(roots.unwrap_or_default()).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http)
}

/// The same for a stand-in of a service, which accepts any credentials: nothing looks for real ones, and no profile or
/// environment changes the region. A DynamoDB for development keeps a table for each region and key.
pub fn loader_for_stand_in(region: String) -> ConfigLoader {
    let credentials = Credentials::new("local", "local", None, None, "notify-me");
    loader().region(Region::new(region)).credentials_provider(credentials)
}

/// The configuration that all clients of a function are made from: with time-outs on every call.
pub async fn config() -> SdkConfig {
    trusting(roots::of_environment())
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
