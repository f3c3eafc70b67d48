//! What a person said when they asked for an alert: the proof that they did, which outlives the rest. It holds no address.

use domain::{Locale, PersonId, Position, ProductId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::item::{from_item, string, to_item};
use crate::request::{Condition, Pages, apply};
use crate::{ItemKey, Outcome, Store, StoreError, person};

const KIND: &str = "consent";
pub(crate) const PREFIX: &str = "C#";

/// The key of a consent: an ask is named by its position, which no other has.
pub fn key(person: PersonId, ask: Position) -> ItemKey {
    ItemKey::new(person::partition(person), format!("{PREFIX}{ask}"))
}

/// One ask, as it was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Consent {
    /// The product.
    pub product_id: ProductId,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// When the person confirmed it, where they were asked to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
    /// Where: `api`, `form`, or `shop` for a person whom the shop vouches for.
    pub source: String,
    /// The page that the form stood on, without its query, where a browser said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
    /// The language.
    pub locale: Locale,
    /// The version of the words that were shown, as the shop names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// When the table may forget it, in Unix seconds.
    pub ttl: i64,
}

/// The consents.
#[derive(Clone, Copy)]
pub struct Consents<'a>(pub(crate) &'a Store);

impl Consents<'_> {
    /// Writes down an ask. A repeat of the same one changes nothing.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn keep(
        self,
        person: PersonId,
        ask: Position,
        consent: &Consent,
    ) -> Result<Outcome, StoreError> {
        let item = to_item(&key(person, ask), consent, KIND)?;
        Ok(self.0.put_if(item, Condition::absent()).await?.plain())
    }

    /// One ask, strongly consistent.
    ///
    /// # Errors
    /// Every kind of [`StoreError`] but `Contended`.
    pub async fn find(self, person: PersonId, ask: Position) -> Result<Option<Consent>, StoreError> {
        self.0.get(&key(person, ask), KIND).await
    }

    /// Writes down that an ask was confirmed. Refused where it is not kept, or was confirmed before.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn confirm(
        self,
        person: PersonId,
        ask: Position,
        at: Timestamp,
    ) -> Result<Outcome, StoreError> {
        let update = self
            .0
            .update(&key(person, ask), "attribute_exists(pk) AND attribute_not_exists(confirmedAt)")
            .update_expression("SET confirmedAt = :at")
            .expression_attribute_values(":at", string(at));
        Ok(apply(update).await?.plain())
    }

    /// Every consent of a person that has not expired by `now`, oldest first, and how many cannot be read.
    ///
    /// # Errors
    /// `Unavailable` and `Denied`.
    pub async fn all_of(self, person: PersonId, now: Timestamp) -> Result<(Vec<Consent>, usize), StoreError> {
        let range = (PREFIX.to_owned(), format!("{PREFIX}\u{10ffff}"));
        let mut pages = Pages::of(self.0.query(person::partition(person), Some(range)).consistent_read(true));
        let (mut found, mut unreadable) = (Vec::new(), 0);
        while let Some(items) = pages.items().await? {
            for item in items {
                match from_item::<Consent>(item, KIND) {
                    Ok(consent) if consent.ttl <= now.as_second() => {}
                    Ok(consent) => found.push(consent),
                    Err(_) => unreadable += 1,
                }
            }
        }
        Ok((found, unreadable))
    }
}
