//! `notify-me dead-letters`: what could not be read, to be looked at and written back. Reads by partition and offset
//! and joins no group, so that looking changes nothing.

mod envelope;
mod letter;
mod list;
mod read;
mod replay;

pub(crate) use list::{Args as ListArgs, run as list};
pub(crate) use replay::{Args as ReplayArgs, run as replay};

/// The topics that have dead letters, as this program names them.
const TOPICS: [&str; 2] = [crate::embedded::kafka::RESTOCKS, crate::embedded::kafka::BATCHES];
