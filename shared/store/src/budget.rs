//! The send budget of a sender: the theoretical arrival time that every worker moves before it sends, and the last cut of
//! the rate. The arithmetic is [`domain::budget`]'s; here the numbers are only swapped. All times are Unix microseconds.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure};
use domain::budget::{Cut, Rate};

use crate::item::{Item, number, parsed};
use crate::request::apply;
use crate::{ItemKey, Outcome, Store, StoreError};

const ARRIVAL: &str = "tat";
const CUT_TO: &str = "cutTo";
const CUT_AT: &str = "cutAt";

/// The key of a sender's budget.
pub fn key(sender: &str) -> ItemKey {
    ItemKey::new(format!("RATE#{sender}"), "TAT")
}

/// A sender's budget.
#[derive(Clone)]
pub struct SendBudget {
    store: Store,
    key: ItemKey,
}

/// The budget's item.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct BudgetState {
    /// The theoretical arrival time: every slot before it is taken.
    pub arrival_us: Option<u64>,
    /// The last cut of the rate, by whichever worker.
    pub cut: Option<Cut>,
}

impl BudgetState {
    fn of(item: &Item) -> Self {
        let cut_to = parsed(item, CUT_TO).and_then(Rate::new);
        let cut = cut_to.zip(parsed(item, CUT_AT)).map(|(to, at_us)| Cut { to, at_us });
        Self { arrival_us: parsed(item, ARRIVAL), cut }
    }
}

impl SendBudget {
    pub(crate) fn new(store: Store, sender: &str) -> Self {
        Self { store, key: key(sender) }
    }

    /// Takes the slots behind those that are taken: moves the arrival time on by `cost_us`, where it lies between
    /// `now_us` and `latest_us`. Applied, the slots between the old and the new arrival time are this caller's alone.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`. After `Unavailable` the slots may be taken, and are lost.
    pub async fn queue(
        &self,
        cost_us: u64,
        now_us: u64,
        latest_us: u64,
    ) -> Result<Outcome<BudgetState, BudgetState>, StoreError> {
        let update = self
            .update("SET tat = tat + :cost", "tat BETWEEN :now AND :latest")
            .expression_attribute_values(":cost", number(cost_us))
            .expression_attribute_values(":now", number(now_us))
            .expression_attribute_values(":latest", number(latest_us));
        swap(update).await
    }

    /// Takes the slots from now on: sets the arrival time to `now_us` and `cost_us`, where all slots before `now_us` are
    /// free (or none was ever taken). Refused, another worker holds the slots up to the arrival time that is given.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`. After `Unavailable` the slots may be taken, and are lost.
    pub async fn start(
        &self,
        cost_us: u64,
        now_us: u64,
    ) -> Result<Outcome<BudgetState, BudgetState>, StoreError> {
        let update = self
            .update("SET tat = :tat", "attribute_not_exists(tat) OR tat < :now")
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

    fn update(&self, update: &str, condition: &str) -> UpdateItemFluentBuilder {
        self.store
            .update(&self.key, condition)
            .update_expression(update)
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

/// Either way the item shows the cuts of other workers.
async fn swap(update: UpdateItemFluentBuilder) -> Result<Outcome<BudgetState, BudgetState>, StoreError> {
    let state = |item: Option<Item>| item.as_ref().map(BudgetState::of).unwrap_or_default();
    Ok(match apply(update).await? {
        Outcome::Applied(item) => Outcome::Applied(state(item)),
        Outcome::Refused(item) => Outcome::Refused(state(item)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::item::string;

    #[test]
    fn a_budget_is_read_as_far_as_it_can_be() {
        let item = |attributes: &[(&str, &str)]| -> Item {
            attributes.iter().map(|(name, value)| ((*name).to_owned(), number(value))).collect()
        };
        let cut = |to, at_us| Rate::new(to).map(|to| Cut { to, at_us });
        for (attributes, arrival_us, expected) in [
            (&[][..], None, None),
            (&[("tat", "7")], Some(7), None),
            (&[("tat", "7"), ("cutTo", "2.5"), ("cutAt", "6")], Some(7), cut(2.5, 6)),
            (&[("cutTo", "2.5")], None, None),
            (&[("cutTo", "0"), ("cutAt", "6")], None, None),
            (&[("tat", "-7"), ("cutTo", "many"), ("cutAt", "6")], None, None),
        ] {
            let state = BudgetState { arrival_us, cut: expected };
            assert_eq!(BudgetState::of(&item(attributes)), state, "{attributes:?}");
        }
        let text = Item::from([(ARRIVAL.to_owned(), string("7"))]);
        assert_eq!(BudgetState::of(&text), BudgetState::default());
    }
}
