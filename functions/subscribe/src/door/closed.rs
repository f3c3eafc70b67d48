//! The limits that this process knows to be used up, and until when. An arrival time only grows, so what the table has said
//! holds until then: a flood is refused from here, and costs the table one refused write for each process and time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::PersonId;

use super::Kind;

/// The most that is remembered; beyond it the table is asked.
const MOST: usize = 10_000;

/// Until when each is used up, in Unix microseconds.
#[derive(Debug, Default)]
pub(crate) struct Closed(Mutex<HashMap<(Kind, PersonId), u64>>);

impl Closed {
    /// Until when it is used up, where it is known to be so.
    pub(super) fn until(&self, kind: Kind, hash: PersonId, now_us: u64) -> Option<u64> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&(kind, hash)).copied().filter(|until| now_us < *until)
    }

    /// Remembers that it is used up until then.
    pub(super) fn remember(&self, kind: Kind, hash: PersonId, until_us: u64, now_us: u64) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MOST {
            known.retain(|_, until| now_us < *until);
        }
        if known.len() < MOST {
            known.insert((kind, hash), until_us);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: usize) -> PersonId {
        PersonId::from_bytes((number as u128).to_be_bytes())
    }

    #[test]
    fn a_limit_is_known_to_be_used_up_until_its_time_and_for_its_kind_alone() {
        let closed = Closed::default();
        closed.remember(Kind::Source, hash(1), 100, 50);
        assert_eq!(closed.until(Kind::Source, hash(1), 99), Some(100));
        assert_eq!(closed.until(Kind::Source, hash(1), 100), None);
        assert_eq!(closed.until(Kind::Address, hash(1), 99), None);
        assert_eq!(closed.until(Kind::Source, hash(2), 99), None);
    }

    #[test]
    fn no_flood_of_sources_takes_more_memory_than_there_is_for_it() {
        let closed = Closed::default();
        (0..MOST).for_each(|number| closed.remember(Kind::Source, hash(number), 100, 0));
        closed.remember(Kind::Source, hash(MOST), 100, 99);
        assert_eq!(closed.until(Kind::Source, hash(MOST), 99), None, "the table is asked");
        closed.remember(Kind::Source, hash(MOST), 200, 100);
        assert_eq!(
            closed.until(Kind::Source, hash(MOST), 199),
            Some(200),
            "those whose time is over make room"
        );
    }
}
