//! The index of the shop's own ids of shoppers: which persons belong to one. It is written only where the shop vouches for the
//! id, because any client can write an id into a request.

use domain::{PersonId, UserId};

use crate::item::{Item, SK, TTL, number, text};
use crate::request::Pages;
use crate::{ItemKey, Store, StoreError};

const PERSON: &str = "S#";

/// The partition of a user.
fn partition(user: &UserId) -> String {
    format!("U#{}", user.key_part())
}

/// The key of a person among those of a user.
pub fn key(user: &UserId, person: PersonId) -> ItemKey {
    ItemKey::new(partition(user), format!("{PERSON}{}", person.key_part()))
}

/// The users. Nothing but a key is kept of one: an item whose time is over leads to a person of whom nothing is left, so it
/// does no harm until the table forgets it.
#[derive(Clone, Copy)]
pub struct Users<'a>(pub(crate) &'a Store);

impl Users<'_> {
    /// Writes that a person belongs to a user, until `ttl` in Unix seconds.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn link(self, user: &UserId, person: PersonId, ttl: i64) -> Result<(), StoreError> {
        let mut item: Item = key(user, person).attributes();
        item.insert(TTL.to_owned(), number(ttl));
        self.0.put(item).await
    }

    /// The persons of a user, strongly consistent.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn persons_of(self, user: &UserId) -> Result<Vec<PersonId>, StoreError> {
        let mut pages = Pages::of(self.0.query(partition(user), None).consistent_read(true));
        let mut found = Vec::new();
        while let Some(items) = pages.items().await? {
            found.extend(items.iter().filter_map(person));
        }
        Ok(found)
    }

    /// Writes that a person does not belong to a user any more.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn unlink(self, user: &UserId, person: PersonId) -> Result<(), StoreError> {
        let delete = self.0.client.delete_item().table_name(&self.0.table);
        let delete = delete.set_key(Some(key(user, person).attributes())).send().await;
        delete.map(drop).map_err(|e| StoreError::of("DeleteItem", &e))
    }
}

fn person(item: &Item) -> Option<PersonId> {
    text(item, SK)?.strip_prefix(PERSON)?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_key_leads_back_to_the_person_and_users_do_not_meet_in_one() {
        let (user, jo) = (|id: &str| UserId::parse(id).unwrap(), PersonId::from_bytes([7; 16]));
        let key = key(&user("a#1"), jo);
        assert_eq!((key.pk(), person(&key.attributes())), ("U#a%231", Some(jo)));
        assert_ne!(partition(&user("a#1")), partition(&user("a%231")));
    }
}
