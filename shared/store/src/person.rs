//! What is kept of a person beside their subscriptions: whether they confirmed their address, whether they are to be
//! left alone, and how many emails of the kind that anybody can cause they got today.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::builders::KeysAndAttributesBuilder;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem};
use domain::PersonId;
use domain::feedback::EventId;
use domain::suppression::{Lifter, Reason, Suppression};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{PK, number, parsed, string, text};
use crate::request::apply;
use crate::{ItemKey, Outcome, Store, StoreError, suppressed};

const KIND: &str = "person";
const SORT_KEY: &str = "PERSON";
const BOUNCES: &str = "bounces";

/// How often somebody else may change a suppression while it is being lifted.
const ROUNDS: u32 = 5;

/// The partition of all that is a person's.
pub(crate) fn partition(person: PersonId) -> String {
    format!("S#{}", person.key_part())
}

/// The key of a person.
pub fn key(person: PersonId) -> ItemKey {
    ItemKey::new(partition(person), SORT_KEY)
}

/// A person.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Person {
    /// Since when they are known to read the emails to their address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// Why they get no email, if they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<Suppression>,
    /// How many emails in a row could not be delivered for a reason that may pass.
    #[serde(default)]
    pub bounces: u32,
    /// The day, in days since 1970, of which `emails` is the count.
    #[serde(default)]
    pub email_day: i64,
    /// How many emails that anybody can cause, such as confirmations, they were sent on that day.
    #[serde(default)]
    pub emails: u32,
}

/// What came of lifting a suppression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lifting {
    /// The person was not suppressed.
    Nothing,
    /// This reason holds no more.
    Lifted(Reason),
    /// It is for this reason, which somebody else alone may lift.
    NotTheirs(Reason),
}

/// The persons.
#[derive(Clone, Copy)]
pub struct Persons<'a>(pub(crate) &'a Store);

