//! `notify-me restock status`: how many a restock has told, shard by shard, and what is left of it.

use anyhow::bail;
use domain::cursor::Tally;
use domain::product::{Awaited, Product, Reach, StoredProduct};
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
use crate::coming::Coming;

const MORE: &str = "\
Numbers:
  sent       emails that SES accepted
  failed     recipients that SES rejected, or whose entry cannot be read; each is written down with the reason
  skipped    entries passed without an email: they had expired, or their call was in doubt under ON_UNKNOWN=skip
  in doubt   recipients of calls whose outcome is unknown after a crash or a time-out. Under resend they were sent again
             and count in `sent` as well; under skip they count in `skipped`
  remaining  entries at or below the restock's bound that still wait (`left` in JSON): the bound of the wave, where it comes
             in waves; of a restock that is held, everybody who waits
  planned    sent + failed + skipped + remaining. The plan itself counts no entries, because it reads only the end of each
             shard. So subscribers who unsubscribed before their turn are not in it, nor those whom a later restock that
             took the shard over has notified.

States of a shard:
  nobody     no entry waited in it
  told       delivered: no entry remains
  open       under way; a sweep publishes its job again if it stands still
  takenOver  a later restock delivers what remains
  waiting    the product sold out before the end, or the restock is held; what remains stays subscribed

A restock is held until it is released (rule `release`), until its stock has held (`settle`), or until emails may go out
(`window`). One in waves has a ceiling, up to which its waves come one after another.

Of the emails that were sent, `bounced` and `complained` say what SES reported later: did not arrive, or were reported as spam.

