//! The protocol of joining, planning and delivering, checked in every interleaving at small
//! sizes: a few requests of one or two shoppers, one shard, calls of one, two workers, two or
//! three stock events, a crash, a redelivery, a throttled call or the end of a slice at any step, and clocks that give
//! any position. The decisions are the crate's own; only the table, the topics and the processes
//! around them are modelled, each access to the table being one step.
//!
//! Each mistake in [`Mistake`] makes the checker find somebody lost or told twice, which shows
//! that it could.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use notify_me_domain::{
    Position, RestockId,
    cursor::{Answer, Cursor, OnUnknown, Opened, Tally},
    product::{Product, Standing},
    stock::Version,
};
use stateright::{Checker, HasDiscoveries, Model, Property};

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
    /// The subscription is written first and its entry later.
    EntryAfterSubscription,
    /// Nobody looks whether a fan-out has passed by.
    NoMove,
    /// Who asks again after their turn takes a place that may be at or below the bound.
    RepeatFromStart,
}

#[derive(Debug, Clone)]
struct Protocol {
    mistake: Mistake,
    /// The requests, each by the shopper who makes it.
    requests: &'static [usize],
    /// The stock events: whether there is any.
    events: &'static [bool],
    /// How many crashes, redeliveries, throttled calls and slices that end early there may be.
    troubles: u8,
}

const SHOPPERS: usize = 2;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    // The table.
    subscriptions: [Option<Position>; SHOPPERS],
    /// Whose they are.
    entries: BTreeMap<Position, usize>,
    cursor: Cursor,
    token: u8,
    product: Option<Product>,
    // The topics: the next event to be planned, and the jobs in line.
    next_event: usize,
    jobs: Vec<Job>,
    // The processes.
    requests: Vec<(usize, Request)>,
    planner: Planner,
    workers: [Worker; 2],
    troubles: u8,
    // What happened.
    mailed: BTreeSet<(usize, Position)>,
    /// How often each shopper was told of each event.
    told: Vec<[u8; SHOPPERS]>,
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
    /// Its turn has come; look how far the product's bound is.
    Consumed(Position, Position),
    /// Take a place past the bound.
    Replace(Position, Option<Position>),
    /// The subscription points there; write the entry (a mistake: it should have been one step).
    PutEntry(Position),
    /// Look at the product.
    Look(Position, JustWritten),
    Move(Position, Position),
    /// Answered, at this place, with whether the product is in stock.
    Done(Position, bool),
}

