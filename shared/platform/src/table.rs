//! The one table: its keys, its items, and the reads and writes that more than one function needs.
//!
//! | item | pk | sk |
//! |---|---|---|
//! | subscription | `S#<subscriber>` | `P#<product>` |
//! | waitlist entry | `W#<product>#<shard>` | `E#<position>` |
//! | shard cursor | `W#<product>#<shard>` | `CURSOR` |
//! | product | `P#<product>` | `STATE` |
//! | plans of a product | `P#<product>` | `PLAN#<bound>#<restock>` |
//! | restock summary | `R#<restock>` | `SUMMARY`, `SHARD#<n>`, `FAILED#<position>` |
//! | unfinished fan-out | `OPEN#<bucket>` | `<product>#<shard>` |
//! | send budget | `RATE#<sender>` | `TAT` |
//!
//! `CURSOR` sorts before every `E#`, so the last item of a shard is its last entry, or its cursor
//! where nobody ever waited.

use std::{collections::HashMap, fmt};

use aws_sdk_dynamodb::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    operation::{put_item::PutItemError, query::builders::QueryFluentBuilder},
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use domain::{
    Address, Locale, Position, ProductId, RestockId, Shard, Subscriber, UserId, cursor::Cursor, job::Job,
    product::Product,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// An item as the SDK has it.
pub type Item = HashMap<String, AttributeValue>;

/// The table.
#[derive(Clone)]
pub struct Table {
    /// The client, for operations that only one function needs.
    pub client: Client,
    /// The table's name.
    pub name: String,
}

/// A read or write of the table that failed.
#[derive(Debug, thiserror::Error)]
#[error("the table's {operation} failed: {detail}")]
pub struct TableError {
    operation: &'static str,
    detail: String,
}

impl TableError {
    /// What an SDK error says, without the response that it carries (which may show an address).
    pub fn of<E, R>(operation: &'static str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: fmt::Debug + Send + Sync + 'static,
    {
        let detail = match error.as_service_error() {
            Some(service) => {
                let code = service.code().unwrap_or("error without a code");
                format!("{code}: {}", service.message().unwrap_or("no message"))
            }
            None => crate::causes(error).to_string(),
        };
        Self { operation, detail }
    }

    /// Too many at the same item; another try later will do.
    pub fn contended(what: &str) -> Self {
        Self { operation: "write", detail: format!("{what} is being changed by too many at once") }
    }

    /// A request that could not even be put together.
    pub fn built(error: aws_sdk_dynamodb::error::BuildError) -> Self {
        Self { operation: "request", detail: error.to_string() }
    }

    /// An item that is not what it should be. Only its kind is told.
    pub fn garbled(operation: &'static str, kind: &'static str) -> Self {
        Self { operation, detail: format!("a {kind} item in the table cannot be read") }
    }
}

/// A table key.
#[derive(Clone, PartialEq, Eq)]
pub struct ItemKey {
    /// The partition key.
    pub pk: String,
    /// The sort key.
    pub sk: String,
}

impl ItemKey {
    fn new(pk: String, sk: impl Into<String>) -> Self {
        Self { pk, sk: sk.into() }
    }

    /// A subscriber's subscription to a product.
    pub fn subscription(subscriber: &Subscriber, product: &ProductId) -> Self {
        Self::new(format!("S#{}", subscriber.as_key()), format!("P#{product}"))
    }

    /// A waitlist entry.
    pub fn entry(product: &ProductId, shard: Shard, position: Position) -> Self {
        Self::new(waitlist(product, shard), entry_sort_key(position))
    }

    /// A shard's cursor.
    pub fn cursor(product: &ProductId, shard: Shard) -> Self {
        Self::new(waitlist(product, shard), CURSOR)
    }

    /// A product.
    pub fn product(product: &ProductId) -> Self {
        Self::new(format!("P#{product}"), "STATE")
    }

    /// That a restock was planned for a product, in the order of the bounds.
    pub fn plan(product: &ProductId, bound: Position, restock: &RestockId) -> Self {
        Self::new(format!("P#{product}"), format!("{PLAN}{bound}#{restock}"))
    }

    /// What a restock planned.
    pub fn summary(restock: &RestockId) -> Self {
        Self::new(format!("R#{restock}"), "SUMMARY")
    }

    /// A restock's count of one shard.
    pub fn shard_summary(restock: &RestockId, shard: Shard) -> Self {
        Self::new(format!("R#{restock}"), format!("SHARD#{shard}"))
    }

    /// Somebody whom a restock could not tell.
    pub fn failed(restock: &RestockId, position: Position) -> Self {
        Self::new(format!("R#{restock}"), format!("FAILED#{position}"))
    }

    /// A shard that is being told.
    pub fn open(product: &ProductId, shard: Shard) -> Self {
        // By the shard, so that the shards of one restock are not one hot partition.
        Self::new(open_bucket(shard.0 % OPEN_BUCKETS), format!("{product}#{shard}"))
    }

    /// A sender's budget.
    pub fn budget(sender: &str) -> Self {
        Self::new(format!("RATE#{sender}"), "TAT")
    }

    /// The key's two attributes.
    pub fn attributes(&self) -> Item {
        HashMap::from([
            ("pk".to_owned(), AttributeValue::S(self.pk.clone())),
            ("sk".to_owned(), AttributeValue::S(self.sk.clone())),
        ])
    }
}

/// How the sort keys of a product's plans begin.
pub const PLAN: &str = "PLAN#";
/// The sort key of a shard's cursor.
pub const CURSOR: &str = "CURSOR";
/// Over how many partitions the unfinished fan-outs are spread.
pub const OPEN_BUCKETS: u16 = 16;

/// The partition key of a bucket of unfinished fan-outs.
pub fn open_bucket(bucket: u16) -> String {
    format!("OPEN#{bucket}")
}

/// The partition key of a shard of a waitlist.
pub fn waitlist(product: &ProductId, shard: Shard) -> String {
    format!("W#{product}#{shard}")
}

/// The sort key of an entry.
pub fn entry_sort_key(position: Position) -> String {
    format!("E#{position}")
}

/// The position in an entry's sort key; `None` where it is no entry's.
pub fn position_of(sort_key: &str) -> Option<Position> {
    sort_key.strip_prefix("E#")?.parse().ok()
}

/// A waitlist entry: all that a mail needs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Whose it is, as [`Subscriber::as_key`] gives it.
    pub subscriber: String,
    /// Where the mail goes.
    pub address: Address,
    /// The language it is written in.
    pub locale: Locale,
    /// What they like to be called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// When the table may forget it, in Unix seconds.
    pub ttl: i64,
}

/// A subscription: where in which waitlist its subscriber waits.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Subscription {
    /// The place.
    pub position: Position,
    /// The shard.
    pub shard: Shard,
    /// When they asked.
    pub created_at: Timestamp,
    /// How they are told.
    pub channel: String,
    /// What they agreed to, and by what.
    pub consent: String,
    /// The language they read.
    pub locale: Locale,
    /// The shop's id of the shopper, as the request had it. Anybody can write one into a request,
    /// so nobody is known by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<UserId>,
    /// When the table may forget it, in Unix seconds.
    pub ttl: i64,
}

