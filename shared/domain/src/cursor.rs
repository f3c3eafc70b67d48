//! How far a shard of a waitlist has been told, and the steps by which that moves: open, claim,
//! answer, refuse, settle. Every step gives a whole new cursor; the table keeps it by one
//! conditional write on the token, so of two workers one loses, and who loses must not send.
//!
//! An entry is consumed exactly when its position is at or below `committed` and it is not among
//! the few that SES throttled and that are owed a mail still.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Position, RestockId};

/// The most recipients of one `SendBulkEmail` call (an SES limit).
pub const MAX_CALL: usize = 50;

/// Whose fate a crash leaves open: the setting `ON_UNKNOWN`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnknown {
    /// Send the call in doubt again: nobody is missed, at most one call's recipients per crash
    /// and shard may get it twice.
    #[default]
    Resend,
    /// Pass it: nobody gets it twice, at most one call's recipients per crash and shard may be
    /// missed, and they are written down.
    Skip,
}

impl std::str::FromStr for OnUnknown {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "resend" => Ok(Self::Resend),
            "skip" => Ok(Self::Skip),
            _ => Err("resend or skip"),
        }
    }
}

/// A call to SES that was announced and whose answer is not written down yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flight {
    /// Its last new entry: it tells those in `(committed, through]`, and `retried`.
    pub through: Position,
    /// Entries of earlier calls, throttled then, that it tells as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retried: Vec<Position>,
    /// How many recipients it has.
    pub count: u32,
    /// When it was announced, in Unix milliseconds.
    pub since_ms: u64,
}

/// What came of the entries of a shard in one restock.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// The restock.
    pub restock_id: RestockId,
    /// Taken by SES.
    pub sent: u64,
    /// Refused by SES for good, or not readable; each is written down.
    pub failed: u64,
    /// Passed without a mail (expired, or passed by [`OnUnknown::Skip`]).
    pub skipped: u64,
    /// In calls whose answer was lost.
    pub in_doubt: u64,
}

impl Tally {
    /// Nothing yet.
    pub fn new(restock_id: RestockId) -> Self {
        Self { restock_id, sent: 0, failed: 0, skipped: 0, in_doubt: 0 }
    }
}

/// A shard's cursor.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cursor {
    /// Everybody at or below was told, refused for good, or is in `carried`.
    pub committed: Position,
    /// Entries at or below `committed` that SES throttled: told first by the next call.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub carried: Vec<Position>,
    /// The call in flight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub flight: Option<Flight>,
    /// How often SES has failed each of those carried by itself, without a throttle.
    /// Boxed and mostly absent: every step copies the cursor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tries: Option<Box<BTreeMap<Position, u32>>>,
    /// The count for the restock that was last told here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tally: Option<Tally>,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { committed: Position::START, carried: Vec::new(), flight: None, tries: None, tally: None }
    }
}

/// What a worker finds that opens a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Opened {
    /// No call is in flight: go on.
    Free,
    /// Another worker's call may still be under way until then (Unix milliseconds).
    Busy {
        /// When it certainly is not any more.
        until_ms: u64,
    },
    /// A call was announced and its worker is gone: [`Cursor::settle`] it.
    InDoubt(Flight),
}

/// What SES said of the recipients of a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// How many it took.
    pub accepted: u64,
    /// How many it refused for good.
    pub rejected: u64,
    /// How many of its range got no mail at all: they have expired.
    pub skipped: u64,
    /// Those to try again.
    pub again: Vec<Position>,
    /// Those among them who were tried in vain, for whatever is their own.
    pub vain: Vec<Position>,
}

impl Cursor {
    /// Whether the entry at `position` has had its turn.
    pub fn is_consumed(&self, position: Position) -> bool {
        let owed = |list: &[Position]| list.contains(&position);
        let in_flight = self.flight.as_ref().is_some_and(|flight| owed(&flight.retried));
        position <= self.committed && !owed(&self.carried) && !in_flight
    }

    /// How often SES has failed this one of those carried.
    pub fn tries_of(&self, position: Position) -> u32 {
        self.tries.as_ref().and_then(|tries| tries.get(&position)).copied().unwrap_or_default()
    }

    /// What there is to do for somebody who takes the shard over at `now_ms`. `limit_ms` is the
    /// longest a call can take from its announcement to its end, with all clocks' differences.
    pub fn open(&self, now_ms: u64, limit_ms: u64) -> Opened {
        match &self.flight {
            None => Opened::Free,
            Some(flight) => {
                let until_ms = flight.since_ms.saturating_add(limit_ms);
                if now_ms < until_ms { Opened::Busy { until_ms } } else { Opened::InDoubt(flight.clone()) }
            }
        }
    }

