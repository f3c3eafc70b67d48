//! A fan-out of which much bounces and is reported as spam: the breaker pauses it, again and again, an operator resumes it each
//! time, and everybody is told once. Whoever bounced or complained is told of nothing else.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use domain::{ProductId, RestockId};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

use super::lab::{Lab, Setup, address, names};
use super::progress::Progress;
use crate::loopback::client_for;
use crate::report::{Plot, Report};

/// Every so many-th bounces, and every so many-th complains.
const BOUNCES: usize = 50;
const COMPLAINS: usize = 500;
/// Which of these complain: none that bounces.
const COMPLAINER: usize = 7;
/// How many others wait for the second product.
const OTHERS: usize = 100;
/// `BREAKER_LEAST_SENT`'s default.
const LEAST_SENT: usize = 1_000;
/// How many seconds of sending may pass between what breaks a limit and the last email: slots are reserved a second ahead, and
/// events take their way.
const SLACK_SECONDS: usize = 3;
const LOOK: Duration = Duration::from_millis(200);
/// How long nothing may be sent before a fan-out has stopped.
const STILL: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(120);
/// The domain of the sender that systems have.
const SENDER: &str = "example.com";

/// How many people, and how fast.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The number of subscribers.
    #[arg(long, default_value_t = 100_000)]
    people: usize,
    /// The number of recipients that SES accepts per second.
    #[arg(long, default_value_t = 2_000)]
    rate: usize,
}

/// What was seen.
struct Seen {
    args: Args,
    /// How many were told when the first pause had stopped the fan-out.
    first_stop: Option<usize>,
    pauses: usize,
    sent: Vec<(f64, f64)>,
}

/// Whether the subscriber of this number bounces, or complains.
fn came_back(number: usize) -> Option<&'static str> {
    match number {
        number if number.is_multiple_of(BOUNCES) => Some("bounced"),
        number if number % COMPLAINS == COMPLAINER => Some("complained"),
        _ => None,
    }
}

/// Runs it.
///
/// # Errors
/// When the system cannot be started, or does not come to an end.
pub(super) async fn run(args: Args) -> anyhow::Result<Report> {
    let people = args.people;
    let account = ses_inbox::Options { max_send_rate: args.rate as f64, ..ses_inbox::Options::default() };
    let environment = vec![("SEND_RATE", args.rate.to_string())];
    let lab = Lab::start(Setup { environment, ses: account, ..Setup::default() }).await?;
    let ((many, many_back), (later, later_back)) = (names("many")?, names("later")?);
    {
        let progress = Progress::new(people, "people ask to be told");
        lab.seed(&many, people, |written| progress.at(written)).await?;
    }
    let fates = (0..people).filter_map(|number| Some((address(&many, number), json!(came_back(number)?))));
    let fates: serde_json::Map<String, Value> = fates.collect();
    let others = (0..people).filter(|number| came_back(*number).is_none()).take(OTHERS);
    let others: HashSet<String> = others.map(|number| address(&many, number)).collect();
    subscribe(&lab, &later, fates.keys().chain(&others)).await?;
    lab.ses_faults(&json!({ "events": { "byAddress": fates } })).await?;

    lab.stock(&many, &many_back, 1).await?;
    let seen = tell_all(&lab, args, &many).await?;
    let counted = until_counted(&lab, &many_back, people).await?;
    let got = lab.got(&[(many.clone(), people)]);
    let got = got.get(many.as_str()).copied().context("nobody was to be told")?;
    lab.stock(&later, &later_back, 1).await?;
    let told_later = until_told(&lab, &later_back, others.len()).await;
    lab.stop().await;

    let mut report = head(&seen.args);
    let limit = LEAST_SENT + SLACK_SECONDS * seen.args.rate;
    report.demand(seen.pauses > 0, || "the breaker never paused the fan-out".to_owned());
    let first = seen.first_stop.unwrap_or(people);
    report.demand(first <= limit || people <= limit, || {
        format!("{first} emails before the first stop; {limit} at most")
    });
    report.demand(got.lost == 0, || format!("{} were not told", got.lost));
    report.demand(got.doubled == 0, || format!("{} emails too many", got.doubled));
    let expected = expected(people);
    report.demand(counted == expected, || {
        format!("{counted:?} came back by the restock's count, and {expected:?} did")
    });
    let wrongly = told_later.difference(&others).count();
    report
        .demand(wrongly == 0, || format!("{wrongly} who bounced or complained were told of another product"));
    let missed = others.difference(&told_later).count();
    report.demand(missed == 0, || format!("{missed} others were not told of another product"));
    show(&mut report, seen, limit, counted, told_later.len());
    Ok(report)
}

