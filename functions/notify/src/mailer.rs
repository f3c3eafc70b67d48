//! SES: one `SendBulkEmail` call, and what came of it. There are no retries here: SES has no
//! idempotency token, so a call that may have left must not be repeated by a worker that does not
//! write that down.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sesv2::operation::RequestId;
use aws_sdk_sesv2::operation::get_account::GetAccountError;
use aws_sdk_sesv2::types::{
    BulkEmailContent, BulkEmailEntry, Destination, EmailTemplateContent, MessageHeader, MessageTag,
    ReplacementEmailContent, ReplacementTemplate, Template,
};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use domain::alert::{FOOT_LINK, NO_TOKEN};
use domain::budget::Rate;
use domain::delivery::{Announced, CALL_TIMEOUT, CallOutcome, Refusal};
use domain::job::Job;
use domain::link::Manage;
use domain::mail::{self, Layout, Offer, Recipient, Shop};
use domain::unsubscribe::{Key, Ticket};
use domain::{PersonId, Place, Position};
use lambda::clock;
use store::waitlist::Addressee;

use crate::Config;

mod outcome;

/// How long SES may have been silent before its connections are tried with a call that may be repeated. By the wall clock: the
/// pool's own clock stands still while Lambda freezes the function.
const SILENCE: Duration = Duration::from_secs(20);
/// The longest that is waited for that.
const GREETING: Duration = Duration::from_secs(3);
/// How long one attempt of a question that may be repeated may take.
const QUESTION: Duration = Duration::from_secs(3);

