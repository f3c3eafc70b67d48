//! The system's random source.

use domain::Position;

use crate::clock::now_ms;

/// 128 random bits.
pub fn random() -> u128 {
    rand::random()
}

/// A new identifier: a ULID of now.
pub fn new_id() -> String {
    Position::new(now_ms(), random()).to_string()
}
