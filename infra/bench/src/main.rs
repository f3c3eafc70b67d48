//! `bench`: what 1,000 emails cost, against what people would pick instead, and against the limit. This file reads the
//! command line, gets everything ready, and says what came out; each workload has a file of its own.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;

mod build;
mod cgroup;
mod contender;
mod cost;
mod machine;
mod page;
mod rig;
mod stub;
mod workload;

use notify_me::report::Report;
use rig::{Binaries, Rig};
use stub::Stub;
use workload::{cold, decode, instructions, latency, publish, sizes, subscribe, throughput, warm};

const AFTER_HELP: &str = "\
Everything is on loopback, and Linux is what it measures on. Beyond Rust it needs, for the others it measures: Java 17
with Maven, Node.js 20 with npm, Go 1.26, Python 3.10 with venv; for instruction counts valgrind; for processor shares
root. What is missing is named, and the rest is measured. Set BENCH_SHOW to see what contenders write to standard error.";

/// Measure what emails cost.
#[derive(Parser)]
#[command(name = "bench", about, after_help = AFTER_HELP)]
struct Args {
    /// Only what does not depend on the machine's mood, and fail where it got worse.
    #[arg(long)]
    quick: bool,
    /// Only these workloads.
    #[arg(long, value_name = "NAME", value_parser = WORKLOADS)]
    only: Vec<String>,
    /// Write the results as JSON to standard output.
    #[arg(long)]
    json: bool,
    /// Write the results page into this directory.
    #[arg(long, value_name = "DIR")]
    write: Option<PathBuf>,
    /// Leave out the other contenders.
    #[arg(long)]
    ours: bool,
    /// Build nothing of this project, and measure the functions in this directory.
    #[arg(long, value_name = "DIR")]
    binaries: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Hidden>,
}

#[derive(clap::Subcommand)]
enum Hidden {
    /// Run a hot path, for callgrind to look at.
    #[command(hide = true)]
    Hot { path: String, times: u64 },
}

const WORKLOADS: [&str; 11] = [
    "cold",
    "warm",
    "decode",
    "throughput",
    "publish",
    "subscribe",
    "latency",
    "instructions",
    "sizes",
    "counts",
    "cost",
];
const QUICK: [&str; 2] = ["counts", "instructions"];

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let ended = match args.command {
        Some(Hidden::Hot { path, times }) => instructions::hot(&path, times).map(|()| true),
        None => run(args).await,
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            progress(format!("bench: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Says on standard error how far it is.
pub(crate) fn progress(line: impl std::fmt::Display) {
    use std::io::Write as _;
    // A reader that has closed the pipe misses nothing.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Measures, and says whether nothing got worse.
async fn run(args: Args) -> anyhow::Result<bool> {
    let chosen = |name: &str| match (args.only.as_slice(), args.quick) {
        ([], true) => QUICK.contains(&name),
        ([], false) => name != "counts",
        (only, _) => only.iter().any(|one| one == name),
    };
    let root = rig::root();
    let mut missing = Vec::new();
    let compared = ["cold", "warm", "decode", "throughput"].iter().any(|name| chosen(name));
    let notify_me = build::notify_me(&root, args.binaries.is_some())?;
    let functions = match &args.binaries {
        _ if args.quick => None,
        Some(directory) => Some(directory.clone()),
        None => Some(build::functions(&root)?),
    };
    let contenders =
        if compared && !args.quick && !args.ours { build::peers(&root, &mut missing) } else { Vec::new() };
    let apache = if args.quick { None } else { build::apache_kafka(&root, &mut missing) };

    let directory = tempfile::tempdir().context("no place for files")?;
    let stub = Stub::start(directory.path(), apache.as_ref().map(|kafka| kafka.servers.clone())).await?;
    let rig = Rig::new(stub, root, Binaries { functions, notify_me }, contenders)?;
    let (servers, is_apache) = (rig.stub.kafka_servers().to_owned(), apache.is_some());
    let mut reports = Vec::new();
    for name in WORKLOADS.into_iter().filter(|name| chosen(name)) {
        progress(format!("== {name}"));
        let measured: anyhow::Result<Report> = match name {
            "cold" => cold::run(&rig).await,
            "warm" => warm::run(&rig).await,
            "decode" => decode::run(&rig).await,
            "throughput" => throughput::run(&rig).await,
            "publish" => publish::run(&rig, &servers, is_apache).await,
            "subscribe" => subscribe::run(&rig).await,
            "latency" => latency::run(&rig, &servers, is_apache).await,
            "instructions" => instructions::run(),
            "sizes" => sizes::run(&rig),
            "counts" => warm::counts(&rig).await,
            _ => cost::run(&rig).await,
        };
        match measured.with_context(|| name.to_owned()) {
            Ok(report) => reports.push(report),
            // The quick run is a check, which may lack nothing but a program that not every machine has.
            Err(error) if args.quick && (name != "instructions" || build::is_there("valgrind")) => {
                return Err(error);
            }
            Err(error) => missing.push(format!("{error:#}")),
        }
    }
    for gap in &missing {
        progress(format!("NOT MEASURED: {gap}"));
    }
    say(&args, &reports, &missing)?;
    Ok(!args.quick || reports.iter().all(Report::all_reached))
}

fn say(args: &Args, reports: &[Report], missing: &[String]) -> anyhow::Result<()> {
    if args.json {
        notify_me::console::say(serde_json::to_string(&serde_json::json!({
            "machine": machine::describe(), "reports": reports, "notMeasured": missing,
        }))?);
    } else {
        for report in reports {
            notify_me::console::say(report.text());
        }
    }
    if let Some(directory) = &args.write {
        page::write(directory, &WORKLOADS, reports, missing)?;
    }
    Ok(())
}
