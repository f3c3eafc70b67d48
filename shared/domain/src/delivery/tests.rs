#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::time::Duration;

use super::*;
use crate::cursor::Tally;

mod desk;

use desk::{Desk, Event, at, restock};

const SECOND: Duration = Duration::from_secs(1);

fn retry(refusal: Refusal) -> RecipientOutcome {
    RecipientOutcome::Retry(refusal)
}

fn invalid() -> CallOutcome {
    CallOutcome::NotSent(Refusal::Invalid("BadRequest".to_owned()))
}

fn unanswered() -> CallOutcome {
    CallOutcome::InDoubt("time-out".to_owned())
}

fn counted(tally: Option<&Tally>) -> (u64, u64, u64, u64) {
    tally.map_or((0, 0, 0, 0), |tally| (tally.sent, tally.failed, tally.skipped, tally.in_doubt))
}

/// A cursor with a call to the entries 1 and 2 in flight, announced when the desk's clock began.
fn in_flight(desk: &Desk) -> Cursor {
    let tally = Tally::new(restock("r"));
    Cursor::default().switch_tally_to(tally).announce(0, Some(at(2)), 2, desk.now.wall)
}

#[test]
fn a_round_looks_reads_reserves_announces_and_only_then_sends() {
    let mut desk = Desk::of(1..=2);
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!(
        desk.steps,
        [
            "greet", "rate", "entries", "slots", "wait", "cursor", "send", // the call
            "greet", "rate", "cursor", "summary", "end",
        ]
    );
    assert_eq!((desk.sent, desk.cursor.committed), (vec![vec![1, 2]], at(2)));
    assert_eq!(desk.summaries.len(), 1);
    assert_eq!(counted(desk.cursor.tally.as_ref()), (2, 0, 0, 0));
}

#[test]
fn an_announcement_commits_the_call_before_so_that_a_call_is_one_write() {
    let mut desk = Desk::of(1..=6);
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!(desk.sent, [[1, 2], [3, 4], [5, 6]]);
    assert_eq!(desk.steps.iter().filter(|step| **step == "cursor").count(), 4);
}

#[test]
fn a_subscriber_who_leaves_before_their_call_is_announced_is_not_in_it() {
    // At the first announcement, at the second, and at the release of what is left to commit.
    for (announcement, leaver, sent) in [
        (1, 2, vec![vec![1, 3], vec![4, 5], vec![6]]),
        (2, 3, vec![vec![1, 2], vec![4, 5], vec![6]]),
        (4, 9, vec![vec![1, 2], vec![3, 4], vec![5, 6]]),
    ] {
        let mut desk = Desk::of(1..=6);
        desk.events = vec![("cursor", announcement, Event::Leaves(leaver))];
        assert_eq!(desk.run(), End::Delivered, "{announcement}");
        assert_eq!(desk.sent, sent, "{announcement}");
        let reached = sent.iter().flatten().max().copied();
        assert_eq!((desk.cursor.committed, &desk.cursor.in_flight), (at(reached.unwrap()), &None));
        assert_eq!(counted(desk.cursor.tally.as_ref()).0, sent.concat().len() as u64, "{announcement}");
    }
}

#[test]
fn a_pending_retry_that_leaves_is_not_tried_again() {
    let mut desk = Desk::of(1..=2);
    let again = CallOutcome::Completed(vec![retry(Refusal::Throttled), RecipientOutcome::Accepted]);
    desk.outcomes = [again].into();
    desk.events = vec![("cursor", 2, Event::Leaves(1))];
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!(desk.sent, [[1, 2]]);
    assert!(desk.cursor.pending_retries.is_empty(), "{:?}", desk.cursor);
}

#[test]
fn the_stock_is_looked_at_again_once_slots_were_waited_for() {
    for (wait, looks) in [(SECOND, 1), (SECOND - Duration::from_millis(1), 0)] {
        let mut desk = Desk::of(1..=6);
        desk.slots = [Some(Duration::ZERO), Some(wait)].into();
        desk.events = vec![("product", 1, Event::SellsOut)];
        desk.terms.max_emails = 4;
        let sold_out = looks == 1;
        assert_eq!(desk.run(), if sold_out { End::SoldOut } else { End::More }, "{wait:?}");
        assert_eq!(desk.sent.len(), if sold_out { 1 } else { 2 }, "{wait:?}");
        assert_eq!(desk.steps.iter().filter(|step| **step == "product").count(), looks, "{wait:?}");
        assert_eq!(desk.cursor.in_flight, None, "{wait:?}");
    }
}

