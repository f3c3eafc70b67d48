//! Whether a sender's fan-outs pause, and what the breaker decides by: the slots taken in each hour, which stand on the
//! [budget](crate::budget), and the bounces and complaints of each hour, which stand beside it in items of their own, so that
//! counting them gets in no reservation's way. Those go by their ttl.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use domain::breaker::{Counts, Pause, PausedBy, first_hour};
use jiff::Timestamp;

use crate::budget::{BudgetState, PAUSED, key, partition, sent_in};
use crate::item::{Item, parsed};
use crate::request::{Pages, apply};
use crate::{ItemKey, Outcome, Store, StoreError};

const KIND: &str = "pause";
const HOUR: &str = "HOUR#";
pub(crate) const BOUNCED: &str = "bounced";
pub(crate) const COMPLAINED: &str = "complained";

/// The key of what SES reported of a sender's emails in an hour.
pub(crate) fn hour_key(sender: &str, hour: i64) -> ItemKey {
    ItemKey::new(partition(sender), format!("{HOUR}{hour}"))
}

/// How a sender's fan-outs are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// That they pause.
    pub paused: Option<Pause>,
    /// What was sent, and what came of it.
    pub counts: Counts,
}

/// A sender's fan-outs.
#[derive(Clone, Copy)]
pub struct Sending<'a> {
    pub(crate) store: &'a Store,
    pub(crate) sender: &'a str,
}

impl Sending<'_> {
    /// How they are, strongly consistent.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn state(self, now: Timestamp) -> Result<State, StoreError> {
        let (budget, hours) = self.items().await?;
        let first = first_hour(now);
        let mut counts =
            Counts { sent: budget.sent.range(first..).map(|(_, sent)| sent).sum(), ..Counts::default() };
        for (_, item) in hours.range(first..) {
            counts.bounced += parsed::<u64>(item, BOUNCED).unwrap_or_default();
            counts.complained += parsed::<u64>(item, COMPLAINED).unwrap_or_default();
        }
        Ok(State { paused: budget.paused, counts })
    }

    async fn items(self) -> Result<(BudgetState, BTreeMap<i64, Item>), StoreError> {
        let (mut budget, mut hours) = (BudgetState::default(), BTreeMap::new());
        let mut pages = Pages::of(self.store.query(partition(self.sender), None).consistent_read(true));
        while let Some(items) = pages.items().await? {
            for item in items {
                match ItemKey::of(&item).and_then(|key| key.sk().strip_prefix(HOUR).map(str::parse)) {
                    Some(Ok(hour)) => drop(hours.insert(hour, item)),
                    Some(Err(_)) => {}
                    None => budget = BudgetState::of(&item),
                }
            }
        }
        Ok((budget, hours))
    }

    /// Pauses fan-outs: from here on no slot is reserved, and those that are reserved are used. Refused where they pause.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn pause(self, pause: &Pause) -> Result<Outcome, StoreError> {
        let update = self
            .store
            .update(&key(self.sender), "attribute_not_exists(paused)")
            .update_expression("SET paused = :pause")
            .expression_attribute_values(":pause", crate::item::value(pause, KIND)?);
        Ok(apply(update).await?.plain())
    }

    /// Lets fan-outs go on, and begins to count anew: what was before would only pause them again. Refused where they do not
    /// pause.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn resume(self) -> Result<Outcome, StoreError> {
        let (budget, hours) = self.items().await?;
        if budget.paused.is_none() {
            return Ok(Outcome::Refused(()));
        }
        // The pause goes last: the breaker looks at nothing while there is one.
        for hour in hours.into_keys() {
            let key = hour_key(self.sender, hour).attributes();
            let delete = self.store.client.delete_item().table_name(&self.store.table).set_key(Some(key));
            delete.send().await.map_err(|e| StoreError::of("DeleteItem", &e))?;
        }
        let mut expression = format!("REMOVE {PAUSED}");
        let mut update = self.store.update(&key(self.sender), "attribute_exists(paused)");
        for (index, hour) in budget.sent.into_keys().enumerate() {
            expression.push_str(&format!(", #sent{index}"));
            update = update.expression_attribute_names(format!("#sent{index}"), sent_in(hour));
        }
        Ok(apply(update.update_expression(expression)).await?.plain())
    }
}

/// The pause that an attribute holds; one that cannot be read is an operator's.
pub(crate) fn pause_of(value: AttributeValue) -> Pause {
    serde_dynamo::from_attribute_value(value).unwrap_or_else(|_| Pause {
        by: PausedBy::Operator,
        why: "the table does not say".to_owned(),
        since: Timestamp::UNIX_EPOCH,
    })
}
