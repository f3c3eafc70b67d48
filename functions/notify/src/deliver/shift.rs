//! A worker's time with one shard: it holds the cursor as it last wrote it, the entries it has
//! read ahead, and the slots it has reserved.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use domain::{
    Position,
    budget::{Lease, Rate},
    cursor::{Answer, Availability, Cursor, MAX_CALL, OnUnknown, Tally},
    job::Job,
    mail::Offer,
    product::Product,
};
use futures::future::try_join;
use platform::{
    chance,
    table::{Claim, StoredCursor, TableError},
};
use tokio::time::Instant;

use super::{
    End,
    refusals::{AtTheEnd, Refusals},
    waitlist::{self, Addressee, Row},
};
use crate::{
    App,
    budget::Reserved,
    event::Failed,
    mailer::{CALL_TIMEOUT, Fate, Refusal, Sent},
    metrics,
};

/// The longest from a call's announcement to its departure; a worker that was frozen for longer
/// announces again.
const DEPARTURE: Duration = Duration::from_secs(2);
/// The longest from a call's announcement until it certainly is over: its departure, the call, and
/// how far two workers' clocks may differ.
pub const FLIGHT_LIMIT: Duration =
    DEPARTURE.saturating_add(CALL_TIMEOUT).saturating_add(Duration::from_secs(5));
/// How long after its announcement a call's answer is committed at once.
const LATE: Duration = Duration::from_secs(5);
/// How old the product's item may be when a call goes out: what SES has not been handed a second
/// after a sell-out is not sent.
const FRESH: Duration = Duration::from_secs(1);
/// How far entries are read ahead, in seconds of sending: somebody who unsubscribes during a
/// fan-out is spared unless their mail is that near.
const AHEAD_SECONDS: f64 = 3.0;
/// The most entries that are read ahead.
const MAX_PAGE: usize = 1_000;
/// How often the last write of a slice is tried, and how long it is waited after the first time.
const COMMIT_TRIES: u32 = 5;
const COMMIT_PAUSE: Duration = Duration::from_millis(300);
/// How often SES may fail a recipient before they are written down as failed.
const MOST_TRIES: u32 = 20;
/// How many calls in a row may come to nothing before the job goes back in line.
const MAX_STUCK: u32 = 5;

/// What a worker begins with.
pub(crate) struct Known {
    /// The product, with its bound.
    pub(crate) product: Product,
    /// When it was read.
    pub(crate) looked: Instant,
    /// The shard's cursor. Should somebody write it after it was read, they have the shard.
    pub(crate) stored: StoredCursor,
    /// Nobody can have been told of this restock yet, so that nothing was counted for it.
    pub(crate) first: bool,
}

impl Known {
    /// Reads it; `None` where there is no such product.
    pub(super) async fn read(app: &App, job: &Job) -> Result<Option<Self>, TableError> {
        let looked = Instant::now();
        let product = app.table.product(&job.product_id);
        let (product, stored) = try_join(product, app.table.cursor(&job.product_id, job.shard)).await?;
        Ok(product.map(|product| Self { product, looked, stored, first: false }))
    }
}

/// What came of taking a shard over.
pub(super) enum Opening<'a> {
    /// It is ours, until somebody else writes its cursor.
    Ours(Box<Shift<'a>>),
    /// Another worker's call is under way.
    Busy,
    /// The product has no bound, so nobody can have planned this.
    Unknown,
}

/// A worker's time with a shard.
pub(super) struct Shift<'a> {
    app: &'a App,
    job: &'a Job,
    /// Nobody past it is told: the job's, but never past the product's.
    bound: Position,
    cursor: Cursor,
    /// The token under which the cursor was last seen or written.
    seen: Option<String>,
    /// Whether the cursor differs from what is written.
    changed: bool,
    /// Whether another worker has written the cursor.
    lost: bool,
    /// A write of the cursor, and its token, of which nobody knows whether it was applied.
    unsure: Option<(String, Cursor)>,
    ahead: VecDeque<(Position, Row)>,
    /// Whether the shard was read up to the bound.
    whole: bool,
    /// The entries of those carried.
    owed: HashMap<Position, Addressee>,
    product: Product,
    looked: Instant,
    lease: Option<Lease>,
    /// The slots after those, reserved in time: whoever comes late to reserve has let slots go by.
    next_lease: Option<Lease>,
    handed: u64,
    stuck: u32,
    refusals: Refusals,
    /// How long send slots were waited for.
    waited: Duration,
}

