//! What came of a call to SES: completed, not sent, or in doubt. It is decided here alone, by the types of the SDK's errors and
//! SES's HTTP status, never by how an error prints. What is not provably unsent is in doubt.
//!
//! | what happened | by | is |
//! |---|---|---|
//! | the request could not be made | `ConstructionFailure` | suspended |
//! | there are no credentials for it | `CredentialsError` below `DispatchFailure` | unavailable |
//! | no connection came about: name, TCP or TLS | hyper's `is_connect` below `DispatchFailure` | unavailable |
//! | another failure on the way, or a time-out | every other `DispatchFailure`, `TimeoutError` | in doubt |
//! | an answer that cannot be read | `ResponseError` | in doubt |
//! | SES refuses the call | 4xx with a code | by the code: throttled, invalid or suspended |
//! | SES, or what stands before it, failed | 5xx, 408, no code | in doubt: it may have sent before it failed |

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sesv2::config::http::HttpResponse;
use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::send_bulk_email::{SendBulkEmailError, SendBulkEmailOutput};
use aws_sdk_sesv2::types::BulkEmailStatus;
use domain::delivery::{CallOutcome, RecipientOutcome, Refusal};

/// What SES said of each recipient of a call.
pub(super) fn completed(output: &SendBulkEmailOutput, asked: usize) -> CallOutcome {
    let results = output.bulk_email_entry_results();
    if results.len() != asked {
        return CallOutcome::InDoubt(format!("SES answered for {} of {asked}", results.len()));
    }
    CallOutcome::Completed(
        results.iter().map(|result| recipient_outcome(result.status(), result.error())).collect(),
    )
}

/// What a recipient's status means; `said` is what SES adds in words.
fn recipient_outcome(status: Option<&BulkEmailStatus>, said: Option<&str>) -> RecipientOutcome {
    let Some(status) = status else {
        return RecipientOutcome::Retry(Refusal::Unavailable("no status".to_owned()));
    };
    let word = match said.filter(|said| said.contains("not verified")) {
        // The sandbox: whom it is about is not repeated.
        Some(_) => format!("{}: Email address is not verified", status.as_str()),
        None => status.as_str().to_owned(),
    };
    match status {
        BulkEmailStatus::Success => RecipientOutcome::Accepted,
        BulkEmailStatus::AccountThrottled => RecipientOutcome::Retry(Refusal::Throttled),
        // FAILED is "SES was unable to process your request": not the recipient's fault for certain, so it is retried too.
        BulkEmailStatus::TransientFailure | BulkEmailStatus::Failed => {
            RecipientOutcome::Retry(Refusal::Unavailable(word))
        }
        // They fail this recipient, not the account: a second try would fail as well.
        BulkEmailStatus::MessageRejected => RecipientOutcome::Rejected(word),
        // The account, the sender, the template or the configuration set: no recipient's fault.
        BulkEmailStatus::AccountDailyQuotaExceeded
        | BulkEmailStatus::AccountSendingPaused
        | BulkEmailStatus::AccountSuspended
        | BulkEmailStatus::ConfigurationSetNotFound
        | BulkEmailStatus::ConfigurationSetSendingPaused
        | BulkEmailStatus::InvalidSendingPoolName
        | BulkEmailStatus::MailFromDomainNotVerified
        | BulkEmailStatus::TemplateNotFound => RecipientOutcome::Retry(Refusal::Suspended(word)),
        // The documentation has it in two spellings.
        odd if odd.as_str().starts_with("INVALID_PARAMETER") => RecipientOutcome::Rejected(word),
        // New, and no reason to stop for all.
        _ => RecipientOutcome::Retry(Refusal::Unavailable(word)),
    }
}

/// What SES says, without what looks like an address.
fn words(said: &str) -> String {
    let hidden = |word: &str| if word.contains('@') { "…".to_owned() } else { word.to_owned() };
    said.split(' ').map(hidden).collect::<Vec<_>>().join(" ")
}

/// What it means that a call has no answer for its recipients.
pub(super) fn failed(error: &SdkError<SendBulkEmailError, HttpResponse>) -> CallOutcome {
    let causes = || lambda::error_chain(error).to_string();
    match error {
        SdkError::ConstructionFailure(_) => CallOutcome::NotSent(Refusal::Suspended(causes())),
        SdkError::DispatchFailure(failure) if failure.as_connector_error().is_some_and(|e| never_left(e)) => {
            CallOutcome::NotSent(Refusal::Unavailable(causes()))
        }
        SdkError::ServiceError(refused) => refusal(refused.raw().status().as_u16(), refused.err()),
        _ => CallOutcome::InDoubt(causes()),
    }
}

/// Codes of a throttle that the SDK has no type for: those common to all of AWS.
const THROTTLES: [&str; 3] = ["Throttling", "ThrottlingException", "TooManyRequests"];
/// Codes of a call that is wrong in itself, likewise.
const INVALID: [&str; 5] = [
    "InvalidParameter",
    "InvalidParameterException",
    "InvalidParameterValue",
    "ValidationError",
    "ValidationException",
];

