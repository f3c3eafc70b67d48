//! The job of a fan-out: tell one shard of a product's waitlist, up to a bound. It is what the
//! topic `notification-batches` carries, small, versioned, and harmless to run twice.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fields::{Fields, Invalid};
use crate::id::ACCEPTED_ID;
use crate::shard::ACCEPTED_SHARD;
use crate::{Position, ProductId, RestockId, Shard};

/// The version of the wire form that this code writes and reads.
pub const JOB_VERSION: u64 = 1;

/// Deliver a shard's entries up to the bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// The restock that they are told of.
    pub restock_id: RestockId,
    /// The product.
    pub product_id: ProductId,
    /// The shard of its waitlist.
    pub shard: Shard,
    /// The last position that is told.
    pub bound: Position,
    /// The number of the bound or wave that it is of: a later one covers it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub turn: u64,
    /// Its ticket; a job of an earlier version has none, and is worked on as it was then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
}

/// What tells the living job of a shard from those before it: the open fan-out holds the ticket that was written last, and
/// a job with another one is dropped.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticket(String);

/// The most bytes of a ticket.
const MAX_TICKET: usize = 64;
const ACCEPTED_TICKET: &str = "1 to 64 letters, digits, `-` and `_`";

impl Ticket {
    /// Reads a ticket.
    ///
    /// # Errors
    /// When it is not 1 to 64 letters, digits, `-` and `_`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let refuse = |problem: &str| Err(Invalid::new("ticket", problem, ACCEPTED_TICKET));
        if text.is_empty() {
            return refuse("is empty");
        }
        if text.len() > MAX_TICKET {
            return refuse("is too long");
        }
        if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_') {
            return refuse("contains a character that is not accepted");
        }
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Display for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

#[derive(Serialize)]
struct Wire<'a> {
    v: u64,
    #[serde(flatten)]
    job: &'a Job,
}

impl Job {
    /// The same job under another ticket.
    pub fn with_ticket(&self, ticket: Ticket) -> Self {
        Self { ticket: Some(ticket), ..self.clone() }
    }

    /// The Kafka key: jobs for a shard run in order, in one consumer.
    pub fn key(&self) -> String {
        format!("{}#{}", self.product_id.key_part(), self.shard)
    }

    /// The Kafka value.
    pub fn to_json(&self) -> String {
        #[expect(clippy::expect_used, reason = "a job is texts and numbers under fixed names")]
        serde_json::to_string(&Wire { v: JOB_VERSION, job: self }).expect("a job is JSON")
    }

    /// Reads a record's value; `None` is a tombstone.
    pub fn from_record(value: Option<&[u8]>) -> Result<Self, Invalid> {
        let accepted = r#"JSON {"v":1,"restockId","productId","shard","bound","turn","ticket"}"#;
        let whole = |problem: String| Invalid::new("value", problem, accepted);
        let bytes = value.ok_or_else(|| whole("is missing (a tombstone)".to_owned()))?;
        let json: Value = serde_json::from_slice(bytes)
            .map_err(|e| whole(format!("is not JSON (line {}, column {})", e.line(), e.column())))?;
        let fields = Fields::of(&json, "value")?;
        match fields.whole("v", "1")? {
            Some(JOB_VERSION) => {}
            Some(other) => return Err(Invalid::new("v", format!("is {other}"), "1")),
            None => return Err(Invalid::new("v", "is missing", "1")),
        }
        let bound = fields.required_text("bound", "a ULID")?;
        let turn = fields.whole("turn", "the number of a bound")?.unwrap_or_default();
        let ticket = fields.raw("ticket").filter(|ticket| !ticket.is_null());
        let ticket = match ticket.map(|ticket| ticket.as_str().unwrap_or_default()) {
            Some(ticket) => Some(Ticket::parse(ticket)?),
            None => None,
        };
        Ok(Self {
            restock_id: RestockId::parse(fields.required_text("restockId", ACCEPTED_ID)?)?,
            product_id: ProductId::parse(fields.required_text("productId", ACCEPTED_ID)?)?,
            shard: fields.required_text("shard", ACCEPTED_SHARD)?.parse()?,
            bound: bound.parse().map_err(|_| Invalid::new("bound", "is not a ULID", "a ULID"))?,
            turn,
            ticket,
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    const WIRE: &str = r#"{"v":1,"restockId":"r-1","productId":"iphone15","shard":"m0.3","bound":"01ARZ3NDEKTSV4RRFFQ69G5FAV","turn":2,"ticket":"t-1"}"#;

    #[test]
    fn a_job_reads_back_from_its_wire_form() {
        let job = Job::from_record(Some(WIRE.as_bytes())).unwrap();
        assert_eq!(job.to_json(), WIRE);
        assert_eq!(job.key(), "iphone15#m0.3");
    }

    #[test]
    fn a_job_of_an_earlier_version_has_no_ticket_and_is_written_without_one() {
        let earlier = WIRE.replacen(r#","ticket":"t-1""#, "", 1);
        let job = Job::from_record(Some(earlier.as_bytes())).unwrap();
        assert_eq!((&job.ticket, job.to_json()), (&None, earlier));
        let null = WIRE.replacen(r#""t-1""#, "null", 1);
        assert_eq!(Job::from_record(Some(null.as_bytes())).unwrap(), job);
        assert_eq!(job.with_ticket(Ticket::parse("t-1").unwrap()).to_json(), WIRE);
    }

    #[test]
    fn no_two_shards_share_a_key_whatever_the_products_are_called() {
        let key = |product: &str, shard: u16| {
            let product_id = ProductId::parse(product).unwrap();
            Job { product_id, shard: Shard::mail(shard), ..Job::from_record(Some(WIRE.as_bytes())).unwrap() }
                .key()
        };
        assert_ne!(key("a#1", 2), key("a%231", 2));
        assert_eq!(key("a#1", 2), "a%231#m0.2");
        assert_eq!(key("gid://shopify/Product/1", 0), "gid://shopify/Product/1#m0.0");
    }

    #[test]
    fn poison_says_which_field() {
        for (from, to, field) in [
            ("\"v\":1", "\"v\":2", "v"),
            ("\"v\":1,", "", "v"),
            ("\"m0.3\"", "3", "shard"),
            ("m0.3", "m0.70000", "shard"),
            ("m0.3", "m7.3", "shard"),
            ("\"shard\":\"m0.3\",", "", "shard"),
            ("r-1", "r\\n1", "restockId"),
            ("iphone15", "", "productId"),
            ("01ARZ", "81ARZ", "bound"),
            ("\"t-1\"", "\"\"", "ticket"),
            ("\"t-1\"", "7", "ticket"),
            ("t-1", "t#1", "ticket"),
            ("\"turn\":2", "\"turn\":-1", "turn"),
            ("{", "", "value"),
        ] {
            let poison = Job::from_record(Some(WIRE.replacen(from, to, 1).as_bytes())).unwrap_err();
            assert_eq!(poison.field, field);
        }
        assert_eq!(Job::from_record(None).unwrap_err().field, "value");
    }
}
