//! The send budget of a sender: the theoretical arrival time that every worker moves before it sends, and the last cut of
//! the rate. The arithmetic is [`domain::budget`]'s; here the numbers are only swapped. All times are Unix microseconds.
//!
//! The same item says whether fan-outs [pause](crate::sending): every reservation is conditional on that, so that a pause costs
//! no read; and it counts the slots of each hour, by the write that takes them.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::breaker::Pause;
use domain::budget::{Cut, Rate};

use crate::item::{Item, number, parsed};
use crate::request::apply;
use crate::{ItemKey, Outcome, Store, StoreError};

const ARRIVAL: &str = "tat";
const CUT_TO: &str = "cutTo";
const CUT_AT: &str = "cutAt";
pub(crate) const PAUSED: &str = "paused";
/// An attribute of this name and an hour counts the slots that were taken in it.
const SENT: &str = "sent";
const SORT_KEY: &str = "TAT";

pub(crate) fn partition(sender: &str) -> String {
    format!("RATE#{sender}")
}

/// The key of a sender's budget.
pub fn key(sender: &str) -> ItemKey {
    ItemKey::new(partition(sender), SORT_KEY)
}

pub(crate) fn sent_in(hour: i64) -> String {
    format!("{SENT}{hour}")
}

/// A sender's budget.
#[derive(Clone)]
pub struct SendBudget {
    store: Store,
    key: ItemKey,
}

/// The budget's item.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BudgetState {
    /// The theoretical arrival time: every slot before it is taken.
    pub arrival_us: Option<u64>,
    /// The last cut of the rate, by whichever worker.
    pub cut: Option<Cut>,
    /// That fan-outs pause: then no slot can be taken.
    pub paused: Option<Pause>,
    /// The slots that were taken in each hour.
    pub sent: BTreeMap<i64, u64>,
}

/// How the slots of a reservation are counted.
#[derive(Debug, Clone, Copy)]
pub struct SlotCount<'a> {
    /// How many there are.
    pub slots: u64,
    /// The hour that they are taken in.
    pub hour: i64,
    /// The hours that count no more.
    pub forget: &'a [i64],
}

impl BudgetState {
    pub(crate) fn of(item: &Item) -> Self {
        let cut_to = parsed(item, CUT_TO).and_then(Rate::new);
        let cut = cut_to.zip(parsed(item, CUT_AT)).map(|(to, at_us)| Cut { to, at_us });
        let sent = item.keys().filter_map(|name| {
            let hour = name.strip_prefix(SENT)?.parse().ok()?;
            Some((hour, parsed(item, name)?))
        });
        // A pause that cannot be read is one all the same, as it is for the conditions.
        let paused = item.get(PAUSED).map(|value| crate::sending::pause_of(value.clone()));
        Self { arrival_us: parsed(item, ARRIVAL), cut, paused, sent: sent.collect() }
    }
}

impl SendBudget {
    pub(crate) fn new(store: Store, sender: &str) -> Self {
        Self { store, key: key(sender) }
    }

    /// Takes the slots behind those that are taken: moves the arrival time on by `cost_us`, where it lies between
    /// `now_us` and `latest_us`, and fan-outs do not pause. Applied, the slots between the old and the new arrival time are this
    /// caller's alone.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`. After `Unavailable` the slots may be taken, and are lost.
    pub async fn queue(
        &self,
        cost_us: u64,
        now_us: u64,
        latest_us: u64,
        counting: SlotCount<'_>,
    ) -> Result<Outcome<BudgetState, BudgetState>, StoreError> {
        let update = self
            .update("SET tat = tat + :cost", "tat BETWEEN :now AND :latest", counting)
            .expression_attribute_values(":cost", number(cost_us))
            .expression_attribute_values(":now", number(now_us))
            .expression_attribute_values(":latest", number(latest_us));
        swap(update).await
    }

    /// Takes the slots from now on: sets the arrival time to `now_us` and `cost_us`, where all slots before `now_us` are
    /// free (or none was ever taken), and fan-outs do not pause. Refused, another worker holds the slots up to the arrival time
    /// that is given, or they pause.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`. After `Unavailable` the slots may be taken, and are lost.
    pub async fn start(
        &self,
        cost_us: u64,
        now_us: u64,
        counting: SlotCount<'_>,
    ) -> Result<Outcome<BudgetState, BudgetState>, StoreError> {
        let update = self
            .update("SET tat = :tat", "(attribute_not_exists(tat) OR tat < :now)", counting)
            .expression_attribute_values(":tat", number(now_us.saturating_add(cost_us)))
            .expression_attribute_values(":now", number(now_us));
        swap(update).await
    }

