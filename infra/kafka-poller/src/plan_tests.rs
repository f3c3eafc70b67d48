//! The plan against a function that fails at will: nothing is skipped, nothing is reordered,
//! and records are given up exactly when the limits say so.
#![expect(clippy::panic, reason = "tests fail by panicking")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::batch::Limits;
use super::plan::{Next, Outcome, Plan, Reason, Rules, Settled};
use super::record::{Record, TimestampType};

const NOW_MS: i64 = 1_700_000_000_000;

fn record(offset: i64) -> Record {
    Record {
        topic: Arc::from("t"),
        partition: 0,
        offset,
        timestamp: NOW_MS,
        timestamp_type: TimestampType::CreateTime,
        key: None,
        value: Some(vec![b'v'; 10]),
        headers: vec![],
    }
}

fn rules(records: usize) -> Rules {
    Rules {
        limits: Limits { records, window: Duration::from_millis(500), payload: 1_000_000, overhead: 80 },
        bisect: false,
        maximum_retry_attempts: None,
        maximum_record_age: None,
    }
}

fn plan_of(rules: Rules, offsets: impl IntoIterator<Item = i64>, now: Instant) -> Plan {
    let mut plan = Plan::new(rules);
    for offset in offsets {
        plan.push(record(offset), now);
    }
    plan
}

fn invoked(plan: &mut Plan, now: Instant) -> Vec<i64> {
    match plan.next(now, NOW_MS) {
        Next::Invoke(records) => records.iter().map(|record| record.offset).collect(),
        other => panic!("expected an invocation, not {other:?}"),
    }
}

fn given_up(plan: &mut Plan, now: Instant) -> (Vec<i64>, Reason, u32) {
    match plan.next(now, NOW_MS) {
        Next::Discard(discarded) => (
            discarded.records.iter().map(|record| record.offset).collect(),
            discarded.reason,
            discarded.failures,
        ),
        other => panic!("expected records to be given up, not {other:?}"),
    }
}

#[test]
fn a_batch_waits_for_its_window_unless_it_is_full() {
    let start = Instant::now();
    let mut plan = plan_of(rules(3), [0, 1], start);
    let closes = start + Duration::from_millis(500);
    assert_eq!(plan.next(start, NOW_MS), Next::Wait(Some(closes)));
    plan.push(record(2), start + Duration::from_millis(400));
    plan.push(record(3), start + Duration::from_millis(400));
    assert_eq!(invoked(&mut plan, start + Duration::from_millis(400)), [0, 1, 2]);
    plan.settle(Outcome::Succeeded);
    assert_eq!(
        plan.next(start + Duration::from_millis(600), NOW_MS),
        Next::Wait(Some(start + Duration::from_millis(900)))
    );
    assert_eq!(invoked(&mut plan, start + Duration::from_millis(900)), [3]);
}

#[test]
fn a_batch_ends_before_the_record_that_would_make_its_event_too_large() {
    let now = Instant::now();
    let one = record(0).encoded_len();
    let mut rules = rules(100);
    rules.limits.payload = rules.limits.overhead + 2 * one + 1;
    let mut plan = plan_of(rules, 0..5, now);
    assert_eq!(invoked(&mut plan, now), [0, 1]);
    plan.settle(Outcome::Succeeded);
    assert_eq!(invoked(&mut plan, now), [2, 3]);
}

#[test]
fn a_record_too_large_for_any_event_is_given_up_in_its_turn() {
    let now = Instant::now();
    let mut rules = rules(100);
    rules.limits.payload = rules.limits.overhead + 2 * record(0).encoded_len() + 1;
    let mut plan = plan_of(rules, [0], now);
    plan.push(Record { value: Some(vec![0; 1000]), ..record(1) }, now);
    plan.push(record(2), now);
    assert_eq!(invoked(&mut plan, now), [0]);
    plan.settle(Outcome::Succeeded);
    assert_eq!(given_up(&mut plan, now), (vec![1], Reason::PayloadTooLarge, 0));
    assert_eq!(plan.position(), Some(1));
    plan.discarded();
    assert_eq!(plan.position(), Some(2));
    assert_eq!(invoked(&mut plan, now + Duration::from_secs(1)), [2]);
}

