//! `notify-me told`: was this address told? Reads what there is, and says what cannot be known.

use std::io::Read as _;

use anyhow::{Context as _, bail};
use domain::{Address, Position, ProductId, RestockId, Shard, ShardCount, Subscriber, UserId};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use platform::table::{Entry, ItemKey, Open, PLAN, Planned, Subscription, Table, TableError, read};
use serde::{Deserialize, Serialize};

use super::line::{self, Count};
use super::place::TableArgs;
use super::restock_status::tally;
use super::show;
use super::verdict::{Covering, Facts, Verdict};

/// How many restocks that cover a place are looked at. More than one cover it only where the earlier ones sold out
/// before they came to it.
const MOST_RESTOCKS: i32 = 50;
/// How much of standard input is read for an address.
const MOST_INPUT: u64 = 1_024;

const MORE: &str = "\
There is no record for each recipient: the answer comes from the subscription, from how far its shard was told, and
from what restocks wrote down about those they could not tell. It is about the last time this subscriber asked.

status:
  waiting    the next restock tells them
  beingTold  a fan-out under way covers them, and has not come to them
  inFlight   in a call to SES at this moment
  told       had their turn, and SES took the mail; whether it was delivered and read is not known here
  failed     SES refused the address for good
  inDoubt    in a call whose answer never came; they may or may not have the mail
  expired    waited for longer than WAIT_DAYS
  unknown    no subscription: never asked, unsubscribed, or forgotten. The three cannot be told apart

Give `-` instead of the address (or of the user's id) to read it from standard input, so that it is in no shell history.
Who asked with a user id is known by that alone: --user-id.

--json: {productId, subscriber, status, answer, shard, position, askedAt, before: {inShard, overall, precision} or null,
restocks: [{restockId, plannedAt}], since, reason, throttled, cannotBeKnown: [text]}. `before` is how many stand before
them; `restocks` has those that may have told them (the only one, if there is one), are telling them, or failed to.";

/// Whom to ask about.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The product's id.
    #[arg(value_name = "PRODUCT")]
    product: String,
    /// The address; `-` reads it from standard input.
    #[arg(value_name = "ADDRESS", required_unless_present = "user_id", conflicts_with = "user_id")]
    address: Option<String>,
    /// The user's id, for a subscription of an earlier version that knew its user by it; `-` reads it from standard
    /// input.
    #[arg(long, value_name = "ID")]
    user_id: Option<String>,
    /// How many shards a waitlist has [default: what the product's last plan says, or else 8].
    #[arg(long, value_name = "N")]
    shards: Option<ShardCount>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableArgs,
}

impl Args {
    fn subscriber(&self) -> anyhow::Result<Subscriber> {
        match (&self.user_id, &self.address) {
            (Some(id), _) => Ok(Subscriber::of_user(&UserId::parse(input(id)?.trim())?)),
            (None, Some(address)) => Ok(Subscriber::of(&Address::parse(&input(address)?)?)),
            (None, None) => bail!("give an address, or --user-id"),
        }
    }
}

/// The argument, or standard input for `-`.
fn input(argument: &str) -> anyhow::Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    let mut input = std::io::stdin().lock().take(MOST_INPUT);
    input.read_to_string(&mut text).context("cannot read standard input as text")?;
    Ok(text)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Told {
    product_id: ProductId,
    subscriber: String,
    status: &'static str,
    answer: String,
    shard: Option<Shard>,
    position: Option<Position>,
    asked_at: Option<Timestamp>,
    before: Option<Before>,
    restocks: Vec<Restock>,
    since: Option<Timestamp>,
    reason: Option<String>,
    throttled: bool,
    cannot_be_known: Vec<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Before {
    in_shard: u64,
    overall: u64,
    precision: &'static str,
}

#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Restock {
    restock_id: RestockId,
    planned_at: Option<Timestamp>,
}

const EARLIER: &str = "whether they were told after an earlier subscription: a new one takes its place";
const DELIVERED: &str = "whether the mail was delivered: SES took it, and what came after is not kept here";
const EXPIRED: &str =
    "whether a mail went out before the wait expired, where the table has forgotten the restock";
const WHICH: &str = "which of these restocks it was: the cursor passed them in one of them";
const TWICE: &str =
    "whether they got it twice: the answer to a call in their shard was lost, and it was sent again";
const ARRIVED: &str = "whether SES took that call";

