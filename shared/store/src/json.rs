//! Items as DynamoDB's JSON has them, for a database that is called without a client: the benchmarks fill and read the
//! embedded one so, past everything that they measure.

use aws_sdk_dynamodb::types::AttributeValue;
use domain::{Position, ProductId, Shard, ShardCount};
use serde_json::{Map, Value, json};

use crate::item::{Item, number, to_item};
use crate::waitlist::{self, Entry};
use crate::{StoreError, product};

/// A waitlist entry's item.
///
/// # Errors
/// `Corrupt` where the entry does not fit into an item.
pub fn entry(
    product: &ProductId,
    shard: Shard,
    position: Position,
    entry: &Entry,
) -> Result<Value, StoreError> {
    Ok(item(&to_item(&waitlist::key(product, shard, position), entry, waitlist::KIND)?))
}

/// The key of a product.
pub fn product_key(product: &ProductId) -> Value {
    item(&product::key(product).attributes())
}

/// The item of a product whose waitlist has so many shards in its mail lane, before its first stock update.
pub fn shards(product: &ProductId, shards: ShardCount) -> Value {
    let mut found = product::key(product).attributes();
    found.insert(product::SHARDS.to_owned(), number(shards.get()));
    item(&found)
}

/// The bound in a product's item; `None` where it has none.
pub fn bound(product: &Value) -> Option<Position> {
    product[product::BOUND]["S"].as_str()?.parse().ok()
}

/// Strings, numbers and truths are what the items here hold.
fn item(item: &Item) -> Value {
    let value = |value: &AttributeValue| match value {
        AttributeValue::S(text) => json!({ "S": text }),
        AttributeValue::N(number) => json!({ "N": number }),
        AttributeValue::Bool(truth) => json!({ "BOOL": truth }),
        _ => json!({ "NULL": true }),
    };
    Value::Object(item.iter().map(|(name, found)| (name.clone(), value(found))).collect::<Map<_, _>>())
}
