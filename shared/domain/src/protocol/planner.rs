//! A planner of restocks: the table's part in what [`Planning`] asks for.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use jiff::Timestamp;

use super::{Job, Mistake, Protocol, World, restock};
use crate::job::Ticket;
use crate::planning::{BoundWrite, Mutant, Planning, ShardEnd, Step};
use crate::record::Record;
use crate::rules::Availability;
use crate::stock::{StockUpdate, Version};
use crate::{Position, ProductId, RestockId};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Planner {
    Idle,
    /// Shared, because most steps of the model are others'.
    Plans(Arc<Planning>),
}

impl Protocol {
    /// The planner's next access of the table, or its publication.
    pub(super) fn plan(&self, world: &mut World) {
        let planner = std::mem::replace(&mut world.planner, Planner::Idle);
        match self.step(world, world.next_event, planner) {
            Planner::Idle => world.next_event += 1,
            plans => world.planner = plans,
        }
    }

    /// The same of the planner of an event that came twice.
    pub(super) fn plan_second(&self, world: &mut World) {
        let Some((event, planner)) = world.second.take() else { return };
        let planner = self.step(world, event, planner);
        world.second = (planner != Planner::Idle).then_some((event, planner));
    }

    fn step(&self, world: &mut World, event: usize, planner: Planner) -> Planner {
        let mut planning = match planner {
            Planner::Idle => self.planning(event),
            Planner::Plans(planning) => Arc::unwrap_or_clone(planning),
        };
        if let Step::Finished(_) = planning.next() {
            return Planner::Idle;
        }
        let publishes = matches!(planning.next(), Step::Emit(_));
        self.access(world, event, &mut planning);
        while write_unread(&mut planning) {}
        match planning.next() {
            // A planner that dies after it has published, and before its record is acknowledged, plans once more.
            Step::Finished(_) if !publishes => Planner::Idle,
            _ => Planner::Plans(Arc::new(planning)),
        }
    }

    fn planning(&self, event: usize) -> Planning {
        let offset = i64::try_from(event).unwrap_or_default();
        let record = Record {
            topic: "e".to_owned(),
            partition: 0,
            offset,
            written_ms: -1,
            key: None,
            value: None,
            headers: vec![],
            fault: None,
        };
        let update = StockUpdate {
            restock_id: None,
            generated_id: false,
            product_id: ProductId::parse("p").unwrap(),
            quantity: Some(u64::from(self.events[event])),
            occurred_at: Timestamp::from_second(offset).ok(),
            received_at: None,
            product: None,
            availability: Availability::InStock,
            rules: None,
            parent_id: None,
        };
        let mutant = match self.mistake {
            Mistake::Planning(mutant) => Some(mutant),
            _ => None,
        };
        Planning::new(&record, update, Timestamp::MAX).mutated(mutant)
    }
}

/// Does the next step of `planning` where nothing in the model reads what it writes, so that it may be one with the step
/// before it. An inline delivery begins nothing: a worker of the model takes each job from the topic, at once or later.
fn write_unread(planning: &mut Planning) -> bool {
    match planning.next() {
        Step::RecordPlan { .. } => planning.on_plan_recorded(),
        Step::DeliverInline { jobs, .. } => {
            let all: Vec<_> = jobs.iter().map(|job| job.shard).collect();
            planning.on_delivered(&all);
        }
        _ => return false,
    }
    true
}

impl Protocol {
    /// Does the next step of `planning`, an access of the table or a publication, and answers it.
    fn access(&self, world: &mut World, event: usize, planning: &mut Planning) {
        match planning.next() {
            Step::ReadProduct => planning.on_product(world.stored()),
            Step::RecordStockUpdate(update) => {
                // As the condition of the table's write decides.
                if world.product.as_ref().map(|known| &known.version) == update.seen.as_ref() {
                    let (update, before) = (update.clone(), world.stored());
                    world.product = Some(update.recorded_over(world.product.take()));
                    planning.on_recorded(before);
                } else {
                    planning.on_refused(world.stored());
                }
            }
            Step::ReadEnds(shards) => {
                let last = |shard| world.line(shard).entries.last_key_value().map(|(at, _)| *at);
                let end = |shard| ShardEnd { shard, last: last(shard), used: true };
                planning.on_ends(shards.all().map(end).collect());
            }
            Step::FixBound { restock, version, bound } => {
                planning.on_bound(self.fix_bound(world, restock, version, bound));
            }
            Step::ReadCursors(_) => planning.on_cursors(|shard| Some(&world.line(shard).cursor)),
            Step::CloseDelivered(jobs) => {
                for job in jobs {
                    let line = world.line_mut(job.shard);
                    line.open = line.open.filter(|open| open.bound > job.bound);
                }
                planning.on_closed();
            }
            Step::OpenFanOuts(jobs) => {
                let mut opened = Vec::new();
                for job in jobs {
                    if world.line(job.shard).open.is_none_or(|open| open.bound <= job.bound) {
                        let ticket = world.new_ticket();
                        let open = Job { shard: job.shard, event, bound: job.bound, ticket };
                        world.line_mut(job.shard).open = Some(open);
                        opened.push(job.with_ticket(Ticket::parse(&ticket.to_string()).unwrap()));
                    }
                }
                planning.on_opened(opened);
            }
            Step::Emit(jobs) => {
                for job in jobs {
                    debug_assert_eq!(job.restock_id, restock(event));
                    let (shard, bound) = (job.shard, job.bound);
                    world.put_in_line(Job { shard, event, bound, ticket: number(job) });
                }
                planning.on_emitted();
            }
            step => unreachable!("{step:?} is no access of the model's table"),
        }
    }

    /// As the condition of the table's write decides.
    fn fix_bound(
        &self,
        world: &mut World,
        restock: &RestockId,
        version: &Version,
        bound: Option<Position>,
    ) -> BoundWrite {
        let unconditional = matches!(self.mistake, Mistake::Planning(Mutant::FixAgain | Mutant::FixTwice));
        let Some(known) = world.product.as_mut() else { return BoundWrite::Overtaken };
        if known.version != *version || (known.is_planned() && !unconditional) {
            return BoundWrite::refused(Some(known), restock);
        }
        world.refixed |= known.is_planned() || bound.or(known.bound) < known.bound;
        known.bound = bound.or(known.bound);
        known.bound_of = Some(restock.clone());
        known.planned = Some(version.clone());
        BoundWrite::Fixed
    }
}

/// The number of a job's ticket.
fn number(job: &crate::job::Job) -> u8 {
    job.ticket.as_ref().map_or(0, |ticket| ticket.to_string().parse().unwrap())
}

impl Planner {
    /// Whether it is about to publish the job with this ticket.
    pub(super) fn publishes(&self, ticket: u8) -> bool {
        let Self::Plans(planning) = self else { return false };
        matches!(planning.next(), Step::Emit(jobs) if jobs.iter().any(|job| number(job) == ticket))
    }
}
