//! The one stub that every contender speaks to: DynamoDB and SES over TLS, counting, and Kafka. The Lambda Runtime
//! API is a contender's own (`contender.rs`).

mod serve;
mod ses;
mod table;
mod tls;

use std::path::Path;

use notify_me::embedded::kafka::Kafka;

use self::serve::Server;
pub(crate) use self::ses::{Account, Said, Ses};
pub(crate) use self::table::{Tables, Units};
pub(crate) use self::tls::Trust;

/// Our own table.
pub(crate) const TABLE: &str = "notify-me";
/// The table of the others, as tutorials have it.
pub(crate) const SUBSCRIPTIONS: &str = "subscriptions";

/// The running stub. It ends when it is dropped.
pub(crate) struct Stub {
    /// DynamoDB.
    pub(crate) tables: Tables,
    /// SES.
    pub(crate) ses: Ses,
    /// What clients need to trust it.
    pub(crate) trust: Trust,
    servers: [Server; 2],
    kafka: String,
    /// The embedded Kafka, where there is no other.
    _embedded: Option<Kafka>,
}

impl Stub {
    /// Starts it; its certificates go into `directory`, and its Kafka is the one at `kafka`, else embedded.
    ///
    /// # Errors
    /// When no port can be had, or a file cannot be written.
    pub(crate) async fn start(directory: &Path, kafka: Option<String>) -> anyhow::Result<Self> {
        let (acceptor, trust) = tls::make(directory)?;
        let tables = Tables::new()?;
        tables.create(TABLE, "pk", "sk")?;
        tables.fill(TABLE, &[store::json::edition()?])?;
        tables.create(SUBSCRIPTIONS, "productId", "userId")?;
        let ses = Ses::new();
        let servers = [
            Server::start(acceptor.clone(), tables.clone()).await?,
            Server::start(acceptor, ses.clone()).await?,
        ];
        let embedded = match &kafka {
            Some(_) => None,
            None => Some(tokio::task::spawn_blocking(Kafka::start).await??),
        };
        let kafka =
            kafka.or_else(|| embedded.as_ref().map(|kafka| kafka.servers().to_owned())).unwrap_or_default();
        Ok(Self { tables, ses, trust, servers, kafka, _embedded: embedded })
    }

    /// The bootstrap servers of Kafka.
    pub(crate) fn kafka_servers(&self) -> &str {
        &self.kafka
    }

    /// What the environment of a contender says of it.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let pem = self.trust.pem.display().to_string();
        vec![
            ("AWS_ENDPOINT_URL_DYNAMODB", self.servers[0].url.clone()),
            ("AWS_ENDPOINT_URL_SESV2", self.servers[1].url.clone()),
            ("SSL_CERT_FILE", pem.clone()),
            ("AWS_CA_BUNDLE", pem.clone()),
            ("NODE_EXTRA_CA_CERTS", pem),
            ("TRUST_STORE", self.trust.store.display().to_string()),
            ("KAFKA_BOOTSTRAP_SERVERS", self.kafka.clone()),
        ]
    }
}
