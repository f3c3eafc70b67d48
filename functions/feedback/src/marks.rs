//! Which events are known, by the marks of those that were worked on.

use std::collections::HashSet;

use domain::RestockId;
use domain::feedback::Event;
use lambda::clock;
use store::StoreError;
use store::feedback::Worked;

use crate::{App, InVain, Received, metrics};

/// How many restocks are looked through for the one whose id is too long for a tag.
const MOST_PLANS: i32 = 50;

/// The events that are known, and those that are to be worked on.
pub(crate) async fn sort(
    app: &App,
    events: Vec<Received>,
    in_vain: &mut InVain,
) -> (Vec<Received>, Vec<Received>) {
    let ids = events.iter().filter(|(_, event)| event.kind.is_remembered()).map(|(_, event)| event.id);
    match app.store.feedback().known(ids).await {
        Ok(known) => events.into_iter().partition(|(_, event)| known.contains(&event.id)),
        Err(error) => {
            all_in_vain(&events, &error, in_vain);
            (vec![], vec![])
        }
    }
}

/// Marks events whose work is done, and counts those that were not marked before.
pub(crate) async fn write(app: &App, done: Vec<Received>, in_vain: &mut InVain) -> Vec<Received> {
    match record(app, &done).await {
        Ok(()) => done,
        Err(error) => {
            all_in_vain(&done, &error, in_vain);
            vec![]
        }
    }
}

async fn record(app: &App, done: &[Received]) -> Result<(), StoreError> {
    let mut worked = Vec::new();
    for (_, event) in done.iter().filter(|(_, event)| event.kind.is_remembered()) {
        let came = event.kind.came();
        let restock = if came.is_some() { restock(app, event).await? } else { None };
        // What is no fan-out's email has no slot, and is in no rate.
        let of_sender = event.kind.in_rates().filter(|_| event.place.is_some());
        worked.push(Worked { id: event.id, of_restock: restock.zip(came), of_sender });
    }
    let mut new = match worked.as_slice() {
        [] => HashSet::new(),
        worked => app.store.feedback().record(&app.sender, worked, clock::now()).await?,
    };
    for (_, event) in done {
        if !event.kind.is_remembered() || new.remove(&event.id) {
            metrics::happened(event.kind);
        }
    }
    Ok(())
}

/// The restock that an email told of. An id that is too long for a tag is found by the restocks that covered the email's place.
async fn restock(app: &App, event: &Event) -> Result<Option<RestockId>, StoreError> {
    let (None, Some(tag), Some(place)) = (&event.restock, &event.restock_tag, &event.place) else {
        return Ok(event.restock.clone());
    };
    let plans = app
        .store
        .summaries()
        .plans_covering(&place.product, place.position, MOST_PLANS, clock::now())
        .await?;
    Ok(plans.into_iter().map(|planned| planned.restock_id).find(|id| id.tag() == *tag))
}

fn all_in_vain(events: &[Received], error: &StoreError, in_vain: &mut InVain) {
    let reason = lambda::error_chain(error).to_string();
    tracing::error!(%reason, count = events.len(), "events come again");
    in_vain.extend(events.iter().map(|(index, _)| (*index, reason.clone())));
}
