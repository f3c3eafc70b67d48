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
//! | an item that cannot be read | `UNREADABLE` | `<pk>\|<sk>` of it |
//! | name of a restock | `I#<restock>` | `NAME` |
//!
//! A product or restock stands in a key as [`ProductId::key_part`] writes it, without `#`: so no two of them meet in
//! one key. The longest is three times 255 bytes, and DynamoDB takes 2,048 bytes in a partition key and 1,024 in a
//! sort key: "Quotas in Amazon DynamoDB", developer guide.
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

/// A read or write of the table that failed. Its kind says whether another try can help; no error shows an item, or the
/// response that it came in (which may hold an address).
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// The table did not answer, or asks for patience (throttled, internal error): try again.
    #[error("the table's {operation} failed")]
    Unavailable {
        /// What was tried, as DynamoDB's API names it.
        operation: &'static str,
        /// What DynamoDB or the connection said.
        #[source]
        source: TableCause,
    },
    /// Too many write the same item at once: try again.
    #[error("{item} is being changed by too many at once")]
    Contended {
        /// The kind of item.
        item: &'static str,
    },
    /// An item that is there cannot be read, or a value that does not fit into one. Trying again is of no use.
    #[error("a {item} item in the table cannot be {done}")]
    Corrupt {
        /// The kind of item.
        item: &'static str,
        /// `read` or `written`.
        done: &'static str,
    },
    /// DynamoDB refuses the request (no permission, no such table, not valid) until a person mends that.
    #[error("the table refuses {operation}")]
    Denied {
        /// What was tried, as DynamoDB's API names it.
        operation: &'static str,
        /// What DynamoDB said.
        #[source]
        source: TableCause,
    },
}

/// What DynamoDB or the connection to it said, without the response.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TableCause(String);

/// What DynamoDB answers to a request that stays refused however often it is sent: "Error handling with DynamoDB" in its
/// developer guide names these with "OK to retry? No". Its `ConditionalCheckFailedException` is an outcome, and never comes here.
const REFUSALS: [&str; 7] = [
    "AccessDeniedException",
    "IncompleteSignatureException",
    "ItemCollectionSizeLimitExceededException",
    "MissingAuthenticationTokenException",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "ValidationException",
];

impl TableError {
    /// What an SDK error says, without the response that it carries (which may show an address).
    pub fn of<E, R>(operation: &'static str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: fmt::Debug + Send + Sync + 'static,
    {
        let Some(service) = error.as_service_error() else {
            return Self::Unavailable { operation, source: TableCause(crate::causes(error).to_string()) };
        };
        let code = service.code().unwrap_or("error without a code");
        let source = TableCause(format!("{code}: {}", service.message().unwrap_or("no message")));
        match code {
            // Transactions that met, also cancelled ones: what else cancels them is an outcome and never comes here.
            "TransactionConflictException" | "TransactionInProgressException" => {
                Self::Contended { item: "an item" }
            }
            code if REFUSALS.contains(&code) => Self::Denied { operation, source },
            _ => Self::Unavailable { operation, source },
        }
    }

    /// Too many at the same item; another try later will do.
    pub fn contended(item: &'static str) -> Self {
        Self::Contended { item }
    }

    /// A request that could not even be put together.
    pub fn built(error: aws_sdk_dynamodb::error::BuildError) -> Self {
        Self::Denied { operation: "request", source: TableCause(error.to_string()) }
    }

    /// An item that cannot be read. Only its kind is told.
    pub fn unreadable(item: &'static str) -> Self {
        Self::Corrupt { item, done: "read" }
    }

    /// Whether another try, later, can help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Contended { .. })
    }

    /// Whether an item is there and cannot be read.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, Self::Corrupt { .. })
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
    fn new(pk: impl Into<String>, sk: impl Into<String>) -> Self {
        Self { pk: pk.into(), sk: sk.into() }
    }

    /// A subscriber's subscription to a product.
    pub fn subscription(subscriber: &Subscriber, product: &ProductId) -> Self {
        Self::new(format!("S#{}", subscriber.as_key()), format!("P#{}", product.key_part()))
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
        Self::new(format!("P#{}", product.key_part()), "STATE")
    }

    /// That a restock was planned for a product, in the order of the bounds.
    pub fn plan(product: &ProductId, bound: Position, restock: &RestockId) -> Self {
        Self::new(format!("P#{}", product.key_part()), format!("{PLAN}{bound}#{}", restock.key_part()))
    }

