//! Builds what is measured, and says what is missing for it.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, ensure};
use serde::Deserialize;

use crate::contender::{Contender, Feed, Form};
use crate::progress;

/// The others: their names, where their events come from, and the programs that building them takes.
const PEERS: [(&str, &str, Feed, &[&str]); 5] = [
    ("go", "Go", Feed::Runtime, &["go"]),
    ("node", "Node.js", Feed::Runtime, &["node", "npm"]),
    ("python", "Python", Feed::Runtime, &["python3"]),
    ("java-lambda", "Java Lambda", Feed::Runtime, &["java", "mvn", "keytool"]),
    ("java-tutorial", "Java tutorial", Feed::Kafka, &["java", "mvn", "keytool"]),
];

/// Builds the functions as they are deployed, but for this machine, and gives where they are.
///
/// # Errors
/// When they do not build.
pub(crate) fn functions(root: &Path) -> anyhow::Result<PathBuf> {
    if cfg!(debug_assertions) {
        progress(
            "this is a debug build: what stands around the functions is slow (cargo run --release -p notify-me-bench)",
        );
    }
    progress("building the functions (make native)");
    let made =
        Command::new("make").args(["-s", "native"]).current_dir(root).status().context("make is needed")?;
    ensure!(made.success(), "make native failed");
    Ok(root.join("target/functions/release"))
}

/// Builds `notify-me`, unless it is built already, and gives where it is: beside this program.
///
/// # Errors
/// When it does not build.
pub(crate) fn notify_me(root: &Path, is_built: bool) -> anyhow::Result<PathBuf> {
    if !is_built {
        progress("building notify-me");
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        // With this program, so that what both stand on has the same features and is there already.
        cargo
            .args(["build", "--quiet", "--locked", "-p", "notify-me", "-p", "notify-me-bench"])
            .current_dir(root);
        if !cfg!(debug_assertions) {
            cargo.arg("--release");
        }
        ensure!(cargo.status()?.success(), "notify-me does not build");
    }
    Ok(std::env::current_exe()?.with_file_name("notify-me"))
}

/// Builds the others, each in both forms. A contender that cannot be built is named in `missing`.
pub(crate) fn peers(root: &Path, missing: &mut Vec<String>) -> Vec<Contender> {
    let mut contenders = Vec::new();
    for (directory, name, feed, needs) in PEERS {
        let absent: Vec<&str> = needs.iter().copied().filter(|program| !is_there(program)).collect();
        if !absent.is_empty() {
            missing.push(format!("{name}: needs {}", absent.join(", ")));
            continue;
        }
        let out = root.join("target/bench/peers").join(directory);
        progress(format!("building {name}"));
        let built = Command::new(root.join("infra/bench/peers").join(directory).join("build"))
            .arg(&out)
            .stdout(Stdio::null())
            .status();
        match built {
            Ok(status) if status.success() => {
                let contender = |form| Contender {
                    name,
                    form,
                    feed,
                    ours: false,
                    program: out.join("run"),
                    arguments: Vec::new(),
                };
                contenders.extend([Form::Tuned, Form::Naive].map(contender));
            }
            other => missing.push(format!("{name}: it does not build ({other:?})")),
        }
    }
    contenders
}

/// Whether a program is on the path.
pub(crate) fn is_there(program: &str) -> bool {
    let found = |directory: PathBuf| directory.join(program).is_file();
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(found))
}

/// A running Apache Kafka. It ends when this is dropped: `infra/real-parts run` reads a pipe from here.
pub(crate) struct ApacheKafka {
    /// Its bootstrap servers.
    pub(crate) servers: String,
    process: Child,
}

#[derive(Deserialize)]
struct Addresses {
    kafka: String,
}

/// Starts Apache Kafka; without it the embedded one serves.
pub(crate) fn apache_kafka(root: &Path, missing: &mut Vec<String>) -> Option<ApacheKafka> {
    if !is_there("java") || !is_there("mvn") {
        missing.push("Apache Kafka: needs java, mvn; the embedded Kafka is in its place".to_owned());
        return None;
    }
    progress("starting Apache Kafka");
    let start = || {
        let name = format!("bench-{}", std::process::id());
        let mut process = Command::new(root.join("infra/real-parts"))
            .args(["run", "--only", "kafka", "--name", &name])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let output = process.stdout.take().context("no output")?;
        BufReader::new(output).read_line(&mut line)?;
        let addresses: Addresses = serde_json::from_str(&line).context("it did not start")?;
        anyhow::Ok(ApacheKafka { servers: addresses.kafka, process })
    };
    start().map_err(|error| missing.push(format!("Apache Kafka: {error:#}"))).ok()
}

impl Drop for ApacheKafka {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}