/// A call about to be made.
struct Call {
    recipients: Vec<(Position, Addressee)>,
    retried: usize,
    through: Option<Position>,
    skipped: u64,
    /// Entries of its range that cannot be read.
    unreadable: Vec<Position>,
}

impl<'a> Shift<'a> {
    /// Takes a shard over: waits for another worker's call to be certainly over, and settles it.
    pub(super) async fn open(
        app: &'a App,
        job: &'a Job,
        known: Option<Known>,
        until: Instant,
    ) -> Result<Opening<'a>, Failed> {
        let Some(Known { product, looked, mut stored, first }) = known else { return Ok(Opening::Unknown) };
        let Some(bound) = product.bound else { return Ok(Opening::Unknown) };
        let (seen, cursor, settled) = loop {
            match stored.cursor.availability(chance::now(), FLIGHT_LIMIT) {
                Availability::Free => break (stored.token, stored.cursor, false),
                Availability::InDoubt(_) => {
                    break (stored.token, settle(app, job, &stored.cursor).await?, true);
                }
                Availability::Busy { .. } if Instant::now() >= until => return Ok(Opening::Busy),
                Availability::Busy { until: over } => {
                    let left = Duration::try_from(over.duration_since(chance::now())).unwrap_or_default();
                    tokio::time::sleep_until(until.min(Instant::now() + left.min(FRESH))).await;
                }
            }
            stored = app.table.cursor(&job.product_id, job.shard).await?;
        };
        Ok(Opening::Ours(Box::new(Self {
            app,
            job,
            bound: job.bound.min(bound),
            cursor: count_on(app, job, cursor, first).await?,
            changed: settled,
            seen,
            lost: false,
            unsure: None,
            ahead: VecDeque::new(),
            whole: false,
            owed: HashMap::new(),
            product,
            looked,
            lease: None,
            next_lease: None,
            handed: 0,
            stuck: 0,
            refusals: Refusals::default(),
            waited: Duration::ZERO,
        })))
    }

    /// Tells people, call by call.
    pub(super) async fn work(&mut self, until: Instant) -> Result<End, Failed> {
        loop {
            if Instant::now() >= until || self.handed >= self.app.config.slice_mails {
                return Ok(if self.nobody_left().await? { End::Told } else { End::More });
            }
            // Before the look at the stock and the announcement, both of which must be young when a call departs.
            self.app.mailer.greet().await;
            if !self.in_stock().await? {
                return Ok(End::SoldOut);
            }
            let mailer = &self.app.mailer;
            let rate = match self.app.budget.rate(async || mailer.account_rate().await).await {
                Ok(rate) => rate,
                Err(error) if error.needs_a_person() => return Ok(End::Stopped(error.to_string())),
                Err(error) => {
                    tracing::warn!(%error, "SES does not tell the rate; asked again");
                    match self.lag(until).await? {
                        Some(end) => return Ok(end),
                        None => continue,
                    }
                }
            };
            let size = rate.call_size(MAX_CALL).min(self.refusals.size());
            self.read_ahead(rate, size).await?;
            self.find_owed().await?;
            let wanted = self.sendable().min(size);
            if wanted == 0 {
                match self.refusals.at_the_end() {
                    AtTheEnd::Nobody => return Ok(End::Told),
                    AtTheEnd::Stop(reason) => return Ok(End::Stopped(reason)),
                    AtTheEnd::TheirOwnFault => {
                        self.reject_set_aside().await?;
                        continue;
                    }
                }
            }
            let Some(departure_us) = self.slots(rate, wanted, until).await? else { return Ok(End::More) };
            let wait = Duration::from_micros(departure_us.saturating_sub(chance::now_us()));
            self.waited += wait;
            if !self.pause(wait).await? {
                return Ok(End::More);
            }
            let call = self.next_call(wanted);
            if call.recipients.is_empty() {
                if let Some(through) = call.through {
                    let unreadable = waitlist::failures(&call.unreadable, waitlist::UNREADABLE);
                    waitlist::write_failed(self.app, self.job, &unreadable).await?;
                    self.cursor =
                        self.cursor.pass(through, call.skipped).count_failed(call.unreadable.len() as u64);
                    self.changed = true;
                }
                continue;
            }
            if !self.claim(&call).await? {
                return Ok(End::More);
            }
            if let Some(end) = self.send(call, rate, until).await? {
                return Ok(end);
            }
        }
    }

    /// Writes the cursor for whoever comes next, and gives the count: also where nothing changed,
    /// because a crash may have kept it from the summary.
    pub(super) async fn release(mut self: Box<Self>) -> (Result<(), TableError>, Option<Tally>) {
        metrics::slot_wait(self.waited);
        if let Err(error) = self.commit().await {
            return (Err(error), None);
        }
        let counted = |tally: &Tally| *tally != Tally::new(tally.restock_id.clone());
        (Ok(()), self.cursor.tally.clone().filter(|tally| !self.lost && counted(tally)))
    }

    /// Writes what is not written yet, more than once if need be: what SES has answered must not be
    /// in doubt for want of a write, nor what it was never handed.
    async fn commit(&mut self) -> Result<(), TableError> {
        for attempt in 1.. {
            let committed = self.try_to_commit().await;
            if !committed.as_ref().is_err_and(TableError::is_transient) || attempt == COMMIT_TRIES {
                return committed;
            }
            tokio::time::sleep(COMMIT_PAUSE * attempt).await;
        }
        Ok(())
    }

    async fn try_to_commit(&mut self) -> Result<(), TableError> {
        if let Some((token, written)) = self.unsure.clone() {
            let stored = self.app.table.cursor(&self.job.product_id, self.job.shard).await?;
            if stored.token.as_deref() == Some(&token) {
                // It was written. A call that it announces was not made: an announcement whose
                // answer is missing is never followed by a send.
                self.seen = Some(token);
                self.cursor = written.rollback();
            }
            // Written or not, what is written now keeps it from arriving late.
            self.unsure = None;
            self.changed = true;
        }
        if !self.lost && self.changed && self.cursor.in_flight.is_none() {
            self.write(self.cursor.clone()).await?;
        }
        Ok(())
    }

    /// How many can be sent to now: those set aside are not among them.
    fn sendable(&self) -> usize {
        self.cursor.pending_retries.len().saturating_sub(self.refusals.set_aside().len()) + self.ahead.len()
    }

    /// Writes those down as failed whom SES refused while it takes others: it was their own fault.
    async fn reject_set_aside(&mut self) -> Result<(), TableError> {
        let rejected = self.refusals.take();
        if rejected.is_empty() {
            return Ok(());
        }
        metrics::answered(0, rejected.len() as u64);
        waitlist::write_failed(self.app, self.job, &rejected).await?;
        let gone: Vec<Position> = rejected.into_iter().map(|(position, _)| position).collect();
        self.owed.retain(|position, _| !gone.contains(position));
        self.cursor = self.cursor.drop_retries(&gone).count_failed(gone.len() as u64);
        self.changed = true;
        Ok(())
    }

    async fn nobody_left(&mut self) -> Result<bool, TableError> {
        if !self.cursor.pending_retries.is_empty() || !self.ahead.is_empty() {
            return Ok(false);
        }
        if !self.whole {
            let page = self.page(1).await?;
            self.ahead.extend(page);
        }
        Ok(self.ahead.is_empty())
    }

    /// Whether the product can be bought, as of a moment ago.
    async fn in_stock(&mut self) -> Result<bool, TableError> {
        if self.looked.elapsed() >= FRESH {
            self.looked = Instant::now();
            if let Some(product) = self.app.table.product(&self.job.product_id).await? {
                self.product = product;
            }
        }
        Ok(self.product.in_stock())
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 1 to 1000")]
    async fn read_ahead(&mut self, rate: Rate, size: usize) -> Result<(), TableError> {
        // A call's worth more than the next call takes, so that there is somebody to reserve the slots after it for.
        while self.ahead.len() < size * 2 && !self.whole {
            let page = ((rate.per_second() * AHEAD_SECONDS) as usize).clamp(size.min(MAX_PAGE), MAX_PAGE);
            let page = self.page(page).await?;
            self.ahead.extend(page);
        }
        Ok(())
    }

    async fn page(&mut self, limit: usize) -> Result<Vec<(Position, Row)>, TableError> {
        let after = self.ahead.back().map_or(self.cursor.committed, |(position, _)| *position);
        let page = waitlist::entries(self.app, self.job, after, self.bound, limit).await?;
        self.whole = page.last;
        Ok(page.entries)
    }

    /// Reads the entries of those carried whom an earlier worker left.
    async fn find_owed(&mut self) -> Result<(), TableError> {
        let missing: Vec<Position> = self
            .cursor
            .pending_retries
            .iter()
            .copied()
            .filter(|position| !self.owed.contains_key(position))
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut unreadable = Vec::new();
        for (position, row) in waitlist::entries_at(self.app, self.job, &missing).await? {
            match row {
                Row::Waiting(entry) => drop(self.owed.insert(position, entry)),
                Row::Expired => {}
                Row::Unreadable => unreadable.push(position),
            }
        }
        let failed = waitlist::failures(&unreadable, waitlist::UNREADABLE);
        waitlist::write_failed(self.app, self.job, &failed).await?;
        let gone: Vec<Position> =
            missing.into_iter().filter(|position| !self.owed.contains_key(position)).collect();
        self.cursor = self.cursor.drop_retries(&gone).count_failed(unreadable.len() as u64);
        self.changed |= !gone.is_empty();
        Ok(())
    }

    /// When `wanted` slots may be used, in Unix microseconds; `None` where that is after `until`.
    async fn slots(&mut self, rate: Rate, wanted: usize, until: Instant) -> Result<Option<u64>, TableError> {
        let known = self.sendable();
        let mut at = self.lease.as_mut().and_then(|lease| lease.take(wanted));
        if at.is_none() {
            self.lease = match self.next_lease.take().filter(|lease| lease.left() >= wanted) {
                Some(lease) => Some(lease),
                None => self.reserve(rate, wanted, known, until).await?,
            };
            at = self.lease.as_mut().and_then(|lease| lease.take(wanted));
        }
        let after = known.saturating_sub(wanted);
        let is_short = self.lease.is_some_and(|lease| lease.left() < wanted.min(after));
        if at.is_some() && is_short && self.next_lease.is_none() {
            self.next_lease = self.reserve(rate, wanted.min(after), after, until).await?;
        }
        Ok(at)
    }

    /// Reserves about half a second's worth, at least `wanted` and never more than for the `known` who are to be told;
    /// `None` where the first slot is after `until`.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most 1000 counts")]
    async fn reserve(
        &self,
        rate: Rate,
        wanted: usize,
        known: usize,
        until: Instant,
    ) -> Result<Option<Lease>, TableError> {
        let half_second = (rate.per_second() / 2.0).min(MAX_PAGE as f64) as usize;
        let slots = half_second.clamp(wanted, known.max(wanted));
        let left =
            u64::try_from(until.saturating_duration_since(Instant::now()).as_micros()).unwrap_or(u64::MAX);
        let latest_us = chance::now_us().saturating_add(left);
        Ok(match self.app.budget.reserve(rate, slots, latest_us).await? {
            Reserved::TooLate => None,
            Reserved::Slots(lease) => Some(lease),
        })
    }

    /// The next `wanted` people: those carried first, then the next entries.
    fn next_call(&mut self, wanted: usize) -> Call {
        let mut call = Call {
            recipients: Vec::with_capacity(wanted),
            retried: 0,
            through: None,
            skipped: 0,
            unreadable: Vec::new(),
        };
        // Those set aside stand last.
        let first = self.cursor.pending_retries.len().saturating_sub(self.refusals.set_aside().len());
        for position in self.cursor.pending_retries.iter().take(wanted.min(first)) {
            let Some(entry) = self.owed.remove(position) else { break };
            call.recipients.push((*position, entry));
            call.retried += 1;
        }
        while call.recipients.len() < wanted {
            let Some((position, entry)) = self.ahead.pop_front() else { break };
            call.through = Some(position);
            match entry {
                Row::Waiting(entry) => call.recipients.push((position, entry)),
                Row::Expired => call.skipped += 1,
                Row::Unreadable => call.unreadable.push(position),
            }
        }
        call
    }

    /// Announces a call, which also commits the one before. False where another worker has the
    /// shard: then nothing may be sent.
    async fn claim(&mut self, call: &Call) -> Result<bool, TableError> {
        let count = u32::try_from(call.recipients.len()).unwrap_or(u32::MAX);
        let claimed = self.cursor.announce(call.retried, call.through, count, chance::now());
        self.write(claimed).await
    }

    async fn write(&mut self, cursor: Cursor) -> Result<bool, TableError> {
        let token = chance::new_id();
        let (app, job, seen) = (self.app, self.job, self.seen.clone());
        let written =
            app.table.write_cursor(&job.product_id, job.shard, &cursor, seen.as_deref(), &token).await;
        if written.is_err() {
            self.unsure = Some((token.clone(), cursor.clone()));
        }
        match written? {
            Claim::Won => {
                self.cursor = cursor;
                self.seen = Some(token);
                self.changed = false;
                Ok(true)
            }
            Claim::Lost => {
                tracing::warn!(product = %job.product_id, shard = %job.shard, "another worker has the shard");
                self.lost = true;
                Ok(false)
            }
        }
    }

    /// Sends a call that was announced, and takes note of what came of it.
    async fn send(&mut self, call: Call, rate: Rate, until: Instant) -> Result<Option<End>, Failed> {
        let since_ms = self
            .cursor
            .in_flight
            .as_ref()
            .map_or(0, |flight| u64::try_from(flight.since.as_millisecond()).unwrap_or_default());
        self.changed = true;
        if u128::from(chance::now_ms().saturating_sub(since_ms)) > DEPARTURE.as_millis() {
            // Frozen between the announcement and here: it may look dead to others already.
            self.take_back(call);
            return Ok(None);
        }
        let offer = Offer::new(&self.job.product_id, self.product.product.as_ref(), self.app.mailer.shop());
        match self.app.mailer.send(self.job, &offer, &call.recipients).await {
            Sent::Answered(fates) => {
                let end = self.answered(call, fates, rate, until).await?;
                if end.is_none()
                    && is_late(since_ms, chance::now_ms())
                    && !self.write(self.cursor.clone()).await?
                {
                    return Ok(Some(End::More));
                }
                Ok(end)
            }
            Sent::Refused(Refusal::Spoiled(reason)) => self.spoiled(call, reason).await,
            Sent::Refused(refusal) => {
                self.take_back(call);
                self.refused(&refusal, rate, until).await
            }
            Sent::Unknown(reason) => {
                tracing::error!(product = %self.job.product_id, shard = %self.job.shard, reason, "a call is in doubt");
                let flying = self.cursor.clone();
                match self.app.config.on_unknown {
                    OnUnknown::Resend => {
                        metrics::in_doubt(u32::try_from(call.recipients.len()).unwrap_or(u32::MAX));
                        self.take_back(call);
                        self.cursor = flying.resolve_in_doubt(OnUnknown::Resend);
                    }
                    OnUnknown::Skip => self.cursor = settle(self.app, self.job, &flying).await?,
                }
                self.lag(until).await
            }
        }
    }

    /// SES refused a whole call for something that may be one recipient's: it is halved until that one stands alone, who is
    /// set aside then, so that the others are told first.
    async fn spoiled(&mut self, call: Call, reason: String) -> Result<Option<End>, Failed> {
        let count = call.recipients.len();
        tracing::warn!(product = %self.job.product_id, shard = %self.job.shard, count, reason, "SES refuses a whole call");
        if count > 1 {
            self.take_back(call);
            self.refusals.halve(count);
            return Ok(None);
        }
        let unreadable = waitlist::failures(&call.unreadable, waitlist::UNREADABLE);
        waitlist::write_failed(self.app, self.job, &unreadable).await?;
        let mut again = Vec::new();
        for (position, entry) in call.recipients {
            self.owed.insert(position, entry);
            self.refusals.set_one_aside(position, reason.clone());
            again.push(position);
        }
        self.refusals.answered(0);
        let answer = Answer { skipped: call.skipped, retry: again, ..Answer::default() };
        self.cursor = self.cursor.commit(answer).count_failed(unreadable.len() as u64);
        self.settle_set_aside().await
    }

    /// What is done about those set aside after a call: nothing yet, or they are rejected, or SES takes nobody.
    async fn settle_set_aside(&mut self) -> Result<Option<End>, Failed> {
        if self.refusals.others_were_taken() {
            self.reject_set_aside().await?;
        }
        if let Some(reason) = self.refusals.too_many() {
            return Ok(Some(End::Stopped(reason)));
        }
        let last: Vec<Position> = self.refusals.set_aside().iter().map(|(position, _)| *position).collect();
        self.cursor = self.cursor.retry_last(&last);
        Ok(None)
    }

    async fn answered(
        &mut self,
        call: Call,
        fates: Vec<Fate>,
        rate: Rate,
        until: Instant,
    ) -> Result<Option<End>, Failed> {
        let mut answer = Answer { skipped: call.skipped, ..Answer::default() };
        let (mut rejected, mut worst) = (Vec::new(), None);
        let unreadable = waitlist::failures(&call.unreadable, waitlist::UNREADABLE);
        let accepted = fates.iter().filter(|fate| **fate == Fate::Accepted).count();
        self.refusals.answered(accepted);
        for ((position, entry), fate) in call.recipients.into_iter().zip(fates) {
            let tried = self.cursor.tries_of(position);
            match fate {
                Fate::Accepted => answer.accepted += 1,
                Fate::Rejected(reason) if self.refusals.is_their_own_fault(&reason) => {
                    rejected.push((position, reason))
                }
                Fate::Rejected(reason) => {
                    // It may be everybody's, or is: others are tried first.
                    answer.retry.push(position);
                    self.owed.insert(position, entry);
                    self.refusals.set_one_aside(position, reason);
                }
                Fate::Again(refusal) if tried + 1 >= MOST_TRIES && refusal.is_the_recipients(accepted) => {
                    rejected.push((position, format!("{} (tried {MOST_TRIES} times)", refusal.word())));
                }
                Fate::Again(refusal) => {
                    answer.retry.push(position);
                    if refusal.is_the_recipients(accepted) {
                        answer.failed_tries.push(position);
                    }
                    self.owed.insert(position, entry);
                    let stop = matches!(refusal, Refusal::Stopped(_));
                    if worst.is_none() || stop {
                        worst = Some(refusal);
                    }
                }
            }
        }
        answer.rejected = rejected.len() as u64;
        let of_all = answer.retry.len() as f64
            / (answer.retry.len() as f64 + (answer.accepted + answer.rejected) as f64);
        self.handed += answer.accepted;
        metrics::answered(answer.accepted, answer.rejected);
        let progress = answer.accepted + answer.rejected > 0;
        self.cursor = self.cursor.commit(answer).count_failed(unreadable.len() as u64);
        rejected.extend(unreadable);
        waitlist::write_failed(self.app, self.job, &rejected).await?;
        if let Some(end) = self.settle_set_aside().await? {
            return Ok(Some(end));
        }
        if progress {
            self.stuck = 0;
        }
        match worst {
            None => Ok(None),
            Some(Refusal::Throttled) if progress => {
                metrics::throttled();
                self.app.budget.cut(rate, of_all).await?;
                Ok(None)
            }
            // Somebody was taken, so it is no reason to stop for all.
            Some(_) if progress => Ok(None),
            Some(refusal) => self.refused(&refusal, rate, until).await,
        }
    }

    async fn refused(
        &mut self,
        refusal: &Refusal,
        rate: Rate,
        until: Instant,
    ) -> Result<Option<End>, Failed> {
        match refusal {
            Refusal::Stopped(reason) | Refusal::Spoiled(reason) => {
                return Ok(Some(End::Stopped(reason.clone())));
            }
            Refusal::Throttled => {
                metrics::throttled();
                tracing::warn!(rate = rate.per_second(), "SES throttles; the rate is cut");
                self.app.budget.cut(rate, 1.0).await?;
            }
            Refusal::Away(reason) => tracing::warn!(reason, "SES does not answer"),
        }
        // Slots that were reserved at the old rate are no good any more.
        (self.lease, self.next_lease) = (None, None);
        self.lag(until).await
    }

    /// Waits after a call that came to nothing, longer each time, and in the end goes back in line: an outage or a throttle
    /// delays an email by seconds, and only what a person must mend waits for the sweep.
    async fn lag(&mut self, until: Instant) -> Result<Option<End>, Failed> {
        self.stuck += 1;
        if self.stuck >= MAX_STUCK {
            return Ok(Some(End::More));
        }
        let pause = Duration::from_millis(250 << self.stuck.min(5));
        let ours = self.pause(pause.min(until.saturating_duration_since(Instant::now()))).await?;
        Ok((!ours).then_some(End::More))
    }

    /// Waits. Before a long wait, the call that was answered last is committed: left for the next
    /// announcement, it would come to look like one whose worker is gone. False where another
    /// worker has the shard.
    async fn pause(&mut self, wait: Duration) -> Result<bool, TableError> {
        if wait > DEPARTURE
            && self.changed
            && self.cursor.in_flight.is_none()
            && !self.write(self.cursor.clone()).await?
        {
            return Ok(false);
        }
        tokio::time::sleep(wait).await;
        Ok(true)
    }

    /// Puts the people of a call that did not happen back to where they came from.
    fn take_back(&mut self, call: Call) {
        self.cursor = self.cursor.rollback();
        let mut recipients = call.recipients.into_iter();
        self.owed.extend(recipients.by_ref().take(call.retried));
        let unreadable = call.unreadable.into_iter().map(|position| (position, Row::Unreadable));
        let mut rows: Vec<(Position, Row)> =
            recipients.map(|(position, entry)| (position, Row::Waiting(entry))).chain(unreadable).collect();
        rows.sort_unstable_by_key(|(position, _)| *position);
        for row in rows.into_iter().rev() {
            self.ahead.push_front(row);
        }
    }
}

