//! Fan-outs that are under way: one item per shard that is being delivered, so that a sweep finds them without a scan.
//!
//! The item holds the ticket of the shard's one living job, a new one at each write. Items that an earlier version wrote
//! have none; the next write gives them one.

use std::num::NonZeroU16;

use aws_sdk_dynamodb::operation::delete_item::builders::DeleteItemFluentBuilder;
use domain::job::{Job, Ticket};
use domain::{ProductId, Shard};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{number, string, to_item};
use crate::request::{Condition, Pages, remove};
use crate::unreadable::{UnreadableRow, row};
use crate::{ItemKey, Outcome, Store, StoreError};

const KIND: &str = "fan-out";
const TURN: &str = "turn";
const TICKET: &str = "ticket";

/// Opening or closing an earlier fan-out leaves the item of a later one: each bound and wave has a higher number than the
/// one before.
const NOT_LATER: &str = "attribute_not_exists(pk) OR attribute_not_exists(#turn) OR #turn <= :turn";

/// The number of partitions over which the unfinished fan-outs are spread.
pub const BUCKETS: NonZeroU16 = NonZeroU16::new(16).unwrap();

fn bucket(bucket: u16) -> String {
    format!("OPEN#{bucket}")
}

/// The key of a shard's fan-out. In a [bucket](Shard::bucket) by product and shard, so that neither the shards of one
/// restock nor all the products with one shard are one hot partition.
pub fn key(product: &ProductId, shard: Shard) -> ItemKey {
    let number = shard.bucket(product, BUCKETS);
    ItemKey::new(bucket(number), format!("{}#{shard}", product.key_part()))
}

/// A shard that is being delivered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FanOut {
    /// The job that delivers the rest of it.
    #[serde(flatten)]
    pub job: Job,
    /// When the job was last put in line.
    #[serde(rename = "movedMs", with = "jiff::fmt::serde::timestamp::millisecond::required")]
    pub moved_at: Timestamp,
}

/// The unfinished fan-outs.
#[derive(Clone, Copy)]
pub struct FanOuts<'a>(pub(crate) &'a Store);

impl FanOuts<'_> {
    /// Writes down that a job's shard is being delivered, and was put in line at `moved_at`. From then on the job with this
    /// ticket is the living one, and every earlier job of the shard is dropped. Refused where a later fan-out of the
    /// shard is open, which covers everything that this one does.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn open(self, job: &Job, moved_at: Timestamp) -> Result<Outcome, StoreError> {
        let fan_out = FanOut { job: job.clone(), moved_at };
        let item = to_item(&key(&job.product_id, job.shard), &fan_out, KIND)?;
        let condition = Condition::new(NOT_LATER).name("#turn", TURN).value(":turn", number(job.turn));
        Ok(self.0.put_if(item, condition).await?.plain())
    }

    /// The same where no fan-out of the shard is open at all. Refused, one is.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn open_missing(self, job: &Job, moved_at: Timestamp) -> Result<Outcome, StoreError> {
        let fan_out = FanOut { job: job.clone(), moved_at };
        let item = to_item(&key(&job.product_id, job.shard), &fan_out, KIND)?;
        Ok(self.0.put_if(item, Condition::absent()).await?.plain())
    }

    /// Gives the fan-out of a job a new ticket, in `next`, which goes in line at `moved_at`, on condition that the ticket is
    /// the job's still. Refused, another job has taken its place, or the shard is delivered: it must not go in line.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn pass_on(
        self,
        ticket: &Ticket,
        next: &Job,
        moved_at: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let fan_out = FanOut { job: next.clone(), moved_at };
        let item = to_item(&key(&next.product_id, next.shard), &fan_out, KIND)?;
        let condition =
            Condition::new("#ticket = :ticket").name("#ticket", TICKET).value(":ticket", string(ticket));
        Ok(self.0.put_if(item, condition).await?.plain())
    }

    /// Removes the fan-out of a job that has nothing more to do, on condition that the ticket is the job's. Refused, another
    /// job has taken its place, and the fan-out stays for that one. A job without a ticket removes one without a ticket,
    /// unless it is a later one.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn close(self, job: &Job) -> Result<Outcome, StoreError> {
        let delete = self.delete(job).expression_attribute_names("#ticket", TICKET);
        remove(match &job.ticket {
            Some(ticket) => delete
                .condition_expression("#ticket = :ticket")
                .expression_attribute_values(":ticket", string(ticket)),
            None => delete
                .condition_expression(format!("attribute_not_exists(#ticket) AND ({NOT_LATER})"))
                .expression_attribute_names("#turn", TURN)
                .expression_attribute_values(":turn", number(job.turn)),
        })
        .await
    }

    /// Removes the fan-out of a shard that is delivered up to the job's bound, whichever job was to do that. Refused where
    /// a later one is open, which stays.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn close_delivered(self, job: &Job) -> Result<Outcome, StoreError> {
        let delete = self.delete(job).condition_expression(NOT_LATER);
        let delete = delete.expression_attribute_names("#turn", TURN);
        remove(delete.expression_attribute_values(":turn", number(job.turn))).await
    }

    fn delete(self, job: &Job) -> DeleteItemFluentBuilder {
        let key = key(&job.product_id, job.shard).attributes();
        self.0.client.delete_item().table_name(&self.0.table).set_key(Some(key))
    }

    /// A shard's fan-out, strongly consistent; `None` where none is open.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn get(self, product: &ProductId, shard: Shard) -> Result<Option<FanOut>, StoreError> {
        self.0.get(&key(product, shard), KIND).await
    }

    /// The fan-outs of a bucket below [`BUCKETS`], page by page, strongly consistent.
    pub fn bucket(self, number: u16) -> Bucket {
        Bucket(Pages::of(self.0.query(bucket(number), None).consistent_read(true)))
    }
}

