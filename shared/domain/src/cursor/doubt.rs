//! Which entries were in a call in doubt before. Such an entry is sent to once more, in a call with others like it; when that one is
//! in doubt as well, they are all passed, so that no subscriber can get a third email, however slow SES is.

use serde::{Deserialize, Serialize};

use super::{Cursor, InFlight, OnUnknown};
use crate::Position;

/// The entries of calls in doubt that are sent to again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Doubted {
    /// The last of them, where that one is not committed: then they are all those in `(committed, through]`, and `retried`.
    pub through: Position,
    /// Those of them at or below the committed position: pending retries, or retried by the call in flight.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retried: Vec<Position>,
}

impl Cursor {
    /// Whether the entry was in a call in doubt before, and is sent to for the second time.
    pub fn was_in_doubt(&self, position: Position) -> bool {
        self.doubted.as_ref().is_some_and(|doubted| {
            doubted.retried.contains(&position) || (self.committed < position && position <= doubted.through)
        })
    }

    /// What becomes of the call in flight if it is in doubt: as the setting says the first time, and passed the second.
    pub fn settlement(&self, on_unknown: OnUnknown) -> OnUnknown {
        match &self.in_flight {
            Some(call) if self.is_second_try(call) => OnUnknown::Skip,
            _ => on_unknown,
        }
    }

    /// A call has either entries that were in doubt before or others; if it had both, none of them would be sent to again.
    fn is_second_try(&self, call: &InFlight) -> bool {
        self.doubted.as_ref().is_some_and(|doubted| {
            let new = self.committed < call.through && self.committed < doubted.through;
            new || call.retried.iter().any(|position| doubted.retried.contains(position))
        })
    }

    /// Notes that this call was in doubt and is sent again.
    pub(super) fn note_doubt(&mut self, call: &InFlight) {
        let before = self.doubted.take();
        let mut doubted =
            before.unwrap_or_else(|| Box::new(Doubted { through: call.through, retried: vec![] }));
        doubted.through = doubted.through.max(call.through);
        doubted.retried.extend(&call.retried);
        self.doubted = Some(doubted);
        self.forget_settled();
    }

    /// Those among `retry`, entries of the call in flight, that were in doubt before and are committed with it: they stay
    /// known as such.
    pub(super) fn keep_doubt(&mut self, retry: &[Position]) {
        let kept: Vec<Position> = retry
            .iter()
            .copied()
            .filter(|position| *position > self.committed && self.was_in_doubt(*position))
            .collect();
        if let Some(doubted) = &mut self.doubted {
            doubted.retried.extend(kept);
        }
    }

    /// Forgets the doubts about entries that have had their turn.
    pub(super) fn forget_settled(&mut self) {
        let Some(mut doubted) = self.doubted.take() else { return };
        let retried = self.in_flight.iter().flat_map(|call| &call.retried);
        let pending: Vec<&Position> = self.pending_retries.iter().chain(retried).collect();
        doubted.retried.retain(|position| pending.contains(&position));
        if self.committed < doubted.through || !doubted.retried.is_empty() {
            self.doubted = Some(doubted);
        }
    }
}
