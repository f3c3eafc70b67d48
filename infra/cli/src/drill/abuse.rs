//! A robot that signs up made-up addresses from a few networks, one that signs up a single person from a new network each time,
//! and a mail scanner that follows every link; and beside them a shopper each second. What it costs, and what comes of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use domain::ProductId;
use futures::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::lab::{Lab, Setup, names};
use super::progress::Progress;
use super::wire::Fate;
use crate::loopback::client_for;
use crate::report::Report;

/// The limits, as the functions read them: how many at once, and the seconds for one more.
const OF_SOURCE: (usize, u64) = (10, 30);
const OF_ADDRESS: (usize, u64) = (3, 180);
/// Processes of `subscribe`, each of which learns by itself that a limit is used up.
const PROCESSES: usize = 8;
/// The most requests to the table for an ask that is let in, with its confirmation and its limits.
const CALLS_OF_ONE: usize = 40;
/// The most that learning of a limit takes: three limits, two updates each.
const CALLS_OF_A_REFUSAL: usize = 6;
/// What the drill itself reads, twice, and what the functions read as they start.
const READS: usize = 200;
/// Whom the second robot is after.
const VICTIM: &str = "victim@example.com";
/// What SES takes in a second: more than the limits let through.
const SEND_RATE: f64 = 1_000.0;

/// How much, from where, and what is bearable.
#[derive(clap::Args)]
pub(super) struct Args {
    /// Sign-ups of made-up addresses.
    #[arg(long, default_value_t = 100_000)]
    asks: usize,
    /// The networks that those come from.
    #[arg(long, default_value_t = 20)]
    sources: usize,
    /// Sign-ups of one address, each from another network.
    #[arg(long, default_value_t = 50_000)]
    of_one: usize,
    /// Requests under way at a time.
    #[arg(long, default_value_t = 64)]
    at_once: usize,
    /// The longest that the shopper may wait, in milliseconds.
    #[arg(long, default_value_t = 2_000)]
    patience_ms: u64,
}

/// The API, as callers behind one proxy reach it.
struct Api {
    url: String,
    client: reqwest::Client,
}

/// An answer to an ask.
struct Answer {
    status: u16,
    /// Whether the ask is to be confirmed.
    is_confirmed_later: bool,
}

impl Api {
    async fn ask(&self, from: &str, product: &ProductId, email: &str) -> anyhow::Result<Answer> {
        let url = format!("{}/products/{product}/subscriptions", self.url);
        let request = self.client.post(url).header("x-forwarded-for", from);
        let answer = request.json(&json!({ "email": email })).send().await?;
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.unwrap_or_default();
        Ok(Answer { status, is_confirmed_later: body["status"] == "accepted" })
    }

    async fn waiting(&self, product: &ProductId) -> anyhow::Result<u64> {
        let url = format!("{}/products/{product}/subscriptions/count", self.url);
        let count: Value = self.client.get(url).send().await?.error_for_status()?.json().await?;
        count["waiting"].as_u64().context("no count")
    }
}

/// One sign-up of a robot: where it comes from, and for whom.
fn robot(number: usize, args: &Args) -> (String, String) {
    if number < args.asks {
        let from = format!("192.0.2.{}", number % args.sources.max(1));
        return (from, format!("{number}@made-up.example.com"));
    }
    let [_, a, b, c] = u32::try_from(number).unwrap_or_default().to_be_bytes();
    (format!("10.{a}.{b}.{c}"), VICTIM.to_owned())
}

/// How many answers of each status.
type Statuses = BTreeMap<u16, usize>;

/// What came of the robots.
struct Robots {
    made_up: Statuses,
    of_one: Statuses,
}

/// What the shoppers met.
#[derive(Default)]
struct Shoppers {
    asked: usize,
    refused: usize,
    worst: Duration,
    is_confirmed_later: bool,
}

