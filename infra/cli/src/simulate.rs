//! `notify-me simulate`: plays the inventory service and its shoppers, and counts the notified ones.
//! This file reads the command line, finds or starts a system, and says what came of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Serialize;
use ulid::Ulid;

use crate::console::{log_to_stderr, say};
use crate::up::{Addresses, Options, System};

mod judge;
mod mails;
mod progress;
mod rules;
mod run;
mod shop;
mod story;

use judge::{Verdict, percentile};
use progress::Progress;
use rules::Rules;
use run::Run;
use shop::Shop;
use story::{Size, Story};

/// How often a system with rules sweeps: what is due comes as precisely as that.
const SWEEP: Duration = Duration::from_secs(1);

const LONG_ABOUT: &str = "\
Play an inventory service and its shoppers, and check the emails.

Products sell out and come back while shoppers subscribe, some of them again and again, some of them during the
fan-out. A product's last restock stands, so in the end every email that is due arrives. The expected emails are worked
out from the requests and their answers.

The summary counts subscriptions: a shopper who subscribes twice before an email counts once. `told` subscriptions got
their email. `lost` ones got none, or only from a later restock than the one that was due. `twice` counts emails too
many, `unasked` emails to shoppers who had not subscribed. `waiting` subscriptions rightly wait: their product never
came back. `inDoubt` are those whose requests all failed or got no answer. Latency is from sending the stock update to
the email. The command fails if any email was lost, sent twice, or unasked.

With --rules, few units come and some are sold between the waves that the rules allow, until the last restock is enough for
everybody. `beyond` counts emails beyond what the stock allowed a wave, `passedOver` shoppers who were told later than one who
had waited less long; a wave that told too few counts its missing ones as `lost`. The command fails if there are any.";

/// What to simulate, and on which system.
#[derive(clap::Args)]
#[command(long_about = LONG_ABOUT)]
pub(crate) struct Args {
    /// The number of products.
    #[arg(long, default_value_t = 20, value_parser = at_least_one)]
    products: usize,
    /// The number of shoppers.
    #[arg(long, default_value_t = 5000, value_parser = at_least_one)]
    shoppers: usize,
    /// The number of restocks, over all products.
    #[arg(long, default_value_t = 100)]
    restocks: usize,
    /// The seed of the story: the same seed makes the same story [default: random].
    #[arg(long)]
    seed: Option<u64>,
    /// Print the summary as JSON.
    #[arg(long)]
    json: bool,
    /// Give up on missing emails after so many seconds without progress. Two sweeps, which would still deliver them, take
    /// less than the default.
    #[arg(long, value_name = "SECONDS", default_value_t = 150)]
    patience: u64,
    /// Rules of stock for the system that is started, as JSON: any of minStock, reserve, perUnit, waveSize and waveEvery
    /// (seconds).
    #[arg(long, value_name = "JSON", value_parser = Rules::read, conflicts_with = "ready_file")]
    rules: Option<Rules>,
    /// Use the running system of this ready file, instead of starting one.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a whole number, 1 or more".to_owned())
}

/// The summary, as `--json` writes it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Summary {
    asked: u64,
    told: u64,
    lost: u64,
    twice: u64,
    unasked: u64,
    beyond: u64,
    passed_over: u64,
    waiting: u64,
    in_doubt: u64,
    latency_ms: Latency,
    seed: u64,
    products: usize,
    shoppers: usize,
    restocks: usize,
    seconds: f64,
}

#[derive(Serialize)]
struct Latency {
    p50: u64,
    p99: u64,
    max: u64,
}

/// Simulates, and says what came of it.
///
/// # Errors
/// When no system can be used, when it refuses a request, when a subscription was lost, and when an email came twice or
/// unasked.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    log_to_stderr();
    let size = Size { products: args.products, shoppers: args.shoppers, restocks: args.restocks };
    // JSON readers hold whole numbers up to 2^53.
    let seed = args.seed.unwrap_or_else(|| rand::random::<u64>() >> 11);
    let rules = args.rules.unwrap_or_default();
    let way = Way { seed, patience: Duration::from_secs(args.patience), rules: &rules };
    let (verdict, seconds) = match &args.ready_file {
        Some(file) => simulate(&Addresses::read(file)?, size, way).await?,
        None => {
            let system = System::start(options(&rules)?).await?;
            let played = simulate(system.addresses(), size, way).await;
            system.stop().await;
            played?
        }
    };
    let right = verdict.is_right();
    let summary = Summary::new(verdict, size, seed, seconds);
    if args.json {
        say(serde_json::to_string(&summary)?);
    } else {
        summary.tell();
    }
    if !right {
        let Summary { lost, twice, unasked, beyond, passed_over, .. } = summary;
        let of_waves = match rules.is_empty() {
            true => String::new(),
            false => format!(", {beyond} notified beyond a wave, {passed_over} passed over"),
        };
        bail!("{lost} lost, {twice} notified twice, {unasked} notified unasked{of_waves}");
    }
    Ok(())
}

