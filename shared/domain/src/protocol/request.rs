//! A request to subscribe: the table's part in what [`Subscribing`] asks for.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Mistake, Protocol, SHARD, World, restock};
use crate::Position;
use crate::subscribing::{Found, Insertion, Outcome, Step, Subscribed, Subscribing, Write};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Request {
    Idle,
    /// How many emails the shopper had got for certain when it began. Shared, because most steps of the model are others'.
    Asks(Arc<Subscribing>, Emails),
    /// Answered, at this place, with whether the product is in stock; where a restock is to come, with the number.
    Done(Position, bool, Option<Emails>),
}

type Emails = usize;

impl Protocol {
    /// What the request does next where its clock says `clock`.
    pub(super) fn next_of(&self, request: &Request, index: usize, clock: i64) -> Option<Step> {
        match request {
            Request::Idle => Some(self.subscribing().next(time(clock), index as u128)),
            Request::Asks(subscribing, _) => Some(subscribing.next(time(clock), index as u128)),
            Request::Done(..) => None,
        }
    }

    /// Whether a restock is left that is not recorded yet.
    fn restock_is_to_come(&self, world: &World) -> bool {
        let recorded =
            world.product.as_ref().is_some_and(|known| known.restock_id == restock(world.next_event));
        self.events.iter().skip(world.next_event + usize::from(recorded)).any(|in_stock| *in_stock)
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
        let (shopper, request) = world.requests[index].clone();
        let is_to_come = self.restock_is_to_come(world);
        let (mut subscribing, before) = match request {
            Request::Idle => {
                (self.subscribing(), if is_to_come { world.committed_emails(shopper) } else { 0 })
            }
            Request::Asks(subscribing, before) => (Arc::unwrap_or_clone(subscribing), before),
            Request::Done(..) => return,
        };
        let step = subscribing.next(time(clock), index as u128);
        answer(world, shopper, &mut subscribing, step);
        if let Step::BackOff(_) = subscribing.next(time(clock), 0) {
            subscribing.on_waited();
        }
        world.requests[index].1 = match subscribing.next(time(clock), 0) {
            Step::Finished(Outcome::Subscribed(Subscribed { position, in_stock, .. })) => {
                Request::Done(position, in_stock, is_to_come.then_some(before))
            }
            _ => Request::Asks(Arc::new(subscribing), before),
        };
    }
}

impl World {
    /// Whether a shopper was answered "you wait" and got no email at that place, or at a later one that it moved to; nor,
    /// where they asked twice at the same time, the other request's answer "in stock".
    pub(super) fn is_lost(&self, shopper: usize, request: &Request) -> bool {
        let Request::Done(place, false, _) = *request else { return false };
        let later = (shopper, place)..(shopper + 1, Position::START);
        self.mailed.range(later).next().is_none() && !self.is_answered_later(shopper, place)
    }

    /// Whether a shopper was answered before a restock, and got no email after they had asked.
    pub(super) fn is_passed_over(&self, shopper: usize, request: &Request) -> bool {
        let Request::Done(place, _, Some(before)) = *request else { return false };
        let emails = self.mailed.iter().filter(|(of, _)| *of == shopper).count();
        emails <= before && !self.is_answered_later(shopper, place)
    }

    fn is_answered_later(&self, shopper: usize, place: Position) -> bool {
        let later = |request: &Request| matches!(request, Request::Done(at, true, _) if *at > place);
        self.requests.iter().any(|(of, request)| *of == shopper && later(request))
    }

    /// At how many places a shopper has got an email, without those in a call that is not committed: a request that meets
    /// that is as good as one before it.
    fn committed_emails(&self, shopper: usize) -> Emails {
        self.mailed.iter().filter(|(of, at)| *of == shopper && self.cursor.is_consumed(*at)).count()
    }
}

fn time(clock: i64) -> Timestamp {
    Timestamp::from_millisecond(clock).unwrap_or_default()
}

/// Does `step`, and answers it.
fn answer(world: &mut World, shopper: usize, subscribing: &mut Subscribing, step: Step) {
    let known = world.subscriptions[shopper];
    match step {
        Step::Insert { position, .. } => match known {
            Some(found) => {
                let found = Found { shard: SHARD, position: found, ttl: i64::MAX };
                subscribing.on_inserted(position, Insertion::Found(found));
            }
            None => {
                world.subscriptions[shopper] = Some(position);
                world.entries.insert(position, shopper);
                subscribing.on_inserted(position, Insertion::Inserted);
            }
        },
        Step::ReadCursor(_) => subscribing.on_cursor(&world.cursor, time(0)),
        Step::ReadEntry { position, .. } => subscribing.on_entry(world.entries.contains_key(&position)),
        Step::Replace { found, position, .. } => {
            let write = if known == Some(found) { Write::Applied } else { Write::Refused };
            if write == Write::Applied {
                world.subscriptions[shopper] = Some(position);
                world.entries.insert(position, shopper);
            }
            subscribing.on_replaced(position, write);
        }
        Step::ReadProduct => subscribing.on_product(world.product.as_ref()),
        Step::Move { from, to, .. } => {
            let write = if known == Some(from) { Write::Applied } else { Write::Refused };
            if write == Write::Applied {
                world.entries.remove(&from);
                world.entries.insert(to, shopper);
                world.subscriptions[shopper] = Some(to);
            }
            subscribing.on_moved(to, write);
        }
        Step::InsertBare(position) => match known {
            Some(found) => {
                let found = Found { shard: SHARD, position: found, ttl: i64::MAX };
                subscribing.on_inserted(position, Insertion::Found(found));
            }
            None => {
                world.subscriptions[shopper] = Some(position);
                subscribing.on_inserted(position, Insertion::Inserted);
            }
        },
        Step::WriteEntry(position) => {
            world.entries.insert(position, shopper);
            subscribing.on_entry_written();
        }
        Step::BackOff(_) | Step::Finished(_) => unreachable!("{step:?} is no access of the table"),
    }
}
