//! The protocol of subscribing, planning and delivering, checked in every interleaving at small
//! sizes: a few requests of one or two shoppers, made by them or by strangers who know their addresses, one shard that may be
//! raised to two, or be joined by that of another lane, at any moment, calls of one, two workers, two or three stock events, a
//! crash, a redelivery, a throttled call, one whose answer never comes or comes late, or the end of a slice at any step, and
//! clocks that give any position. The decisions are the crate's own; only the table, the topics and the processes around them
//! are modelled, each access to the table being one step.
//!
//! Each mistake in [`Mistake`] makes the checker find a subscriber lost or notified twice, which shows
//! that it could.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::cursor::Cursor;
use crate::delivery::Written;
use crate::product::{Product, Reach, StoredProduct};
use crate::rules::Rules;
use crate::{Lane, Position, RestockId, Shard, ShardCount, Shards, delivery, planning, subscribing};

mod planner;
mod request;
mod worker;

use planner::Planner;
use request::{Asker, EARLY, LATE, Request, Subscription};
use worker::{Trouble, Worker};

/// A step left out or in the wrong place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    None,
    /// One of a planner's.
    Planning(planning::Mutant),
    /// One of a request's.
    Subscribing(subscribing::Mutant),
    /// One of a worker's.
    Delivery(delivery::Mutant),
    /// A place is moved also by a request that does not speak for it.
    MoveByAny,
    /// A job whose ticket is old is worked on.
    KeepSuperseded,
    /// The rest of a job is published before its ticket is written.
    TicketAfterPublication,
    /// A sweep publishes a job without a new ticket.
    SweepWithoutTicket,
    /// A job that has nothing more to do closes the fan-out whosever ticket it has.
    CloseAnothers,
    /// The number of shards is set to a smaller one as well.
    LowerShards,
    /// That an entry ends before its turn is not counted on the cursor.
    EndUncounted,
}

#[derive(Debug, Clone)]
struct Protocol {
    mistake: Mistake,
    /// The requests, each by its maker.
    requests: &'static [Asker],
    /// The stock events: how many units there are.
    events: &'static [u64],
    /// How many subscribers a wave tells at most, and one for a unit; `None`: there are no waves.
    wave: Option<u64>,
    /// How many crashes, redeliveries, throttled calls and slices that end early there may be.
    troubles: u8,
    /// How many events may come to a second planner beside the first.
    twins: u8,
    /// How many subscriptions may be ended: by the shopper, an erasure, or a suppression.
    ends: u8,
    /// The shards that the list may be raised to, from one: two at most.
    shards: Shards,
    begins: Begins,
}

/// What is done before the interleavings begin: so many of the first requests are answered, the first of them by an early
/// clock and the others by a late one, and so many of the first events are planned.
#[derive(Debug, Clone, Copy, Default)]
struct Begins {
    answered: usize,
    planned: usize,
}

const SHOPPERS: usize = 2;
const SHARDS: usize = 2;
const TWO_SHARDS: Shards = match ShardCount::new(2) {
    Some(two) => Shards::mail(two),
    None => Shards::ONE,
};
const TWO_LANES: Shards = Shards { mail: ShardCount::ONE, priority: Some(ShardCount::ONE) };

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct World {
    // The table.
    subscriptions: [Option<Subscription>; SHOPPERS],
    lines: [Line; SHARDS],
    /// The numbers of shards on the product's item.
    shards: Shards,
    tickets: u8,
    product: Option<Product>,
    // The topics: the next event to be planned, and the jobs in line.
    next_event: usize,
    jobs: Vec<Job>,
    // The processes.
    requests: Vec<Request>,
    planner: Planner,
    /// Another planner of an event that came twice.
    second: Option<(usize, Planner)>,
    workers: [Worker; 2],
    /// The sweeps that see to what is due.
    sweepers: [Planner; 2],
    troubles: u8,
    twins: u8,
    // What happened.
    /// How many emails have gone to whom, at which place.
    mailed: BTreeMap<(usize, Shard, Position), u8>,
    /// Who was written down as passed, because their call was in doubt.
    passed: [bool; SHOPPERS],
    /// The entries that ended before a call with them was announced.
    spared: BTreeSet<(usize, Shard, Position)>,
    /// Of which shoppers a confirmation came to its end.
    settled: [bool; SHOPPERS],
    /// How many subscriptions may yet be ended.
    ends: u8,
    /// Whether a call got no answer.
    unheard: bool,
    /// Which shoppers were answered "you wait" and got no email after that, and no answer "in stock".
    owed: [bool; SHOPPERS],
    /// How often each shopper was told of each event.
    told: Vec<[u8; SHOPPERS]>,
    doubts: u8,
    /// Whether the product's bound went back, or a restock's was fixed twice.
    refixed: bool,
    /// Who was told by which bound or wave.
    waved: BTreeSet<(u64, usize)>,
    /// For how many the stock was enough by each bound or wave.
    sizes: BTreeMap<u64, u64>,
    /// Whether a wave was opened that was not due, or before the one before it was delivered.
    too_soon: bool,
    /// Whether a subscriber was told before another one in front of them.
    out_of_order: bool,
    /// Whether a call went out past the bound, or without a look at the stock since the one before, or the cursor went back.
    unlawful: bool,
    /// Whether a process died.
    crashed: bool,
    /// How many jobs came twice.
    redelivered: u8,
    /// Whether a job was worked on in whose place another one was.
    superseded: bool,
}

