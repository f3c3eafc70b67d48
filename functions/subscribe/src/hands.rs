//! The single steps of subscribing, as requests to the table.

use domain::subscribing::{Found, Insertion, Standing, Write};
use domain::{PersonId, Position, ProductId, Shard, UserId};
use jiff::Timestamp;
use lambda::clock;
use store::subscription::{Confirmation, Move, RequestId, Subscription};
use store::waitlist::Entry;
use store::{Outcome, StoreError};

use crate::App;
use crate::ask::SECONDS_PER_DAY;
use crate::request::Wish;

/// What the steps of one request need of each other.
pub(crate) struct Hands<'a> {
    app: &'a App,
    pub(crate) product: &'a ProductId,
    subscriber: PersonId,
    /// The ask that is confirmed.
    asked: Position,
    /// What a new place holds. A confirmation knows it once it has found the subscription.
    pub(crate) new: Option<New>,
    /// The entry of an earlier request, which a move takes along.
    found: Option<Entry>,
}

/// What a new place holds.
pub(crate) struct New {
    pub(crate) entry: Entry,
    asked_at: Timestamp,
    confirmed_at: Option<Timestamp>,
    user: Option<UserId>,
}

impl New {
    /// What a person wishes that needs no confirmation.
    pub(crate) fn of(app: &App, subscriber: PersonId, wish: &Wish) -> Self {
        let entry = Entry {
            subscriber,
            address: wish.address.clone(),
            locale: wish.locale.clone(),
            name: wish.name.clone(),
            moved: false,
            ttl: ttl(app),
        };
        Self { entry, asked_at: clock::now(), confirmed_at: None, user: wish.user.clone() }
    }

    /// The subscription with this entry, which lies at `position` of `shard`.
    fn subscription(&self, by: &RequestId, shard: Shard, position: Position) -> Subscription {
        Subscription {
            position,
            shard,
            created_at: self.asked_at,
            channel: "email".to_owned(),
            confirmed_at: self.confirmed_at,
            locale: self.entry.locale.clone(),
            user_id: self.user.clone(),
            by: Some(by.clone()),
            pending: None,
            emailed: None,
            ttl: self.entry.ttl,
        }
    }
}

impl<'a> Hands<'a> {
    pub(crate) fn new(app: &'a App, product: &'a ProductId, subscriber: PersonId, asked: Position) -> Self {
        Self { app, product, subscriber, asked, new: None, found: None }
    }

    fn new_place(&self) -> Result<&New, StoreError> {
        // No step that needs it comes before the one that finds it.
        self.new.as_ref().ok_or_else(|| StoreError::contended("a subscription"))
    }

    pub(crate) async fn insert(
        &mut self,
        by: &RequestId,
        shard: Shard,
        position: Position,
    ) -> Result<Insertion, StoreError> {
        self.found = None;
        let new = self.new_place()?;
        let subscription = new.subscription(by, shard, position);
        let subscriptions = self.app.store.subscriptions();
        let inserted = subscriptions.insert(self.subscriber, self.product, &subscription, &new.entry).await?;
        Ok(insertion(inserted))
    }

    /// What there is to confirm. A subscription that another ask made is as good as confirmed; an ask that is to be confirmed
    /// and is not this one has a link of its own.
    pub(crate) async fn standing(&mut self) -> Result<Standing, StoreError> {
        let (store, now) = (&self.app.store, clock::now());
        let found = store.subscriptions().find(self.subscriber, self.product).await?;
        let Some(found) = found.filter(|found| !found.is_expired(now)) else { return Ok(Standing::Gone) };
        let standing = if let Some(pending) = found.pending {
            if found.position != self.asked {
                return Ok(Standing::Gone);
            }
            let (subscriber, locale) = (self.subscriber, found.locale);
            let (address, name) = (pending.address, pending.name);
            let entry = Entry { subscriber, address, locale, name, moved: false, ttl: ttl(self.app) };
            (Some(entry), Standing::Pending { asked: found.position, lane: found.shard.lane })
        } else {
            let entry = store.waitlist(self.product, found.shard).entry(found.position).await?;
            let consent = store.consents().find(self.subscriber, self.asked).await?;
            let settled = consent.is_some_and(|consent| consent.confirmed_at.is_some());
            let found = Found { shard: found.shard, position: found.position, ttl: found.ttl };
            (entry, Standing::Confirmed { found, settled })
        };
        let (Some(entry), standing) = standing else { return Ok(Standing::Gone) };
        let (asked_at, user) = (found.created_at, found.user_id);
        self.new = Some(New { entry, asked_at, confirmed_at: Some(now), user });
        Ok(standing)
    }

