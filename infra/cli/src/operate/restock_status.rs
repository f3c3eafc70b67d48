//! `notify-me restock status`: how many a restock has told, shard by shard, and what is left of it.

use anyhow::bail;
use domain::cursor::Tally;
use domain::{Position, ProductId, RestockId, Shard};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use serde::Serialize;
use store::fanout::FanOut;
use store::feedback::CameBack;
use store::summary::Planned;
use store::waitlist::Count;
use store::{Store, StoreError};

use super::place::TableArgs;
use super::show;
use super::waitlist_queries::{SIDE_BY_SIDE, tally, waiting};

const MORE: &str = "\
Numbers:
  sent       emails that SES accepted
  failed     recipients that SES rejected, or whose entry cannot be read; each is written down with the reason
  skipped    entries passed without an email: they had expired, or their call was in doubt under ON_UNKNOWN=skip
  in doubt   recipients of calls whose outcome is unknown after a crash or a time-out. Under resend they were sent again
             and count in `sent` as well; under skip they count in `skipped`
  remaining  entries at or below the restock's bound that still wait (`left` in JSON)
  planned    sent + failed + skipped + remaining. The plan itself counts no entries, because it reads only the end of each
             shard. So subscribers who unsubscribed before their turn are not in it, nor those whom a later restock that
             took the shard over has notified.

States of a shard:
  nobody     no entry waited in it
  told       delivered: no entry remains
  open       under way; a sweep publishes its job again if it stands still
  takenOver  a later restock delivers what remains
  waiting    the product sold out before the end; what remains stays subscribed

Of the emails that were sent, `bounced` and `complained` say what SES reported later: did not arrive, or were reported as spam.

--json: {restockId, productId, plannedAt, bound, inStock, isCurrent, openShards, bounced, complained, total: {planned, sent, failed, skipped,
inDoubt, left, precision}, failures: [{reason, count}], shards: [{shard, state, planned, sent, failed, skipped, inDoubt,
left, precision, cursor, cursorAt, lastInLineAt, takenOverBy}]}. Times are RFC 3339. `precision` is `exact`, or `atLeast`
where more than a million entries of a shard remain.";

/// Which restock.
#[derive(clap::Args)]
#[command(after_long_help = MORE)]
pub(crate) struct Args {
    /// The restock's id, as the answer to the stock update gives it.
    #[arg(value_name = "ID")]
    restock: String,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    restock_id: RestockId,
    product_id: ProductId,
    planned_at: Timestamp,
    bound: Option<Position>,
    in_stock: bool,
    /// Whether nothing later is known of the product.
    is_current: bool,
    open_shards: usize,
    #[serde(flatten)]
    came_back: CameBack,
    total: Numbers,
    failures: Vec<Failures>,
    shards: Vec<ShardStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Numbers {
    planned: u64,
    sent: u64,
    failed: u64,
    skipped: u64,
    in_doubt: u64,
    left: u64,
    precision: &'static str,
}

#[derive(Serialize)]
struct Failures {
    reason: String,
    count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    Nobody,
    Told,
    Open,
    TakenOver,
    Waiting,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ShardStatus {
    shard: Shard,
    state: State,
    #[serde(flatten)]
    numbers: Numbers,
    cursor: Position,
    cursor_at: Option<Timestamp>,
    last_in_line_at: Option<Timestamp>,
    taken_over_by: Option<RestockId>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let restock = RestockId::parse(&args.restock)?;
    let store = args.table.store().await?;
    let Some(planned) = store.summaries().plan(&restock, Timestamp::now()).await? else {
        bail!(
            "no restock {restock} is planned: no subscriber waited for it, or it is unknown, not processed yet, a sell-out, \
             older than a later update, or older than 400 days"
        );
    };
    let status = status(&store, planned).await?;
    if args.json {
        return show::json(&status);
    }
    status.tell();
    Ok(())
}

async fn status(store: &Store, planned: Planned) -> Result<Status, StoreError> {
    let product = store.products().get(&planned.product_id).await?;
    let looks = planned.counts().all().map(|shard| look(store, &planned, shard));
    let shards: Vec<ShardStatus> = stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
    let failures = store.summaries().failures(&planned.restock_id, Timestamp::now()).await?;
    let came_back = store.feedback().of_restock(&planned.restock_id).await?;
    Ok(Status {
        planned_at: planned.planned_at,
        in_stock: product.as_ref().is_some_and(|product| product.in_stock()),
        is_current: product.as_ref().is_some_and(|product| product.restock_id == planned.restock_id),
        open_shards: shards.iter().filter(|shard| shard.state == State::Open).count(),
        came_back,
        total: Numbers::sum(shards.iter().map(|shard| shard.numbers)),
        failures: failures.into_iter().map(|(reason, count)| Failures { reason, count }).collect(),
        shards,
        bound: planned.bound,
        product_id: planned.product_id,
        restock_id: planned.restock_id,
    })
}

async fn look(store: &Store, planned: &Planned, shard: Shard) -> Result<ShardStatus, StoreError> {
    let product = &planned.product_id;
    let (cursor, tally) = tally(store, product, &planned.restock_id, shard).await?;
    let left = match planned.bound {
        Some(bound) => waiting(store, product, shard, &cursor, bound).await?,
        None => Count::NONE,
    };
    let open = store.fan_outs().get(product, shard).await?;
    let was_planned = planned.shards.contains(&shard);
    let state = State::of(was_planned, open.as_ref(), &planned.restock_id, left.number);
    let other = open.as_ref().filter(|_| state == State::TakenOver).map(|open| open.job.restock_id.clone());
    Ok(ShardStatus {
        shard,
        state,
        numbers: Numbers::of(tally.as_ref(), left),
        cursor_at: (cursor.committed > Position::START).then(|| show::at(cursor.committed.time_ms())),
        cursor: cursor.committed,
        last_in_line_at: open.filter(|_| state == State::Open).map(|open| open.moved_at),
        taken_over_by: other,
    })
}

impl State {
    fn of(was_planned: bool, open: Option<&FanOut>, restock: &RestockId, left: u64) -> Self {
        match open {
            Some(open) if open.job.restock_id == *restock => Self::Open,
            Some(_) if left > 0 => Self::TakenOver,
            None if left > 0 => Self::Waiting,
            _ if was_planned => Self::Told,
            _ => Self::Nobody,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::Told => "told",
            Self::Open => "open",
            Self::TakenOver => "taken over",
            Self::Waiting => "waiting",
        }
    }
}

impl Numbers {
    fn of(tally: Option<&Tally>, left: Count) -> Self {
        let (sent, failed, skipped, in_doubt) =
            tally.map_or((0, 0, 0, 0), |tally| (tally.sent, tally.failed, tally.skipped, tally.in_doubt));
        let planned = sent + failed + skipped + left.number;
        Self { planned, sent, failed, skipped, in_doubt, left: left.number, precision: left.precision() }
    }