#[test]
fn the_stock_is_looked_at_again_after_every_other_wait() {
    let throttled = || CallOutcome::NotSent(Refusal::Throttled);
    let mut desk = Desk::of(1..=2);
    desk.outcomes = [throttled(), throttled()].into();
    desk.events = vec![("product", 1, Event::SellsOut)];
    assert_eq!(desk.run(), End::SoldOut);
    assert_eq!(desk.waits, [500, 1_000].map(Duration::from_millis));
    assert_eq!((desk.sent.len(), desk.cursor.committed), (2, Position::START));

    let mut desk = Desk::of(1..=2);
    desk.events = vec![("rate", 1, Event::Frozen(SECOND)), ("product", 1, Event::SellsOut)];
    assert_eq!(desk.run(), End::SoldOut, "no wait, but SES was slow to say its rate");
    assert!(desk.sent.is_empty() && !desk.steps.contains(&"cursor"));
}

#[test]
fn another_workers_young_call_is_left_alone_and_looked_at_again_each_second() {
    let (resend, skip) = (OnUnknown::Resend, OnUnknown::Skip);
    for (on_unknown, age, left, retry_in) in [
        (skip, Duration::ZERO, 20 * SECOND, Some(SECOND)),
        (skip, FLIGHT_LIMIT - Duration::from_millis(300), 20 * SECOND, Some(Duration::from_millis(300))),
        (skip, SECOND, Duration::from_millis(100), Some(Duration::from_millis(100))),
        (skip, SECOND, Duration::ZERO, None),
        (resend, FLIGHT_LIMIT, 20 * SECOND, Some(SECOND)),
        (resend, SECOND_TRY - Duration::from_millis(300), 20 * SECOND, Some(Duration::from_millis(300))),
    ] {
        let mut desk = Desk::of(1..=2);
        desk.cursor = in_flight(&desk);
        desk.now.wall += age;
        desk.terms.deadline = left;
        desk.terms.on_unknown = on_unknown;
        assert_eq!(desk.acquire(), Acquire::Busy { retry_in }, "{on_unknown:?} {age:?} {left:?}");
    }
}

#[test]
fn a_call_in_doubt_is_resolved_as_the_setting_says_before_anything_else() {
    for (on_unknown, sent, failed) in [
        (OnUnknown::Resend, vec![vec![1, 2], vec![3]], vec![]),
        (OnUnknown::Skip, vec![vec![3]], vec![(1, IN_DOUBT.to_owned()), (2, IN_DOUBT.to_owned())]),
    ] {
        let mut desk = Desk::of(1..=3);
        desk.cursor = in_flight(&desk);
        desk.now.wall += SECOND_TRY;
        desk.terms.on_unknown = on_unknown;
        assert_eq!(desk.run(), End::Delivered);
        assert_eq!((desk.sent, desk.failed), (sent, failed), "{on_unknown:?}");
        assert_eq!(desk.reports.first(), Some(&Report::InDoubt { count: 2, resolved: on_unknown }));
        assert_eq!(desk.cursor.tally.unwrap().in_doubt, 2);
    }
}

#[test]
fn recipients_in_doubt_that_cannot_be_written_down_are_not_passed() {
    let mut desk = Desk::of(1..=3);
    desk.cursor = in_flight(&desk);
    desk.now.wall += FLIGHT_LIMIT;
    desk.terms.on_unknown = OnUnknown::Skip;
    desk.events = vec![("failed", 1, Event::Fails { applied: false })];
    let before = desk.cursor.clone();
    desk.run();
    assert_eq!((desk.cursor.clone(), desk.error), (before, true));
    assert_eq!(desk.steps, ["entries", "failed", "end"], "there is nothing to release yet");
}

