//! `notify-me told`: was this address told? Reads what there is, and says what cannot be known.

use anyhow::bail;
use domain::{Address, PersonId, Position, ProductId, RestockId, Shard, ShardCount, Shards};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use store::subscription::Subscription;
use store::waitlist::Count;
use store::{Store, StoreError};

use super::input::input;
use super::place::{PersonArgs, TableArgs};
use super::show;
use super::verdict::{Covering, Facts, Verdict};
use super::waitlist_queries::{SIDE_BY_SIDE, shards, tally, waiting};

/// How many restocks that cover a place are looked at. More than one cover it only where the earlier ones sold out
/// before they came to it.
const MOST_RESTOCKS: i32 = 50;

const MORE: &str = "\
There is no record for each recipient: the answer comes from the subscription, from the cursor of its shard, and from
what restocks wrote down about recipients that failed. It is about the subscriber's latest subscription.

status:
  pending    the subscriber has asked, and not confirmed it by the link in the email
  waiting    the next restock delivers to this subscriber
  beingTold  a fan-out under way covers the subscriber and has not reached them yet
  inFlight   in a call to SES at this moment
  told       SES accepted the email; whether it was delivered and read is not known here
  failed     SES rejected the address
  inDoubt    in a call whose outcome is unknown: the email may or may not have been sent
  expired    waited for longer than WAIT_DAYS
  unknown    no subscription: never subscribed, unsubscribed, or expired long ago; these cannot be told apart

Give `-` instead of the address to read it from standard input, so that it is in no shell history.

--json: {productId, subscriber, status, answer, shard, position, askedAt, before: {inShard, overall, precision} or null,
restocks: [{restockId, plannedAt}], since, reason, throttled, cannotBeKnown: [text]}. `before` counts the subscribers
ahead; `restocks` lists the restocks that may have notified the subscriber, are doing so, or failed to.";

/// The subscriber to ask about.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The product's id.
    #[arg(value_name = "PRODUCT")]
    product: String,
    /// The email address; `-` reads it from standard input.
    #[arg(value_name = "ADDRESS")]
    address: String,
    /// The number of shards of the mail lane [default: the one that its product has recorded, or else the table's].
    #[arg(long, value_name = "N")]
    shards: Option<ShardCount>,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    person: PersonArgs,
    #[command(flatten)]
    table: TableArgs,
}

impl Args {
    fn subscriber(&self) -> anyhow::Result<PersonId> {
        Ok(self.person.key(&self.table)?.person(&Address::parse(&input(&self.address)?)?))
    }
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

const EARLIER: &str = "whether an earlier subscription was notified: the new one has replaced it";
const DELIVERED: &str =
    "whether the email was delivered: SES accepted it, and what came after is not recorded here";
const EXPIRED: &str =
    "whether an email was sent before the subscription expired, if the restock is no longer recorded";
const WHICH: &str = "which of these restocks sent the email: the cursor passed the position in one of them";
const TWICE: &str = "whether the email was sent twice: the outcome of a call in the shard was unknown, and the call was sent again";
const ARRIVED: &str = "whether SES accepted that call";

/// Answers.
///
/// # Errors
/// When the product is not known, or the table does not answer.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    crate::console::log_to_stderr();
    let id = ProductId::parse(&args.product)?;
    let subscriber = args.subscriber()?;
    let store = args.table.store().await?;
    let stored = store.products().read(&id).await?;
    let (count, _) = shards(&stored, args.shards);
    let product = stored.product;
    let told = match store.subscriptions().find(subscriber, &id).await? {
        Some(subscription) => {
            let facts = facts(&store, &id, product, &subscription).await?;
            let verdict = facts.verdict();
            let before = match verdict {
                Verdict::Waiting | Verdict::BeingTold { .. } => {
                    Some(before(&store, &id, count, &subscription).await?)
                }
                _ => None,
            };
            Told::of(id, subscriber, &subscription, &facts, verdict, before)
        }
        None if product.is_none() && nobody_waits(&store, &id, count).await? => {
            bail!("product {id} is not known: no subscriber waits for it, and no stock update was received")
        }
        None => Told::unknown(id, subscriber),
    };
    if args.json {
        return show::json(&told);
    }
    told.tell();
    Ok(())
}

