//! Every way to log in to Kafka, on a real broker, and what is said when a login fails.
//!
//! Needs Java 17 with javac, Maven and openssl. Where they cannot be had, `NOTIFY_ME_WITHOUT_JAVA=1`
//! leaves these tests out, and says so.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod broker;
mod sandbox;

use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};
use domain::setting::Settings;
use notify_me_kafka::{
    Admin, BrokerError, BrokerErrorKind, ClientError, KafkaConfig, NewTopic, Publisher, Record, Signer,
};

use self::broker::Broker;
use self::sandbox::Sandbox;

/// Enough for a broker on a busy machine.
const LONG: Duration = Duration::from_secs(30);
/// For deliveries that fail: librdkafka tries until the time is up.
const SHORT: Duration = Duration::from_secs(5);

/// The broker, or `None` where these tests are left out.
macro_rules! broker {
    () => {
        match Broker::shared() {
            Some(broker) => broker,
            None => return,
        }
    };
}

fn kafka(servers: &str, set: &[(&str, String)]) -> KafkaConfig {
    let lookup = |name: &str| match name {
        "KAFKA_BOOTSTRAP_SERVERS" => Some(servers.to_owned()),
        _ => set.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()),
    };
    let mut settings = Settings::new(&lookup);
    let kafka = KafkaConfig::from_settings(&mut settings);
    settings.finish(kafka).unwrap()
}

fn publisher(
    kafka: &KafkaConfig,
    signer: Option<Signer>,
    delivery: Duration,
) -> Result<Publisher, ClientError> {
    Publisher::new(kafka, signer, delivery, Duration::ZERO)
}

/// The signer, its key and its clock.
fn signer(broker: &Broker, secret: &str, clock: fn() -> SystemTime) -> Option<Signer> {
    let credentials = Credentials::new(broker.file("access-key-id"), secret, None, None, "test");
    Some(Signer::with_clock(SharedCredentialsProvider::new(credentials), clock))
}

fn tls(broker: &Broker, ca: &str) -> Vec<(&'static str, String)> {
    vec![("KAFKA_SECURITY", "tls".to_owned()), ("KAFKA_CA_CERTIFICATE", broker.file(ca))]
}

fn scram(broker: &Broker, password: String) -> Vec<(&'static str, String)> {
    login(broker, "scram", password)
}

fn login(broker: &Broker, mode: &str, password: String) -> Vec<(&'static str, String)> {
    vec![
        ("KAFKA_SECURITY", mode.to_owned()),
        ("KAFKA_USERNAME", broker.file("username")),
        ("KAFKA_PASSWORD", password),
        ("KAFKA_CA_CERTIFICATE", broker.file("ca.pem")),
    ]
}

fn mtls(broker: &Broker, certificate: &str, key: &str) -> Vec<(&'static str, String)> {
    vec![
        ("KAFKA_SECURITY", "mtls".to_owned()),
        ("KAFKA_CLIENT_CERTIFICATE", broker.file(certificate)),
        ("KAFKA_CLIENT_KEY", broker.file(key)),
        ("KAFKA_CA_CERTIFICATE", broker.file("ca.pem")),
    ]
}

fn msk_iam(broker: &Broker, region: &str) -> Vec<(&'static str, String)> {
    vec![
        ("KAFKA_SECURITY", "msk-iam".to_owned()),
        ("AWS_REGION", region.to_owned()),
        ("KAFKA_CA_CERTIFICATE", broker.file("ca.pem")),
    ]
}

/// A record goes in by this login, and another client reads it.
async fn publishes(broker: &Broker, kafka: KafkaConfig, signer: Option<Signer>) {
    let value = format!("{:?} of {:?}", kafka.security.mode(), SystemTime::now());
    let publisher = publisher(&kafka, signer, LONG).unwrap();
    let record = Record { topic: broker::TOPIC, value: Some(value.as_bytes()), ..Record::default() };
    let written = publisher.publish(&[record]).await.remove(0);
    let written = written.unwrap_or_else(|error| panic!("{value}: {}", lambda::error_chain(&error)));
    assert_eq!(broker.read(written), value.as_bytes());
}

