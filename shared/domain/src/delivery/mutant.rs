//! Orders that are wrong, one at a time: the model must find each.

use super::Delivery;
use super::state::{Standing, State};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// A call is sent although its announcement lost the conditional write.
    SendWithoutWinning,
    /// A call is sent before its announcement is written.
    SendBeforeAnnouncing,
    /// The announcement commits its own call.
    CommitBeforeSend,
    /// A call in doubt is taken for delivered.
    TakeDoubtForDelivered,
    /// Another worker's young call is taken for one in doubt.
    DoubtYoungCall,
    /// Entries past the bound are delivered too.
    PassBound,
    /// A wave that has become smaller is not kept to.
    IgnoreWave,
    /// The stock is not looked at again before a call, though its slots were waited for.
    NoSecondLook,
    /// An answer that came late is left for the next announcement.
    NoLateCommit,
    /// The cursor does not remember that a call was in doubt.
    ForgetDoubt,
    /// The cursor forgets it of recipients whom SES throttles the second time.
    ForgetDoubtOfRetries,
    /// What SES throttled is not kept for a retry.
    ForgetRetries,
    /// The release takes whatever token the table has for its own.
    ReleaseUnfenced,
    /// A call is announced with an entry that has ended since it was read.
    KeepEnded,
    /// An announcement without an answer that is found applied is taken for a call that was made.
    CommitUnsureAnnouncement,
}

impl<R> Delivery<R> {
    /// Whether its next decision is whether another round begins.
    pub(crate) fn is_between_rounds(&self) -> bool {
        matches!(self.state, State::Begin)
    }

    /// Whether nothing that it does from here on until it is finished is the protocol's.
    pub(crate) fn is_finishing(&self) -> bool {
        match self.state {
            State::Commit => !matches!(self.standing, Standing::Answered { .. } | Standing::Unsure { .. }),
            State::WriteSummary(_) | State::Finished(_) => true,
            _ => false,
        }
    }

    /// Whether the write of the cursor that has this token is its own, as far as it knows.
    pub(crate) fn has_written(&self, token: Option<&str>) -> bool {
        let unsure = match &self.standing {
            Standing::Unsure { token, .. } => Some(token.as_str()),
            _ => None,
        };
        self.fencing_token.as_deref() == token || (unsure.is_some() && unsure == token)
    }

    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.terms.mutant == Some(mutant)
    }
}