#[test]
fn a_failed_batch_comes_again_whole_and_for_ever_by_default() {
    let now = Instant::now();
    let mut plan = plan_of(rules(3), 0..6, now);
    for attempt in 1..1000 {
        assert_eq!(invoked(&mut plan, now), [0, 1, 2]);
        assert_eq!(plan.settle(Outcome::Failed), Settled::Retry { failures: attempt });
        assert_eq!(plan.position(), Some(0));
    }
}

#[test]
fn a_partial_failure_commits_what_is_below_it_and_starts_again_there() {
    let now = Instant::now();
    let mut plan = plan_of(rules(4), 0..4, now);
    invoked(&mut plan, now);
    assert_eq!(plan.settle(Outcome::FailedFrom(2)), Settled::Retry { failures: 1 });
    assert_eq!(plan.position(), Some(2));
    assert_eq!(invoked(&mut plan, now), [2, 3]);
}

#[test]
fn attempts_count_after_the_first_and_the_whole_batch_is_given_up() {
    let now = Instant::now();
    let mut plan = plan_of(Rules { maximum_retry_attempts: Some(2), ..rules(3) }, 0..6, now);
    for _ in 0..3 {
        assert_eq!(invoked(&mut plan, now), [0, 1, 2]);
        plan.settle(Outcome::Failed);
    }
    assert_eq!(given_up(&mut plan, now), (vec![0, 1, 2], Reason::RetryAttemptsExhausted, 3));
    plan.discarded();
    assert_eq!(invoked(&mut plan, now), [3, 4, 5]);
}

#[test]
fn halving_finds_the_one_record_and_costs_no_attempts() {
    let now = Instant::now();
    let rules = Rules { bisect: true, maximum_retry_attempts: Some(0), ..rules(8) };
    let mut plan = plan_of(rules, 0..8, now);
    let (mut done, mut lost) = (vec![], vec![]);
    loop {
        match plan.next(now, NOW_MS) {
            Next::Invoke(records) => {
                let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
                let fails = offsets.contains(&5);
                if !fails {
                    done.extend(offsets);
                }
                plan.settle(if fails { Outcome::Failed } else { Outcome::Succeeded });
            }
            Next::Discard(discarded) => {
                lost.extend(discarded.records.iter().map(|record| record.offset));
                plan.discarded();
            }
            Next::Wait(_) => break,
        }
    }
    assert_eq!((done, lost), (vec![0, 1, 2, 3, 4, 6, 7], vec![5]));
}

#[test]
fn only_records_past_the_age_are_given_up_and_those_without_a_timestamp_never() {
    let now = Instant::now();
    let age = Duration::from_secs(60);
    let mut plan = Plan::new(Rules { maximum_record_age: Some(age), ..rules(4) });
    for (offset, timestamp) in [(0, NOW_MS - 60_000), (1, NOW_MS - 60_001), (2, -1), (3, NOW_MS - 90_000)] {
        plan.push(Record { timestamp, ..record(offset) }, now);
    }
    assert_eq!(given_up(&mut plan, now), (vec![1, 3], Reason::RecordAgeExceeded, 0));
    assert_eq!(plan.position(), Some(0));
    plan.discarded();
    assert_eq!(invoked(&mut plan, now), [0, 2]);
}

/// How the function of a property test answers one invocation.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Succeed,
    Fail,
    FailAt(usize),
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        3 => Just(Answer::Succeed),
        2 => Just(Answer::Fail),
        2 => (0_usize..12).prop_map(Answer::FailAt),
    ]
}

