//! What came of a call to SES: whether it was answered, refused, did not leave, or is in doubt. It is decided here alone, by the
//! types of the SDK's errors and SES's HTTP status, never by how an error prints. What is not provably unsent is in doubt.
//!
//! | what happened | by | is |
//! |---|---|---|
//! | the request could not be made | `ConstructionFailure` | stopped |
//! | there are no credentials for it | `CredentialsError` below `DispatchFailure` | away |
//! | no connection came about: name, TCP or TLS | hyper's `is_connect` below `DispatchFailure` | away |
//! | another failure on the way, or a time-out | every other `DispatchFailure`, `TimeoutError` | in doubt |
//! | an answer that cannot be read | `ResponseError` | in doubt |
//! | SES refuses the call | 4xx with a code | by the code: throttled, spoiled or stopped |
//! | SES, or what stands before it, failed | 5xx, 408, no code | in doubt: it may have sent before it failed |

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_sesv2::{
    config::http::HttpResponse,
    error::{ProvideErrorMetadata, SdkError},
    operation::send_bulk_email::{SendBulkEmailError, SendBulkEmailOutput},
    types::BulkEmailStatus,
};

/// What came of a call.
#[derive(Debug)]
pub(crate) enum Sent {
    /// SES answered for every recipient, in their order.
    Answered(Vec<Fate>),
    /// SES took nobody: the whole call was refused, or it provably never left.
    Refused(Refusal),
    /// Nobody knows: the call left and no answer came.
    Unknown(String),
}

/// What SES said of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It will mail them.
    Accepted,
    /// It will not, now; try again.
    Again(Refusal),
    /// It never will; the reason is SES's word for it.
    Rejected(String),
}

/// Why SES takes nobody right now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Too fast.
    Throttled,
    /// It does not answer, or not yet; nothing left.
    Away(String),
    /// Something a person must mend, or a quota that time mends: nobody is consumed meanwhile.
    Stopped(String),
    /// The call as it is: one of its recipients may be to blame, or all that they have in common.
    Spoiled(String),
}

impl Refusal {
    /// Whether it says something of one recipient, where `accepted` others of the same call were taken.
    pub(crate) fn is_the_recipients(&self, accepted: usize) -> bool {
        match self {
            Self::Throttled => false,
            Self::Away(_) | Self::Spoiled(_) => true,
            Self::Stopped(_) => accepted > 0,
        }
    }

    /// SES's word for it.
    pub(crate) fn word(&self) -> &str {
        match self {
            Self::Throttled => "throttled",
            Self::Away(word) | Self::Stopped(word) | Self::Spoiled(word) => word,
        }
    }
}

/// What SES said of each recipient of a call.
pub(super) fn answered(output: &SendBulkEmailOutput, asked: usize) -> Sent {
    let results = output.bulk_email_entry_results();
    if results.len() != asked {
        return Sent::Unknown(format!("SES answered for {} of {asked}", results.len()));
    }
    Sent::Answered(results.iter().map(|result| fate(result.status(), result.error())).collect())
}

/// What a recipient's status means; `said` is what SES adds in words.
fn fate(status: Option<&BulkEmailStatus>, said: Option<&str>) -> Fate {
    let Some(status) = status else { return Fate::Again(Refusal::Away("no status".to_owned())) };
    let word = match said.filter(|said| said.contains("not verified")) {
        // The sandbox: whom it is about is not repeated.
        Some(_) => format!("{}: Email address is not verified", status.as_str()),
        None => status.as_str().to_owned(),
    };
    match status {
        BulkEmailStatus::Success => Fate::Accepted,
        BulkEmailStatus::AccountThrottled => Fate::Again(Refusal::Throttled),
        // FAILED is "SES was unable to process your request": nobody's own fault for certain, so it is tried again too.
        BulkEmailStatus::TransientFailure | BulkEmailStatus::Failed => Fate::Again(Refusal::Away(word)),
        // They fail this recipient, not the account: a second try would fail as well.
        BulkEmailStatus::MessageRejected => Fate::Rejected(word),
        // The account, the sender, the template or the configuration set: nobody's own fault.
        BulkEmailStatus::AccountDailyQuotaExceeded
        | BulkEmailStatus::AccountSendingPaused
        | BulkEmailStatus::AccountSuspended
        | BulkEmailStatus::ConfigurationSetNotFound
        | BulkEmailStatus::ConfigurationSetSendingPaused
        | BulkEmailStatus::InvalidSendingPoolName
        | BulkEmailStatus::MailFromDomainNotVerified
        | BulkEmailStatus::TemplateNotFound => Fate::Again(Refusal::Stopped(word)),
        // The documentation has it in two spellings.
        odd if odd.as_str().starts_with("INVALID_PARAMETER") => Fate::Rejected(word),
        // New, and no reason to stop for all.
        _ => Fate::Again(Refusal::Away(word)),
    }
}

