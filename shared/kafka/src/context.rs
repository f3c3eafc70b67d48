//! The callbacks of a Kafka client. They keep the last error for the error that follows from it,
//! and sign the tokens of MSK's IAM login.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use secrecy::ExposeSecret;
use tokio::sync::oneshot;

use super::Written;
use super::broker_error::{BrokerError, BrokerErrorKind};
use super::msk_iam::{Signer, TokenError};
use super::security::{Mode, Security};

/// Fraction of a token's lifetime that is reported to librdkafka: a third.
///
/// It signs anew at 80 % of that, by the wall clock, which it looks at each second. A frozen sandbox
/// looks at nothing. With a third, a token that was in use is still good after a freeze of ten
/// minutes; after a longer one the first connection may be refused once, and is made again with a
/// new token within about a second, long before the delivery's time is up.
const LIFETIME_SHARE: u32 = 3;

/// The last error of a client's brokers, shared by the client and its callbacks.
#[derive(Clone, Default)]
pub(super) struct LastError(Arc<Mutex<Option<BrokerError>>>);

impl LastError {
    /// The last one since something succeeded.
    pub(super) fn get(&self) -> Option<BrokerError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Something succeeded: what went wrong before is over. It is kept until then, and not for a
    /// time: librdkafka says the same only once in 30 s.
    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn set(&self, error: BrokerError) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A lost connection often only follows from what is known already.
        let tells = |error: &BrokerError| error.kind() != BrokerErrorKind::Connection;
        if tells(&error) || !last.as_ref().is_some_and(tells) {
            *last = Some(error);
        }
    }
}

/// The callbacks. They run on the client's own threads.
#[derive(Clone)]
pub(super) struct Context {
    mode: Mode,
    region: Option<String>,
    signer: Option<Signer>,
    last_error: LastError,
}

impl Context {
    pub(super) fn new(security: &Security, signer: Option<Signer>, last_error: LastError) -> Self {
        Self { mode: security.mode(), region: security.region().map(str::to_owned), signer, last_error }
    }

    fn token(&self) -> Result<OAuthToken, TokenError> {
        let (Some(signer), Some(region)) = (&self.signer, &self.region) else {
            return Err(TokenError::NoSigner);
        };
        let token = signer.token(region)?;
        // By the real clock, whichever the signer goes by: this is for librdkafka's timer.
        let lasts = signer.validity() / LIFETIME_SHARE;
        let until = lambda::clock::now_ms() + u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        Ok(OAuthToken {
            token: token.expose_secret().to_owned(),
            // MSK takes the principal from the signature; this is for librdkafka's own lines.
            principal_name: "notify-me".to_owned(),
            lifetime_ms: i64::try_from(until).unwrap_or(i64::MAX),
        })
    }
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Not every broken connection is also an error to librdkafka.
        if facility == "FAIL" {
            self.last_error.set(BrokerError::parse(self.mode, message));
        }
        tracing::debug!(?level, facility, "{}", BrokerError::parse(self.mode, message).message());
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // The first only follows from the others; the second is about the client and not about the way to the brokers.
        let tells = !matches!(
            error.rdkafka_error_code(),
            Some(RDKafkaErrorCode::AllBrokersDown | RDKafkaErrorCode::Fatal)
        );
        if tells {
            self.last_error.set(BrokerError::parse(self.mode, reason));
        }
    }

    fn generate_oauth_token(&self, _: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        // librdkafka passes on the first line of an error, so it gets the causes in one.
        self.token().map_err(|error| lambda::error_chain(&error).to_string().into())
    }
}

impl ProducerContext for Context {
    type DeliveryOpaque = Box<oneshot::Sender<Result<Written, KafkaError>>>;

    fn delivery(&self, delivered: &DeliveryResult<'_>, tell: Self::DeliveryOpaque) {
        let written = match delivered {
            Ok(message) => Ok(Written { partition: message.partition(), offset: message.offset() }),
            Err((error, _)) => Err(error.clone()),
        };
        // The receiver may be gone.
        let _ = tell.send(written);
    }
}