/// One shard of the waitlist.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Line {
    /// Whose they are.
    entries: BTreeMap<Position, usize>,
    cursor: Cursor,
    token: u8,
    /// How many of its entries have ended before their turn.
    ended: u8,
    /// The open fan-out: the job with its ticket is the living one.
    open: Option<Job>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Job {
    shard: Shard,
    event: usize,
    bound: Position,
    /// The number of the bound or wave that it is of.
    turn: u64,
    /// Its number; a job of an earlier version has none, which is 0.
    ticket: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Act {
    /// A request takes its next step; its clock says this.
    Request(usize, i64),
    /// A request begins with a number of shards that it has read earlier, and its clock says this.
    Begin(usize, Shards, i64),
    /// A shopper's subscription is ended.
    End(usize),
    /// A request ends without an answer.
    RequestDies(usize),
    /// Another shopper's request has found the list long.
    Raise,
    LowerShards,
    Plan,
    PlannerDies,
    /// An event that is being planned, or is planned, is delivered again to another planner.
    PlanTwice(usize),
    PlanSecond,
    /// A sweep sees to what is due, whenever that is.
    SweepDue(usize),
    SweeperDies(usize),
    Take(usize, usize),
    Work(usize, Trouble),
    WorkerDies(usize),
    /// A sweep puts the fan-out that stands still back in line.
    Sweep(usize),
    /// A sweep takes a fan-out for one that stands still.
    EarlySweep(usize),
    /// A job is delivered again while its worker works on.
    Zombie(usize),
}

fn restock(event: usize) -> RestockId {
    RestockId::of_record("e", 0, i64::try_from(event).unwrap_or_default())
}

/// The line of a shard. The second one is that of the second shard of a lane, or of the second lane: no protocol has both.
fn line_of(shard: Shard) -> usize {
    usize::from(shard.number) + usize::from(shard.lane == Lane::PriorityMail)
}

impl World {
    fn line(&self, shard: Shard) -> &Line {
        &self.lines[line_of(shard)]
    }

    fn line_mut(&mut self, shard: Shard) -> &mut Line {
        &mut self.lines[line_of(shard)]
    }

    /// What a read of the product's item gives.
    fn stored(&self) -> StoredProduct {
        StoredProduct { product: self.product.clone(), shards: self.shards, rules: Rules::default() }
    }

    /// Writes a cursor, on condition that it was last seen with this token and so many ended entries.
    fn write_cursor(&mut self, shard: Shard, cursor: &Cursor, (seen, ended): (Option<&str>, u8)) -> Written {
        let line = self.line_mut(shard);
        if seen.unwrap_or("0") != line.token.to_string() {
            return Written::Lost;
        }
        if ended != line.ended {
            return Written::EntryEnded;
        }
        let back = cursor.committed < line.cursor.committed;
        line.cursor = cursor.clone();
        line.token += 1;
        self.unlawful |= back;
        Written::Won
    }

    /// Whether the worker that announced the call in flight lives and has not committed it yet.
    fn has_announcer(&self, shard: Shard) -> bool {
        self.workers.iter().any(|worker| worker.has_written(shard, self.line(shard).token))
    }

    /// Whether it will have done so long before the call looks old.
    fn flies(&self, shard: Shard) -> bool {
        let token = self.line(shard).token;
        self.workers.iter().any(|worker| worker.has_written(shard, token) && !worker.is_late())
    }

    fn new_ticket(&mut self) -> u8 {
        self.tickets += 1;
        self.tickets
    }

    /// Whether the job has the ticket of its shard's open fan-out.
    fn is_current(&self, job: Job) -> bool {
        self.line(job.shard).open.is_some_and(|open| open.ticket == job.ticket)
    }

    /// The jobs of a shard in line or being worked on that will not be dropped.
    fn living_jobs(&self, shard: Shard) -> usize {
        let jobs = self.jobs.iter().copied().chain(self.workers.iter().filter_map(Worker::living_job));
        jobs.filter(|job| job.shard == shard && (job.ticket == 0 || self.is_current(*job))).count()
    }

    /// Whether a fan-out of the shard is open, and no job of it is anywhere.
    fn stands_still(&self, shard: Shard) -> bool {
        let Some(Job { ticket, .. }) = self.line(shard).open else { return false };
        let second = self.second.as_ref().is_some_and(|(_, planner)| planner.publishes(ticket));
        let swept = self.sweepers.iter().any(|sweeper| sweeper.publishes(ticket));
        self.living_jobs(shard) == 0 && !second && !swept && !self.planner.publishes(ticket)
    }

    fn put_in_line(&mut self, job: Job) {
        self.jobs.push(job);
        self.jobs.sort();
    }
}

impl Line {
    /// Whether every entry up to there had its turn.
    fn is_delivered(&self, reach: Option<Reach>) -> bool {
        // No list of the model that has waves has priority.
        let reach = reach.map(|reach| reach.mail);
        let last = self.entries.keys().filter(|place| Some(**place) <= reach).max().copied();
        self.cursor.is_done(last, reach.unwrap_or(Position::START))
    }
}

/// Whether nothing is under way and nothing is left to come.
fn at_rest(protocol: &Protocol, world: &World) -> bool {
    world.next_event == protocol.events.len()
        && world.second.is_none()
        && world.sweepers == [Planner::Idle, Planner::Idle]
        && world.product.as_ref().is_none_or(|product| product.due.is_none())
        && world.lines.iter().all(|line| line.open.is_none())
        && world.jobs.is_empty()
        && world.workers == [Worker::Idle, Worker::Idle]
        && world.requests.iter().all(|request| matches!(request, Request::Done(_) | Request::Idle))
}

/// Whether everything is at rest with the product in stock: every entry up to its bound must be delivered.
fn has_delivered(protocol: &Protocol, world: &World) -> bool {
    at_rest(protocol, world) && world.product.as_ref().is_some_and(Product::in_stock)
}

impl Model for Protocol {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        let mut world = World {
            subscriptions: [None; SHOPPERS],
            lines: Default::default(),
            shards: Shards::ONE,
            tickets: 0,
            product: None,
            next_event: 0,
            jobs: vec![],
            requests: vec![Request::Idle; self.requests.len()],
            planner: Planner::Idle,
            second: None,
            workers: [Worker::Idle, Worker::Idle],
            sweepers: [Planner::Idle, Planner::Idle],
            troubles: self.troubles,
            twins: self.twins,
            mailed: BTreeMap::new(),
            passed: [false; SHOPPERS],
            spared: BTreeSet::new(),
            settled: [false; SHOPPERS],
            ends: self.ends,
            unheard: false,
            owed: [false; SHOPPERS],
            told: vec![[0; SHOPPERS]; self.events.len()],
            doubts: 0,
            refixed: false,
            waved: BTreeSet::new(),
            sizes: BTreeMap::new(),
            too_soon: false,
            out_of_order: false,
            unlawful: false,
            crashed: false,
            redelivered: 0,
            superseded: false,
        };
        for index in 0..self.begins.answered {
            while !matches!(world.requests[index], Request::Done(_)) {
                self.request(&mut world, index, Shards::ONE, if index == 0 { EARLY } else { LATE });
            }
        }
        while world.next_event < self.begins.planned {
            self.plan(&mut world);
        }
        vec![world]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        for (index, request) in world.requests.iter().enumerate() {
            let raised = *request == Request::Idle && world.shards != Shards::ONE;
            for known in [Shards::ONE, world.shards].into_iter().take(1 + usize::from(raised)) {
                let Some(chooses) = self.chooses_position(index, request, known) else { continue };
                let clocks = [EARLY, LATE].into_iter().take(1 + usize::from(chooses));
                acts.extend(clocks.map(|clock| match request {
                    Request::Idle => Act::Begin(index, known, clock),
                    _ => Act::Request(index, clock),
                }));
            }
            // A request that ends is its shopper's own matter: two requests are enough to see what comes of it.
            if world.troubles > 0 && world.requests.len() <= 2 && matches!(request, Request::Asks(..)) {
                acts.push(Act::RequestDies(index));
            }
        }
        if world.ends > 0 {
            let ends = (0..SHOPPERS).filter(|shopper| self.can_be_ended(world, *shopper));
            acts.extend(ends.map(Act::End));
        }
        if world.next_event < self.events.len() {
            acts.push(Act::Plan);
            if world.troubles > 0 && world.planner != Planner::Idle {
                acts.push(Act::PlannerDies);
            }
        }
        if world.shards != self.shards {
            acts.push(Act::Raise);
        } else if self.mistake == Mistake::LowerShards && world.shards != Shards::ONE {
            acts.push(Act::LowerShards);
        }
        for shard in self.shards.all() {
            let index = line_of(shard);
            if world.stands_still(shard) {
                acts.push(Act::Sweep(index));
            } else if world.line(shard).open.is_some() && world.troubles > 0 {
                acts.push(Act::EarlySweep(index));
            }
        }
        let is_due = world.product.as_ref().is_some_and(|product| product.due.is_some());
        for (index, sweeper) in world.sweepers.iter().enumerate().take(if self.twins > 0 { 2 } else { 1 }) {
            if *sweeper != Planner::Idle || is_due {
                acts.push(Act::SweepDue(index));
            }
            if *sweeper != Planner::Idle && world.troubles > 0 {
                acts.push(Act::SweeperDies(index));
            }
        }
        if world.second.is_some() {
            acts.push(Act::PlanSecond);
        } else if world.twins > 0 && self.wave.is_none() {
            let begun = world.next_event + usize::from(world.planner != Planner::Idle);
            acts.extend((0..begun).filter(|event| self.events[*event] > 0).map(Act::PlanTwice));
        }
        for (index, worker) in world.workers.iter().enumerate() {
            match worker {
                Worker::Idle => acts.extend((0..world.jobs.len()).map(|job| Act::Take(index, job))),
                _ => acts.push(Act::Work(index, Trouble::None)),
            }
            if world.troubles > 0 && *worker != Worker::Idle {
                acts.extend([Act::WorkerDies(index), Act::Zombie(index)]);
                // A lost or late answer is the worker's own matter: one shopper is enough to see what comes of it.
                let troubles = if world.requests.len() == 1 { &Trouble::ALL[..] } else { Trouble::OF_SES };
                acts.extend(troubles.iter().map(|trouble| Act::Work(index, *trouble)));
            }
        }
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        let ordinary = matches!(
            act,
            Act::Request(..)
                | Act::Begin(..)
                | Act::End(_)
                | Act::Raise
                | Act::LowerShards
                | Act::Plan
                | Act::SweepDue(_)
                | Act::Take(..)
                | Act::Work(_, Trouble::None)
                | Act::Sweep(_)
        );
        if !ordinary && !matches!(act, Act::PlanTwice(_) | Act::PlanSecond) {
            next.troubles -= 1;
        }
        next.crashed |= matches!(act, Act::PlannerDies | Act::SweeperDies(_) | Act::WorkerDies(_));
        next.redelivered += u8::from(matches!(act, Act::Zombie(_)));
        match act {
            Act::Request(index, clock) => self.request(&mut next, index, Shards::ONE, clock),
            Act::Begin(index, known, clock) => self.request(&mut next, index, known, clock),
            Act::End(shopper) => self.end(&mut next, shopper),
            Act::Raise => next.shards = self.shards,
            Act::LowerShards => next.shards = Shards::ONE,
            Act::RequestDies(index) => next.requests[index] = Request::Done(None),
            Act::Plan => self.plan(&mut next),
            Act::PlannerDies => next.planner = Planner::Idle,
            Act::PlanTwice(event) => {
                next.twins -= 1;
                next.second = Some((event, Planner::Idle));
            }
            Act::PlanSecond => self.plan_second(&mut next),
            Act::SweepDue(index) => self.sweep_due(&mut next, index)?,
            Act::SweeperDies(index) => next.sweepers[index] = Planner::Idle,
            Act::Take(index, job) => next.workers[index] = Worker::Open(next.jobs.remove(job)),
            Act::Work(index, trouble) => self.work(&mut next, index, trouble)?,
            Act::Sweep(line) | Act::EarlySweep(line) => {
                let swept = next.lines[line].open?;
                let without = self.mistake == Mistake::SweepWithoutTicket;
                let job = Job { ticket: if without { 0 } else { next.new_ticket() }, ..swept };
                if !without {
                    next.lines[line].open = Some(job);
                }
                next.put_in_line(job);
            }
            Act::WorkerDies(index) | Act::Zombie(index) => {
                let job = next.workers[index].job()?;
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
                "no subscriber who was answered \"you wait\" is lost",
                |model: &Self, world: &World| !(has_delivered(model, world) && world.owed.contains(&true)),
            ),
            Property::always(
                "no subscriber who was answered is passed over by the restocks to come",
                |model: &Self, world: &World| !(has_delivered(model, world) && model.passes_over(world)),
            ),
            Property::always(
                "no subscriber is told twice, but by a call in doubt",
                |_: &Self, world: &World| world.told.iter().flatten().all(|times| *times <= 1 + world.doubts),
            ),
            Property::always(
                "no subscriber is told twice, but after a crash or a call without an answer",
                |_: &Self, world: &World| {
                    world.crashed || world.unheard || world.mailed.values().all(|emails| *emails <= 1)
                },
            ),
            Property::always("no subscriber gets a third email", |_: &Self, world: &World| {
                world.mailed.values().all(|emails| *emails <= 2)
            }),
            Property::always("no subscriber is passed after one doubt", |model: &Self, world: &World| {
                !world.passed.contains(&true) || model.troubles - world.troubles >= 2
            }),
            Property::always(
                "no bound of a restock is fixed twice, or goes back",
                |_: &Self, world: &World| !world.refixed,
            ),
            Property::always(
                "no wave tells more subscribers than the stock is enough for",
                |model: &Self, world: &World| {
                    let told = |turn| world.waved.iter().filter(|(of, _)| *of == turn).count() as u64;
                    model.asks_later() || world.sizes.iter().all(|(turn, size)| told(*turn) <= *size)
                },
            ),
            Property::always(
                "no wave comes before it is due, or before the one before it is delivered",
                |model: &Self, world: &World| !world.too_soon || model.asks_later(),
            ),
            Property::always(
                "no subscriber is told before one who has waited longer in the same shard",
                |model: &Self, world: &World| !world.out_of_order || model.asks_later(),
            ),
            Property::always(
                "no subscriber is told past the bound, without a look at the stock, unconfirmed or ended, or loses their turn's mark",
                |_: &Self, world: &World| !world.unlawful,
            ),
            Property::always(
                "no worker works on a shard whose job another one has taken the place of",
                |_: &Self, world: &World| !world.superseded,
            ),
            Property::always(
                "no shard has two living jobs, but by a redelivery",
                |model: &Self, world: &World| {
                    let most = 1 + usize::from(world.redelivered);
                    model.shards.all().all(|shard| world.living_jobs(shard) <= most)
                },
            ),
            Property::always(
                "no shard waits for a sweep, but after a crash",
                |model: &Self, world: &World| {
                    world.crashed || !model.shards.all().any(|shard| world.stands_still(shard))
                },
            ),
            Property::sometimes("a subscriber is told", |_: &Self, world: &World| {
                world.told.iter().flatten().any(|times| *times == 1)
            }),
            Property::sometimes("everything comes to rest", at_rest),
        ]
    }
}