    /// Writes a cut of the rate for all workers, over whichever stood there.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn cut(&self, cut: Cut) -> Result<(), StoreError> {
        let update = self
            .store
            .client
            .update_item()
            .table_name(&self.store.table)
            .set_key(Some(self.key.attributes()))
            .update_expression("SET cutTo = :to, cutAt = :at")
            .expression_attribute_values(":to", number(cut.to.per_second()))
            .expression_attribute_values(":at", number(cut.at_us));
        update.send().await.map(drop).map_err(|e| StoreError::of("UpdateItem", &e))
    }

    fn update(&self, update: &str, condition: &str, counting: SlotCount<'_>) -> UpdateItemFluentBuilder {
        let mut expression = format!("{update} ADD #sent :slots");
        let mut request = self
            .store
            .update(&self.key, &format!("attribute_not_exists({PAUSED}) AND {condition}"))
            .expression_attribute_names("#sent", sent_in(counting.hour))
            .expression_attribute_values(":slots", number(counting.slots));
        for (index, hour) in counting.forget.iter().enumerate() {
            expression.push_str(if index == 0 { " REMOVE " } else { ", " });
            expression.push_str(&format!("#old{index}"));
            request = request.expression_attribute_names(format!("#old{index}"), sent_in(*hour));
        }
        request
            .update_expression(expression)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

/// Either way the item shows the cuts of other workers, and the pause.
async fn swap(update: UpdateItemFluentBuilder) -> Result<Outcome<BudgetState, BudgetState>, StoreError> {
    let state = |item: Option<Item>| item.as_ref().map(BudgetState::of).unwrap_or_default();
    Ok(match apply(update).await? {
        Outcome::Applied(item) => Outcome::Applied(state(item)),
        Outcome::Refused(item) => Outcome::Refused(state(item)),
    })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use domain::breaker::PausedBy;
    use jiff::Timestamp;

    use super::*;
    use crate::item::{string, value};

    #[test]
    fn a_budget_is_read_as_far_as_it_can_be() {
        let item = |attributes: &[(&str, &str)]| -> Item {
            attributes.iter().map(|(name, value)| ((*name).to_owned(), number(value))).collect()
        };
        let cut = |to, at_us| Rate::new(to).map(|to| Cut { to, at_us });
        for (attributes, arrival_us, expected, sent) in [
            (&[][..], None, None, &[][..]),
            (&[("tat", "7")], Some(7), None, &[]),
            (&[("tat", "7"), ("cutTo", "2.5"), ("cutAt", "6")], Some(7), cut(2.5, 6), &[]),
            (&[("cutTo", "2.5")], None, None, &[]),
            (&[("cutTo", "0"), ("cutAt", "6")], None, None, &[]),
            (&[("tat", "-7"), ("cutTo", "many"), ("cutAt", "6")], None, None, &[]),
            (
                &[("sent494000", "50"), ("sent494001", "7"), ("sentry", "9"), ("sent494002", "x")],
                None,
                None,
                &[(494_000, 50), (494_001, 7)],
            ),
        ] {
            let sent = sent.iter().copied().collect();
            let state = BudgetState { arrival_us, cut: expected, paused: None, sent };
            assert_eq!(BudgetState::of(&item(attributes)), state, "{attributes:?}");
        }
        let text = Item::from([(ARRIVAL.to_owned(), string("7"))]);
        assert_eq!(BudgetState::of(&text), BudgetState::default());
    }

    #[test]
    fn a_pause_is_one_even_where_it_cannot_be_read() {
        let pause = Pause { by: PausedBy::Operator, why: "a test".to_owned(), since: Timestamp::UNIX_EPOCH };
        let of = |value| BudgetState::of(&Item::from([(PAUSED.to_owned(), value)])).paused;
        assert_eq!(of(value(&pause, "pause").unwrap()), Some(pause));
        assert!(of(string("by hand")).is_some());
    }
}