/// Answers.
///
/// # Errors
/// When the product is not known, or the table does not answer.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    crate::console::log_to_stderr();
    let id = ProductId::parse(&args.product)?;
    let subscriber = args.subscriber()?;
    let table = args.table.table().await?;
    let key = ItemKey::subscription(&subscriber, &id);
    let product = table.product(&id).await?;
    let told = match table.get::<Subscription>(&key, "subscription").await? {
        Some(subscription) => {
            let (shards, _) = line::shards(&table, product.as_ref(), args.shards).await?;
            let facts = facts(&table, &id, product, &subscription).await?;
            let verdict = facts.verdict();
            let before = match verdict {
                Verdict::Waiting | Verdict::BeingTold { .. } => {
                    Some(before(&table, &id, shards, &subscription).await?)
                }
                _ => None,
            };
            Told::of(id, &subscriber, &subscription, &facts, verdict, before)
        }
        None if product.is_none() && nobody_waits(&table, &id, args.shards).await? => {
            bail!("product {id} is not known: nobody waits for it, and no stock update of it was read")
        }
        None => Told::unknown(id, &subscriber),
    };
    if args.json {
        return show::json(&told);
    }
    told.tell();
    Ok(())
}

async fn nobody_waits(table: &Table, id: &ProductId, shards: Option<ShardCount>) -> Result<bool, TableError> {
    let (shards, _) = line::shards(table, None, shards).await?;
    let looks = shards.all().map(|shard| async move {
        let cursor = table.cursor(id, shard).await?.cursor;
        Ok::<_, TableError>(line::first(table, id, shard, &cursor, 1).await?.is_empty())
    });
    let empty: Vec<bool> = stream::iter(looks).buffered(line::SIDE_BY_SIDE).try_collect().await?;
    Ok(empty.into_iter().all(|empty| empty))
}

/// What the table knows of a subscription. The cursor is read last, so that an entry that vanished before is not taken
/// for one that was never reached.
async fn facts(
    table: &Table,
    id: &ProductId,
    product: Option<domain::product::Product>,
    subscription: &Subscription,
) -> Result<Facts, TableError> {
    let Subscription { position: at, shard, ttl, .. } = *subscription;
    let entry = table.get::<Entry>(&ItemKey::entry(id, shard, at), "entry").await?.is_some();
    let open: Option<Open> = table.get(&ItemKey::open(id, shard), "fan-out").await?;
    let covered_by = covering(table, id, shard, at).await?;
    let cursor = table.cursor(id, shard).await?.cursor;
    Ok(Facts { now: Timestamp::now(), at, ttl, entry, cursor, product, open, covered_by })
}

#[derive(Deserialize)]
struct Failure {
    reason: String,
}

/// The restocks whose bound covers a place, in the order of their bounds.
async fn covering(
    table: &Table,
    id: &ProductId,
    shard: Shard,
    at: Position,
) -> Result<Vec<Covering>, TableError> {
    let range = (format!("{PLAN}{at}"), format!("{PLAN}{}~", Position::END));
    let found = table
        .query(ItemKey::product(id).pk, Some(range))
        .limit(MOST_RESTOCKS)
        .consistent_read(true)
        .send()
        .await
        .map_err(|error| TableError::of("Query", &error))?;
    let plans = found.items.unwrap_or_default().into_iter().map(|item| read::<Planned>(item, "plan"));
    let mut plans: Vec<Planned> = plans.collect::<Result<_, _>>()?;
    plans.sort_by_key(|planned| (planned.bound, planned.planned_ms));
    let looks = plans.into_iter().map(|planned| async move {
        let (_, tally) = tally(table, id, &planned.restock_id, shard).await?;
        let failure: Option<Failure> =
            table.get(&ItemKey::failed(&planned.restock_id, at), "failure").await?;
        Ok::<_, TableError>(Covering { planned, tally, failure: failure.map(|failure| failure.reason) })
    });
    stream::iter(looks).buffered(line::SIDE_BY_SIDE).try_collect().await
}

/// How many stand before somebody.
async fn before(
    table: &Table,
    id: &ProductId,
    shards: ShardCount,
    subscription: &Subscription,
) -> Result<Before, TableError> {
    // Nobody else stands at the very same place.
    let at = subscription.position;
    let looks = shards.all().map(|shard| async move {
        let cursor = table.cursor(id, shard).await?.cursor;
        let mut count = line::waiting(table, id, shard, &cursor, at).await?;
        if shard == subscription.shard {
            count.number = count.number.saturating_sub(1);
        }
        Ok::<_, TableError>((shard, count))
    });
    let counts: Vec<(Shard, Count)> = stream::iter(looks).buffered(line::SIDE_BY_SIDE).try_collect().await?;
    let overall = Count::sum(counts.iter().map(|(_, count)| *count));
    let here = counts.iter().find(|(shard, _)| *shard == subscription.shard);
    Ok(Before {
        in_shard: here.map_or(0, |(_, count)| count.number),
        overall: overall.number,
        precision: overall.precision(),
    })
}