#[test]
fn the_count_of_the_restock_before_is_written_to_its_summary() {
    let mut desk = Desk::of(1..=1);
    desk.terms.first = false;
    desk.cursor = Cursor::default().switch_tally_to(Tally { sent: 7, ..Tally::new(restock("q")) });
    desk.run();
    assert_eq!(desk.steps[..3], ["summary", "tally", "greet"]);
    let summaries: Vec<_> =
        desk.summaries.iter().map(|tally| (tally.restock_id.as_str(), tally.sent)).collect();
    assert_eq!(summaries, [("q", 7), ("r", 1)]);
}

#[test]
fn a_product_without_a_bound_was_never_planned() {
    let mut desk = Desk::of(1..=1);
    desk.product.bound = None;
    assert_eq!(desk.acquire(), Acquire::NotPlanned);
}

#[test]
fn a_lost_announcement_sends_nothing_and_writes_nothing_more() {
    let mut desk = Desk::of(1..=2);
    desk.events = vec![("cursor", 1, Event::AnotherWrites)];
    assert_eq!(desk.run(), End::More);
    assert!(desk.sent.is_empty() && desk.summaries.is_empty());
    assert_eq!(desk.steps[5..], ["cursor", "end"]);
}

#[test]
fn a_worker_that_was_frozen_after_its_announcement_announces_again() {
    let mut desk = Desk::of(1..=2);
    desk.events = vec![("cursor", 1, Event::Frozen(2 * SECOND + Duration::from_millis(1)))];
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!(desk.sent, [[1, 2]]);
    assert_eq!(desk.steps[5..12], ["cursor", "greet", "product", "rate", "slots", "wait", "cursor"]);
}

#[test]
fn entries_that_cannot_be_read_are_written_down_before_they_are_passed() {
    let mut desk = Desk::of(1..=3);
    desk.entries.insert(at(2), Row::Unreadable);
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!((desk.sent, desk.failed), (vec![vec![1, 3]], vec![(2, UNREADABLE.to_owned())]));
    assert_eq!(counted(desk.cursor.tally.as_ref()), (2, 1, 0, 0));

    let mut desk = Desk::of(1..=1);
    desk.entries.insert(at(1), Row::Unreadable);
    desk.events = vec![("failed", 1, Event::Fails { applied: false })];
    desk.run();
    assert_eq!(desk.cursor.committed, Position::START, "it could not be written down");
}

#[test]
fn expired_entries_are_passed_without_an_email() {
    let mut desk = Desk::of(1..=4);
    desk.entries.insert(at(1), Row::Expired);
    desk.entries.insert(at(4), Row::Expired);
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!((desk.sent, desk.cursor.committed), (vec![vec![2, 3]], at(4)));
    assert_eq!(counted(desk.cursor.tally.as_ref()), (2, 0, 2, 0));
}

#[test]
fn a_call_that_is_refused_as_a_whole_is_halved_until_the_guilty_one_stands_alone() {
    let mut desk = Desk::of(1..=4);
    desk.pace.call_size = 4;
    desk.outcomes = [invalid(), invalid(), invalid()].into();
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!(desk.sent, [vec![1, 2, 3, 4], vec![1, 2], vec![1], vec![2, 3, 4]]);
    assert_eq!(desk.failed, [(1, "BadRequest".to_owned())], "others were accepted since");
    assert_eq!(counted(desk.cursor.tally.as_ref()), (3, 1, 0, 0));
    assert!(desk.cursor.pending_retries.is_empty());
}

#[test]
fn a_recipient_that_ses_rejects_is_failed_once_another_is_accepted() {
    let rejected = RecipientOutcome::Rejected("MESSAGE_REJECTED".to_owned());
    let mut desk = Desk::of(1..=3);
    desk.outcomes = [
        CallOutcome::Completed(vec![rejected.clone(), rejected]),
        CallOutcome::Completed(vec![RecipientOutcome::Accepted]),
    ]
    .into();
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!(desk.failed.len(), 2);
    assert_eq!(counted(desk.cursor.tally.as_ref()), (1, 2, 0, 0));
}

#[test]
fn what_ses_throttles_in_part_goes_first_into_the_next_call_at_a_lower_rate() {
    let mut desk = Desk::of(1..=3);
    desk.outcomes =
        [CallOutcome::Completed(vec![retry(Refusal::Throttled), RecipientOutcome::Accepted])].into();
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!((desk.sent, desk.cuts), (vec![vec![1, 2], vec![1, 3]], vec![(1, 2)]));
    assert!(desk.waits.is_empty(), "it is no reason to wait");
}

