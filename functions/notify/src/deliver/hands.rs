//! What a step takes beside one call: the slots that are held, the log's words, the metrics.

use domain::budget::Rate;
use domain::delivery::{
    Announced, CallOutcome, CursorWrite, Leases, Pace, RateAnswer, Refusal, Report, Written,
};
use domain::job::Job;
use domain::mail::Offer;
use domain::product::Product;
use jiff::Timestamp;
use lambda::clock;
use store::StoreError;
use store::cursor::Swapped;
use store::waitlist::Addressee;
use tokio::time::Instant;

use super::Clock;
use crate::budget::Reserved;
use crate::{App, metrics};

/// The hands of one delivery.
pub(super) struct Hands<'a> {
    pub(super) app: &'a App,
    pub(super) job: &'a Job,
    pub(super) clock: Clock,
    until: Instant,
    /// As it was last read: what emails say of it.
    product: Product,
    /// As it was last asked for.
    rate: Option<Rate>,
    leases: Leases,
    /// How many entries of the shard have ended before their turn, as its cursor said when it was last seen.
    ended: u64,
}

/// When slots may be used.
pub(super) enum Slots {
    /// Then.
    At(Timestamp),
    /// After the slice.
    TooLate,
    /// Not before fan-outs go on.
    Paused,
}

impl<'a> Hands<'a> {
    pub(super) fn new(
        app: &'a App,
        job: &'a Job,
        clock: Clock,
        until: Instant,
        (product, shards): (Product, usize),
        ended: u64,
    ) -> Self {
        Self { app, job, clock, until, product, rate: None, leases: Leases::new(shards), ended }
    }

    /// Reads the product again, and keeps it if it is still there.
    pub(super) async fn read_product(&mut self) -> Result<Option<&Product>, StoreError> {
        let Some(product) = self.app.store.products().get(&self.job.product_id).await? else {
            return Ok(None);
        };
        self.product = product;
        Ok(Some(&self.product))
    }

    pub(super) fn report(&self, report: Report) {
        let (product, shard) = (&self.job.product_id, self.job.shard);
        match report {
            Report::Answered { accepted, rejected } => metrics::answered(accepted, rejected),
            Report::InDoubt { count, resolved } => {
                metrics::in_doubt(count);
                tracing::warn!(%product, %shard, count, ?resolved, "a call in doubt is settled");
            }
            Report::Unavailable(reason) => tracing::warn!(reason, "SES does not answer"),
            Report::SlotWait(time) => metrics::slot_wait(time),
        }
    }

    pub(super) async fn ask_rate(&mut self) -> RateAnswer {
        let mailer = &self.app.mailer;
        match self.app.budget.rate(async || mailer.account_rate().await).await {
            Ok(rate) => RateAnswer::Pace(Pace::of(*self.rate.insert(rate))),
            Err(error) if error.needs_a_person() => RateAnswer::Denied(error.to_string()),
            Err(error) => {
                tracing::warn!(%error, "SES does not tell the rate; asked again");
                RateAnswer::Unavailable
            }
        }
    }

    /// When `wanted` slots may be used.
    pub(super) async fn reserve_slots(
        &mut self,
        wanted: usize,
        sendable: usize,
        afresh: bool,
    ) -> Result<Slots, StoreError> {
        let Some(rate) = self.rate else { return Ok(Slots::TooLate) };
        if afresh {
            self.leases.clear();
        }
        let mut departure = self.leases.take(wanted);
        if departure.is_none() {
            let reserved = self.reserve(rate, self.leases.size(rate, wanted, sendable)).await?;
            if reserved == Reserved::Paused {
                return Ok(Slots::Paused);
            }
            self.leases.go_on_with(reserved.lease());
            departure = self.leases.take(wanted);
        }
        if departure.is_some()
            && let Some(slots) = self.leases.short_of(rate, wanted, sendable)
        {
            let reserved = self.reserve(rate, slots).await?;
            self.leases.put_by(reserved.lease());
        }
        let time = |us| i64::try_from(us).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
        Ok(departure.map_or(Slots::TooLate, |us| Slots::At(time(us).unwrap_or(Timestamp::MAX))))
    }

    /// Reserves `slots` of those that begin within the slice.
    async fn reserve(&self, rate: Rate, slots: usize) -> Result<Reserved, StoreError> {
        let left = self.until.saturating_duration_since(Instant::now()).as_micros();
        let latest_us = clock::now_us().saturating_add(u64::try_from(left).unwrap_or(u64::MAX));
        self.app.budget.reserve(rate, slots, latest_us).await
    }

    /// Writes the cursor under `token`. After an error it may be written or not.
    pub(super) async fn write_cursor(
        &mut self,
        write: &CursorWrite<'_>,
        token: &str,
    ) -> Result<Written, StoreError> {
        let (product, shard, seen) =
            (&self.job.product_id, self.job.shard, (write.fencing_token, self.ended));
        match self.app.store.cursors().swap(product, shard, write.cursor, seen, token).await? {
            Swapped::Applied => Ok(Written::Won),
            Swapped::EntryEnded(ended) => {
                self.ended = ended;
                Ok(Written::EntryEnded)
            }
            Swapped::Lost => {
                tracing::warn!(%product, %shard, "another worker has the shard");
                Ok(Written::Lost)
            }
        }
    }

    pub(super) async fn send(&self, announced: Announced<'_, Addressee>) -> CallOutcome {
        let (app, job) = (self.app, self.job);
        let count = announced.count();
        let said = self.product.variant.as_ref().unwrap_or(&job.product_id);
        let offer = Offer::new(said, self.product.product.as_ref(), app.mailer.shop())
            .available(self.product.availability);
        let outcome = app.mailer.send(job, &offer, announced).await;
        let (product, shard) = (&job.product_id, job.shard);
        match &outcome {
            CallOutcome::NotSent(Refusal::Invalid(reason)) => {
                tracing::warn!(%product, %shard, count, reason, "SES refuses a whole call");
            }
            CallOutcome::InDoubt(reason) => {
                tracing::error!(%product, %shard, reason, "a call is in doubt");
            }
            _ => {}
        }
        outcome
    }

    /// Cuts the rate for all workers by the share of a call that SES throttled.
    pub(super) async fn cut_rate(&self, throttled: u64, of: u64) -> Result<(), StoreError> {
        metrics::throttled();
        let Some(rate) = self.rate else { return Ok(()) };
        if throttled == of {
            tracing::warn!(rate = rate.per_second(), "SES throttles; the rate is cut");
        }
        self.app.budget.cut(rate, throttled as f64 / of as f64).await
    }
}
