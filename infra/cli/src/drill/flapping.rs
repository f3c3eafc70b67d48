//! Many products whose stock comes and goes every few seconds, under rules of which stock counts and how long it must hold.
//! What each email was sent for is held against what was said of its product; `flapping/oracle.rs` decides.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::{ProductId, RestockId};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::lab::{Lab, Setup, names};
use super::progress::Progress;
use crate::embedded::kafka;
use crate::report::{Plot, Report};

mod nature;
mod oracle;

use nature::Nature;
use oracle::{Count, Email, Event, Rules};

/// How long stock must hold, in seconds, and how many a settled restock tells at once.
const SETTLE: u64 = 3;
const WAVE: usize = 2;
/// Longer than any drill: of each restock only its first wave comes.
const WAVE_EVERY: u64 = 86_400;
const SHARDS: u16 = 2;
/// The number of recipients that SES accepts per second.
const RATE: f64 = 50_000.0;
/// How many products are seeded, or said something of, at a time.
const AT_ONCE: usize = 8;
/// How often it is looked how far the records are worked on.
const LOOK: Duration = Duration::from_millis(100);
const SWEEP: Duration = Duration::from_secs(1);
/// How long no email may come before the drill gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// How many, and how long.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The number of products.
    #[arg(long, default_value_t = 1_000, value_parser = at_least_one)]
    products: usize,
    /// The number of subscribers, over all products.
    #[arg(long, default_value_t = 100_000)]
    people: usize,
    /// For how many seconds stock comes and goes.
    #[arg(long, default_value_t = 600)]
    seconds: u64,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|number| *number > 0).ok_or_else(|| "a whole number, 1 or more".to_owned())
}

/// A product, and what was said of it.
struct Line {
    id: ProductId,
    nature: Nature,
    people: usize,
    events: Vec<Said>,
}

/// A stock update that was said.
struct Said {
    restock: RestockId,
    quantity: u64,
    /// What its sender says, in Unix milliseconds.
    at_ms: i64,
    /// Where its record lies.
    place: (i32, i64),
}

/// Runs it.
///
/// # Errors
/// When the system cannot be started, or a record is not taken.
pub(super) async fn run(args: Args) -> anyhow::Result<Report> {
    let rules = json!({ "settle": SETTLE, "waveSize": WAVE, "waveEvery": WAVE_EVERY });
    let environment = vec![("RULES", rules.to_string()), ("RESERVED_PERCENT", "0".to_owned())];
    let ses = ses_inbox::Options { max_send_rate: RATE, ..ses_inbox::Options::default() };
    let lab = Lab::start(Setup { environment, ses, shards: SHARDS, sweep: Some(SWEEP), ..Setup::default() });
    let lab = lab.await?;
    let mut lines = (0..args.products).map(|n| Line::new(n, &args)).collect::<anyhow::Result<Vec<_>>>()?;
    seed(&lab, &lines, args.people).await?;
    let taken = Taken::watch(&lab)?;
    let started = Instant::now();
    let progress = Progress::new(usize::try_from(args.seconds)?, "seconds");
    let until = started + Duration::from_secs(args.seconds);
    let seconds = async {
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_secs(1)).await;
            progress.at(usize::try_from(started.elapsed().as_secs())?);
        }
        anyhow::Ok(())
    };
    let flaps = futures::future::try_join_all(lines.iter_mut().map(|line| line.flap(&lab, until)));
    futures::future::try_join(flaps, seconds).await?;
    drop(progress);
    let flapped = lab.ses.captured().len();
    settle_all(&lab, &mut lines, args.people).await?;
    let emails = emails(&lab);
    let taken = taken.end();
    lab.stop().await;
    Ok(judged(&args, &lines, &emails, &taken, flapped))
}

impl Line {
    fn new(number: usize, args: &Args) -> anyhow::Result<Self> {
        let (id, _) = names(&format!("flap-{number}"))?;
        let people = args.people / args.products + usize::from(number < args.people % args.products);
        Ok(Self { id, nature: Nature::of(number), people, events: Vec::new() })
    }

    /// Says one level after another, as its nature is, and at last that it is sold out.
    async fn flap(&mut self, lab: &Lab, until: Instant) -> anyhow::Result<()> {
        let mut quantity = 0;
        tokio::time::sleep(Duration::from_millis(rand::random_range(0..3_000))).await;
        while Instant::now() < until {
            let hold;
            (quantity, hold) = self.nature.next(quantity, Duration::from_secs(SETTLE));
            self.say(lab, quantity, self.nature.rules()).await?;
            tokio::time::sleep(hold).await;
        }
        self.say(lab, 0, self.nature.rules()).await
    }

