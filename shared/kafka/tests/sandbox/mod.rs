//! A function's sandbox, which is frozen between two invocations: this test program once more, as a process that can
//! be stopped and that publishes when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

use notify_me_kafka::{Publisher, Record, Written};

use crate::broker::{Broker, TOPIC};

/// How long its tokens last, instead of a quarter of an hour.
pub(crate) const TOKEN: Duration = Duration::from_secs(12);
/// What `restock` gives a delivery.
const DELIVERY: Duration = Duration::from_secs(5);
/// The broker, for the process.
const BROKER: &str = "NOTIFY_ME_SANDBOX_BROKER";
const STOPPED_CLOCK: &str = "NOTIFY_ME_SANDBOX_STOPPED_CLOCK";
/// Before every answer, for the test program has lines of its own.
const ANSWER: &str = "published: ";

pub(crate) struct Sandbox {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Sandbox {
    /// One that logs in with tokens, by the clock or by one that stands still.
    pub(crate) fn start(broker: &Broker, stopped_clock: bool) -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "sandbox::publishes_what_it_is_told_to", "--ignored", "--nocapture"])
            .env(BROKER, serde_json::to_string(broker).unwrap())
            .env(STOPPED_CLOCK, stopped_clock.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, input, output: BufReader::new(output) }
    }

    /// Publishes a value, and gives where it is or what was said instead.
    pub(crate) fn publish(&mut self, value: &str) -> Result<Written, String> {
        writeln!(self.input, "{value}").unwrap();
        for line in (&mut self.output).lines() {
            let line = line.unwrap();
            let Some((_, answer)) = line.split_once(ANSWER) else { continue };
            let (partition, offset) = answer.split_once('@').ok_or(answer)?;
            return Ok(Written { partition: partition.parse().unwrap(), offset: offset.parse().unwrap() });
        }
        panic!("the sandbox ended");
    }

    /// Freezes it (`STOP`), or lets it go on (`CONT`).
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([format!("-{signal}"), self.process.id().to_string()]).status();
        assert!(sent.unwrap().success());
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Also of a stopped one.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Ends with its standard input. Like a function, it has a runtime with one thread.
#[tokio::test]
#[ignore = "it is the inside of a sandbox, not a test"]
async fn publishes_what_it_is_told_to() {
    static START: LazyLock<SystemTime> = LazyLock::new(SystemTime::now);
    let Ok(broker) = std::env::var(BROKER) else { return };
    let broker: Broker = serde_json::from_str(&broker).unwrap();
    let clock = match std::env::var(STOPPED_CLOCK).as_deref() {
        Ok("true") => || *START,
        _ => SystemTime::now,
    };
    let signer = crate::signer(&broker, &broker.file("secret-access-key"), clock).unwrap().lasting(TOKEN);
    let kafka = crate::kafka(&broker.oauth, &crate::msk_iam(&broker, &broker.file("region")));
    let publisher = Publisher::new(&kafka, Some(signer), DELIVERY, Duration::ZERO).unwrap();
    for value in std::io::stdin().lines() {
        let value = value.unwrap();
        let record = Record { topic: TOPIC, value: Some(value.as_bytes()), ..Record::default() };
        let answer = match publisher.publish_one(&record).await {
            Ok(Written { partition, offset }) => format!("{partition}@{offset}"),
            Err(error) => lambda::error_chain(&error).to_string(),
        };
        writeln!(std::io::stdout(), "{ANSWER}{answer}").unwrap();
    }
}