    /// The cursor once the call in doubt is settled. With [`OnUnknown::Skip`] its recipients must
    /// have been written down as passed before.
    #[must_use]
    pub fn settle(&self, choice: OnUnknown) -> Self {
        let mut next = self.clone();
        let Some(flight) = next.flight.take() else { return next };
        match choice {
            OnUnknown::Resend => next.carried.extend(flight.retried),
            OnUnknown::Skip => next.committed = next.committed.max(flight.through),
        }
        if let Some(tally) = &mut next.tally {
            tally.in_doubt += u64::from(flight.count);
            if choice == OnUnknown::Skip {
                tally.skipped += u64::from(flight.count);
            }
        }
        next
    }

    /// The cursor that counts for `tally.restock_id` from here on.
    #[must_use]
    pub fn counting(&self, tally: Tally) -> Self {
        Self { tally: Some(tally), ..self.clone() }
    }

    /// Announces a call: the `retried` first of those carried, and the new entries up to
    /// `through` (`None`: no new ones). It must be written before the call is made, and only if
    /// nobody else wrote since.
    #[must_use]
    pub fn claim(&self, retried: usize, through: Option<Position>, count: u32, now_ms: u64) -> Self {
        let mut next = self.clone();
        let rest = next.carried.split_off(retried.min(next.carried.len()));
        let retried = std::mem::replace(&mut next.carried, rest);
        next.flight = Some(Flight {
            through: through.unwrap_or(self.committed).max(self.committed),
            retried,
            count,
            since_ms: now_ms,
        });
        next
    }

    /// The cursor after SES answered the call in flight. It is written with the next claim or
    /// with the release, whichever comes first.
    #[must_use]
    pub fn answered(&self, answer: Answer) -> Self {
        let mut next = self.clone();
        let Some(flight) = next.flight.take() else { return next };
        next.committed = next.committed.max(flight.through);
        let mut carried = answer.again;
        carried.append(&mut next.carried);
        next.carried = carried;
        // Seldom: most calls fail nobody.
        if !answer.vain.is_empty() || next.tries.is_some() {
            let mut tries = next.tries.take().unwrap_or_default();
            for position in answer.vain {
                *tries.entry(position).or_default() += 1;
            }
            tries.retain(|position, _| next.carried.contains(position));
            next.tries = Some(tries).filter(|tries| !tries.is_empty());
        }
        if let Some(tally) = &mut next.tally {
            tally.sent += answer.accepted;
            tally.failed += answer.rejected;
            tally.skipped += answer.skipped;
        }
        next
    }

    /// The cursor after SES refused the whole call, so that nobody of it was told: nothing is
    /// consumed.
    #[must_use]
    pub fn refused(&self) -> Self {
        let mut next = self.clone();
        let Some(flight) = next.flight.take() else { return next };
        let mut carried = flight.retried;
        carried.append(&mut next.carried);
        next.carried = carried;
        next
    }

    /// The cursor past entries that get no mail (they have expired).
    #[must_use]
    pub fn passed(&self, through: Position, count: u64) -> Self {
        let mut next = self.clone();
        next.committed = next.committed.max(through);
        if let Some(tally) = &mut next.tally {
            tally.skipped += count;
        }
        next
    }

    /// The cursor with these of those carried after all others.
    #[must_use]
    pub fn putting_last(&self, last: &[Position]) -> Self {
        let mut next = self.clone();
        next.carried.sort_by_key(|position| last.contains(position));
        next
    }

    /// The cursor where `count` more entries are written down as failed without a call: they cannot be read.
    #[must_use]
    pub fn failing(&self, count: u64) -> Self {
        let mut next = self.clone();
        if let Some(tally) = &mut next.tally {
            tally.failed += count;
        }
        next
    }

    /// The cursor without those carried who are `gone`: they no longer wait.
    #[must_use]
    pub fn forgetting(&self, gone: &[Position]) -> Self {
        let mut next = self.clone();
        next.carried.retain(|position| !gone.contains(position));
        next
    }

