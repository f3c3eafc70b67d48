//! A request to subscribe: the table's part in what [`Subscribing`] asks for.

use jiff::Timestamp;

use super::planner::Planner;
use super::{Mistake, Protocol, SHARD, World};
use crate::Position;
use crate::subscribing::{Found, Insertion, Outcome, Step, Subscribed, Subscribing, Write};

/// The maker of a request for a shopper's address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) shopper: usize,
    /// Whether it is the shopper. A stranger's answer is a promise to nobody, and tells the shopper nothing.
    owner: bool,
}

impl Asker {
    pub(super) const fn owner(shopper: usize) -> Self {
        Self { shopper, owner: true }
    }

    pub(super) const fn stranger(shopper: usize) -> Self {
        Self { shopper, owner: false }
    }
}

/// A subscription in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Subscription {
    position: Position,
    /// The request that speaks for it.
    by: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Request {
    Idle,
    /// How many emails the shopper had got when it began.
    Asks(Subscribing, Emails),
    /// Answered, or dead; where its owner was answered and a restock is to come, with the number.
    Done(Option<Emails>),
}

type Emails = u8;

/// What clocks say: where a position is chosen, they differ.
pub(super) const EARLY: i64 = 1;
pub(super) const LATE: i64 = 3;

impl Protocol {
    /// Whether its clock decides what the request does next; `None` where it does nothing more.
    pub(super) fn chooses_position(&self, request: &Request) -> Option<bool> {
        let chooses = |subscribing: &Subscribing| {
            let at = |clock| subscribing.next(time(clock), 0);
            at(EARLY) != at(LATE)
        };
        match request {
            Request::Idle => Some(chooses(&self.subscribing())),
            Request::Asks(subscribing, _) => Some(chooses(subscribing)),
            Request::Done(_) => None,
        }
    }

    /// A shopper got an email: nothing is owed to them any more.
    pub(super) fn pay(&self, world: &mut World, shopper: usize) {
        for (owed, asker) in world.owed.iter_mut().zip(self.requests) {
            *owed &= asker.shopper != shopper;
        }
    }

    /// Whether a restock is left that no planner has begun with.
    fn restock_is_to_come(&self, world: &World) -> bool {
        let begun = usize::from(world.planner != Planner::Idle);
        self.events.iter().skip(world.next_event + begun).any(|in_stock| *in_stock)
    }

    fn subscribing(&self) -> Subscribing {
        let mutant = match self.mistake {
            Mistake::Subscribing(mutant) => Some(mutant),
            _ => None,
        };
        Subscribing::new(SHARD).mutated(mutant)
    }

    /// The request's next access of the table.
    pub(super) fn request(&self, world: &mut World, index: usize, clock: i64) {
        let Asker { shopper, owner } = self.requests[index];
        let is_to_come = self.restock_is_to_come(world);
        let (mut subscribing, before) = match world.requests[index].clone() {
            Request::Idle => (self.subscribing(), if is_to_come { world.emails(shopper) } else { 0 }),
            Request::Asks(subscribing, before) => (subscribing, before),
            Request::Done(_) => return,
        };
        self.answer(world, index, &mut subscribing, time(clock));
        if let Step::BackOff(_) = subscribing.next(time(clock), 0) {
            subscribing.on_waited();
        }
        let Step::Finished(Outcome::Subscribed(Subscribed { in_stock, .. })) =
            subscribing.next(time(clock), 0)
        else {
            world.requests[index] = Request::Asks(subscribing, before);
            return;
        };
        if owner && in_stock {
            self.pay(world, shopper);
        }
        world.owed[index] = owner && !in_stock;
        world.requests[index] = Request::Done((owner && is_to_come).then_some(before));
    }

    /// Does the next step of `subscribing`, and answers it.
    fn answer(&self, world: &mut World, index: usize, subscribing: &mut Subscribing, now: Timestamp) {
        let shopper = self.requests[index].shopper;
        let known = world.subscriptions[shopper];
        let found = known.map(|known| Found { shard: SHARD, position: known.position, ttl: i64::MAX });
        let points_to = |position| known.is_some_and(|known| known.position == position);
        let write = |applied| if applied { Write::Applied } else { Write::Refused };
        match subscribing.next(now, index as u128) {
            Step::Insert { position, .. } => {
                if found.is_none() {
                    world.enter(shopper, position, index);
                }
                subscribing.on_inserted(position, found.map_or(Insertion::Inserted, Insertion::Found));
            }
            Step::ReadCursor(_) => subscribing.on_cursor(&world.cursor, time(0)),
            Step::ReadEntry { position, .. } => subscribing.on_entry(world.entries.contains_key(&position)),
            Step::TakeOver(position) => {
                if points_to(position) {
                    world.subscriptions[shopper] = Some(Subscription { position, by: index });
                }
                subscribing.on_taken_over(write(points_to(position)));
            }
            Step::Replace { found, position, .. } => {
                if points_to(found) {
                    world.enter(shopper, position, index);
                }
                subscribing.on_replaced(position, write(points_to(found)));
            }
            Step::ReadProduct => subscribing.on_product(world.product.as_ref()),
            Step::Move { from, to, looked, .. } => {
                let speaks =
                    self.mistake == Mistake::MoveByAnybody || known.is_some_and(|known| known.by == index);
                let stands = looked.is_none_or(|looked| {
                    world
                        .product
                        .as_ref()
                        .is_some_and(|now| now.version == looked.version && now.bound == Some(looked.bound))
                });
                let applied = points_to(from) && speaks && stands;
                if applied {
                    // Its mark: whoever reads entries passes it.
                    world.entries.remove(&from);
                    world.enter(shopper, to, index);
                }
                subscribing.on_moved(to, write(applied));
            }
            Step::InsertBare(position) => {
                if found.is_none() {
                    world.subscriptions[shopper] = Some(Subscription { position, by: index });
                }
                subscribing.on_inserted(position, found.map_or(Insertion::Inserted, Insertion::Found));
            }
            Step::WriteEntry(position) => {
                world.entries.insert(position, shopper);
                subscribing.on_entry_written();
            }
            step @ (Step::BackOff(_) | Step::Finished(_)) => {
                unreachable!("{step:?} is no access of the table")
            }
        }
    }
}

impl World {
    /// Writes a subscription and its entry.
    fn enter(&mut self, shopper: usize, position: Position, by: usize) {
        self.subscriptions[shopper] = Some(Subscription { position, by });
        self.entries.insert(position, shopper);
    }
}

fn time(clock: i64) -> Timestamp {
    Timestamp::from_millisecond(clock).unwrap_or_default()
}
