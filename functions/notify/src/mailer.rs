//! SES: one `SendBulkEmail` call, and what came of it. There are no retries here: SES has no
//! idempotency token, so a call that may have left must not be repeated by anybody who does not
//! write that down.

use std::time::Duration;

use crate::{Config, deliver::Addressee};
use aws_config::SdkConfig;
use aws_sdk_sesv2::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{
        get_account::GetAccountError,
        send_bulk_email::{SendBulkEmailError, SendBulkEmailOutput},
    },
    types::{
        BulkEmailContent, BulkEmailEntry, BulkEmailStatus, Destination, EmailTemplateContent, MessageHeader,
        MessageTag, ReplacementEmailContent, ReplacementTemplate, Template,
    },
};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use base64::{Engine, engine::general_purpose::STANDARD};
use domain::{
    Position,
    budget::Rate,
    job::Job,
    mail::{self, Layout, Offer, Recipient, Shop},
    unsubscribe::{Key, Ticket},
};

/// The longest a call to SES may take.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// SES, with the shop that mails.
pub(crate) struct Mailer {
    client: Client,
    sender: String,
    configuration_set: Option<String>,
    shop: Shop,
    key: Key,
}

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

/// Asking SES for the account's rate failed.
#[derive(Debug, thiserror::Error)]
#[error("SES does not tell the account's send rate: {said}")]
pub(crate) struct NoRate {
    said: String,
    denied: bool,
}

impl NoRate {
    /// Whether only a person can mend it; else it passes.
    pub(crate) fn needs_a_person(&self) -> bool {
        self.denied
    }
}

impl Mailer {
    pub(crate) fn new(aws: &SdkConfig, config: &Config) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_timeout(CALL_TIMEOUT)
            .build();
        let ses = aws_sdk_sesv2::config::Builder::from(aws)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Self {
            client: Client::from_conf(ses),
            sender: sender(&config.shop.name, config.sender.reveal()),
            configuration_set: config.configuration_set.clone(),
            shop: config.shop.clone(),
            key: config.key.clone(),
        }
    }

    pub(crate) fn shop(&self) -> &Shop {
        &self.shop
    }

    /// The rate that the account may send at.
    pub(crate) async fn account_rate(&self) -> Result<Rate, NoRate> {
        let patient = aws_sdk_sesv2::config::Builder::new().retry_config(RetryConfig::standard());
        let asked = self.client.get_account().customize().config_override(patient).send().await;
        let account = asked.map_err(|error: SdkError<GetAccountError>| NoRate {
            denied: error.code().is_some_and(|code| code.contains("AccessDenied")),
            said: error.code().map_or_else(|| platform::causes(&error).to_string(), str::to_owned),
        })?;
        let rate = account.send_quota().map(|quota| quota.max_send_rate()).and_then(Rate::new);
        rate.ok_or_else(|| NoRate { said: "the account has none".to_owned(), denied: true })
    }

    /// Mails everybody in `call` of the offer, in one call of at most 50.
    pub(crate) async fn send(&self, job: &Job, offer: &Offer, call: &[(Position, Addressee)]) -> Sent {
        let request = match self.request(job, offer, call) {
            Ok(request) => request,
            Err(error) => {
                return Sent::Refused(Refusal::Stopped(format!("the call cannot be built: {error}")));
            }
        };
        match request.send().await {
            Ok(output) => answered(&output, call.len()),
            Err(error) => failed(&error),
        }
    }

    fn request(
        &self,
        job: &Job,
        offer: &Offer,
        call: &[(Position, Addressee)],
    ) -> Result<
        aws_sdk_sesv2::operation::send_bulk_email::builders::SendBulkEmailFluentBuilder,
        aws_sdk_sesv2::error::BuildError,
    > {
        let shared = call.first().map(|(_, entry)| entry.locale.clone()).unwrap_or_default();
        let layout = Layout::of(offer);
        let layout = EmailTemplateContent::builder()
            .subject(layout.subject)
            .text(layout.text)
            .html(layout.html)
            .build();
        let data = json(&mail::shared_data(offer, &self.shop, &shared));
        let template = Template::builder().template_content(layout).template_data(data).build();
        let mut request = self
            .client
            .send_bulk_email()
            .from_email_address(&self.sender)
            .set_configuration_set_name(self.configuration_set.clone())
            .default_content(BulkEmailContent::builder().template(template).build())
            .default_email_tags(tag("restock", &job.restock_id.tag())?)
            .default_email_tags(tag("shard", &job.shard.to_string())?);
        for (position, entry) in call {
            request = request.bulk_email_entries(self.entry(job, offer, &shared, *position, entry)?);
        }
        Ok(request)
    }

    fn entry(
        &self,
        job: &Job,
        offer: &Offer,
        shared: &domain::Locale,
        position: Position,
        entry: &Addressee,
    ) -> Result<BulkEmailEntry, aws_sdk_sesv2::error::BuildError> {
        let ticket = Ticket { product: job.product_id.clone(), shard: job.shard, position };
        let link = self.shop.unsubscribe_url.replace("{token}", &ticket.sign(&self.key));
        let recipient =
            Recipient { locale: &entry.locale, name: entry.name.as_deref(), unsubscribe_url: &link };
        let data = json(&mail::recipient_data(offer, &self.shop, &recipient, shared));
        let template = ReplacementTemplate::builder().replacement_template_data(data).build();
        // RFC 8058: what bulk senders need for one-click unsubscribe.
        let link = MessageHeader::builder().name("List-Unsubscribe").value(format!("<{link}>")).build()?;
        let one_click = MessageHeader::builder()
            .name("List-Unsubscribe-Post")
            .value("List-Unsubscribe=One-Click")
            .build()?;
        Ok(BulkEmailEntry::builder()
            .destination(Destination::builder().to_addresses(entry.address.reveal()).build())
            .replacement_email_content(
                ReplacementEmailContent::builder().replacement_template(template).build(),
            )
            .replacement_headers(link)
            .replacement_headers(one_click)
            .build())
    }
}

