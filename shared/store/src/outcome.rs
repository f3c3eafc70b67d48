//! The outcome of a conditional write.

/// The outcome of a conditional write. It is no error: whether the condition holds is the question that the write asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Outcome<T = (), F = ()> {
    /// The condition held, and everything is written. With the item as it is now, where the operation gives that.
    Applied(T),
    /// The condition did not hold, and nothing is written. With what stands there instead, where the operation gives that.
    Refused(F),
}

impl<T, F> Outcome<T, F> {
    /// Whether it is written.
    pub fn is_applied(&self) -> bool {
        matches!(self, Self::Applied(_))
    }

    /// Whether it is written, and nothing of the item.
    pub(crate) fn plain(self) -> Outcome {
        match self {
            Self::Applied(_) => Outcome::Applied(()),
            Self::Refused(_) => Outcome::Refused(()),
        }
    }
}
