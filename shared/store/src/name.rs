//! The names of restocks. Senders name a restock after a delivery, which may bring several products; the name is the
//! product's that came first under it, and the others' have the names that [`RestockId::of_product`] makes. A name that is
//! an `Idempotency-Key` also keeps the request that came under it.

use domain::{ProductId, RestockId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{Item, KEPT_SECONDS, TTL, from_item, number, to_item};
use crate::request::Condition;
use crate::{ItemKey, Outcome, Store, StoreError};

const KIND: &str = "name";

/// The key of a restock's name.
pub fn key(restock: &RestockId) -> ItemKey {
    ItemKey::new(format!("I#{}", restock.key_part()), "NAME")
}

/// The product that a restock's name belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Named {
    /// The product.
    pub product_id: ProductId,
    /// The request, where the name is an `Idempotency-Key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Asked>,
    /// When the table may forget it, in Unix seconds.
    pub ttl: i64,
}

/// The request that came under an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Asked {
    /// The fingerprint of the update.
    pub body: String,
    /// When the first request came: a retry does not make it a later update.
    #[serde(rename = "occurredAt")]
    pub received_at: Timestamp,
    /// The partition and the offset where it lies, once it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<(i32, i64)>,
}

impl Named {
    /// The name for a restock of `product` from `now` on, known for as long as the restock: 400 days.
    pub fn new(product: &ProductId, request: Option<Asked>, now: Timestamp) -> Self {
        Self { product_id: product.clone(), request, ttl: now.as_second() + KEPT_SECONDS }
    }
}

/// The names of restocks.
#[derive(Clone, Copy)]
pub struct Names<'a>(pub(crate) &'a Store);

/// The next step with a name that is taken.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// By the same product: it is the same restock.
    Same(Named),
    /// By another product: this one's restock needs the name that hangs on both.
    Other,
    /// By an item that cannot be read: as good as new. Two restocks may be counted as one then, which is better than
    /// no delivery at all.
    Unreadable,
}

impl Names<'_> {
    /// Takes a name for a restock of the product in `new`: `name` itself, or where that is another product's, the one
    /// that hangs on both. The write is applied only where the name is free, or its time is over at `now`: so of two
    /// products that come under one name at once, one has it, for good.
    ///
    /// Gives the name, and what was known of it; `None` where it is new.
    ///
    /// # Errors
    /// Every kind of [`StoreError`]; `Contended` where the name went while it was looked at.
    pub async fn take(
        self,
        name: &RestockId,
        new: &Named,
        now: Timestamp,
    ) -> Result<(RestockId, Option<Named>), StoreError> {
        let mut restock = name.clone();
        for _ in 0..2 {
            // A name whose time is over is free, even if the table has not forgotten it yet.
            let free = Condition::new("attribute_not_exists(pk) OR #ttl < :now")
                .name("#ttl", TTL)
                .value(":now", number(now.as_second()));
            let found = match self.0.put_if(to_item(&key(&restock), new, KIND)?, free).await? {
                Outcome::Applied(()) => return Ok((restock, None)),
                Outcome::Refused(found) => found.ok_or_else(|| StoreError::contended("a name"))?,
            };
            match taken(found, &new.product_id) {
                Taken::Same(known) => return Ok((restock, Some(known))),
                Taken::Other => restock = name.of_product(&new.product_id),
                Taken::Unreadable => {
                    tracing::warn!(%restock, "the name of this restock cannot be read");
                    return Ok((restock, None));
                }
            }
        }
        // Another product's sender chose the very name that would be made for this one.
        Ok((restock.of_product(&new.product_id), None))
    }

    /// Writes what is known of a name, whatever stands there: for the caller that took it.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn put(self, name: &RestockId, named: &Named) -> Result<(), StoreError> {
        self.0.put(to_item(&key(name), named, KIND)?).await
    }
}

fn taken(found: Item, product: &ProductId) -> Taken {
    match from_item::<Named>(found, KIND) {
        Ok(found) if found.product_id == *product => Taken::Same(found),
        Ok(_) => Taken::Other,
        Err(_) => Taken::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;
    use crate::item::string;

    #[test]
    fn a_name_that_is_taken_is_the_products_own_or_anothers_or_cannot_be_read() {
        let product = |id: &str| ProductId::parse(id).unwrap();
        let asked = Asked { body: "b".to_owned(), received_at: Timestamp::UNIX_EPOCH, place: Some((1, 2)) };
        let named = Named::new(&product("p"), Some(asked), Timestamp::UNIX_EPOCH);
        let item = to_item(&key(&RestockId::parse("r").unwrap()), &named, KIND).unwrap();
        assert_eq!(taken(item.clone(), &product("p")), Taken::Same(named));
        assert_eq!(taken(item.clone(), &product("q")), Taken::Other);
        let garbled = Item::from([("productId".to_owned(), number(1)), (TTL.to_owned(), string("x"))]);
        assert_eq!(taken(garbled, &product("p")), Taken::Unreadable);
        assert_eq!(crate::item::parsed::<i64>(&item, TTL), Some(KEPT_SECONDS));
    }
}