    fn sum(all: impl Iterator<Item = Self>) -> Self {
        let none = Self::of(None, Count::NONE);
        all.fold(none, |a, b| Self {
            planned: a.planned + b.planned,
            sent: a.sent + b.sent,
            failed: a.failed + b.failed,
            skipped: a.skipped + b.skipped,
            in_doubt: a.in_doubt + b.in_doubt,
            left: a.left + b.left,
            precision: if a.precision == "exact" { b.precision } else { a.precision },
        })
    }

    fn columns(self) -> Vec<String> {
        let whole = self.precision == "exact";
        let mut columns = vec![show::number(self.planned, whole)];
        columns
            .extend([self.sent, self.failed, self.skipped, self.in_doubt].map(|number| number.to_string()));
        columns.push(show::number(self.left, whole));
        columns
    }
}

impl Status {
    fn tell(&self) {
        let now = Timestamp::now();
        let stock = match (self.in_stock, self.is_current) {
            (true, true) => "in stock by this restock",
            (true, false) => "in stock; a later update is known",
            (false, _) => "sold out",
        };
        let mut facts = vec![
            ("restock", self.restock_id.to_string()),
            ("product", format!("{}, {stock}", self.product_id)),
            ("planned", show::when(self.planned_at, now)),
            (
                "bound",
                self.bound
                    .map_or("none: the product never had a subscriber".to_owned(), |bound| bound.to_string()),
            ),
            ("open shards", self.open_shards.to_string()),
        ];
        let CameBack { bounced, complained } = self.came_back;
        if bounced + complained > 0 {
            facts.push(("came back", format!("{bounced} bounced, {complained} complained")));
        }
        facts.extend(
            self.failures.iter().map(|Failures { reason, count }| ("failed", format!("{count} × {reason}"))),
        );
        show::facts(&facts);
        crate::console::say("");
        let header = [
            "shard",
            "state",
            "delivered up to",
            "last queued",
            "planned",
            "sent",
            "failed",
            "skipped",
            "in doubt",
            "remaining",
        ];
        let when = |time: Option<Timestamp>| time.map_or("-".to_owned(), |time| show::when(time, now));
        let rows = self.shards.iter().map(|shard| {
            let state = match &shard.taken_over_by {
                Some(other) => format!("{} by {other}", shard.state.name()),
                None => shard.state.name().to_owned(),
            };
            let mut row =
                vec![shard.shard.to_string(), state, when(shard.cursor_at), when(shard.last_in_line_at)];
            row.extend(shard.numbers.columns());
            row
        });
        let mut total = vec!["total".to_owned(), String::new(), String::new(), String::new()];
        total.extend(self.total.columns());
        show::table(4, &header, rows.chain([total]));
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use domain::job::Job;

    use super::*;

    fn restock(id: &str) -> RestockId {
        RestockId::parse(id).unwrap()
    }

    fn open(id: &str) -> FanOut {
        let product_id = ProductId::parse("p").unwrap();
        let job = Job {
            restock_id: restock(id),
            product_id,
            shard: Shard::mail(0),
            bound: Position::START,
            turn: 1,
            ticket: None,
        };
        FanOut { job, moved_at: Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn a_shards_state_is_told_by_who_is_left_and_which_fan_out_is_written_down() {
        let this = restock("this");
        for (was_planned, open, left, state) in [
            (false, None, 0, State::Nobody),
            (true, None, 0, State::Told),
            (true, Some(open("this")), 7, State::Open),
            (true, Some(open("this")), 0, State::Open),
            (true, Some(open("other")), 7, State::TakenOver),
            (true, Some(open("other")), 0, State::Told),
            (true, None, 7, State::Waiting),
        ] {
            assert_eq!(State::of(was_planned, open.as_ref(), &this, left), state, "{was_planned} {left}");
        }
    }

    #[test]
    fn planned_are_those_who_were_handled_and_those_who_are_left_and_doubts_are_not_counted_twice() {
        let tally = Tally { sent: 50, failed: 2, skipped: 3, in_doubt: 40, ..Tally::new(restock("r")) };
        let numbers = Numbers::of(Some(&tally), Count { number: 5, ..Count::NONE });
        assert_eq!(numbers.planned, 60);
        let other = Numbers::of(None, Count { number: 1, exact: false, ..Count::NONE });
        let sum = Numbers::sum([numbers, other].into_iter());
        assert_eq!((sum.planned, sum.left, sum.in_doubt, sum.precision), (61, 6, 40, "atLeast"));
    }
}