/// How to play, whatever the size.
#[derive(Clone, Copy)]
struct Way<'a> {
    seed: u64,
    patience: Duration,
    rules: &'a Rules,
}

/// The system to start for these rules: waves come soon.
fn options(rules: &Rules) -> anyhow::Result<Options> {
    if rules.is_empty() {
        return Ok(Options::default());
    }
    let environment = vec![("RULES".to_owned(), serde_json::to_string(rules)?)];
    Ok(Options { environment, sweep: Some(SWEEP), ..Options::default() })
}

async fn simulate(addresses: &Addresses, size: Size, way: Way<'_>) -> anyhow::Result<(Verdict, f64)> {
    let inbox =
        addresses.inbox.clone().context("this system sends to another SES, so there is no inbox to read")?;
    // A first restock of its own, so that the system's start is not measured: a new consumer group joins for seconds.
    let first = Size { products: 1, shoppers: 1, restocks: 1 };
    let (first, _) = play(addresses, &inbox, first, way).await?;
    let (mut verdict, seconds) = play(addresses, &inbox, size, way).await?;
    verdict.lost += first.lost;
    verdict.twice += first.twice;
    verdict.unasked += first.unasked;
    verdict.beyond += first.beyond;
    verdict.passed_over += first.passed_over;
    Ok((verdict, seconds))
}

async fn play(
    addresses: &Addresses,
    inbox: &str,
    size: Size,
    Way { seed, patience, rules }: Way<'_>,
) -> anyhow::Result<(Verdict, f64)> {
    // Keeps this run apart from others on the same system.
    let name = Ulid::generate().to_string().to_lowercase();
    let story = Story::new(size, seed, &name).under(rules, seed);
    let progress = Progress::new(story.asks(), size.restocks);
    let run = Run::new(&story, &name, Shop::new(addresses.api.clone())?, &progress, (patience, rules));
    let inbox = mails::Inbox::open(inbox.to_owned()).await?;
    let started = Instant::now();
    let played = tokio::select! {
        played = run.play(inbox) => played,
        () = progress.show() => bail!("the progress ended"),
    };
    progress.end();
    Ok((played?, started.elapsed().as_secs_f64()))
}

impl Summary {
    fn new(verdict: Verdict, size: Size, seed: u64, seconds: f64) -> Self {
        let latency = |share| percentile(&verdict.latencies_ms, share);
        Self {
            latency_ms: Latency { p50: latency(50), p99: latency(99), max: latency(100) },
            asked: verdict.asked,
            told: verdict.told,
            lost: verdict.lost,
            twice: verdict.twice,
            unasked: verdict.unasked,
            beyond: verdict.beyond,
            passed_over: verdict.passed_over,
            waiting: verdict.waiting,
            in_doubt: verdict.in_doubt,
            seed,
            products: size.products,
            shoppers: size.shoppers,
            restocks: size.restocks,
            seconds: (seconds * 1_000.0).round() / 1_000.0,
        }
    }

    fn tell(&self) {
        let Self { products, shoppers, restocks, seed, seconds, .. } = self;
        say(format_args!(
            "{products} products, {shoppers} shoppers, {restocks} restocks in {seconds:.1} s (--seed {seed})"
        ));
        let Self { asked, told, lost, twice, unasked, waiting, in_doubt, .. } = self;
        say(format_args!(
            "{asked} subscriptions: {told} notified, {lost} lost, {waiting} rightly waiting; {in_doubt} more in doubt"
        ));
        say(format_args!("{twice} emails too many, {unasked} to shoppers who had not subscribed"));
        if self.beyond + self.passed_over > 0 {
            let Self { beyond, passed_over, .. } = self;
            say(format_args!("{beyond} emails beyond a wave, {passed_over} shoppers passed over"));
        }
        let Latency { p50, p99, max } = self.latency_ms;
        say(format_args!(
            "from the stock update to the email: half within {p50} ms, 99 % within {p99} ms, all within {max} ms"
        ));
    }
}
