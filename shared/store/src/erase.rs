//! The end of what is kept of a person: of one alert, of all of them, and of everything. Each step may be repeated: what a crash
//! or a failure leaves, the next call finds.
//!
//! What an erasure leaves: a suppression, without which the promise "never again" could not be kept, and the consents, which
//! prove that emails were asked for and go by their own time. Both know the person by their hash alone.

use domain::suppression::Reason;
use domain::{Lane, PersonId, ProductId, ShardCount, Shards, SubscriberHash, UserId};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;

use crate::item::{Item, SK, TTL, from_item, text};
use crate::people::SIDE_BY_SIDE;
use crate::request::{Pages, apply, remove};
use crate::transaction::backoff;
use crate::{ItemKey, Outcome, Store, StoreError, consent, person, subscription, waitlist};

/// A person who subscribes again at the same moment conflicts with this a few times at most.
const ROUNDS: u32 = 10;
/// The items of a page.
const AT_ONCE: i32 = 100;

/// What came of an erasure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// The subscriptions that ended, pending ones among them.
    pub subscriptions: usize,
    /// The consents that are kept, by hash.
    pub consents_kept: usize,
    /// Whether a suppression is kept, by hash.
    pub suppression_kept: bool,
}

/// Ends a person's alert: the subscription and its entry are gone afterwards. Whether there was one.
///
/// # Errors
/// `Unavailable` and `Denied`, and `Contended` where others were in the way again and again.
pub async fn end(store: &Store, person: PersonId, product: &ProductId) -> Result<bool, StoreError> {
    for round in 0..ROUNDS {
        backoff(round).await;
        let subscriptions = store.subscriptions();
        let found = match subscriptions.find(person, product).await {
            // Of an entry that it points to nothing is known.
            Err(error) if error.is_corrupt() => {
                delete(store, &subscription::key(person, product)).await?;
                return Ok(true);
            }
            found => found?,
        };
        let Some(found) = found else { return Ok(false) };
        match subscriptions.end(person, product, &found).await {
            Ok(Outcome::Applied(())) => return Ok(true),
            Ok(Outcome::Refused(())) | Err(StoreError::Contended { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(StoreError::contended("a subscription"))
}

/// Ends every alert of a person, also those that have expired or cannot be read. How many.
///
/// # Errors
/// `Unavailable` and `Denied`, and `Contended` where others were in the way again and again.
pub async fn end_all(store: &Store, person: PersonId) -> Result<usize, StoreError> {
    let mut ended = 0;
    let mut pages = Pages::of(items(store, person, subscription::PRODUCT));
    while let Some(items) = pages.items().await? {
        ended += end_these(store, person, &items).await?;
    }
    Ok(ended)
}

/// Writes that a person is to get no email, and ends every alert. Also where they are suppressed already, for a reason that
/// is at least as strong, the alerts end. Whether the reason is the new one.
///
/// # Errors
/// `Unavailable` and `Denied`, and `Contended` where others were in the way again and again.
pub async fn suppress(
    store: &Store,
    person: PersonId,
    reason: Reason,
    since: Timestamp,
) -> Result<Outcome, StoreError> {
    // First of all, so that whatever is asked for meanwhile finds it.
    let written = store.persons().suppress(person, reason, since).await?;
    end_all(store, person).await?;
    Ok(written)
}

/// Erases a person, and the link from a `user` of the shop to them.
///
/// # Errors
/// `Unavailable` and `Denied`, and `Contended` where others were in the way again and again. What was done until then is
/// done; the same again does the rest.
pub async fn erase(store: &Store, who: PersonId, user: Option<&UserId>) -> Result<Erased, StoreError> {
    let mut erased = Erased::default();
    // The entries that earlier asks have left behind, while it is known where they are.
    let mut pages = Pages::of(items(store, who, consent::PREFIX));
    while let Some(items) = pages.items().await? {
        erased.consents_kept += items.len();
        let looks = items.into_iter().map(|item| forget_entries(store, who, item));
        stream::iter(looks).buffer_unordered(SIDE_BY_SIDE).try_collect::<()>().await?;
    }
    let mut pages = Pages::of(items(store, who, subscription::PRODUCT));
    while let Some(items) = pages.items().await? {
        // The link to a person goes before the subscription that says whose it is: otherwise a failure in between would leave it.
        for item in &items {
            if let Some(user) = text(item, "userId").and_then(|user| UserId::parse(user).ok()) {
                store.users().unlink(&user, who).await?;
            }
        }
        erased.subscriptions += end_these(store, who, &items).await?;
    }
    if let Some(user) = user {
        store.users().unlink(user, who).await?;
    }
    erased.suppression_kept = forget_person(store, who).await?;
    Ok(erased)
}

fn items(
    store: &Store,
    person: PersonId,
    prefix: &str,
) -> aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder {
    let range = (prefix.to_owned(), format!("{prefix}\u{10ffff}"));
    store.query(person::partition(person), Some(range)).limit(AT_ONCE).consistent_read(true)
}

/// Ends the subscriptions that these items are.
async fn end_these(store: &Store, person: PersonId, items: &[Item]) -> Result<usize, StoreError> {
    let ends = items.iter().map(|item| async move {
        let product = text(item, SK).and_then(|sk| sk.strip_prefix(subscription::PRODUCT));
        match (product.and_then(ProductId::from_key_part), ItemKey::of(item)) {
            (Some(product), _) => end(store, person, &product).await,
            (None, Some(key)) => delete(store, &key).await.map(|()| true),
            (None, None) => Ok(false),
        }
    });
    let ended: Vec<bool> = stream::iter(ends).buffer_unordered(SIDE_BY_SIDE).try_collect().await?;
    Ok(ended.into_iter().filter(|ended| *ended).count())
}

/// Deletes the entry that an ask has left where it made it: one that was delivered and asked for again, or moved. It is in
/// the shard of a lane that the person had while the lane had one, or in the one that they have now.
async fn forget_entries(store: &Store, who: PersonId, item: Item) -> Result<(), StoreError> {
    let Some(ask) = text(&item, SK).and_then(|sk| sk.strip_prefix(consent::PREFIX)?.parse().ok()) else {
        return Ok(());
    };
    let Ok(consent) = from_item::<consent::Consent>(item, "consent") else { return Ok(()) };
    let product = consent.product_id;
    let counts = match store.products().read(&product).await {
        Err(error) if error.is_corrupt() => Shards::ONE,
        read => read?.shards,
    };
    let hash = SubscriberHash::of(who);
    let counts = Lane::ALL.into_iter().filter_map(|lane| Some((lane, counts.count(lane)?)));
    let mut shards: Vec<_> =
        counts.flat_map(|(lane, count)| [ShardCount::ONE.of(lane, hash), count.of(lane, hash)]).collect();
    shards.dedup();
    // The one that waits is ended with its subscription.
    let current = match store.subscriptions().find(who, &product).await {
        Err(error) if error.is_corrupt() => None,
        found => found?,
    };
    for shard in shards {
        if current.as_ref().is_some_and(|found| (found.shard, found.position) == (shard, ask)) {
            continue;
        }
        let delete = store
            .client
            .delete_item()
            .table_name(&store.table)
            .set_key(Some(waitlist::key(&product, shard, ask).attributes()))
            .condition_expression("subscriber = :who")
            .expression_attribute_values(":who", crate::item::string(who.key_part()));
        let _ = remove(delete).await?;
    }
    Ok(())
}

/// Deletes the person's own item, or all of it but the suppression. Whether there is one.
async fn forget_person(store: &Store, who: PersonId) -> Result<bool, StoreError> {
    for round in 0..ROUNDS {
        backoff(round).await;
        let whole = store
            .client
            .delete_item()
            .table_name(&store.table)
            .set_key(Some(person::key(who).attributes()))
            .condition_expression("attribute_not_exists(suppressed)");
        if remove(whole).await?.is_applied() {
            return Ok(false);
        }
        let rest = store
            .update(&person::key(who), "attribute_exists(suppressed)")
            .update_expression("REMOVE confirmedAt, bounces, emailDay, emails, #ttl")
            .expression_attribute_names("#ttl", TTL);
        if apply(rest).await?.is_applied() {
            return Ok(true);
        }
    }
    Err(StoreError::contended("a person"))
}

async fn delete(store: &Store, key: &ItemKey) -> Result<(), StoreError> {
    let delete = store.client.delete_item().table_name(&store.table).set_key(Some(key.attributes()));
    delete.send().await.map(drop).map_err(|error| StoreError::of("DeleteItem", &error))
}
