//! Topics on a Kafka that wants MSK's IAM login, spoken by hand: rdkafka's `AdminClient` looks at no queue but its own
//! (`start_poll_thread`), so that the event with which librdkafka asks for a token is never answered there.
//!
//! Few requests are needed, each in a version that brokers from Kafka 2.4 to 4.1 have and that has no tagged fields: SaslHandshake 1,
//! SaslAuthenticate 1, Metadata 4, CreateTopics 4. Their forms: "The messages" of the protocol's guide; what is in the login:
//! RFC 7628, section 3.1.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::KafkaConfig;
use super::admin::NewTopic;
use super::msk_iam::Signer;

const METADATA: (i16, i16) = (3, 4);
const SASL_HANDSHAKE: (i16, i16) = (17, 1);
const CREATE_TOPICS: (i16, i16) = (19, 4);
const SASL_AUTHENTICATE: (i16, i16) = (36, 1);
const TOPIC_ALREADY_EXISTS: i16 = 36;
/// Longer answers are no broker's.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Why a broker did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ByTokenError {
    /// No broker can be reached, or the connection broke.
    #[error("the broker cannot be reached")]
    Connection(#[from] io::Error),
    /// No certificate of a CA is known here, or there is no TLS with them.
    #[error("no TLS connection can be set up with the known CA certificates")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// No token could be made.
    #[error("no token could be made to log in with")]
    Token(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The broker refused the token.
    #[error("the broker refused the token: expired, for another region, or without the right to connect")]
    Login,
    /// What came is no answer.
    #[error("the broker's answer is not understood")]
    Answer,
    /// A topic was refused.
    #[error("{message} (error {code} of Kafka's protocol)")]
    Refused {
        /// The protocol's number.
        code: i16,
        /// The broker's own words.
        message: String,
    },
}

/// What a cluster says of itself.
#[derive(Debug, PartialEq, Eq)]
struct Cluster {
    /// Ids, hosts and ports.
    brokers: Vec<(i32, String, u16)>,
    controller: i32,
    /// Names and numbers of partitions.
    topics: Vec<(String, usize)>,
}

/// The client's name in each request.
pub(super) struct ByToken {
    servers: String,
    region: String,
    signer: Signer,
    tls: TlsConnector,
    limit: Duration,
}

impl ByToken {
    /// `limit` is how long one request may take, from the connection on.
    ///
    /// # Errors
    /// [`ByTokenError::Tls`].
    pub(super) fn new(kafka: &KafkaConfig, signer: Signer, limit: Duration) -> Result<Self, ByTokenError> {
        let mut roots = RootCertStore::empty();
        match kafka.security.ca() {
            Some(pem) => {
                for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
                    let certificate = certificate.map_err(|error| ByTokenError::Tls(error.into()))?;
                    roots.add(certificate).map_err(|error| ByTokenError::Tls(error.into()))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| ByTokenError::Tls(error.into()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            servers: kafka.bootstrap_servers.clone(),
            region: kafka.security.region().unwrap_or_default().to_owned(),
            signer,
            tls: TlsConnector::from(Arc::new(config)),
            limit,
        })
    }

    /// The number of brokers, and every topic with its number of partitions.
    ///
    /// # Errors
    /// Any of [`ByTokenError`] but [`ByTokenError::Refused`].
    pub(super) async fn look(&self) -> Result<(usize, Vec<(String, usize)>), ByTokenError> {
        let (_, cluster) = self.in_time(self.cluster()).await?;
        Ok((cluster.brokers.len(), cluster.topics))
    }

    /// Makes a topic, and gives whether it was not there before.
    ///
    /// # Errors
    /// Any of [`ByTokenError`].
    pub(super) async fn create(&self, topic: &NewTopic<'_>) -> Result<bool, ByTokenError> {
        self.in_time(async {
            let (mut line, cluster) = self.cluster().await?;
            // Any broker passes it on to the controller where there is no ZooKeeper; else it must go there.
            if let Some((_, host, port)) = cluster.brokers.iter().find(|(id, ..)| *id == cluster.controller) {
                line = self.log_in(host, *port).await?;
            }
            let answer = line.ask(CREATE_TOPICS, &create_topics(topic, self.limit)).await?;
            created(&answer).ok_or(ByTokenError::Answer)?
        })
        .await
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, ByTokenError>>,
    ) -> Result<T, ByTokenError> {
        let late = |_| ByTokenError::Connection(io::ErrorKind::TimedOut.into());
        tokio::time::timeout(self.limit, work).await.map_err(late)?
    }

    /// A line to the first of the bootstrap servers that takes the login, and what it says of the cluster.
    async fn cluster(&self) -> Result<(Line, Cluster), ByTokenError> {
        let mut failed = ByTokenError::Connection(io::ErrorKind::AddrNotAvailable.into());
        for server in self.servers.split(',') {
            let Some((host, port)) = host_and_port(server) else { continue };
            match self.log_in(host, port).await {
                Ok(mut line) => {
                    // No array: every topic. And none is made by being asked for.
                    let answer = line.ask(METADATA, &[&(-1_i32).to_be_bytes()[..], &[0]].concat()).await?;
                    return Ok((line, cluster(&answer).ok_or(ByTokenError::Answer)?));
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    async fn log_in(&self, host: &str, port: u16) -> Result<Line, ByTokenError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| ByTokenError::Tls(error.into()))?;
        let stream = self.tls.connect(name, TcpStream::connect((host, port)).await?).await?;
        let mut line = Line { stream, asked: 0 };
        let mut mechanism = Vec::new();
        put_text(&mut mechanism, "OAUTHBEARER");
        let answer = line.ask(SASL_HANDSHAKE, &mechanism).await?;
        if (Answer { rest: &answer }).short().ok_or(ByTokenError::Answer)? != 0 {
            return Err(ByTokenError::Login);
        }
        let token = self.token().await?;
        let said = format!("n,,\x01auth=Bearer {}\x01\x01", token.expose_secret());
        let length = i32::try_from(said.len()).map_err(|_| ByTokenError::Answer)?;
        let request = [&length.to_be_bytes()[..], said.as_bytes()].concat();
        let answer = line.ask(SASL_AUTHENTICATE, &request).await?;
        if is_taken(&answer).ok_or(ByTokenError::Answer)? { Ok(line) } else { Err(ByTokenError::Login) }
    }

    async fn token(&self) -> Result<SecretString, ByTokenError> {
        let (signer, region) = (self.signer.clone(), self.region.clone());
        // It blocks for the credentials.
        let signed = tokio::task::spawn_blocking(move || signer.token(&region)).await;
        signed
            .map_err(|error| ByTokenError::Token(error.into()))?
            .map_err(|error| ByTokenError::Token(error.into()))
    }
}

/// A connection that is logged in, or about to be.
struct Line {
    stream: TlsStream<TcpStream>,
    asked: i32,
}

impl Line {
    /// Sends a request and gives the answer, without its header.
    async fn ask(&mut self, (key, version): (i16, i16), body: &[u8]) -> Result<Vec<u8>, ByTokenError> {
        self.asked += 1;
        let mut request = [key.to_be_bytes(), version.to_be_bytes()].concat();
        request.extend(self.asked.to_be_bytes());
        put_text(&mut request, "notify-me");
        request.extend(body);
        let length = i32::try_from(request.len()).map_err(|_| ByTokenError::Answer)?;
        self.stream.write_all(&[&length.to_be_bytes()[..], &request].concat()).await?;
        self.stream.flush().await?;
        let length =
            usize::try_from(self.stream.read_i32().await?).ok().filter(|length| *length <= MAX_ANSWER);
        let mut answer = vec![0; length.ok_or(ByTokenError::Answer)?];
        self.stream.read_exact(&mut answer).await?;
        let numbered = answer.first_chunk().map(|number| i32::from_be_bytes(*number));
        if numbered == Some(self.asked) { Ok(answer.split_off(4)) } else { Err(ByTokenError::Answer) }
    }
}

/// `host:port`, perhaps with the name of a protocol before it or brackets around an address of IPv6.
fn host_and_port(server: &str) -> Option<(&str, u16)> {
    let server = server.trim();
    let (host, port) = server.split_once("://").map_or(server, |(_, rest)| rest).rsplit_once(':')?;
    Some((host.trim_start_matches('[').trim_end_matches(']'), port.parse().ok()?))
}

/// Whether a login was taken: a broker says why not in the place of a last word, without an error of the protocol.
fn is_taken(answer: &[u8]) -> Option<bool> {
    let mut answer = Answer { rest: answer };
    let error = answer.short()?;
    answer.text()?;
    let length = answer.long()?;
    Some(error == 0 && length <= 0)
}

fn cluster(answer: &[u8]) -> Option<Cluster> {
    let mut answer = Answer { rest: answer };
    // How long the broker would like to be left alone.
    answer.long()?;
    let brokers = answer.several(|answer| {
        let (id, host, port) = (answer.long()?, answer.text()?, answer.long()?);
        // The rack.
        answer.text()?;
        Some((id, host?.to_owned(), u16::try_from(port).ok()?))
    })?;
    // The cluster's id.
    answer.text()?;
    let controller = answer.long()?;
    let topics = answer.several(|answer| {
        answer.short()?;
        let name = answer.text()??.to_owned();
        answer.take(1)?;
        let partitions = answer.several(|answer| {
            answer.take(2 + 4 + 4)?;
            // The replicas, and those in sync.
            answer.several(Answer::long)?;
            answer.several(Answer::long)
        })?;
        Some((name, partitions.len()))
    })?;
    Some(Cluster { brokers, controller, topics })
}

fn create_topics(topic: &NewTopic<'_>, limit: Duration) -> Vec<u8> {
    let mut body = 1_i32.to_be_bytes().to_vec();
    put_text(&mut body, topic.name);
    body.extend(topic.partitions.to_be_bytes());
    body.extend(i16::try_from(topic.copies).unwrap_or(i16::MAX).to_be_bytes());
    // No partition is given to certain brokers.
    body.extend(0_i32.to_be_bytes());
    body.extend(i32::try_from(topic.settings.len()).unwrap_or_default().to_be_bytes());
    for (name, value) in topic.settings {
        put_text(&mut body, name);
        put_text(&mut body, value);
    }
    body.extend(i32::try_from(limit.as_millis()).unwrap_or(i32::MAX).to_be_bytes());
    // Not only to see whether it could be done.
    body.push(0);
    body
}

fn created(answer: &[u8]) -> Option<Result<bool, ByTokenError>> {
    let mut answer = Answer { rest: answer };
    answer.long()?;
    let outcomes = answer.several(|answer| {
        answer.text()?;
        Some((answer.short()?, answer.text()?.unwrap_or("refused").to_owned()))
    })?;
    Some(match outcomes.into_iter().next()? {
        (0, _) => Ok(true),
        (TOPIC_ALREADY_EXISTS, _) => Ok(false),
        (code, message) => Err(ByTokenError::Refused { code, message }),
    })
}

/// A text is short: a name, a setting or a mechanism.
fn put_text(out: &mut Vec<u8>, text: &str) {
    let text = text.get(..text.len().min(0x7fff)).unwrap_or_default();
    out.extend(i16::try_from(text.len()).unwrap_or_default().to_be_bytes());
    out.extend(text.as_bytes());
}

/// What is left of an answer. `None` of any of these: it ends too early, or is none.
struct Answer<'a> {
    rest: &'a [u8],
}

impl<'a> Answer<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    fn short(&mut self) -> Option<i16> {
        self.take(2)?.try_into().ok().map(i16::from_be_bytes)
    }

    fn long(&mut self) -> Option<i32> {
        self.take(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    /// A text, or none where it is null.
    fn text(&mut self) -> Option<Option<&'a str>> {
        match usize::try_from(self.short()?) {
            Ok(length) => std::str::from_utf8(self.take(length)?).ok().map(Some),
            Err(_) => Some(None),
        }
    }

    fn several<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.long()?;
        (0..count).map(|_| one(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_bootstrap_server_is_a_host_and_a_port() {
        assert_eq!(host_and_port(" b-1.example.com:9098"), Some(("b-1.example.com", 9098)));
        assert_eq!(host_and_port("SASL_SSL://b-1:9098"), Some(("b-1", 9098)));
        assert_eq!(host_and_port("[::1]:9098"), Some(("::1", 9098)));
        assert_eq!(host_and_port("b-1.example.com"), None);
    }

    #[test]
    fn a_login_is_taken_where_the_broker_has_nothing_more_to_say() {
        assert_eq!(is_taken(b"\x00\x00\xff\xff\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), Some(true));
        assert_eq!(
            is_taken(b"\x00\x00\xff\xff\x00\x00\x00\x02{}\x00\x00\x00\x00\x00\x00\x00\x00"),
            Some(false)
        );
        assert_eq!(is_taken(b"\x00\x3a\x00\x02no\x00\x00\x00\x00"), Some(false));
        assert_eq!(is_taken(b"\x00"), None);
    }

    #[test]
    fn a_topic_that_is_there_is_none_that_was_refused() {
        let answer = |code: u8, said: &[u8]| [b"\0\0\0\0\0\0\0\x01\0\x01t\0", &[code][..], said].concat();
        assert!(created(&answer(0, b"\xff\xff")).unwrap().unwrap());
        assert!(!created(&answer(36, b"\x00\x02is")).unwrap().unwrap());
        let refused = created(&answer(38, b"\x00\x04many")).unwrap().unwrap_err();
        assert_eq!(refused.to_string(), "many (error 38 of Kafka's protocol)");
        assert!(created(&answer(38, b"\x00\x09many")).is_none(), "it ends too early");
    }
}
