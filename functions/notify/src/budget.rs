//! The send budget in the table: one item per sender, whose theoretical arrival time every worker
//! moves before it sends. The arithmetic is `domain::budget`'s.

use std::sync::atomic::{AtomicBool, Ordering};

use domain::Address;
use domain::budget::{Cut, Lease, Rate};
use lambda::clock;
use store::budget::{BudgetState, SendBudget};
use store::{Outcome, Store, StoreError};
use tokio::sync::Mutex;

/// The age at which the account's rate is asked for again, in microseconds.
const RATE_AGE_US: u64 = 300_000_000;
/// The pause before a rate that SES did not confirm is asked for again, in microseconds: not before every call.
const RATE_RETRY_US: u64 = 10_000_000;
/// The pause after a cut until the next one, in microseconds.
const CUT_PAUSE_US: u64 = 1_000_000;
/// Workers that reserve at the same moment get in each other's way a few times at most.
const ROUNDS: u32 = 20;

/// Reserves send slots.
pub(crate) struct Budget {
    shared: SendBudget,
    configured: Option<Rate>,
    /// The share of the account's rate that is left to other email.
    reserved: f64,
    account: Mutex<Option<(Rate, u64)>>,
    cut: std::sync::Mutex<Option<Cut>>,
    /// Whether the last reservation found all slots free.
    idle: AtomicBool,
}

impl Budget {
    pub(crate) fn new(store: &Store, sender: &Address, configured: Option<Rate>, reserved: f64) -> Self {
        // SES counts per account; the sender stands for it, by its domain, which is no secret.
        let domain = sender.normalised();
        let domain = domain.rsplit('@').next().unwrap_or_default();
        Self {
            shared: store.send_budget(domain),
            configured,
            reserved,
            account: Mutex::new(None),
            cut: std::sync::Mutex::new(None),
            idle: AtomicBool::new(false),
        }
    }

    /// The rate that holds now: as configured, else as the account says (`ask`) without the share
    /// kept for other email; less what a throttle has cut.
    pub(crate) async fn rate<E>(&self, ask: impl AsyncFnOnce() -> Result<Rate, E>) -> Result<Rate, E> {
        let now = clock::now_us();
        let full = match self.configured {
            Some(rate) => rate,
            None => {
                let mut known = self.account.lock().await;
                match *known {
                    Some((rate, at)) if now.saturating_sub(at) < RATE_AGE_US => rate,
                    last => match (ask().await, last) {
                        (Ok(rate), _) => known.insert((rate.without(self.reserved), now)).0,
                        // A lost answer is no reason to stop: what was true a few minutes ago serves until the next try.
                        (Err(_), Some((rate, _))) => {
                            known.insert((rate, now - RATE_AGE_US + RATE_RETRY_US)).0
                        }
                        (Err(error), None) => return Err(error),
                    },
                }
            }
        };
        let cut = self.cut.lock().map(|cut| *cut).unwrap_or_default();
        Ok(full.recovering(cut, now))
    }

    /// Reserves `slots` that may be used at `latest_us` (Unix microseconds) or before; `None`, and nothing is reserved,
    /// where the next free slot is later.
    pub(crate) async fn reserve(
        &self,
        rate: Rate,
        slots: usize,
        latest_us: u64,
    ) -> Result<Option<Lease>, StoreError> {
        let cost = rate.cost_us(slots);
        for _ in 0..ROUNDS {
            let now = clock::now_us();
            if now > latest_us {
                return Ok(None);
            }
            // While emails are going out: the slots are behind those that are taken. Where the rate
            // was not used up the last time, it hardly is now, and the other request comes first.
            if !self.idle.load(Ordering::Relaxed)
                && let Outcome::Applied(state) = self.noted(self.shared.queue(cost, now, latest_us).await?)
                && let Some(arrival) = state.arrival_us
            {
                return Ok(Some(Lease::new(arrival.saturating_sub(cost), now, rate, slots)));
            }
            // Otherwise: they begin now.
            let started = self.noted(self.shared.start(cost, now).await?);
            self.idle.store(started.is_applied(), Ordering::Relaxed);
            match started {
                Outcome::Applied(_) => return Ok(Some(Lease::new(now, now, rate, slots))),
                Outcome::Refused(state) if state.arrival_us.unwrap_or_default() > latest_us => {
                    return Ok(None);
                }
                Outcome::Refused(_) => {}
            }
        }
        Err(StoreError::contended("the send budget"))
    }

    /// Notes that SES throttled this share of a call at this rate: it is cut, for all workers, and
    /// comes back slowly. Calls that were under way when it was cut say nothing about the new rate,
    /// so it is not cut again within a second.
    pub(crate) async fn cut(&self, rate: Rate, share: f64) -> Result<(), StoreError> {
        let now = clock::now_us();
        let last = self.cut.lock().map(|cut| *cut).unwrap_or_default();
        if last.is_some_and(|cut| now.saturating_sub(cut.at_us) < CUT_PAUSE_US) {
            return Ok(());
        }
        let cut = Cut { to: rate.cut_by(share), at_us: now };
        self.remember(Some(cut));
        self.shared.cut(cut).await
    }

    /// Either way the item shows the cuts of other workers.
    fn noted(&self, outcome: Outcome<BudgetState, BudgetState>) -> Outcome<BudgetState, BudgetState> {
        let (Outcome::Applied(state) | Outcome::Refused(state)) = outcome;
        self.remember(state.cut);
        outcome
    }

    fn remember(&self, cut: Option<Cut>) {
        if let (Some(cut), Ok(mut known)) = (cut, self.cut.lock()) {
            *known = Some(cut);
        }
    }
}