impl Protocol {
    /// Whether a subscriber asks while restocks are planned: by an early clock their entry may stand for a moment among those who
    /// waited before.
    fn asks_later(&self) -> bool {
        self.begins.answered < self.requests.len()
    }

    #[expect(clippy::print_stdout, reason = "the size of what was checked")]
    fn checked(self) -> impl Checker<Self> {
        let checker = self.checker().threads(2).spawn_bfs().join();
        println!("{} states", checker.unique_state_count());
        checker
    }
}

const ONE: &[Asker] = &[Asker::owner(0)];
const TWICE: &[Asker] = &[Asker::owner(0), Asker::owner(0)];
const AND_A_STRANGER: &[Asker] = &[Asker::owner(0), Asker::stranger(0)];
const TWO: &[Asker] = &[Asker::owner(0), Asker::owner(1)];
const AND_AGAIN: &[Asker] = &[Asker::owner(0), Asker::owner(1), Asker::owner(0)];
const TWO_AND_A_STRANGER: &[Asker] = &[Asker::owner(0), Asker::stranger(0), Asker::owner(1)];
const CONFIRMED: &[Asker] = &[Asker::confirmer(0)];
const CONFIRMED_TWICE: &[Asker] = &[Asker::confirmer(0), Asker::confirmer(0)];
const CONFIRMED_AND_ANOTHER: &[Asker] = &[Asker::confirmer(0), Asker::owner(1)];
const PRIORITY: &[Asker] = &[Asker::with_priority(0)];
const ONE_WITH_PRIORITY: &[Asker] = &[Asker::with_priority(0), Asker::owner(1)];
const PRIORITY_LATER: &[Asker] = &[Asker::owner(0), Asker::with_priority(0)];
const RESTOCK: &[u64] = &[1];
const BACK_AGAIN: &[u64] = &[1, 0, 1];
/// A restock and a sale, and the same with a sell-out and another restock.
/// The second restock is smaller than the first.
const FEWER_AGAIN: &[u64] = &[2, 0, 1];
const AND_A_SALE: &[u64] = &[2, 1];
const SALE_AND_BACK_AGAIN: &[u64] = &[2, 1, 0, 1];

