//! "Was this address told?", decided from what the table keeps: the subscription, the shard's cursor, the product, and
//! what the restocks that covered the place wrote down. There is no record for each recipient. Without clock or table.

use domain::cursor::{Availability, Cursor, Tally};
use domain::product::Product;
use domain::{Position, RestockId};
use jiff::Timestamp;
use notify::FLIGHT_LIMIT;
use store::fanout::FanOut;
use store::summary::{IN_DOUBT, Planned};

/// What is known.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) now: Timestamp,
    pub(super) at: Position,
    /// When the wait ends by itself, in Unix seconds.
    pub(super) ttl: i64,
    /// Whether the subscriber has to confirm it first.
    pub(super) pending: bool,
    /// Whether the waitlist still has the entry.
    pub(super) entry: bool,
    pub(super) cursor: Cursor,
    pub(super) product: Option<Product>,
    pub(super) open: Option<FanOut>,
    /// The restocks whose bound covers the place, in the order of their bounds.
    pub(super) covered_by: Vec<Covering>,
}

/// A restock that covers a place.
#[derive(Debug, Clone)]
pub(super) struct Covering {
    pub(super) planned: Planned,
    /// What it counted in the shard.
    pub(super) tally: Option<Tally>,
    /// Why it could not tell this one, where it wrote that down.
    pub(super) failure: Option<String>,
}

/// The answer.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Asked, and has not confirmed it.
    Pending,
    /// Waits; the product's next restock tells them.
    Waiting,
    /// Covered by a fan-out under way, and not reached yet.
    BeingTold { restock: RestockId, throttled: bool },
    /// In a call to SES.
    InFlight { since: Timestamp },
    /// In a call whose answer never came, or passed for that reason.
    InDoubt { restock: Option<RestockId> },
    /// Refused by SES for good.
    Failed { restock: RestockId, reason: String },
    /// Had their turn in one of these restocks, the likeliest first; none: it is not written down any more.
    Told { by: Vec<RestockId>, maybe_twice: bool },
    /// Waited for too long.
    Expired,
}

impl Facts {
    pub(super) fn verdict(&self) -> Verdict {
        // Without an entry no restock concerns it, wherever the cursor is.
        match self.pending {
            true if self.ttl <= self.now.as_second() => Verdict::Expired,
            true => Verdict::Pending,
            false if self.cursor.is_consumed(self.at) => self.consumed(),
            false => self.waiting(),
        }
    }

    fn consumed(&self) -> Verdict {
        let failed = self.covered_by.iter().find_map(|covering| Some((covering, covering.failure.as_ref()?)));
        if let Some((covering, reason)) = failed {
            let restock = covering.planned.restock_id.clone();
            return match reason.as_str() {
                IN_DOUBT => Verdict::InDoubt { restock: Some(restock) },
                _ => Verdict::Failed { restock, reason: reason.clone() },
            };
        }
        let ended_by = |planned: &Planned| self.ttl <= planned.planned_at.as_second();
        if self.covered_by.first().is_some_and(|first| ended_by(&first.planned)) {
            return Verdict::Expired;
        }
        // A restock that sent nothing in this shard notified no subscriber of it.
        let sent = |covering: &&Covering| covering.tally.as_ref().is_some_and(|tally| tally.sent > 0);
        let mut by: Vec<&Covering> = self.covered_by.iter().filter(sent).collect();
        if by.is_empty() {
            by = self.covered_by.iter().collect();
        }
        Verdict::Told {
            maybe_twice: by.iter().any(|by| by.tally.as_ref().is_some_and(|tally| tally.in_doubt > 0)),
            by: by.into_iter().map(|covering| covering.planned.restock_id.clone()).collect(),
        }
    }