impl Told {
    fn unknown(product_id: ProductId, subscriber: &Subscriber) -> Self {
        Self {
            product_id,
            subscriber: show::hashed(subscriber.as_key()),
            status: "unknown",
            answer: "Nobody waits for this product under it now.".to_owned(),
            shard: None,
            position: None,
            asked_at: None,
            before: None,
            restocks: Vec::new(),
            since: None,
            reason: None,
            throttled: false,
            cannot_be_known: vec![
                "whether they never asked, unsubscribed, or were forgotten after their wait",
                "whether they were told before they unsubscribed",
                "whether they wait under a user id: such a subscription is not found by its address",
            ],
        }
    }

    fn of(
        product_id: ProductId,
        subscriber: &Subscriber,
        subscription: &Subscription,
        facts: &Facts,
        verdict: Verdict,
        before: Option<Before>,
    ) -> Self {
        let mut told = Self {
            status: "waiting",
            answer: "Waits: the next restock tells them.".to_owned(),
            shard: Some(subscription.shard),
            position: Some(subscription.position),
            asked_at: Some(subscription.created_at),
            before,
            cannot_be_known: vec![EARLIER],
            ..Self::unknown(product_id, subscriber)
        };
        let of = |id: RestockId| {
            let covering = facts.covered_by.iter().find(|covering| covering.planned.restock_id == id);
            Restock { planned_at: covering.map(|found| show::at(found.planned.planned_ms)), restock_id: id }
        };
        match verdict {
            Verdict::Waiting => {}
            Verdict::BeingTold { restock, throttled } => {
                told.status = "beingTold";
                told.answer = if throttled {
                    format!(
                        "Being told of {restock}: SES throttled them, and they go first in the next call."
                    )
                } else {
                    format!("Being told of {restock}: it has not come to them yet.")
                };
                told.throttled = throttled;
                told.restocks = vec![of(restock)];
            }
            Verdict::InFlight { since } => {
                told.status = "inFlight";
                told.answer = "In a call to SES that has not been answered yet.".to_owned();
                told.since = Some(since);
            }
            Verdict::InDoubt { restock } => {
                told.status = "inDoubt";
                told.answer = "In doubt: the call that they were in was never answered.".to_owned();
                told.restocks = restock.into_iter().map(of).collect();
                told.cannot_be_known.push(ARRIVED);
            }
            Verdict::Failed { restock, reason } => {
                told.status = "failed";
                told.answer = format!("Not told: SES refused the address for {restock} ({reason}).");
                told.restocks = vec![of(restock)];
                told.reason = Some(reason);
            }
            Verdict::Told { by, maybe_twice } => {
                told.status = "told";
                told.answer = match by.as_slice() {
                    [] => "Told, by a restock that is not written down any more.".to_owned(),
                    [only] => format!("Told of {only}."),
                    [.., last] => format!("Told, by one of {} restocks, {last} at the latest.", by.len()),
                };
                told.cannot_be_known.push(DELIVERED);
                told.cannot_be_known.extend((by.len() > 1).then_some(WHICH));
                told.cannot_be_known.extend(maybe_twice.then_some(TWICE));
                told.restocks = by.into_iter().map(of).collect();
            }
            Verdict::Expired => {
                told.status = "expired";
                told.answer = "Not waiting any more: the wait expired.".to_owned();
                told.cannot_be_known.push(EXPIRED);
            }
        }
        told
    }

    fn tell(&self) {
        let now = Timestamp::now();
        let mut facts = vec![
            ("answer", self.answer.clone()),
            ("product", self.product_id.to_string()),
            ("subscriber", self.subscriber.clone()),
        ];
        if let (Some(shard), Some(position)) = (self.shard, self.position) {
            facts.push(("place", format!("{position} in shard {shard}")));
        }
        if let Some(at) = self.asked_at {
            facts.push(("asked", show::when(at, now)));
        }
        if let Some(Before { in_shard, overall, precision }) = &self.before {
            let whole = *precision == "exact";
            let (here, all) = (show::number(in_shard, whole), show::number(overall, whole));
            facts.push(("before", format!("{all}, of whom {here} in the same shard")));
        }
        for restock in &self.restocks {
            let planned =
                restock.planned_at.map_or(String::new(), |at| format!(", planned {}", show::when(at, now)));
            facts.push(("restock", format!("{}{planned}", restock.restock_id)));
        }
        if let Some(since) = self.since {
            facts.push(("since", show::when(since, now)));
        }
        for unknown in &self.cannot_be_known {
            facts.push(("not known", (*unknown).to_owned()));
        }
        show::facts(&facts);
    }
}