/// No worker has begun with the first restock when it sells out.
const SOLD_OUT_IN_FAN_OUT: Begins = Begins { answered: 1, planned: 2 };
/// Two wait, and the restock is planned.
const PLANNED: Begins = Begins { answered: 2, planned: 1 };
/// One waits, and the restock is planned.
const ONE_PLANNED: Begins = Begins { answered: 1, planned: 1 };

/// The protocol without a mistake, from the beginning.
fn right(requests: &'static [Asker], events: &'static [u64], troubles: u8) -> Protocol {
    let (shards, begins) = (Shards::ONE, Begins::default());
    let (mistake, wave) = (Mistake::None, None);
    Protocol { mistake, requests, events, wave, troubles, twins: 0, ends: 0, shards, begins }
}

/// The same with waves of one, of which two wait.
fn waves(events: &'static [u64], troubles: u8) -> Protocol {
    let begins = Begins { answered: 2, planned: 0 };
    Protocol { wave: Some(1), begins, ..right(TWO, events, troubles) }
}

#[test]
fn a_shopper_who_asks_once_is_neither_lost_nor_told_twice_whatever_goes_wrong() {
    right(ONE, BACK_AGAIN, 1).checked().assert_properties();
}

#[test]
fn nor_does_one_get_three_emails_however_slow_ses_is() {
    Protocol { begins: ONE_PLANNED, ..right(ONE, RESTOCK, 3) }.checked().assert_properties();
}

