//! The breaker: pauses fan-outs where too much came back. What is too much is decided by [`domain::breaker`].

use domain::breaker::{Pause, PausedBy};
use lambda::clock;
use store::StoreError;

use crate::{App, InVain, Received, metrics};

/// Looks, where one of these events counts for it. Also where they were counted before: the look after that may have failed.
pub(crate) async fn look(app: &App, events: impl Iterator<Item = &Received>, in_vain: &mut InVain) {
    let counted: Vec<usize> =
        events.filter(|(_, event)| event.kind.in_rates().is_some()).map(|(index, _)| *index).collect();
    if counted.is_empty() {
        return;
    }
    if let Err(error) = pause_if_need_be(app).await {
        let reason = lambda::error_chain(&error).to_string();
        tracing::error!(%reason, "it is not known whether fan-outs should pause");
        in_vain.extend(counted.into_iter().map(|index| (index, reason.clone())));
    }
}

async fn pause_if_need_be(app: &App) -> Result<(), StoreError> {
    let (sending, now) = (app.store.sending(&app.sender), clock::now());
    let state = sending.state(now).await?;
    if state.paused.is_some() {
        return Ok(());
    }
    let Some(why) = app.config.limits.broken_by(&state.counts) else { return Ok(()) };
    let pause = Pause { by: PausedBy::Breaker, why, since: now };
    if sending.pause(&pause).await?.is_applied() {
        metrics::sending_paused();
        tracing::error!(
            why = pause.why,
            "fan-outs pause until an operator resumes them (notify-me sending resume)"
        );
    }
    Ok(())
}
