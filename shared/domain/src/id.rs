//! Identifiers that other systems choose: products, restocks, users. One rule for all of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::fields::Invalid;

/// The longest identifier, in bytes (which are characters: identifiers are ASCII).
pub const MAX_ID_BYTES: usize = 128;

/// What an identifier may be, as refusals say it.
pub const ACCEPTED_ID: &str = "1 to 128 characters out of A-Z a-z 0-9 and . _ : ~ @ + - (not only dots)";

fn check(field: &'static str, text: &str) -> Result<(), Invalid> {
    if text.is_empty() {
        return Err(Invalid::new(field, "is empty", ACCEPTED_ID));
    }
    if text.len() > MAX_ID_BYTES {
        let problem = format!("is {} bytes long", text.len());
        return Err(Invalid::new(field, problem, ACCEPTED_ID));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "._:~@+-".contains(c);
    if let Some(index) = text.chars().position(|c| !fits(c)) {
        let problem = format!("has a character that is not accepted, at place {}", index + 1);
        return Err(Invalid::new(field, problem, ACCEPTED_ID));
    }
    if text.chars().all(|c| c == '.') {
        return Err(Invalid::new(field, "is only dots", ACCEPTED_ID));
    }
    Ok(())
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $field:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes `text` if it is [accepted](ACCEPTED_ID).
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                check($field, text)?;
                Ok(Self(text.to_owned()))
            }

            /// The identifier as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                check($field, &text)?;
                Ok(Self(text))
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }
    };
}

macro_rules! shown {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

id! {
    /// A product, as the shop names it; a Kafka key and a part of table keys.
    ProductId, "productId"
}
shown!(ProductId);

id! {
    /// One restock: the same for every redelivery and retry of it.
    RestockId, "restockId"
}
shown!(RestockId);

id! {
    /// A shop's own id of a shopper. It may be an address, so it is never shown.
    UserId, "userId"
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserId(…)")
    }
}

impl RestockId {
    /// The id of a restock that brought none: the same whenever its record is delivered again.
    pub fn of_record(topic: &str, partition: i64, offset: i64) -> Self {
        // Kafka topic names are at most 249 characters out of A-Z a-z 0-9 . _ -; the tail of a
        // long one is as good a name, since partition and offset follow it.
        let tail = topic.len().saturating_sub(80);
        let topic = topic.get(tail..).unwrap_or("topic");
        Self(format!("{topic}-{partition}-{offset}"))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn product_ids_of_usual_shops_are_accepted() {
        for id in ["iphone15", "SKU-1.2_b", "4006381333931", "a:b~c@d+e", &"x".repeat(128)] {
            assert_eq!(ProductId::parse(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn what_would_break_a_key_a_link_or_a_log_is_refused_with_the_place() {
        for (id, problem) in [
            ("", "is empty"),
            ("a b", "at place 2"),
            ("a#b", "at place 2"),
            ("café", "at place 4"),
            ("a\n", "at place 2"),
            ("../x", "at place 3"),
            ("..", "only dots"),
            (&"x".repeat(129), "129 bytes"),
        ] {
            let refusal = ProductId::parse(id).unwrap_err();
            assert_eq!(refusal.field, "productId");
            assert!(refusal.problem.contains(problem), "{id:?}: {refusal}");
        }
    }

    #[test]
    fn a_user_id_never_shows() {
        let id = UserId::parse("jo@example.com").unwrap();
        assert!(!format!("{id:?}").contains("jo"));
    }

    #[test]
    fn a_record_gives_its_restock_the_same_id_at_every_delivery() {
        let id = RestockId::of_record("item-restocked", 2, 41);
        assert_eq!(id.as_str(), "item-restocked-2-41");
        let long = RestockId::of_record(&"t".repeat(249), 2, 41);
        assert!(RestockId::parse(long.as_str()).is_ok());
    }
}