/// Runs it.
///
/// # Errors
/// When the system cannot be started, or does not answer at all.
pub(super) async fn run(args: Args) -> anyhow::Result<Report> {
    anyhow::ensure!((1..=250).contains(&args.sources), "1 to 250 sources");
    let limit = |(burst, seconds): (usize, u64)| format!("{burst}/{seconds}s");
    let environment = vec![
        ("LIMITS", "on".to_owned()),
        ("LIMIT_SOURCE", limit(OF_SOURCE)),
        ("LIMIT_ADDRESS", limit(OF_ADDRESS)),
        ("TRUSTED_PROXIES", "1".to_owned()),
        ("CONFIRMATION", "all".to_owned()),
    ];
    let ses = ses_inbox::Options { max_send_rate: SEND_RATE, ..ses_inbox::Options::default() };
    let lab = Lab::start(Setup { environment, ses, ..Setup::default() }).await?;
    let (product, _) = names("hot")?;
    let api = Api { url: lab.api().to_owned(), client: client_for(lab.api()).build()? };
    lab.wire.arm(|_| Fate::Passed);
    let started = Instant::now();
    let over = AtomicBool::new(false);
    let (robots, shoppers) = tokio::join!(
        async {
            let robots = robots(&api, &product, &args).await;
            over.store(true, Ordering::SeqCst);
            robots
        },
        shoppers(&api, &product, &over),
    );
    let (robots, shoppers) = (robots?, shoppers?);
    let lasted = started.elapsed();
    let before_scan = api.waiting(&product).await?;
    let scanned = scan(&lab, &api).await?;
    // A list of which much was read is counted anew only later, and this one is short.
    let after_scan = api.waiting(&product).await?;
    let calls = lab.wire.disarm();
    let mails: Vec<String> = lab.ses.captured().into_iter().map(|mail| mail.to).collect();
    lab.stop().await;
    let seen = Seen { robots, shoppers, lasted, before_scan, after_scan, scanned, calls, mails };
    Ok(seen.judged(&args))
}

/// Both robots, side by side.
async fn robots(api: &Api, product: &ProductId, args: &Args) -> anyhow::Result<Robots> {
    let total = args.asks + args.of_one;
    let (progress, done) = (Progress::new(total, "sign-ups"), AtomicUsize::new(0));
    let flood = async |numbers: Range<usize>| {
        let asks = stream::iter(numbers).map(|number| async move {
            let (from, email) = robot(number, args);
            anyhow::Ok(api.ask(&from, product, &email).await?.status)
        });
        let mut asks = asks.buffer_unordered(args.at_once.div_ceil(2));
        let mut statuses = Statuses::new();
        while let Some(status) = asks.next().await {
            *statuses.entry(status?).or_default() += 1;
            progress.at(done.fetch_add(1, Ordering::SeqCst) + 1);
        }
        anyhow::Ok(statuses)
    };
    let (made_up, of_one) = tokio::try_join!(flood(0..args.asks), flood(args.asks..total))?;
    Ok(Robots { made_up, of_one })
}

/// A shopper each second, as long as the robots are at work, and one after them.
async fn shoppers(api: &Api, product: &ProductId, over: &AtomicBool) -> anyhow::Result<Shoppers> {
    let mut shoppers = Shoppers::default();
    let mut seconds = tokio::time::interval(Duration::from_secs(1));
    loop {
        let was_over = over.load(Ordering::SeqCst);
        seconds.tick().await;
        let number = shoppers.asked;
        let from = format!("198.51.100.{}", number % 250);
        let asked = Instant::now();
        let answer = api.ask(&from, product, &format!("{number}@honest.example.com")).await?;
        shoppers.worst = shoppers.worst.max(asked.elapsed());
        shoppers.asked += 1;
        shoppers.refused += usize::from(!(200..300).contains(&answer.status));
        shoppers.is_confirmed_later |= answer.is_confirmed_later;
        if was_over {
            return Ok(shoppers);
        }
    }
}

/// Follows every link of every email, as a mail scanner does. Gives how many.
async fn scan(lab: &Lab, api: &Api) -> anyhow::Result<usize> {
    let inbox = format!("{}/_aws/ses", lab.ses.url());
    let inbox: Value = api.client.get(inbox).send().await?.error_for_status()?.json().await?;
    let links: Vec<String> = inbox["messages"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|mail| mail["Body"]["text_part"].as_str())
        .flat_map(|text| text.split_whitespace().filter(|word| word.starts_with(&api.url)))
        .map(str::to_owned)
        .collect();
    for link in &links {
        api.client.get(link).send().await?;
    }
    Ok(links.len())
}

/// What the drill saw.
struct Seen {
    robots: Robots,
    shoppers: Shoppers,
    lasted: Duration,
    /// How many waited before the scanner came, and after it.
    before_scan: u64,
    after_scan: u64,
    scanned: usize,
    /// The requests to the parts, by their names.
    calls: Vec<String>,
    /// The recipients of the emails.
    mails: Vec<String>,
}

/// What it adds up to.
struct Sums {
    /// Made-up addresses that were let in, and the most that may be.
    made_up: usize,
    most_made_up: usize,
    /// The same of the one address.
    of_one: usize,
    most_of_one: usize,
    /// All asks that were let in.
    all_in: usize,
    mails_to_one: usize,
    /// Requests to the table, and the writes among them.
    table: usize,
    writes: usize,
    most_calls: usize,
}

