//! Items of the table that cannot be read: each is written down under `UNREADABLE`, counted (the metric of that name has an
//! alarm) and left as it is, so that a person can mend it. Nothing else waits for that.

use lambda::clock;
use lambda::table::{ItemKey, TableError, item};
use serde::Serialize;

use crate::{App, deliver::Kept, metrics};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Seen {
    reason: String,
    seen_ms: u64,
}

/// Writes down that the item at `key` cannot be read. The same item is one row, however often it is met.
pub(crate) async fn write_down(app: &App, key: &ItemKey, error: &TableError) -> Result<(), TableError> {
    metrics::unreadable();
    // The key of what is about a person holds a hash, and those of all else no person at all.
    tracing::error!(pk = key.pk, sk = key.sk, %error, "passed; it stays as it is until a person mends it");
    let seen = Seen { reason: error.to_string(), seen_ms: clock::now_ms() };
    app.table.put(item(&ItemKey::unreadable(key), &Kept::new(&seen))?).await
}
