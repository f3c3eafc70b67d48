//! `notify-me drill`: kills, disturbs, fills and paces the system, and counts what comes of it, by
//! what SES took. This file reads the command line and says what came out.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::console::{log_to_stderr_at, say};

mod abuse;
mod faults;
mod feed;
mod feedback;
mod flapping;
mod http_tap;
mod kafka_tap;
mod kill;
mod lab;
mod million;
mod paced;
mod progress;
mod waves;
mod wire;

const LONG_ABOUT: &str = "\
Kill processes, inject faults, load and pace the system, and check the emails.

Each drill starts its own systems on loopback, with the real processes of the functions, and counts the emails that SES
accepted. The command fails if a promise is broken: no email lost, none sent twice except by a call in doubt after a kill
(at most 50 recipients for each kill and shard), and the limits that each drill names. Measure time and CPU in a release
build only: cargo run --release -- drill …";

/// Which drill.
#[derive(clap::Args)]
#[command(long_about = LONG_ABOUT)]
pub(crate) struct Args {
    #[command(subcommand)]
    which: Which,
    /// Print the result as JSON.
    #[arg(long, global = true)]
    json: bool,
    /// Also write the result into this directory, as a page (Markdown) with a plot (SVG).
    #[arg(long, global = true, value_name = "DIR")]
    write: Option<PathBuf>,
}

#[derive(clap::Subcommand)]
enum Which {
    /// Kill notify before and after each of its requests, then at random.
    Kill(kill::Args),
    /// Let each part fail in every known way, then recover.
    Faults(faults::Args),
    /// Deliver to a million subscribers of one product, and to three of another beside it.
    Million(million::Args),
    /// Tell a waitlist in waves, as many at once as there are units, and restart everything between two of them.
    Waves(waves::Args),
    /// Let the stock of many products come and go, under rules of which stock counts and how long it must hold.
    Flapping(flapping::Args),
    /// Let an inventory say its level every second, twice and again, while many subscribers are emailed.
    Feed(feed::Args),
    /// Email many subscribers of whom too many bounce and complain, and resume each time the breaker pauses.
    Feedback(feedback::Args),
    /// Measure how much of the send rate is used, with one worker and with many.
    Paced(paced::Args),
    /// Sign up from few sources, for one address and by a scanner of links, beside an honest shopper.
    Abuse(abuse::Args),
}

/// Runs a drill.
///
/// # Errors
/// When it cannot be run, and when something was not as promised.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    // What goes wrong here is meant to: only the unexpected is logged.
    log_to_stderr_at("off");
    let report = match args.which {
        Which::Kill(args) => kill::run(args).await?,
        Which::Faults(args) => faults::run(args).await?,
        Which::Million(args) => million::run(args).await?,
        Which::Waves(args) => waves::run(args).await?,
        Which::Flapping(args) => flapping::run(args).await?,
        Which::Feed(args) => feed::run(args).await?,
        Which::Feedback(args) => feedback::run(args).await?,
        Which::Paced(args) => paced::run(args).await?,
        Which::Abuse(args) => abuse::run(args).await?,
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
        bail!("promises broken: {}", report.failures.join("; "));
    }
    Ok(())
}