/// Whether the answer to a call announced then came so late that it is committed at once, and not with the next announcement: what
/// is read and reserved before that may take until the call looks like one whose worker is gone ([`FLIGHT_LIMIT`]).
fn is_late(since_ms: u64, now_ms: u64) -> bool {
    u128::from(now_ms.saturating_sub(since_ms)) > LATE.as_millis()
}

/// Settles the call in flight as the setting says. Whoever is passed is written down first.
async fn settle(app: &App, job: &Job, flying: &Cursor) -> Result<Cursor, TableError> {
    let choice = app.config.on_unknown;
    if let (OnUnknown::Skip, Some(flight)) = (choice, &flying.in_flight) {
        let of_flight =
            waitlist::entries(app, job, flying.committed, flight.through, MAX_PAGE).await?.entries;
        let doubted = of_flight.iter().map(|(position, _)| *position).chain(flight.retried.iter().copied());
        let doubted: Vec<Position> = doubted.collect();
        waitlist::write_failed(app, job, &waitlist::failures(&doubted, "IN_DOUBT")).await?;
    }
    let count = flying.in_flight.as_ref().map_or(0, |flight| flight.count);
    metrics::in_doubt(count);
    tracing::warn!(product = %job.product_id, shard = %job.shard, count, ?choice, "a call in doubt is settled");
    Ok(flying.resolve_in_doubt(choice))
}

/// Lets the cursor count for the job's restock. The count so far of the one before, which a crash
/// may have kept from the summary, is written there.
async fn count_on(app: &App, job: &Job, cursor: Cursor, first: bool) -> Result<Cursor, Failed> {
    if cursor.tally.as_ref().is_some_and(|tally| tally.restock_id == job.restock_id) {
        return Ok(cursor);
    }
    if let Some(before) = &cursor.tally {
        super::sum_up(app, job, before).await?;
    }
    let tally = if first { None } else { waitlist::tally(app, job).await? };
    Ok(cursor.switch_tally_to(tally.unwrap_or_else(|| Tally::new(job.restock_id.clone()))))
}