/// Values as SES takes them. Their `Display` says the same and takes three times as long.
fn json(values: &serde_json::Map<String, serde_json::Value>) -> String {
    // There is nothing in them that JSON cannot hold.
    serde_json::to_string(values).unwrap_or_default()
}

/// The From header: the shop's name and the address. A name that is not plain words is written in encoded words
/// (RFC 2047), which SES asks for.
fn sender(name: &str, address: &str) -> String {
    if name.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ') {
        return format!("{name} <{address}>");
    }
    let mut words = vec![String::new()];
    for c in name.chars() {
        match words.last_mut() {
            Some(word) if word.len() + c.len_utf8() <= ENCODED_WORD_BYTES => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    let words: Vec<String> =
        words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect();
    format!("{} <{address}>", words.join(" "))
}

/// What fits into an encoded word: at most 75 characters (RFC 2047, section 2), 12 of them its frame, in base 64.
const ENCODED_WORD_BYTES: usize = 45;

/// A message tag; SES takes letters, digits, `_` and `-` in its value.
fn tag(name: &str, value: &str) -> Result<MessageTag, aws_sdk_sesv2::error::BuildError> {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    MessageTag::builder().name(name).value(value.chars().map(fits).collect::<String>()).build()
}

fn answered(output: &SendBulkEmailOutput, asked: usize) -> Sent {
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

fn failed<R: std::fmt::Debug + Send + Sync + 'static>(error: &SdkError<SendBulkEmailError, R>) -> Sent {
    let causes = || platform::causes(error).to_string();
    match error {
        SdkError::ConstructionFailure(_) => Sent::Refused(Refusal::Stopped(causes())),
        SdkError::DispatchFailure(failure) if failure.as_connector_error().is_some_and(|e| never_left(e)) => {
            Sent::Refused(Refusal::Away(causes()))
        }
        SdkError::ServiceError(refused) => {
            let code = refused.err().code().unwrap_or("error without a code").to_owned();
            let message = words(refused.err().message().unwrap_or_default());
            let said = if message.is_empty() { code.clone() } else { format!("{code}: {message}") };
            match refused.err() {
                // It has been seen under both codes: the day's quota is no throttle, and must not cut the rate.
                _ if message.contains("Daily message quota") => Sent::Refused(Refusal::Stopped(said)),
                SendBulkEmailError::TooManyRequestsException(_) => Sent::Refused(Refusal::Throttled),
                SendBulkEmailError::BadRequestException(_) if message.contains("emplate") => {
                    Sent::Refused(Refusal::Stopped(said))
                }
                SendBulkEmailError::BadRequestException(_) | SendBulkEmailError::MessageRejected(_) => {
                    Sent::Refused(Refusal::Spoiled(said))
                }
                _ if code.contains("Throttl") => Sent::Refused(Refusal::Throttled),
                SendBulkEmailError::AccountSuspendedException(_)
                | SendBulkEmailError::LimitExceededException(_)
                | SendBulkEmailError::MailFromDomainNotVerifiedException(_)
                | SendBulkEmailError::NotFoundException(_)
                | SendBulkEmailError::SendingPausedException(_) => Sent::Refused(Refusal::Stopped(said)),
                // Credentials, permissions, unknown 4xx: SES looked at the call and refused it.
                _ if code.ends_with("Exception") && !code.starts_with("Internal") => {
                    Sent::Refused(Refusal::Stopped(said))
                }
                _ => Sent::Unknown(said),
            }
        }
        _ => Sent::Unknown(causes()),
    }
}

/// Whether a call that could not be dispatched certainly did not reach SES: no connection came
/// about. A time-out while connecting counts; one after that does not.
fn never_left(failure: &(dyn std::error::Error + 'static)) -> bool {
    let mut cause = Some(failure);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::ConnectionRefused;
        }
        if error.to_string().contains("connect timeout") {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_come_in_the_shops_name_whatever_its_letters() {
        assert_eq!(sender("Corner Shop", "a@example.com"), "Corner Shop <a@example.com>");
        assert_eq!(sender("Käse & Co", "a@example.com"), "=?UTF-8?B?S8Okc2UgJiBDbw==?= <a@example.com>");
        let long = "Käsekaufhaus für große und kleine Mäuse in Köln und Düsseldorf";
        let header = sender(long, "a@example.com");
        let words: Vec<&str> = header.split(' ').take_while(|word| word.starts_with("=?")).collect();
        assert!(words.len() > 1 && words.iter().all(|word| word.len() <= 75), "{header}");
        let decoded = words.iter().map(|word| {
            let text = word.trim_start_matches("=?UTF-8?B?").trim_end_matches("?=");
            String::from_utf8(STANDARD.decode(text).unwrap_or_default()).unwrap_or_default()
        });
        assert_eq!(decoded.collect::<String>(), long);
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
