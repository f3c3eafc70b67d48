//! A real broker with a listener for each login, for all tests of a program.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use notify_me_kafka::Written;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use serde::{Deserialize, Serialize};

pub(crate) const TOPIC: &str = "item-restocked";

/// Where its listeners are, as `infra/real-parts` says.
#[derive(Deserialize, Serialize)]
pub(crate) struct Broker {
    #[serde(rename = "kafka")]
    pub(crate) plaintext: String,
    #[serde(rename = "kafkaTls")]
    pub(crate) tls: String,
    #[serde(rename = "kafkaMtls")]
    pub(crate) mtls: String,
    #[serde(rename = "kafkaScram")]
    pub(crate) scram: String,
    #[serde(rename = "kafkaOauth")]
    pub(crate) oauth: String,
    secure: PathBuf,
    /// It stops when its standard input is closed, which it is when this process ends, however it does.
    #[serde(skip)]
    _process: Option<Child>,
}

impl Broker {
    /// The broker of this program, started by the first test that asks for it.
    pub(crate) fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Broker>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    fn start() -> Option<Self> {
        if std::env::var("NOTIFY_ME_WITHOUT_JAVA").is_ok_and(|value| value == "1") {
            // Not by a macro, whose text the test program keeps to itself when all is well.
            let loud = b"\n*** NOT TESTED: logins on a real Kafka (NOTIFY_ME_WITHOUT_JAVA=1) ***\n\n";
            std::io::stderr().write_all(loud).unwrap();
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/real-parts");
        let name = format!("logins-{}", std::process::id());
        let mut process = Command::new(script)
            .args(["run", "--only", "kafka", "--secure", "--name", &name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let Ok(mut broker) = serde_json::from_str::<Self>(&line) else {
            let mut said = String::new();
            process.stderr.take().unwrap().read_to_string(&mut said).unwrap();
            process.wait().unwrap();
            panic!(
                "These tests need Java 17 with javac, Maven and openssl (Debian: apt-get install \
                 openjdk-17-jdk-headless maven openssl). NOTIFY_ME_WITHOUT_JAVA=1 leaves them out.\n{said}"
            );
        };
        broker._process = Some(process);
        broker.make_topic();
        Some(broker)
    }

    fn make_topic(&self) {
        let admin: AdminClient<DefaultClientContext> =
            ClientConfig::new().set("bootstrap.servers", &self.plaintext).create().unwrap();
        let topics = [NewTopic::new(TOPIC, 1, TopicReplication::Fixed(1))];
        let made = admin.create_topics(&topics, &AdminOptions::new());
        futures::executor::block_on(made).unwrap().remove(0).unwrap();
    }

    /// One of the files that it was started with, without the line's end.
    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.secure.join(name)).unwrap().trim_end().to_owned()
    }

    /// What no error may show: passwords, keys, and what every token has in it.
    pub(crate) fn secrets(&self) -> Vec<String> {
        let keys = ["client.key", "foreign-client.key"]
            .map(|name| self.file(name).lines().nth(1).unwrap().to_owned());
        let token = ["X-Amz-Signature", "aHR0cHM6Ly9rYWZrYS"].map(str::to_owned);
        let files =
            ["password", "password-256", "password-plain", "secret-access-key"].map(|name| self.file(name));
        [keys.as_slice(), &token, &files, &["hunter2".to_owned(), "wJalrXUtnFEMI".to_owned()]].concat()
    }

    /// The value at this place of the topic, read without a login.
    pub(crate) fn read(&self, at: Written) -> Vec<u8> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.plaintext)
            .set("group.id", "logins")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let mut from = TopicPartitionList::new();
        from.add_partition_offset(TOPIC, at.partition, Offset::Offset(at.offset)).unwrap();
        consumer.assign(&from).unwrap();
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(30) {
            if let Some(record) = consumer.poll(Duration::from_millis(100)) {
                return record.unwrap().payload().unwrap_or_default().to_vec();
            }
        }
        panic!("the record at {at:?} cannot be read");
    }
}
