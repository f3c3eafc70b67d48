//! A request to subscribe: the table's part in what [`Subscribing`] asks for.

use std::sync::Arc;

use jiff::Timestamp;

use super::{Mistake, Protocol, World, restock};
use crate::shard::SubscriberHash;
use crate::subscribing::{Found, Insertion, Outcome, Standing, Step, Subscribed, Subscribing, Write};
use crate::{Lane, Position, Shard, ShardCount, Shards};

/// The maker of a request for a shopper's address.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) shopper: usize,
    /// Whether it is the shopper. A stranger's answer is no promise, and tells the shopper nothing.
    owner: bool,
    /// Whether the ask is to be confirmed, which only the shopper can.
    confirms: bool,
    /// The lane that the shop vouches for.
    lane: Lane,
}

impl Asker {
    pub(super) const fn owner(shopper: usize) -> Self {
        Self { shopper, owner: true, confirms: false, lane: Lane::Mail }
    }

    pub(super) const fn stranger(shopper: usize) -> Self {
        Self { owner: false, ..Self::owner(shopper) }
    }

    pub(super) const fn confirmer(shopper: usize) -> Self {
        Self { confirms: true, ..Self::owner(shopper) }
    }

    pub(super) const fn with_priority(shopper: usize) -> Self {
        Self { lane: Lane::PriorityMail, ..Self::owner(shopper) }
    }
}

/// A subscription in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Subscription {
    shard: Shard,
    position: Position,
    /// The request that speaks for it.
    by: usize,
    /// Whether it is an ask that is to be confirmed: without an entry.
    pending: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Request {
    Idle,
    /// The ask is written down, and the email with the link is out.
    Asked,
    /// How many emails the shopper had got for certain when it began. Shared, because most steps of the model are others'.
    Asks(Arc<Subscribing>, Emails),
    /// Dead, or a stranger was answered, or the shopper was, like this.
    Done(Option<Answer>),
}

/// What a shopper was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Answer {
    place: Position,
    in_stock: bool,
    /// Where a restock is to come: how many emails they had got for certain when they asked.
    before: Option<Emails>,
}

type Emails = usize;

/// What clocks say: where a position is chosen, they differ.
pub(super) const EARLY: i64 = 1;
pub(super) const LATE: i64 = 3;

impl Protocol {
    /// Whether its clock decides what the request does next, which begins with these numbers of shards if it is idle; `None`
    /// where it does nothing more.
    pub(super) fn chooses_position(&self, index: usize, request: &Request, known: Shards) -> Option<bool> {
        let chooses = |subscribing: &Subscribing| {
            let at = |clock| subscribing.next(time(clock), 0);
            at(EARLY) != at(LATE)
        };
        match request {
            Request::Idle => Some(chooses(&self.subscribing(index, known))),
            Request::Asked => Some(false),
            Request::Asks(subscribing, _) => Some(chooses(subscribing)),
            Request::Done(_) => None,
        }
    }

    /// Whether a restock is left that is not recorded yet.
    fn restock_is_to_come(&self, world: &World) -> bool {
        let recorded =
            world.product.as_ref().is_some_and(|known| known.restock_id == restock(world.next_event));
        self.events.iter().skip(world.next_event + usize::from(recorded)).any(|units| *units > 0)
    }

    /// Whether a shopper's subscription may be ended. Not while a request of theirs is under way: what it answers then is
    /// their own matter.
    pub(super) fn can_be_ended(&self, world: &World, shopper: usize) -> bool {
        let asks = |(asker, request): (&Asker, &Request)| {
            asker.shopper == shopper && matches!(request, Request::Asks(..))
        };
        world.subscriptions[shopper].is_some() && !self.requests.iter().zip(&world.requests).any(asks)
    }

    /// Ends a shopper's subscription. What they were answered is no promise any more.
    pub(super) fn end(&self, world: &mut World, shopper: usize) {
        world.ends -= 1;
        for (asker, request) in self.requests.iter().zip(&mut world.requests) {
            if asker.shopper == shopper && matches!(request, Request::Done(_)) {
                *request = Request::Done(None);
            }
        }
        world.end(shopper, self.mistake == Mistake::EndUncounted);
    }