impl Persons<'_> {
    /// A person, strongly consistent; one of whom nothing is kept is the default one.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn read(self, person: PersonId) -> Result<Person, StoreError> {
        Ok(self.0.get(&key(person), KIND).await?.unwrap_or_default())
    }

    /// Writes that a person is to get no email. Refused where they are suppressed already for a reason that is at least as
    /// [strong](Reason::strength): what only the person may lift is not replaced by what the operator may. It is
    /// [listed](crate::suppressed) by the same write.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`, and `Contended` where others were in the way again and again.
    pub async fn suppress(
        self,
        person: PersonId,
        reason: Reason,
        since: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let suppression = Suppression::new(reason, since);
        let update = self
            .0
            .updating(&key(person), "attribute_not_exists(suppressed) OR suppressed.strength < :strength")
            .update_expression("SET suppressed = :suppressed")
            .expression_attribute_values(":strength", number(reason.strength()))
            .expression_attribute_values(":suppressed", crate::item::value(&suppression, KIND)?);
        let update = TransactWriteItem::builder().update(update.build().map_err(StoreError::built)?).build();
        self.0.write_together(vec![update, suppressed::listing(self.0, person, &suppression)?], KIND).await
    }

    /// Writes that a person may get email again, on condition that it is for this reason that they do not.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`, and `Contended` where others were in the way again and again.
    pub async fn lift(self, person: PersonId, reason: Reason) -> Result<Outcome, StoreError> {
        let update = self
            .0
            .updating(&key(person), "suppressed.reason = :reason")
            .update_expression("REMOVE suppressed SET bounces = :none")
            .expression_attribute_values(":reason", string(reason))
            .expression_attribute_values(":none", number(0));
        let update = TransactWriteItem::builder().update(update.build().map_err(StoreError::built)?).build();
        self.0.write_together(vec![update, suppressed::unlisting(self.0, person)?], KIND).await
    }

    /// Lets a person get email again, if this one may say so.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`, and `Contended` where others change it again and again.
    pub async fn lift_as(self, person: PersonId, lifter: Lifter) -> Result<Lifting, StoreError> {
        for _ in 0..ROUNDS {
            let Some(found) = self.read(person).await?.suppressed else { return Ok(Lifting::Nothing) };
            if !found.reason.may_be_lifted_by(lifter) {
                return Ok(Lifting::NotTheirs(found.reason));
            }
            if self.lift(person, found.reason).await?.is_applied() {
                return Ok(Lifting::Lifted(found.reason));
            }
        }
        Err(StoreError::contended("a suppression"))
    }

    /// Writes since when a person is known to read the emails to their address, unless that is known.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn confirm(self, person: PersonId, at: Timestamp) -> Result<Outcome, StoreError> {
        let update = self
            .0
            .update(&key(person), "attribute_not_exists(confirmedAt)")
            .update_expression("SET confirmedAt = :at")
            .expression_attribute_values(":at", string(at));
        Ok(apply(update).await?.plain())
    }

    /// Counts one more email of the kind that anybody can cause. Refused where the person was sent `most` of them on
    /// `day` (days since 1970): then none may be sent.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn count_email(self, person: PersonId, day: i64, most: u32) -> Result<Outcome, StoreError> {
        if most == 0 {
            return Ok(Outcome::Refused(()));
        }
        // One call for the first of a day, which most are.
        let first = self
            .0
            .update(&key(person), "attribute_not_exists(emailDay) OR emailDay < :day")
            .update_expression("SET emailDay = :day, emails = :one")
            .expression_attribute_values(":day", number(day))
            .expression_attribute_values(":one", number(1));
        if apply(first).await?.is_applied() {
            return Ok(Outcome::Applied(()));
        }
        let another = self
            .0
            .update(&key(person), "emailDay = :day AND emails < :most")
            .update_expression("SET emails = emails + :one")
            .expression_attribute_values(":day", number(day))
            .expression_attribute_values(":most", number(most))
            .expression_attribute_values(":one", number(1));
        Ok(apply(another).await?.plain())
    }

    /// Counts one more email that could not be delivered for a reason that may pass, and gives how many those are in a row.
    /// The event that was counted last is not counted again: it comes again where what follows it failed.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn count_bounce(self, person: PersonId, event: EventId) -> Result<u32, StoreError> {
        let update = self
            .0
            .update(&key(person), "attribute_not_exists(lastBounce) OR lastBounce <> :event")
            .update_expression("SET lastBounce = :event ADD bounces :one")
            .expression_attribute_values(":event", string(event.key_part()))
            .expression_attribute_values(":one", number(1))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let (Outcome::Applied(item) | Outcome::Refused(item)) = apply(update).await?;
        Ok(item.as_ref().and_then(|item| parsed(item, BOUNCES)).unwrap_or(1))
    }

    /// Those of these persons of whom a bounce is counted, strongly consistent.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn bouncing(self, persons: &BTreeSet<PersonId>) -> Result<Vec<PersonId>, StoreError> {
        let by_pk: HashMap<String, PersonId> =
            persons.iter().map(|person| (partition(*person), *person)).collect();
        let wanted = |keys: KeysAndAttributesBuilder| keys.projection_expression(format!("{PK}, {BOUNCES}"));
        let items = self.0.batch(persons.iter().map(|person| key(*person)), wanted).await?;
        let bouncing =
            items.iter().filter(|item| parsed::<u32>(item, BOUNCES).is_some_and(|count| count > 0));
        Ok(bouncing.filter_map(|item| by_pk.get(text(item, PK)?).copied()).collect())
    }

    /// Writes that an email was delivered: whatever bounced before it is not in a row with what comes. Refused, and nothing
    /// is written, where nothing bounced.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn forget_bounces(self, person: PersonId) -> Result<Outcome, StoreError> {
        let update = self
            .0
            .update(&key(person), "bounces > :none")
            .update_expression("SET bounces = :none")
            .expression_attribute_values(":none", number(0));
        Ok(apply(update).await?.plain())
    }
}
