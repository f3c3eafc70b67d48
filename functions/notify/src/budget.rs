//! The send budget in the table: one item per sender, whose theoretical arrival time every worker
//! moves before it sends. The arithmetic is `domain::budget`'s.

use std::sync::atomic::{AtomicBool, Ordering};

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::update_item::{UpdateItemError, UpdateItemOutput},
    types::{AttributeValue, ReturnValue},
};
use domain::{
    Address,
    budget::{Cut, Lease, Rate},
};
use lambda::clock;
use lambda::table::{Item, ItemKey, Table, TableError};
use tokio::sync::Mutex;

/// How long the account's rate is believed before it is asked for again, in microseconds.
const RATE_AGE_US: u64 = 300_000_000;
/// How long a rate that SES did not confirm serves before it is asked for again, in microseconds: not before every call.
const RATE_RETRY_US: u64 = 10_000_000;
/// How long after a cut there is no other, in microseconds.
const CUT_PAUSE_US: u64 = 1_000_000;
/// Workers that reserve at the same moment get in each other's way a few times at most.
const ROUNDS: u32 = 20;

/// Reserves send slots.
pub(crate) struct Budget {
    table: Table,
    key: ItemKey,
    configured: Option<Rate>,
    /// The share of the account's rate that is left to other mail.
    reserved: f64,
    account: Mutex<Option<(Rate, u64)>>,
    cut: std::sync::Mutex<Option<Cut>>,
    /// Whether the last reservation found all slots free.
    idle: AtomicBool,
}

/// What became of a reservation.
pub(crate) enum Reserved {
    /// These slots are ours.
    Slots(Lease),
    /// The next free slot is later than asked for; nothing was reserved.
    TooLate,
}

impl Budget {
    pub(crate) fn new(table: Table, sender: Address, configured: Option<Rate>, reserved: f64) -> Self {
        // SES counts per account; the sender stands for it, by its domain, which is no secret.
        let domain = sender.normalised();
        let domain = domain.rsplit('@').next().unwrap_or_default();
        Self {
            table,
            key: ItemKey::budget(domain),
            configured,
            reserved,
            account: Mutex::new(None),
            cut: std::sync::Mutex::new(None),
            idle: AtomicBool::new(false),
        }
    }

    /// The rate that holds now: as configured, else as the account says (`ask`) without the share
    /// kept for other mail; less what a throttle has cut.
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

    /// Reserves `slots` that may be used at `latest_us` (Unix microseconds) or before.
    pub(crate) async fn reserve(
        &self,
        rate: Rate,
        slots: usize,
        latest_us: u64,
    ) -> Result<Reserved, TableError> {
        let cost = rate.cost_us(slots);
        for _ in 0..ROUNDS {
            let now = clock::now_us();
            if now > latest_us {
                return Ok(Reserved::TooLate);
            }
            // While mails are going out: the slots are behind those that are taken. Where the rate
            // was not used up the last time, it hardly is now, and the other request comes first.
            if !self.idle.load(Ordering::Relaxed)
                && let Some(old) = self.add(cost, now, latest_us).await?
            {
                return Ok(Reserved::Slots(Lease::new(old, now, rate, slots)));
            }
            // Otherwise: they begin now.
            let started = self.start(cost, now).await?;
            self.idle.store(matches!(started, Started::Yes), Ordering::Relaxed);
            match started {
                Started::Yes => return Ok(Reserved::Slots(Lease::new(now, now, rate, slots))),
                Started::BusyUntil(arrival) if arrival > latest_us => return Ok(Reserved::TooLate),
                Started::BusyUntil(_) => {}
            }
        }
        Err(TableError::contended("the send budget"))
    }

    /// Notes that SES throttled this share of a call at this rate: it is cut, for all workers, and
    /// comes back slowly. Calls that were under way when it was cut say nothing about the new rate,
    /// so it is not cut again within a second.
    pub(crate) async fn cut(&self, rate: Rate, share: f64) -> Result<(), TableError> {
        let now = clock::now_us();
        let last = self.cut.lock().map(|cut| *cut).unwrap_or_default();
        if last.is_some_and(|cut| now.saturating_sub(cut.at_us) < CUT_PAUSE_US) {
            return Ok(());
        }
        let cut = Cut { to: rate.cut_by(share), at_us: now };
        self.remember(Some(cut));
        let request = self
            .table
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(self.key.attributes()))
            .update_expression("SET cutTo = :to, cutAt = :at")
            .expression_attribute_values(":to", AttributeValue::N(cut.to.per_second().to_string()))
            .expression_attribute_values(":at", number(cut.at_us));
        request.send().await.map(drop).map_err(|e| TableError::of("UpdateItem", &e))
    }

    async fn add(&self, cost: u64, now: u64, latest: u64) -> Result<Option<u64>, TableError> {
        let sent = self
            .update("SET tat = tat + :cost", "tat BETWEEN :now AND :latest")
            .expression_attribute_values(":cost", number(cost))
            .expression_attribute_values(":now", number(now))
            .expression_attribute_values(":latest", number(latest))
            .send()
            .await;
        Ok(self.applied(sent)?.ok().and_then(|item| arrival(&item)).map(|new| new.saturating_sub(cost)))
    }

    async fn start(&self, cost: u64, now: u64) -> Result<Started, TableError> {
        let sent = self
            .update("SET tat = :tat", "attribute_not_exists(tat) OR tat < :now")
            .expression_attribute_values(":tat", number(now.saturating_add(cost)))
            .expression_attribute_values(":now", number(now))
            .send()
            .await;
        Ok(match self.applied(sent)? {
            Ok(_) => Started::Yes,
            Err(found) => Started::BusyUntil(found.as_ref().and_then(arrival).unwrap_or_default()),
        })
    }

    fn update(
        &self,
        update: &str,
        condition: &str,
    ) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
        self.table
            .client
            .update_item()
            .table_name(&self.table.name)
            .set_key(Some(self.key.attributes()))
            .update_expression(update)
            .condition_expression(condition)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(
                aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure::AllOld,
            )
    }

    /// The item after a write, or as it is where the condition did not hold. Either way it tells
    /// what other workers have cut.
    fn applied<R: std::fmt::Debug + Send + Sync + 'static>(
        &self,
        sent: Result<UpdateItemOutput, SdkError<UpdateItemError, R>>,
    ) -> Result<Result<Item, Option<Item>>, TableError> {
        let applied = match sent {
            Ok(output) => Ok(output.attributes.unwrap_or_default()),
            Err(error) => match error.as_service_error() {
                Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Err(failed.item.clone()),
                _ => return Err(TableError::of("UpdateItem", &error)),
            },
        };
        if let Ok(item) | Err(Some(item)) = &applied {
            self.remember(cut_in(item));
        }
        Ok(applied)
    }

    fn remember(&self, cut: Option<Cut>) {
        if let (Some(cut), Ok(mut known)) = (cut, self.cut.lock()) {
            *known = Some(cut);
        }
    }
}

enum Started {
    Yes,
    BusyUntil(u64),
}

fn number(value: u64) -> AttributeValue {
    AttributeValue::N(value.to_string())
}

fn field<T: std::str::FromStr>(item: &Item, name: &str) -> Option<T> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn arrival(item: &Item) -> Option<u64> {
    field(item, "tat")
}

fn cut_in(item: &Item) -> Option<Cut> {
    Some(Cut { to: Rate::new(field(item, "cutTo")?)?, at_us: field(item, "cutAt")? })
}