/// A cursor as it stands in the table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredCursor {
    /// The cursor.
    #[serde(flatten)]
    pub cursor: Cursor,
    /// Who wrote it last; every write has a token of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

/// What a restock planned; written once, by its plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// The restock.
    pub restock_id: RestockId,
    /// The product.
    pub product_id: ProductId,
    /// Everybody at or below was to be told; `None` where nobody had ever asked.
    pub bound: Option<Position>,
    /// How many shards the waitlist had.
    pub shard_count: u16,
    /// The shards that had somebody to tell.
    pub shards: Vec<Shard>,
    /// When it was planned, in Unix milliseconds.
    pub planned_ms: u64,
}

/// A shard that is being told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Open {
    /// The restock that it is told of.
    pub restock_id: RestockId,
    /// The product.
    pub product_id: ProductId,
    /// The shard.
    pub shard: Shard,
    /// The last position that is told.
    pub bound: Position,
    /// When its job was last put in line, in Unix milliseconds.
    pub moved_ms: u64,
}

impl Open {
    /// What `job` does, put in line at `moved_ms`.
    pub fn of(job: &Job, moved_ms: u64) -> Self {
        let Job { restock_id, product_id, shard, bound } = job.clone();
        Self { restock_id, product_id, shard, bound, moved_ms }
    }

    /// The job that tells the rest of it.
    pub fn job(self) -> Job {
        let Self { restock_id, product_id, shard, bound, .. } = self;
        Job { restock_id, product_id, shard, bound }
    }
}

/// What became of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Claim {
    /// It is written.
    Won,
    /// Somebody else wrote first; nothing is.
    Lost,
}

/// The attributes of `value` under `key`.
pub fn item(key: &ItemKey, value: &impl Serialize) -> Result<Item, TableError> {
    let mut item: Item = serde_dynamo::to_item(value)
        .map_err(|_| TableError::garbled("write", std::any::type_name_of_val(value)))?;
    item.extend(key.attributes());
    Ok(item)
}

/// Reads an item. An error names the kind and never shows the item.
pub fn read<T: DeserializeOwned>(item: Item, kind: &'static str) -> Result<T, TableError> {
    serde_dynamo::from_item(item).map_err(|_| TableError::garbled("read", kind))
}

