//! The tags of an email that lead from what SES reports of it back to its place: product, shard and position. They hold no
//! address and no secret: whoever may read SES's events may know them.
//!
//! SES takes letters, digits, `_` and `-` in the value of a tag, and 255 of them, so the place goes in base64url. A product
//! of more than 172 bytes is too long for one value; the rest of the text then stands in a second tag.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::id::MAX_TAG_CHARS;
use crate::{Position, ProductId, Shard};

/// The names of the tags, in their order.
pub const TAGS: [&str; 2] = ["place", "place-more"];

const VERSION: u8 = 1;
/// Version, shard, position.
const HEAD: usize = 1 + Shard::BYTES + 16;

/// A place in a waitlist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The product.
    pub product: ProductId,
    /// The shard.
    pub shard: Shard,
    /// The position.
    pub position: Position,
}

impl Place {
    /// The tags that lead here: names and values, one or two.
    pub fn tags(&self) -> Vec<(&'static str, String)> {
        let mut bytes = Vec::with_capacity(HEAD + self.product.as_str().len());
        bytes.push(VERSION);
        bytes.extend(self.shard.to_bytes());
        bytes.extend(self.position.to_bytes());
        bytes.extend(self.product.as_str().as_bytes());
        let mut text = URL_SAFE_NO_PAD.encode(bytes);
        let more = text.split_off(text.len().min(MAX_TAG_CHARS));
        TAGS.into_iter().zip([text, more]).filter(|(_, value)| !value.is_empty()).collect()
    }

    /// Reads the place from the values of [`TAGS`]; `None` where they are not of our making.
    pub fn read(place: &str, more: Option<&str>) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(format!("{place}{}", more.unwrap_or_default())).ok()?;
        let (head, product) = bytes.split_at_checked(HEAD)?;
        let (version, head) = head.split_first()?;
        let (shard, position) = head.split_first_chunk()?;
        if *version != VERSION {
            return None;
        }
        Some(Self {
            product: ProductId::parse(std::str::from_utf8(product).ok()?).ok()?,
            shard: Shard::from_bytes(*shard)?,
            position: Position::from_bytes(position.try_into().ok()?),
        })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Lane;

    fn place(product: &str) -> Place {
        Place {
            product: ProductId::parse(product).unwrap(),
            shard: Shard { lane: Lane::PriorityMail, number: 1_023 },
            position: Position::new(1_800_000_000_000, 7),
        }
    }

    fn read(tags: &[(&str, String)]) -> Option<Place> {
        Place::read(&tags.first()?.1, tags.get(1).map(|(_, more)| more.as_str()))
    }

    #[test]
    fn the_longest_product_takes_two_tags_and_any_other_one() {
        for (length, tags) in [(1, 1), (172, 1), (173, 2), (255, 2)] {
            let place = place(&"x".repeat(length));
            assert_eq!((place.tags().len(), read(&place.tags())), (tags, Some(place)), "{length}");
        }
        assert!(
            Place::read(&place(&"x".repeat(255)).tags()[0].1, None).is_none_or(|cut| cut
                .product
                .as_str()
                .len()
                < 255)
        );
    }

    #[test]
    fn other_texts_are_no_places() {
        for text in [
            "",
            "iphone15",
            "AAAA",
            "!!!!",
            &URL_SAFE_NO_PAD.encode([2; 40]),
            &URL_SAFE_NO_PAD.encode([1; HEAD]),
            &URL_SAFE_NO_PAD.encode([&[VERSION, 8, 0][..], &[7; 17]].concat()),
        ] {
            assert_eq!(Place::read(text, None), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_place_reads_back_from_what_ses_takes(text in "\\PC{1,60}", lane in 0..2_usize, number in 0..1_024_u16, at: u128) {
            if let Ok(product) = ProductId::parse(&text) {
                let shard = Shard { lane: Lane::ALL[lane], number };
                let place = Place { product, shard, position: Position::from_bytes(at.to_be_bytes()) };
                for (_, value) in place.tags() {
                    prop_assert!((1..=MAX_TAG_CHARS).contains(&value.len()));
                    prop_assert!(value.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c)));
                }
                prop_assert_eq!(read(&place.tags()), Some(place));
            }
        }
    }
}