/// The pages of a bucket.
pub struct Bucket(Pages);

impl Bucket {
    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn next(&mut self) -> Result<Option<Vec<Result<FanOut, UnreadableRow>>>, StoreError> {
        let page = self.0.items().await?;
        page.map(|items| items.into_iter().map(|item| row(item, KIND)).collect()).transpose()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use domain::{Position, RestockId};

    use super::*;
    use crate::item::{Item, parsed};

    fn stored() -> (FanOut, Item) {
        let job = Job {
            restock_id: RestockId::parse("r").unwrap(),
            product_id: ProductId::parse("p").unwrap(),
            shard: Shard::mail(3),
            bound: Position::new(5, 6),
            turn: 2,
            ticket: Some(Ticket::parse("t").unwrap()),
        };
        let moved_at = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
        let fan_out = FanOut { job, moved_at };
        let item = to_item(&key(&fan_out.job.product_id, Shard::mail(3)), &fan_out, KIND).unwrap();
        (fan_out, item)
    }

    #[test]
    fn a_fan_out_reads_back_from_the_attributes_that_it_ever_had() {
        let (fan_out, item) = stored();
        let mut names: Vec<&str> = item.keys().map(String::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["bound", "movedMs", "pk", "productId", "restockId", "shard", "sk", TICKET, TURN]);
        assert_eq!(parsed::<u64>(&item, "movedMs"), Some(1_700_000_000_123));
        assert_eq!(row::<FanOut>(item, KIND).unwrap().unwrap(), fan_out);
    }

    #[test]
    fn a_fan_out_of_an_earlier_version_has_no_ticket() {
        let (fan_out, mut item) = stored();
        item.remove(TICKET);
        let job = Job { ticket: None, ..fan_out.job };
        assert_eq!(row::<FanOut>(item, KIND).unwrap().unwrap(), FanOut { job, ..fan_out });
    }

    #[test]
    fn an_item_that_is_no_fan_out_is_a_row_of_its_own() {
        for (name, odd) in [("bound", number(7)), ("bound", string("x")), ("movedMs", string("x"))] {
            let (fan_out, mut item) = stored();
            item.insert(name.to_owned(), odd);
            let unreadable = row::<FanOut>(item, KIND).unwrap().unwrap_err();
            assert!(unreadable.error.is_corrupt());
            assert!(unreadable.key == key(&fan_out.job.product_id, Shard::mail(3)));
            assert_eq!(unreadable.key.sk(), "p#m0.3");
        }
    }
}