#[test]
fn nor_is_one_who_asks_twice_at_the_same_time() {
    right(TWICE, BACK_AGAIN, 0).checked().assert_properties();
}

#[test]
fn nor_are_two_who_ask_at_the_same_time() {
    right(TWO, RESTOCK, 1).checked().assert_properties();
}

#[test]
fn nor_is_one_who_asks_again_after_being_told() {
    right(TWICE, RESTOCK, 1).checked().assert_properties();
}

#[test]
#[ignore = "minutes"]
fn nor_is_one_who_asks_again_after_being_told_while_another_asks() {
    right(AND_AGAIN, RESTOCK, 1).checked().assert_properties();
}

#[test]
fn nor_is_one_for_whom_two_planners_work_on_one_restock() {
    Protocol { twins: 1, ..right(TWICE, RESTOCK, 0) }.checked().assert_properties();
}

#[test]
fn nor_is_one_for_whose_address_a_stranger_asks() {
    right(AND_A_STRANGER, RESTOCK, 1).checked().assert_properties();
}

#[test]
fn nor_is_one_for_whose_address_a_stranger_asks_when_it_sold_out_too_soon() {
    let begins = SOLD_OUT_IN_FAN_OUT;
    Protocol { begins, ..right(AND_A_STRANGER, BACK_AGAIN, 1) }.checked().assert_properties();
}

