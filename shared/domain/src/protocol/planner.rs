//! A planner of restocks: the table's part in what [`Planning`] asks for.

#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::Arc;

use jiff::Timestamp;

use super::{Job, Mistake, Protocol, World, restock};
use crate::job::Ticket;
use crate::planning::{BoundWrite, Fix, Found, Line, Mutant, Planning, ShardEnd, Step};
use crate::product::{Awaited, Product, Reach};
use crate::record::Record;
use crate::rules::{Availability, Rules};
use crate::stock::StockUpdate;
use crate::{Position, ProductId};

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
            quantity: Some(self.events[event]),
            occurred_at: Timestamp::from_second(offset).ok(),
            received_at: None,
            product: None,
            availability: Availability::InStock,
            rules: None,
            parent_id: None,
        };
        let mutant = self.planning_mutant();
        Planning::new(&record, update, self.rules(), Timestamp::MAX).mutated(mutant)
    }
}

/// Does the next step of `planning` where nothing in the model reads what it writes, so that it may be one with the step
/// before it. An inline delivery begins nothing: a worker of the model takes each job from the topic, at once or later.
fn write_unread(planning: &mut Planning) -> bool {
    match planning.next() {
        Step::RecordPlan { .. } => planning.on_plan_recorded(),
        // A sweep finds what the product says is due.
        Step::WriteTimer(_) => planning.on_timer(),
        Step::DeliverInline { jobs, .. } => {
            let all: Vec<_> = jobs.iter().map(|job| job.shard).collect();
            planning.on_delivered(&all);
        }
        _ => return false,
    }
    true
}

impl Protocol {
    /// A sweep's next access of the table for what is due, or its publication.
    pub(super) fn sweep_due(&self, world: &mut World, index: usize) -> Option<()> {
        let sweeper = std::mem::replace(&mut world.sweepers[index], Planner::Idle);
        let sweeper = match sweeper {
            Planner::Idle => {
                let due = world.product.as_ref()?.due.filter(|due| due.is_timed())?;
                let mutant = self.planning_mutant();
                let product = ProductId::parse("p").unwrap();
                Planner::Plans(Arc::new(
                    Planning::of_due(product, due, self.rules(), Timestamp::MAX).mutated(mutant),
                ))
            }
            plans => plans,
        };
        world.sweepers[index] = self.step(world, 0, sweeper);
        Some(())
    }

    /// The rules of the shop: waves of so many at most, if any, and one for a unit.
    pub(super) fn rules(&self) -> Arc<Rules> {
        let per_unit = self.wave.and_then(|_| 1.0.try_into().ok());
        Arc::new(Rules { wave_size: self.wave, per_unit, ..Rules::default() })
    }