/// Whether this request wrote the entry.
type JustWritten = bool;

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
    /// Whose entry was read last.
    read: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Step {
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
    /// The worker's time is up.
    SliceEnds(usize),
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
        let (shopper, request) = world.requests[index].clone();
        let dice = index as u128;
        let known = world.subscriptions[shopper];
        let next = match request {
            Request::Idle => match known {
                Some(found) => Request::Found(found),
                None => self.enter(world, shopper, Position::new(clock, dice)),
            },
            Request::Found(found) if world.cursor.is_consumed(found) => {
                Request::Consumed(found, world.cursor.committed)
            }
            Request::Found(found) if world.entries.contains_key(&found) => Request::Look(found, false),
            Request::Found(found) => Request::Consumed(found, world.cursor.committed),
            Request::Consumed(found, committed) => {
                let bound = world.product.as_ref().and_then(|known| known.bound);
                let floor = bound.max(Some(committed));
                Request::Replace(found, floor.filter(|_| self.mistake != Mistake::RepeatFromStart))
            }
            Request::Replace(found, floor) if known == Some(found) => {
                self.enter(world, shopper, Position::past(floor, clock, dice))
            }
            Request::Replace(..) => Request::Idle,
            Request::PutEntry(place) => {
                world.entries.insert(place, shopper);
                Request::Look(place, true)
            }
            Request::Look(place, just_written) => {
                let bound =
                    world.product.as_ref().and_then(|known| known.must_move_past(place, just_written));
                match bound.filter(|_| self.mistake != Mistake::NoMove) {
                    Some(bound) => Request::Move(place, Position::past(Some(bound), clock, dice)),
                    None => Request::Done(place, world.product.as_ref().is_some_and(Product::in_stock)),
                }
            }
            // One transaction.
            Request::Move(from, to) if known == Some(from) => {
                world.entries.remove(&from);
                world.entries.insert(to, shopper);
                world.subscriptions[shopper] = Some(to);
                Request::Look(to, true)
            }
            Request::Move(..) => Request::Idle,
            done @ Request::Done(..) => done,
        };
        world.requests[index].1 = next;
    }

    /// One transaction: the subscription and its entry.
    fn enter(&self, world: &mut World, shopper: usize, place: Position) -> Request {
        world.subscriptions[shopper] = Some(place);
        if self.mistake == Mistake::EntryAfterSubscription {
            return Request::PutEntry(place);
        }
        world.entries.insert(place, shopper);
        Request::Look(place, true)
    }

    fn plan(&self, world: &mut World) {
        let event = world.next_event;
        let last = world.entries.last_key_value().map(|(position, _)| *position);
        world.planner = match world.planner.clone() {
            Planner::Idle => {
                Planner::Start { early: (self.mistake == Mistake::EndsBeforeStock).then_some(last) }
            }
            Planner::Start { early } => {
                let (version, restock_id) = (version(event), restock(event));
                let in_stock = self.events[event];
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
                    world.mailed.insert((shopper, position));
                    world.told[hold.job.event][shopper] += 1;
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

/// Whether nothing is under way and nothing is left to come.
fn at_rest(protocol: &Protocol, world: &World) -> bool {
    world.next_event == protocol.events.len()
        && world.jobs.is_empty()
        && world.workers == [Worker::Idle, Worker::Idle]
        && world.requests.iter().all(|(_, request)| matches!(request, Request::Done(..) | Request::Idle))
}

impl Model for Protocol {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World {
            subscriptions: [None; SHOPPERS],
            entries: BTreeMap::new(),
            cursor: Cursor::default(),
            token: 0,
            product: None,
            next_event: 0,
            jobs: vec![],
            requests: self.requests.iter().map(|shopper| (*shopper, Request::Idle)).collect(),
            planner: Planner::Idle,
            workers: [Worker::Idle, Worker::Idle],
            troubles: self.troubles,
            mailed: BTreeSet::new(),
            told: vec![[0; SHOPPERS]; self.events.len()],
            doubts: 0,
        }]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        for (index, (_, request)) in world.requests.iter().enumerate() {
            match request {
                Request::Done(..) => {}
                // Where a position is chosen, clocks differ.
                Request::Idle | Request::Replace(..) | Request::Look(..) => {
                    acts.extend([Act::Request(index, 1), Act::Request(index, 3)]);
                }
                _ => acts.push(Act::Request(index, 1)),
            }
        }
        if world.next_event < self.events.len() {
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
                    match step {
                        Step::Send(_) if world.troubles > 0 => acts.push(Act::Throttled(index)),
                        Step::LookAtProduct if world.troubles > 0 => acts.push(Act::SliceEnds(index)),
                        _ => {}
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
        if !matches!(act, Act::Request(..) | Act::Plan | Act::Take(..) | Act::Work(_)) {
            next.troubles -= 1;
        }
        match act {
            Act::Request(index, clock) => self.request(&mut next, index, clock),
            Act::Plan => self.plan(&mut next),
            Act::PlannerDies => next.planner = Planner::Idle,
            Act::Take(index, job) => next.workers[index] = Worker::Open(next.jobs.remove(job)),
            Act::Work(index) => self.work(&mut next, index, false),
            Act::Throttled(index) => self.work(&mut next, index, true),
            Act::SliceEnds(index) => {
                let Worker::Hold(_, step) = &mut next.workers[index] else { return None };
                *step = Step::Release { more: true };
            }
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
            Property::always(
                "nobody who was answered \"you wait\" is lost",
                |model: &Self, world: &World| {
                    // Told at this place, or moved on to a later one and told there; by a mail, or, where
                    // they asked twice at the same time, by the other request's answer "in stock".
                    let answered = |shopper: usize, place: Position| {
                        world.requests.iter().any(|(of, request)| {
                        matches!(request, Request::Done(at, true) if *of == shopper && *at > place)
                    })
                    };
                    let lost = |(shopper, request): &(usize, Request)| match request {
                        Request::Done(place, false) => {
                            let told = (*shopper, *place)..(*shopper + 1, Position::START);
                            world.mailed.range(told).next().is_none() && !answered(*shopper, *place)
                        }
                        _ => false,
                    };
                    let in_stock = world.product.as_ref().is_some_and(Product::in_stock);
                    !(at_rest(model, world) && in_stock && world.requests.iter().any(lost))
                },
            ),
            Property::always("nobody is told twice, but by a call in doubt", |_: &Self, world: &World| {
                world.told.iter().flatten().all(|times| *times <= 1 + world.doubts)
            }),
            Property::sometimes("somebody is told", |_: &Self, world: &World| {
                world.told.iter().flatten().any(|times| *times == 1)
            }),
            Property::sometimes("everything comes to rest", at_rest),
        ]
    }
}

impl Protocol {
    fn checked(self) -> impl Checker<Self> {
        self.checker().threads(2).spawn_bfs().join()
    }
}

const ONE: &[usize] = &[0];
const TWICE: &[usize] = &[0, 0];
const TWO: &[usize] = &[0, 1];
const AND_AGAIN: &[usize] = &[0, 1, 0];
const RESTOCK: &[bool] = &[true];
const BACK_AGAIN: &[bool] = &[true, false, true];

#[test]
fn a_shopper_who_asks_once_is_neither_lost_nor_told_twice_whatever_goes_wrong() {
    let protocol = Protocol { mistake: Mistake::None, requests: ONE, events: BACK_AGAIN, troubles: 1 };
    protocol.checked().assert_properties();
}

#[test]
fn nor_is_one_who_asks_twice_at_the_same_time() {
    let protocol = Protocol { mistake: Mistake::None, requests: TWICE, events: BACK_AGAIN, troubles: 0 };
    protocol.checked().assert_properties();
}

#[test]
fn nor_are_two_who_ask_at_the_same_time() {
    let protocol = Protocol { mistake: Mistake::None, requests: TWO, events: RESTOCK, troubles: 1 };
    protocol.checked().assert_properties();
}

#[test]
fn nor_is_one_who_asks_again_after_being_told() {
    let protocol = Protocol { mistake: Mistake::None, requests: AND_AGAIN, events: RESTOCK, troubles: 1 };
    protocol.checked().assert_properties();
}

#[test]
fn each_mistake_is_found() {
    let at = |mistake, requests, troubles| Protocol { mistake, requests, events: BACK_AGAIN, troubles };
    let once = |mistake, requests| Protocol { mistake, requests, events: RESTOCK, troubles: 1 };
    for protocol in [
        at(Mistake::EndsBeforeStock, ONE, 1),
        at(Mistake::SendWithoutClaim, ONE, 1),
        at(Mistake::CommitBeforeSend, ONE, 1),
        at(Mistake::EntryAfterSubscription, TWICE, 0),
        at(Mistake::NoMove, TWO, 0),
        once(Mistake::RepeatFromStart, AND_AGAIN),
    ] {
        let mistake = protocol.mistake;
        let checker = protocol.checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
        let found = checker.spawn_bfs().join().discoveries();
        assert!(found.keys().any(|name| name.starts_with("nobody")), "{mistake:?} goes unnoticed");
    }
}
