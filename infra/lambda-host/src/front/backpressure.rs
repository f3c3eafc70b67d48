use std::sync::{Arc, PoisonError, RwLock};

/// Whether stock updates are taken, shared by the part that decides it and the front, which takes them.
#[derive(Clone, Debug, Default)]
pub struct Backpressure(Arc<RwLock<Option<String>>>);

impl Backpressure {
    /// Why no stock updates are taken now; `None` if they are.
    pub fn reason(&self) -> Option<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes no stock updates (`Some`, with the reason for people) or takes them again.
    pub fn set(&self, reason: Option<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = reason;
    }
}
