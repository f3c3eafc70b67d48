//! `POST /alerts/link`: mails a person the link to their alerts. Whoever asks learns nothing: the answer is the same, and takes
//! about as long, whether anything is kept of the address or not.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::address::ACCEPTED_ADDRESS;
use domain::alert::{ASKED_LINK, FOOT_LINK};
use domain::fields::Fields;
use domain::link::Manage;
use domain::mail::Content;
use domain::{Address, Invalid, PersonId};
use http::StatusCode;
use jiff::Timestamp;
use lambda::clock;
use lambda::http::{Problem, json, json_body};
use serde_json::json;
use store::people::{self, Glance};
use tokio::time::Instant;

use super::words::Words;
use super::{page, preferred, words};
use crate::ask::SECONDS_PER_DAY;
use crate::{App, form, unavailable};

/// How many links are mailed to an address in a day.
const LINKS_A_DAY: u32 = 3;

pub(crate) async fn answer(
    app: &App,
    request: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let form = form::filled_in(request, app.config.max_body)?;
    let address = match &form {
        Some(form) => Address::parse(form["email"].as_str().unwrap_or_default()),
        None => written(&json_body(request, app.config.max_body)?),
    };
    // The page is in the language that the browser asks for: the one that is known of the address would tell that it is known.
    let words = preferred(request);
    let address = match address {
        Ok(address) => address,
        Err(_) if form.is_some() => return Ok(page::bad_address(words, request)),
        Err(refused) => return Err(refused.into()),
    };
    offer(app, &address, words).await?;
    Ok(match form {
        Some(_) => page::sent(words),
        None => json(StatusCode::ACCEPTED, &json!({ "status": "accepted" })),
    })
}

fn written(body: &serde_json::Value) -> Result<Address, Invalid> {
    let fields = Fields::of(body, "body")?;
    Address::parse(fields.required_text("email", ACCEPTED_ADDRESS)?)
}

/// Mails the link where one is due, and else waits as long as that takes.
async fn offer(app: &App, address: &Address, asked_in: &'static Words) -> Result<(), Problem> {
    let (person, now) = (app.config.person_key.person(address), clock::now());
    let began = Instant::now();
    let glance = people::glance(&app.store, person, now).await.map_err(unavailable)?;
    if is_due(&glance) && may_be_sent(app, person, now).await? {
        let words = glance.locale.as_ref().map_or(asked_in, |locale| words::of(locale.language()));
        mail(app, address, person, words, now).await;
        app.pace.set(began);
    } else {
        app.pace.keep(began).await;
    }
    Ok(())
}

/// Whether a person is to be mailed a link if they ask.
fn is_due(glance: &Glance) -> bool {
    let through = |found: domain::suppression::Suppression| found.reason.lets_manage_links_through();
    glance.known && glance.person.suppressed.is_none_or(through)
}

async fn may_be_sent(app: &App, person: PersonId, now: Timestamp) -> Result<bool, Problem> {
    let day = now.as_second().div_euclid(SECONDS_PER_DAY);
    let most = LINKS_A_DAY.min(app.config.emails_a_day);
    let counted = app.store.persons().count_email(person, day, most).await.map_err(unavailable)?;
    Ok(counted.is_applied())
}

/// An email that SES does not take is as if it were lost on its way: an answer that says so would tell that the address is known.
async fn mail(app: &App, to: &Address, person: PersonId, words: &Words, now: Timestamp) {
    let token = Manage::lasting(person, now, ASKED_LINK).sign(&app.config.key);
    let url = app.config.alerts_url.replace("{token}", &token);
    let fill = |text: &str| text.replace("{shop}", &app.config.shop_name);
    let subject = fill(words.letter.subject);
    let mut foot = vec![words.letter.reason.to_owned()];
    foot.extend(app.config.shop_address.clone());
    let letter = Content {
        language: words.language,
        subject: &subject,
        greeting: words.letter.greeting,
        paragraphs: &[fill(words.letter.news)],
        action: Some((words.letter.action, &url)),
        notes: &[words.letter.lifetime.to_owned()],
        foot: &foot,
        links: &[],
    };
    match app.mailer.send(to, &letter.letter(), "alerts", &[]).await {
        Ok(()) => tracing::info!("a link to alerts was mailed"),
        Err(error) => tracing::warn!(%error, "a link to alerts was not mailed"),
    }
}

/// The link to a person's alerts for the foot of any other email to them; [`domain::mail::alerts_label`] names it.
pub(crate) fn at_the_foot(app: &App, person: PersonId, now: Timestamp) -> String {
    let token = Manage::lasting(person, now, FOOT_LINK).sign(&app.config.key);
    app.config.alerts_url.replace("{token}", &token)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use domain::suppression::{Reason, Suppression};
    use store::person::Person;

    use super::*;

    #[test]
    fn a_link_is_due_to_those_of_whom_something_is_kept_and_who_did_not_ask_for_silence() {
        let glance = |known, reason: Option<Reason>| {
            let suppressed = reason.map(|reason| Suppression::new(reason, Timestamp::UNIX_EPOCH));
            Glance { person: Person { suppressed, ..Person::default() }, known, locale: None }
        };
        for (known, reason, due) in [
            (false, None, false),
            (true, None, true),
            (true, Some(Reason::OptedOut), true),
            (true, Some(Reason::Manual), true),
            (true, Some(Reason::Abuse), false),
            (true, Some(Reason::Complaint), false),
            (true, Some(Reason::Bounce), false),
        ] {
            assert_eq!(is_due(&glance(known, reason)), due, "{known} {reason:?}");
        }
    }

    #[test]
    fn the_address_is_what_is_written() {
        assert!(written(&json!({ "email": "jo@example.com" })).is_ok());
        for odd in [json!({}), json!([]), json!({ "email": 5 }), json!({ "email": "jo" })] {
            assert!(written(&odd).is_err(), "{odd}");
        }
        assert_eq!(written(&json!({})).err().unwrap().field, "email");
    }
}
