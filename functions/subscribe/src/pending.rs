//! Writing an ask that a person has to confirm, and sending the email that says so.

use domain::asking::is_email_due;
use domain::product::Product;
use domain::{Position, Shard, SubscriberHash};
use lambda::{clock, entropy};
use store::StoreError;
use store::subscription::{Pending, Subscription};

use crate::ask::Ask;
use crate::subscribe::backoff;
use crate::{consent, emails};

const SECONDS_PER_HOUR: i64 = 3_600;
/// Two asks of one person at a time get in each other's way once or twice.
const ROUNDS: u32 = 5;

impl Ask<'_> {
    /// Writes an ask that is to be confirmed, unless there is one, and sends the email that is due. Whether one was sent.
    pub(crate) async fn to_confirm(
        &self,
        mut found: Option<Subscription>,
        known: Option<&Product>,
    ) -> Result<bool, StoreError> {
        let (store, now) = (&self.app.store, self.now.as_second());
        for round in 0..ROUNDS {
            backoff(round).await;
            if round > 0 {
                found = store.subscriptions().find(self.person, self.product).await?;
            }
            let ask = match &found {
                Some(pending) if pending.pending.is_some() && !pending.is_expired(self.now) => {
                    if !is_email_due(pending.emailed, now) {
                        return Ok(false);
                    }
                    // The place of the first ask, and time to confirm it once more.
                    Subscription { emailed: Some(now), ttl: self.until_confirmed(), ..pending.clone() }
                }
                Some(waiting) if self.waits(waiting).await? => {
                    let listed = emails::listed(self.app, (self.person, self.product), &self.wish, known);
                    return listed.await;
                }
                _ => self.new_ask().await?,
            };
            let asked = store.subscriptions().ask(self.person, self.product, found.as_ref(), &ask).await?;
            if asked.is_applied() {
                tracing::info!(product = %self.product, "asked");
                return emails::to_confirm(self.app, (self.person, self.product), &ask, known).await;
            }
        }
        Err(StoreError::contended("a subscription"))
    }

    /// Whether the person waits, or only did once.
    async fn waits(&self, found: &Subscription) -> Result<bool, StoreError> {
        if found.pending.is_some() || found.is_expired(self.now) {
            return Ok(false);
        }
        let stored = self.app.store.cursors().read(self.product, found.shard).await?;
        Ok(!stored.cursor.is_consumed(found.position))
    }

    /// An ask that is to be confirmed. Its record is kept before it is written, so that there is none without.
    async fn new_ask(&self) -> Result<Subscription, StoreError> {
        let (app, person, wish) = (self.app, self.person, &self.wish);
        let position = Position::new(clock::now_ms(), entropy::random());
        let ask = (person, self.product, position);
        consent::keep(app, ask, wish, &self.origin, self.now).await?;
        // An ask has no entry, so it may name a lane that is not open yet.
        let (lane, known) = (self.lane(), app.shards.of(self.product));
        let shard = known.of(lane, SubscriberHash::of(person)).unwrap_or(Shard::first(lane));
        Ok(Subscription {
            position,
            shard,
            created_at: self.now,
            channel: "email".to_owned(),
            confirmed_at: None,
            locale: wish.locale.clone(),
            user_id: wish.user.clone(),
            by: None,
            pending: Some(Pending { address: wish.address.clone(), name: wish.name.clone() }),
            emailed: Some(self.now.as_second()),
            ttl: self.until_confirmed(),
        })
    }

    fn until_confirmed(&self) -> i64 {
        self.now.as_second() + i64::from(self.app.config.confirm_hours) * SECONDS_PER_HOUR
    }
}
