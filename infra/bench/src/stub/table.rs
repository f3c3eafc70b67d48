//! DynamoDB: the embedded one of `notify-me`, called without its own HTTP server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use dynoxide::{Database, DynoxideError};
use http::{Request, StatusCode};
use hyper::body::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::serve::{Answer, Handler};

/// Items that one request writes.
const AT_ONCE: usize = 25;
/// How the name of an operation begins in its header.
const TARGET: &str = "DynamoDB_20120810.";

/// The tables, and how often which operation was called.
#[derive(Clone)]
pub(crate) struct Tables {
    database: Database,
    calls: Arc<Mutex<BTreeMap<String, u64>>>,
    meter: Arc<Mutex<Option<Units>>>,
}

/// Capacity units of DynamoDB.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Units {
    pub(crate) read: f64,
    pub(crate) write: f64,
}

/// Counts units until it is read.
pub(crate) struct Metered(Arc<Mutex<Option<Units>>>);

impl Metered {
    /// The units since it was made.
    pub(crate) fn units(self) -> Units {
        lock(&self.0).take().unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tables {
    pub(super) fn new() -> anyhow::Result<Self> {
        let database = Database::memory().context("the embedded DynamoDB cannot be opened")?;
        Ok(Self { database, calls: Arc::default(), meter: Arc::default() })
    }

    /// Makes a table with these two keys, both strings.
    ///
    /// # Errors
    /// When it is there already.
    pub(crate) fn create(&self, table: &str, hash: &str, range: &str) -> anyhow::Result<()> {
        let kind = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
        let key = |name: &str, kind: &str| json!({ "AttributeName": name, "KeyType": kind });
        let request = json!({
            "TableName": table, "BillingMode": "PAY_PER_REQUEST", "AttributeDefinitions": [kind(hash), kind(range)],
            "KeySchema": [key(hash, "HASH"), key(range, "RANGE")],
        });
        self.ask("CreateTable", &request).map(drop)
    }

    /// Writes items, as DynamoDB's JSON has them, past the wire: they are not counted.
    ///
    /// # Errors
    /// When the database does not take them.
    pub(crate) fn fill(&self, table: &str, items: &[Value]) -> anyhow::Result<()> {
        for items in items.chunks(AT_ONCE) {
            let put = |item: &Value| json!({ "PutRequest": { "Item": item } });
            let writes: Vec<Value> = items.iter().map(put).collect();
            self.ask("BatchWriteItem", &json!({ "RequestItems": { table: writes } }))?;
        }
        Ok(())
    }

    /// The calls so far, by operation, counted from nought again.
    pub(crate) fn take_calls(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut *lock(&self.calls))
    }

    /// Counts capacity units from here on, which takes time.
    pub(crate) fn meter(&self) -> Metered {
        *lock(&self.meter) = Some(Units::default());
        Metered(self.meter.clone())
    }

    /// Asks for the units that an operation consumes as well.
    fn metered(&self, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
        let unreadable = |error: serde_json::Error| DynoxideError::SerializationException(error.to_string());
        let mut request: Value = serde_json::from_slice(body).map_err(unreadable)?;
        request["ReturnConsumedCapacity"] = json!("TOTAL");
        let answered = dispatch(&self.database, operation, request.to_string().as_bytes());
        // A condition that does not hold costs a write of what is there, which is a unit here.
        let consumed = match &answered {
            Ok(answer) => {
                let answer: Value = serde_json::from_str(answer).map_err(unreadable)?;
                let of = |consumed: &Value| consumed["CapacityUnits"].as_f64().unwrap_or_default();
                match &answer["ConsumedCapacity"] {
                    Value::Array(of_tables) => of_tables.iter().map(of).sum(),
                    one => of(one),
                }
            }
            Err(_) => 1.0,
        };
        if let Some(units) = lock(&self.meter).as_mut() {
            let reads = matches!(operation, "GetItem" | "BatchGetItem" | "Query" | "Scan");
            *(if reads { &mut units.read } else { &mut units.write }) += consumed;
        }
        answered
    }

    /// Asks as the wire would, without being counted.
    ///
    /// # Errors
    /// When the database refuses.
    pub(crate) fn ask(&self, operation: &str, request: &Value) -> anyhow::Result<Value> {
        let body = serde_json::to_vec(request)?;
        let answered = dispatch(&self.database, operation, &body);
        let answered = answered.map_err(|error| anyhow::anyhow!("{operation}: {}", error.to_json()))?;
        Ok(serde_json::from_str(&answered)?)
    }
}

impl Handler for Tables {
    async fn handle(&self, request: Request<Bytes>) -> Answer {
        let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok());
        let operation = target.and_then(|target| target.strip_prefix(TARGET)).unwrap_or_default();
        *lock(&self.calls).entry(operation.to_owned()).or_default() += 1;
        let metering = lock(&self.meter).is_some();
        let answered = if metering {
            self.metered(operation, request.body())
        } else {
            dispatch(&self.database, operation, request.body())
        };
        let (status, body) = match answered {
            Ok(body) => (StatusCode::OK, body),
            Err(error) => {
                let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::BAD_REQUEST);
                (status, error.to_json())
            }
        };
        Answer { status, content_type: "application/x-amz-json-1.0", error: None, body }
    }
}

fn dispatch(database: &Database, operation: &str, body: &[u8]) -> Result<String, DynoxideError> {
    match operation {
        "BatchGetItem" => run(body, |request| database.batch_get_item(request)),
        "BatchWriteItem" => run(body, |request| database.batch_write_item(request)),
        "CreateTable" => run(body, |request| database.create_table(request)),
        "DeleteItem" => run(body, |request| database.delete_item(request)),
        "DescribeTable" => run(body, |request| database.describe_table(request)),
        "GetItem" => run(body, |request| database.get_item(request)),
        "PutItem" => run(body, |request| database.put_item(request)),
        "Query" => run(body, |request| database.query(request)),
        "Scan" => run(body, |request| database.scan(request)),
        "TransactWriteItems" => run(body, |request| database.transact_write_items(request)),
        "UpdateItem" => run(body, |request| database.update_item(request)),
        other => Err(DynoxideError::ValidationException(format!("{other:?} is not served here"))),
    }
}

fn run<Q: DeserializeOwned, A: Serialize>(
    body: &[u8],
    operation: impl FnOnce(Q) -> Result<A, DynoxideError>,
) -> Result<String, DynoxideError> {
    let unreadable = |error: serde_json::Error| DynoxideError::SerializationException(error.to_string());
    let answer = operation(serde_json::from_slice(body).map_err(unreadable)?)?;
    serde_json::to_string(&answer).map_err(unreadable)
}
