//! What happens when a part, or all of it, goes away.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use futures::future::join_all;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use serde_json::json;

use crate::support::{Parts, System, TOPICS, are_real, children, runs, shared, tag, until};

#[tokio::test]
async fn a_restart_in_the_middle_of_a_fan_out_tells_the_rest_and_doubts_one_call_a_shard_at_most() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--data", data.path().to_str().unwrap()];
    // Calls of ten that take a while: there is a middle to be killed in, in every shard.
    let slowly = [("SEND_RATE", "10")];
    let mut system = System::start(&arguments, &slowly);
    let shop = system.shop();
    system.raise_shards("long-queue", 8).await;
    let waiting: Vec<String> = (0..160).map(|n| format!("survivor-{n}@example.com")).collect();
    join_all(waiting.iter().map(|to| shop.subscribe("long-queue", to))).await;
    shop.ses_faults(json!({ "latencyMs": 300 })).await;
    shop.stock("long-queue", json!({ "quantity": 5 })).await;
    until("the middle", async || (shop.everything().await.len() >= 20).then_some(())).await;
    let functions = children(system.id());
    system.end("KILL");
    until("no process of it", async || (!functions.iter().any(|id| runs(*id))).then_some(())).await;

    let system = system.again(&arguments, &[]);
    let shop = system.shop();
    let told = shop.everything().await.len();
    assert!(told < waiting.len(), "it was killed too late: {told}");
    for to in &waiting {
        shop.mails(to, 1).await;
    }
    shop.rest().await;
    let mut extra: BTreeMap<String, usize> = BTreeMap::new();
    for to in &waiting {
        let mails = shop.inbox(to).await;
        *extra.entry(tag(&mails[0], "shard").to_owned()).or_default() += mails.len() - 1;
    }
    assert!(extra.values().all(|extra| *extra <= 50), "more than a call in doubt: {extra:?}");
    assert_eq!(shop.waiting("long-queue").await, 0);
}

/// A Kafka that goes away and comes back.
enum Broker {
    /// Closes its connections and refuses others.
    Mock(MockCluster<'static, DefaultProducerContext>),
    /// Stands still: its connections stay open, and what arrives meanwhile is read when it is back. So an update that
    /// was refused is written after all, and its retry is the same restock.
    Real(Parts),
}

impl Broker {
    fn start() -> Self {
        if are_real() {
            return Self::Real(Parts::new());
        }
        let kafka = MockCluster::new(1).unwrap();
        for (topic, partitions) in TOPICS {
            kafka.create_topic(topic, partitions, 1).unwrap();
        }
        Self::Mock(kafka)
    }

    fn system(&self) -> System {
        match self {
            Self::Mock(kafka) => System::start(&["--kafka", &kafka.bootstrap_servers()], &[]),
            Self::Real(parts) => System::start_on(parts.clone(), &[], &[]),
        }
    }

    fn is_away(&self, away: bool) {
        match self {
            Self::Mock(kafka) if away => kafka.broker_down(1).unwrap(),
            Self::Mock(kafka) => kafka.broker_up(1).unwrap(),
            Self::Real(parts) => parts.pause_kafka(away),
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Whatever came between: others use it after this test.
        self.is_away(false);
    }
}

#[tokio::test]
async fn a_stock_update_is_refused_while_kafka_is_away_and_taken_once_when_it_is_back() {
    let kafka = Broker::start();
    let system = kafka.system();
    let shop = system.shop();
    shop.subscribe("away", "away@example.com").await;
    kafka.is_away(true);

    let update = json!({ "quantity": 5 });
    let key = [("idempotency-key", "away-1")];
    let refused = shop.request("PUT", "/products/away/stock", &key, update.to_string()).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0), "{refused:?}");
    assert!(refused.json()["detail"].as_str().unwrap().contains("Kafka"), "{refused:?}");

    kafka.is_away(false);
    until("the update taken", async || {
        let answer = shop.request("PUT", "/products/away/stock", &key, update.to_string()).await;
        (answer.status == 202).then_some(())
    })
    .await;
    let mail = shop.only_mail("away@example.com").await;
    assert_eq!(tag(&mail, "restock"), "away-1");
}

#[tokio::test]
async fn ctrl_c_finishes_what_is_in_flight_and_leaves_no_process_and_no_ready_file() {
    let data = tempfile::tempdir().unwrap();
    let arguments = ["--data", data.path().to_str().unwrap()];
    let mut system = System::start(&arguments, &[]);
    let shop = system.shop();
    let waiting: Vec<String> = (0..20).map(|n| format!("in-flight-{n}@example.com")).collect();
    join_all(waiting.iter().map(|to| shop.subscribe("in-flight", to))).await;
    shop.stock("in-flight", json!({ "quantity": 5 })).await;
    let functions = children(system.id());
    assert!(functions.len() >= 3, "a process for each function: {functions:?}");

    let ended = system.end("INT");

    assert!(ended.success(), "{ended}: {}", system.log());
    assert!(!functions.iter().any(|id| runs(*id)), "{functions:?}");
    assert!(!system.ready_file.exists(), "the ready file of a system that is gone");
    // What was taken is planned before the end, and delivered then or after the next start.
    let again = system.again(&arguments, &[]);
    let shop = again.shop();
    for to in &waiting {
        shop.only_mail(to).await;
    }
}

#[tokio::test]
async fn killed_outright_it_leaves_no_process() {
    let mut system = System::start(&[], &[]);
    let functions = children(system.id());
    assert!(functions.len() >= 3, "a process for each function: {functions:?}");
    system.end("KILL");
    until("no process of it", async || (!functions.iter().any(|id| runs(*id))).then_some(())).await;
}

#[test]
fn a_port_that_is_taken_and_a_kafka_that_is_not_there_are_said_and_end_it() {
    let taken = shared().api.rsplit(':').next().unwrap().to_owned();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for (arguments, expected) in [
        (vec!["up", "--port", &taken], vec![taken.as_str(), "in use", "--port"]),
        (
            vec!["up", "--port", "0", "--kafka", &closed.to_string()],
            vec!["does not answer", &closed.to_string()],
        ),
    ] {
        let ended = Command::new(env!("CARGO_BIN_EXE_notify-me"))
            .args(&arguments)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(expected.iter().all(|part| said.contains(part)), "{said}");
    }
}

#[tokio::test]
async fn a_data_directory_belongs_to_one_system_at_a_time() {
    let data = tempfile::tempdir().unwrap();
    let path = data.path().to_str().unwrap();
    let _first = System::start(&["--data", path], &[]);
    let second = Command::new(env!("CARGO_BIN_EXE_notify-me"))
        .args(["up", "--port", "0", "--data", path])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(second.stderr).unwrap();
    assert!(!second.status.success() && said.contains("in use"), "{said}");
}
