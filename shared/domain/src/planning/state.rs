//! The states of a planning.

use super::bound::FixedBound;
use super::{Fix, Line, Outcome, ShardEnd, Update};
use crate::Position;
use crate::job::Job;
use crate::product::{Due, Product};

/// How far a planning is: what its next steps need, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum State {
    TakeName,
    ReadProduct,
    /// The timer of what the state after it writes on the product.
    WriteTimer(Due, Box<State>),
    RecordStockUpdate(Update),
    RecordSale(Update),
    ReadEnds(Product),
    /// How far each shard is delivered, before a wave is cut.
    ReadLines(Product, Vec<ShardEnd>),
    FindWave(Cut),
    FixBound(Box<Fixing>),
    ReadCursors(Plan, Vec<ShardEnd>),
    CloseDelivered(Plan, Vec<Job>),
    RecordPlan(Plan),
    OpenFanOuts(Plan),
    DeliverInline(Plan),
    OpenMissing(Vec<Job>),
    Emit(Vec<Job>),
    PutOff {
        turn: u64,
        seen: Due,
        next: Option<Due>,
        outcome: Outcome,
    },
    Finished(Outcome),
}

/// A wave that is being cut.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Cut {
    pub(super) product: Product,
    pub(super) ends: Vec<ShardEnd>,
    pub(super) lines: Vec<Line>,
    /// The largest position of any shard.
    pub(super) bound: Position,
    pub(super) size: u64,
}

/// A bound that is being fixed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Fixing {
    pub(super) product: Product,
    pub(super) ends: Vec<ShardEnd>,
    pub(super) fix: Fix,
    /// The shards that have a subscriber of the wave; `None`: the cursors will tell.
    pub(super) lines: Option<Vec<Line>>,
}

/// What is planned. It holds the proof that the bound is fixed, and its jobs are made of that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Plan {
    pub(super) bound: FixedBound,
    /// The product with that bound.
    pub(super) product: Product,
    /// No earlier attempt at this restock can have delivered anything.
    pub(super) first: bool,
    /// This planner has fixed the bound itself, so no other worker has begun.
    pub(super) begins: bool,
    /// A job for each shard with entries to deliver.
    pub(super) jobs: Vec<Job>,
}

impl State {
    /// This state, after the timer of what it writes on the product.
    pub(super) fn after_timer(self, due: Option<Due>) -> Self {
        match due.filter(|due| due.is_timed()) {
            Some(due) => Self::WriteTimer(due, Box::new(self)),
            None => self,
        }
    }

    /// The state that leads to a wave.
    pub(super) fn read_lines(product: Product, ends: Vec<ShardEnd>) -> Self {
        Self::ReadLines(product, ends.into_iter().filter(|end| end.used).collect())
    }

    /// The state once the bound stands on the product: without a bound there is no entry, and no cursor to read.
    pub(super) fn of_bound(bound: FixedBound, begins: bool, product: Product, ends: Vec<ShardEnd>) -> Self {
        let unbounded = bound.last().is_none();
        let plan = Plan { bound, product, first: begins, begins, jobs: Vec::new() };
        if unbounded {
            return Self::of_plan(plan);
        }
        Self::ReadCursors(plan, ends.into_iter().filter(|end| end.used).collect())
    }

    /// The state once it is known what each shard has to deliver: where no subscriber waits, nothing is to be recorded.
    pub(super) fn of_plan(plan: Plan) -> Self {
        if plan.jobs.is_empty() { Self::Finished(Outcome::Planned) } else { Self::RecordPlan(plan) }
    }
}
