//! Hands for a delivery in a test: a table of a few entries, an SES that accepts unless the test says otherwise, and a clock that
//! only waits move.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use super::super::*;
use crate::Position;
use crate::cursor::{Cursor, OnUnknown, Tally};
use crate::product::Product;
use crate::stock::{Place, Version};

pub(super) fn at(n: u64) -> Position {
    Position::new(n, 0)
}

pub(super) fn restock(name: &str) -> RestockId {
    RestockId::parse(name).unwrap()
}

/// Something that happens just before a step of this name is answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Event {
    /// Another worker writes the cursor.
    AnotherWrites,
    /// The worker is frozen for so long.
    Frozen(Duration),
    /// The step fails; a write of the cursor is applied or not.
    Fails { applied: bool },
    /// The product is sold out.
    SellsOut,
    /// This subscriber leaves.
    Leaves(u64),
}

pub(super) struct Desk {
    pub(super) terms: Terms,
    pub(super) product: Product,
    pub(super) entries: BTreeMap<Position, Row<u64>>,
    pub(super) cursor: Cursor,
    pub(super) token: Option<String>,
    /// How many entries have ended before their turn, and how many of them the worker knows of.
    pub(super) ended: (u64, u64),
    pub(super) pace: Pace,
    pub(super) rates: VecDeque<RateAnswer>,
    /// What comes of the calls, in their order; then each recipient is accepted.
    pub(super) outcomes: VecDeque<CallOutcome>,
    /// What happens at the n-th step of a name, counted from 1.
    pub(super) events: Vec<(&'static str, usize, Event)>,
    pub(super) slots: VecDeque<Option<Duration>>,
    /// Fan-outs pause from the n-th reservation on, counted from 1.
    pub(super) pauses_at: Option<usize>,
    pub(super) now: Now,
    // What was seen.
    pub(super) steps: Vec<&'static str>,
    pub(super) sent: Vec<Vec<u64>>,
    pub(super) failed: Vec<(u64, String)>,
    pub(super) summaries: Vec<Tally>,
    pub(super) reports: Vec<Report>,
    pub(super) cuts: Vec<(u64, u64)>,
    pub(super) waits: Vec<Duration>,
    pub(super) error: bool,
}

impl Desk {
    /// A shard with these entries up to the bound 100, of which nothing is delivered.
    pub(super) fn of(entries: std::ops::RangeInclusive<u64>) -> Self {
        let wall = Timestamp::from_second(1_000).unwrap();
        Self {
            terms: Terms {
                restock_id: restock("r"),
                bound: at(100),
                lane: Lane::Mail,
                first: true,
                deadline: Duration::from_secs(20),
                max_emails: 1_000,
                on_unknown: OnUnknown::Resend,
                mutant: None,
            },
            product: Product {
                quantity: Some(5),
                bound: Some(at(100)),
                bound_of: Some(restock("r")),
                ..Product::bare(Version::following(None, Place { partition: 0, offset: 0 }), restock("r"))
            },
            entries: entries.map(|n| (at(n), Row::Waiting(n))).collect(),
            cursor: Cursor::default(),
            token: None,
            ended: (0, 0),
            pace: Pace { call_size: 2, ahead: 4 },
            rates: VecDeque::new(),
            outcomes: VecDeque::new(),
            events: Vec::new(),
            pauses_at: None,
            slots: VecDeque::new(),
            now: Now { wall, uptime: Duration::ZERO },
            steps: Vec::new(),
            sent: Vec::new(),
            failed: Vec::new(),
            summaries: Vec::new(),
            reports: Vec::new(),
            cuts: Vec::new(),
            waits: Vec::new(),
            error: false,
        }
    }

    pub(super) fn acquire(&self) -> Acquire<u64> {
        Delivery::acquire(self.terms.clone(), &self.product, &self.cursor, self.token.as_deref(), self.now)
    }

    /// Takes the shard over and delivers it.
    pub(super) fn run(&mut self) -> End {
        match self.acquire() {
            Acquire::Acquired(delivery) => self.deliver(*delivery),
            other => panic!("{other:?}"),
        }
    }

    pub(super) fn deliver(&mut self, mut delivery: Delivery<u64>) -> End {
        for _ in 0..1_000 {
            let step = delivery.next(self.now);
            let name = name(&step);
            if !name.is_empty() {
                self.steps.push(name);
            }
            let event = self.event(name);
            match event {
                Some(Event::AnotherWrites) => self.token = Some("another".to_owned()),
                Some(Event::Frozen(time)) => self.pass(time),
                Some(Event::SellsOut) => self.product.quantity = Some(0),
                Some(Event::Leaves(n)) => {
                    self.entries.remove(&at(n));
                    self.ended.0 += 1;
                }
                Some(Event::Fails { .. }) | None => {}
            }
            let fails = match event {
                Some(Event::Fails { applied }) => Some(applied),
                _ => None,
            };
            match step {
                Step::Finished(end) => return end,
                Step::WriteCursor(write) => {
                    let token = format!("t{}", self.steps.len());
                    let holds = self.token.as_deref() == write.fencing_token;
                    let knows = self.ended.0 == self.ended.1;
                    self.ended.1 = self.ended.0;
                    if holds && knows && fails != Some(false) {
                        (self.cursor, self.token) = (write.cursor.clone(), Some(token.clone()));
                    }
                    delivery.on_written(
                        token,
                        match (fails, holds) {
                            (Some(_), _) => Written::Unknown,
                            (None, true) if knows => Written::Won,
                            (None, true) => Written::EntryEnded,
                            (None, false) => Written::Lost,
                        },
                    );
                }
                _ if fails.is_some() => {}
                step => self.answer_to(step).tell(&mut delivery),
            }
            if fails.is_some() {
                self.error |= delivery.on_error(true);
            }
        }
        panic!("it does not end: {:?}", self.steps);
    }