    /// Whether a shopper was answered before a restock, and got no email after they had asked.
    pub(super) fn passes_over(&self, world: &World) -> bool {
        let answers = || {
            self.requests.iter().zip(&world.requests).filter_map(|(asker, request)| match request {
                Request::Done(Some(answer)) => Some((asker.shopper, answer)),
                _ => None,
            })
        };
        answers().any(|(shopper, answer)| {
            let Some(before) = answer.before else { return false };
            let emails = world.mailed.keys().filter(|(of, ..)| *of == shopper).count();
            // Where they asked twice at the same time, the other answer may have told them.
            let is_told =
                |(of, other): (usize, &Answer)| of == shopper && other.in_stock && other.place > answer.place;
            emails <= before && !world.passed[shopper] && !answers().any(is_told)
        })
    }

    /// A request, by a shopper of whom the first waits in the second shard of a lane as soon as there is one.
    fn subscribing(&self, index: usize, known: Shards) -> Subscribing {
        let Asker { shopper, lane, .. } = self.requests[index];
        let mutant = match self.mistake {
            Mistake::Subscribing(mutant) => Some(mutant),
            _ => None,
        };
        let hash = SubscriberHash(u64::from(shopper == 0));
        // The raise of a request comes after its answer: any moment is one of the model's acts.
        Subscribing::new(hash, lane, known, self.shards.mail, false).mutated(mutant)
    }

    /// A shopper's confirmation.
    fn confirming(&self, index: usize) -> Subscribing {
        let asking = self.subscribing(index, Shards::ONE);
        asking.into_confirmation()
    }

    /// Writes an ask down that is to be confirmed, unless there is a subscription.
    fn ask(&self, world: &mut World, index: usize, clock: i64) {
        let shopper = self.requests[index].shopper;
        let subscribing = self.subscribing(index, Shards::ONE);
        if let Step::Insert { shard, position } = subscribing.next(time(clock), index as u128) {
            let ask = Subscription { shard, position, by: index, pending: true };
            world.subscriptions[shopper].get_or_insert(ask);
        }
        world.requests[index] = Request::Asked;
    }

    /// The request's next access of the table. One that begins has read the numbers `known` of shards before.
    pub(super) fn request(&self, world: &mut World, index: usize, known: Shards, clock: i64) {
        let Asker { shopper, owner, confirms, .. } = self.requests[index];
        let is_to_come = self.restock_is_to_come(world);
        let emails = if is_to_come { world.committed_emails(shopper) } else { 0 };
        let (mut subscribing, before) = match world.requests[index].clone() {
            Request::Idle if confirms => return self.ask(world, index, clock),
            Request::Idle => (self.subscribing(index, known), emails),
            Request::Asked => (self.confirming(index), emails),
            Request::Asks(subscribing, before) => (Arc::unwrap_or_clone(subscribing), before),
            Request::Done(_) => return,
        };
        self.answer(world, index, &mut subscribing, time(clock));
        if let Step::BackOff(_) = subscribing.next(time(clock), 0) {
            subscribing.on_waited();
            // Else every round of two that take turns would be a state of its own.
            subscribing.forget_rounds();
        }
        let answer = match subscribing.next(time(clock), 0) {
            Step::Finished(Outcome::Subscribed(answer)) => answer,
            Step::Finished(_) => return world.requests[index] = Request::Done(None),
            _ => return world.requests[index] = Request::Asks(Arc::new(subscribing), before),
        };
        world.settled[shopper] |= confirms;
        let Subscribed { position: place, in_stock, .. } = answer;
        if owner {
            world.owed[shopper] = !in_stock;
        }
        let before = is_to_come.then_some(before);
        world.requests[index] = Request::Done(owner.then_some(Answer { place, in_stock, before }));
    }