/// SES, and the shop in whose name it sends.
pub(crate) struct Mailer {
    client: Client,
    sender: String,
    configuration_set: Option<String>,
    shop: Shop,
    key: Key,
    /// When SES last answered, in Unix milliseconds; 0: never, so that there is no connection yet.
    heard_ms: AtomicU64,
    /// Whether it was said that the account is in the sandbox: once a start is enough.
    sandbox_said: AtomicBool,
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
            // There is one attempt; left out, the table's time-out of an attempt would hold.
            .operation_attempt_timeout(CALL_TIMEOUT)
            .operation_timeout(CALL_TIMEOUT)
            .build();
        let ses = aws_sdk_sesv2::config::Builder::from(aws)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Self {
            client: Client::from_conf(ses),
            sender: mail::from_header(&config.shop.name, &config.sender),
            configuration_set: config.configuration_set.clone(),
            shop: config.shop.clone(),
            key: config.key.clone(),
            heard_ms: AtomicU64::new(0),
            sandbox_said: AtomicBool::new(false),
        }
    }

    pub(crate) fn shop(&self) -> &Shop {
        &self.shop
    }

    /// The rate that the account may send at.
    pub(crate) async fn account_rate(&self) -> Result<Rate, NoRate> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(QUESTION)
            .operation_timeout(CALL_TIMEOUT)
            .build();
        let patient = aws_sdk_sesv2::config::Builder::new()
            .retry_config(RetryConfig::standard())
            .timeout_config(timeouts);
        let asked = self.client.get_account().customize().config_override(patient).send().await;
        self.heard(&asked);
        let account = asked.map_err(|error: SdkError<GetAccountError>| NoRate {
            denied: error.code().is_some_and(|code| code.contains("AccessDenied")),
            said: error.code().map_or_else(|| lambda::error_chain(&error).to_string(), str::to_owned),
        })?;
        // No reason to stop: SES refuses those who are not verified, and no entry is consumed for that (`domain::delivery`).
        if !account.production_access_enabled() && !self.sandbox_said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the account is in the SES sandbox (ProductionAccessEnabled: false): SES accepts verified recipients only; all \
                 others keep waiting until the account has production access"
            );
        }
        let rate = account.send_quota().map(|quota| quota.max_send_rate()).and_then(Rate::new);
        rate.ok_or_else(|| NoRate { said: "the account has none".to_owned(), denied: true })
    }

    /// Makes sure of a living connection where SES was silent for long. A function that thaws has connections that died while it
    /// was frozen, and whatever is sent on one of them is in doubt: better a question that may be repeated than a call that may
    /// not. What SES answers does not matter, nor whether it does: the call that follows says so.
    pub(crate) async fn greet(&self) {
        if is_silent(self.heard_ms.load(Ordering::Relaxed), clock::now_ms()) {
            let _ = tokio::time::timeout(GREETING, self.account_rate()).await;
        }
    }

    /// Notes that SES answered, if it did.
    fn heard<T, E, R>(&self, asked: &Result<T, SdkError<E, R>>) {
        if matches!(asked, Ok(_) | Err(SdkError::ServiceError(_))) {
            self.heard_ms.store(clock::now_ms(), Ordering::Relaxed);
        }
    }

    /// Sends the offer to the recipients of a call that was announced, at most 50.
    pub(crate) async fn send(
        &self,
        job: &Job,
        offer: &Offer,
        announced: Announced<'_, Addressee>,
    ) -> CallOutcome {
        let call = announced.into_recipients();
        let request = match self.request(job, offer, call) {
            Ok(request) => request,
            Err(error) => {
                return CallOutcome::NotSent(Refusal::Suspended(format!(
                    "the call cannot be built: {error}"
                )));
            }
        };
        let asked = request.send().await;
        self.heard(&asked);
        let request_id = asked.request_id().unwrap_or_default();
        match &asked {
            Ok(output) => {
                tracing::debug!(request_id, count = call.len(), "SES answered a call");
                outcome::completed(output, call.len())
            }
            Err(error) => {
                let sent = outcome::failed(error);
                tracing::warn!(request_id, count = call.len(), outcome = ?sent, "SES did not take a call");
                sent
            }
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
        let layout = Layout::of(offer, &self.shop);
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
            .default_email_tags(tag("shard", &job.shard.tag())?);
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
        let alerts = self.shop.alerts_url.replace("{token}", &self.alerts_token(entry.person));
        let recipient = Recipient {
            locale: &entry.locale,
            name: entry.name.as_deref(),
            unsubscribe_url: &link,
            alerts_url: &alerts,
        };
        let data = json(&mail::recipient_data(offer, &self.shop, &recipient, shared));
        let template = ReplacementTemplate::builder().replacement_template_data(data).build();
        // RFC 8058: what bulk senders need for one-click unsubscribe.
        let link = MessageHeader::builder().name("List-Unsubscribe").value(format!("<{link}>")).build()?;
        let one_click = MessageHeader::builder()
            .name("List-Unsubscribe-Post")
            .value("List-Unsubscribe=One-Click")
            .build()?;
        // The restock once more: it is not documented whether an entry's tags come to those of the call, or replace them.
        let mut tags = vec![tag("restock", &job.restock_id.tag())?];
        let place = Place { product: ticket.product, shard: ticket.shard, position };
        for (name, value) in place.tags() {
            tags.push(tag(name, &value)?);
        }
        Ok(BulkEmailEntry::builder()
            .destination(Destination::builder().to_addresses(entry.address.reveal()).build())
            .set_replacement_tags(Some(tags))
            .replacement_email_content(
                ReplacementEmailContent::builder().replacement_template(template).build(),
            )
            .replacement_headers(link)
            .replacement_headers(one_click)
            .build())
    }

    /// The token of the link to a person's alerts.
    fn alerts_token(&self, person: Option<PersonId>) -> String {
        match person {
            Some(person) => Manage::lasting(person, clock::now(), FOOT_LINK).sign(&self.key),
            None => NO_TOKEN.to_owned(),
        }
    }
}

/// Whether SES, last heard then, was silent for so long that its connections may be dead. Where it never answered there are none.
fn is_silent(heard_ms: u64, now_ms: u64) -> bool {
    heard_ms > 0 && u128::from(now_ms.saturating_sub(heard_ms)) > SILENCE.as_millis()
}

/// Values as SES takes them. Their `Display` says the same and takes three times as long.
fn json(values: &serde_json::Map<String, serde_json::Value>) -> String {
    #[expect(
        clippy::expect_used,
        reason = "a map of JSON values; an empty text would be an email without its words"
    )]
    serde_json::to_string(values).expect("JSON values are JSON")
}

/// A message tag; SES takes letters, digits, `_` and `-` in its value.
fn tag(name: &str, value: &str) -> Result<MessageTag, aws_sdk_sesv2::error::BuildError> {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    MessageTag::builder().name(name).value(value.chars().map(fits).collect::<String>()).build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_tried_after_twenty_seconds_of_silence_and_not_before_the_first_call() {
        assert!(!is_silent(0, 1_000_000));
        assert!(!is_silent(1_000_000, 1_020_000));
        assert!(is_silent(1_000_000, 1_020_001));
        assert!(!is_silent(1_000_000, 999_000), "a clock that was set back");
    }
}
