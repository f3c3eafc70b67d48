//! Where the system is that is asked: one that runs on this machine, by its ready file, or any table and any Kafka.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use aws_config::Region;
use aws_config::timeout::TimeoutConfig;
use domain::PersonKey;
use lambda::aws::{loader, loader_for_stand_in};
use rdkafka::ClientConfig;
use store::Store;

use crate::poll::{Setting, setting};
use crate::up::{Addresses, REGION, TABLE, Target};

/// How long one request to the table may take.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How long a request may take with its retries.
const OPERATION: Duration = Duration::from_secs(15);

/// Which table.
#[derive(clap::Args)]
pub(super) struct TableArgs {
    /// The ready file of a running `notify-me up`.
    #[arg(long, value_name = "FILE", env = "NOTIFY_ME_READY_FILE")]
    ready_file: Option<PathBuf>,
    /// DynamoDB, instead of the ready file's: `aws` is your shell's account and region. Over http, requests carry
    /// made-up credentials.
    #[arg(long, value_name = "URL|aws")]
    dynamodb: Option<Target>,
    /// The table's name [default: the ready file's, or notify-me].
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
}

/// How to find a person in the table.
#[derive(clap::Args)]
pub(super) struct PersonArgs {
    /// The functions' PERSON_KEY [default: the ready file's].
    #[arg(long, value_name = "SECRET", env = "PERSON_KEY", hide_env_values = true)]
    person_key: Option<PersonKey>,
}

impl PersonArgs {
    /// The key that turns addresses into the hashes that the table's keys hold.
    ///
    /// # Errors
    /// Where neither the command line nor a ready file says it.
    pub(super) fn key(&self, table: &TableArgs) -> anyhow::Result<PersonKey> {
        match (&self.person_key, &table.ready_file) {
            (Some(key), _) => Ok(key.clone()),
            (None, Some(file)) => Addresses::read(file)?.person_key.parse().map_err(anyhow::Error::msg),
            (None, None) => bail!("no key to find a person with: set PERSON_KEY to that of the functions"),
        }
    }
}

impl TableArgs {
    /// The sender that a ready file names.
    ///
    /// # Errors
    /// Where the ready file cannot be read.
    pub(super) fn sender(&self) -> anyhow::Result<Option<String>> {
        self.ready_file.as_deref().map(|file| Ok(Addresses::read(file)?.sender)).transpose()
    }

    pub(super) async fn store(&self) -> anyhow::Result<Store> {
        let (target, ready) = match (&self.dynamodb, &self.ready_file) {
            (Some(target), _) => (target.clone(), None),
            (None, Some(file)) => {
                let ready = Addresses::read(file)?;
                (Target::Url(ready.dynamodb.clone()), Some(ready))
            }
            (None, None) => bail!(
                "no table given: use --ready-file FILE of a running `notify-me up`, or --dynamodb URL|aws and --table NAME"
            ),
        };
        let name = self.table.clone().or(ready.as_ref().map(|ready| ready.table.clone()));
        Ok(connect(&target, ready.map(|ready| ready.region), name.unwrap_or_else(|| TABLE.to_owned())).await)
    }
}

async fn connect(target: &Target, region: Option<String>, table: String) -> Store {
    let url = match target {
        Target::Url(url) => Some(url),
        Target::Aws => None,
    };
    let loader = match region {
        // The same as `notify-me up`.
        region if url.is_some_and(|url| url.starts_with("http://")) => {
            loader_for_stand_in(region.unwrap_or_else(|| REGION.to_owned()))
        }
        Some(region) => loader().region(Region::new(region)),
        None => loader(),
    };
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION).build();
    Store::at(&loader.timeout_config(timeouts).load().await, url.map(String::as_str), table)
}

/// Which Kafka.
#[derive(clap::Args)]
pub(super) struct KafkaArgs {
    /// The ready file of a running `notify-me up`.
    #[arg(long, value_name = "FILE", env = "NOTIFY_ME_READY_FILE")]
    ready_file: Option<PathBuf>,
    /// Kafka's bootstrap servers, instead of the ready file's.
    #[arg(long, value_name = "HOST:PORT[,...]")]
    kafka: Option<String>,
    /// A setting of the Kafka client, by librdkafka's name; may be repeated. Never logged.
    #[arg(long = "kafka-config", value_name = "KEY=VALUE", value_parser = setting, hide_default_value = true)]
    kafka_config: Vec<Setting>,
}

impl KafkaArgs {
    pub(super) fn client(&self) -> anyhow::Result<ClientConfig> {
        let servers = match (&self.kafka, &self.ready_file) {
            (Some(servers), _) => servers.clone(),
            (None, Some(file)) => Addresses::read(file)?.kafka,
            (None, None) => {
                bail!(
                    "no Kafka given: use --ready-file FILE of a running `notify-me up`, or --kafka HOST:PORT"
                )
            }
        };
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", servers).set("client.id", "notify-me-operator");
        for setting in &self.kafka_config {
            config.set(&setting.name, &setting.value);
        }
        Ok(config)
    }
}
