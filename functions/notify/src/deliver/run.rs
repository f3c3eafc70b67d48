//! The loop: the delivery says what is next, and this does it and tells what came of it.

use domain::delivery::{Delivery, End, Step, Written};
use lambda::entropy;
use store::StoreError;
use store::waitlist::Addressee;

use super::hands::{Hands, Slots};
use super::{waitlist, write_shard_summary};

/// Runs the delivery to its end. After an error the cursor is released all the same: what SES has answered must not be in doubt
/// for want of a write.
///
/// # Errors
/// The first error of the table, unless it passed when the release was tried again.
pub(super) async fn run(mut hands: Hands<'_>, mut delivery: Delivery<Addressee>) -> Result<End, StoreError> {
    let mut failed = None;
    loop {
        match step(&mut hands, &mut delivery).await {
            Ok(None) => {}
            Ok(Some(end)) => return failed.map_or(Ok(end), Err),
            Err(error) if delivery.on_error(error.is_transient()) => drop(failed.get_or_insert(error)),
            Err(_) => {}
        }
    }
}

async fn step(hands: &mut Hands<'_>, delivery: &mut Delivery<Addressee>) -> Result<Option<End>, StoreError> {
    let (app, job, now) = (hands.app, hands.job, hands.clock.now());
    match delivery.next(now) {
        Step::Report(report) => hands.report(report),
        Step::Greet => {
            app.mailer.greet().await;
            delivery.on_done();
        }
        Step::ReadProduct => delivery.on_product(hands.read_product().await?, now),
        Step::AskRate => delivery.on_rate(hands.ask_rate().await),
        Step::ReadEntries { after, through, limit } => {
            let page = waitlist::entries(&app.store, job, after, through, limit).await?;
            delivery.on_entries(page.entries, page.last);
        }
        Step::ReadPending(positions) => {
            let rows = waitlist::entries_at(&app.store, job, positions).await?;
            delivery.on_pending(rows);
        }
        Step::WriteFailed(failed) => {
            waitlist::write_failed(&app.store, job, failed).await?;
            delivery.on_done();
        }
        Step::ReadTally => delivery.on_tally(waitlist::tally(&app.store, job).await?),
        Step::WriteShardSummary(tally) => {
            write_shard_summary(app, job, tally).await?;
            delivery.on_done();
        }
        Step::ReserveSlots { wanted, sendable, afresh } => {
            match hands.reserve_slots(wanted, sendable, afresh).await? {
                Slots::At(departure) => delivery.on_slots(Some(departure)),
                Slots::TooLate => delivery.on_slots(None),
                Slots::Paused => delivery.on_paused(),
            }
        }
        Step::WriteCursor(write) => {
            let token = entropy::new_id();
            let written = hands.write_cursor(&write, &token).await;
            delivery.on_written(token, written.as_ref().map_or(Written::Unknown, |written| *written));
            written?;
        }
        Step::ReadFencingToken => {
            let stored = app.store.cursors().read(&job.product_id, job.shard).await?;
            delivery.on_fencing_token(stored.token.as_deref());
        }
        Step::Send(announced) => {
            let outcome = hands.send(announced).await;
            delivery.on_outcome(outcome);
        }
        Step::CutRate { throttled, of } => {
            hands.cut_rate(throttled, of).await?;
            delivery.on_done();
        }
        Step::Wait(time) => {
            tokio::time::sleep(time).await;
            delivery.on_done();
        }
        Step::Finished(end) => return Ok(Some(end)),
    }
    Ok(None)
}