proptest! {
    #[test]
    fn nothing_is_skipped_or_reordered_and_all_ends_done_or_given_up(
        gaps in proptest::collection::vec(1_i64..4, 1..40),
        sizes in proptest::collection::vec(0_usize..120, 40),
        ages in proptest::collection::vec(prop_oneof![4 => 0_i64..50_000, 1 => 60_001_i64..90_000], 40),
        answers in proptest::collection::vec(answer(), 0..120),
        batch_size in 1_usize..12,
        room in 150_usize..600,
        bisect in any::<bool>(),
        attempts in proptest::option::of(0_u32..4),
        aged in any::<bool>(),
    ) {
        let now = Instant::now();
        let mut rules = Rules {
            bisect,
            maximum_retry_attempts: attempts,
            maximum_record_age: aged.then(|| Duration::from_secs(60)),
            ..rules(batch_size)
        };
        rules.limits.payload = rules.limits.overhead + room;
        let mut plan = Plan::new(rules);
        let mut offset = 0;
        let mut all = BTreeMap::new();
        for (index, gap) in gaps.iter().enumerate() {
            offset += gap;
            let record = Record {
                timestamp: NOW_MS - ages[index],
                value: Some(vec![0; sizes[index]]),
                ..record(offset)
            };
            all.insert(offset, record.clone());
            plan.push(record, now);
        }
        let weight: usize = all.values().map(Record::weight).sum();
        prop_assert_eq!(plan.weight(), weight);

        let late = now + Duration::from_secs(1);
        let mut answers = answers.into_iter();
        let (mut done, mut lost) = (BTreeSet::new(), BTreeMap::new());
        // Failures in a row of a batch that began at this record.
        let mut failures: BTreeMap<i64, u32> = BTreeMap::new();
        let mut steps = 0;
        loop {
            steps += 1;
            prop_assert!(steps < 10_000, "the plan does not come to rest");
            let before = plan.position();
            match plan.next(late, NOW_MS) {
                Next::Wait(_) => break,
                Next::Invoke(records) => {
                    let offsets: Vec<i64> = records.iter().map(|record| record.offset).collect();
                    prop_assert!(offsets.len() <= batch_size);
                    prop_assert!(offsets.is_sorted());
                    let bytes: usize = records.iter().map(Record::encoded_len).sum();
                    prop_assert!(bytes + offsets.len() - 1 <= room);
                    // It is exactly what follows: the lowest that is not done, and no holes.
                    let open: Vec<i64> = all.keys().copied()
                        .filter(|offset| !done.contains(offset) && !lost.contains_key(offset))
                        .take(offsets.len()).collect();
                    prop_assert_eq!(&offsets, &open);
                    if aged {
                        prop_assert!(records.iter().all(|record| record.timestamp >= NOW_MS - 60_000));
                    }
                    let outcome = match answers.next().unwrap_or(Answer::Succeed) {
                        Answer::Succeed => Outcome::Succeeded,
                        Answer::Fail => Outcome::Failed,
                        Answer::FailAt(index) => Outcome::FailedFrom(offsets[index % offsets.len()]),
                    };
                    match outcome {
                        Outcome::Succeeded => done.extend(offsets.iter().copied()),
                        Outcome::Failed => {}
                        Outcome::FailedFrom(from) => {
                            done.extend(offsets.iter().copied().filter(|offset| *offset < from));
                        }
                    }
                    let settled = plan.settle(outcome);
                    if let Settled::Retry { failures: counted } = settled {
                        prop_assert!(attempts.is_none_or(|most| counted <= most));
                        let first = match outcome { Outcome::FailedFrom(from) => from, _ => offsets[0] };
                        let seen = failures.entry(first).or_default();
                        *seen += 1;
                        prop_assert!(counted <= *seen);
                    }
                    if settled == Settled::Halved {
                        prop_assert!(bisect && offsets.len() > 1);
                    }
                }
                Next::Discard(discarded) => {
                    for record in &discarded.records {
                        match discarded.reason {
                            Reason::RecordAgeExceeded =>
                                prop_assert!(aged && record.timestamp < NOW_MS - 60_000),
                            Reason::PayloadTooLarge => prop_assert!(record.encoded_len() > room),
                            Reason::RetryAttemptsExhausted => {
                                prop_assert_eq!(Some(discarded.failures), attempts.map(|most| most + 1));
                            }
                        }
                        prop_assert!(!done.contains(&record.offset));
                        prop_assert_eq!(lost.insert(record.offset, discarded.reason), None);
                    }
                    plan.discarded();
                }
            }
            // The position never moves back, and never past something that is not done.
            let position = plan.position();
            prop_assert!(position >= before);
            let open = all.keys().find(|offset| !done.contains(offset) && !lost.contains_key(offset));
            prop_assert_eq!(position, open.copied().or(Some(offset + 1)));
        }
        prop_assert_eq!(done.len() + lost.len(), all.len());
        prop_assert_eq!(plan.weight(), 0);
        for (offset, record) in &all {
            let aged_out = aged && record.timestamp < NOW_MS - 60_000;
            let too_large = record.encoded_len() > room;
            if aged_out || too_large {
                prop_assert!(lost.contains_key(offset));
            } else if attempts.is_none() {
                prop_assert!(done.contains(offset), "given up without a limit");
            }
        }
    }
}