impl Table {
    /// The table `name` behind `client`.
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// Reads one item, strongly consistent.
    pub async fn get<T: DeserializeOwned>(
        &self,
        key: &ItemKey,
        kind: &'static str,
    ) -> Result<Option<T>, TableError> {
        let got = self
            .client
            .get_item()
            .table_name(&self.name)
            .set_key(Some(key.attributes()))
            .consistent_read(true)
            .send()
            .await
            .map_err(|e| TableError::of("GetItem", &e))?;
        got.item.map(|item| read(item, kind)).transpose()
    }

    /// What is known of a product.
    pub async fn product(&self, product: &ProductId) -> Result<Option<Product>, TableError> {
        self.get(&ItemKey::product(product), "product").await
    }

    /// A shard's cursor; a shard that was never told has the default one.
    pub async fn cursor(&self, product: &ProductId, shard: Shard) -> Result<StoredCursor, TableError> {
        Ok(self.get(&ItemKey::cursor(product, shard), "cursor").await?.unwrap_or_default())
    }

    /// A query of one partition, or of the `range` of its sort keys, both ends included.
    pub fn query(&self, pk: String, range: Option<(String, String)>) -> QueryFluentBuilder {
        let query = self
            .client
            .query()
            .table_name(&self.name)
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
    pub async fn put(&self, item: Item) -> Result<(), TableError> {
        let put = self.client.put_item().table_name(&self.name).set_item(Some(item));
        put.send().await.map(drop).map_err(|e| TableError::of("PutItem", &e))
    }

    /// Writes an item where `condition` holds of what is there. Where it does not, gives what is.
    pub async fn put_if(
        &self,
        item: Item,
        condition: &str,
        names: &[(&str, &str)],
        values: Vec<(&str, AttributeValue)>,
    ) -> Result<Result<(), Option<Item>>, TableError> {
        let mut put = self
            .client
            .put_item()
            .table_name(&self.name)
            .set_item(Some(item))
            .condition_expression(condition)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        for (name, attribute) in names {
            put = put.expression_attribute_names(*name, *attribute);
        }
        for (name, value) in values {
            put = put.expression_attribute_values(name, value);
        }
        match put.send().await {
            Ok(_) => Ok(Ok(())),
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => Ok(Err(failed.item.clone())),
                _ => Err(TableError::of("PutItem", &error)),
            },
        }
    }

    /// Writes a shard's cursor under `token`, unless somebody wrote since `seen`. A write that was
    /// applied and whose answer was lost is recognised by its token when it is tried again.
    pub async fn write_cursor(
        &self,
        product: &ProductId,
        shard: Shard,
        cursor: &Cursor,
        seen: Option<&str>,
        token: &str,
    ) -> Result<Claim, TableError> {
        let stored = StoredCursor { cursor: cursor.clone(), token: Some(token.to_owned()) };
        let item = item(&ItemKey::cursor(product, shard), &stored)?;
        let names = [("#token", "token")];
        let written = match seen {
            None => self.put_if(item, "attribute_not_exists(#token)", &names, vec![]).await?,
            Some(seen) => {
                let seen = vec![(":seen", AttributeValue::S(seen.to_owned()))];
                self.put_if(item, "#token = :seen", &names, seen).await?
            }
        };
        let ours =
            |item: Item| item.get("token").and_then(|value| value.as_s().ok()).is_some_and(|t| t == token);
        Ok(match written {
            Ok(()) => Claim::Won,
            Err(Some(found)) if ours(found.clone()) => Claim::Won,
            Err(_) => Claim::Lost,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;
    use domain::cursor::Tally;

    #[test]
    fn a_cursor_reads_back_from_its_item_with_its_flight_and_its_count() {
        let product = ProductId::parse("p").unwrap();
        let restock = RestockId::parse("r").unwrap();
        let cursor = Cursor { carried: vec![Position::new(1, 1)], ..Cursor::default() }
            .counting(Tally { sent: 7, ..Tally::new(restock) })
            .claim(1, Some(Position::new(9, 9)), 3, 1_700_000_000_000);
        let stored = StoredCursor { cursor, token: Some("t".to_owned()) };
        let item = item(&ItemKey::cursor(&product, Shard(3)), &stored).unwrap();
        assert_eq!(item.get("sk").unwrap().as_s().unwrap(), "CURSOR");
        assert_eq!(read::<StoredCursor>(item, "cursor").unwrap(), stored);
    }

    #[test]
    fn an_item_that_cannot_be_read_is_named_and_not_shown() {
        let garbled = HashMap::from([("address".to_owned(), AttributeValue::S("not an address".to_owned()))]);
        let error = read::<Entry>(garbled, "entry").err().unwrap().to_string();
        assert!(error.contains("entry") && !error.contains("not an address"), "{error}");
    }

    #[test]
    fn a_shards_cursor_sorts_before_its_entries_and_keys_give_their_positions_back() {
        let position = Position::new(5, 5);
        assert!(*CURSOR < *entry_sort_key(Position::START));
        assert_eq!(position_of(&entry_sort_key(position)), Some(position));
        assert_eq!(position_of(CURSOR), None);
    }
}
