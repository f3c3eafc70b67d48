//! Tokens for Amazon MSK's IAM login. A token is a presigned request to connect, in base64: its
//! bearer can log in until it expires, so it is a secret.
//!
//! AWS's own crate for this pulls in a second TLS stack; the signature is the SDK's all the same.

use std::time::{Duration, SystemTime};

use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::SecretString;

/// How long MSK takes a token, from its signing on.
const VALIDITY: Duration = Duration::from_secs(900);
/// How long the credentials may take to come.
const CREDENTIALS_LIMIT: Duration = Duration::from_secs(5);
/// Appended after the signing; MSK writes it into its logs.
const USER_AGENT: &str = concat!("&User-Agent=notify-me%2F", env!("CARGO_PKG_VERSION"));

/// Signs tokens with the provider's credentials.
#[derive(Debug, Clone)]
pub struct Signer {
    credentials: SharedCredentialsProvider,
    clock: fn() -> SystemTime,
    validity: Duration,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub(super) enum TokenError {
    #[error("there are no usable AWS credentials")]
    Credentials(#[source] CredentialsError),
    #[error("the AWS credentials did not come within {} s", CREDENTIALS_LIMIT.as_secs())]
    TimedOut,
    #[error("this publisher was made without AWS credentials")]
    NoSigner,
    #[error("the runtime for the AWS credentials cannot be started")]
    Runtime(#[source] std::io::Error),
    // The causes could repeat parts of what was to be signed.
    #[error("the request to connect cannot be signed for the region {0}")]
    Unsignable(String),
}

impl Signer {
    /// Signs with what `credentials` gives at that time.
    pub fn new(credentials: SharedCredentialsProvider) -> Self {
        Self::with_clock(credentials, SystemTime::now)
    }

    /// Signs with `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, where
    /// Lambda puts a function's credentials: for a function that speaks to no other part of AWS and
    /// so need not link what looks for them elsewhere.
    pub fn from_environment() -> Self {
        Self::new(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
    }

    /// Signs by another clock than the system's.
    pub fn with_clock(credentials: SharedCredentialsProvider, clock: fn() -> SystemTime) -> Self {
        Self { credentials, clock, validity: VALIDITY }
    }

    /// The same with tokens that last for another time, 15 min at most: for tests.
    pub fn lasting(self, validity: Duration) -> Self {
        Self { validity, ..self }
    }

    /// How long a token lasts, from its signing on.
    pub(super) fn validity(&self) -> Duration {
        self.validity
    }

    /// A new token for the clusters of a region. Blocks for the credentials, 5 s at most; never
    /// call it on a runtime's thread.
    ///
    /// librdkafka asks for tokens on a thread of the producer's. The credentials come over a small
    /// runtime of that thread's own: the function's may have one thread, and that one may just be
    /// waiting for what this token is for.
    pub(super) fn token(&self, region: &str) -> Result<SecretString, TokenError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(TokenError::Runtime)?;
        let credentials = runtime.block_on(async {
            tokio::time::timeout(CREDENTIALS_LIMIT, self.credentials.provide_credentials()).await
        });
        let credentials = credentials.map_err(|_| TokenError::TimedOut)?.map_err(TokenError::Credentials)?;
        signed(region, credentials, (self.clock)(), self.validity)
            .map(|url| BASE64_URL_SAFE_NO_PAD.encode(url + USER_AGENT).into())
            .ok_or_else(|| TokenError::Unsignable(region.to_owned()))
    }
}

/// The presigned request, as a URL.
fn signed(region: &str, credentials: Credentials, now: SystemTime, validity: Duration) -> Option<String> {
    let url = format!("https://kafka.{region}.amazonaws.com/?Action=kafka-cluster%3AConnect");
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(validity);
    let identity = credentials.into();
    let parameters = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name("kafka-cluster")
        .time(now)
        .settings(settings)
        .build()
        .ok()?
        .into();
    // A region that makes no URL ends here, not in the next step, which would panic.
    let mut request = http::Request::get(&url).body(()).ok()?;
    let to_sign = SignableRequest::new("GET", url, std::iter::empty(), SignableBody::Bytes(&[])).ok()?;
    let (instructions, _) = sign(to_sign, &parameters).ok()?.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    Some(request.uri().to_string())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use secrecy::ExposeSecret;

    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    /// 2026-11-23T12:34:56Z.
    const NOON: Duration = Duration::from_secs(1_795_437_296);

    fn credentials(session: Option<&str>) -> Credentials {
        Credentials::new("AKIDEXAMPLE", SECRET, session.map(str::to_owned), None, "test")
    }

    fn url(session: Option<&str>) -> String {
        signed("eu-west-1", credentials(session), SystemTime::UNIX_EPOCH + NOON, VALIDITY).unwrap()
    }

    /// A URL's parts in an order of their own: the order is no part of what is signed.
    fn sorted(url: &str) -> Vec<&str> {
        let mut parts: Vec<_> = url.split(['?', '&']).collect();
        parts.sort_unstable();
        parts
    }

    // The expected ones are what AWS's signer for Python (aws-msk-iam-sasl-signer-python 1.0.2)
    // makes of these credentials at this time, without its User-Agent.

    #[test]
    fn a_request_is_signed_as_awss_own_signer_does() {
        let expected = "https://kafka.eu-west-1.amazonaws.com/?Action=kafka-cluster%3AConnect\
            &X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIDEXAMPLE%2F20261123%2Feu-west-1%2Fkafka-cluster%2Faws4_request\
            &X-Amz-Date=20261123T123456Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
            &X-Amz-Signature=743eda885d8a4803cc8dab1fd78b3810d97d93ed2ea949926c7e9204a755aa86";
        assert_eq!(sorted(&url(None)), sorted(expected));
    }

    #[test]
    fn a_sessions_token_is_signed_along() {
        let expected = "https://kafka.eu-west-1.amazonaws.com/?Action=kafka-cluster%3AConnect\
            &X-Amz-Algorithm=AWS4-HMAC-SHA256\
            &X-Amz-Credential=AKIDEXAMPLE%2F20261123%2Feu-west-1%2Fkafka-cluster%2Faws4_request\
            &X-Amz-Date=20261123T123456Z&X-Amz-Expires=900&X-Amz-SignedHeaders=host\
            &X-Amz-Security-Token=IQoJb3JpZ2luX2VjEXAMPLE%2F%2F%2F%2F%2F%2F%2F%2F%2F%2FwEaCXVzLWVhc3Qt%2B%2F%3D%3D\
            &X-Amz-Signature=83af27c320a83fc6b81d23665ec278090f56465edf5f015ddf3405e244eac6e5";
        assert_eq!(
            sorted(&url(Some("IQoJb3JpZ2luX2VjEXAMPLE//////////wEaCXVzLWVhc3Qt+/=="))),
            sorted(expected)
        );
    }

    #[test]
    fn a_token_is_the_request_in_base64_with_the_user_agent_appended() {
        let provider = SharedCredentialsProvider::new(credentials(None));
        let signer = Signer::with_clock(provider, || SystemTime::UNIX_EPOCH + NOON);
        let token = signer.token("eu-west-1").unwrap();
        assert!(!format!("{token:?} {signer:?}").contains(SECRET));
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(token.expose_secret()).unwrap();
        assert_eq!(String::from_utf8(decoded).unwrap(), url(None) + USER_AGENT);
    }

    #[test]
    fn a_region_that_makes_no_host_is_an_error() {
        let provider = SharedCredentialsProvider::new(credentials(None));
        let refusal = Signer::new(provider).token("eu west\n1").unwrap_err();
        assert!(matches!(refusal, TokenError::Unsignable(_)), "{refusal}");
    }

    #[test]
    fn credentials_that_do_not_come_are_a_clear_error() {
        #[derive(Debug)]
        struct NoCredentials;
        impl ProvideCredentials for NoCredentials {
            fn provide_credentials<'a>(
                &'a self,
            ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
            where
                Self: 'a,
            {
                aws_credential_types::provider::future::ProvideCredentials::ready(Err(
                    CredentialsError::not_loaded("AWS_ACCESS_KEY_ID is not set"),
                ))
            }
        }
        let refusal =
            Signer::new(SharedCredentialsProvider::new(NoCredentials)).token("eu-west-1").unwrap_err();
        let refusal = lambda::error_chain(&refusal).to_string();
        assert!(refusal.contains("no usable AWS credentials"), "{refusal}");
        assert!(refusal.contains("AWS_ACCESS_KEY_ID is not set"), "{refusal}");
    }
}
