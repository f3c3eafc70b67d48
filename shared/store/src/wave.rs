//! Finding how far a wave comes: the place of the N-th oldest subscriber over all shards of a waitlist. Each shard is read in
//! its order, a page at a time, and only as far as it can still hold one of the N: some N places are read and a page of each
//! shard, and of each place nothing but its key comes back.

use domain::planning::{Found, Line};
use domain::{Position, ProductId, Shard};
use futures::future::try_join_all;
use jiff::Timestamp;

use crate::request::Pages;
use crate::{Store, StoreError, waitlist};

/// The fewest and the most places of one page.
const PAGE: (u64, u64) = (16, 1_000);

/// The place of the subscriber up to whom a wave of this size comes, among those who wait past each line and up to the
/// ceiling, strongly consistent, without those whose time is over at `now`; the last one's where fewer wait. `None`: nobody does.
///
/// # Errors
/// `Unavailable` and `Denied`.
pub async fn find(
    store: &Store,
    product: &ProductId,
    (lines, ceiling, size): (&[Line], Position, u64),
    now: Timestamp,
) -> Result<Option<Found>, StoreError> {
    let share = size.div_ceil(u64::try_from(lines.len()).unwrap_or(1).max(1));
    let page = share.saturating_add(1).clamp(PAGE.0, PAGE.1);
    let page = i32::try_from(page).unwrap_or(i32::MAX);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    let readable = lines.iter().filter(|line| line.after < ceiling);
    let mut readers: Vec<Reader> =
        readable.map(|line| Reader::new(store, product, line, ceiling, page, now)).collect();
    loop {
        let last = last_of(&readers, size);
        let behind: Vec<&mut Reader> = readers.iter_mut().filter(|reader| reader.is_behind(last)).collect();
        if behind.is_empty() {
            break;
        }
        try_join_all(behind.into_iter().map(Reader::read_on)).await?;
    }
    let firsts = readers.iter().filter_map(|reader| Some((reader.shard, *reader.places.first()?))).collect();
    let furthest = readers.iter().filter_map(|reader| reader.places.last()).max().copied();
    Ok(last_of(&readers, size).or(furthest).map(|bound| Found { bound, firsts }))
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
    fn new(
        store: &Store,
        product: &ProductId,
        line: &Line,
        ceiling: Position,
        page: i32,
        now: Timestamp,
    ) -> Self {
        let pages = waitlist::waiting_places(store, product, line.shard, (line.after, ceiling), page, now);
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
