//! Runs functions as Lambda does: a pool of processes for each, one invocation at a time in each.
pub mod function;