/// What SES's error says of the whole call.
fn refusal(status: u16, error: &SendBulkEmailError) -> CallOutcome {
    let message = words(error.message().unwrap_or_default());
    let Some(code) = error.code() else {
        return CallOutcome::InDoubt(format!("status {status} without a code"));
    };
    let said = if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") };
    // 408 comes from the server that waited for the request, and says nothing of its outcome.
    if !(400..500).contains(&status) || status == 408 {
        return CallOutcome::InDoubt(said);
    }
    // It has been seen under both codes, and only SES's words tell: the day's quota is no throttle, and must not cut the rate.
    if message.contains("Daily message quota") {
        return CallOutcome::NotSent(Refusal::Suspended(said));
    }
    CallOutcome::NotSent(match error {
        SendBulkEmailError::TooManyRequestsException(_) => Refusal::Throttled,
        _ if status == 429 || THROTTLES.contains(&code) => Refusal::Throttled,
        // The template is the same for all.
        SendBulkEmailError::BadRequestException(_) if message.contains("emplate") => Refusal::Suspended(said),
        SendBulkEmailError::BadRequestException(_) | SendBulkEmailError::MessageRejected(_) => {
            Refusal::Invalid(said)
        }
        _ if INVALID.contains(&code) => Refusal::Invalid(said),
        // The account, the sender, credentials, permissions, and what is new: SES looked at the call and refused it.
        _ => Refusal::Suspended(said),
    })
}

