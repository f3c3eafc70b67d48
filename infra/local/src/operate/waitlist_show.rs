//! `notify-me waitlist show`: who waits for a product, and how far it was told.

use anyhow::bail;
use domain::{Position, ProductId, RestockId, Shard, ShardCount};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use platform::table::{Table, TableError};
use serde::Serialize;

use super::line::{self, Count};
use super::place::TableArgs;
use super::show;

const MORE: &str = "\
A waitlist is a log cut into shards, and each shard has a cursor. Everybody at or below its committed place had their
turn, but for those who are carried: SES throttled them, and they go first in the next call. A call in flight was
announced, and its answer is not written down yet.

Who waits is shown by their place, and as the first 8 hexadecimal digits of a SHA-256; addresses are never shown. The
time of a place is when its holder asked, unless they were moved past a fan-out.

--json: {productId, product: {inStock, quantity, asOf, restockId, bound, boundOf} or null, shardCount, shardCountFrom:
argument|lastPlan|default, waiting, precision, shards: [{shard, committed, committedAt, carried, waiting, precision,
flight: {count, since, through} or null}], first: [{position, shard, askedAt, subscriber, covered}]}. `covered` says
whether the product's bound covers the place. `precision` is `exact`, or `atLeast` beyond a million in a shard.";

/// Which waitlist.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The product's id.
    #[arg(value_name = "PRODUCT")]
    product: String,
    /// How many of those who wait are shown.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1000))]
    limit: u16,
    /// How many shards a waitlist has [default: what the product's last plan says, or else 8].
    #[arg(long, value_name = "N")]
    shards: Option<ShardCount>,
    /// Write one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Waitlist {
    product_id: ProductId,
    product: Option<State>,
    shard_count: usize,
    shard_count_from: &'static str,
    waiting: u64,
    precision: &'static str,
    shards: Vec<ShardLine>,
    first: Vec<Place>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct State {
    in_stock: bool,
    quantity: Option<u64>,
    as_of: Option<Timestamp>,
    restock_id: RestockId,
    bound: Option<Position>,
    bound_of: Option<RestockId>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardLine {
    shard: Shard,
    committed: Option<Position>,
    committed_at: Option<Timestamp>,
    carried: usize,
    flight: Option<Call>,
    waiting: u64,
    precision: &'static str,
    #[serde(skip)]
    first: Vec<line::Waiting>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    count: u32,
    since: Timestamp,
    through: Position,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    position: Position,
    shard: Shard,
    asked_at: Timestamp,
    subscriber: String,
    covered: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let id = ProductId::parse(&args.product)?;
    let table = args.table.table().await?;
    let known = table.product(&id).await?;
    let (count, from) = line::shards(&table, known.as_ref(), args.shards).await?;
    let limit = usize::from(args.limit);
    let looks = count.all().map(|shard| look(&table, &id, shard, limit));
    let mut shards: Vec<ShardLine> = stream::iter(looks).buffered(line::SIDE_BY_SIDE).try_collect().await?;
    let total = Count::sum(
        shards.iter().map(|shard| Count { number: shard.waiting, whole: shard.precision == "exact" }),
    );
    if known.is_none() && total.number == 0 && shards.iter().all(|shard| shard.committed.is_none()) {
        bail!("product {id} is not known: nobody waits for it, and no stock update of it was read");
    }
    let bound = known.as_ref().and_then(|known| known.bound);
    let mut first: Vec<line::Waiting> =
        shards.iter_mut().flat_map(|shard| std::mem::take(&mut shard.first)).collect();
    first.sort_by_key(|waiting| waiting.position);
    first.truncate(limit);
    let waitlist = Waitlist {
        product: known.map(|known| State {
            in_stock: known.in_stock(),
            quantity: known.quantity,
            as_of: known.version.at(),
            restock_id: known.restock_id,
            bound: known.bound,
            bound_of: known.bound_of,
        }),
        product_id: id,
        shard_count: shards.len(),
        shard_count_from: from,
        waiting: total.number,
        precision: total.precision(),
        shards,
        first: first
            .into_iter()
            .map(|waiting| Place {
                position: waiting.position,
                shard: waiting.shard,
                asked_at: show::at(waiting.position.time_ms()),
                subscriber: waiting
                    .subscriber
                    .as_deref()
                    .map_or_else(|| "unreadable".to_owned(), show::hashed),
                covered: bound.is_some_and(|bound| waiting.position <= bound),
            })
            .collect(),
    };
    if args.json {
        return show::json(&waitlist);
    }
    waitlist.tell();
    Ok(())
}

async fn look(
    table: &Table,
    product: &ProductId,
    shard: Shard,
    limit: usize,
) -> Result<ShardLine, TableError> {
    let cursor = table.cursor(product, shard).await?.cursor;
    let waiting = line::waiting(table, product, shard, &cursor, Position::END).await?;
    let first = line::first(table, product, shard, &cursor, limit).await?;
    let committed = Some(cursor.committed).filter(|committed| *committed > Position::START);
    Ok(ShardLine {
        shard,
        committed,
        committed_at: committed.map(|committed| show::at(committed.time_ms())),
        carried: cursor.pending_retries.len(),
        flight: cursor.in_flight.map(|flight| Call {
            count: flight.count,
            since: flight.since,
            through: flight.through,
        }),
        waiting: waiting.number,
        precision: waiting.precision(),
        first,
    })
}

impl Waitlist {
    fn tell(&self) {
        let now = Timestamp::now();
        let when = |time: Option<Timestamp>| time.map_or("-".to_owned(), |time| show::when(time, now));
        let state = match &self.product {
            None => "no stock update received yet".to_owned(),
            Some(State { in_stock, quantity, as_of, restock_id, .. }) => {
                let quantity = quantity.map_or(String::new(), |quantity| format!(", {quantity} of it"));
                let stock = if *in_stock { format!("in stock{quantity}") } else { "sold out".to_owned() };
                format!("{stock}, by {restock_id} as of {}", when(*as_of))
            }
        };
        let bound =
            self.product.as_ref().and_then(|product| Some((product.bound?, product.bound_of.as_ref()?)));
        let bound =
            bound.map_or("none: never restocked".to_owned(), |(bound, of)| format!("{bound}, by {of}"));
        let shards = match self.shard_count_from {
            "default" => format!("{} (default; override with --shards)", self.shard_count),
            _ => self.shard_count.to_string(),
        };
        show::facts(&[
            ("product", format!("{}, {state}", self.product_id)),
            ("bound", bound),
            ("shards", shards),
            ("waiting", show::number(self.waiting, self.precision == "exact")),
        ]);
        crate::console::say("");
        let rows = self.shards.iter().map(|shard| {
            let flight = shard.flight.as_ref().map_or("-".to_owned(), |call| {
                format!("{} people since {}", call.count, show::when(call.since, now))
            });
            vec![
                shard.shard.to_string(),
                when(shard.committed_at),
                flight,
                shard.carried.to_string(),
                show::number(shard.waiting, shard.precision == "exact"),
            ]
        });
        show::table(3, &["shard", "delivered up to", "call in flight", "carried", "waiting"], rows);
        if self.first.is_empty() {
            return;
        }
        crate::console::say("");
        let rows = self.first.iter().map(|place| {
            vec![
                place.position.to_string(),
                when(Some(place.asked_at)),
                place.subscriber.clone(),
                if place.covered { "yes" } else { "no" }.to_owned(),
                place.shard.to_string(),
            ]
        });
        show::table(4, &["first in line", "asked", "who", "bound covers it", "shard"], rows);
    }
}
