//! The proof that a subscriber has an entry.

use super::{Insertion, Write};
use crate::{Position, Shard};

/// A subscription with its entry, at one position. It is had by winning a write of both, or by taking over one whose entry
/// was read and whose turn is to come, and in no other way; and without it no subscriber is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    shard: Shard,
    position: Position,
    new: bool,
    just_written: bool,
}

impl Place {
    /// The place that this request wrote for a subscriber who had none; `None` where it did not.
    pub(super) fn inserted(answer: Insertion, shard: Shard, position: Position) -> Option<Self> {
        let place = Self { shard, position, new: true, just_written: true };
        (answer == Insertion::Inserted).then_some(place)
    }

    /// The place that this request wrote for a subscriber whose turn was over; `None` where it did not.
    pub(super) fn replaced(write: Write, shard: Shard, position: Position) -> Option<Self> {
        let place = Self { shard, position, new: true, just_written: true };
        (write == Write::Applied).then_some(place)
    }

    /// The place that this request wrote for a subscriber who has confirmed; `None` where it did not.
    pub(super) fn confirmed(write: Write, shard: Shard, position: Position) -> Option<Self> {
        let place = Self { shard, position, new: true, just_written: true };
        (write == Write::Applied).then_some(place)
    }

    /// The place that an earlier request wrote; `None` where this one could not take it over.
    pub(super) fn taken_over(write: Write, shard: Shard, position: Position) -> Option<Self> {
        let place = Self { shard, position, new: false, just_written: false };
        (write == Write::Applied).then_some(place)
    }

    /// The place after a move; `None` where it did not happen.
    pub(super) fn moved(self, write: Write, to: Position) -> Option<Self> {
        (write == Write::Applied).then_some(Self { position: to, just_written: true, ..self })
    }

    /// A proof without what it proves, for the mutants of the model.
    #[cfg(test)]
    pub(super) fn forged(shard: Shard, position: Position) -> Self {
        Self { shard, position, new: true, just_written: true }
    }

    /// The shard of the entry.
    pub(super) fn shard(self) -> Shard {
        self.shard
    }

    /// The position of the entry.
    pub(super) fn position(self) -> Position {
        self.position
    }

    /// Whether the subscriber did not wait before, or their turn was over.
    pub(super) fn is_new(self) -> bool {
        self.new
    }

    /// Whether this request wrote the entry.
    pub(super) fn is_just_written(self) -> bool {
        self.just_written
    }
}
