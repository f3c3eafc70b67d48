//! One invocation through the Lambda Invoke API, and what its answer means for the records.
//! Does not retry: the caller owns the records and the patience.

use std::error::Error as _;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_config::BehaviorVersion;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::{Credentials, Region, StalledStreamProtectionConfig};
use aws_sdk_lambda::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_lambda::operation::invoke::{InvokeError, InvokeOutput};
use aws_sdk_lambda::primitives::Blob;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

/// The longest that a function can run, and a little for the way.
const INVOKE_TIMEOUT: Duration = Duration::from_secs(15 * 60 + 10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Idle connections of a laptop that slept, or of a restarted endpoint, are dead.
const IDLE_TIMEOUT: Duration = Duration::from_secs(20);
/// A trouble that goes on is said again after this.
const SAY_AGAIN: Duration = Duration::from_secs(60);

/// Where the function is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LambdaEndpoint {
    /// The Invoke API at this address. Over plain http, requests carry made-up credentials, as
    /// `sam local start-lambda` expects; over https the caller's own.
    Url(String),
    /// AWS, with the caller's credentials and region.
    Aws,
}

/// Why no client for an endpoint could be made.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Neither http nor https.
    #[error("the endpoint must begin with http:// or https://, as in http://127.0.0.1:3001")]
    Scheme,
    /// [`LambdaEndpoint::Aws`], or an https address, without a region.
    #[error("no AWS region is configured: set AWS_REGION, or a region in the profile")]
    Region,
}

/// What an invocation came to.
#[derive(Debug)]
pub(super) enum Answer {
    Payload(Vec<u8>),
    /// The function ran and failed; the type of its error, safe to log.
    FunctionError(String),
    /// The endpoint takes no payload of this size.
    TooLarge,
    /// Whether the function ran is unknown: no failure of the function, and retried.
    Unavailable(Trouble),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    Throttled,
    Unreachable(String),
    /// An error of the service, by status and code.
    Service(u16, String),
}

/// A function at an endpoint.
pub(super) struct Function {
    client: Client,
    name: String,
    said: Mutex<Option<(Trouble, Instant)>>,
}

impl Function {
    pub(super) async fn new(name: &str, endpoint: &LambdaEndpoint) -> Result<Self, EndpointError> {
        let url = match endpoint {
            LambdaEndpoint::Aws => None,
            LambdaEndpoint::Url(url) if url.starts_with("http://") || url.starts_with("https://") => {
                Some(url)
            }
            LambdaEndpoint::Url(_) => return Err(EndpointError::Scheme),
        };
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(Provider::Rustls(CryptoMode::Ring))
            .pool_idle_timeout(IDLE_TIMEOUT)
            .build_https();
        let plain = url.is_some_and(|url| url.starts_with("http://"));
        let mut loader = aws_config::defaults(BehaviorVersion::latest()).http_client(http);
        if plain {
            loader = loader
                .credentials_provider(Credentials::new("local", "local", None, None, "made-up"))
                .region(Region::new(std::env::var("AWS_REGION").unwrap_or_else(|_| "us-east-1".to_owned())));
        }
        let shared = loader.load().await;
        if shared.region().is_none() {
            return Err(EndpointError::Region);
        }
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .operation_timeout(INVOKE_TIMEOUT)
            .build();
        let mut config = aws_sdk_lambda::config::Builder::from(&shared)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            // A function may be silent for its whole run.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Some(url) = url {
            config = config.endpoint_url(url);
        }
        Ok(Self { client: Client::from_conf(config.build()), name: name.to_owned(), said: Mutex::new(None) })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Invokes once and waits for the answer, at most a little over 15 minutes.
    pub(super) async fn invoke(&self, payload: Vec<u8>) -> Answer {
        let answer = self.client.invoke().function_name(&self.name).payload(Blob::new(payload)).send().await;
        match answer {
            Ok(output) => {
                self.recovered();
                read(output)
            }
            Err(error) => refused(&error),
        }
    }

    /// Says a trouble when it begins, changes, or has gone on for a minute: not per attempt.
    pub(super) fn complain(&self, trouble: &Trouble) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.as_ref().is_some_and(|(last, at)| last == trouble && at.elapsed() < SAY_AGAIN) {
            return;
        }
        match trouble {
            Trouble::Throttled => {
                tracing::warn!(function = self.name, "throttled: batches wait and are tried again");
            }
            Trouble::Unreachable(reason) => {
                tracing::warn!(
                    function = self.name,
                    reason,
                    "the endpoint is not up (yet): batches wait and are tried again"
                );
            }
            Trouble::Service(status, code) => {
                tracing::warn!(
                    function = self.name,
                    status,
                    code,
                    "the endpoint refuses: batches wait and are tried again"
                );
            }
        }
        *said = Some((trouble.clone(), Instant::now()));
    }

    fn recovered(&self) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        // Throttles come and go between partitions; saying each end of one would be noise.
        if said.as_ref().is_some_and(|(trouble, _)| *trouble != Trouble::Throttled) {
            tracing::info!(function = self.name, "the endpoint answers again");
            *said = None;
        }
    }
}

fn read(output: InvokeOutput) -> Answer {
    let payload = output.payload.map(Blob::into_inner).unwrap_or_default();
    if output.function_error.is_none() {
        return Answer::Payload(payload);
    }
    Answer::FunctionError(error_type(&payload))
}

/// The `errorType` of a function's error. Its message may hold anything, so it is not kept.
fn error_type(payload: &[u8]) -> String {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        error_type: String,
    }
    let name =
        serde_json::from_slice::<Failure>(payload).map(|failure| failure.error_type).unwrap_or_default();
    let known =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '<' | '>' | '$' | '-' | '&');
    if name.is_empty() || name.len() > 120 || !name.chars().all(known) {
        return "Unhandled".to_owned();
    }
    name
}

fn refused(error: &SdkError<InvokeError>) -> Answer {
    match error {
        SdkError::ServiceError(service) => match service.raw().status().as_u16() {
            413 => Answer::TooLarge,
            429 => Answer::Unavailable(Trouble::Throttled),
            status => {
                let code = service.err().code().unwrap_or("unknown").to_owned();
                Answer::Unavailable(Trouble::Service(status, code))
            }
        },
        other => Answer::Unavailable(Trouble::Unreachable(innermost(other))),
    }
}

/// The last cause of a chain ("connection refused"): the outer ones only say that something failed,
/// and their debug forms hold whole requests.
fn innermost(error: &SdkError<InvokeError>) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = inner.to_string();
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::error_type;

    #[test]
    fn an_error_type_is_kept_and_anything_else_a_function_says_is_not() {
        assert_eq!(
            error_type(br#"{"errorType":"notify::Poison","errorMessage":"ann@example.com"}"#),
            "notify::Poison"
        );
        for payload in [
            &br#"{"errorType":"ann@example.com","errorMessage":""}"#[..],
            br#"{"errorType":"a b"}"#,
            br#"{"errorMessage":"ann@example.com"}"#,
            b"",
            b"\xff",
        ] {
            assert_eq!(error_type(payload), "Unhandled");
        }
    }
}
