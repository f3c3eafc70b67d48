//! `notify-me drill`: kills, disturbs, fills and paces the system, and counts what comes of it, by
//! what SES took. This file reads the command line and says what came out.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::console::{log_to_stderr_at, say};

mod faults;
mod http_tap;
mod kafka_tap;
mod kill;
mod lab;
mod million;
mod paced;
mod progress;
mod wire;

const LONG_ABOUT: &str = "\
Kill, disturb, fill and pace the system, and count what comes of it.

Each drill runs systems of its own, on loopback: the functions' processes are the real ones, and what people got is
counted from what SES took. The command fails when anything is not as promised: nobody lost, nobody told twice but
those of a call whose fate a kill left open (at most 50 for each kill and shard), and the limits that each drill
names. Figures of time and CPU mean something in a release build only: cargo run --release -- drill …";

/// Which drill.
#[derive(clap::Args)]
#[command(long_about = LONG_ABOUT)]
pub(crate) struct Args {
    #[command(subcommand)]
    which: Which,
    /// Write the result as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Write the result into this directory too, as a page (Markdown) with a plot (SVG).
    #[arg(long, global = true, value_name = "DIR")]
    write: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Which {
    /// Kill notify before and after every request it makes, then at random.
    Kill(kill::Args),
    /// Let the parts fail in every way they do, and mend them.
    Faults(faults::Args),
    /// Tell a million people of one product, and three of another beside it.
    Million(million::Args),
    /// Keep to the send rate, with one worker and with many.
    Paced(paced::Args),
}

/// Runs a drill.
///
/// # Errors
/// When it cannot be run, and when something was not as promised.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    // What goes wrong here is meant to: only what nobody expects is logged.
    log_to_stderr_at("off");
    let report = match args.which {
        Which::Kill(args) => kill::run(args).await?,
        Which::Faults(args) => faults::run(args).await?,
        Which::Million(args) => million::run(args).await?,
        Which::Paced(args) => paced::run(args).await?,
    };
    if args.json {
        say(serde_json::to_string(&report)?);
    } else {
        say(report.text());
    }
    if let Some(directory) = &args.write {
        let command: Vec<String> = std::env::args().skip(1).collect();
        report.write(directory, &command.join(" ")).with_context(|| directory.display().to_string())?;
    }
    if !report.failures.is_empty() {
        bail!("not as promised: {}", report.failures.join("; "));
    }
    Ok(())
}
