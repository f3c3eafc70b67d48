//! What the flow is tested on: `notify-me up` in processes of its own, as a person would start it, and the few
//! things that people and other programs do with it.

use std::io::{BufRead as _, BufReader};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::types::AttributeValue;
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;

mod kafka;
mod parts;
mod shop;

pub(crate) use kafka::{Record, TOPICS};
pub(crate) use parts::{Parts, are_real, repository};
pub(crate) use shop::{Answer, header, link_after, tag, text};

/// How long anything here may take before the test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How long a system on real parts may take to leave its groups before it is killed.
const FAREWELL: Duration = Duration::from_secs(5);

/// A system of the test's own. Dropping it ends it.
pub(crate) struct System {
    pub(crate) ready: Ready,
    pub(crate) ready_file: PathBuf,
    folder: Option<TempDir>,
    process: Child,
    log: Log,
    parts: Parts,
}

/// The ready file.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ready {
    pub(crate) api: String,
    pub(crate) kafka: String,
    pub(crate) dynamodb: String,
    pub(crate) table: String,
    pub(crate) ses: String,
    pub(crate) inbox: String,
    pub(crate) person_key: String,
}

impl System {
    /// `notify-me up` on a free port, with these arguments and variables beside it, once it accepts work.
    pub(crate) fn start(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_on(Parts::new(), arguments, environment)
    }

    /// The same on the parts of one that has ended: real ones still have what it wrote.
    pub(crate) fn again(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_on(self.parts.clone(), arguments, environment)
    }

    /// The same on these parts.
    pub(crate) fn start_on(parts: Parts, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::launch(Command::new(env!("CARGO_BIN_EXE_notify-me")), parts, arguments, environment)
    }

    fn launch(mut command: Command, parts: Parts, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ready_file = folder.path().join("ready.json");
        let mut process = command
            .args(["up", "--port", "0", "--ready-file"])
            .arg(&ready_file)
            .args(parts.arguments())
            .args(arguments)
            .env("RUST_LOG", "warn")
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Log::of(process.stderr.take().unwrap());
        let started = Instant::now();
        let ready = loop {
            if let Some(ready) = read(&ready_file) {
                break ready;
            }
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "it ended before it was ready ({ended:?}):\n{}", log.since(0));
            assert!(started.elapsed() < PATIENCE, "it is not ready in time:\n{}", log.since(0));
            std::thread::sleep(Duration::from_millis(20));
        };
        Self { ready, ready_file, folder: Some(folder), process, log, parts }
    }

    /// What a test does with it, with what it logs from here on shown when the test fails.
    pub(crate) fn shop(&self) -> Shop {
        Shop {
            ready: self.ready.clone(),
            http: reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap(),
            from: self.log.length(),
            log: self.log.clone(),
        }
    }

    /// A client of its DynamoDB, for what no function of ours writes.
    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        parts::dynamodb_at(&self.ready.dynamodb)
    }

    /// Gives a product's waitlist so many shards, as one has that was long once.
    pub(crate) async fn raise_shards(&self, product: &str, shards: u16) {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let update = self.dynamodb().update_item().table_name(&self.ready.table);
        let update = update.key("pk", text(&format!("P#{product}"))).key("sk", text("STATE"));
        let update = update.update_expression("SET shards = :shards");
        let shards = AttributeValue::N(shards.to_string());
        update.expression_attribute_values(":shards", shards).send().await.unwrap();
    }

    /// How many shards are recorded of a product's waitlist.
    pub(crate) async fn shards(&self, product: &str) -> Option<u16> {
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let get = self.dynamodb().get_item().table_name(&self.ready.table).consistent_read(true);
        let get = get.key("pk", text(&format!("P#{product}"))).key("sk", text("STATE"));
        get.send().await.unwrap().item?.get("shards")?.as_n().ok()?.parse().ok()
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.since(0)
    }

    /// Sends a signal, such as `INT`, and gives how the process ended.
    pub(crate) fn end(&mut self, signal: &str) -> std::process::ExitStatus {
        let ended = self.ended_within(PATIENCE, signal);
        ended.unwrap_or_else(|| panic!("it does not end:\n{}", self.log()))
    }

    fn ended_within(&mut self, limit: Duration, signal: &str) -> Option<std::process::ExitStatus> {
        let sent = Command::new("kill").args([&format!("-{signal}"), &self.id().to_string()]).status();
        assert!(sent.unwrap().success());
        let started = Instant::now();
        while started.elapsed() < limit {
            if let Some(status) = self.process.try_wait().unwrap() {
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for System {
    fn drop(&mut self) {
        let ended = matches!(self.process.try_wait(), Ok(Some(_)));
        // A real Kafka keeps a killed consumer in its group for ten seconds, and no test can use these parts meanwhile.
        let left = !ended && are_real() && self.ended_within(FAREWELL, "TERM").is_some();
        if !ended && !left {
            // Its functions end with it.
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

/// A system that tests share, each with products of its own. Nothing drops it, so it hangs on this process's
/// end of a pipe: a shell that reads it kills the system when the tests are over, however they end.
pub(crate) fn shared() -> Shop {
    static SHARED: OnceLock<System> = OnceLock::new();
    let system = SHARED.get_or_init(|| {
        let script = r#""$0" "$@" & read -r _; kill -KILL $!; wait"#;
        let mut shell = Command::new("sh");
        shell.args(["-c", script, env!("CARGO_BIN_EXE_notify-me")]);
        let mut system = System::launch(shell, Parts::new(), &[], &[]);
        // No other process would remove it.
        drop(system.folder.take());
        system
    });
    system.shop()
}

/// A running system, as people and other programs see it.
pub(crate) struct Shop {
    pub(crate) ready: Ready,
    http: reqwest::Client,
    log: Log,
    from: usize,
}

impl Drop for Shop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("What the system said meanwhile:\n{}", self.log.since(self.from));
        }
    }
}

impl Deref for Shop {
    type Target = Ready;

    fn deref(&self) -> &Ready {
        &self.ready
    }
}

/// The lines that a process writes to standard error.
#[derive(Clone)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn of(stream: std::process::ChildStderr) -> Self {
        let log = Self(Arc::default());
        let lines = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                lines.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        log
    }

    fn length(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn since(&self, line: usize) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[line..].join("\n")
    }
}

/// What is in the ready file once it is there.
fn read(file: &Path) -> Option<Ready> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

/// Looks until there is something to see.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
}

/// The processes that this one has started.
pub(crate) fn children(of: u32) -> Vec<u32> {
    let listed = Command::new("ps").args(["-A", "-o", "pid=,ppid="]).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let pairs = listed.lines().map(|line| {
        let mut numbers = line.split_whitespace().map(|number| number.parse().unwrap());
        (numbers.next().unwrap(), numbers.next().unwrap())
    });
    pairs.filter(|(_, parent)| *parent == of).map(|(id, _)| id).collect()
}

/// Whether a process still runs; one that has ended and is its parent's to bury does not.
pub(crate) fn runs(id: u32) -> bool {
    let listed = Command::new("ps").args(["-o", "stat=", "-p", &id.to_string()]).output().unwrap();
    let state = String::from_utf8(listed.stdout).unwrap();
    !state.trim().is_empty() && !state.trim().starts_with('Z')
}

/// A sample event of the repository.
pub(crate) fn sample(name: &str) -> Value {
    let file = repository().join("events").join(name);
    let text = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    serde_json::from_slice(&text).unwrap()
}
