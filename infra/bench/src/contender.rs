//! A program that is measured: how it is started, invoked and looked at. All are driven in the same way.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use axum::body::Bytes;
use lambda_host::Outcome;
use lambda_host::runtime_api::{Endpoint, Job};
#[cfg(target_os = "linux")]
use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use serde_json::Value;
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;

use crate::cgroup::Group;
use crate::stub::{SUBSCRIPTIONS, Stub, TABLE};

/// How long an invocation may take: Lambda's most.
const TIMEOUT: Duration = Duration::from_secs(840);
/// How long a contender may take to start.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The settings that all share.
const SHOP: [(&str, &str); 8] = [
    ("SENDER", "shop@example.com"),
    ("SHOP_NAME", "Notify Me"),
    ("PRODUCT_URL", "https://shop.example/products/{productId}"),
    ("UNSUBSCRIBE_URL", "https://shop.example/unsubscribe/{token}"),
    ("UNSUBSCRIBE_KEY", "a key for benchmarks and nothing else"),
    ("CONFIRM_URL", "https://shop.example/confirm/{token}"),
    ("ALERTS_URL", "https://shop.example/alerts/{token}"),
    ("PERSON_KEY", "another key for benchmarks and nothing else"),
];

/// As tutorials show it, or as an expert would write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One recipient at a time, one table write for each.
    Naive,
    /// Bulk sends, paging, batched writes, several calls at once.
    Tuned,
}

impl Form {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::Tuned => "tuned",
        }
    }
}

/// Where its events come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Feed {
    /// The Lambda Runtime API.
    Runtime,
    /// Itself: it polls Kafka.
    Kafka,
}

/// A program to be measured.
#[derive(Debug, Clone)]
pub(crate) struct Contender {
    pub(crate) name: &'static str,
    pub(crate) form: Form,
    pub(crate) feed: Feed,
    /// Whether it is this project's.
    pub(crate) ours: bool,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
}

impl Contender {
    /// One of this project's functions.
    pub(crate) fn ours(name: &'static str, program: PathBuf, arguments: Vec<String>) -> Self {
        Self { name, form: Form::Tuned, feed: Feed::Runtime, ours: true, program, arguments }
    }

    /// How it is called in tables.
    pub(crate) fn label(&self) -> String {
        if self.ours {
            format!("Notify Me ({})", self.name)
        } else {
            format!("{}, {}", self.name, self.form.word())
        }
    }
}

/// A running contender. It is killed when this is dropped.
pub(crate) struct Running {
    process: Child,
    /// Waiting for the process would close it.
    _input: Option<ChildStdin>,
    pid: u32,
    endpoint: Endpoint,
    /// When it was started.
    pub(crate) started: Instant,
    group: Option<Group>,
}

