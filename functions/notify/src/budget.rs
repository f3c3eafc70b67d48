//! The send budget in the table: one item per sender, whose theoretical arrival time every worker
//! moves before it sends. The arithmetic is `domain::budget`'s.

use std::sync::{MutexGuard, PoisonError};

use domain::Address;
use domain::breaker::{self, sender_name};
use domain::budget::{Cut, Lease, Rate};
use lambda::clock;
use store::budget::{BudgetState, SendBudget, SlotCount};
use store::{Outcome, Store, StoreError};
use tokio::sync::Mutex;

/// The age at which the account's rate is asked for again, in microseconds.
const RATE_AGE_US: u64 = 300_000_000;
/// The pause before a rate that SES did not confirm is asked for again, in microseconds: not before every call.
const RATE_RETRY_US: u64 = 10_000_000;
/// The pause after a cut until the next one, in microseconds.
const CUT_PAUSE_US: u64 = 1_000_000;
/// Processes that reserve at the same moment get in each other's way a few times at most.
const ROUNDS: u32 = 20;
/// The most hours that one write removes from the item: their names take a part of the 4 KB that an expression may have.
const MOST_FORGOTTEN: usize = 48;

/// Reserves send slots.
pub(crate) struct Budget {
    shared: SendBudget,
    configured: Option<Rate>,
    /// The share of the account's rate that is left to other email.
    reserved: f64,
    account: Mutex<Option<(Rate, u64)>>,
    cut: std::sync::Mutex<Option<Cut>>,
    /// Held while slots are reserved: the shards of one process would only refuse each other's writes of the one item. It holds
    /// whether the last reservation found all slots free.
    idle: Mutex<bool>,
    /// The hours that the item counts the slots of and need not any more.
    forget: std::sync::Mutex<Vec<i64>>,
}

/// What came of asking for slots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Reserved {
    /// They are this worker's.
    Taken(Lease),
    /// The next free one is too late, and nothing is reserved.
    TooLate,
    /// Fan-outs pause, and nothing is reserved.
    Paused,
}

impl Reserved {
    pub(crate) fn lease(self) -> Option<Lease> {
        match self {
            Self::Taken(lease) => Some(lease),
            Self::TooLate | Self::Paused => None,
        }
    }
}