/// What SES says, without what looks like an address.
fn words(said: &str) -> String {
    let hidden = |word: &str| if word.contains('@') { "…".to_owned() } else { word.to_owned() };
    said.split(' ').map(hidden).collect::<Vec<_>>().join(" ")
}

/// What it means that a call has no answer for its recipients.
pub(super) fn failed(error: &SdkError<SendBulkEmailError, HttpResponse>) -> Sent {
    let causes = || lambda::error_chain(error).to_string();
    match error {
        SdkError::ConstructionFailure(_) => Sent::Refused(Refusal::Stopped(causes())),
        SdkError::DispatchFailure(failure) if failure.as_connector_error().is_some_and(|e| never_left(e)) => {
            Sent::Refused(Refusal::Away(causes()))
        }
        SdkError::ServiceError(refused) => refusal(refused.raw().status().as_u16(), refused.err()),
        _ => Sent::Unknown(causes()),
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
fn refusal(status: u16, error: &SendBulkEmailError) -> Sent {
    let message = words(error.message().unwrap_or_default());
    let Some(code) = error.code() else { return Sent::Unknown(format!("status {status} without a code")) };
    let said = if message.is_empty() { code.to_owned() } else { format!("{code}: {message}") };
    // 408 is of whoever waited for the request, and says nothing of what came of it.
    if !(400..500).contains(&status) || status == 408 {
        return Sent::Unknown(said);
    }
    // It has been seen under both codes, and only SES's words tell: the day's quota is no throttle, and must not cut the rate.
    if message.contains("Daily message quota") {
        return Sent::Refused(Refusal::Stopped(said));
    }
    Sent::Refused(match error {
        SendBulkEmailError::TooManyRequestsException(_) => Refusal::Throttled,
        _ if status == 429 || THROTTLES.contains(&code) => Refusal::Throttled,
        // The template is the same for all.
        SendBulkEmailError::BadRequestException(_) if message.contains("emplate") => Refusal::Stopped(said),
        SendBulkEmailError::BadRequestException(_) | SendBulkEmailError::MessageRejected(_) => {
            Refusal::Spoiled(said)
        }
        _ if INVALID.contains(&code) => Refusal::Spoiled(said),
        // The account, the sender, credentials, permissions, and what is new: SES looked at the call and refused it.
        _ => Refusal::Stopped(said),
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

    use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
    use aws_sdk_sesv2::{
        Client, Config,
        config::{BehaviorVersion, Region, retry::RetryConfig, timeout::TimeoutConfig},
        types::{BulkEmailContent, BulkEmailEntry, Template},
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };

    use super::*;

    /// What a call to `endpoint` comes to, by the client that the function has.
    async fn called(endpoint: &str, credentials: Option<Credentials>) -> Sent {
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
            None => config.credentials_provider(SharedCredentialsProvider::new(Nobody)),
        };
        let content = BulkEmailContent::builder().template(Template::builder().build()).build();
        let request = Client::from_conf(config.build())
            .send_bulk_email()
            .default_content(content)
            .bulk_email_entries(BulkEmailEntry::builder().build());
        match request.send().await {
            Ok(output) => answered(&output, 1),
            Err(error) => failed(&error),
        }
    }

    /// Has no credentials.
    #[derive(Debug)]
    struct Nobody;

    impl aws_credential_types::provider::ProvideCredentials for Nobody {
        fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            let none = Err(CredentialsError::not_loaded("there are none"));
            aws_credential_types::provider::future::ProvideCredentials::ready(none)
        }
    }

    fn somebody() -> Option<Credentials> {
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

    async fn said(status: u16, code: &str, message: &str) -> Sent {
        let body = serde_json::json!({ "message": message }).to_string();
        let kind = if code.is_empty() { String::new() } else { format!("x-amzn-errortype: {code}\r\n") };
        let head =
            format!("HTTP/1.1 {status} X\r\n{kind}content-length: {}\r\nconnection: close", body.len());
        called(&ses(Some(format!("{head}\r\n\r\n{body}"))).await, somebody()).await
    }

    /// The kind of an outcome, in a word.
    fn kind(sent: &Sent) -> &'static str {
        match sent {
            Sent::Answered(_) => "answered",
            Sent::Unknown(_) => "in doubt",
            Sent::Refused(Refusal::Throttled) => "throttled",
            Sent::Refused(Refusal::Away(_)) => "away",
            Sent::Refused(Refusal::Stopped(_)) => "stopped",
            Sent::Refused(Refusal::Spoiled(_)) => "spoiled",
        }
    }

    #[tokio::test]
    async fn what_ses_says_of_a_whole_call_is_told_by_its_status_and_code() {
        for (status, code, message, expected) in [
            (400, "BadRequestException", "Domain contains illegal character", "spoiled"),
            (400, "MessageRejected", "", "spoiled"),
            (400, "InvalidParameterValue", "", "spoiled"),
            (400, "ValidationException", "", "spoiled"),
            (400, "BadRequestException", "Template contains unsupported operations.", "stopped"),
            (429, "TooManyRequestsException", "Maximum sending rate exceeded.", "throttled"),
            (400, "ThrottlingException", "Rate exceeded", "throttled"),
            (429, "Unheard", "", "throttled"),
            (429, "TooManyRequestsException", "Daily message quota exceeded.", "stopped"),
            (400, "LimitExceededException", "Daily message quota exceeded.", "stopped"),
            (400, "AccountSuspendedException", "", "stopped"),
            (400, "MailFromDomainNotVerifiedException", "", "stopped"),
            (404, "NotFoundException", "", "stopped"),
            (400, "SendingPausedException", "", "stopped"),
            (403, "AccessDeniedException", "", "stopped"),
            (403, "SignatureDoesNotMatch", "", "stopped"),
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
            ("refused", format!("http://{closed}"), somebody(), "away"),
            // It takes the connection and says nothing of TLS.
            ("no TLS", ses(None).await.replace("http:", "https:"), somebody(), "away"),
            ("no credentials", format!("http://{closed}"), None, "away"),
            ("closed after the request", ses(Some(String::new())).await, somebody(), "in doubt"),
            (
                "half an answer",
                ses(Some("HTTP/1.1 200 OK\r\nconte".to_owned())).await,
                somebody(),
                "in doubt",
            ),
            ("no answer", ses(None).await, somebody(), "in doubt"),
            (
                "no JSON",
                ses(Some("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{".to_owned())).await,
                somebody(),
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
        let Sent::Refused(Refusal::Spoiled(words)) = sent else { panic!("{sent:?}") };
        assert_eq!(words, "MessageRejected: Not verified: … in EU");
    }

    #[test]
    fn every_status_of_a_recipient_has_its_fate() {
        use BulkEmailStatus as S;
        for (status, expected) in [
            (S::Success, Fate::Accepted),
            (S::AccountThrottled, Fate::Again(Refusal::Throttled)),
            (S::TransientFailure, Fate::Again(Refusal::Away("TRANSIENT_FAILURE".to_owned()))),
            (S::MessageRejected, Fate::Rejected("MESSAGE_REJECTED".to_owned())),
            (S::Failed, Fate::Again(Refusal::Away("FAILED".to_owned()))),
            (S::InvalidParameter, Fate::Rejected("INVALID_PARAMETER".to_owned())),
            (S::from("INVALID_PARAMETER_VALUE"), Fate::Rejected("INVALID_PARAMETER_VALUE".to_owned())),
            (
                S::AccountDailyQuotaExceeded,
                Fate::Again(Refusal::Stopped("ACCOUNT_DAILY_QUOTA_EXCEEDED".to_owned())),
            ),
            (S::TemplateNotFound, Fate::Again(Refusal::Stopped("TEMPLATE_NOT_FOUND".to_owned()))),
            (S::from("NEW_STATUS"), Fate::Again(Refusal::Away("NEW_STATUS".to_owned()))),
        ] {
            assert_eq!(fate(Some(&status), None), expected);
        }
    }
}