/// Whether a call that could not be dispatched certainly did not reach SES: it was not signed, or it had no connection to go
/// out on. hyper's `is_connect` is of the time before a request is given to a connection, connect time-outs included.
fn never_left(failure: &(dyn Error + 'static)) -> bool {
    let mut next = Some(failure);
    while let Some(cause) = next {
        let unconnected =
            cause.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|e| e.is_connect());
        if unconnected || cause.is::<CredentialsError>() {
            return true;
        }
        next = cause.source();
    }
    false
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use aws_credential_types::Credentials;
    use aws_credential_types::provider::SharedCredentialsProvider;
    use aws_sdk_sesv2::config::retry::RetryConfig;
    use aws_sdk_sesv2::config::timeout::TimeoutConfig;
    use aws_sdk_sesv2::config::{BehaviorVersion, Region};
    use aws_sdk_sesv2::types::{BulkEmailContent, BulkEmailEntry, Template};
    use aws_sdk_sesv2::{Client, Config};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    /// What a call to `endpoint` comes to, by the client that the function has.
    async fn called(endpoint: &str, credentials: Option<Credentials>) -> CallOutcome {
        let aws = lambda::aws::config().await;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_millis(500))
            .operation_timeout(Duration::from_secs(3));
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-central-1"))
            .endpoint_url(endpoint)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.build());
        config.set_http_client(aws.http_client());
        config = match credentials {
            Some(credentials) => config.credentials_provider(credentials),
            None => config.credentials_provider(SharedCredentialsProvider::new(NoCredentials)),
        };
        let content = BulkEmailContent::builder().template(Template::builder().build()).build();
        let request = Client::from_conf(config.build())
            .send_bulk_email()
            .default_content(content)
            .bulk_email_entries(BulkEmailEntry::builder().build());
        match request.send().await {
            Ok(output) => completed(&output, 1),
            Err(error) => failed(&error),
        }
    }

    /// Has no credentials.
    #[derive(Debug)]
    struct NoCredentials;

    impl aws_credential_types::provider::ProvideCredentials for NoCredentials {
        fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let none = Err(CredentialsError::not_loaded("there are none"));
            aws_credential_types::provider::future::ProvideCredentials::ready(none)
        }
    }

    fn credentials() -> Option<Credentials> {
        Some(Credentials::new("id", "secret", None, None, "test"))
    }

    /// An SES that reads a request and then writes this, or nothing and waits (`None`).
    async fn ses(answer: Option<String>) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 65_536];
            let _ = socket.read(&mut request).await.unwrap();
            match answer {
                Some(answer) => socket.write_all(answer.as_bytes()).await.unwrap(),
                None => tokio::time::sleep(Duration::from_secs(10)).await,
            }
        });
        url
    }

    async fn said(status: u16, code: &str, message: &str) -> CallOutcome {
        let body = serde_json::json!({ "message": message }).to_string();
        let kind = if code.is_empty() { String::new() } else { format!("x-amzn-errortype: {code}\r\n") };
        let head =
            format!("HTTP/1.1 {status} X\r\n{kind}content-length: {}\r\nconnection: close", body.len());
        called(&ses(Some(format!("{head}\r\n\r\n{body}"))).await, credentials()).await
    }

    /// The kind of an outcome, in a word.
    fn kind(sent: &CallOutcome) -> &'static str {
        match sent {
            CallOutcome::Completed(_) => "answered",
            CallOutcome::InDoubt(_) => "in doubt",
            CallOutcome::NotSent(Refusal::Throttled) => "throttled",
            CallOutcome::NotSent(Refusal::Unavailable(_)) => "unavailable",
            CallOutcome::NotSent(Refusal::Suspended(_)) => "suspended",
            CallOutcome::NotSent(Refusal::Invalid(_)) => "invalid",
        }
    }

    #[tokio::test]
    async fn what_ses_says_of_a_whole_call_is_told_by_its_status_and_code() {
        for (status, code, message, expected) in [
            (400, "BadRequestException", "Domain contains illegal character", "invalid"),
            (400, "MessageRejected", "", "invalid"),
            (400, "InvalidParameterValue", "", "invalid"),
            (400, "ValidationException", "", "invalid"),
            (400, "BadRequestException", "Template contains unsupported operations.", "suspended"),
            (429, "TooManyRequestsException", "Maximum sending rate exceeded.", "throttled"),
            (400, "ThrottlingException", "Rate exceeded", "throttled"),
            (429, "Unheard", "", "throttled"),
            (429, "TooManyRequestsException", "Daily message quota exceeded.", "suspended"),
            (400, "LimitExceededException", "Daily message quota exceeded.", "suspended"),
            (400, "AccountSuspendedException", "", "suspended"),
            (400, "MailFromDomainNotVerifiedException", "", "suspended"),
            (404, "NotFoundException", "", "suspended"),
            (400, "SendingPausedException", "", "suspended"),
            (403, "AccessDeniedException", "", "suspended"),
            (403, "SignatureDoesNotMatch", "", "suspended"),
            // Whatever they call themselves: it may have sent before it failed.
            (500, "InternalServiceErrorException", "", "in doubt"),
            (503, "ServiceUnavailableException", "", "in doubt"),
            (503, "ServiceUnavailable", "", "in doubt"),
            (502, "BadRequestException", "", "in doubt"),
            (408, "RequestTimeoutException", "", "in doubt"),
            (400, "", "from something between", "in doubt"),
        ] {
            let sent = said(status, code, message).await;
            assert_eq!(kind(&sent), expected, "{status} {code} {message}: {sent:?}");
        }
    }

    #[tokio::test]
    async fn a_call_did_not_leave_only_where_it_provably_had_no_connection() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        for (case, endpoint, credentials, expected) in [
            ("refused", format!("http://{closed}"), credentials(), "unavailable"),
            // It takes the connection and says nothing of TLS.
            ("no TLS", ses(None).await.replace("http:", "https:"), credentials(), "unavailable"),
            ("no credentials", format!("http://{closed}"), None, "unavailable"),
            ("closed after the request", ses(Some(String::new())).await, credentials(), "in doubt"),
            (
                "half an answer",
                ses(Some("HTTP/1.1 200 OK\r\nconte".to_owned())).await,
                credentials(),
                "in doubt",
            ),
            ("no answer", ses(None).await, credentials(), "in doubt"),
            (
                "no JSON",
                ses(Some("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{".to_owned())).await,
                credentials(),
                "in doubt",
            ),
        ] {
            let sent = called(&endpoint, credentials).await;
            assert_eq!(kind(&sent), expected, "{case}: {sent:?}");
        }
    }

    #[tokio::test]
    async fn ses_own_words_are_kept_without_addresses() {
        let sent = said(400, "MessageRejected", "Not verified: jo@example.com in EU").await;
        let CallOutcome::NotSent(Refusal::Invalid(words)) = sent else { panic!("{sent:?}") };
        assert_eq!(words, "MessageRejected: Not verified: … in EU");
    }

    #[test]
    fn every_status_of_a_recipient_has_its_recipient_outcome() {
        use BulkEmailStatus as S;
        for (status, expected) in [
            (S::Success, RecipientOutcome::Accepted),
            (S::AccountThrottled, RecipientOutcome::Retry(Refusal::Throttled)),
            (
                S::TransientFailure,
                RecipientOutcome::Retry(Refusal::Unavailable("TRANSIENT_FAILURE".to_owned())),
            ),
            (S::MessageRejected, RecipientOutcome::Rejected("MESSAGE_REJECTED".to_owned())),
            (S::Failed, RecipientOutcome::Retry(Refusal::Unavailable("FAILED".to_owned()))),
            (S::InvalidParameter, RecipientOutcome::Rejected("INVALID_PARAMETER".to_owned())),
            (
                S::from("INVALID_PARAMETER_VALUE"),
                RecipientOutcome::Rejected("INVALID_PARAMETER_VALUE".to_owned()),
            ),
            (
                S::AccountDailyQuotaExceeded,
                RecipientOutcome::Retry(Refusal::Suspended("ACCOUNT_DAILY_QUOTA_EXCEEDED".to_owned())),
            ),
            (
                S::TemplateNotFound,
                RecipientOutcome::Retry(Refusal::Suspended("TEMPLATE_NOT_FOUND".to_owned())),
            ),
            (S::from("NEW_STATUS"), RecipientOutcome::Retry(Refusal::Unavailable("NEW_STATUS".to_owned()))),
        ] {
            assert_eq!(recipient_outcome(Some(&status), None), expected);
        }
    }
}
