//! `notify-me waitlist show`: the subscribers that wait for a product, and how far its waitlist is delivered.

use anyhow::bail;
use domain::{Position, ProductId, RestockId, Shard, ShardCount};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use store::waitlist::{Count, Waiting};
use store::{Store, StoreError};

use super::place::TableArgs;
use super::show;
use super::waitlist_queries::{SIDE_BY_SIDE, shards, waiting};
use crate::coming::Coming;

const MORE: &str = "\
A waitlist is a log cut into shards, and each shard has a cursor. Entries at or below its committed position are
delivered, except the carried ones: SES did not take their email yet, and the next call retries them first. A call in
flight is announced, and its outcome is not written yet.

Subscribers are shown in the order in which they are told: the priority lane (m1) first, and by position. They are shown
as the first 8 hexadecimal digits of a SHA-256; addresses are never shown. The time of a position is when its subscriber
asked, unless the entry was moved past a fan-out.

--json: {productId, product: {inStock, quantity, asOf, restockId, bound, boundOf, rules, held, wave: {number, size,
bound} or null, next: {what, at} or null} or null, shardCount, shardCountFrom:
argument|product, waiting, precision, shards: [{shard, committed, committedAt, carried, waiting, precision,
flight: {count, since, through} or null}], first: [{position, shard, askedAt, subscriber, covered}]}. `covered` says
whether the product's bound covers the position. `precision` is `exact`, or `atLeast` beyond a million in a shard.";

/// Which waitlist.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The product's id.
    #[arg(value_name = "PRODUCT")]
    product: String,
    /// How many subscribers to show.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=1000))]
    limit: u16,
    /// The number of shards of the mail lane [default: the one that its product has recorded, or else the table's].
    #[arg(long, value_name = "N")]
    shards: Option<ShardCount>,
    /// Print one JSON document.
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
    #[serde(flatten)]
    coming: Coming,
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

/// A shard, with what is shown of all shards together.
struct Look {
    line: ShardLine,
    count: Count,
    first: Vec<Waiting>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let id = ProductId::parse(&args.product)?;
    let store = args.table.store().await?;
    let stored = store.products().read(&id).await?;
    let (count, from) = shards(&stored, args.shards);
    let known = stored.product;
    let limit = usize::from(args.limit);
    let looks = count.all().map(|shard| look(&store, &id, shard, limit));
    let looks: Vec<Look> = stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
    let total = Count::sum(looks.iter().map(|look| look.count));
    if known.is_none() && total.number == 0 && looks.iter().all(|look| look.line.committed.is_none()) {
        bail!("product {id} is not known: no subscriber waits for it, and no stock update was received");
    }
    let bound = known.as_ref().and_then(|known| known.bound);
    let (mut lines, mut first) = (Vec::new(), Vec::new());
    for look in looks {
        first.extend(look.first.into_iter().map(|waiting| (look.line.shard, waiting)));
        lines.push(look.line);
    }
    first.sort_by_key(|(shard, waiting)| (shard.lane, waiting.position));
    first.truncate(limit);
    let waitlist = Waitlist {
        product: known.map(|known| State {
            coming: Coming::of(&known),
            in_stock: known.in_stock(),
            quantity: known.quantity,
            as_of: known.version.at(),
            restock_id: known.restock_id,
            bound: known.bound,
            bound_of: known.bound_of,
        }),
        product_id: id,
        shard_count: lines.len(),
        shard_count_from: from,
        waiting: total.number,
        precision: total.precision(),
        shards: lines,
        first: first.into_iter().map(|(shard, waiting)| Place::of(shard, &waiting, bound)).collect(),
    };
    if args.json {
        return show::json(&waitlist);
    }
    waitlist.tell();
    Ok(())
}

async fn look(store: &Store, product: &ProductId, shard: Shard, limit: usize) -> Result<Look, StoreError> {
    let cursor = store.cursors().read(product, shard).await?.cursor;
    let count = waiting(store, product, shard, &cursor, Position::END).await?;
    let first = store.waitlist(product, shard).first(&cursor, limit, Timestamp::now()).await?;
    let committed = Some(cursor.committed).filter(|committed| *committed > Position::START);
    let line = ShardLine {
        shard,
        committed,
        committed_at: committed.map(|committed| show::at(committed.time_ms())),
        carried: cursor.pending_retries.len(),
        flight: cursor.in_flight.map(|flight| Call {
            count: flight.count,
            since: flight.since,
            through: flight.through,
        }),
        waiting: count.number,
        precision: count.precision(),
    };
    Ok(Look { line, count, first })
}

impl Place {
    fn of(shard: Shard, waiting: &Waiting, bound: Option<Position>) -> Self {
        let Waiting { position, subscriber } = waiting;
        Self {
            position: *position,
            shard,
            asked_at: show::at(position.time_ms()),
            subscriber: subscriber.map_or_else(|| "unreadable".to_owned(), show::hashed),
            covered: bound.is_some_and(|bound| *position <= bound),
        }
    }
}

impl Waitlist {
    fn tell(&self) {
        let now = Timestamp::now();
        let when = |time: Option<Timestamp>| time.map_or("-".to_owned(), |time| show::when(time, now));
        let state = match &self.product {
            None => "no stock update received yet".to_owned(),
            Some(State { in_stock, quantity, as_of, restock_id, .. }) => {
                let quantity = quantity.map_or(String::new(), |quantity| format!(", quantity {quantity}"));
                let stock = if *in_stock { format!("in stock{quantity}") } else { "sold out".to_owned() };
                format!("{stock}, by {restock_id} as of {}", when(*as_of))
            }
        };
        let bound =
            self.product.as_ref().and_then(|product| Some((product.bound?, product.bound_of.as_ref()?)));
        let bound =
            bound.map_or("none: never restocked".to_owned(), |(bound, of)| format!("{bound}, by {of}"));
        let mut facts = vec![("product", format!("{}, {state}", self.product_id)), ("bound", bound)];
        if let Some(coming) = self.product.as_ref().map(|product| &product.coming) {
            facts.extend(coming.wave_text().map(|wave| ("wave", wave)));
            facts.extend(coming.next_text(|at| show::when(at, now)).map(|next| ("next", next)));
        }
        facts.push(("shards", self.shard_count.to_string()));
        facts.push(("waiting", show::number(self.waiting, self.precision == "exact")));
        show::facts(&facts);
        crate::console::say("");
        let rows = self.shards.iter().map(|shard| {
            let flight = shard.flight.as_ref().map_or("-".to_owned(), |call| {
                format!("{} recipients since {}", call.count, show::when(call.since, now))
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
        show::table(4, &["position", "subscribed", "subscriber", "covered by bound", "shard"], rows);
    }
}
