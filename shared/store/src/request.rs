//! The requests that more than one module makes.

use std::mem;

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::query::builders::QueryFluentBuilder;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::item::{Item, ItemKey, from_item, is_expired};
use crate::{Outcome, Store, StoreError};

/// What a condition looks at.
#[derive(Default)]
pub(crate) struct Condition<'a> {
    pub(crate) expression: &'a str,
    pub(crate) names: Vec<(&'a str, &'a str)>,
    pub(crate) values: Vec<(&'a str, AttributeValue)>,
}

impl<'a> Condition<'a> {
    /// That there is no such item.
    pub(crate) fn absent() -> Self {
        Self { expression: "attribute_not_exists(pk)", ..Self::default() }
    }

    pub(crate) fn new(expression: &'a str) -> Self {
        Self { expression, ..Self::default() }
    }

    pub(crate) fn name(mut self, placeholder: &'a str, attribute: &'a str) -> Self {
        self.names.push((placeholder, attribute));
        self
    }

    pub(crate) fn value(mut self, placeholder: &'a str, value: AttributeValue) -> Self {
        self.values.push((placeholder, value));
        self
    }
}

impl Store {
    /// Reads one item, strongly consistent.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        key: &ItemKey,
        kind: &'static str,
    ) -> Result<Option<T>, StoreError> {
        self.get_item(key).await?.map(|item| from_item(item, kind)).transpose()
    }

    /// Reads one item, strongly consistent, unless its time is over at `now`.
    pub(crate) async fn get_living<T: DeserializeOwned>(
        &self,
        key: &ItemKey,
        kind: &'static str,
        now: Timestamp,
    ) -> Result<Option<T>, StoreError> {
        let living = self.get_item(key).await?.filter(|item| !is_expired(item, now));
        living.map(|item| from_item(item, kind)).transpose()
    }

    /// Reads one item as it is, strongly consistent.
    pub(crate) async fn get_item(&self, key: &ItemKey) -> Result<Option<Item>, StoreError> {
        let got = self
            .client
            .get_item()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|e| StoreError::of("GetItem", &e))?;
        Ok(got.item)
    }

    /// A query of one partition, or of the `range` of its sort keys, both ends included.
    pub(crate) fn query(&self, pk: String, range: Option<(String, String)>) -> QueryFluentBuilder {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .expression_attribute_values(":pk", AttributeValue::S(pk));
        match range {
            None => query.key_condition_expression("pk = :pk"),
            Some((first, last)) => query
                .key_condition_expression("pk = :pk AND sk BETWEEN :first AND :last")
                .expression_attribute_values(":first", AttributeValue::S(first))
                .expression_attribute_values(":last", AttributeValue::S(last)),
        }
    }

    /// Writes an item, whatever is there.
    pub(crate) async fn put(&self, item: Item) -> Result<(), StoreError> {
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map(drop).map_err(|e| StoreError::of("PutItem", &e))
    }

    /// Writes an item where `condition` holds of what is there. Where it does not, gives what is.
    pub(crate) async fn put_if(
        &self,
        item: Item,
        condition: Condition<'_>,
    ) -> Result<Outcome<(), Option<Item>>, StoreError> {
        let mut put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item))
            .condition_expression(condition.expression)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for (name, attribute) in condition.names {
            put = put.expression_attribute_names(name, attribute);
        }
        for (name, value) in condition.values {
            put = put.expression_attribute_values(name, value);
        }
        match put.send().await {
            Ok(_) => Ok(Outcome::Applied(())),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    Ok(Outcome::Refused(failed.item.clone()))
                }
                _ => Err(StoreError::of("PutItem", &error)),
            },
        }
    }

    /// An update of an item, to be completed.
    pub(crate) fn update(&self, key: &ItemKey, condition: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.attributes()))
            .condition_expression(condition)
    }
}

/// Sends a conditional update. Gives the item as it is now, or as it stands where the condition did not hold; each as far
/// as the request asks for that.
pub(crate) async fn apply(
    update: UpdateItemFluentBuilder,
) -> Result<Outcome<Option<Item>, Option<Item>>, StoreError> {
    match update.send().await {
        Ok(updated) => Ok(Outcome::Applied(updated.attributes)),
        Err(error) => match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                Ok(Outcome::Refused(failed.item.clone()))
            }
            _ => Err(StoreError::of("UpdateItem", &error)),
        },
    }
}

/// Sends a conditional removal.
pub(crate) async fn remove(delete: DeleteItemFluentBuilder) -> Result<Outcome, StoreError> {
    match delete.send().await {
        Ok(_) => Ok(Outcome::Applied(())),
        Err(error) => match error.as_service_error() {
            Some(DeleteItemError::ConditionalCheckFailedException(_)) => Ok(Outcome::Refused(())),
            _ => Err(StoreError::of("DeleteItem", &error)),
        },
    }
}

/// The answers to a query, page by page, each asked for when it is wanted.
pub(crate) struct Pages {
    query: QueryFluentBuilder,
    next: Next,
}

enum Next {
    First,
    After(Item),
    Nothing,
}

impl Pages {
    pub(crate) fn of(query: QueryFluentBuilder) -> Self {
        Self { query, next: Next::First }
    }

    /// Whether the last page that was given is the last there is.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.next, Next::Nothing)
    }

    /// The next page; `None` after the last. A request that failed may be repeated by calling this anew.
    pub(crate) async fn next(&mut self) -> Result<Option<QueryOutput>, StoreError> {
        let from = match &self.next {
            Next::First => None,
            Next::After(key) => Some(key.clone()),
            Next::Nothing => return Ok(None),
        };
        let query = self.query.clone().set_exclusive_start_key(from);
        let mut page = query.send().await.map_err(|e| StoreError::of("Query", &e))?;
        self.next = page.last_evaluated_key.take().map_or(Next::Nothing, Next::After);
        Ok(Some(page))
    }

    /// The items of the next page; `None` after the last.
    pub(crate) async fn items(&mut self) -> Result<Option<Vec<Item>>, StoreError> {
        let page = self.next().await?;
        Ok(page.map(|mut page| mem::take(&mut page.items).unwrap_or_default()))
    }
}

/// A number of items as DynamoDB counts them.
pub(crate) fn counted(count: i32) -> u64 {
    u64::try_from(count).unwrap_or_default()
}