#[test]
fn a_call_that_ses_throttles_wholly_is_followed_by_a_back_off_and_new_slots() {
    for outcome in [
        CallOutcome::NotSent(Refusal::Throttled),
        CallOutcome::Completed(vec![retry(Refusal::Throttled), retry(Refusal::Throttled)]),
    ] {
        let mut desk = Desk::of(1..=2);
        desk.outcomes = [outcome].into();
        assert_eq!(desk.run(), End::Delivered);
        assert_eq!((desk.sent, desk.cuts), (vec![vec![1, 2], vec![1, 2]], vec![(1, 1)]));
        assert_eq!(desk.waits, [Duration::from_millis(500)]);
    }
}

#[test]
fn an_outage_goes_back_in_line_after_five_fruitless_rounds() {
    let mut desk = Desk::of(1..=2);
    let away = || CallOutcome::NotSent(Refusal::Unavailable("connect".to_owned()));
    desk.outcomes = std::iter::repeat_with(away).take(9).collect();
    assert_eq!(desk.run(), End::More);
    assert_eq!(desk.waits, [500, 1_000, 2_000, 4_000].map(Duration::from_millis));
    assert_eq!(desk.sent.len(), 5);
    assert_eq!((desk.cursor.committed, desk.cursor.in_flight), (Position::START, None));
}

#[test]
fn a_suspended_account_consumes_no_entry() {
    let mut desk = Desk::of(1..=2);
    desk.outcomes = [CallOutcome::NotSent(Refusal::Suspended("paused".to_owned()))].into();
    assert_eq!(desk.run(), End::Stopped("paused".to_owned()));
    assert_eq!((desk.cursor.committed, desk.cursor.in_flight), (Position::START, None));
}

#[test]
fn a_pause_ends_the_slice_with_what_was_answered_committed_and_no_further_entry_consumed() {
    for (pauses_at, sent, committed) in [(1, 0, Position::START), (2, 2, at(2))] {
        let mut desk = Desk { pauses_at: Some(pauses_at), ..Desk::of(1..=4) };
        desk.pace.call_size = 2;
        assert_eq!(desk.run(), End::Paused);
        assert_eq!(desk.sent.concat().len(), sent);
        assert_eq!((desk.cursor.committed, desk.cursor.in_flight), (committed, None));
    }
}

#[test]
fn a_call_without_an_answer_is_passed_at_once_or_left_in_flight_to_be_sent_again_later() {
    let mut desk = Desk::of(1..=2);
    desk.terms.on_unknown = OnUnknown::Skip;
    desk.outcomes = [unanswered()].into();
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!((desk.sent.len(), desk.failed.len()), (1, 2));
    assert_eq!(counted(desk.cursor.tally.as_ref()), (0, 0, 2, 2));

    let mut desk = Desk::of(1..=2);
    desk.outcomes = [unanswered()].into();
    assert_eq!(desk.run(), End::More);
    assert_eq!((desk.sent.len(), desk.failed.len()), (1, 0));
    assert!(desk.cursor.in_flight.is_some() && desk.waits.is_empty());
    assert_eq!(desk.acquire(), Acquire::Busy { retry_in: Some(SECOND) });
    desk.now.wall += SECOND_TRY;
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!(desk.sent, [[1, 2], [1, 2]]);
    assert_eq!((desk.cursor.doubted.clone(), desk.failed.len()), (None, 0));
    assert_eq!(counted(desk.cursor.tally.as_ref()), (2, 0, 0, 2));
}

/// What comes of the calls to the entries 1 and 2 after the first, which gets no answer, however often a worker takes the shard
/// over: those calls, and who is written down.
fn after_a_doubt(outcomes: Vec<CallOutcome>) -> (Vec<Vec<u64>>, Vec<(u64, String)>) {
    let mut desk = Desk::of(1..=2);
    desk.outcomes = std::iter::once(unanswered()).chain(outcomes).collect();
    while desk.run() != End::Delivered {
        desk.now.wall += SECOND_TRY;
        desk.now.uptime = Duration::ZERO;
    }
    assert_eq!((desk.cursor.committed, desk.cursor.doubted), (at(2), None));
    assert_eq!(desk.sent.remove(0), [1, 2]);
    (desk.sent, desk.failed)
}