    /// Does the next step of `subscribing`, and answers it.
    fn answer(&self, world: &mut World, index: usize, subscribing: &mut Subscribing, now: Timestamp) {
        let shopper = self.requests[index].shopper;
        let known = world.subscriptions[shopper];
        let found =
            known.map(|Subscription { shard, position, .. }| Found { shard, position, ttl: i64::MAX });
        let points_to = |position| known.is_some_and(|known| known.position == position);
        let write = |applied| if applied { Write::Applied } else { Write::Refused };
        match subscribing.next(now, index as u128) {
            Step::ReadSubscription => subscribing.on_subscription(match (known, found) {
                (Some(Subscription { shard, position: asked, pending: true, .. }), _) => {
                    Standing::Pending { asked, lane: shard.lane }
                }
                (_, Some(found)) => Standing::Confirmed { found, settled: world.settled[shopper] },
                (_, None) => Standing::Gone,
            }),
            Step::Confirm { asked, shard } => {
                let applied = known.is_some_and(|known| known.pending && known.position == asked);
                if applied {
                    world.enter(shopper, shard, asked, index);
                }
                subscribing.on_confirmed(write(applied));
            }
            Step::OpenLane(lane) => {
                world.shards = world.shards.raised(lane, ShardCount::ONE);
                subscribing.on_lane_opened(Write::Applied);
            }
            Step::Insert { shard, position } => {
                if found.is_none() {
                    world.enter(shopper, shard, position, index);
                }
                subscribing.on_inserted(position, found.map_or(Insertion::Inserted, Insertion::Found));
            }
            Step::ReadCursor(shard) => subscribing.on_cursor(&world.line(shard).cursor, time(0)),
            Step::ReadEntry { shard, position } => {
                subscribing.on_entry(world.line(shard).entries.contains_key(&position));
            }
            Step::TakeOver(position) => {
                if points_to(position) {
                    world.subscriptions[shopper] = known.map(|known| Subscription { by: index, ..known });
                }
                subscribing.on_taken_over(write(points_to(position)));
            }
            Step::Replace { found, shard, position } => {
                if points_to(found) {
                    world.enter(shopper, shard, position, index);
                }
                subscribing.on_replaced(position, write(points_to(found)));
            }
            Step::ReadProduct => subscribing.on_product(&world.stored()),
            Step::Move { shard, from, to, looked } => {
                let speaks =
                    self.mistake == Mistake::MoveByAny || known.is_some_and(|known| known.by == index);
                let stands = looked.is_none_or(|looked| {
                    world
                        .product
                        .as_ref()
                        .is_some_and(|now| now.version == looked.version && now.bound == Some(looked.bound))
                });
                let applied = points_to(from) && speaks && stands;
                if applied {
                    // Its mark: every reader of entries passes it.
                    world.line_mut(shard).entries.remove(&from);
                    world.enter(shopper, shard, to, index);
                }
                subscribing.on_moved(to, write(applied));
            }
            Step::InsertBare(position) => {
                if found.is_none() {
                    let (shard, by) = (Shard::mail(0), index);
                    let subscription = Subscription { shard, position, by, pending: false };
                    world.subscriptions[shopper] = Some(subscription);
                }
                subscribing.on_inserted(position, found.map_or(Insertion::Inserted, Insertion::Found));
            }
            Step::WriteEntry(position) => {
                world.line_mut(Shard::mail(0)).entries.insert(position, shopper);
                subscribing.on_entry_written();
            }
            step @ (Step::BackOff(_) | Step::CountWaiting(_) | Step::RaiseShards(..) | Step::Finished(_)) => {
                unreachable!("{step:?} is no access of the table")
            }
        }
    }
}

impl World {
    /// At how many places a shopper has got an email, without those in a call that is not committed: a request that meets
    /// that is as good as one before it.
    fn committed_emails(&self, shopper: usize) -> Emails {
        let consumed = |shard: Shard, at| self.line(shard).cursor.is_consumed(at);
        self.mailed.keys().filter(|(of, shard, at)| *of == shopper && consumed(*shard, *at)).count()
    }

    /// Whether a shopper's ask of this position is not confirmed.
    pub(super) fn is_pending(&self, shopper: usize, at: Position) -> bool {
        self.subscriptions[shopper].is_some_and(|found| found.pending && found.position == at)
    }

    /// Ends a shopper's subscription, as leaving, erasing and suppressing do: the entry goes with it, and the shard's cursor
    /// says that one has. A call that is announced may have them among its recipients.
    fn end(&mut self, shopper: usize, uncounted: bool) {
        let Some(Subscription { shard, position, pending, .. }) = self.subscriptions[shopper].take() else {
            return;
        };
        self.owed[shopper] = false;
        if pending {
            return;
        }
        let line = self.line_mut(shard);
        line.entries.remove(&position);
        line.ended += u8::from(!uncounted && !line.cursor.is_consumed(position));
        if !line.cursor.has_in_flight(position) {
            self.spared.insert((shopper, shard, position));
        }
    }

    /// Writes a subscription and its entry.
    fn enter(&mut self, shopper: usize, shard: Shard, position: Position, by: usize) {
        self.subscriptions[shopper] = Some(Subscription { shard, position, by, pending: false });
        self.line_mut(shard).entries.insert(position, shopper);
    }
}

fn time(clock: i64) -> Timestamp {
    Timestamp::from_millisecond(clock).unwrap_or_default()
}
