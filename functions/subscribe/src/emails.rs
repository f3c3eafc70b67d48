//! The emails that an ask causes. Anybody can cause them for any address, so they are few: one about a subscription in a day, and
//! `EMAILS_A_DAY` in all. An email that SES did not take does not count as one about the subscription, so that the next ask
//! sends it.

use domain::asking::EMAIL_EVERY_SECONDS;
use domain::link::Confirm;
use domain::mail::{Letter, Listed, Sender, ToConfirm};
use domain::product::Product;
use domain::unsubscribe::Ticket;
use domain::{Address, PersonId, ProductId};
use jiff::Timestamp;
use lambda::clock;
use store::subscription::Subscription;
use store::{Outcome, StoreError};

use crate::App;
use crate::alerts::link::at_the_foot;
use crate::ask::SECONDS_PER_DAY;
use crate::request::Wish;

/// Sends the email that asks for a confirmation; the ask says already that it is sent. Whether it was.
///
/// # Errors
/// When the table fails.
pub(crate) async fn to_confirm(
    app: &App,
    (person, product): (PersonId, &ProductId),
    ask: &Subscription,
    known: Option<&Product>,
) -> Result<bool, StoreError> {
    let (Some(pending), Some(at)) = (&ask.pending, ask.emailed) else { return Ok(false) };
    let expires = Timestamp::from_second(ask.ttl).unwrap_or(Timestamp::MAX);
    let token = Confirm { person, product: product.clone(), position: ask.position, expires };
    let url = app.config.confirm_url.replace("{token}", &token.sign(&app.config.key));
    let hours = app.config.confirm_hours;
    let alerts_url = &at_the_foot(app, person, clock::now());
    let letter = ToConfirm { locale: &ask.locale, product: known, url: &url, hours, alerts_url };
    let letter = letter.letter(&shop(app));
    send(app, (person, product, at), &pending.address, &letter, ("confirm", &[])).await
}

/// Sends the email that says that a person waits, if it is due. Whether it was sent.
///
/// # Errors
/// When the table fails.
pub(crate) async fn listed(
    app: &App,
    (person, product): (PersonId, &ProductId),
    wish: &Wish,
    known: Option<&Product>,
) -> Result<bool, StoreError> {
    let (subscriptions, at) = (app.store.subscriptions(), clock::now().as_second());
    let Some(found) = subscriptions.find(person, product).await? else { return Ok(false) };
    let noted = subscriptions.note_email(person, product, found.position, (at, at - EMAIL_EVERY_SECONDS));
    if !noted.await?.is_applied() {
        return Ok(false);
    }
    let ticket = Ticket { product: product.clone(), shard: found.shard, position: found.position };
    let url = app.config.unsubscribe_url.replace("{token}", &ticket.sign(&app.config.key));
    let alerts_url = &at_the_foot(app, person, clock::now());
    let letter = Listed { locale: &found.locale, product: known, unsubscribe_url: &url, alerts_url };
    let letter = letter.letter(&shop(app));
    // RFC 8058, as in the emails that are about stock.
    let link = format!("<{url}>");
    let headers =
        [("List-Unsubscribe", link.as_str()), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")];
    send(app, (person, product, at), &wish.address, &letter, ("listed", &headers)).await
}

/// Sends an email that is noted to be sent `at`, unless the address has got enough today. Whether it was sent; where not, it is
/// noted no more.
async fn send(
    app: &App,
    (person, product, at): (PersonId, &ProductId, i64),
    to: &Address,
    letter: &Letter,
    (kind, headers): (&str, &[(&str, &str)]),
) -> Result<bool, StoreError> {
    let day = at / SECONDS_PER_DAY;
    let counted = app.store.persons().count_email(person, day, app.config.emails_a_day).await;
    let sent = match &counted {
        Ok(Outcome::Applied(())) => {
            let sent = app.mailer.send(to, letter, kind, headers).await;
            let sent =
                sent.inspect_err(|error| tracing::error!(%product, kind, %error, "an email is not sent"));
            sent.is_ok()
        }
        Ok(Outcome::Refused(())) => {
            tracing::info!(%product, kind, "no email: the address has got enough today");
            false
        }
        Err(_) => false,
    };
    if !sent {
        app.store.subscriptions().forget_email(person, product, at).await.map(drop)?;
    }
    counted.map(|_| sent)
}

fn shop(app: &App) -> Sender<'_> {
    Sender { name: &app.config.shop_name, address: app.config.shop_address.as_deref() }
}
