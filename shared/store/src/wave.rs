//! Finding how far a wave comes: the place of the N-th oldest subscriber over all shards of a waitlist. Each shard is read in
//! its order, a page at a time, and only as far as it can still hold one of the N: some N places are read and a page of each
//! shard, and of each place nothing but its key comes back.

use domain::planning::{Found, Line};
use domain::product::Reach;
use domain::{Lane, Position, ProductId, Shard};
use futures::future::try_join_all;
use jiff::Timestamp;

use crate::request::Pages;
use crate::{Store, StoreError, waitlist};

/// The fewest and the most places of one page.
const PAGE: (u64, u64) = (16, 1_000);

/// The places of the subscribers up to whom a wave of this size comes, among those who wait in these lines, strongly
/// consistent, without those whose time is over at `now`: the priority lane's first, and then as many of the mail lane's as are
/// left. `None`: nobody waits.
///
/// # Errors
/// `Unavailable` and `Denied`.
pub async fn find(
    store: &Store,
    product: &ProductId,
    (lines, size): (&[Line], u64),
    now: Timestamp,
) -> Result<Option<Found>, StoreError> {
    let mut found = Found { reach: Reach::all(Position::START), firsts: Vec::new() };
    let mut left = usize::try_from(size).unwrap_or(usize::MAX);
    for lane in [Lane::PriorityMail, Lane::Mail] {
        let of_lane: Vec<&Line> = lines.iter().filter(|line| line.shard.lane == lane).collect();
        if of_lane.is_empty() {
            continue;
        }
        // Where none is left, the first waiting places are found all the same.
        let readers = read(store, product, &of_lane, left.max(1), now).await?;
        found
            .firsts
            .extend(readers.iter().filter_map(|reader| Some((reader.shard, *reader.places.first()?))));
        let furthest = readers.iter().filter_map(|reader| reader.places.last()).max().copied();
        if let Some(last) = last_of(&readers, left).or(furthest.filter(|_| left > 0)) {
            found.reach = found.reach.with(lane, last);
            left -= readers.iter().flat_map(|reader| &reader.places).filter(|place| **place <= last).count();
        }
    }
    Ok(Some(found).filter(|found| !found.firsts.is_empty()))
}

/// The shards, read as far as they can hold one of the first `size`.
async fn read(
    store: &Store,
    product: &ProductId,
    lines: &[&Line],
    size: usize,
    now: Timestamp,
) -> Result<Vec<Reader>, StoreError> {
    let share = u64::try_from(size.div_ceil(lines.len().max(1))).unwrap_or(u64::MAX);
    let page = share.saturating_add(1).clamp(PAGE.0, PAGE.1);
    let page = i32::try_from(page).unwrap_or(i32::MAX);
    let readable = lines.iter().filter(|line| line.after < line.through);
    let mut readers: Vec<Reader> =
        readable.map(|line| Reader::new(store, product, line, page, now)).collect();
    loop {
        let last = last_of(&readers, size);
        let behind: Vec<&mut Reader> = readers.iter_mut().filter(|reader| reader.is_behind(last)).collect();
        if behind.is_empty() {
            return Ok(readers);
        }
        try_join_all(behind.into_iter().map(Reader::read_on)).await?;
    }
}

/// The place of the `size`-th of those that were read; `None` where fewer were.
fn last_of(readers: &[Reader], size: usize) -> Option<Position> {
    let mut places: Vec<Position> = readers.iter().flat_map(|reader| &reader.places).copied().collect();
    let index = size.checked_sub(1).filter(|index| *index < places.len())?;
    Some(*places.select_nth_unstable(index).1)
}

/// A shard that is being read.
struct Reader {
    shard: Shard,
    pages: Pages,
    /// The waiting places that were read.
    places: Vec<Position>,
    is_over: bool,
}

impl Reader {
    fn new(store: &Store, product: &ProductId, line: &Line, page: i32, now: Timestamp) -> Self {
        let pages =
            waitlist::waiting_places(store, product, line.shard, (line.after, line.through), page, now);
        Self { shard: line.shard, pages, places: Vec::new(), is_over: false }
    }

    /// Whether it may hold a place before this one that was not read yet.
    fn is_behind(&self, last: Option<Position>) -> bool {
        !self.is_over && (last.is_none() || self.places.last().copied() < last)
    }

    async fn read_on(&mut self) -> Result<(), StoreError> {
        match self.pages.items().await? {
            Some(items) => self.places.extend(items.iter().filter_map(waitlist::place_of)),
            None => self.is_over = true,
        }
        Ok(())
    }
}
