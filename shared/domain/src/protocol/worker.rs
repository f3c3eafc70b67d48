//! A worker that delivers a shard, step by step.

use super::{Job, Mistake, Protocol, World, restock};
use crate::{
    Position,
    cursor::{Answer, Cursor, OnUnknown, Opened, Tally},
    product::Product,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "there are two of them")]
pub(super) enum Worker {
    Idle,
    Open(Job),
    Hold(Hold, Step),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Hold {
    pub(super) job: Job,
    pub(super) cursor: Cursor,
    pub(super) seen: u8,
    pub(super) changed: bool,
    /// Whose entry was read last.
    pub(super) read: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Step {
    LookAtProduct,
    ReadEntries,
    Claim(Position),
    Send(Position),
    Record {
        accepted: bool,
        position: Position,
    },
    /// Whether the rest goes back in line.
    Release {
        more: bool,
    },
}

impl Protocol {
    pub(super) fn work(&self, world: &mut World, index: usize, throttled: bool) {
        let (mut hold, step) = match world.workers[index].clone() {
            Worker::Idle => return,
            Worker::Open(job) => {
                let mut cursor = world.cursor.clone();
                // Reached only where no young flight is under way.
                let in_doubt = matches!(cursor.open(1, 1), Opened::InDoubt(_));
                if in_doubt {
                    cursor = cursor.settle(OnUnknown::Resend);
                    world.doubts += 1;
                }
                let cursor = cursor.counting(Tally::new(restock(job.event)));
                let hold = Hold { job, cursor, seen: world.token, changed: in_doubt, read: None };
                world.workers[index] = Worker::Hold(hold, Step::LookAtProduct);
                return;
            }
            Worker::Hold(hold, step) => (hold, step),
        };
        let next = match step {
            Step::LookAtProduct if world.product.as_ref().is_some_and(Product::in_stock) => Step::ReadEntries,
            Step::LookAtProduct => Step::Release { more: false },
            Step::ReadEntries => {
                let there = |position: &&Position| world.entries.contains_key(position);
                let gone = hold.cursor.carried.iter().filter(|p| !there(p)).copied().collect::<Vec<_>>();
                hold.cursor = hold.cursor.forgetting(&gone);
                let mut ahead = world.entries.range(hold.cursor.committed.next()..);
                let first = ahead
                    .next()
                    .map(|(position, _)| *position)
                    .filter(|position| *position <= hold.job.bound);
                match hold.cursor.carried.first().copied().or(first) {
                    Some(position) => {
                        hold.read = world.entries.get(&position).copied();
                        Step::Claim(position)
                    }
                    None => Step::Release { more: false },
                }
            }
            Step::Claim(position) => {
                let retried = usize::from(hold.cursor.carried.first() == Some(&position));
                let mut claimed = hold.cursor.claim(retried, (retried == 0).then_some(position), 1, 0);
                if self.mistake == Mistake::CommitBeforeSend {
                    claimed = claimed.answered(Answer::default());
                }
                let won = world.write_cursor(&claimed, hold.seen);
                if !won && self.mistake != Mistake::SendWithoutClaim {
                    world.put_in_line(hold.job);
                    world.workers[index] = Worker::Idle;
                    return;
                }
                hold = Hold { cursor: claimed, seen: world.token, changed: false, ..hold };
                Step::Send(position)
            }
            Step::Send(position) => {
                if !throttled && let Some(shopper) = hold.read {
                    world.told[hold.job.event][shopper] += 1;
                    self.pay(world, shopper);
                }
                Step::Record { accepted: !throttled, position }
            }
            Step::Record { accepted, position } => {
                let again = if accepted { vec![] } else { vec![position] };
                let answer = Answer { accepted: u64::from(accepted), again, ..Answer::default() };
                hold.cursor = hold.cursor.answered(answer);
                hold.changed = true;
                Step::LookAtProduct
            }
            Step::Release { more } => {
                if (hold.changed && !world.write_cursor(&hold.cursor, hold.seen)) || more {
                    world.put_in_line(hold.job);
                }
                world.workers[index] = Worker::Idle;
                return;
            }
        };
        world.workers[index] = Worker::Hold(hold, next);
    }
}
