//! A shopper's ask to be told: whether they have to confirm it first, what is written of it, and the answer.
//!
//! Where confirmations are asked for, the answer says nothing of the person: its body is one and the same, and it takes as long
//! as if an email were sent. What differs is in the email, which the person alone reads.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use domain::asking::{Asker, Confirmation, Course};
use domain::fields::Fields;
use domain::link::Refused;
use domain::product::Product;
use domain::user_token::Vouched;
use domain::{Lane, PersonId, ProductId};
use http::StatusCode;
use jiff::Timestamp;
use lambda::clock;
use lambda::http::Problem;
use serde_json::{Value, json};
use store::StoreError;
use store::person::Person;
use store::subscription::Subscription;
use tokio::time::Instant;

use crate::consent::{self, Origin};
use crate::form::Answered;
use crate::request::Wish;
use crate::subscribe::{confirm, subscribe};
use crate::{App, challenge, door, emails, unavailable};

pub(crate) const SECONDS_PER_DAY: i64 = 86_400;

/// An ask.
pub(crate) struct Ask<'a> {
    pub(crate) app: &'a App,
    pub(crate) product: &'a ProductId,
    pub(crate) person: PersonId,
    pub(crate) wish: Wish,
    /// What the shop vouches for, if it does for the person.
    vouched: Option<Vouched>,
    pub(crate) origin: Origin,
    pub(crate) now: Timestamp,
}

/// What an ask has come to.
struct Done {
    /// Whether the person did not wait before, as far as the answer may tell.
    new: bool,
    in_stock: bool,
    /// Whether an email was sent.
    emailed: bool,
}

/// Answers an ask, as the fields of a form or of a JSON object say it.
pub(crate) async fn answer(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    product: &ProductId,
    fields: &Value,
) -> Result<Answered, Problem> {
    let (began, now) = (Instant::now(), clock::now());
    let mut wish = Wish::read(fields)?;
    let vouched = vouched_for(app, &mut wish, now);
    let solution = Fields::of(fields, "body")?.text(challenge::FIELD, challenge::ACCEPTED)?;
    let at_door =
        door::Ask { request, product, address: &wish.address, solution, vouched: vouched.is_some() };
    door::enter(app, &at_door).await?;
    let person = app.config.person_key.person(&wish.address);
    let ask = Ask {
        app,
        product,
        person,
        wish,
        vouched,
        origin: Origin::of(request, app.config.max_body, vouched.is_some()),
        now,
    };
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
    Ok((status, body))
}

/// What the shop vouches for; `None` where it does not for the person. A token that does not say so is as if it were absent,
/// and the answer names it.
fn vouched_for(app: &App, wish: &mut Wish, now: Timestamp) -> Option<Vouched> {
    let token = wish.user_token.as_ref()?;
    let problem = match (&app.config.user_token_key, &wish.user) {
        (None, _) => "cannot be checked, because USER_TOKEN_KEY is not set",
        (_, None) => "comes without a userId",
        (Some(key), Some(user)) => match key.verify(token, user, &wish.address, now) {
            Ok(vouched) => return Some(vouched),
            Err(Refused::Unknown) => "is not one for this userId and email",
            Err(Refused::Expired) => "has expired",
        },
    };
    wish.ignore_token(problem);
    None
}

impl Ask<'_> {
    /// The lane of a new place.
    pub(crate) fn lane(&self) -> Lane {
        self.vouched.map_or(Lane::Mail, Vouched::lane)
    }

    fn asker(&self, known: &Person) -> Asker {
        Asker {
            vouched: self.vouched.is_some(),
            confirmed: known.confirmed_at.is_some(),
            suppressed: known.suppressed.map(|suppression| suppression.reason),
        }
    }

    async fn carry_out(&self, course: Course, discreet: bool) -> Result<Done, StoreError> {
        if let Some(user) =
            self.wish.user.as_ref().filter(|_| self.vouched.is_some() && course != Course::LeaveAlone)
        {
            let until = consent::until(self.app, self.now);
            self.app.store.users().link(user, self.person, until).await?;
        }
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
            Some(pending) => confirm(app, person, product, pending.position, self.lane()).await?.subscribed(),
            None => None,
        };
        let subscribed = match (pending, confirmed) {
            (Some(pending), Some(subscribed)) => {
                app.store.consents().confirm(person, pending.position, self.now).await.map(drop)?;
                subscribed
            }
            _ => {
                let subscribed = subscribe(app, product, &self.wish, self.lane()).await?;
                if subscribed.new {
                    let ask = (person, product, subscribed.position);
                    consent::keep(app, ask, &self.wish, &self.origin, self.now).await?;
                }
                subscribed
            }
        };
        tracing::info!(%product, shard = %subscribed.shard, new = subscribed.new, "subscribed");
        Ok(Done { new: subscribed.new, in_stock: subscribed.in_stock, emailed: false })
    }
}