impl Budget {
    pub(crate) fn new(store: &Store, sender: &Address, configured: Option<Rate>, reserved: f64) -> Self {
        Self {
            // SES counts per account; the sender stands for it.
            shared: store.send_budget(&sender_name(sender)),
            configured,
            reserved,
            account: Mutex::new(None),
            cut: std::sync::Mutex::new(None),
            idle: Mutex::new(false),
            forget: std::sync::Mutex::new(Vec::new()),
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
        Ok(full.recovering(*self.last_cut(), now))
    }

    /// Reserves `slots` that may be used at `latest_us` (Unix microseconds) or before.
    pub(crate) async fn reserve(
        &self,
        rate: Rate,
        slots: usize,
        latest_us: u64,
    ) -> Result<Reserved, StoreError> {
        let cost = rate.cost_us(slots);
        let mut idle = self.idle.lock().await;
        for _ in 0..ROUNDS {
            let now = clock::now_us();
            if now > latest_us {
                return Ok(Reserved::TooLate);
            }
            let forget = std::mem::take(&mut *lock(&self.forget));
            let hour = breaker::hour(clock::now());
            let counting = SlotCount { slots: slots as u64, hour, forget: &forget };
            // While emails are going out: the slots are behind those that are taken. Where the rate
            // was not used up the last time, it hardly is now, and the other request comes first.
            if !*idle
                && let Outcome::Applied(state) =
                    self.noted(self.shared.queue(cost, now, latest_us, counting).await?)
                && let Some(arrival) = state.arrival_us
            {
                return Ok(Reserved::Taken(Lease::new(arrival.saturating_sub(cost), now, rate, slots)));
            }
            // Otherwise: they begin now.
            let started = self.noted(self.shared.start(cost, now, counting).await?);
            *idle = started.is_applied();
            match started {
                Outcome::Applied(_) => return Ok(Reserved::Taken(Lease::new(now, now, rate, slots))),
                Outcome::Refused(state) if state.paused.is_some() => return Ok(Reserved::Paused),
                Outcome::Refused(state) if state.arrival_us.unwrap_or_default() > latest_us => {
                    return Ok(Reserved::TooLate);
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
        let last = *self.last_cut();
        if last.is_some_and(|cut| now.saturating_sub(cut.at_us) < CUT_PAUSE_US) {
            return Ok(());
        }
        let cut = Cut { to: rate.cut_by(share), at_us: now };
        self.remember(Some(cut));
        self.shared.cut(cut).await
    }

    /// Either way the item shows the cuts of other workers, and the hours that it still counts.
    fn noted(&self, outcome: Outcome<BudgetState, BudgetState>) -> Outcome<BudgetState, BudgetState> {
        let (Outcome::Applied(state) | Outcome::Refused(state)) = &outcome;
        self.remember(state.cut);
        let first = breaker::first_hour(clock::now());
        *lock(&self.forget) = state.sent.range(..first).map(|(hour, _)| *hour).take(MOST_FORGOTTEN).collect();
        outcome
    }

    fn remember(&self, cut: Option<Cut>) {
        if cut.is_some() {
            *self.last_cut() = cut;
        }
    }

    /// The last cut that is known here.
    fn last_cut(&self) -> MutexGuard<'_, Option<Cut>> {
        lock(&self.cut)
    }
}

/// A thread that died with this lock left it whole: what it holds is written in one piece.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use domain::breaker::{Pause, PausedBy};
    use futures::future::join_all;

    use super::*;

    async fn budget() -> Budget {
        let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
        let store = store::test_util::store(&aws).await.unwrap();
        let sender = Address::parse("shop@example.com").unwrap();
        Budget::new(&store, &sender, Rate::new(100.0), 0.0)
    }

    #[tokio::test]
    async fn shards_that_reserve_side_by_side_get_slots_one_after_the_other() {
        let (budget, rate) = (budget().await, Rate::new(100.0).unwrap());
        let latest = clock::now_us() + 60_000_000;
        let leases = join_all((0..8).map(|_| budget.reserve(rate, 10, latest))).await;
        let starts: Vec<u64> =
            leases.into_iter().map(|lease| lease.unwrap().lease().unwrap().take(10).unwrap()).collect();
        assert!(starts.windows(2).all(|pair| pair[1] - pair[0] >= 100_000), "{starts:?}");
        assert_eq!(budget.reserve(rate, 10, clock::now_us()).await.unwrap(), Reserved::TooLate);
    }

    #[tokio::test]
    async fn no_slot_is_reserved_while_fan_outs_pause_and_every_slot_counts_once() {
        let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
        let store = store::test_util::store(&aws).await.unwrap();
        let sender = Address::parse("shop@example.com").unwrap();
        let rate = Rate::new(100.0).unwrap();
        let budget = Budget::new(&store, &sender, Some(rate), 0.0);
        let (sending, latest) = (store.sending("example.com"), clock::now_us() + 60_000_000);
        for _ in 0..2 {
            assert!(budget.reserve(rate, 10, latest).await.unwrap().lease().is_some());
        }
        assert_eq!(sending.state(clock::now()).await.unwrap().counts.sent, 20);
        let pause = Pause { by: PausedBy::Operator, why: "a test".to_owned(), since: clock::now() };
        assert!(sending.pause(&pause).await.unwrap().is_applied());
        assert!(!sending.pause(&pause).await.unwrap().is_applied(), "it pauses");
        assert_eq!(budget.reserve(rate, 10, latest).await.unwrap(), Reserved::Paused);
        let state = sending.state(clock::now()).await.unwrap();
        assert_eq!((state.paused, state.counts.sent), (Some(pause), 20));
        assert!(sending.resume().await.unwrap().is_applied());
        assert!(!sending.resume().await.unwrap().is_applied());
        assert!(budget.reserve(rate, 10, latest).await.unwrap().lease().is_some());
        assert_eq!(sending.state(clock::now()).await.unwrap().counts.sent, 10, "counted anew");
    }

    #[tokio::test]
    async fn an_hour_that_counts_no_more_is_forgotten_by_the_next_but_one_reservation() {
        let aws = lambda::aws::loader_for_stand_in("us-east-1".to_owned()).load().await;
        let store = store::test_util::store(&aws).await.unwrap();
        let rate = Rate::new(100.0).unwrap();
        let shared = store.send_budget("example.com");
        let now = clock::now_us();
        for hour in [7, 8] {
            let old = SlotCount { slots: 5, hour, forget: &[] };
            assert!(
                shared.start(1, now + u64::try_from(hour).unwrap() * 10, old).await.unwrap().is_applied()
            );
        }
        let budget = Budget::new(&store, &Address::parse("shop@example.com").unwrap(), Some(rate), 0.0);
        for _ in 0..2 {
            assert!(budget.reserve(rate, 1, now + 60_000_000).await.unwrap().lease().is_some());
        }
        let forgets = SlotCount { slots: 1, hour: 9, forget: &[] };
        let (Outcome::Applied(state) | Outcome::Refused(state)) =
            shared.queue(1, now, now + 60_000_000, forgets).await.unwrap();
        assert!(!state.sent.contains_key(&7) && !state.sent.contains_key(&8), "{state:?}");
        assert_eq!(state.sent.values().sum::<u64>(), 3);
    }

    #[tokio::test]
    async fn a_thread_that_dies_while_it_notes_a_cut_takes_neither_the_cut_nor_the_budget_with_it() {
        let budget = budget().await;
        let full = budget.rate(async || Err(())).await.unwrap().per_second();
        budget.cut(Rate::new(100.0).unwrap(), 1.0).await.unwrap();
        std::thread::scope(|threads| {
            let dies = threads.spawn(|| {
                let _cut = budget.cut.lock();
                panic!("it dies with the lock");
            });
            assert!(dies.join().is_err());
        });
        assert!(budget.cut.is_poisoned());
        let rate = budget.rate(async || Err(())).await.unwrap().per_second();
        assert!(full == 100.0 && rate < 60.0, "{rate}");
        budget.remember(Some(Cut { to: Rate::new(10.0).unwrap(), at_us: clock::now_us() }));
        assert!(budget.rate(async || Err(())).await.unwrap().per_second() < 20.0);
    }
}
