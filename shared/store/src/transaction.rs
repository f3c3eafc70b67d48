//! Writes of several items, all or nothing, whose conditions are all that the writer asks. One that meets another is tried
//! again here: whether a condition holds is not known before.

use std::time::Duration;

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::types::{Delete, Put, TransactWriteItem, Update};
use domain::backoff::Backoff;

use crate::item::{Item, ItemKey};
use crate::{Outcome, Store, StoreError};

/// The pause before a repeat.
const MET: Backoff = Backoff::new(Duration::from_millis(20), 4);
/// How often others may be in the way.
const ROUNDS: u32 = 10;

/// Waits before round `round` of something that others may be in the way of.
pub(crate) async fn backoff(round: u32) {
    if round > 0 {
        tokio::time::sleep(MET.jittered(round, rand::random())).await;
    }
}

impl Store {
    /// Writes all of them, or none where a condition does not hold.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`, and `Contended` where others were in the way again and again.
    pub(crate) async fn write_together(
        &self,
        writes: Vec<TransactWriteItem>,
        kind: &'static str,
    ) -> Result<Outcome, StoreError> {
        for round in 0..ROUNDS {
            backoff(round).await;
            let request = self.client.transact_write_items().set_transact_items(Some(writes.clone()));
            let Err(error) = request.send().await else { return Ok(Outcome::Applied(())) };
            match error.as_service_error().map_or(Met::Failure, met) {
                Met::Conditions => return Ok(Outcome::Refused(())),
                Met::Others => {}
                Met::Failure => match StoreError::of("TransactWriteItems", &error) {
                    StoreError::Contended { .. } => {}
                    error => return Err(error),
                },
            }
        }
        Err(StoreError::contended(kind))
    }

    /// The write of an item, whatever is there.
    pub(crate) fn putting(&self, item: Item) -> Result<TransactWriteItem, StoreError> {
        let put = Put::builder().table_name(&self.table).set_item(Some(item));
        Ok(TransactWriteItem::builder().put(put.build().map_err(StoreError::built)?).build())
    }

    /// The removal of an item, whatever is there.
    pub(crate) fn removing(&self, key: &ItemKey) -> Result<TransactWriteItem, StoreError> {
        let delete = Delete::builder().table_name(&self.table).set_key(Some(key.attributes()));
        Ok(TransactWriteItem::builder().delete(delete.build().map_err(StoreError::built)?).build())
    }

    /// The conditional update of an item, to be completed.
    pub(crate) fn updating(
        &self,
        key: &ItemKey,
        condition: &str,
    ) -> aws_sdk_dynamodb::types::builders::UpdateBuilder {
        Update::builder()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .condition_expression(condition)
    }
}

/// What a transaction was cancelled for.
#[derive(Debug, PartialEq, Eq)]
enum Met {
    /// Its conditions alone.
    Conditions,
    /// Another write was in the way.
    Others,
    /// Anything else.
    Failure,
}

fn met(error: &TransactWriteItemsError) -> Met {
    let TransactWriteItemsError::TransactionCanceledException(cancelled) = error else { return Met::Failure };
    let mut codes = cancelled.cancellation_reasons().iter().filter_map(|reason| reason.code());
    let (mut conditions, mut others) = (false, false);
    let expected = codes.all(|code| {
        conditions |= code == "ConditionalCheckFailed";
        others |= code == "TransactionConflict";
        matches!(code, "None" | "ConditionalCheckFailed" | "TransactionConflict")
    });
    match (expected, conditions, others) {
        (true, _, true) => Met::Others,
        (true, true, false) => Met::Conditions,
        _ => Met::Failure,
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::types::CancellationReason;
    use aws_sdk_dynamodb::types::error::TransactionCanceledException;

    use super::*;

    #[test]
    fn a_condition_that_does_not_hold_is_told_from_another_write_in_the_way() {
        for (codes, expected) in [
            (&["ConditionalCheckFailed", "None"][..], Met::Conditions),
            (&["None", "TransactionConflict"], Met::Others),
            // The condition may have been looked at before the other write.
            (&["ConditionalCheckFailed", "TransactionConflict"], Met::Others),
            (&["ConditionalCheckFailed", "ThrottlingError"], Met::Failure),
            (&[], Met::Failure),
        ] {
            let reasons = codes.iter().map(|code| CancellationReason::builder().code(*code).build());
            let cancelled = TransactionCanceledException::builder()
                .set_cancellation_reasons(Some(reasons.collect()))
                .build();
            let error = TransactWriteItemsError::TransactionCanceledException(cancelled);
            assert_eq!(met(&error), expected, "{codes:?}");
        }
    }
}
