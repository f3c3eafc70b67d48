//! A client that lists topics and makes them, with every login that a [`super::Publisher`] has. Functions need none: it
//! is for the operator's program.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{self, AdminClient, AdminOptions, TopicReplication};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::by_token::{ByToken, ByTokenError};
use super::context::{Context, LastError};
use super::msk_iam::Signer;
use super::security::Mode;
use super::{ClientError, KafkaConfig};

/// A topic to make.
#[derive(Debug, Clone, Copy)]
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its number of partitions.
    pub partitions: i32,
    /// Copies of each.
    pub copies: i32,
    /// Settings of its own.
    pub settings: &'a [(&'a str, &'a str)],
}

/// What is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// How many brokers.
    pub brokers: usize,
    /// Every topic with its number of partitions.
    pub topics: Vec<(String, usize)>,
}

/// Why topics are not known or not made.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The settings make no client.
    #[error("the settings make no client")]
    Client(#[from] ClientError),
    /// The brokers do not answer.
    #[error("Kafka does not answer")]
    Request(#[source] KafkaError),
    /// The same with MSK's IAM login.
    #[error("Kafka does not answer")]
    ByToken(#[source] ByTokenError),
    /// A topic was refused.
    #[error("{0}")]
    Refused(String),
}

impl From<ByTokenError> for AdminError {
    fn from(error: ByTokenError) -> Self {
        match error {
            ByTokenError::Refused { .. } => Self::Refused(error.to_string()),
            other => Self::ByToken(other),
        }
    }
}

/// A client that asks for topics and makes them.
pub struct Admin {
    way: Way,
    limit: Duration,
}

enum Way {
    Library(Arc<AdminClient<Context>>),
    ByToken(Box<ByToken>),
}

impl Admin {
    /// A client of `kafka` whose every request ends within about `limit`. `signer` is needed for MSK's IAM login and not used for
    /// any other.
    ///
    /// # Errors
    /// When the settings make no client. Brokers are not asked yet.
    pub fn new(kafka: &KafkaConfig, signer: Option<Signer>, limit: Duration) -> Result<Self, AdminError> {
        if kafka.security.mode() == Mode::MskIam {
            let signer = signer.ok_or(ClientError::NoSigner)?;
            let way = Way::ByToken(Box::new(ByToken::new(kafka, signer, limit)?));
            return Ok(Self { way, limit });
        }
        let context = Context::new(&kafka.security, None, LastError::default());
        let client = kafka.client_config().create_with_context(context).map_err(ClientError::from)?;
        Ok(Self { way: Way::Library(Arc::new(client)), limit })
    }

    /// Looks at what is there.
    ///
    /// # Errors
    /// Any of [`AdminError`] but [`AdminError::Refused`].
    pub async fn look(&self) -> Result<Seen, AdminError> {
        let client = match &self.way {
            Way::Library(client) => client.clone(),
            Way::ByToken(client) => {
                let (brokers, topics) = client.look().await?;
                return Ok(Seen { brokers, topics });
            }
        };
        let limit = self.limit;
        let looked = tokio::task::spawn_blocking(move || client.inner().fetch_metadata(None, limit)).await;
        let metadata = looked.unwrap_or(Err(KafkaError::Canceled)).map_err(AdminError::Request)?;
        let topics =
            metadata.topics().iter().map(|topic| (topic.name().to_owned(), topic.partitions().len()));
        Ok(Seen { brokers: metadata.brokers().len(), topics: topics.collect() })
    }

    /// Makes a topic, and gives whether it was not there before.
    ///
    /// # Errors
    /// Any of [`AdminError`].
    pub async fn create(&self, topic: &NewTopic<'_>) -> Result<bool, AdminError> {
        let client = match &self.way {
            Way::Library(client) => client,
            Way::ByToken(client) => return Ok(client.create(topic).await?),
        };
        let copies = TopicReplication::Fixed(topic.copies);
        let new = admin::NewTopic::new(topic.name, topic.partitions, copies);
        let new = topic.settings.iter().fold(new, |new, (name, value)| new.set(name, value));
        let options =
            AdminOptions::new().operation_timeout(Some(self.limit)).request_timeout(Some(self.limit));
        let created = client.create_topics([&new], &options).await.map_err(AdminError::Request)?;
        match created.into_iter().next() {
            Some(Ok(_)) => Ok(true),
            Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
            Some(Err((_, code))) => Err(AdminError::Refused(code.to_string())),
            None => Err(AdminError::Request(KafkaError::Canceled)),
        }
    }
}
