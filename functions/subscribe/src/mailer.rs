//! The emails that this function sends, one at a time: they go through `SendEmail`, beside the slots that fan-outs reserve
//! (`RESERVED_PERCENT` of `notify` leaves room for them). A call is not repeated: SES has no idempotency token, and the person
//! can ask again.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sesv2::Client;
use aws_sdk_sesv2::error::{BuildError, ProvideErrorMetadata as _};
use aws_sdk_sesv2::operation::send_email::builders::SendEmailFluentBuilder;
use aws_sdk_sesv2::types::{Body, Content, Destination, EmailContent, Message, MessageHeader, MessageTag};
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use domain::Address;
use domain::mail::{self, Letter};

/// How long SES may take. The person waits for the answer meanwhile.
const CALL: Duration = Duration::from_secs(5);

/// SES, and the shop in whose name it sends.
pub(crate) struct Mailer {
    client: Client,
    from: String,
    configuration_set: Option<String>,
}

/// An email that SES did not take, or of which it is not known whether it did.
#[derive(Debug, thiserror::Error)]
#[error("SES does not take an email: {0}")]
pub(crate) struct NotSent(String);

impl Mailer {
    pub(crate) fn new(
        aws: &SdkConfig,
        shop: &str,
        sender: &Address,
        configuration_set: Option<String>,
    ) -> Self {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(2))
            .operation_attempt_timeout(CALL)
            .operation_timeout(CALL)
            .build();
        let ses = aws_sdk_sesv2::config::Builder::from(aws)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Self { client: Client::from_conf(ses), from: mail::from_header(shop, sender), configuration_set }
    }

    /// Sends a letter. `kind` is its tag of that name, by which SES's events tell it from the others; `headers` are further
    /// headers of it.
    ///
    /// # Errors
    /// SES's code, never its words: they may hold the address.
    pub(crate) async fn send(
        &self,
        to: &Address,
        letter: &Letter,
        kind: &str,
        headers: &[(&str, &str)],
    ) -> Result<(), NotSent> {
        let request = self.request(to, letter, kind, headers).map_err(|error| NotSent(error.to_string()))?;
        let sent = request.send().await;
        sent.map(drop).map_err(|error| NotSent(error.code().unwrap_or("no answer").to_owned()))
    }

    fn request(
        &self,
        to: &Address,
        letter: &Letter,
        kind: &str,
        headers: &[(&str, &str)],
    ) -> Result<SendEmailFluentBuilder, BuildError> {
        let text = |text: &str| Content::builder().data(text).charset("UTF-8").build();
        let body = Body::builder().text(text(&letter.text)?).html(text(&letter.html)?).build();
        let mut message = Message::builder().subject(text(&letter.subject)?).body(body);
        for (name, value) in headers {
            message = message.headers(MessageHeader::builder().name(*name).value(*value).build()?);
        }
        Ok(self
            .client
            .send_email()
            .from_email_address(&self.from)
            .set_configuration_set_name(self.configuration_set.clone())
            .destination(Destination::builder().to_addresses(to.reveal()).build())
            .content(EmailContent::builder().simple(message.build()).build())
            .email_tags(MessageTag::builder().name("kind").value(kind).build()?))
    }
}
