#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TEN_SECONDS: Duration = Duration::from_secs(10);

fn ms(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(ms).unwrap()
}

fn at(n: u64) -> Position {
    Position::new(n, 0)
}

fn counted() -> Cursor {
    Cursor::default().switch_tally_to(Tally::new(RestockId::parse("r").unwrap()))
}

#[test]
fn a_call_commits_all_but_the_throttled_and_they_go_first_in_the_next() {
    let cursor = counted().announce(0, Some(at(3)), 3, ms(1_000));
    let cursor = cursor.commit(Answer {
        accepted: 1,
        rejected: 1,
        skipped: 0,
        retry: vec![at(2)],
        failed_tries: vec![],
    });
    assert_eq!((cursor.committed, cursor.pending_retries.clone()), (at(3), vec![at(2)]));
    assert!(cursor.is_consumed(at(1)) && !cursor.is_consumed(at(2)));
    let cursor = cursor.announce(1, Some(at(5)), 3, ms(2_000));
    assert_eq!(cursor.in_flight.clone().unwrap().retried, [at(2)]);
    assert!(!cursor.is_consumed(at(2)), "it is owed its mail until the answer");
    let cursor = cursor.commit(Answer { accepted: 3, ..Answer::default() });
    assert!(cursor.is_done(Some(at(5)), at(9)));
    let tally = cursor.tally.unwrap();
    assert_eq!((tally.sent, tally.failed), (4, 1));
}

#[test]
fn a_refused_call_consumes_nobody() {
    let before = Cursor { pending_retries: vec![at(1), at(2)], committed: at(4), ..counted() };
    assert_eq!(before.announce(1, Some(at(6)), 3, ms(1_000)).rollback(), before);
}

#[test]
fn a_call_in_flight_is_left_alone_until_it_cannot_be_under_way() {
    let cursor = counted().announce(0, Some(at(3)), 3, ms(1_000));
    assert_eq!(cursor.availability(ms(10_999), TEN_SECONDS), Availability::Busy { until: ms(11_000) });
    assert_eq!(
        cursor.availability(ms(11_000), TEN_SECONDS),
        Availability::InDoubt(cursor.in_flight.clone().unwrap())
    );
    assert_eq!(counted().availability(ms(0), TEN_SECONDS), Availability::Free);
}

#[test]
fn a_call_in_doubt_is_sent_again_or_passed_as_the_setting_says_and_counted() {
    let before = Cursor { pending_retries: vec![at(1)], committed: at(4), ..counted() };
    let flying = before.announce(1, Some(at(6)), 3, ms(1_000));
    let again = flying.resolve_in_doubt(OnUnknown::Resend);
    assert_eq!((again.committed, again.pending_retries.clone()), (at(4), vec![at(1)]));
    let passed = flying.resolve_in_doubt(OnUnknown::Skip);
    assert_eq!((passed.committed, passed.pending_retries.clone()), (at(6), vec![]));
    assert_eq!(again.tally.unwrap().in_doubt, 3);
    assert_eq!(passed.tally.unwrap().skipped, 3);
}

/// The next call of a fan-out to the entries 1 to 40: recipients that were in doubt before, or others.
fn next_call(cursor: &Cursor, size: usize) -> (usize, Vec<Position>) {
    let new = (1..=40).map(at).filter(|position| *position > cursor.committed);
    let queue: Vec<Position> = cursor.pending_retries.iter().copied().chain(new).take(size).collect();
    let doubted = queue.first().is_some_and(|first| cursor.was_in_doubt(*first));
    let alike = queue.iter().take_while(|position| cursor.was_in_doubt(**position) == doubted).count();
    (cursor.pending_retries.len().min(alike), queue[..alike].to_vec())
}