--json: {restockId, productId, plannedAt, bound, inStock, isCurrent, openShards, bounced, complained, total: {planned, sent, failed, skipped,
inDoubt, left, precision}, rules, held: release|plan or null, wave: {number, size, reach} or null, ceiling: {bound, left, precision}
or null, next: {what: release|plan|end|wave, at} or null, failures: [{reason, count}], shards: [{shard, state, planned, sent, failed, skipped, inDoubt,
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
    #[serde(flatten)]
    coming: Coming,
    ceiling: Option<Ceiling>,
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

/// Up to where the waves of a restock come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Ceiling {
    bound: Position,
    /// How many wait up to there.
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

/// How far a restock is looked at.
#[derive(Clone, Copy)]
struct Extent {
    /// Up to where it delivers in each lane, by now; of one that is held, nobody knows, so to the end.
    through: Option<Reach>,
    /// Up to where its waves come, where it comes in waves.
    ceiling: Option<Position>,
}

impl Extent {
    /// `current`: the product, where it is in stock by this restock, or was last.
    fn of(planned: &Planned, current: Option<&Product>) -> Self {
        match current {
            Some(current) if current.is_planned() => Self {
                through: current.reach().or(planned.bound.map(Reach::all)),
                ceiling: current.wave.and(current.bound),
            },
            Some(current) if current.is_held() => {
                Self { through: Some(Reach::all(Position::END)), ceiling: None }
            }
            _ => Self { through: planned.bound.map(Reach::all), ceiling: None },
        }
    }
}

async fn status(store: &Store, planned: Planned) -> Result<Status, StoreError> {
    let StoredProduct { product, shards, .. } = store.products().read(&planned.product_id).await?;
    let product = product.as_ref();
    let current = product.filter(|product| product.restock_id == planned.restock_id);
    let extent = Extent::of(&planned, current);
    // One that was held was written down before its shards were looked at.
    let counts = if current.is_some() { shards } else { planned.counts() };
    let looks = counts.all().map(|shard| look(store, &planned, extent, shard));
    let looks: Vec<(ShardStatus, Count)> = stream::iter(looks).buffered(SIDE_BY_SIDE).try_collect().await?;
    let up_to_ceiling = Count::sum(looks.iter().map(|(_, count)| *count));
    let shards: Vec<ShardStatus> = looks.into_iter().map(|(shard, _)| shard).collect();
    let failures = store.summaries().failures(&planned.restock_id, Timestamp::now()).await?;
    let came_back = store.feedback().of_restock(&planned.restock_id).await?;
    let ceiling = extent.ceiling.map(|bound| Ceiling {
        bound,
        left: up_to_ceiling.number,
        precision: up_to_ceiling.precision(),
    });
    Ok(Status {
        planned_at: planned.planned_at,
        in_stock: product.is_some_and(Product::in_stock),
        is_current: current.is_some(),
        open_shards: shards.iter().filter(|shard| shard.state == State::Open).count(),
        came_back,
        total: Numbers::sum(shards.iter().map(|shard| shard.numbers)),
        coming: current.map(Coming::of).or(product.map(Coming::of_earlier)).unwrap_or_default(),
        ceiling,
        failures: failures.into_iter().map(|(reason, count)| Failures { reason, count }).collect(),
        shards,
        bound: extent
            .through
            .map(|through| through.priority.max(through.mail))
            .filter(|through| *through < Position::END),
        product_id: planned.product_id,
        restock_id: planned.restock_id,
    })
}

/// A shard, and how many wait in it up to the ceiling.
async fn look(
    store: &Store,
    planned: &Planned,
    extent: Extent,
    shard: Shard,
) -> Result<(ShardStatus, Count), StoreError> {
    let product = &planned.product_id;
    let (cursor, tally) = tally(store, product, &planned.restock_id, shard).await?;
    let count = async |through| match through {
        Some(through) => waiting(store, product, shard, &cursor, through).await,
        None => Ok(Count::NONE),
    };
    let through = extent.through.map(|through| through.of(shard.lane));
    let (left, up_to_ceiling) = (count(through).await?, count(extent.ceiling).await?);
    let open = store.fan_outs().get(product, shard).await?;
    // A later wave comes to shards that the first did not.
    let was_planned = planned.shards.contains(&shard) || tally.is_some();
    let state = State::of(was_planned, open.as_ref(), &planned.restock_id, left.number);
    let other = open.as_ref().filter(|_| state == State::TakenOver).map(|open| open.job.restock_id.clone());
    let status = ShardStatus {
        shard,
        state,
        numbers: Numbers::of(tally.as_ref(), left),
        cursor_at: (cursor.committed > Position::START).then(|| show::at(cursor.committed.time_ms())),
        cursor: cursor.committed,
        last_in_line_at: open.filter(|_| state == State::Open).map(|open| open.moved_at),
        taken_over_by: other,
    };
    Ok((status, up_to_ceiling))
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
    /// What the rules of stock have to do with it, where any are in force.
    fn tell_waves(&self, facts: &mut Vec<(&'static str, String)>, now: Timestamp) {
        if self.coming == Coming::default() {
            return;
        }
        facts.push(("rules", self.coming.rules_text()));
        facts.extend(self.coming.wave_text().map(|wave| ("wave", wave)));
        facts.push(("told so far", self.total.sent.to_string()));
        facts.extend(self.ceiling.map(|Ceiling { bound, left, precision }| {
            let left = show::number(left, precision == "exact");
            ("ceiling", format!("{bound}, {left} wait up to there"))
        }));
        facts.extend(self.coming.next_text(|at| show::when(at, now)).map(|next| ("next", next)));
    }

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
        ];
        match self.coming.held {
            Some(Awaited::Release) => facts.push(("held", "until it is released, by its rules".to_owned())),
            Some(_) => facts.push(("held", "for a time, by its rules".to_owned())),
            None => {
                let nobody = || "none: no subscriber waited for it".to_owned();
                facts.push(("planned", show::when(self.planned_at, now)));
                facts.push(("bound", self.bound.map_or_else(nobody, |bound| bound.to_string())));
            }
        }
        facts.push(("open shards", self.open_shards.to_string()));
        self.tell_waves(&mut facts, now);
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
