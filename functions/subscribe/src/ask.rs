//! A shopper's ask to be told: whether they have to confirm it first, what is written of it, and the answer.
//!
//! Where confirmations are asked for, the answer says nothing of the person: its body is one and the same, and it takes as long
//! as if an email were sent. What differs is in the email, which the person alone reads.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::asking::{Asker, Confirmation, Course, is_email_due};
use domain::link::Refused;
use domain::product::Product;
use domain::{PersonId, Position, ProductId, SubscriberHash};
use http::StatusCode;
use jiff::Timestamp;
use lambda::http::{Problem, json, json_body};
use lambda::{clock, entropy};
use serde_json::json;
use store::StoreError;
use store::person::Person;
use store::subscription::{Pending, Subscription};
use tokio::time::Instant;

use crate::consent::{self, Origin};
use crate::request::Wish;
use crate::subscribe::{backoff, confirm, subscribe};
use crate::{App, emails, unavailable};

pub(crate) const SECONDS_PER_DAY: i64 = 86_400;
const SECONDS_PER_HOUR: i64 = 3_600;
/// Two asks of one person at a time get in each other's way once or twice.
const ROUNDS: u32 = 5;

/// An ask.
struct Ask<'a> {
    app: &'a App,
    product: &'a ProductId,
    person: PersonId,
    wish: Wish,
    vouched: bool,
    origin: Origin,
    now: Timestamp,
}

/// What an ask has come to.
struct Done {
    /// Whether the person did not wait before, as far as the answer may tell.
    new: bool,
    in_stock: bool,
    /// Whether an email was sent.
    emailed: bool,
}

pub(crate) async fn answer(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    product: &ProductId,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let (began, now) = (Instant::now(), clock::now());
    let mut wish = Wish::read(&json_body(request, app.config.max_body)?)?;
    let vouched = is_vouched_for(app, &mut wish, now);
    let person = app.config.person_key.person(&wish.address);
    let ask = Ask { app, product, person, wish, vouched, origin: Origin::of(request, vouched), now };
    let known = app.store.persons().read(person).await.map_err(unavailable)?;
    let asker = ask.asker(&known);
    let discreet = app.config.confirmation.is_discreet(asker);
    let done = ask.carry_out(app.config.confirmation.course(asker), discreet).await.map_err(unavailable)?;
    let (status, word) = match done.new {
        _ if discreet => (StatusCode::ACCEPTED, "accepted"),
        _ if app.config.uniform_status => (StatusCode::ACCEPTED, "waiting"),
        true => (StatusCode::CREATED, "waiting"),
        false => (StatusCode::OK, "waiting"),
    };
    match done.emailed {
        true => app.pace.set(began),
        false if discreet => app.pace.keep(began).await,
        false => {}
    }
    // The same body for a new and a repeated subscription, so that the API does not reveal subscribers.
    let mut body = json!({ "productId": product, "status": word, "inStock": done.in_stock });
    if !ask.wish.ignored.is_empty() {
        body["ignored"] = json!(ask.wish.ignored);
    }
    Ok(json(status, &body))
}

/// Whether the shop vouches for the person. A token that does not say so is as if it were absent, and the answer names it.
fn is_vouched_for(app: &App, wish: &mut Wish, now: Timestamp) -> bool {
    let Some(token) = &wish.user_token else { return false };
    let problem = match (&app.config.user_token_key, &wish.user) {
        (None, _) => "cannot be checked, because USER_TOKEN_KEY is not set",
        (_, None) => "comes without a userId",
        (Some(key), Some(user)) => match key.verify(token, user, &wish.address, now) {
            Ok(()) => return true,
            Err(Refused::Unknown) => "is not one for this userId and email",
            Err(Refused::Expired) => "has expired",
        },
    };
    wish.ignore_token(problem);
    false
}

impl Ask<'_> {
    fn asker(&self, known: &Person) -> Asker {
        Asker {
            vouched: self.vouched,
            confirmed: known.confirmed_at.is_some(),
            suppressed: known.suppressed.map(|suppression| suppression.reason),
        }
    }

    async fn carry_out(&self, course: Course, discreet: bool) -> Result<Done, StoreError> {
        if self.app.config.confirmation == Confirmation::Off && course == Course::Subscribe {
            return self.subscribe(None).await;
        }
        // The same reads for everybody.
        let store = &self.app.store;
        let (stored, found) = futures::try_join!(
            store.products().read(self.product),
            store.subscriptions().find(self.person, self.product)
        )?;
        let known = stored.product.as_ref();
        let done = |emailed| Done { new: true, in_stock: known.is_some_and(Product::in_stock), emailed };
        match course {
            // The answer is the one that a new person gets.
            Course::LeaveAlone => Ok(done(false)),
            Course::Confirm => Ok(done(self.to_confirm(found, known).await?)),
            Course::Subscribe => {
                let subscribed = self.subscribe(found.as_ref()).await?;
                let emailed = discreet
                    && emails::listed(self.app, (self.person, self.product), &self.wish, known).await?;
                Ok(Done { emailed, ..subscribed })
            }
        }
    }

    /// Subscribes the person. An ask of theirs that is to be confirmed is confirmed by this one, so that it keeps its place.
    async fn subscribe(&self, found: Option<&Subscription>) -> Result<Done, StoreError> {
        let (app, product, person) = (self.app, self.product, self.person);
        let pending = found.filter(|found| found.pending.is_some() && !found.is_expired(self.now));
        let confirmed = match pending {
            Some(pending) => confirm(app, person, product, pending.position).await?.subscribed(),
            None => None,
        };
        let subscribed = match (pending, confirmed) {
            (Some(pending), Some(subscribed)) => {
                app.store.consents().confirm(person, pending.position, self.now).await.map(drop)?;
                subscribed
            }
            _ => {
                let subscribed = subscribe(app, product, &self.wish).await?;
                if subscribed.new {
                    let ask = (person, product, subscribed.position);
                    consent::keep(app, ask, &self.wish, &self.origin, self.now).await?;
                }
                subscribed
            }
        };
        tracing::info!(%product, shard = %subscribed.shard, new = subscribed.new, "subscribed");
        if let Some(user) = self.wish.user.as_ref().filter(|_| self.vouched) {
            app.store.users().link(user, person, consent::until(app, self.now)).await?;
        }
        Ok(Done { new: subscribed.new, in_stock: subscribed.in_stock, emailed: false })
    }

    /// Writes an ask that is to be confirmed, unless there is one, and sends the email that is due. Whether one was sent.
    async fn to_confirm(
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
        Ok(Subscription {
            position,
            shard: app.shards.of(self.product).of(SubscriberHash::of(person)),
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