proptest! {
    /// Any course of calls, answers, refusals and crashes delivers every entry once, but those in doubt: they are sent twice at
    /// most, and passed only after two doubts.
    #[test]
    fn everybody_is_told_and_only_those_in_doubt_twice_or_not_at_all(
        course in prop::collection::vec((1usize..6, 0u8..4, any::<u8>()), 1..60),
    ) {
        let everybody: Vec<Position> = (1..=40).map(at).collect();
        let mut told: BTreeMap<Position, u32> = BTreeMap::new();
        let mut doubts: BTreeMap<Position, u32> = BTreeMap::new();
        let mut cursor = counted();
        // After the drawn course, everything works until the end.
        for (size, fate, bits) in course.into_iter().chain(std::iter::repeat_n((5, 0, 0), 60)) {
            let (retried, call) = next_call(&cursor, size);
            if call.is_empty() { break; }
            let last = call[retried..].last().copied();
            let flying = cursor.announce(retried, last, call.len() as u32, ms(0));
            cursor = match fate {
                1 => flying.rollback(),
                2 => {
                    // Killed: whether SES got the call is open.
                    if bits % 2 == 0 { for p in &call { *told.entry(*p).or_default() += 1; } }
                    for p in &call { *doubts.entry(*p).or_default() += 1; }
                    prop_assert!(matches!(flying.availability(ms(10), Duration::from_millis(5)), Availability::InDoubt(_)));
                    flying.resolve_in_doubt(OnUnknown::Resend)
                }
                _ => {
                    let (again, accepted): (Vec<Position>, Vec<Position>) = call.iter().copied()
                        .enumerate()
                        .fold((vec![], vec![]), |(mut a, mut b), (i, p)| {
                            if fate == 3 && bits & (1 << (i % 8)) != 0 { a.push(p) } else { b.push(p) }
                            (a, b)
                        });
                    for p in &accepted { *told.entry(*p).or_default() += 1; }
                    flying.commit(Answer { accepted: accepted.len() as u64, retry: again, ..Answer::default() })
                }
            };
            for p in &everybody {
                let (told, doubts) = (told.contains_key(p), doubts.get(p).copied().unwrap_or_default());
                prop_assert!(!cursor.is_consumed(*p) || told || doubts == 2, "{p} is consumed and was not told");
                prop_assert_eq!(cursor.was_in_doubt(*p), doubts == 1 && !cursor.is_consumed(*p), "{}", p);
            }
        }
        prop_assert!(cursor.is_done(everybody.last().copied(), at(40)) && cursor.doubted.is_none());
        for p in &everybody {
            let told = told.get(p).copied().unwrap_or_default();
            match doubts.get(p) {
                None => prop_assert_eq!(told, 1, "{} without a doubt", p),
                Some(1) => prop_assert!((1..=2).contains(&told), "{p} was told {told} times"),
                Some(doubts) => prop_assert!(*doubts == 2 && told <= 2, "{p} was told {told} times in {doubts} doubts"),
            }
        }
    }
}

/// Cursors of earlier releases lie in tables: their attributes keep their names.
#[test]
fn the_attributes_in_the_table_are_called_what_they_always_were() {
    let cursor = Cursor { pending_retries: vec![at(1), at(2)], ..counted() };
    let written = serde_json::to_value(cursor.announce(1, Some(at(6)), 3, ms(1_700_000_000_042))).unwrap();
    assert_eq!(
        written,
        serde_json::json!({
            "committed": Position::START,
            "carried": [at(2)],
            "flight": {"through": at(6), "retried": [at(1)], "count": 3, "sinceMs": 1_700_000_000_042_u64},
            "tally": {"restockId": "r", "sent": 0, "failed": 0, "skipped": 0, "inDoubt": 0},
        })
    );
}

#[test]
fn a_doubt_is_kept_in_the_table_and_a_cursor_without_one_is_read() {
    let before = Cursor { pending_retries: vec![at(1)], committed: at(4), ..counted() };
    let again = before.announce(1, Some(at(6)), 3, ms(1_000)).resolve_in_doubt(OnUnknown::Resend);
    let written = serde_json::to_value(&again).unwrap();
    assert_eq!(written["doubted"], serde_json::json!({"through": at(6), "retried": [at(1)]}));
    assert_eq!(serde_json::from_value::<Cursor>(written).unwrap(), again);
    let plain = serde_json::to_value(&before).unwrap();
    assert!(plain.get("doubted").is_none());
    assert_eq!(serde_json::from_value::<Cursor>(plain).unwrap(), before);
}

#[test]
fn a_call_in_doubt_for_the_second_time_is_passed_whatever_the_setting_says() {
    let flying = |cursor: &Cursor, through| cursor.announce(0, Some(at(through)), 2, ms(0));
    let first = flying(&counted(), 4);
    assert_eq!(first.settlement(OnUnknown::Resend), OnUnknown::Resend);
    let again = first.resolve_in_doubt(OnUnknown::Resend);
    let second = flying(&again, 2);
    assert_eq!(second.settlement(OnUnknown::Resend), OnUnknown::Skip);
    let passed = second.resolve_in_doubt(OnUnknown::Resend);
    assert_eq!(passed.committed, at(2));
    assert!(!passed.was_in_doubt(at(2)) && passed.was_in_doubt(at(3)) && !passed.was_in_doubt(at(5)));
    let (tally, rest) = (passed.tally.clone().unwrap(), flying(&passed, 4).commit(Answer::default()));
    assert_eq!((tally.in_doubt, tally.skipped, rest.doubted), (4, 2, None));
    // Entries that are gone are no call's any more.
    assert_eq!(passed.pass(at(4), 2).doubted, None);
}