#[test]
#[ignore = "minutes"]
fn nor_is_one_for_whose_address_a_stranger_asks_while_it_comes_and_goes() {
    right(AND_A_STRANGER, BACK_AGAIN, 0).checked().assert_properties();
}

#[test]
#[ignore = "minutes"]
fn nor_are_two_for_one_of_whom_a_stranger_asks() {
    right(TWO_AND_A_STRANGER, RESTOCK, 0).checked().assert_properties();
}

#[test]
fn nor_is_one_who_asks_while_the_list_gets_more_shards() {
    Protocol { shards: TWO_SHARDS, ..right(ONE, BACK_AGAIN, 0) }.checked().assert_properties();
}

#[test]
#[ignore = "minutes"]
fn nor_is_one_who_asks_while_the_list_gets_more_shards_whatever_goes_wrong() {
    Protocol { shards: TWO_SHARDS, ..right(ONE, BACK_AGAIN, 1) }.checked().assert_properties();
}

#[test]
fn nor_are_two_who_ask_while_the_list_gets_more_shards() {
    Protocol { shards: TWO_SHARDS, ..right(TWO, RESTOCK, 0) }.checked().assert_properties();
}

#[test]
#[ignore = "minutes"]
fn nor_are_two_who_ask_while_the_list_gets_more_shards_and_a_worker_dies() {
    Protocol { shards: TWO_SHARDS, ..right(TWO, RESTOCK, 1) }.checked().assert_properties();
}

