//! A request to subscribe, step by step.

use super::{Mistake, Protocol, World};
use crate::{Position, product::Product};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Request {
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
pub(super) type JustWritten = bool;

impl Protocol {
    pub(super) fn request(&self, world: &mut World, index: usize, clock: u64) {
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
}