    pub(crate) async fn confirm(
        &self,
        by: &RequestId,
        shard: Shard,
        asked: Position,
    ) -> Result<Write, StoreError> {
        let confirmation = Confirmation { asked, shard, position: asked, by, at: clock::now() };
        let entry = &self.new_place()?.entry;
        let subscriptions = self.app.store.subscriptions();
        let confirmed = subscriptions.confirm(self.subscriber, self.product, confirmation, entry).await?;
        Ok(write(confirmed))
    }

    /// Whether there is an entry that can be read.
    pub(crate) async fn read_entry(&mut self, shard: Shard, position: Position) -> Result<bool, StoreError> {
        let read = match self.app.store.waitlist(self.product, shard).entry(position).await {
            Err(error) if error.is_corrupt() => None,
            read => read?,
        };
        self.found = read.filter(|entry| !entry.moved);
        Ok(self.found.is_some())
    }

    pub(crate) async fn take_over(&self, by: &RequestId, position: Position) -> Result<Write, StoreError> {
        let subscriptions = self.app.store.subscriptions();
        let taken = subscriptions.take_over(self.subscriber, self.product, position, by).await;
        Ok(write(unless_in_the_way(taken)?))
    }

    pub(crate) async fn replace(
        &mut self,
        by: &RequestId,
        found: Position,
        shard: Shard,
        position: Position,
    ) -> Result<Write, StoreError> {
        self.found = None;
        let new = self.new_place()?;
        let subscription = new.subscription(by, shard, position);
        let subscriptions = self.app.store.subscriptions();
        let entry = &new.entry;
        let replaced = subscriptions.replace(self.subscriber, self.product, found, &subscription, entry);
        Ok(write(replaced.await?))
    }

    pub(crate) async fn move_to(&self, to: Move<'_>) -> Result<Write, StoreError> {
        let entry = match &self.found {
            Some(found) => found,
            None => &self.new_place()?.entry,
        };
        let subscriptions = self.app.store.subscriptions();
        Ok(write(subscriptions.move_to(self.subscriber, self.product, to, entry).await?))
    }
}

/// Until when a new place is kept, in Unix seconds.
fn ttl(app: &App) -> i64 {
    clock::now().as_second() + i64::from(app.config.wait_days) * SECONDS_PER_DAY
}

fn insertion(inserted: Outcome<(), Option<Subscription>>) -> Insertion {
    match inserted {
        Outcome::Applied(()) => Insertion::Inserted,
        Outcome::Refused(Some(Subscription { shard, position, ttl, .. })) => {
            Insertion::Found(Found { shard, position, ttl })
        }
        Outcome::Refused(None) => Insertion::Conflict,
    }
}

fn write(outcome: Outcome) -> Write {
    if outcome.is_applied() { Write::Applied } else { Write::Refused }
}

/// A transaction that is under way refuses a write for the moment, as another request's would.
fn unless_in_the_way(outcome: Result<Outcome, StoreError>) -> Result<Outcome, StoreError> {
    match outcome {
        Err(StoreError::Contended { .. }) => Ok(Outcome::Refused(())),
        outcome => outcome,
    }
}