#[test]
fn entries_that_were_in_doubt_before_are_passed_the_second_time_whatever_the_setting_says() {
    let down = |positions: &[u64]| -> Vec<(u64, String)> {
        positions.iter().map(|position| (*position, IN_DOUBT.to_owned())).collect()
    };
    let (accepted, throttled) = (|| RecipientOutcome::Accepted, || retry(Refusal::Throttled));
    for (outcomes, sent, failed) in [
        (vec![], vec![vec![1, 2]], down(&[])),
        (vec![unanswered()], vec![vec![1, 2]], down(&[1, 2])),
        // They were handed to SES once, and refused: that is no doubt.
        (vec![CallOutcome::NotSent(Refusal::Throttled)], vec![vec![1, 2], vec![1, 2]], down(&[])),
        (
            vec![CallOutcome::NotSent(Refusal::Throttled), unanswered()],
            vec![vec![1, 2], vec![1, 2]],
            down(&[1, 2]),
        ),
        (
            vec![CallOutcome::Completed(vec![accepted(), throttled()]), unanswered()],
            vec![vec![1, 2], vec![2]],
            down(&[2]),
        ),
        (
            vec![CallOutcome::Completed(vec![throttled(), throttled()]), unanswered()],
            vec![vec![1, 2], vec![1, 2]],
            down(&[1, 2]),
        ),
        (vec![invalid(), unanswered()], vec![vec![1, 2], vec![1], vec![2]], down(&[1])),
        (vec![invalid(), unanswered(), unanswered()], vec![vec![1, 2], vec![1], vec![2]], down(&[1, 2])),
    ] {
        assert_eq!(after_a_doubt(outcomes.clone()), (sent, failed), "{outcomes:?}");
    }
}

#[test]
fn a_worker_that_dies_with_a_second_try_leaves_a_call_that_is_passed() {
    let mut desk = Desk::of(1..=3);
    desk.cursor =
        in_flight(&desk).resolve_in_doubt(OnUnknown::Resend).announce(0, Some(at(2)), 2, desk.now.wall);
    desk.now.wall += FLIGHT_LIMIT;
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!((desk.sent, desk.failed.len()), (vec![vec![3]], 2));
    assert_eq!(desk.reports.first(), Some(&Report::InDoubt { count: 2, resolved: OnUnknown::Skip }));
    assert_eq!((desk.cursor.committed, desk.cursor.doubted), (at(3), None));
}

#[test]
fn a_call_has_either_entries_that_were_in_doubt_before_or_others() {
    let mut desk = Desk::of(1..=5);
    desk.pace.call_size = 4;
    let before = Cursor { committed: at(1), pending_retries: vec![at(1)], ..Cursor::default() };
    let twice = before.announce(1, Some(at(3)), 3, desk.now.wall).resolve_in_doubt(OnUnknown::Resend);
    desk.cursor = Cursor { pending_retries: vec![at(0), at(1)], ..twice };
    desk.entries.insert(at(0), Row::Waiting(0));
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!(desk.sent, [vec![0], vec![1, 2, 3], vec![4, 5]]);
}

#[test]
fn a_doubt_outlasts_a_sell_out() {
    let mut desk = Desk::of(1..=2);
    desk.cursor = in_flight(&desk);
    desk.now.wall += SECOND_TRY;
    desk.product.quantity = Some(0);
    assert_eq!(desk.run(), End::SoldOut);
    assert!(
        desk.cursor.in_flight.is_none()
            && desk.cursor.was_in_doubt(at(2))
            && !desk.cursor.was_in_doubt(at(3))
    );
    desk.product.quantity = Some(5);
    desk.outcomes = [unanswered()].into();
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!((desk.sent, desk.failed.len()), (vec![vec![1, 2]], 2));
}

#[test]
fn a_slice_that_ends_says_whether_an_entry_is_left() {
    for (entries, end) in [(2, End::Delivered), (3, End::More), (5, End::More)] {
        let mut desk = Desk::of(1..=entries);
        desk.terms.max_emails = 2;
        assert_eq!(desk.run(), end, "{entries}");
        assert_eq!(desk.sent, [[1, 2]]);
    }
    let mut desk = Desk::of(1..=2);
    desk.terms.deadline = Duration::ZERO;
    assert_eq!(desk.run(), End::More);
    assert_eq!(desk.steps, ["entries", "end"]);
    let mut desk = Desk::of(1..=2);
    desk.slots = [None].into();
    assert_eq!(desk.run(), End::More, "the slots are past the deadline");
}