/// No record goes in, and this is said to be why, without any secret. Gives what was said.
async fn is_refused(
    broker: &Broker,
    kafka: KafkaConfig,
    signer: Option<Signer>,
    why: BrokerErrorKind,
) -> String {
    let publisher = publisher(&kafka, signer, SHORT).unwrap();
    let record = Record { topic: broker::TOPIC, value: Some(b"never"), ..Record::default() };
    // The second is what a function does at its start.
    let (records, topic) = ([record], broker::TOPIC);
    let (published, reached) = tokio::join!(publisher.publish(&records), publisher.reach(Some(topic), SHORT));
    let error = published.into_iter().next().unwrap().unwrap_err();
    let said = check(broker, &error, error.broker_error(), why);
    let error = reached.unwrap_err();
    check(broker, &error, error.broker_error(), why);
    said
}

fn check(
    broker: &Broker,
    error: &(dyn std::error::Error + 'static),
    broker_error: Option<&BrokerError>,
    why: BrokerErrorKind,
) -> String {
    let said = lambda::error_chain(error).to_string();
    assert_eq!(broker_error.map(BrokerError::kind), Some(why), "{said}");
    assert!(said.contains(&why.to_string()), "{said}");
    for shown in [said.clone(), format!("{error:?}")] {
        for secret in broker.secrets() {
            assert!(!shown.contains(&secret), "a secret is in: {shown}");
        }
    }
    said
}

#[tokio::test]
async fn without_a_login_a_record_is_taken() {
    let broker = broker!();
    publishes(broker, kafka(&broker.plaintext, &[]), None).await;
}

#[tokio::test]
async fn over_tls_a_record_is_taken() {
    let broker = broker!();
    publishes(broker, kafka(&broker.tls, &tls(broker, "ca.pem")), None).await;
}

#[tokio::test]
async fn with_a_user_name_and_a_password_a_record_is_taken() {
    let broker = broker!();
    publishes(broker, kafka(&broker.scram, &scram(broker, broker.file("password"))), None).await;
}

// The broker has another password for each.
#[tokio::test]
async fn with_a_password_of_any_kind_a_record_is_taken() {
    let broker = broker!();
    for (mode, password) in [("plain", "password-plain"), ("scram-256", "password-256")] {
        publishes(broker, kafka(&broker.scram, &login(broker, mode, broker.file(password))), None).await;
    }
}

fn every_login(broker: &Broker) -> Vec<(KafkaConfig, Option<Signer>)> {
    let with_password = |mode, file| kafka(&broker.scram, &login(broker, mode, broker.file(file)));
    let by_token = kafka(&broker.oauth, &msk_iam(broker, &broker.file("region")));
    vec![
        (kafka(&broker.plaintext, &[]), None),
        (kafka(&broker.tls, &tls(broker, "ca.pem")), None),
        (with_password("plain", "password-plain"), None),
        (with_password("scram-256", "password-256"), None),
        (with_password("scram", "password"), None),
        (kafka(&broker.mtls, &mtls(broker, "client.pem", "client.key")), None),
        (by_token, signer(broker, &broker.file("secret-access-key"), SystemTime::now)),
    ]
}

#[tokio::test]
async fn topics_are_made_with_every_login_and_only_once() {
    let broker = broker!();
    for (kafka, signer) in every_login(broker) {
        let mode = kafka.security.mode();
        let admin = Admin::new(&kafka, signer, LONG).unwrap();
        let name = format!("made-by-{mode}");
        let settings = [("retention.ms", "2592000000")];
        let topic = NewTopic { name: &name, partitions: 3, copies: 1, settings: &settings };
        for expected in [true, false] {
            let made = admin.create(&topic).await;
            let made = made.unwrap_or_else(|error| panic!("{mode}: {}", lambda::error_chain(&error)));
            assert_eq!(made, expected, "{mode}");
        }
        let seen = admin.look().await.unwrap();
        assert_eq!(seen.brokers, 1, "{mode}");
        assert!(seen.topics.contains(&(name.clone(), 3)), "{mode}: {seen:?}");

        let too_many = NewTopic { name: "never", copies: 3, ..topic };
        let refused = lambda::error_chain(&admin.create(&too_many).await.unwrap_err()).to_string();
        assert!(refused.contains("eplication"), "{mode}: {refused}");
    }
}

#[tokio::test]
async fn a_token_that_is_refused_makes_no_topics_and_is_named() {
    let broker = broker!();
    let kafka = kafka(&broker.oauth, &msk_iam(broker, &broker.file("region")));
    let signer = signer(broker, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", SystemTime::now);
    let error = Admin::new(&kafka, signer, SHORT).unwrap().look().await.unwrap_err();
    let said = lambda::error_chain(&error).to_string();
    assert!(said.contains("the broker refused the token"), "{said}");
    assert!(broker.secrets().iter().all(|secret| !said.contains(secret)), "{said}");
}

#[tokio::test]
async fn with_a_client_certificate_a_record_is_taken() {
    let broker = broker!();
    publishes(broker, kafka(&broker.mtls, &mtls(broker, "client.pem", "client.key")), None).await;
}

#[tokio::test]
async fn with_a_certificate_and_a_key_whose_line_breaks_were_lost_a_record_is_taken() {
    let broker = broker!();
    let spoilt = mtls(broker, "client.pem", "client.key")
        .into_iter()
        .zip(["\n", "\\n", " ", "\\n"])
        .map(|((name, value), line_break)| (name, value.replace('\n', line_break)))
        .collect::<Vec<_>>();
    publishes(broker, kafka(&broker.mtls, &spoilt), None).await;
}

// The runtime of each of these tests has one thread, which the token must not wait for.
#[tokio::test]
async fn with_a_signed_token_a_record_is_taken() {
    let broker = broker!();
    let signer = signer(broker, &broker.file("secret-access-key"), SystemTime::now);
    publishes(broker, kafka(&broker.oauth, &msk_iam(broker, &broker.file("region"))), signer).await;
}

#[tokio::test]
async fn a_wrong_password_is_named() {
    let broker = broker!();
    for mode in ["plain", "scram-256", "scram"] {
        let wrong = kafka(&broker.scram, &login(broker, mode, "hunter2-hunter2".to_owned()));
        is_refused(broker, wrong, None, BrokerErrorKind::Password).await;
    }
}

#[tokio::test]
async fn an_unknown_ca_is_named_for_every_login_with_tls() {
    let broker = broker!();
    is_refused(broker, kafka(&broker.tls, &tls(broker, "foreign-ca.pem")), None, BrokerErrorKind::Ca).await;
    let mut scram = scram(broker, broker.file("password"));
    // Then it is the system's CAs that do not know it.
    scram.retain(|(name, _)| *name != "KAFKA_CA_CERTIFICATE");
    is_refused(broker, kafka(&broker.scram, &scram), None, BrokerErrorKind::Ca).await;
}

#[tokio::test]
async fn a_missing_client_certificate_is_named() {
    let broker = broker!();
    is_refused(
        broker,
        kafka(&broker.mtls, &tls(broker, "ca.pem")),
        None,
        BrokerErrorKind::NoClientCertificate,
    )
    .await;
}

#[tokio::test]
async fn a_foreign_client_certificate_is_named() {
    let broker = broker!();
    let foreign = mtls(broker, "foreign-client.pem", "foreign-client.key");
    is_refused(broker, kafka(&broker.mtls, &foreign), None, BrokerErrorKind::ClientCertificate).await;
}

#[tokio::test]
async fn a_key_that_is_not_the_certificates_is_refused_at_the_start() {
    let broker = broker!();
    let mixed = kafka(&broker.mtls, &mtls(broker, "client.pem", "foreign-client.key"));
    let Err(error) = publisher(&mixed, None, SHORT) else { panic!("it was taken") };
    let said = lambda::error_chain(&error).to_string();
    assert!(said.contains("key values mismatch"), "{said}");
    assert!(broker.secrets().iter().all(|secret| !said.contains(secret)), "{said}");
}

#[tokio::test]
async fn an_expired_token_is_named() {
    let broker = broker!();
    let hour_ago = || SystemTime::now() - Duration::from_secs(3_600);
    let signer = signer(broker, &broker.file("secret-access-key"), hour_ago);
    let kafka = kafka(&broker.oauth, &msk_iam(broker, &broker.file("region")));
    let said = is_refused(broker, kafka, signer, BrokerErrorKind::Token).await;
    assert!(said.contains("the token has expired"), "{said}");
}

/// Both are frozen for longer than a token lasts. One has a clock that stands still from its start on, so that
/// its new tokens are as old as the first: what it meets shows that the freeze outlasted the login.
#[test]
fn after_a_freeze_that_outlasts_the_token_a_record_is_taken_at_once() {
    let broker = broker!();
    let mut sandboxes = [false, true].map(|stopped_clock| Sandbox::start(broker, stopped_clock));
    for sandbox in &mut sandboxes {
        assert_eq!(broker.read(sandbox.publish("before").unwrap()), b"before");
        sandbox.signal("STOP");
    }
    std::thread::sleep(sandbox::TOKEN + Duration::from_secs(1));
    let [sandbox, stopped_clock] = &mut sandboxes;
    sandbox.signal("CONT");
    let published = sandbox.publish("after");
    assert_eq!(broker.read(published.unwrap()), b"after");
    stopped_clock.signal("CONT");
    let refused = stopped_clock.publish("never").unwrap_err();
    assert!(refused.contains("the token has expired"), "{refused}");
}

#[tokio::test]
async fn a_token_for_another_regions_host_is_named() {
    let broker = broker!();
    let signer = signer(broker, &broker.file("secret-access-key"), SystemTime::now);
    let kafka = kafka(&broker.oauth, &msk_iam(broker, "eu-west-1"));
    let said = is_refused(broker, kafka, signer, BrokerErrorKind::Token).await;
    assert!(said.contains("the host is not that of us-east-1"), "{said}");
}

#[tokio::test]
async fn a_token_signed_with_another_key_is_named() {
    let broker = broker!();
    let signer = signer(broker, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", SystemTime::now);
    let kafka = kafka(&broker.oauth, &msk_iam(broker, &broker.file("region")));
    let said = is_refused(broker, kafka, signer, BrokerErrorKind::Token).await;
    assert!(said.contains("the signature is wrong"), "{said}");
}

#[tokio::test]
async fn missing_aws_credentials_are_named() {
    #[derive(Debug)]
    struct NoCredentials;
    impl ProvideCredentials for NoCredentials {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded("no credentials")))
        }
    }
    let broker = broker!();
    let signer = Signer::new(SharedCredentialsProvider::new(NoCredentials));
    let kafka = kafka(&broker.oauth, &msk_iam(broker, &broker.file("region")));
    is_refused(broker, kafka, Some(signer), BrokerErrorKind::NoToken).await;
}

#[tokio::test]
async fn a_port_with_and_a_port_without_tls_are_told_apart() {
    let broker = broker!();
    is_refused(broker, kafka(&broker.tls, &[]), None, BrokerErrorKind::WantsTls).await;
    is_refused(broker, kafka(&broker.plaintext, &tls(broker, "ca.pem")), None, BrokerErrorKind::NotTls).await;
}

#[tokio::test]
async fn a_port_that_wants_another_login_is_named() {
    let broker = broker!();
    is_refused(broker, kafka(&broker.scram, &tls(broker, "ca.pem")), None, BrokerErrorKind::OtherLogin).await;
    let scram = kafka(&broker.oauth, &scram(broker, broker.file("password")));
    is_refused(broker, scram, None, BrokerErrorKind::OtherLogin).await;
}

#[tokio::test]
async fn a_broker_that_is_away_is_named() {
    let broker = broker!();
    // Bound and not listening, so that no other process takes the port meanwhile.
    let away = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    is_refused(broker, kafka(&away.to_string(), &[]), None, BrokerErrorKind::Connection).await;
}
