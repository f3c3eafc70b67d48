//! Limits: one theoretical arrival time for each source, address or product that is limited, under a keyed hash of it; and the
//! solutions of challenges that are used up. The arithmetic is [`domain::limit`]'s; here the numbers are only moved. All
//! times are Unix microseconds.

use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::ReturnValuesOnConditionCheckFailure;
use domain::PersonId;
use domain::limit::Limit;

use crate::item::{Item, TTL, number, parsed};
use crate::request::{Condition, apply};
use crate::{ItemKey, Outcome, Store, StoreError};

const ARRIVAL: &str = "tat";
const SORT_KEY: &str = "TAT";
/// The most updates for one use of a limit, where others move its arrival time meanwhile.
const MOST_UPDATES: usize = 8;

/// The key of what is limited: its kind, and the [hash](domain::PersonKey::other) of what it is.
pub fn key(kind: &str, hash: PersonId) -> ItemKey {
    ItemKey::new(format!("L#{kind}#{}", hash.key_part()), SORT_KEY)
}

/// The key of a solution that is used up, by the hash of its challenge's nonce.
pub fn solution_key(nonce: PersonId) -> ItemKey {
    ItemKey::new(format!("L#solution#{}", nonce.key_part()), "USED")
}

/// The limits.
#[derive(Clone, Copy)]
pub struct Limits<'a>(pub(crate) &'a Store);

impl Limits<'_> {
    /// Uses a limit once. Refused, it is used up, and nothing is written; with the time from which on one more is
    /// allowed, before which none is.
    ///
    /// One that was not used of late takes one write, one that was takes two. It makes no difference whether the table has
    /// forgotten an item whose time is over: its arrival time lies in the past by then.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`; `Contended` where others moved it again and again. After `Unavailable` it may be used.
    pub async fn take(
        self,
        kind: &str,
        hash: PersonId,
        limit: Limit,
        now_us: u64,
    ) -> Result<Outcome<(), u64>, StoreError> {
        let key = key(kind, hash);
        for update in [Self::start, Self::queue].into_iter().cycle().take(MOST_UPDATES) {
            let Outcome::Refused(found) = apply(update(self, &key, limit, now_us)).await? else {
                return Ok(Outcome::Applied(()));
            };
            let arrival_us = found.as_ref().map(arrival).unwrap_or_default();
            if arrival_us > limit.latest_us(now_us) {
                return Ok(Outcome::Refused(limit.open_us(arrival_us)));
            }
        }
        Err(StoreError::contended("a limit"))
    }

    /// Uses up the solution of a challenge that expires at `ttl`, in Unix seconds. Refused, it was used before. A challenge
    /// that has expired is to be refused before this: the table may have forgotten its solution.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn use_up(self, nonce: PersonId, ttl: i64) -> Result<Outcome, StoreError> {
        let mut item = solution_key(nonce).attributes();
        item.insert(TTL.to_owned(), number(ttl));
        Ok(self.0.put_if(item, Condition::absent()).await?.plain())
    }

    /// One that is not in use: none is waiting for its time, or nothing is known of it.
    fn start(self, key: &ItemKey, limit: Limit, now_us: u64) -> UpdateItemFluentBuilder {
        self.update(
            key,
            limit,
            now_us,
            "SET tat = :tat, #ttl = :ttl",
            "attribute_not_exists(tat) OR tat < :now",
        )
        .expression_attribute_values(":tat", number(now_us.saturating_add(limit.cost_us())))
    }

    /// One that is in use, and not used up.
    fn queue(self, key: &ItemKey, limit: Limit, now_us: u64) -> UpdateItemFluentBuilder {
        self.update(key, limit, now_us, "SET tat = tat + :cost, #ttl = :ttl", "tat BETWEEN :now AND :latest")
            .expression_attribute_values(":cost", number(limit.cost_us()))
            .expression_attribute_values(":latest", number(limit.latest_us(now_us)))
    }

    fn update(
        self,
        key: &ItemKey,
        limit: Limit,
        now_us: u64,
        update: &str,
        condition: &str,
    ) -> UpdateItemFluentBuilder {
        self.0
            .update(key, condition)
            .update_expression(update)
            .expression_attribute_names("#ttl", TTL)
            .expression_attribute_values(":ttl", number(limit.forgotten(now_us)))
            .expression_attribute_values(":now", number(now_us))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
    }
}

/// The arrival time of an item. One that cannot be read is none: its limit begins anew.
fn arrival(item: &Item) -> u64 {
    parsed(item, ARRIVAL).unwrap_or_default()
}