#[test]
fn a_write_without_an_answer_is_looked_up_and_never_followed_by_its_send() {
    for applied in [true, false] {
        let mut desk = Desk::of(1..=2);
        desk.events = vec![("cursor", 1, Event::Fails { applied })];
        desk.run();
        assert!(desk.sent.is_empty() && desk.error, "{applied}");
        assert_eq!(desk.steps[5..], ["cursor", "token", "cursor", "end"], "{applied}");
        assert_eq!((desk.cursor.committed, desk.cursor.in_flight), (Position::START, None), "{applied}");
    }
}

#[test]
fn the_last_write_is_tried_five_times() {
    let mut desk = Desk::of(1..=2);
    desk.events = (2..=6).map(|nth| ("cursor", nth, Event::Fails { applied: false })).collect();
    desk.run();
    assert_eq!(desk.waits, [300, 600, 900, 1_200].map(Duration::from_millis));
    assert!(desk.error && desk.summaries.is_empty());
    let mut desk = Desk::of(1..=2);
    desk.events = (2..=5).map(|nth| ("cursor", nth, Event::Fails { applied: false })).collect();
    assert_eq!(desk.run(), End::Delivered);
    assert!(!desk.error, "the fifth was applied");
}

#[test]
fn what_ses_answered_is_written_also_after_an_error() {
    let mut desk = Desk::of(1..=6);
    desk.events = vec![("entries", 2, Event::Fails { applied: false })];
    desk.run();
    assert!(desk.error && desk.cursor.committed > Position::START);
    assert_eq!((desk.cursor.in_flight, desk.summaries.len()), (None, 0));
}

#[test]
fn an_answer_is_committed_at_once_where_it_comes_late_or_a_long_wait_follows() {
    let mut late = Desk::of(1..=4);
    late.events = vec![("send", 1, Event::Frozen(6 * SECOND))];
    late.run();
    assert_eq!(late.steps[6..9], ["send", "cursor", "greet"]);
    for (slow, before) in [("greet", "product"), ("rate", "entries"), ("slots", "wait")] {
        let mut desk = Desk::of(1..=4);
        desk.events = vec![(slow, 2, Event::Frozen(6 * SECOND))];
        assert_eq!(desk.run(), End::Delivered);
        let second = desk.steps.iter().enumerate().filter(|(_, step)| **step == slow).nth(1);
        assert_eq!(second.map(|(n, _)| &desk.steps[n + 1..n + 3]), Some(&["cursor", before][..]), "{slow}");
    }
    let mut waiting = Desk::of(1..=4);
    waiting.slots = [Some(Duration::ZERO), Some(3 * SECOND)].into();
    waiting.run();
    assert_eq!(waiting.steps[9..13], ["entries", "slots", "cursor", "wait"]);
    assert_eq!(waiting.reports.last(), Some(&Report::SlotWait(3 * SECOND)));
}

#[test]
fn pending_retries_of_an_earlier_worker_come_first_unless_they_are_gone() {
    let mut desk = Desk::of(2..=4);
    desk.cursor = Cursor { committed: at(2), pending_retries: vec![at(1), at(2)], ..Cursor::default() };
    assert_eq!(desk.run(), End::Delivered);
    assert_eq!(desk.sent, [vec![2, 3], vec![4]]);
    assert!(desk.cursor.pending_retries.is_empty());
}

#[test]
fn an_answer_to_another_question_ends_the_delivery_and_sends_nothing() {
    let desk = Desk::of(1..=2);
    let Acquire::Acquired(mut delivery) = desk.acquire() else { panic!("it is free") };
    assert_eq!(delivery.next(desk.now), Step::Greet);
    delivery.on_outcome(CallOutcome::Completed(Vec::new()));
    assert!(matches!(delivery.next(desk.now), Step::Report(Report::SlotWait(_))));
    assert_eq!(delivery.next(desk.now), Step::Finished(End::More));
}