#[test]
fn nor_is_one_who_asks_with_priority_while_the_lane_is_opened() {
    Protocol { shards: TWO_LANES, ..right(PRIORITY, BACK_AGAIN, 0) }.checked().assert_properties();
}

#[test]
fn nor_are_two_of_whom_one_has_priority_while_the_lane_is_opened() {
    Protocol { shards: TWO_LANES, ..right(ONE_WITH_PRIORITY, RESTOCK, 0) }.checked().assert_properties();
}

#[test]
fn nor_is_one_who_asks_twice_once_with_priority() {
    Protocol { shards: TWO_LANES, ..right(PRIORITY_LATER, RESTOCK, 0) }.checked().assert_properties();
}

#[test]
fn nor_is_one_who_confirms_however_late_whatever_goes_wrong() {
    right(CONFIRMED, BACK_AGAIN, 1).checked().assert_properties();
}

#[test]
fn nor_is_one_who_confirms_twice() {
    right(CONFIRMED_TWICE, RESTOCK, 1).checked().assert_properties();
}

#[test]
fn nor_are_two_of_whom_one_confirms() {
    right(CONFIRMED_AND_ANOTHER, RESTOCK, 0).checked().assert_properties();
}

#[test]
fn one_who_leaves_is_told_by_an_announced_call_alone_and_the_other_is_neither_lost_nor_told_twice() {
    Protocol { ends: 1, ..right(TWO, RESTOCK, 1) }.checked().assert_properties();
}

#[test]
fn one_who_confirms_and_leaves_is_told_by_an_announced_call_alone() {
    Protocol { ends: 1, ..right(CONFIRMED_TWICE, RESTOCK, 0) }.checked().assert_properties();
}

#[test]
fn waves_tell_each_subscriber_in_turn_with_a_sale_between_them() {
    waves(AND_A_SALE, 0).checked().assert_properties();
}

#[test]
fn and_when_a_process_dies() {
    waves(RESTOCK, 1).checked().assert_properties();
}

#[test]
fn and_when_it_sells_out_and_comes_back_between_them() {
    waves(SALE_AND_BACK_AGAIN, 0).checked().assert_properties();
}

#[test]
fn and_by_two_sweeps() {
    let begins = PLANNED;
    Protocol { twins: 1, begins, ..waves(RESTOCK, 0) }.checked().assert_properties();
}

#[test]
fn and_one_who_asks_again_after_a_larger_wave_that_stopped() {
    let begins = Begins { answered: 2, planned: 2 };
    Protocol { wave: Some(2), begins, ..right(AND_AGAIN, FEWER_AGAIN, 0) }.checked().assert_properties();
}

#[test]
fn whoever_asks_once_a_restock_is_planned_is_not_part_of_its_waves_nor_lost() {
    let begins = Begins { answered: 1, planned: 0 };
    Protocol { wave: Some(1), begins, ..right(TWO, RESTOCK, 0) }.checked().assert_properties();
}