    fn planning_mutant(&self) -> Option<Mutant> {
        match self.mistake {
            Mistake::Planning(mutant) => Some(mutant),
            _ => None,
        }
    }

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
            Step::RecordSale(sale) => {
                // As the condition of the table's write decides.
                if world.product.as_ref().is_some_and(|known| sale.level_applies_to(known)) {
                    let sale = sale.clone();
                    world.product = world.product.take().map(|known| sale.level_over(known));
                    planning.on_sale_recorded();
                } else {
                    planning.on_refused(world.stored());
                }
            }
            Step::PutOff { turn, seen, next } => {
                let at_turn = |product: &&mut Product| product.turn == turn && product.due == Some(seen);
                if let Some(product) = world.product.as_mut().filter(at_turn) {
                    product.due = next;
                }
                planning.on_put_off();
            }
            Step::FindWave { lines, size } => planning.on_wave(find_wave(world, lines, size)),
            Step::ReadEnds(shards) => {
                let last = |shard| world.line(shard).entries.last_key_value().map(|(at, _)| *at);
                let end = |shard| ShardEnd { shard, last: last(shard), used: true };
                planning.on_ends(shards.all().map(end).collect());
            }
            Step::FixBound(fix) => {
                let written = self.fix_bound(world, fix);
                planning.on_bound(written);
            }
            Step::ReadCursors(_) => planning.on_cursors(|shard| Some(&world.line(shard).cursor)),
            Step::CloseDelivered(jobs) => {
                for job in jobs {
                    let line = world.line_mut(job.shard);
                    line.open = line.open.filter(|open| open.turn > job.turn);
                }
                planning.on_closed();
            }
            Step::OpenFanOuts(jobs) => {
                let opened = open(world, jobs, |open, job| open.turn <= job.turn);
                planning.on_opened(opened);
            }
            Step::OpenMissing(jobs) => {
                let opened = open(world, jobs, |_, _| false);
                planning.on_opened(opened);
            }
            Step::Emit(jobs) => {
                for job in jobs {
                    debug_assert!(event == 0 || job.restock_id == restock(event));
                    world.put_in_line(job_of(job, number(job)));
                }
                planning.on_emitted();
            }
            step => unreachable!("{step:?} is no access of the model's table"),
        }
    }

    /// As the condition of the table's write decides.
    fn fix_bound(&self, world: &mut World, fix: &Fix) -> BoundWrite {
        let unconditional = match self.mistake {
            Mistake::Planning(Mutant::FixAgain | Mutant::FixTwice) => !fix.is_next_wave,
            Mistake::Planning(Mutant::OpenWaveTwice) => fix.is_next_wave,
            _ => false,
        };
        let Some(known) = world.product.take() else { return BoundWrite::Overtaken };
        if !(fix.applies_to(&known) || unconditional && known.version == fix.version) {
            world.product = Some(known.clone());
            return BoundWrite::refused(Some(known), &fix.restock);
        }
        world.refixed |= known.is_planned() && !fix.is_next_wave || fix.bound.or(known.bound) < known.bound;
        if fix.is_next_wave {
            let waits = known.due.is_some_and(|due| due.what == Awaited::Wave);
            let delivered = world.lines.iter().all(|line| line.is_delivered(known.reach()));
            world.too_soon |= !waits || !delivered;
        }
        world.sizes.insert(fix.turn + 1, known.quantity.min(self.wave).unwrap_or(u64::MAX));
        world.product = Some(fix.written_over(known));
        BoundWrite::Fixed
    }
}

/// Opens the fan-outs of these jobs where none is open, or one that gives way to the job.
fn open(
    world: &mut World,
    jobs: &[crate::job::Job],
    gives_way: impl Fn(Job, &crate::job::Job) -> bool,
) -> Vec<crate::job::Job> {
    let mut opened = Vec::new();
    for job in jobs {
        if world.line(job.shard).open.is_none_or(|open| gives_way(open, job)) {
            let ticket = world.new_ticket();
            world.line_mut(job.shard).open = Some(job_of(job, ticket));
            opened.push(job.with_ticket(Ticket::parse(&ticket.to_string()).unwrap()));
        }
    }
    opened
}

fn job_of(job: &crate::job::Job, ticket: u8) -> Job {
    let event = (0..u8::MAX).find(|event| restock(usize::from(*event)) == job.restock_id).unwrap();
    Job { shard: job.shard, event: usize::from(event), bound: job.bound, turn: job.turn, ticket }
}

/// As the reads of the table find it. No list of the model that has waves has priority.
fn find_wave(world: &World, lines: &[Line], size: u64) -> Option<Found> {
    let waiting = |line: &Line| {
        let after = line.after.next();
        let places = world.line(line.shard).entries.range(after..).map(|(place, _)| *place);
        places.take_while(|place| *place <= line.through).collect::<Vec<_>>()
    };
    let firsts = lines.iter().filter_map(|line| Some((line.shard, *waiting(line).first()?))).collect();
    let mut all: Vec<Position> = lines.iter().flat_map(waiting).collect();
    all.sort_unstable();
    let last = *all.get(usize::try_from(size - 1).unwrap_or(usize::MAX)).or(all.last())?;
    Some(Found { reach: Reach::all(last), firsts })
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