    fn waiting(&self) -> Verdict {
        if let Some(flight) = &self.cursor.in_flight {
            let new = self.cursor.committed < self.at && self.at <= flight.through;
            if flight.retried.contains(&self.at) || (new && self.entry) {
                let in_doubt =
                    matches!(self.cursor.availability(self.now, FLIGHT_LIMIT), Availability::InDoubt(_));
                return if in_doubt {
                    let tally = self.cursor.tally.as_ref();
                    Verdict::InDoubt { restock: tally.map(|tally| tally.restock_id.clone()) }
                } else {
                    Verdict::InFlight { since: flight.since }
                };
            }
        }
        if !self.entry || self.ttl <= self.now.as_second() {
            return Verdict::Expired;
        }
        let sendable = self.product.as_ref().filter(|product| product.is_sendable());
        let reach = sendable.and_then(Product::reach);
        let is_told = |lane| reach.is_some_and(|reach| self.at <= reach.of(lane));
        match &self.open {
            Some(open) if is_told(open.job.shard.lane) && self.at <= open.job.bound => Verdict::BeingTold {
                restock: open.job.restock_id.clone(),
                throttled: self.cursor.pending_retries.contains(&self.at),
            },
            _ => Verdict::Waiting,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use domain::cursor::{Answer, OnUnknown};
    use domain::job::Job;
    use domain::rules;
    use domain::stock::{Place, Version};
    use domain::{ProductId, Shard};

    use super::*;

    const NOW_MS: u64 = 1_000_000;

    /// So many milliseconds before now.
    fn ago(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(NOW_MS as i64 - ms).unwrap()
    }

    fn at(n: u64) -> Position {
        Position::new(n, 0)
    }

    fn restock(id: &str) -> RestockId {
        RestockId::parse(id).unwrap()
    }

    fn product(quantity: u64) -> Product {
        Product {
            quantity: Some(quantity),
            version: Version::following(None, Place { partition: 0, offset: 0 }),
            restock_id: restock("r"),
            recent: vec![],
            bound: Some(at(50)),
            bound_of: Some(restock("r")),
            planned: None,
            product: None,
            availability: rules::Availability::InStock,
            rules: None,
            own_rules: None,
            variant: None,
            variants: vec![],
            turn: 1,
            wave: None,
            farthest: None,
            due: None,
        }
    }

    fn open() -> FanOut {
        let product_id = ProductId::parse("p").unwrap();
        let job = Job {
            restock_id: restock("r"),
            product_id,
            shard: Shard::mail(0),
            bound: at(50),
            turn: 1,
            ticket: None,
        };
        FanOut { job, moved_at: Timestamp::UNIX_EPOCH }
    }

    fn covering(id: &str, sent: u64, in_doubt: u64, failure: Option<&str>) -> Covering {
        let planned = Planned {
            restock_id: restock(id),
            product_id: ProductId::parse("p").unwrap(),
            bound: Some(at(50)),
            shard_count: 1,
            priority_shard_count: None,
            shards: vec![Shard::mail(0)],
            planned_at: Timestamp::from_second(900).unwrap(),
        };
        let tally = Tally { sent, in_doubt, ..Tally::new(restock(id)) };
        Covering { planned, tally: Some(tally), failure: failure.map(str::to_owned) }
    }

    /// A subscriber at 10, with a cursor that counts for the restock `r` from the start.
    fn facts() -> Facts {
        Facts {
            now: Timestamp::from_millisecond(1_000_000).unwrap(),
            at: at(10),
            ttl: 2_000,
            pending: false,
            entry: true,
            cursor: Cursor::default().switch_tally_to(Tally::new(restock("r"))),
            product: None,
            open: None,
            covered_by: vec![],
        }
    }

    #[test]
    fn who_is_not_covered_or_whose_product_sold_out_waits() {
        assert_eq!(facts().verdict(), Verdict::Waiting);
        let uncovered = Facts { at: at(51), product: Some(product(5)), open: Some(open()), ..facts() };
        assert_eq!(uncovered.verdict(), Verdict::Waiting);
        let sold_out = Facts { product: Some(product(0)), open: Some(open()), ..facts() };
        assert_eq!(sold_out.verdict(), Verdict::Waiting);
    }

    #[test]
    fn who_has_not_confirmed_is_pending_until_that_has_expired_whatever_was_delivered_meanwhile() {
        let mut asked = Facts { pending: true, entry: false, ..facts() };
        assert_eq!(asked.verdict(), Verdict::Pending);
        asked.cursor = asked.cursor.pass(at(20), 0);
        assert_eq!(asked.verdict(), Verdict::Pending);
        assert_eq!(Facts { ttl: 1_000, ..asked }.verdict(), Verdict::Expired);
    }

    #[test]
    fn who_is_covered_by_a_fan_out_under_way_is_being_told_also_when_ses_throttled_them() {
        let mut facts = Facts { product: Some(product(5)), open: Some(open()), ..facts() };
        assert_eq!(facts.verdict(), Verdict::BeingTold { restock: restock("r"), throttled: false });
        let again = Answer { retry: vec![at(10)], ..Answer::default() };
        facts.cursor = facts.cursor.announce(0, Some(at(20)), 2, ago(0)).commit(again);
        assert_eq!(facts.verdict(), Verdict::BeingTold { restock: restock("r"), throttled: true });
    }

    #[test]
    fn who_is_in_a_call_is_in_flight_and_in_doubt_once_no_call_takes_that_long() {
        let mut facts = facts();
        facts.cursor = facts.cursor.announce(0, Some(at(20)), 2, ago(5_000));
        assert_eq!(facts.verdict(), Verdict::InFlight { since: ago(5_000) });
        let after = Facts { at: at(21), ..facts };
        assert_eq!(after.verdict(), Verdict::Waiting, "the call is for those before");
        let mut facts = super::tests::facts();
        // The very moment from which a worker settles it.
        let limit_ms = i64::try_from(FLIGHT_LIMIT.as_millis()).unwrap();
        facts.cursor = facts.cursor.announce(0, Some(at(20)), 2, ago(limit_ms - 1));
        assert!(matches!(facts.cursor.availability(ago(0), FLIGHT_LIMIT), Availability::Busy { .. }));
        assert!(matches!(facts.verdict(), Verdict::InFlight { .. }));
        let mut facts = super::tests::facts();
        facts.cursor = facts.cursor.announce(0, Some(at(20)), 2, ago(limit_ms));
        assert!(matches!(facts.cursor.availability(ago(0), FLIGHT_LIMIT), Availability::InDoubt(_)));
        assert_eq!(facts.verdict(), Verdict::InDoubt { restock: Some(restock("r")) });
    }

    #[test]
    fn who_had_their_turn_was_told_by_the_restocks_that_sent_in_their_shard() {
        let mut facts = facts();
        facts.cursor = facts.cursor.pass(at(20), 0);
        facts.covered_by = vec![covering("sold-out", 0, 0, None), covering("r", 9, 0, None)];
        assert_eq!(facts.verdict(), Verdict::Told { by: vec![restock("r")], maybe_twice: false });
        facts.covered_by = vec![covering("r", 9, 4, None), covering("s", 1, 0, None)];
        assert_eq!(
            facts.verdict(),
            Verdict::Told { by: vec![restock("r"), restock("s")], maybe_twice: true }
        );
        facts.covered_by = vec![];
        assert_eq!(facts.verdict(), Verdict::Told { by: vec![], maybe_twice: false });
    }

    #[test]
    fn who_was_refused_or_passed_in_doubt_is_written_down_and_not_told() {
        let mut facts = facts();
        facts.cursor = facts.cursor.announce(0, Some(at(20)), 2, ago(0)).resolve_in_doubt(OnUnknown::Skip);
        facts.covered_by = vec![covering("q", 3, 0, None), covering("r", 9, 2, Some("IN_DOUBT"))];
        assert_eq!(facts.verdict(), Verdict::InDoubt { restock: Some(restock("r")) });
        facts.covered_by = vec![covering("r", 9, 0, Some("MESSAGE_REJECTED"))];
        let reason = "MESSAGE_REJECTED".to_owned();
        assert_eq!(facts.verdict(), Verdict::Failed { restock: restock("r"), reason });
    }

    #[test]
    fn who_waited_for_too_long_has_expired_before_or_after_the_cursor_passed_them() {
        assert_eq!(Facts { ttl: 1_000, ..facts() }.verdict(), Verdict::Expired);
        assert_eq!(Facts { entry: false, ..facts() }.verdict(), Verdict::Expired);
        let mut passed = Facts { ttl: 900, covered_by: vec![covering("r", 9, 0, None)], ..facts() };
        passed.cursor = passed.cursor.pass(at(20), 1);
        assert_eq!(passed.verdict(), Verdict::Expired);
    }
}