    /// Says a level, under an id that names this product's update.
    async fn say(&mut self, lab: &Lab, quantity: u64, rules: Option<Value>) -> anyhow::Result<()> {
        let (_, restock) = names(&format!("{}-{}", self.id, self.events.len()))?;
        let at = jiff::Timestamp::now();
        let mut value =
            json!({ "productId": self.id, "restockId": restock, "quantity": quantity, "occurredAt": at });
        if let Some(rules) = rules {
            value["rules"] = rules;
        }
        let place = lab.produce(kafka::RESTOCKS, self.id.as_str(), &value.to_string()).await?;
        self.events.push(Said { restock, quantity, at_ms: at.as_millisecond(), place });
        Ok(())
    }
}

/// Lets the people wait.
async fn seed(lab: &Lab, lines: &[Line], people: usize) -> anyhow::Result<()> {
    let progress = Progress::new(people, "people ask to be told");
    let written = Mutex::new(0);
    let seeded = lines.iter().map(|line| {
        let (progress, written) = (&progress, &written);
        async move {
            lab.seed(&line.id, line.people, |_| ()).await?;
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            *written += line.people;
            progress.at(*written);
            anyhow::Ok(())
        }
    });
    stream::iter(seeded).buffer_unordered(AT_ONCE).try_collect().await
}

/// Lets the stock of every product hold in the end, enough for everybody, and waits until all are told.
async fn settle_all(lab: &Lab, lines: &mut [Line], people: usize) -> anyhow::Result<()> {
    tokio::time::sleep(Duration::from_secs(SETTLE)).await;
    let said = lines.iter_mut().map(|line| {
        let rules = json!({ "waveSize": people });
        let enough = line.nature.least() + people as u64;
        line.say(lab, enough, Some(rules))
    });
    stream::iter(said).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    let progress = Progress::new(people, "people are told");
    let mut last = (Instant::now(), 0);
    while last.0.elapsed() < PATIENCE && last.1 < people {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let told = lab.ses.counts().mails;
        progress.at(told);
        if told > last.1 {
            last = (Instant::now(), told);
        }
    }
    // What comes twice, comes soon.
    tokio::time::sleep(Duration::from_secs(3)).await;
    Ok(())
}

/// A time in Unix milliseconds, and the offset before which the records of each partition were worked on by then.
type Look = (i64, Vec<i64>);

/// How far the records were worked on, over time.
struct Taken {
    seen: Arc<Mutex<Vec<Look>>>,
    is_over: Arc<AtomicBool>,
}

impl Taken {
    /// Looks again and again, until the end.
    fn watch(lab: &Lab) -> anyhow::Result<Self> {
        let consumer = kafka::observer(lab.kafka_servers())?;
        let (seen, is_over) = (Arc::<Mutex<Vec<Look>>>::default(), Arc::<AtomicBool>::default());
        let (seeing, over) = (seen.clone(), is_over.clone());
        std::thread::Builder::new().name("committed".to_owned()).spawn(move || {
            while !over.load(Ordering::SeqCst) {
                if let Ok(offsets) = kafka::committed(&consumer) {
                    let now = jiff::Timestamp::now().as_millisecond();
                    seeing.lock().unwrap_or_else(PoisonError::into_inner).push((now, offsets));
                }
                std::thread::sleep(LOOK);
            }
        })?;
        Ok(Self { seen, is_over })
    }