    /// What a restock planned.
    pub fn summary(restock: &RestockId) -> Self {
        Self::new(format!("R#{}", restock.key_part()), "SUMMARY")
    }

    /// A restock's count of one shard.
    pub fn shard_summary(restock: &RestockId, shard: Shard) -> Self {
        Self::new(format!("R#{}", restock.key_part()), format!("SHARD#{shard}"))
    }

    /// Somebody whom a restock could not tell.
    pub fn failed(restock: &RestockId, position: Position) -> Self {
        Self::new(format!("R#{}", restock.key_part()), format!("FAILED#{position}"))
    }

    /// A shard that is being told.
    pub fn open(product: &ProductId, shard: Shard) -> Self {
        // By the shard, so that the shards of one restock are not one hot partition.
        Self::new(open_bucket(shard.0 % OPEN_BUCKETS), format!("{}#{shard}", product.key_part()))
    }

    /// Whose restock a name is.
    pub fn named(restock: &RestockId) -> Self {
        Self::new(format!("I#{}", restock.key_part()), "NAME")
    }

    /// An item that could not be read: which, and when that was seen last.
    pub fn unreadable(of: &ItemKey) -> Self {
        Self::new(UNREADABLE, format!("{}|{}", of.pk, of.sk))
    }

    /// A sender's budget.
    pub fn budget(sender: &str) -> Self {
        Self::new(format!("RATE#{sender}"), "TAT")
    }

    /// The key that an item was read with: DynamoDB gives no item without its key.
    pub fn of(item: &Item) -> Option<Self> {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        Some(Self { pk: text("pk")?, sk: text("sk")? })
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
/// The partition key of what could not be read.
pub const UNREADABLE: &str = "UNREADABLE";
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
    format!("W#{}#{shard}", product.key_part())
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

/// Whose restock a name is: the product's that came first under it. Senders name a restock after a delivery, which may
/// bring several products; the others' have the names that [`RestockId::of_product`] makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// The product.
    pub product_id: ProductId,
    /// What was asked for, where the name is an `Idempotency-Key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Asked>,
    /// When the table may forget it, in Unix seconds.
    pub ttl: i64,
}

/// What was asked for under an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The fingerprint of the update.
    pub body: String,
    /// When it happened, by the first request: a retry does not make it a later update.
    pub occurred_at: Timestamp,
    /// The partition and the offset where it lies, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<(i32, i64)>,
}

/// How long a name is known: as long as the restock.
const NAMED_SECONDS: i64 = 400 * 86_400;

impl Named {
    /// The name for a restock of `product` from now on.
    pub fn now(product: &ProductId, request: Option<Asked>) -> Self {
        let ttl = crate::chance::now().as_second() + NAMED_SECONDS;
        Self { product_id: product.clone(), request, ttl }
    }
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
        .map_err(|_| TableError::Corrupt { item: std::any::type_name_of_val(value), done: "written" })?;
    item.extend(key.attributes());
    Ok(item)
}

