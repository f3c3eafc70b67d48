//! The list of the persons who get no email, for the operator: an item per suppression, written and removed with the person's
//! own in one transaction, so that neither is without the other. A person's own item is found by their hash alone.

use aws_sdk_dynamodb::types::TransactWriteItem;
use domain::PersonId;
use domain::suppression::Suppression;

use crate::item::{SK, from_item, text, to_item};
use crate::request::Pages;
use crate::{ItemKey, Store, StoreError};

const KIND: &str = "suppression";

/// The number of partitions over which the suppressions are spread: a feedback storm writes many at once.
pub const BUCKETS: u8 = 16;

fn partition(bucket: u8) -> String {
    format!("SUPPRESSED#{bucket}")
}

/// The key of a person's suppression in the list.
pub fn key(person: PersonId) -> ItemKey {
    let [first, ..] = person.to_bytes();
    ItemKey::new(partition(first % BUCKETS), person.key_part())
}

/// The write that lists a suppression, over the one that is listed.
pub(crate) fn listing(
    store: &Store,
    person: PersonId,
    suppression: &Suppression,
) -> Result<TransactWriteItem, StoreError> {
    store.putting(to_item(&key(person), suppression, KIND)?)
}

/// The write that lists it no more.
pub(crate) fn unlisting(store: &Store, person: PersonId) -> Result<TransactWriteItem, StoreError> {
    store.removing(&key(person))
}

/// A part of the list.
#[derive(Debug, Default)]
pub struct Part {
    /// The persons, in no order that says anything, and why they get no email.
    pub found: Vec<(PersonId, Suppression)>,
    /// The number of items that cannot be read.
    pub unreadable: usize,
}

/// The list, part by part.
pub struct List<'a> {
    store: &'a Store,
    /// The bucket that is read, and what is left of it.
    bucket: u8,
    pages: Pages,
}

impl<'a> List<'a> {
    pub(crate) fn of(store: &'a Store) -> Self {
        Self { store, bucket: 0, pages: pages(store, 0) }
    }

    /// The next part, strongly consistent; `None` after the last. One that failed may be asked for again.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn next(&mut self) -> Result<Option<Part>, StoreError> {
        while self.bucket < BUCKETS {
            let Some(items) = self.pages.items().await? else {
                self.bucket += 1;
                self.pages = pages(self.store, self.bucket);
                continue;
            };
            let mut part = Part::default();
            for item in items {
                let person = text(&item, SK).and_then(|person| person.parse().ok());
                match (person, from_item(item, KIND)) {
                    (Some(person), Ok(suppression)) => part.found.push((person, suppression)),
                    _ => part.unreadable += 1,
                }
            }
            return Ok(Some(part));
        }
        Ok(None)
    }
}

fn pages(store: &Store, bucket: u8) -> Pages {
    Pages::of(store.query(partition(bucket), None).consistent_read(true))
}