async fn nobody_waits(store: &Store, id: &ProductId, shards: Shards) -> Result<bool, StoreError> {
    let looks = shards.all().map(|shard| async move {
        let cursor = store.cursors().read(id, shard).await?.cursor;
        let first = store.waitlist(id, shard).first(&cursor, 1, Timestamp::now()).await?;
        Ok::<_, StoreError>(first.is_empty())
    });
    let empty: Vec<bool> = stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
    Ok(empty.into_iter().all(|empty| empty))
}

/// What the table knows of a subscription. The cursor is read last, so that an entry that vanished before is not taken
/// for one that was never reached.
async fn facts(
    store: &Store,
    id: &ProductId,
    product: Option<domain::product::Product>,
    subscription: &Subscription,
) -> Result<Facts, StoreError> {
    let Subscription { position: at, shard, ttl, .. } = *subscription;
    let entry = store.waitlist(id, shard).entry(at).await?.is_some();
    let open = store.fan_outs().get(id, shard).await?;
    let covered_by = covering(store, id, shard, at).await?;
    let cursor = store.cursors().read(id, shard).await?.cursor;
    let (now, pending) = (Timestamp::now(), subscription.pending.is_some());
    Ok(Facts { now, at, ttl, pending, entry, cursor, product, open, covered_by })
}

/// The restocks whose bound covers a place, in the order of their bounds.
async fn covering(
    store: &Store,
    id: &ProductId,
    shard: Shard,
    at: Position,
) -> Result<Vec<Covering>, StoreError> {
    let plans = store.summaries().plans_covering(id, at, MOST_RESTOCKS, Timestamp::now()).await?;
    let looks = plans.into_iter().map(|planned| async move {
        let (_, tally) = tally(store, id, &planned.restock_id, shard).await?;
        let failure = store.summaries().failure(&planned.restock_id, at, Timestamp::now()).await?;
        Ok::<_, StoreError>(Covering { planned, tally, failure: failure.map(|failure| failure.reason) })
    });
    stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await
}

/// The number of subscribers ahead of this one.
async fn before(
    store: &Store,
    id: &ProductId,
    shards: Shards,
    subscription: &Subscription,
) -> Result<Before, StoreError> {
    // No two entries of a shard have one position.
    let at = subscription.position;
    let looks = shards.all().map(|shard| async move {
        let cursor = store.cursors().read(id, shard).await?.cursor;
        let mut count = waiting(store, id, shard, &cursor, at).await?;
        if shard == subscription.shard {
            count.number = count.number.saturating_sub(1);
        }
        Ok::<_, StoreError>((shard, count))
    });
    let counts: Vec<(Shard, Count)> = stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
    let overall = Count::sum(counts.iter().map(|(_, count)| *count));
    let here = counts.iter().find(|(shard, _)| *shard == subscription.shard);
    Ok(Before {
        in_shard: here.map_or(0, |(_, count)| count.number),
        overall: overall.number,
        precision: overall.precision(),
    })
}

impl Told {
    fn unknown(product_id: ProductId, subscriber: PersonId) -> Self {
        Self {
            product_id,
            subscriber: show::hashed(subscriber),
            status: "unknown",
            answer: "There is no subscription to this product now.".to_owned(),
            shard: None,
            position: None,
            asked_at: None,
            before: None,
            restocks: Vec::new(),
            since: None,
            reason: None,
            throttled: false,
            cannot_be_known: vec![
                "whether they never subscribed, unsubscribed, or expired long ago",
                "whether they were notified before they unsubscribed",
            ],
        }
    }

