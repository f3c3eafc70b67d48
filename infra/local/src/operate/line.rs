//! Reading a waitlist: how many stand between two places, and who is first. Reads are strongly consistent, and people
//! move meanwhile, so two numbers of one answer may be a moment apart.

use aws_sdk_dynamodb::types::{AttributeValue, Select};
use domain::cursor::Cursor;
use domain::product::Product;
use domain::{Position, ProductId, Shard, ShardCount};
use jiff::Timestamp;
use platform::table::{ItemKey, Planned, Table, TableError, entry_sort_key, position_of, waitlist};

/// How many entries of a shard are counted at most; a longer line is a lower bound. On AWS, so many entries are some
/// 60,000 read units.
const MOST: u64 = 1_000_000;
/// How many shards are read side by side.
pub(super) const SIDE_BY_SIDE: usize = 16;

/// How many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    pub(super) number: u64,
    /// Whether these are all.
    pub(super) whole: bool,
}

impl Count {
    pub(super) fn sum(counts: impl IntoIterator<Item = Self>) -> Self {
        let empty = Self { number: 0, whole: true };
        counts.into_iter().fold(empty, |a, b| Self { number: a.number + b.number, whole: a.whole && b.whole })
    }

    /// As the HTTP API says it.
    pub(super) fn precision(self) -> &'static str {
        if self.whole { "exact" } else { "atLeast" }
    }
}

/// Who is owed a mail by this cursor although they stand at or below what is committed.
pub(super) fn owed(cursor: &Cursor) -> impl Iterator<Item = Position> {
    let retried = cursor.in_flight.iter().flat_map(|flight| &flight.retried);
    cursor.pending_retries.iter().chain(retried).copied()
}

/// How many wait in a shard at or below `through`.
pub(super) async fn waiting(
    table: &Table,
    product: &ProductId,
    shard: Shard,
    cursor: &Cursor,
    through: Position,
) -> Result<Count, TableError> {
    let Count { number, whole } = count(table, product, shard, cursor.committed, through).await?;
    let owed = owed(cursor).filter(|position| *position <= through).count();
    Ok(Count { number: number + u64::try_from(owed).unwrap_or(u64::MAX), whole })
}

/// How many entries stand in `(after, through]` that have not expired.
async fn count(
    table: &Table,
    product: &ProductId,
    shard: Shard,
    after: Position,
    through: Position,
) -> Result<Count, TableError> {
    let mut counted = Count { number: 0, whole: true };
    if after >= through {
        return Ok(counted);
    }
    let range = (entry_sort_key(after.next()), entry_sort_key(through));
    let now = AttributeValue::N(Timestamp::now().as_second().to_string());
    let (mut from, mut looked_at) = (None, 0);
    loop {
        let page = table
            .query(waitlist(product, shard), Some(range.clone()))
            .select(Select::Count)
            .filter_expression("#ttl > :now")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_values(":now", now.clone())
            .consistent_read(true)
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| TableError::of("Query", &error))?;
        counted.number += u64::try_from(page.count).unwrap_or_default();
        looked_at += u64::try_from(page.scanned_count).unwrap_or_default();
        from = page.last_evaluated_key;
        if from.is_none() {
            return Ok(counted);
        }
        if looked_at >= MOST {
            return Ok(Count { whole: false, ..counted });
        }
    }
}

/// Somebody in line.
pub(super) struct Waiting {
    pub(super) position: Position,
    pub(super) shard: Shard,
    /// Their table key, where it can be read: never to be shown.
    pub(super) subscriber: Option<String>,
}

/// The first `most` who wait in a shard, in their order.
pub(super) async fn first(
    table: &Table,
    product: &ProductId,
    shard: Shard,
    cursor: &Cursor,
    most: usize,
) -> Result<Vec<Waiting>, TableError> {
    let mut found = Vec::new();
    for position in owed(cursor) {
        let key = ItemKey::entry(product, shard, position);
        // Gone: they unsubscribed after they were throttled.
        match table.get::<platform::table::Entry>(&key, "entry").await {
            Ok(Some(entry)) => found.push(Waiting { position, shard, subscriber: Some(entry.subscriber) }),
            Ok(None) => {}
            Err(error) if error.is_corrupt() => found.push(Waiting { position, shard, subscriber: None }),
            Err(error) => return Err(error),
        }
    }
    let range = (entry_sort_key(cursor.committed.next()), entry_sort_key(Position::END));
    let now = AttributeValue::N(Timestamp::now().as_second().to_string());
    let mut from = None;
    while found.len() < most {
        let page = table
            .query(waitlist(product, shard), Some(range.clone()))
            .projection_expression("sk, #subscriber")
            .filter_expression("#ttl > :now")
            .expression_attribute_names("#ttl", "ttl")
            .expression_attribute_names("#subscriber", "subscriber")
            .expression_attribute_values(":now", now.clone())
            .limit(i32::try_from(most).unwrap_or(i32::MAX))
            .consistent_read(true)
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(|error| TableError::of("Query", &error))?;
        for item in page.items.unwrap_or_default() {
            let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
            // A key without a position is nobody's place.
            let Some(position) = text("sk").and_then(|sk| position_of(sk)) else { continue };
            found.push(Waiting { position, shard, subscriber: text("subscriber").cloned() });
        }
        from = page.last_evaluated_key;
        if from.is_none() {
            break;
        }
    }
    found.sort_by_key(|waiting| waiting.position);
    found.truncate(most);
    Ok(found)
}

/// The shards of a waitlist, and how their number is known: `argument`, `lastPlan` (what the product's last planned
/// restock wrote down) or `default`.
pub(super) async fn shards(
    table: &Table,
    product: Option<&Product>,
    asked: Option<ShardCount>,
) -> Result<(ShardCount, &'static str), TableError> {
    if let Some(asked) = asked {
        return Ok((asked, "argument"));
    }
    if let Some(restock) = product.and_then(|product| product.bound_of.as_ref()) {
        let planned: Option<Planned> = table.get(&ItemKey::summary(restock), "summary").await?;
        if let Some(count) = planned.and_then(|planned| ShardCount::new(planned.shard_count)) {
            return Ok((count, "lastPlan"));
        }
    }
    Ok((ShardCount::DEFAULT, "default"))
}