impl Seen {
    /// The most that a limit lets in, for each that it limits.
    fn most(&self, (burst, seconds): (usize, u64)) -> usize {
        burst + usize::try_from(self.lasted.as_secs() / seconds).unwrap_or(usize::MAX) + 1
    }

    /// Holds what was seen against what is promised.
    fn judged(&self, args: &Args) -> Report {
        let mut report = head(args);
        let Shoppers { asked, refused, worst, is_confirmed_later } = self.shoppers;
        let sums = self.sums(args);
        let Sums { made_up, of_one, all_in, mails_to_one, table, .. } = sums;
        let others = others(&self.robots.made_up) + others(&self.robots.of_one);
        let mails = self.mails.len();
        let unconfirmed = if is_confirmed_later { self.after_scan } else { 0 };
        let most = sums.most_calls;
        for (kept, otherwise) in [
            (
                made_up <= sums.most_made_up,
                format!("{made_up} made-up addresses were let in, where {} may be", sums.most_made_up),
            ),
            (
                of_one <= sums.most_of_one,
                format!("one address was let in {of_one} times, where {} may be", sums.most_of_one),
            ),
            (others == 0, format!("{others} sign-ups were neither let in nor answered 429")),
            (refused == 0, format!("{refused} of {asked} shoppers were refused")),
            (worst <= Duration::from_millis(args.patience_ms), format!("a shopper waited for {worst:?}")),
            (mails_to_one <= of_one, format!("{mails_to_one} emails to one person")),
            (mails <= all_in, format!("{mails} emails for {all_in} asks")),
            (self.after_scan == self.before_scan, "the scanner changed who waits".to_owned()),
            (unconfirmed == 0, format!("{unconfirmed} wait who confirmed nothing")),
            (table <= most, format!("{table} requests to the table, where {most} are enough")),
        ] {
            report.demand(kept, || otherwise);
        }
        for (figure, value) in self.figures(args, &sums) {
            report.row(vec![("figure", json!(figure)), ("value", value)]);
        }
        report
    }

    fn sums(&self, args: &Args) -> Sums {
        let (made_up, of_one) = (let_in(&self.robots.made_up), let_in(&self.robots.of_one));
        let all_in = made_up + of_one + self.shoppers.asked;
        Sums {
            made_up,
            most_made_up: args.sources * self.most(OF_SOURCE),
            of_one,
            most_of_one: self.most(OF_ADDRESS),
            all_in,
            mails_to_one: self.mails.iter().filter(|to| *to == VICTIM).count(),
            table: self.calls.iter().filter(|call| call.starts_with("table ")).count(),
            writes: self.calls.iter().filter(|call| is_write(call)).count(),
            most_calls: all_in * CALLS_OF_ONE + self.learnt(args) * CALLS_OF_A_REFUSAL + READS,
        }
    }

