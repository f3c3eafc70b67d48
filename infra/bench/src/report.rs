//! What a workload found: figures, goals and a picture. The shape is that of the drills' reports.

pub(crate) use notify_me::report::{Goal, Plot, Report};
