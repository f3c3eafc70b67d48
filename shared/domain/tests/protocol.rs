//! The protocol of joining, planning and delivering, checked in every interleaving at a small
//! size: one shopper, one shard, calls of one, two workers, three stock events, a crash, a
//! redelivery or a throttled call at any step, and clocks that give any position. The decisions are the crate's own; only the table, the topics and the processes
//! around them are modelled, each access to the table being one step.
//!
//! Each mistake in [`Mistake`] makes the checker find somebody lost or told twice, which shows
//! that it could.

use std::collections::BTreeSet;

use domain::{
    Position, RestockId,
    cursor::{Answer, Cursor, OnUnknown, Opened, Tally},
    product::{Product, Standing},
    stock::Version,
};
use jiff::Timestamp;
use stateright::{Checker, Model, Property};

/// A step left out or in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// The ends of the shards are read before the product is written as in stock.
    EndsBeforeStock,
    /// A call is sent without winning the cursor.
    SendWithoutClaim,
    /// A call is committed before it is sent.
    CommitBeforeSend,
}

#[derive(Debug, Clone)]
struct Protocol {
    mistake: Mistake,
    /// How many crashes, redeliveries and throttled calls there may be.
    troubles: u8,
}

/// The stock events: restock, sell-out, restock.
const EVENTS: [bool; 3] = [true, false, true];

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    // The table.
    subscription: Option<Position>,
    entries: BTreeSet<Position>,
    cursor: Cursor,
    token: u8,
    product: Option<Product>,
    // The topics: the next event to be planned, and the jobs in line.
    next_event: usize,
    jobs: Vec<Job>,
    // The processes.
    requests: Vec<Request>,
    planner: Planner,
    workers: [Worker; 2],
    troubles: u8,
    // What happened.
    mailed: BTreeSet<Position>,
    told: [u8; EVENTS.len()],
    doubts: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Job {
    event: usize,
    bound: Position,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Request {
    Idle,
    /// A subscription was found; look whether its turn has come.
    Found(Position),
    /// Its turn has come; take a place past the bound.
    Replace(Position),
    /// The subscription points there; write the entry.
    PutEntry(Position),
    /// Look at the product.
    Look(Position),
    Move(Position, Position),
    Stray(Position),
    /// Answered, at this place, with whether the product is in stock.
    Done(Position, bool),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Planner {
    Idle,
    Start { early: Option<Option<Position>> },
    Written(Product),
    Read(Product, Option<Position>),
    Fixed(Option<Position>),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[expect(clippy::large_enum_variant, reason = "there are two of them")]
enum Worker {
    Idle,
    Open(Job),
    Hold(Hold, Step),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Hold {
    job: Job,
    cursor: Cursor,
    seen: u8,
    changed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
    LookAtProduct,
    ReadEntries,
    Claim(Position),
    Send(Position),
    Record { accepted: bool, position: Position },
    Release,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Act {
    /// A request takes its next step; its clock says this.
    Request(usize, u64),
    Plan,
    PlannerDies,
    Take(usize, usize),
    Work(usize),
    /// SES throttles the call.
    Throttled(usize),
    WorkerDies(usize),
    /// A job is delivered again while its worker works on.
    Zombie(usize),
}

fn restock(event: usize) -> RestockId {
    RestockId::of_record("e", 0, i64::try_from(event).unwrap_or_default())
}

fn version(event: usize) -> Version {
    let at = Timestamp::from_second(i64::try_from(event).unwrap_or_default()).unwrap_or_default();
    Version::new(Some(at), None, at, 0, 0)
}

impl World {
    fn write_cursor(&mut self, cursor: &Cursor, seen: u8) -> bool {
        let won = self.token == seen;
        if won {
            self.cursor = cursor.clone();
            self.token += 1;
        }
        won
    }

    /// Whether the worker that announced the call in flight lives and has not committed it yet: it
    /// does so long before the call looks old.
    fn flies(&self) -> bool {
        self.workers.iter().any(|worker| matches!(worker, Worker::Hold(hold, _) if hold.seen == self.token))
    }

    fn put_in_line(&mut self, job: Job) {
        self.jobs.push(job);
        self.jobs.sort();
    }
}

impl Protocol {
    fn request(&self, world: &mut World, index: usize, clock: u64) {
        let next = match world.requests[index].clone() {
            Request::Idle => match world.subscription {
                Some(found) => Request::Found(found),
                None => {
                    let place = Position::new(clock, 0);
                    world.subscription = Some(place);
                    Request::PutEntry(place)
                }
            },
            Request::Found(found) if world.cursor.is_consumed(found) => Request::Replace(found),
            // One transaction: the entry, while the subscription still points to it.
            Request::Found(found) if world.subscription == Some(found) => {
                world.entries.insert(found);
                Request::Look(found)
            }
            Request::Found(_) => Request::Idle,
            Request::Replace(found) if world.subscription == Some(found) => {
                let bound = world.product.as_ref().and_then(|known| known.bound);
                let place = Position::past(bound.max(Some(world.cursor.committed)), clock, 0);
                world.subscription = Some(place);
                Request::PutEntry(place)
            }
            Request::Replace(_) => Request::Idle,
            Request::PutEntry(place) => {
                world.entries.insert(place);
                Request::Look(place)
            }
            Request::Look(place) => {
                let bound = world.product.as_ref().and_then(|known| known.must_move_past(place));
                match bound {
                    Some(bound) => Request::Move(place, Position::past(Some(bound), clock, 0)),
                    None => Request::Done(place, world.product.as_ref().is_some_and(Product::in_stock)),
                }
            }
            Request::Move(from, to) if world.subscription == Some(from) => {
                world.entries.remove(&from);
                world.entries.insert(to);
                world.subscription = Some(to);
                Request::Look(to)
            }
            Request::Move(from, _) => Request::Stray(from),
            Request::Stray(place) => {
                if world.subscription != Some(place) {
                    world.entries.remove(&place);
                }
                Request::Idle
            }
            done @ Request::Done(..) => done,
        };
        world.requests[index] = next;
    }

    fn plan(&self, world: &mut World) {
        let event = world.next_event;
        let last = world.entries.last().copied();
        world.planner = match world.planner.clone() {
            Planner::Idle => {
                Planner::Start { early: (self.mistake == Mistake::EndsBeforeStock).then_some(last) }
            }
            Planner::Start { early } => {
                let (version, restock_id) = (version(event), restock(event));
                let in_stock = EVENTS[event];
                match Product::standing(world.product.as_ref(), &version, &restock_id, in_stock) {
                    Standing::Stale => {}
                    Standing::Current => {}
                    Standing::News => {
                        let known = world.product.take();
                        let (bound, bound_of) =
                            known.map_or((None, None), |known| (known.bound, known.bound_of));
                        let quantity = Some(u64::from(in_stock));
                        world.product =
                            Some(Product { quantity, version, restock_id, bound, bound_of, product: None });
                    }
                }
                match (world.product.clone(), early) {
                    (Some(product), Some(early)) if product.in_stock() => Planner::Read(product, early),
                    (Some(product), None) if product.in_stock() => Planner::Written(product),
                    _ => Planner::Fixed(None),
                }
            }
            Planner::Written(product) => Planner::Read(product, last),
            Planner::Read(product, _) if product.is_planned() => Planner::Fixed(product.bound),
            Planner::Read(product, ends) => {
                let bound = product.bound_over(ends);
                match world.product.as_mut().filter(|known| known.restock_id == restock(event)) {
                    Some(known) => {
                        known.bound = bound;
                        known.bound_of = Some(restock(event));
                        Planner::Fixed(bound)
                    }
                    None => Planner::Fixed(None),
                }
            }
            Planner::Fixed(bound) => {
                if let Some(bound) = bound.filter(|bound| !world.cursor.is_done(last, *bound)) {
                    world.put_in_line(Job { event, bound });
                }
                world.next_event += 1;
                Planner::Idle
            }
        };
    }

    fn work(&self, world: &mut World, index: usize, throttled: bool) {
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
                let hold = Hold { job, cursor, seen: world.token, changed: in_doubt };
                world.workers[index] = Worker::Hold(hold, Step::LookAtProduct);
                return;
            }
            Worker::Hold(hold, step) => (hold, step),
        };
        let next = match step {
            Step::LookAtProduct if world.product.as_ref().is_some_and(Product::in_stock) => Step::ReadEntries,
            Step::LookAtProduct => Step::Release,
            Step::ReadEntries => {
                let there = |position: &&Position| world.entries.contains(position);
                let gone = hold.cursor.carried.iter().filter(|p| !there(p)).copied().collect::<Vec<_>>();
                hold.cursor = hold.cursor.forgetting(&gone);
                let mut ahead = world.entries.range(hold.cursor.committed.next()..);
                let first = ahead.next().copied().filter(|position| *position <= hold.job.bound);
                match hold.cursor.carried.first().copied().or(first) {
                    Some(position) => Step::Claim(position),
                    None => Step::Release,
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
                if !throttled {
                    world.mailed.insert(position);
                    world.told[hold.job.event] += 1;
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
            Step::Release => {
                if hold.changed && !world.write_cursor(&hold.cursor, hold.seen) {
                    world.put_in_line(hold.job);
                }
                world.workers[index] = Worker::Idle;
                return;
            }
        };
        world.workers[index] = Worker::Hold(hold, next);
    }
}

/// Whether nothing is under way and nothing is left to come.
fn at_rest(world: &World) -> bool {
    world.next_event == EVENTS.len()
        && world.jobs.is_empty()
        && world.workers == [Worker::Idle, Worker::Idle]
        && world.requests.iter().all(|request| matches!(request, Request::Done(..) | Request::Idle))
}

impl Model for Protocol {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            subscription: None,
            entries: BTreeSet::new(),
            cursor: Cursor::default(),
            token: 0,
            product: None,
            next_event: 0,
            jobs: vec![],
            requests: vec![Request::Idle],
            planner: Planner::Idle,
            workers: [Worker::Idle, Worker::Idle],
            troubles: self.troubles,
            mailed: BTreeSet::new(),
            told: [0; EVENTS.len()],
            doubts: 0,
        }]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        for (index, request) in world.requests.iter().enumerate() {
            match request {
                Request::Done(..) => {}
                // Where a position is chosen, clocks differ.
                Request::Idle | Request::Replace(_) | Request::Look(_) => {
                    acts.extend([Act::Request(index, 1), Act::Request(index, 3)]);
                }
                _ => acts.push(Act::Request(index, 1)),
            }
        }
        if world.next_event < EVENTS.len() {
            acts.push(Act::Plan);
            if world.troubles > 0 && world.planner != Planner::Idle {
                acts.push(Act::PlannerDies);
            }
        }
        for (index, worker) in world.workers.iter().enumerate() {
            match worker {
                Worker::Idle => acts.extend((0..world.jobs.len()).map(|job| Act::Take(index, job))),
                // Another worker's young flight is left alone.
                Worker::Open(_) if world.cursor.flight.is_some() && world.flies() => {}
                Worker::Open(_) => acts.push(Act::Work(index)),
                Worker::Hold(_, step) => {
                    acts.push(Act::Work(index));
                    if matches!(step, Step::Send(_)) && world.troubles > 0 {
                        acts.push(Act::Throttled(index));
                    }
                }
            }
            if world.troubles > 0 && *worker != Worker::Idle {
                acts.extend([Act::WorkerDies(index), Act::Zombie(index)]);
            }
        }
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        if matches!(act, Act::PlannerDies | Act::Throttled(_) | Act::WorkerDies(_) | Act::Zombie(_)) {
            next.troubles -= 1;
        }
        match act {
            Act::Request(index, clock) => self.request(&mut next, index, clock),
            Act::Plan => self.plan(&mut next),
            Act::PlannerDies => next.planner = Planner::Idle,
            Act::Take(index, job) => next.workers[index] = Worker::Open(next.jobs.remove(job)),
            Act::Work(index) => self.work(&mut next, index, false),
            Act::Throttled(index) => self.work(&mut next, index, true),
            Act::WorkerDies(index) | Act::Zombie(index) => {
                let (Worker::Open(job) | Worker::Hold(Hold { job, .. }, _)) = next.workers[index].clone()
                else {
                    return None;
                };
                next.put_in_line(job);
                if matches!(act, Act::WorkerDies(_)) {
                    next.workers[index] = Worker::Idle;
                }
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nobody who was answered \"you wait\" is lost", |_: &Self, world: &World| {
                // Told at this place, or moved on to a later one and told there.
                let lost = |request: &Request| match request {
                    Request::Done(place, false) => world.mailed.range(*place..).next().is_none(),
                    _ => false,
                };
                let in_stock = world.product.as_ref().is_some_and(Product::in_stock);
                !(at_rest(world) && in_stock && world.requests.iter().any(lost))
            }),
            Property::always("nobody is told twice, but by a call in doubt", |_: &Self, world: &World| {
                world.told.iter().all(|times| *times <= 1 + world.doubts)
            }),
            Property::sometimes("somebody is told", |_: &Self, world: &World| world.told.contains(&1)),
            Property::sometimes("everything comes to rest", |_: &Self, world: &World| at_rest(world)),
        ]
    }
}

#[test]
fn a_shopper_who_asks_once_is_neither_lost_nor_told_twice_whatever_goes_wrong() {
    let protocol = Protocol { mistake: Mistake::None, troubles: 1 };
    protocol.checker().threads(2).spawn_bfs().join().assert_properties();
}

#[test]
fn each_mistake_is_found() {
    for mistake in [Mistake::EndsBeforeStock, Mistake::SendWithoutClaim, Mistake::CommitBeforeSend] {
        let protocol = Protocol { mistake, troubles: 1 };
        let found = protocol.checker().threads(2).spawn_bfs().join().discoveries();
        assert!(found.keys().any(|name| name.starts_with("nobody")), "{mistake:?} goes unnoticed");
    }
}