/// The figures, and the picture.
fn show(report: &mut Report, seen: Seen, limit: usize, counted: (u64, u64), told_later: usize) {
    for (figure, value) in [
        ("subscribers", json!(seen.args.people)),
        ("emails a second", json!(seen.args.rate)),
        ("emails when the first pause had stopped it", json!(seen.first_stop)),
        ("at most", json!(limit)),
        ("pauses", json!(seen.pauses)),
        ("bounced, complained", json!([counted.0, counted.1])),
        ("told of another product", json!(told_later)),
    ] {
        report.row(vec![("figure", json!(figure)), ("value", value)]);
    }
    report.plot = Some(Plot::Lines {
        title: "Emails of a fan-out that the breaker pauses",
        x: "seconds",
        y: "thousands of emails",
        lines: vec![("thousands of emails".to_owned(), seen.sent)],
    });
}

fn head(args: &Args) -> Report {
    Report::new(
        "feedback",
        "Drill: feedback",
        format!(
            "{} people are told at {} emails a second; 2 % bounce and 0.2 % complain, which is more than the breaker lets pass. \
             Each time it pauses the fan-out, an operator resumes it. Promised: the first pause stops it within {LEAST_SENT} emails and \
             {SLACK_SECONDS} seconds of sending; everybody is told once; the restock counts what came back exactly; and of another \
             product that whoever bounced or complained waited for too, only the others are told.",
            args.people, args.rate
        ),
    )
}

/// How many bounce, and how many complain.
fn expected(people: usize) -> (u64, u64) {
    let count = |what| (0..people).filter(|number| came_back(*number) == Some(what)).count() as u64;
    (count("bounced"), count("complained"))
}

/// Subscribes them over HTTP.
async fn subscribe(
    lab: &Lab,
    product: &ProductId,
    addresses: impl Iterator<Item = &String>,
) -> anyhow::Result<()> {
    let http = client_for(lab.api()).build()?;
    let asks = addresses.map(|address| {
        let url = format!("{}/products/{product}/subscriptions", lab.api());
        let ask = http.post(url).json(&json!({ "email": address }));
        async move {
            ask.send().await?.error_for_status()?;
            anyhow::Ok(())
        }
    });
    stream::iter(asks).buffer_unordered(8).try_collect().await
}

/// Resumes the fan-out as often as it is paused, until everybody is told.
async fn tell_all(lab: &Lab, args: Args, product: &ProductId) -> anyhow::Result<Seen> {
    let progress = Progress::new(args.people, "people are told");
    let mut seen = Seen { first_stop: None, pauses: 0, sent: vec![(0.0, 0.0)], args };
    let (started, mut last) = (Instant::now(), (Instant::now(), 0));
    loop {
        tokio::time::sleep(LOOK).await;
        let told = lab.ses.counts().mails;
        progress.at(told);
        seen.sent.push((started.elapsed().as_secs_f64(), told as f64 / 1_000.0));
        if told > last.1 {
            last = (Instant::now(), told);
        }
        if told >= seen.args.people && lab.unfinished().await?.is_empty() {
            return Ok(seen);
        }
        anyhow::ensure!(last.0.elapsed() < PATIENCE, "{product} stands still at {told}");
        let sending = lab.store.sending(SENDER);
        if last.0.elapsed() > STILL && sending.state(lambda::clock::now()).await?.paused.is_some() {
            seen.first_stop.get_or_insert(told);
            seen.pauses += 1;
            anyhow::ensure!(sending.resume().await?.is_applied(), "another operator resumed it");
            lab.sweep().await;
        }
    }
}

/// What the restock counts as come back, once it is all of it.
async fn until_counted(lab: &Lab, restock: &RestockId, people: usize) -> anyhow::Result<(u64, u64)> {
    let started = Instant::now();
    loop {
        let came_back = lab.store.feedback().of_restock(restock).await?;
        let counted = (came_back.bounced, came_back.complained);
        if counted == expected(people) || started.elapsed() > PATIENCE {
            return Ok(counted);
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Who is told of a restock, once so many are and no other follows.
async fn until_told(lab: &Lab, restock: &RestockId, count: usize) -> HashSet<String> {
    let started = Instant::now();
    loop {
        tokio::time::sleep(STILL).await;
        // It may pause once more, by what came back before.
        if lab.store.sending(SENDER).resume().await.is_ok_and(|resumed| resumed.is_applied()) {
            lab.sweep().await;
        }
        let told = lab.ses.captured().into_iter().filter(|mail| mail.restock == restock.as_str());
        let told: HashSet<String> = told.map(|mail| mail.to).collect();
        if told.len() >= count || started.elapsed() > PATIENCE {
            return told;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_hundred_thousand_two_percent_bounce_and_two_in_a_thousand_complain() {
        assert_eq!(expected(100_000), (2_000, 200));
    }
}
