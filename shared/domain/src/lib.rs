//! What Notify Me decides, without anything that does it: no clock, no randomness, no network,
//! no environment. Times, random bits and what was read from the table come in as arguments, so
//! every decision here can be replayed, reordered and checked by itself.

pub mod address;
pub mod alert;
pub mod asking;
pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod cursor;
pub mod delivery;
mod details;
pub mod feedback;
pub mod fields;
pub mod id;
pub mod job;
pub mod limit;
pub mod link;
pub mod locale;
pub mod mail;
pub mod name;
pub mod person;
pub mod place;
pub mod planning;
pub mod position;
pub mod product;
pub mod record;
pub mod redirect;
pub mod rules;
pub mod setting;
pub mod shard;
pub mod source;
pub mod stock;
pub mod subscribing;
pub mod suppression;
pub mod unsubscribe;
pub mod unwelcome;
pub mod user_token;
pub mod version;

#[cfg(test)]
mod protocol;

pub use address::Address;
pub use fields::Invalid;
pub use id::{ProductId, RestockId, UserId};
pub use locale::Locale;
pub use person::{PersonId, PersonKey};
pub use place::Place;
pub use position::Position;
pub use shard::{Lane, Shard, ShardCount, Shards, SubscriberHash};