    fn event(&mut self, name: &str) -> Option<Event> {
        let nth = self.steps.iter().filter(|step| **step == name).count();
        let found = self.events.iter().position(|(step, n, _)| *step == name && *n == nth)?;
        Some(self.events.remove(found).2)
    }

    fn pass(&mut self, time: Duration) {
        self.now.wall += time;
        self.now.uptime += time;
    }

    fn answer_to(&mut self, step: Step<'_, u64>) -> Told {
        match step {
            Step::Report(report) => {
                self.reports.push(report);
                return Told::Nothing;
            }
            Step::ReadProduct => return Told::Product(Box::new(self.product.clone()), self.now),
            Step::AskRate => {
                return Told::Rate(self.rates.pop_front().unwrap_or(RateAnswer::Pace(self.pace)));
            }
            Step::ReadEntries { after, through, limit } => {
                let rows = self.entries.range(after.next()..=through);
                let rows: Vec<_> = rows.take(limit).map(|(p, row)| (*p, row.clone())).collect();
                let last = rows.len() < limit;
                return Told::Entries(rows, last);
            }
            Step::ReadPending(positions) => {
                let row = |p: &Position| Some((*p, self.entries.get(p)?.clone()));
                return Told::Pending(positions.iter().filter_map(row).collect());
            }
            Step::ReadTally => return Told::Tally,
            Step::ReserveSlots { .. } => {
                let nth = self.steps.iter().filter(|step| **step == "slots").count();
                if self.pauses_at.is_some_and(|from| nth >= from) {
                    return Told::Paused;
                }
                let slots = self.slots.pop_front().unwrap_or(Some(Duration::ZERO));
                return Told::Slots(slots.map(|after| self.now.wall + after));
            }
            Step::ReadFencingToken => return Told::FencingToken(self.token.clone()),
            Step::Send(announced) => {
                let recipients = announced.into_recipients();
                self.sent.push(recipients.iter().map(|(_, n)| *n).collect());
                let accepted = || CallOutcome::Completed(vec![RecipientOutcome::Accepted; recipients.len()]);
                return Told::Outcome(self.outcomes.pop_front().unwrap_or_else(accepted));
            }
            Step::WriteFailed(failed) => {
                let failed = failed.iter().map(|(position, reason)| (position.time_ms(), reason.clone()));
                self.failed.extend(failed);
            }
            Step::WriteShardSummary(tally) => self.summaries.push(tally.clone()),
            Step::CutRate { throttled, of } => self.cuts.push((throttled, of)),
            Step::Wait(time) => {
                if !time.is_zero() {
                    self.waits.push(time);
                }
                self.pass(time);
            }
            Step::Greet | Step::WriteCursor(_) | Step::Finished(_) => {}
        }
        Told::Done
    }
}

/// An answer.
enum Told {
    Nothing,
    Done,
    Product(Box<Product>, Now),
    Rate(RateAnswer),
    Entries(Vec<(Position, Row<u64>)>, bool),
    Pending(std::collections::HashMap<Position, Row<u64>>),
    Tally,
    Slots(Option<Timestamp>),
    Paused,
    FencingToken(Option<String>),
    Outcome(CallOutcome),
}

impl Told {
    fn tell(self, delivery: &mut Delivery<u64>) {
        match self {
            Self::Nothing => {}
            Self::Done => delivery.on_done(),
            Self::Product(product, looked) => delivery.on_product(Some(&product), looked),
            Self::Rate(answer) => delivery.on_rate(answer),
            Self::Entries(rows, last) => delivery.on_entries(rows, last),
            Self::Pending(rows) => delivery.on_pending(rows),
            Self::Tally => delivery.on_tally(None),
            Self::Slots(departure) => delivery.on_slots(departure),
            Self::Paused => delivery.on_paused(),
            Self::FencingToken(token) => delivery.on_fencing_token(token.as_deref()),
            Self::Outcome(outcome) => delivery.on_outcome(outcome),
        }
    }
}

fn name<R>(step: &Step<'_, R>) -> &'static str {
    match step {
        Step::Report(_) => "",
        Step::Greet => "greet",
        Step::ReadProduct => "product",
        Step::AskRate => "rate",
        Step::ReadEntries { .. } => "entries",
        Step::ReadPending(_) => "pending",
        Step::WriteFailed(_) => "failed",
        Step::ReadTally => "tally",
        Step::WriteShardSummary(_) => "summary",
        Step::ReserveSlots { .. } => "slots",
        Step::WriteCursor(_) => "cursor",
        Step::ReadFencingToken => "token",
        Step::Send(_) => "send",
        Step::CutRate { .. } => "cut",
        Step::Wait(_) => "wait",
        Step::Finished(_) => "end",
    }
}