    /// Whether nobody up to `bound` is owed a mail, given the last entry of the shard.
    pub fn is_done(&self, last: Option<Position>, bound: Position) -> bool {
        let someone = last.is_some_and(|last| last.min(bound) > self.committed);
        !someone && self.carried.is_empty() && self.flight.is_none()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    fn at(n: u64) -> Position {
        Position::new(n, 0)
    }

    fn counting() -> Cursor {
        Cursor::default().counting(Tally::new(RestockId::parse("r").unwrap()))
    }

    #[test]
    fn a_call_commits_all_but_the_throttled_and_they_go_first_in_the_next() {
        let cursor = counting().claim(0, Some(at(3)), 3, 1_000);
        let cursor = cursor.answered(Answer {
            accepted: 1,
            rejected: 1,
            skipped: 0,
            again: vec![at(2)],
            vain: vec![],
        });
        assert_eq!((cursor.committed, cursor.carried.clone()), (at(3), vec![at(2)]));
        assert!(cursor.is_consumed(at(1)) && !cursor.is_consumed(at(2)));
        let cursor = cursor.claim(1, Some(at(5)), 3, 2_000);
        assert_eq!(cursor.flight.clone().unwrap().retried, [at(2)]);
        assert!(!cursor.is_consumed(at(2)), "it is owed its mail until the answer");
        let cursor = cursor.answered(Answer { accepted: 3, ..Answer::default() });
        assert!(cursor.is_done(Some(at(5)), at(9)));
        let tally = cursor.tally.unwrap();
        assert_eq!((tally.sent, tally.failed), (4, 1));
    }

    #[test]
    fn a_refused_call_consumes_nobody() {
        let before = Cursor { carried: vec![at(1), at(2)], committed: at(4), ..counting() };
        assert_eq!(before.claim(1, Some(at(6)), 3, 1_000).refused(), before);
    }

    #[test]
    fn a_call_in_flight_is_left_alone_until_it_cannot_be_under_way() {
        let cursor = counting().claim(0, Some(at(3)), 3, 1_000);
        assert_eq!(cursor.open(10_999, 10_000), Opened::Busy { until_ms: 11_000 });
        assert_eq!(cursor.open(11_000, 10_000), Opened::InDoubt(cursor.flight.clone().unwrap()));
        assert_eq!(counting().open(0, 10_000), Opened::Free);
    }

    #[test]
    fn a_call_in_doubt_is_sent_again_or_passed_as_the_setting_says_and_counted() {
        let before = Cursor { carried: vec![at(1)], committed: at(4), ..counting() };
        let flying = before.claim(1, Some(at(6)), 3, 1_000);
        let again = flying.settle(OnUnknown::Resend);
        assert_eq!((again.committed, again.carried.clone()), (at(4), vec![at(1)]));
        let passed = flying.settle(OnUnknown::Skip);
        assert_eq!((passed.committed, passed.carried.clone()), (at(6), vec![]));
        assert_eq!(again.tally.unwrap().in_doubt, 3);
        assert_eq!(passed.tally.unwrap().skipped, 3);
    }

    proptest! {
        /// Any course of calls, answers, refusals and crashes tells everybody, in doubt or not,
        /// and nobody twice but those in doubt.
        #[test]
        fn everybody_is_told_and_only_those_in_doubt_twice(
            course in prop::collection::vec((1usize..6, 0u8..4, any::<u8>()), 1..60),
        ) {
            let everybody: Vec<Position> = (1..=40).map(at).collect();
            let mut told: BTreeMap<Position, u32> = BTreeMap::new();
            let mut doubted: BTreeSet<Position> = BTreeSet::new();
            let mut cursor = counting();
            // After the drawn course, everything works until the end.
            for (size, fate, bits) in course.into_iter().chain(std::iter::repeat_n((5, 0, 0), 20)) {
                let retried = cursor.carried.len().min(size);
                let new: Vec<Position> = everybody.iter().copied()
                    .filter(|p| *p > cursor.committed).take(size - retried).collect();
                let call: Vec<Position> = cursor.carried[..retried].iter().chain(&new).copied().collect();
                if call.is_empty() { break; }
                let flying = cursor.claim(retried, new.last().copied(), call.len() as u32, 0);
                cursor = match fate {
                    1 => flying.refused(),
                    2 => {
                        // Killed: whether SES got the call is open.
                        if bits % 2 == 0 { for p in &call { *told.entry(*p).or_default() += 1; } }
                        doubted.extend(&call);
                        prop_assert!(matches!(flying.open(10, 5), Opened::InDoubt(_)));
                        flying.settle(OnUnknown::Resend)
                    }
                    _ => {
                        let (again, accepted): (Vec<Position>, Vec<Position>) = call.iter().copied()
                            .enumerate()
                            .fold((vec![], vec![]), |(mut a, mut b), (i, p)| {
                                if fate == 3 && bits & (1 << (i % 8)) != 0 { a.push(p) } else { b.push(p) }
                                (a, b)
                            });
                        for p in &accepted { *told.entry(*p).or_default() += 1; }
                        flying.answered(Answer { accepted: accepted.len() as u64, again, ..Answer::default() })
                    }
                };
                for p in &everybody {
                    let is_told = told.contains_key(p);
                    prop_assert!(!cursor.is_consumed(*p) || is_told, "{p} is consumed and was not told");
                }
            }
            prop_assert!(cursor.is_done(everybody.last().copied(), at(40)));
            for p in &everybody {
                let times = told.get(p).copied().unwrap_or_default();
                prop_assert!(times == 1 || (times > 1 && doubted.contains(p)), "{p} was told {times} times");
            }
        }
    }
}
