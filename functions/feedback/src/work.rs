//! What follows from an event for its recipients. All of it may be done again: what is done stays done.

use std::collections::BTreeSet;

use domain::PersonId;
use domain::feedback::{Event, Reaction};
use domain::suppression::Reason;
use futures::{StreamExt as _, stream};
use lambda::clock;
use store::{Outcome, StoreError, erase};

use crate::{App, InVain, Received, metrics};

/// How many events are worked on side by side.
const SIDE_BY_SIDE: usize = 8;

/// Works on all events, and gives those whose work is done.
pub(crate) async fn on_all(app: &App, events: Vec<Received>, in_vain: &mut InVain) -> Vec<Received> {
    let (delivered, others): (Vec<_>, Vec<_>) =
        events.into_iter().partition(|(_, event)| event.kind.reaction() == Reaction::ForgetBounces);
    let mut results = vec![];
    if !delivered.is_empty() {
        let forgotten =
            forget_bounces(app, &delivered).await.map_err(|error| lambda::error_chain(&error).to_string());
        results.extend(delivered.into_iter().map(|received| (received, forgotten.clone())));
    }
    let others = stream::iter(others).map(|received| async {
        let worked = on(app, &received.1).await.map_err(|error| lambda::error_chain(&error).to_string());
        (received, worked)
    });
    results.extend(others.buffer_unordered(SIDE_BY_SIDE).collect::<Vec<_>>().await);
    let mut done = vec![];
    for (received, worked) in results {
        match worked {
            Ok(()) => done.push(received),
            Err(reason) => {
                tracing::error!(%reason, "an event comes again");
                in_vain.insert(received.0, reason);
            }
        }
    }
    done
}

/// Most emails arrive, and of most persons no bounce is counted: one read for all of them, and a write for the few.
async fn forget_bounces(app: &App, delivered: &[Received]) -> Result<(), StoreError> {
    let recipients = delivered.iter().flat_map(|(_, event)| &event.recipients);
    let persons: BTreeSet<PersonId> =
        recipients.map(|address| app.config.person_key.person(address)).collect();
    for person in app.store.persons().bouncing(&persons).await? {
        let (Outcome::Applied(()) | Outcome::Refused(())) =
            app.store.persons().forget_bounces(person).await?;
    }
    Ok(())
}

async fn on(app: &App, event: &Event) -> Result<(), StoreError> {
    match event.kind.reaction() {
        Reaction::Suppress(reason) => {
            for person in persons(app, event).await? {
                suppress(app, person, reason, event).await?;
            }
        }
        Reaction::CountBounce => {
            for person in persons(app, event).await? {
                let in_a_row = app.store.persons().count_bounce(person, event.id).await?;
                if in_a_row >= app.config.bounces_in_a_row {
                    suppress(app, person, Reason::Bounce, event).await?;
                }
            }
        }
        Reaction::ForgetBounces | Reaction::Nothing => {}
    }
    Ok(())
}

/// The persons whom an event is of. Where it names no address that can be read, the email's place leads to its subscriber.
async fn persons(app: &App, event: &Event) -> Result<Vec<PersonId>, StoreError> {
    if let (true, Some(place)) = (event.recipients.is_empty(), &event.place) {
        let waitlist = app.store.waitlist(&place.product, place.shard);
        return Ok(waitlist.subscriber(place.position).await?.into_iter().collect());
    }
    Ok(event.recipients.iter().map(|address| app.config.person_key.person(address)).collect())
}

/// Writes that a person gets no email any more, and ends what they wait for.
async fn suppress(app: &App, person: PersonId, reason: Reason, event: &Event) -> Result<(), StoreError> {
    let since = event.at.unwrap_or_else(clock::now);
    if erase::suppress(&app.store, person, reason, since).await?.is_applied() {
        metrics::suppressed();
    }
    Ok(())
}
