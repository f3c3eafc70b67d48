//! Instruction counts of the hot paths (callgrind), which no machine's mood changes: each path is run so many times and
//! not at all, and the difference is divided.

use std::hint::black_box;
use std::process::Command;

use anyhow::{Context as _, ensure};
use domain::budget::{Lease, Rate};
use domain::cursor::{Answer, Cursor, Tally};
use domain::job::Job;
use domain::mail::{self, Offer, Recipient, Shop};
use domain::stock::StockUpdate;
use domain::unsubscribe::{Key, Ticket};
use domain::{Locale, Position, ProductId, RestockId, Shard};
use jiff::Timestamp;
use notify_me::report::{Goal, Report};
use serde_json::json;

use crate::rig;

const TIMES: u64 = 2_000;

/// A path, what it does, and the most instructions that it may take in a release build and in a debug build: what it took
/// when this was written, and a tenth more for another compiler. callgrind has no SHA instructions, so a token takes more
/// there than on a processor.
const PATHS: [(&str, &str, u64, u64); 5] = [
    ("update", "read a stock update from a record", 24_000, 111_000),
    ("job", "write and read a job", 13_500, 33_500),
    ("values", "make a recipient's values in a mail, as JSON", 18_000, 190_000),
    ("token", "sign an unsubscribe token", 17_700, 70_000),
    ("cursor", "claim, answer and commit a call", 1_500, 3_590),
];

/// Counts.
///
/// # Errors
/// When there is no valgrind.
pub(crate) fn run() -> anyhow::Result<Report> {
    let mut report = Report::new(
        "instructions",
        "Instructions of the hot paths",
        format!(
            "Counted by callgrind over {TIMES} times each, less an empty run. The same binary gives the same number."
        ),
    );
    for (path, what, release, debug) in PATHS {
        let each = counted(path, TIMES)?.saturating_sub(counted(path, 0)?) / TIMES;
        report.row(vec![("path", json!(what)), ("instructions", json!(each))]);
        let most = if cfg!(debug_assertions) { debug } else { release };
        report.goal(Goal::at_most(&format!("instructions to {what}"), most as f64), each as f64);
    }
    Ok(report)
}

fn counted(path: &str, times: u64) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["hot", path, &times.to_string()])
        .output()
        .context("valgrind is needed (Debian: apt-get install valgrind)")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind failed: {text}");
    let line =
        text.lines().find_map(|line| line.split_once("Collected :")).context("callgrind counted nothing")?;
    Ok(line.1.trim().parse()?)
}

/// Runs a path so many times: what callgrind looks at.
///
/// # Errors
/// When there is no such path.
pub(crate) fn hot(path: &str, times: u64) -> anyhow::Result<()> {
    let wrong = |_| anyhow::anyhow!("not an id");
    let product = ProductId::parse("iphone15").map_err(wrong)?;
    let restock_id = RestockId::parse("r-2026-11-23-0001").map_err(wrong)?;
    let position = Position::new(1_795_426_200_042, 7);
    let job = Job {
        restock_id: restock_id.clone(),
        product_id: product.clone(),
        shard: Shard::mail(3),
        bound: position,
        turn: 1,
        ticket: None,
    };
    match path {
        "update" => {
            let record = rig::update(&product).to_string();
            for _ in 0..times {
                black_box(StockUpdate::from_record(Some(black_box(record.as_bytes())))?);
            }
        }
        "job" => {
            for _ in 0..times {
                black_box(Job::from_record(Some(black_box(&job).to_json().as_bytes()))?);
            }
        }
        "values" => values(&product, times)?,
        "token" => {
            let key = Key::new("a key for benchmarks and nothing else").context("the key is too short")?;
            let ticket = Ticket { product, shard: Shard::mail(3), position };
            for _ in 0..times {
                black_box(black_box(&ticket).sign(&key));
            }
        }
        "cursor" => {
            let rate = Rate::new(5_000.0).context("not a rate")?;
            let mut cursor = Cursor::default().switch_tally_to(Tally::new(restock_id));
            for time in 0..times {
                let at = Position::new(1_795_426_200_042 + time, 7);
                let mut lease = Lease::new(0, time, rate, 50);
                black_box(lease.take(50));
                let answer = Answer { accepted: 49, retry: vec![at], ..Answer::default() };
                let now = Timestamp::from_millisecond(i64::try_from(time)?)?;
                cursor = black_box(&cursor).announce(0, Some(at), 50, now).commit(answer).drop_retries(&[at]);
            }
            black_box(cursor);
        }
        other => anyhow::bail!("there is no path {other:?}"),
    }
    Ok(())
}

/// The values of a recipient, again and again.
fn values(product: &ProductId, times: u64) -> anyhow::Result<()> {
    let shop = Shop {
        name: "Notify Me".to_owned(),
        address: None,
        product_url: "https://shop.example/{productId}".to_owned(),
        unsubscribe_url: "https://shop.example/unsubscribe/{token}".to_owned(),
        alerts_url: "https://shop.example/alerts/{token}".to_owned(),
    };
    let offer = Offer::new(product, None, &shop);
    let locale = Locale::default();
    let link = shop.unsubscribe_url.replace("{token}", &"t".repeat(62));
    let alerts = shop.alerts_url.replace("{token}", &"t".repeat(50));
    let recipient = Recipient {
        locale: &locale,
        name: Some("Ada <Lovelace>"),
        unsubscribe_url: &link,
        alerts_url: &alerts,
    };
    for _ in 0..times {
        let values = mail::recipient_data(&offer, &shop, black_box(&recipient), &locale);
        black_box(serde_json::to_string(&values)?);
    }
    Ok(())
}
