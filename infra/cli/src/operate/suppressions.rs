//! `notify-me suppressions`: those who get no email. This file only names its commands; each has a file of its own.

pub(crate) mod add;
mod format;
pub(crate) mod import;
pub(crate) mod lift;
pub(crate) mod list;