    fn of(
        product_id: ProductId,
        subscriber: PersonId,
        subscription: &Subscription,
        facts: &Facts,
        verdict: Verdict,
        before: Option<Before>,
    ) -> Self {
        let mut told = Self {
            status: "waiting",
            answer: "Waiting: the next restock delivers to this subscriber.".to_owned(),
            shard: Some(subscription.shard),
            position: Some(subscription.position),
            asked_at: Some(subscription.created_at),
            before,
            cannot_be_known: vec![EARLIER],
            ..Self::unknown(product_id, subscriber)
        };
        told.judge(verdict, |id| {
            let covering = facts.covered_by.iter().find(|covering| covering.planned.restock_id == id);
            Restock { planned_at: covering.map(|found| found.planned.planned_at), restock_id: id }
        });
        told
    }

    /// Says what the verdict is, and what it leaves open.
    fn judge(&mut self, verdict: Verdict, of: impl Fn(RestockId) -> Restock) {
        match verdict {
            Verdict::Waiting => {}
            Verdict::Pending => {
                self.status = "pending";
                self.answer = "Not confirmed yet: no restock delivers to this subscriber.".to_owned();
            }
            Verdict::BeingTold { restock, throttled } => {
                self.status = "beingTold";
                self.answer = if throttled {
                    format!(
                        "Being notified of {restock}: SES did not take the email yet; the next call retries it."
                    )
                } else {
                    format!("Being notified of {restock}: the fan-out has not reached them yet.")
                };
                self.throttled = throttled;
                self.restocks = vec![of(restock)];
            }
            Verdict::InFlight { since } => {
                self.status = "inFlight";
                self.answer = "In a call to SES that has no answer yet.".to_owned();
                self.since = Some(since);
            }
            Verdict::InDoubt { restock } => {
                self.status = "inDoubt";
                self.answer = "In doubt: the outcome of their call to SES is unknown.".to_owned();
                self.restocks = restock.into_iter().map(of).collect();
                self.cannot_be_known.push(ARRIVED);
            }
            Verdict::Failed { restock, reason } => {
                self.status = "failed";
                self.answer = format!("Not notified of {restock}: SES rejected the address ({reason}).");
                self.restocks = vec![of(restock)];
                self.reason = Some(reason);
            }
            Verdict::Told { by, maybe_twice } => {
                self.status = "told";
                self.answer = match by.as_slice() {
                    [] => "Notified, by a restock that is no longer recorded.".to_owned(),
                    [only] => format!("Notified of {only}."),
                    [.., last] => format!("Notified by one of {} restocks, {last} at the latest.", by.len()),
                };
                self.cannot_be_known.push(DELIVERED);
                self.cannot_be_known.extend((by.len() > 1).then_some(WHICH));
                self.cannot_be_known.extend(maybe_twice.then_some(TWICE));
                self.restocks = by.into_iter().map(of).collect();
            }
            Verdict::Expired => {
                self.status = "expired";
                self.answer = "No longer waiting: the subscription expired.".to_owned();
                self.cannot_be_known.push(EXPIRED);
            }
        }
    }

    fn tell(&self) {
        let now = Timestamp::now();
        let mut facts = vec![
            ("answer", self.answer.clone()),
            ("product", self.product_id.to_string()),
            ("subscriber", self.subscriber.clone()),
        ];
        if let (Some(shard), Some(position)) = (self.shard, self.position) {
            facts.push(("position", format!("{position} in shard {shard}")));
        }
        if let Some(at) = self.asked_at {
            facts.push(("subscribed", show::when(at, now)));
        }
        if let Some(Before { in_shard, overall, precision }) = &self.before {
            let whole = *precision == "exact";
            let (here, all) = (show::number(in_shard, whole), show::number(overall, whole));
            facts.push(("ahead", format!("{all}, of which {here} in the same shard")));
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
