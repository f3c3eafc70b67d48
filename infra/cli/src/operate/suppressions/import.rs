//! `notify-me suppressions import`: takes over SES's account-level suppression list, or a list in a file.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use aws_sdk_sesv2::Client;
use domain::PersonKey;
use domain::suppression::Reason;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use lambda::aws::{loader, loader_for_stand_in};
use serde::Serialize;
use store::{Store, erase};

use super::format::{List, Listed, reason};
use crate::operate::place::{PersonArgs, TableArgs};
use crate::operate::show;
use crate::up::{REGION, Target};

/// How many addresses are written side by side.
const SIDE_BY_SIDE: usize = 16;
/// How many unreadable lines are named.
const MOST_NAMED: usize = 20;
/// How often it is said how far it is.
const SAID_EVERY: Duration = Duration::from_secs(5);

const MORE: &str = "\
A list has one address per line, or is in one of SES's forms: CSV (`address,BOUNCE`), JSON lines
(`{\"emailAddress\":…,\"reason\":…}`), or what `aws sesv2 list-suppressed-destinations` prints. A reason is BOUNCE or COMPLAINT, or
one of this system's own words; --reason is that of a line without one. The subscriptions of each address end. What is
suppressed already for a reason that is at least as strong stays as it is, so an import may be repeated.

Lines that cannot be read are told by their numbers: what is in them may be an address.

--json: {read, added, already, unreadable, lines: [number]}.";

/// The list.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The file with the list; `-` is standard input.
    #[arg(value_name = "FILE", required_unless_present = "ses")]
    file: Option<PathBuf>,
    /// SES, whose account-level list is taken over: `aws` is your shell's account and region.
    #[arg(long, value_name = "URL|aws", conflicts_with = "file")]
    ses: Option<Target>,
    /// The reason of a line that gives none: manual, bounce, optedOut, complaint or abuse.
    #[arg(long, value_name = "REASON", default_value_t = Reason::Manual)]
    reason: Reason,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    person: PersonArgs,
    #[command(flatten)]
    table: TableArgs,
}

/// What was done.
#[derive(Default, Serialize)]
struct Imported {
    read: usize,
    added: usize,
    already: usize,
    unreadable: usize,
    lines: Vec<usize>,
}

/// What an import goes by.
struct Import<'a> {
    store: &'a Store,
    key: PersonKey,
    reason: Reason,
    progress: Progress,
}

/// Imports.
///
/// # Errors
/// When the list cannot be read, or the table or SES does not answer. What was written until then stays; an import may be
/// repeated.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let key = args.person.key(&args.table)?;
    let store = args.table.store().await?;
    let import = Import { store: &store, key, reason: args.reason, progress: Progress::new() };
    let mut done = Imported::default();
    let work = async {
        match (&args.ses, &args.file) {
            (Some(ses), _) => import.account(&client(ses).await, &mut done).await,
            (None, Some(file)) => import.of(List::read(&text(file)?), &mut done).await,
            (None, None) => Ok(()),
        }
    };
    tokio::select! {
        worked = work => worked?,
        () = import.progress.say() => {}
    }
    if args.json {
        return show::json(&done);
    }
    let mut facts = vec![
        ("read", done.read.to_string()),
        ("added", done.added.to_string()),
        ("already suppressed", done.already.to_string()),
        ("unreadable", done.unreadable.to_string()),
    ];
    if !done.lines.is_empty() {
        let lines: Vec<String> = done.lines.iter().map(usize::to_string).collect();
        facts.push(("unreadable lines", lines.join(", ")));
    }
    show::facts(&facts);
    Ok(())
}

/// The whole list in a file, or on standard input.
fn text(file: &PathBuf) -> anyhow::Result<String> {
    if file.as_os_str() != "-" {
        return std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()));
    }
    let mut text = String::new();
    std::io::stdin().lock().read_to_string(&mut text).context("cannot read standard input as text")?;
    Ok(text)
}

async fn client(ses: &Target) -> Client {
    let url = match ses {
        Target::Url(url) => Some(url.as_str()),
        Target::Aws => None,
    };
    let aws = match url {
        Some(url) if url.starts_with("http://") => loader_for_stand_in(REGION.to_owned()),
        _ => loader(),
    };
    let mut config = aws_sdk_sesv2::config::Builder::from(&aws.load().await);
    if let Some(url) = url {
        config = config.endpoint_url(url);
    }
    Client::from_conf(config.build())
}

impl Import<'_> {
    /// Takes over the account's list, page by page.
    async fn account(&self, ses: &Client, done: &mut Imported) -> anyhow::Result<()> {
        let mut next = None;
        loop {
            let page = ses.list_suppressed_destinations().set_next_token(next).send().await;
            // SES's words of a refusal hold no address: the request has none.
            let page = page.map_err(|error| anyhow::anyhow!("{}", lambda::error_chain(&error)))?;
            let mut list = List::default();
            for (one, number) in page.suppressed_destination_summaries().iter().zip(1..) {
                let since = Timestamp::from_second(one.last_update_time().secs()).ok();
                match (domain::Address::parse(one.email_address()), reason(one.reason().as_str())) {
                    (Ok(address), Some(reason)) => {
                        list.found.push(Listed { address, reason: Some(reason), since });
                    }
                    _ => list.unreadable.push(done.read + done.unreadable + number),
                }
            }
            self.of(list, done).await?;
            next = page.next_token().map(str::to_owned);
            if next.is_none() {
                return Ok(());
            }
        }
    }

    /// Writes a list.
    async fn of(&self, list: List, done: &mut Imported) -> anyhow::Result<()> {
        done.unreadable += list.unreadable.len();
        let room = MOST_NAMED.saturating_sub(done.lines.len());
        done.lines.extend(list.unreadable.into_iter().take(room));
        let now = Timestamp::now();
        let writes = list.found.into_iter().map(|Listed { address, reason, since }| async move {
            let (person, reason) = (self.key.person(&address), reason.unwrap_or(self.reason));
            let written = erase::suppress(self.store, person, reason, since.unwrap_or(now)).await?;
            self.progress.one();
            anyhow::Ok(written.is_applied())
        });
        let mut writes = stream::iter(writes).buffer_unordered(SIDE_BY_SIDE);
        while let Some(added) = writes.try_next().await? {
            done.read += 1;
            done.added += usize::from(added);
            done.already += usize::from(!added);
        }
        Ok(())
    }
}

/// How far it is, on standard error: a line that moves on a terminal, else a line every few seconds.
struct Progress {
    written: AtomicUsize,
    bar: Option<ProgressBar>,
}

impl Progress {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{elapsed} {pos} addresses") {
                bar.set_style(style);
            }
            bar
        });
        Self { written: AtomicUsize::new(0), bar }
    }

    fn one(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
        if let Some(bar) = &self.bar {
            bar.inc(1);
        }
    }

    /// Says it for ever, where there is no terminal.
    async fn say(&self) {
        loop {
            tokio::time::sleep(SAID_EVERY).await;
            if self.bar.is_none() {
                tracing::info!(addresses = self.written.load(Ordering::Relaxed), "importing");
            }
        }
    }
}