/// Reads an item. An error names the kind and never shows the item.
pub fn read<T: DeserializeOwned>(item: Item, kind: &'static str) -> Result<T, TableError> {
    serde_dynamo::from_item(item).map_err(|_| TableError::unreadable(kind))
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

    /// Takes a name for a restock of the product in `new`: `name` itself, or where that is another product's, the one
    /// that hangs on both. Gives the name, and what was known of it; `None` where it is new.
    pub async fn take_name(
        &self,
        name: &RestockId,
        new: &Named,
    ) -> Result<(RestockId, Option<Named>), TableError> {
        let mut restock = name.clone();
        for _ in 0..2 {
            let key = ItemKey::named(&restock);
            // A name whose time is over is free, even if the table has not forgotten it yet.
            let now = AttributeValue::N(crate::chance::now().as_second().to_string());
            let free = "attribute_not_exists(pk) OR #ttl < :now";
            match self.put_if(item(&key, new)?, free, &[("#ttl", "ttl")], vec![(":now", now)]).await? {
                Ok(()) => return Ok((restock, None)),
                Err(found) => {
                    let found = found.ok_or_else(|| TableError::contended("a name"))?;
                    match read::<Named>(found, "name") {
                        Ok(found) if found.product_id == new.product_id => return Ok((restock, Some(found))),
                        Ok(_) => restock = name.of_product(&new.product_id),
                        Err(error) => {
                            // Two restocks may be counted as one then, which is better than that nobody is told.
                            tracing::warn!(%restock, %error, "whose restock this is cannot be read");
                            return Ok((restock, None));
                        }
                    }
                }
            }
        }
        // Somebody chose for another product the very name that would be made for this one.
        Ok((restock.of_product(&new.product_id), None))
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
    fn the_keys_of_plain_ids_are_as_they_ever_were_and_no_two_ids_meet_in_one() {
        let product = |text: &str| ProductId::parse(text).unwrap();
        let restock = |text: &str| RestockId::parse(text).unwrap();
        let text = |key: ItemKey| format!("{} {}", key.pk, key.sk);
        let (plain, r) = (product("SKU-1.2_b:~@+"), restock("r-1"));
        assert_eq!(text(ItemKey::cursor(&plain, Shard(3))), "W#SKU-1.2_b:~@+#3 CURSOR");
        assert_eq!(text(ItemKey::product(&plain)), "P#SKU-1.2_b:~@+ STATE");
        assert_eq!(text(ItemKey::open(&plain, Shard(3))), "OPEN#3 SKU-1.2_b:~@+#3");
        assert_eq!(text(ItemKey::summary(&r)), "R#r-1 SUMMARY");
        assert!(ItemKey::plan(&plain, Position::START, &r).sk.ends_with("#r-1"));
        assert_ne!(waitlist(&product("a#1"), Shard(2)), waitlist(&product("a%231"), Shard(2)));
        assert_eq!(waitlist(&product("CLE/6 é|4"), Shard(0)), "W#CLE/6 é|4#0");
    }

    #[test]
    fn the_longest_ids_fit_into_dynamodbs_keys() {
        let (product, restock) =
            (ProductId::parse(&"#".repeat(255)).unwrap(), RestockId::parse(&"%".repeat(255)).unwrap());
        for key in [
            ItemKey::entry(&product, Shard(1023), Position::END),
            ItemKey::plan(&product, Position::END, &restock),
            ItemKey::failed(&restock, Position::END),
            ItemKey::open(&product, Shard(1023)),
            ItemKey::named(&restock),
        ] {
            assert!(key.pk.len() <= 2_048 && key.sk.len() <= 1_024, "{} {}", key.pk.len(), key.sk.len());
        }
    }

    #[test]
    fn a_cursor_reads_back_from_its_item_with_its_flight_and_its_count() {
        let product = ProductId::parse("p").unwrap();
        let restock = RestockId::parse("r").unwrap();
        let cursor = Cursor { pending_retries: vec![Position::new(1, 1)], ..Cursor::default() }
            .switch_tally_to(Tally { sent: 7, ..Tally::new(restock) })
            .announce(1, Some(Position::new(9, 9)), 3, Timestamp::from_second(1_700_000_000).unwrap());
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
    fn an_error_has_a_kind_and_only_two_of_them_are_worth_another_try() {
        use aws_sdk_dynamodb::{error::ErrorMetadata, operation::get_item::GetItemError};
        let of = |code: &str| {
            let said = GetItemError::generic(ErrorMetadata::builder().code(code).message("said").build());
            TableError::of("GetItem", &SdkError::<_, ()>::service_error(said, ()))
        };
        for code in REFUSALS {
            assert!(matches!(of(code), TableError::Denied { .. }), "{code}");
            assert!(!of(code).is_transient());
        }
        for code in [
            "ProvisionedThroughputExceededException",
            "ThrottlingException",
            "RequestLimitExceeded",
            "InternalServerError",
            "ExpiredTokenException",
            "SomethingNew",
        ] {
            assert!(matches!(of(code), TableError::Unavailable { .. }), "{code}");
            assert!(of(code).is_transient());
        }
        assert!(matches!(of("TransactionConflictException"), TableError::Contended { .. }));
        let timeout = SdkError::<GetItemError, ()>::timeout_error("slow");
        assert!(TableError::of("GetItem", &timeout).is_transient());
        assert!(
            !TableError::unreadable("cursor").is_transient() && TableError::unreadable("cursor").is_corrupt()
        );
        let line = crate::causes(&of("ThrottlingException")).to_string();
        assert_eq!(line, "the table's GetItem failed: ThrottlingException: said");
    }

    #[test]
    fn a_shards_cursor_sorts_before_its_entries_and_keys_give_their_positions_back() {
        let position = Position::new(5, 5);
        assert!(*CURSOR < *entry_sort_key(Position::START));
        assert_eq!(position_of(&entry_sort_key(position)), Some(position));
        assert_eq!(position_of(CURSOR), None);
    }
}