    fn end(self) -> Vec<Look> {
        self.is_over.store(true, Ordering::SeqCst);
        std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// By when a record was worked on; `None`: never, as far as was looked.
fn worked_on_ms(taken: &[Look], (partition, offset): (i32, i64)) -> Option<i64> {
    let partition = usize::try_from(partition).ok()?;
    let is_before = |offsets: &[i64]| offsets.get(partition).is_none_or(|committed| *committed <= offset);
    let index = taken.partition_point(|(_, offsets)| is_before(offsets));
    taken.get(index).map(|(at, _)| *at)
}

/// The emails of each product.
fn emails(lab: &Lab) -> HashMap<String, Vec<(usize, String, i64)>> {
    let mut emails: HashMap<String, Vec<_>> = HashMap::new();
    for mail in lab.ses.captured() {
        let parts = mail.to.split_once('@').and_then(|(local, _)| local.split_once('.'));
        if let Some((number, product)) = parts
            && let Ok(number) = number.parse()
        {
            emails.entry(product.to_owned()).or_default().push((number, mail.restock, mail.at_ms));
        }
    }
    emails
}

/// The page's head: what is done, and what is promised.
fn head(args: &Args) -> Report {
    let Args { products, people, seconds } = args;
    Report::new(
        "flapping",
        "Drill: flapping",
        format!(
            "The stock of {products} products, which {people} people wait for, comes and goes every few seconds for {seconds} s. \
             The shop's rules: stock must hold for {SETTLE} s, and a restock tells {WAVE} people. Some products sell down step by \
             step, some sell out before their stock has held, and the updates of some bring rules of their own: at least 5 \
             units, after a reserve of 2. In the end all come back, for everybody. Promised: no email for what is not a \
             restock by the rules (a sale, another level, too few units) nor for one that did not hold; none before its stock \
             has held, and none beyond a second after a sell-out was recorded; no more than {WAVE} for a restock; a restock that \
             held for {} s more has told as many as it may; each shard in its order; and in the end everybody once.",
            oracle::SURELY_MS / 1_000,
        ),
    )
}

/// Holds what was seen against what is promised.
fn judged(
    args: &Args,
    lines: &[Line],
    emails: &HashMap<String, Vec<(usize, String, i64)>>,
    taken: &[Look],
    flapped: usize,
) -> Report {
    let mut report = head(args);
    let mut counts: Vec<(Nature, usize, Count)> =
        Nature::ALL.map(|nature| (nature, 0, Count::default())).to_vec();
    let mut slowest = 0;
    for line in lines {
        let event = |said: &Said| {
            let recorded_ms = worked_on_ms(taken, said.place);
            Event { quantity: said.quantity, at_ms: said.at_ms, recorded_ms }
        };
        let events: Vec<Event> = line.events.iter().map(event).collect();
        let lags = events.iter().filter_map(|event| Some(event.recorded_ms? - event.at_ms));
        slowest = lags.fold(slowest, i64::max);
        let place = |restock: &str| line.events.iter().position(|said| said.restock.as_str() == restock);
        let of_line = emails.get(line.id.as_str()).map(Vec::as_slice).unwrap_or_default();
        let of_line: Vec<Email> = of_line
            .iter()
            .map(|(person, restock, at_ms)| Email { person: *person, event: place(restock), at_ms: *at_ms })
            .collect();
        let rules = Rules {
            least: line.nature.least(),
            settle_ms: SETTLE as i64 * 1_000,
            wave: WAVE,
            people: line.people,
            shards: usize::from(SHARDS),
        };
        if let Some((_, products, count)) = counts.iter_mut().find(|(nature, ..)| *nature == line.nature) {
            *products += 1;
            count.add(&oracle::count(&rules, &events, &of_line));
        }
    }
    for (nature, products, count) in &counts {
        for broken in count.broken() {
            report.failures.push(format!("{}: {broken}", nature.name()));
        }
        let mut row = vec![("stock", json!(nature.name())), ("products", json!(products))];
        row.extend(count.figures());
        report.row(row);
    }
    report.about.push_str(&format!(
        " {flapped} emails were sent while stock came and went; the slowest update was recorded within {slowest} ms."
    ));
    report.plot = Some(Plot::Lines {
        title: "Emails while stock comes and goes",
        x: "seconds",
        y: "emails",
        lines: vec![("emails".to_owned(), by_second(emails))],
    });
    report
}

/// How many emails there were by each second.
fn by_second(emails: &HashMap<String, Vec<(usize, String, i64)>>) -> Vec<(f64, f64)> {
    let mut times: Vec<i64> = emails.values().flatten().map(|(_, _, at)| *at).collect();
    times.sort_unstable();
    let since = times.first().copied().unwrap_or_default();
    let mut line = vec![(0.0, 0.0)];
    for (before, at) in times.iter().enumerate() {
        let second = ((at - since) / 1_000) as f64 + 1.0;
        match line.last_mut() {
            Some(last) if last.0 == second => last.1 = before as f64 + 1.0,
            _ => line.push((second, before as f64 + 1.0)),
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_worked_on_once_its_partition_is_committed_past_it() {
        let taken = [(10, vec![0, 0]), (20, vec![1, 0]), (30, vec![3, 1])];
        assert_eq!(worked_on_ms(&taken, (0, 0)), Some(20));
        assert_eq!(worked_on_ms(&taken, (0, 2)), Some(30));
        assert_eq!(worked_on_ms(&taken, (1, 0)), Some(30));
        assert_eq!(worked_on_ms(&taken, (1, 1)), None);
    }
}