impl Running {
    /// Starts one.
    ///
    /// # Errors
    /// When it cannot be.
    pub(crate) async fn start(
        contender: &Contender,
        stub: &Stub,
        more: &[(&str, String)],
    ) -> anyhow::Result<Self> {
        let endpoint =
            Endpoint::serve("arn:aws:lambda:us-east-1:000000000000:function:bench".to_owned()).await?;
        let table = if contender.ours { TABLE } else { SUBSCRIPTIONS };
        let mut command = Command::new(&contender.program);
        command.args(&contender.arguments).env_clear();
        for inherited in ["PATH", "HOME", "JAVA_HOME"] {
            command.envs(std::env::var_os(inherited).map(|value| (inherited, value)));
        }
        command
            .envs(SHOP)
            .envs(stub.environment())
            .env("TABLE_NAME", table)
            .env("FORM", contender.form.word())
            .env("LAYOUT_DIR", layouts()?)
            .env("REPORT_BATCH_ITEM_FAILURES", "true")
            // All of the account's rate, as the others have it.
            .env("RESERVED_PERCENT", "0")
            .env("AWS_LAMBDA_RUNTIME_API", endpoint.address().to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "bench")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512")
            .env("AWS_LAMBDA_LOG_FORMAT", "JSON")
            .env("AWS_REGION", "us-east-1")
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "bench")
            .env("AWS_SECRET_ACCESS_KEY", "bench")
            .env("AWS_SESSION_TOKEN", "bench")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(more.iter().map(|(name, value)| (*name, value)))
            // Open for as long as this lives: a function in notify-me ends with its host.
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(if std::env::var_os("BENCH_SHOW").is_some() { Stdio::inherit() } else { Stdio::null() })
            .kill_on_drop(true);
        let started = Instant::now();
        let mut process = command.spawn().with_context(|| contender.program.display().to_string())?;
        let pid = process.id().context("it ended at once")?;
        let input = process.stdin.take();
        Ok(Self { process, _input: input, pid, endpoint, started, group: None })
    }

    /// Waits until it asks for work, and gives when it did.
    ///
    /// # Errors
    /// When it ends or does not ask.
    pub(crate) async fn ready(&mut self) -> anyhow::Result<Instant> {
        tokio::select! {
            () = self.endpoint.ready() => Ok(Instant::now()),
            status = self.process.wait() => bail!("it ended before it asked for work: {}", status?),
            () = tokio::time::sleep(START_LIMIT) => bail!("it does not ask for work"),
        }
    }

    /// Gives it, from now on, the processor share of a function with so much memory.
    ///
    /// # Errors
    /// Where there are no shares.
    pub(crate) fn share(&mut self, memory_mb: u32) -> anyhow::Result<()> {
        let group = Group::of_memory(memory_mb)?;
        group.take(self.pid)?;
        self.group = Some(group);
        Ok(())
    }

    /// Runs an invocation and gives its answer.
    ///
    /// # Errors
    /// When it fails or takes too long.
    pub(crate) async fn invoke(&mut self, payload: &Value) -> anyhow::Result<Value> {
        match self.outcome(payload).await? {
            Outcome::Answer(answer) => Ok(serde_json::from_slice(&answer)?),
            Outcome::Error(error) => bail!("it failed: {}", String::from_utf8_lossy(&error.body)),
        }
    }

    /// Runs an invocation that is to fail.
    ///
    /// # Errors
    /// When it does not fail.
    pub(crate) async fn refused(&mut self, payload: &Value) -> anyhow::Result<()> {
        let outcome = self.outcome(payload).await?;
        ensure!(matches!(outcome, Outcome::Error(_)), "it took what it was to refuse");
        Ok(())
    }

    async fn outcome(&mut self, payload: &Value) -> anyhow::Result<Outcome> {
        let (taken, _) = oneshot::channel();
        let (reply, replied) = oneshot::channel();
        let id = lambda_host::request_id();
        let payload = Bytes::from(serde_json::to_vec(payload)?);
        self.endpoint.offer(Job { id, payload, timeout: TIMEOUT, taken, reply }).await;
        tokio::select! {
            outcome = replied => outcome.context("the Runtime API ended"),
            status = self.process.wait() => bail!("it ended during an invocation: {}", status?),
            () = tokio::time::sleep(TIMEOUT) => bail!("an invocation takes too long"),
        }
    }

    /// The processor time that it has used.
    ///
    /// # Errors
    /// When it is gone.
    #[cfg(target_os = "linux")]
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(self.pid)?))?;
        Ok(Duration::from(clock_gettime(clock)?))
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        bail!("contenders are measured on Linux")
    }

    /// The most memory that it has had, in MB (resident set).
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn peak_mb(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        let kib: f64 = line.trim().trim_end_matches(" kB").trim().parse()?;
        Ok(kib / 1_024.0)
    }

    /// Ends it.
    pub(crate) async fn stop(mut self) {
        // It is gone already where this fails.
        let _ = self.process.kill().await;
    }
}

/// Where the email's layouts are: as they are sent for a product with picture and price, which every contender sends.
fn layouts() -> anyhow::Result<PathBuf> {
    let folder = crate::rig::root().join("target/bench-layouts");
    let text = |text: &str| Some(text.to_owned());
    let info = domain::stock::ProductInfo {
        name: text("x"),
        url: text("x"),
        image_url: text("x"),
        price: text("x"),
    };
    let id = domain::ProductId::parse("x").map_err(anyhow::Error::msg)?;
    let shop = domain::mail::Shop {
        name: String::new(),
        address: None,
        product_url: String::new(),
        unsubscribe_url: String::new(),
        alerts_url: String::new(),
    };
    let layout = domain::mail::Layout::of(&domain::mail::Offer::new(&id, Some(&info), &shop), &shop);
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("layout.html"), layout.html)?;
    std::fs::write(folder.join("layout.txt"), layout.text)?;
    Ok(folder)
}
