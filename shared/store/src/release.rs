//! Letting a restock that is held back begin, as an operator or the shop's back end does, and what it would tell.
//!
//! The order is the planner's: the timer is written first, so that a sweep finds what the product says next.

use domain::product::{Awaited, Due, Product, StoredProduct, Wave};
use domain::rules::Rules;
use domain::{Position, ProductId, RestockId, Shard, Shards};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use crate::timer::Timer;
use crate::waitlist::{Count, Counting};
use crate::{Outcome, Store, StoreError};

/// How often a release is tried where updates of the product come in between.
const TRIES: usize = 5;
/// How many shards are counted side by side.
const SIDE_BY_SIDE: usize = 16;

/// What became of the word that a restock may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release {
    /// A sweep plans it from then on.
    Released {
        /// Its product.
        product: ProductId,
        /// Now, or when its stock will have held.
        at: Timestamp,
    },
    /// It waits for no word; nothing was changed.
    NotHeld {
        /// Its product.
        product: ProductId,
        /// Why it does not.
        why: NotHeld,
    },
    /// No restock of this id is held or planned.
    Unknown,
}

/// Why a restock waits for no operator's word. Shown, it is the end of a sentence about the restock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotHeld {
    /// It begins by itself: it was released already, or its rules hold it back for a time only.
    #[error("it waits for no release, and begins by itself")]
    BeginsByItself,
    /// Subscribers are told of it, or were.
    #[error("it has begun already")]
    Begun,
    /// A later restock is the product's current one.
    #[error("a later stock update of its product has taken its place")]
    Overtaken,
    /// There is nothing to tell subscribers of.
    #[error("its product is sold out")]
    SoldOut,
}

/// What is known of a restock: whether it is held back, whom it would tell, and what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outlook {
    /// The restock.
    pub restock: RestockId,
    /// Its product.
    pub product: ProductId,
    /// Whether the product is in stock by its rules.
    pub in_stock: bool,
    /// How many subscribers wait for the product, up to the end of its waitlist.
    pub waiting: Count,
    /// How many subscribers its first wave tells, by the rules of the product; `None`: everybody who waits.
    pub first_wave: Option<u64>,
    /// The wave up to which it is opened; `None` before the first one, or where all are told at once, or another restock is
    /// the product's current one.
    pub wave: Option<Wave>,
    /// What comes next of it; `None` where nothing does, or another restock is the product's current one.
    pub due: Option<Due>,
    /// Why it waits for no release; `None`: it does.
    pub not_held: Option<NotHeld>,
}

impl Outlook {
    /// Whether it is held back, for a release or for a time.
    pub fn is_held(&self) -> bool {
        self.due.is_some_and(|due| matches!(due.what, Awaited::Release | Awaited::Plan))
    }
}

/// Lets a restock begin that waits for a release: the next sweep plans it, once its stock has held for as long as its rules
/// say. Under any number of callers at a time one releases it, and the others find it released.
///
/// # Errors
/// Every kind of [`StoreError`]; `Contended` where updates of the product came in between again and again.
pub async fn release(store: &Store, restock: &RestockId, now: Timestamp) -> Result<Release, StoreError> {
    let Some(planned) = store.summaries().plan(restock, now).await? else { return Ok(Release::Unknown) };
    let product = planned.product_id;
    for _ in 0..TRIES {
        let known = store.products().get(&product).await?;
        let (turn, seen) = match held(known.as_ref(), restock) {
            Ok(held) => held,
            Err(why) => return Ok(Release::NotHeld { product, why }),
        };
        let due = Due::new(seen.at.max(now), Awaited::Plan);
        store.timers().put(&Timer { product_id: product.clone(), due }).await?;
        match store.products().put_off(&product, turn, seen, Some(due)).await {
            Ok(Outcome::Applied(())) => return Ok(Release::Released { product, at: due.at }),
            // An update, or another caller, was faster: the next look says which.
            Ok(Outcome::Refused(())) | Err(StoreError::Contended { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::contended("product"))
}

/// What is known of a restock; `None` where none of this id is held or planned.
///
/// # Errors
/// Every kind of [`StoreError`] but `Contended`.
pub async fn outlook(
    store: &Store,
    restock: &RestockId,
    counting: Counting,
    now: Timestamp,
) -> Result<Option<Outlook>, StoreError> {
    let Some(planned) = store.summaries().plan(restock, now).await? else { return Ok(None) };
    let product = planned.product_id;
    let stored = store.products().read(&product).await?;
    let waiting = waiting(store, &product, stored.shards, counting, now).await?;
    let StoredProduct { product: known, rules, .. } = stored;
    let not_held = held(known.as_ref(), restock).err();
    let known = known.as_ref();
    let current = known.filter(|known| known.restock_id == *restock);
    Ok(Some(Outlook {
        restock: restock.clone(),
        in_stock: known.is_some_and(Product::in_stock),
        waiting,
        first_wave: known.and_then(|known| first_wave(known, &rules)),
        wave: current.filter(|known| known.is_planned()).and_then(|known| known.wave),
        due: current.and_then(|known| known.due),
        not_held,
        product,
    }))
}

/// The turn of a product and what it waits for, where that is the release of this restock.
fn held(known: Option<&Product>, restock: &RestockId) -> Result<(u64, Due), NotHeld> {
    let known = known.ok_or(NotHeld::Overtaken)?;
    match known.due {
        _ if !known.in_stock() => Err(NotHeld::SoldOut),
        _ if known.restock_id != *restock => Err(NotHeld::Overtaken),
        _ if known.is_planned() => Err(NotHeld::Begun),
        Some(due) if due.what == Awaited::Release => Ok((known.turn, due)),
        _ => Err(NotHeld::BeginsByItself),
    }
}

/// The size of a wave by the rules as far as the table has them: those in force at the last update, and over them the
/// product's own of today.
fn first_wave(known: &Product, own: &Rules) -> Option<u64> {
    let rules = Rules::in_force(known.rules(), own, known.own_rules.as_deref());
    rules.wave(known.availability, known.quantity)
}

/// How many wait for a product over all its shards. A shard whose cursor cannot be read says nothing, and the number is a
/// lower bound then.
async fn waiting(
    store: &Store,
    product: &ProductId,
    shards: Shards,
    counting: Counting,
    now: Timestamp,
) -> Result<Count, StoreError> {
    let all: Vec<Shard> = shards.all().collect();
    let cursors = store.cursors().read_all(product, &all).await?;
    let counts = all.iter().map(|shard| async {
        match cursors.get(shard) {
            Some(stored) => {
                let waitlist = store.waitlist(product, *shard);
                waitlist.count(&stored.cursor, Position::END, counting, now).await
            }
            None => Ok(Count { exact: false, ..Count::NONE }),
        }
    });
    let counts: Vec<Count> = stream::iter(counts).buffered(SIDE_BY_SIDE).try_collect().await?;
    Ok(Count::sum(counts))
}