#[test]
fn each_mistake_is_found() {
    let at = |mistake, requests, troubles| Protocol { mistake, ..right(requests, BACK_AGAIN, troubles) };
    let once = |mistake, requests| Protocol { mistake, ..right(requests, RESTOCK, 1) };
    let slow = |mistake, troubles| Protocol { begins: ONE_PLANNED, mistake, ..right(ONE, RESTOCK, troubles) };
    let planned = |mistake| Protocol { begins: PLANNED, ..once(mistake, AND_AGAIN) };
    let stranger = |mistake| Protocol { mistake, ..right(AND_A_STRANGER, RESTOCK, 0) };
    let sold_out =
        |mistake| Protocol { mistake, begins: SOLD_OUT_IN_FAN_OUT, ..right(AND_A_STRANGER, BACK_AGAIN, 0) };
    let twins = |mistake| Protocol { twins: 1, mistake, ..right(ONE, RESTOCK, 0) };
    let raised = |mistake| Protocol { mistake, shards: TWO_SHARDS, ..right(ONE, RESTOCK, 0) };
    let opened = |mistake| Protocol { mistake, shards: TWO_LANES, ..right(PRIORITY, RESTOCK, 0) };
    let ended = |mistake| Protocol { ends: 1, mistake, ..right(TWO, RESTOCK, 0) };
    for protocol in [
        at(Mistake::Planning(planning::Mutant::EndsBeforeStock), ONE, 1),
        at(Mistake::Planning(planning::Mutant::BoundBeforeEnds), TWO, 0),
        at(Mistake::Planning(planning::Mutant::UnfixedBound), TWO, 0),
        once(Mistake::Planning(planning::Mutant::FixAgain), TWICE),
        twins(Mistake::Planning(planning::Mutant::FixTwice)),
        at(Mistake::Delivery(delivery::Mutant::SendWithoutWinning), ONE, 1),
        at(Mistake::Delivery(delivery::Mutant::SendBeforeAnnouncing), ONE, 1),
        at(Mistake::Delivery(delivery::Mutant::CommitBeforeSend), ONE, 1),
        at(Mistake::Delivery(delivery::Mutant::TakeDoubtForDelivered), ONE, 1),
        at(Mistake::Delivery(delivery::Mutant::DoubtYoungCall), ONE, 1),
        at(Mistake::Delivery(delivery::Mutant::PassBound), ONE, 1),
        at(Mistake::Delivery(delivery::Mutant::NoSecondLook), ONE, 1),
        at(Mistake::Delivery(delivery::Mutant::NoLateCommit), ONE, 1),
        slow(Mistake::Delivery(delivery::Mutant::ForgetDoubt), 2),
        slow(Mistake::Delivery(delivery::Mutant::ForgetDoubtOfRetries), 3),
        at(Mistake::Delivery(delivery::Mutant::ForgetRetries), ONE, 1),
        at(Mistake::Delivery(delivery::Mutant::ReleaseUnfenced), ONE, 1),
        at(Mistake::Delivery(delivery::Mutant::CommitUnsureAnnouncement), ONE, 1),
        at(Mistake::KeepSuperseded, ONE, 1),
        at(Mistake::TicketAfterPublication, ONE, 1),
        at(Mistake::SweepWithoutTicket, ONE, 1),
        at(Mistake::CloseAnothers, ONE, 0),
        at(Mistake::Subscribing(subscribing::Mutant::EntryAfterSubscription), TWICE, 0),
        at(Mistake::Subscribing(subscribing::Mutant::LookBeforeWrite), ONE, 0),
        at(Mistake::Subscribing(subscribing::Mutant::NoMove), TWO, 0),
        at(Mistake::Subscribing(subscribing::Mutant::NoLookAfterMove), TWO, 0),
        planned(Mistake::Subscribing(subscribing::Mutant::RepeatFromStart)),
        at(Mistake::Subscribing(subscribing::Mutant::NoNoteOfConsumed), TWICE, 0),
        stranger(Mistake::Subscribing(subscribing::Mutant::NoTakeOver)),
        stranger(Mistake::MoveByAny),
        sold_out(Mistake::Subscribing(subscribing::Mutant::MoveUnchecked)),
        raised(Mistake::Planning(planning::Mutant::ShardsBeforeStock)),
        raised(Mistake::Subscribing(subscribing::Mutant::ShardBeforeRaise)),
        raised(Mistake::LowerShards),
        opened(Mistake::Subscribing(subscribing::Mutant::LaneBeforeRaise)),
        opened(Mistake::Planning(planning::Mutant::ShardsBeforeStock)),
        opened(Mistake::LowerShards),
        Protocol {
            troubles: 0,
            ..once(Mistake::Subscribing(subscribing::Mutant::NoLookAfterConfirm), CONFIRMED)
        },
        ended(Mistake::Delivery(delivery::Mutant::KeepEnded)),
        ended(Mistake::EndUncounted),
        Protocol {
            twins: 1,
            mistake: Mistake::Planning(planning::Mutant::OpenWaveTwice),
            ..waves(RESTOCK, 0)
        },
        Protocol { mistake: Mistake::Planning(planning::Mutant::EndEarly), ..waves(RESTOCK, 0) },
        Protocol {
            mistake: Mistake::Delivery(delivery::Mutant::IgnoreWave),
            wave: Some(2),
            ..waves(FEWER_AGAIN, 0)
        },
    ] {
        let mistake = protocol.mistake;
        let checker = protocol.checker().threads(2).finish_when(HasDiscoveries::AnyFailures);
        let found = checker.spawn_bfs().join().discoveries();
        assert!(found.keys().any(|name| name.starts_with("no ")), "{mistake:?} goes unnoticed");
    }
}
