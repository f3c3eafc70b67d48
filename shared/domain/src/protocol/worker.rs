//! A worker that delivers a shard: the machine that production runs, each of its accesses to the table one step.

use std::time::Duration;

use jiff::Timestamp;

use super::{Job, Mistake, Protocol, World, restock};
use crate::cursor::OnUnknown;
use crate::delivery::{
    Acquire, Announced, CallOutcome, Delivery, End, Now, Pace, RateAnswer, RecipientOutcome, Refusal, Row,
    SECOND_TRY, Step, Terms, Written,
};
use crate::product::Product;
use crate::{Position, Shard};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Worker {
    Idle,
    Open(Job),
    Hold(Hold),
    /// Its work has ended; whether something is left that goes back in line.
    Ended {
        job: Job,
        more: bool,
    },
    /// It has done the first of the two things that put the rest in line: the ticket is written, and the job published then.
    Passed {
        job: Job,
        next: Job,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Hold {
    pub(super) job: Job,
    delivery: Box<Delivery<usize>>,
    /// How many entries had ended when the cursor was last seen.
    ended: u8,
    /// Whether the stock was looked at since the last wait.
    looked: bool,
    /// How far the product was open when it was looked at.
    reach: Option<Position>,
    /// Whether SES answered so late that the call will look like one whose worker is gone, and the answer is not committed.
    late: bool,
}

/// What goes wrong in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Trouble {
    None,
    /// SES throttles the call.
    Throttled,
    /// SES takes the call, and no answer comes.
    Unheard,
    /// SES answers late.
    Late,
    /// The worker's time is up.
    SliceEnds,
    /// A write of the cursor has no answer, and is applied or not.
    Unanswered {
        applied: bool,
    },
}

impl Trouble {
    /// Those that are not one worker's own matter.
    pub(super) const OF_SES: &[Self] = &[Self::Throttled, Self::SliceEnds];
    pub(super) const ALL: [Self; 6] = [
        Self::Throttled,
        Self::SliceEnds,
        Self::Unheard,
        Self::Late,
        Self::Unanswered { applied: true },
        Self::Unanswered { applied: false },
    ];
}

/// When a slice is over, and how long ago the product was looked at once slots were waited for: too long ago.
const DEADLINE: Duration = Duration::from_secs(20);
const STALE: Duration = Duration::from_secs(1);
/// How long after its announcement a late answer comes.
const LATE: Duration = Duration::from_secs(6);

impl Worker {
    pub(super) fn job(&self) -> Option<Job> {
        match self {
            Self::Idle => None,
            Self::Open(job)
            | Self::Hold(Hold { job, .. })
            | Self::Ended { job, .. }
            | Self::Passed { job, .. } => Some(*job),
        }
    }

    /// The job that it works on, or is about to publish.
    pub(super) fn living_job(&self) -> Option<Job> {
        match self {
            Self::Passed { next, .. } => Some(*next),
            _ => self.job(),
        }
    }

    /// Whether it lives and has written the shard's cursor last.
    pub(super) fn has_written(&self, shard: Shard, token: u8) -> bool {
        let has_written = |hold: &Hold| hold.delivery.has_written(named(token).as_deref());
        matches!(self, Self::Hold(hold) if hold.job.shard == shard && has_written(hold))
    }

    /// Whether it has as well kept a late answer back.
    pub(super) fn is_late(&self) -> bool {
        matches!(self, Self::Hold(Hold { late: true, .. }))
    }
}

/// A number of the model as a fencing token; the table's first cursor has none.
fn named(token: u8) -> Option<String> {
    (token > 0).then(|| token.to_string())
}

impl Protocol {
    /// The next step of a worker; `None` where this trouble cannot happen in it.
    pub(super) fn work(&self, world: &mut World, index: usize, trouble: Trouble) -> Option<()> {
        match world.workers[index].clone() {
            Worker::Idle => None,
            Worker::Open(job) if trouble == Trouble::None => self.acquire(world, index, job),
            Worker::Hold(hold) => deliver(world, index, hold, trouble),
            Worker::Ended { job, more } if trouble == Trouble::None => {
                self.hand_over(world, index, job, more);
                Some(())
            }
            Worker::Passed { next, .. } if trouble == Trouble::None => {
                if self.mistake == Mistake::TicketAfterPublication {
                    world.line_mut(next.shard).open = Some(next);
                } else {
                    world.put_in_line(next);
                }
                world.workers[index] = Worker::Idle;
                Some(())
            }
            Worker::Open(_) | Worker::Ended { .. } | Worker::Passed { .. } => None,
        }
    }

    /// Each write of the fan-out is conditional on the job's ticket, unless it has none.
    fn hand_over(&self, world: &mut World, index: usize, job: Job, more: bool) {
        let ours = job.ticket == 0 || world.is_current(job);
        world.workers[index] = Worker::Idle;
        if !more {
            if ours || self.mistake == Mistake::CloseAnothers {
                world.line_mut(job.shard).open = None;
            }
        } else if ours {
            let next = Job { ticket: world.new_ticket(), ..job };
            if self.mistake == Mistake::TicketAfterPublication {
                world.put_in_line(next);
            } else {
                world.line_mut(next.shard).open = Some(next);
            }
            world.workers[index] = Worker::Passed { job, next };
        }
    }

    fn acquire(&self, world: &mut World, index: usize, job: Job) -> Option<()> {
        let lives = job.ticket == 0 || world.is_current(job);
        if !lives && self.mistake != Mistake::KeepSuperseded {
            world.workers[index] = Worker::Idle;
            return Some(());
        }
        // A call in flight is young as long as its worker lives.
        let flies = world.flies(job.shard);
        let age = if flies { Duration::ZERO } else { SECOND_TRY };
        let now = Now { wall: Timestamp::UNIX_EPOCH + age, uptime: Duration::ZERO };
        let terms = Terms {
            restock_id: restock(job.event),
            lane: job.shard.lane,
            bound: job.bound,
            first: false,
            deadline: DEADLINE,
            max_emails: u64::MAX,
            on_unknown: OnUnknown::Resend,
            mutant: match self.mistake {
                Mistake::Delivery(mutant) => Some(mutant),
                _ => None,
            },
        };
        let line = world.line(job.shard);
        let (token, ended, in_flight) = (named(line.token), line.ended, line.cursor.in_flight.is_some());
        let product = world.product.as_ref()?;
        let reach = product.reach().map(|reach| reach.of(job.shard.lane));
        world.workers[index] = match Delivery::acquire(terms, product, &line.cursor, token.as_deref(), now) {
            Acquire::Busy { .. } => return None,
            Acquire::NotPlanned => Worker::Idle,
            Acquire::Acquired(mut delivery) => {
                world.superseded |= !lives;
                if in_flight && !world.has_announcer(job.shard) {
                    world.doubts += 1;
                }
                // The counts are no part of the model.
                while !delivery.is_between_rounds() {
                    match delivery.next(now) {
                        Step::ReadTally => delivery.on_tally(None),
                        Step::Report(_) => {}
                        Step::ReadEntries { .. } | Step::WriteFailed(_) => break,
                        _ => delivery.on_done(),
                    }
                }
                Worker::Hold(Hold { job, delivery, ended, looked: true, reach, late: false })
            }
        };
        Some(())
    }
}

/// What a step does to the table, or to the shoppers, at once with the steps before it that do neither.
fn deliver(world: &mut World, index: usize, mut hold: Hold, trouble: Trouble) -> Option<()> {
    let Hold { job, delivery, ended, looked, reach, late } = &mut hold;
    if trouble == Trouble::SliceEnds && !delivery.is_between_rounds() {
        return None;
    }
    loop {
        if delivery.is_finishing() {
            // Without an access: no trouble was in one.
            if !matches!(trouble, Trouble::None | Trouble::SliceEnds) {
                return None;
            }
            break;
        }
        match delivery.next(time(trouble, *looked, *late)) {
            Step::Report(_) => continue,
            // The late answer is not committed at once.
            Step::Greet if trouble == Trouble::Late && *late => {}
            Step::Greet | Step::CutRate { .. } | Step::WriteShardSummary(_) => {
                delivery.on_done();
                continue;
            }
            Step::ReadTally => {
                delivery.on_tally(None);
                continue;
            }
            Step::Wait(_) => {
                *looked = false;
                delivery.on_done();
                continue;
            }
            Step::AskRate => {
                delivery.on_rate(RateAnswer::Pace(Pace { call_size: 1, ahead: 2 }));
                continue;
            }
            Step::ReserveSlots { .. } => {
                delivery.on_slots(Some(Timestamp::UNIX_EPOCH));
                continue;
            }
            // Everything else is one access, and only one kind of trouble can be in it.
            Step::WriteCursor(write) => {
                let applied = match trouble {
                    Trouble::Unanswered { applied } => applied,
                    Trouble::Throttled | Trouble::Unheard => return None,
                    Trouble::Late if !*late => return None,
                    _ => true,
                };
                *late = false;
                let written = if applied {
                    world.write_cursor(job.shard, write.cursor, (write.fencing_token, *ended))
                } else {
                    Written::Lost
                };
                let token = if written == Written::Won { named(world.line(job.shard).token) } else { None };
                let token = token.unwrap_or_else(|| "lost".to_owned());
                if matches!(trouble, Trouble::Unanswered { .. }) {
                    delivery.on_written(token, Written::Unknown);
                    delivery.on_error(true);
                } else {
                    if written == Written::EntryEnded {
                        *ended = world.line(job.shard).ended;
                    }
                    delivery.on_written(token, written);
                }
            }
            Step::Send(announced) if trouble == Trouble::Throttled => {
                let refused = RecipientOutcome::Retry(Refusal::Throttled);
                let outcomes = vec![refused; announced.count()];
                delivery.on_outcome(CallOutcome::Completed(outcomes));
            }
            Step::Send(announced) if trouble == Trouble::Unheard => {
                send(world, *job, (*looked, *reach), announced);
                world.unheard = true;
                delivery.on_outcome(CallOutcome::InDoubt(String::new()));
            }
            Step::Send(announced) if matches!(trouble, Trouble::Late | Trouble::None) => {
                send(world, *job, (*looked, *reach), announced);
                delivery.on_outcome(CallOutcome::Completed(vec![RecipientOutcome::Accepted]));
                if trouble == Trouble::Late {
                    *late = true;
                    continue;
                }
            }
            _ if !matches!(trouble, Trouble::None | Trouble::SliceEnds) => return None,
            Step::ReadProduct => {
                delivery.on_product(
                    world.product.as_ref(),
                    Now { wall: Timestamp::UNIX_EPOCH, uptime: Duration::ZERO },
                );
                *looked = true;
                *reach =
                    world.product.as_ref().and_then(Product::reach).map(|reach| reach.of(job.shard.lane));
            }
            Step::ReadEntries { after, through, limit } => {
                let mut ahead = world.line(job.shard).entries.range(after.next()..=through);
                let entries: Vec<_> = ahead
                    .by_ref()
                    .take(limit)
                    .map(|(position, shopper)| (*position, Row::Waiting(*shopper)))
                    .collect();
                // As with DynamoDB, a full page does not say that it is the last.
                let last = entries.len() < limit;
                delivery.on_entries(entries, last);
            }
            Step::ReadPending(positions) => {
                let entries = &world.line(job.shard).entries;
                let there = |position| Some((position, Row::Waiting(*entries.get(&position)?)));
                let rows = positions.iter().copied().filter_map(there).collect();
                delivery.on_pending(rows);
            }
            Step::ReadFencingToken => {
                delivery.on_fencing_token(named(world.line(job.shard).token).as_deref());
            }
            Step::WriteFailed(failed) => {
                for (position, _) in failed {
                    let shopper = world.line(job.shard).entries[position];
                    (world.owed[shopper], world.passed[shopper]) = (false, true);
                }
                delivery.on_done();
            }
            Step::Send(_) | Step::Finished(_) => return None,
        }
        break;
    }
    // To die between the last access and the end is what a redelivery before it is.
    while delivery.is_finishing() {
        match delivery.next(time(trouble, *looked, *late)) {
            Step::Report(_) => {}
            Step::Finished(end) => {
                // What is stopped waits for a sweep, which is as good as a job in line.
                let more = matches!(end, End::More | End::Stopped(_) | End::Paused | End::Closed);
                world.workers[index] = Worker::Ended { job: *job, more };
                return Some(());
            }
            _ => delivery.on_done(),
        }
    }
    world.workers[index] = Worker::Hold(hold);
    Some(())
}

/// SES takes a call.
fn send(
    world: &mut World,
    job: Job,
    (looked, reach): (bool, Option<Position>),
    announced: Announced<'_, usize>,
) {
    for (position, shopper) in announced.into_recipients() {
        let cursor = &world.line(job.shard).cursor;
        let waits = |(place, other): (&Position, &usize)| {
            *place < *position
                && !world.mailed.contains_key(&(*other, job.shard, *place))
                && !cursor.pending_retries.contains(place)
                && !cursor.has_in_flight(*place)
        };
        world.out_of_order |= world.line(job.shard).entries.iter().any(waits);
        *world.mailed.entry((*shopper, job.shard, *position)).or_default() += 1;
        world.owed[*shopper] = false;
        world.told[job.event][*shopper] += 1;
        world.waved.insert((job.turn, *shopper));
        let spared = world.spared.contains(&(*shopper, job.shard, *position));
        world.unlawful |=
            !looked || Some(*position) > reach || spared || world.is_pending(*shopper, *position);
    }
}

fn time(trouble: Trouble, looked: bool, late: bool) -> Now {
    let uptime = match trouble {
        Trouble::SliceEnds => DEADLINE,
        _ if looked => Duration::ZERO,
        _ => STALE,
    };
    let wall = Timestamp::UNIX_EPOCH + if late { LATE } else { Duration::ZERO };
    Now { wall, uptime }
}