    fn figures(&self, args: &Args, sums: &Sums) -> [(&'static str, Value); 15] {
        let Shoppers { asked, refused, worst, .. } = self.shoppers;
        [
            ("sign-ups of made-up addresses", json!(args.asks)),
            ("of those let in", json!(sums.made_up)),
            ("that may be", json!(sums.most_made_up)),
            ("sign-ups of one address", json!(args.of_one)),
            ("of that one let in", json!(sums.of_one)),
            ("that may be of that one", json!(sums.most_of_one)),
            ("sign-ups a second", json!(rate(args.asks + args.of_one, self.lasted))),
            ("emails", json!(self.mails.len())),
            ("emails to the one address", json!(sums.mails_to_one)),
            ("links that the scanner followed", json!(self.scanned)),
            ("people who wait", json!(self.after_scan)),
            ("requests to the table", json!(sums.table)),
            ("writes among them", json!(sums.writes)),
            ("shoppers beside it who were let in", json!(asked - refused)),
            ("the longest that a shopper waited (ms)", json!(worst.as_millis() as u64)),
        ]
    }

    /// How often a process may have asked the table about a limit that was used up: each of them for each source, and for
    /// the one address, as often as it came back.
    fn learnt(&self, args: &Args) -> usize {
        PROCESSES * (args.sources * self.most(OF_SOURCE) + self.most(OF_ADDRESS))
    }
}

/// The page's head: what is done, and what is promised.
fn head(args: &Args) -> Report {
    let Args { asks, sources, of_one, patience_ms, .. } = args;
    Report::new(
        "abuse",
        "Drill: abuse",
        format!(
            "A robot signs up {asks} made-up addresses for one product from {sources} networks, another signs up one address \
             {of_one} times, each time from a new network; a mail scanner follows every link of every email; and each second a \
             shopper signs up for the same product. Limits: {} at once and one every {} s for a network, {} and one every {} s for an \
             address. Promised: no more is let in than the limits say, all else is answered 429; there is at most one email for \
             each ask that is let in; the scanner changes nothing, and nobody waits who confirmed nothing, where asks are to be \
             confirmed; what is refused costs the table next to nothing; no shopper is refused, or waits for more than {patience_ms} ms.",
            OF_SOURCE.0, OF_SOURCE.1, OF_ADDRESS.0, OF_ADDRESS.1,
        ),
    )
}

fn let_in(statuses: &Statuses) -> usize {
    statuses.iter().filter(|(status, _)| (200..300).contains(*status)).map(|(_, count)| count).sum()
}

fn others(statuses: &Statuses) -> usize {
    let known = |status: u16| (200..300).contains(&status) || status == 429;
    statuses.iter().filter(|(status, _)| !known(**status)).map(|(_, count)| count).sum()
}

fn is_write(call: &str) -> bool {
    matches!(call, "table PutItem" | "table UpdateItem" | "table DeleteItem" | "table TransactWriteItems")
}

fn rate(count: usize, lasted: Duration) -> u64 {
    (count as f64 / lasted.as_secs_f64().max(0.001)).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> Args {
        Args { asks: 3, sources: 2, of_one: 2, at_once: 1, patience_ms: 50 }
    }

    fn seen() -> Seen {
        Seen {
            robots: Robots {
                made_up: Statuses::from([(202, 20), (429, 80)]),
                of_one: Statuses::from([(202, 3), (429, 47)]),
            },
            shoppers: Shoppers {
                asked: 1,
                refused: 0,
                worst: Duration::from_millis(9),
                is_confirmed_later: true,
            },
            lasted: Duration::from_secs(1),
            before_scan: 0,
            after_scan: 0,
            scanned: 24,
            calls: vec!["table UpdateItem".to_owned(); 90],
            mails: vec![VICTIM.to_owned(); 3],
        }
    }

    #[test]
    fn the_robots_come_from_few_networks_and_from_ever_new_ones() {
        let from: Vec<(String, String)> = (0..5).map(|number| robot(number, &args())).collect();
        assert_eq!((&from[0].0, &from[2].0), (&from[2].0, &from[0].0));
        assert!(from[0].0 != from[1].0 && from[0].1 != from[2].1);
        assert!(from[3].0 != from[4].0 && from[3].1 == VICTIM && from[4].1 == VICTIM);
    }

    #[test]
    fn what_is_as_promised_fails_nothing_and_each_promise_can_be_broken() {
        assert_eq!(seen().judged(&args()).failures, Vec::<String>::new());
        type Breaks = fn(&mut Seen);
        let broken: [(&str, Breaks); 9] = [
            ("made-up addresses were let in", |seen| *seen.robots.made_up.entry(202).or_default() += 9),
            ("one address was let in", |seen| *seen.robots.of_one.entry(202).or_default() += 9),
            ("neither let in nor answered 429", |seen| *seen.robots.made_up.entry(503).or_default() += 1),
            ("shoppers were refused", |seen| seen.shoppers.refused = 1),
            ("a shopper waited", |seen| seen.shoppers.worst = Duration::from_secs(1)),
            ("emails to one person", |seen| seen.mails.push(VICTIM.to_owned())),
            ("emails for", |seen| seen.mails = vec!["x@example.com".to_owned(); 99]),
            ("the scanner changed", |seen| seen.before_scan = 1),
            ("requests to the table", |seen| seen.calls = vec!["table GetItem".to_owned(); 9_999]),
        ];
        for (words, breaks) in broken {
            let mut seen = seen();
            breaks(&mut seen);
            let failures = seen.judged(&args()).failures;
            assert!(failures.iter().any(|failure| failure.contains(words)), "{words}: {failures:?}");
        }
        let mut unconfirmed = seen();
        (unconfirmed.before_scan, unconfirmed.after_scan) = (4, 4);
        assert_eq!(unconfirmed.judged(&args()).failures, ["4 wait who confirmed nothing"]);
        unconfirmed.shoppers.is_confirmed_later = false;
        assert_eq!(unconfirmed.judged(&args()).failures, Vec::<String>::new());
    }
}
