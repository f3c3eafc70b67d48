//! Identifiers that other systems choose: products, restocks, users. One rule for all of them.
//!
//! They are compared as they are given: nothing is changed in them but white space at both ends, which
//! spreadsheets and plain text files leave behind. Two spellings of one letter (Unicode's composed and
//! decomposed forms) are two identifiers, as they are to Kafka, to DynamoDB and to most shops.

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fields::Invalid;

/// The longest identifier, in bytes of UTF-8: as long as the columns that other systems keep them in.
pub const MAX_ID_BYTES: usize = 255;

/// What an identifier may be, as refusals say it.
pub const ACCEPTED_ID: &str = "1 to 255 bytes of printable text, not only spaces or dots";

/// The longest value of a tag of SES's: "Tag value cannot exceed 255 characters", it says, while its documentation says 256.
pub(crate) const MAX_TAG_CHARS: usize = 255;

/// Takes `text` without the white space at its ends, if it is [accepted](ACCEPTED_ID).
fn checked<'a>(field: &'static str, text: &'a str) -> Result<&'a str, Invalid> {
    let text = text.trim();
    if text.chars().all(is_blank) {
        return Err(Invalid::new(field, "is empty", ACCEPTED_ID));
    }
    if text.len() > MAX_ID_BYTES {
        let problem = format!("is {} bytes long", text.len());
        return Err(Invalid::new(field, problem, ACCEPTED_ID));
    }
    if let Some(index) = text.chars().position(|c| !is_printable(c)) {
        let problem = format!("contains an invalid character at position {}", index + 1);
        return Err(Invalid::new(field, problem, ACCEPTED_ID));
    }
    // Segments of a path, which clients resolve before they send it, however they are spelled:
    // https://url.spec.whatwg.org/#double-dot-path-segment
    if text.chars().all(|c| c == '.') {
        return Err(Invalid::new(field, "consists only of dots", ACCEPTED_ID));
    }
    Ok(text)
}

/// Characters that are nothing to look at where they stand alone: white space, joiners, selectors and fillers.
fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{200c}' | '\u{200d}' | '\u{2800}' | '\u{3164}'
        )
        || matches!(c, '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0020}'..='\u{e007f}' | '\u{e0100}'..='\u{e01ef}')
}

/// Whether a character shows as itself in a link, a log and an email. Controls, line and paragraph separators, what turns
/// the direction of a line or shows nothing at all, private use, and noncharacters do not. U+FFFD is what text became
/// that was no text. Joiners and tags are taken: words of Persian and families and flags of emoji are made with them.
fn is_printable(c: char) -> bool {
    let low = u32::from(c) & 0xffff;
    let is_hidden = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffd}' | '\u{e0001}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}');
    let is_private = matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{f0000}'..);
    let is_no_character = low >= 0xfffe || matches!(c, '\u{fdd0}'..='\u{fdef}');
    !(c.is_control() || is_hidden || is_private || is_no_character)
}

/// An identifier as a part of a longer key, whose parts `#` divides: `#` is written `%23` and `%` `%25`, so that no two
/// lists of parts make one key. Identifiers without these two stand as they are.
fn key_part(text: &str) -> Cow<'_, str> {
    if text.contains(['#', '%']) {
        Cow::Owned(text.replace('%', "%25").replace('#', "%23"))
    } else {
        Cow::Borrowed(text)
    }
}

/// An identifier as the value of a tag of SES's, which takes letters, digits, `_` and `-`, and 255 of them: any other
/// byte, and `_`, is written as `_` and its two hexadecimal digits. What would be longer ends in `_h` and a hash instead,
/// so that two identifiers never share a tag.
fn tag(text: &str) -> String {
    let mut tag = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || byte == b'-' {
            tag.push(char::from(byte));
        } else {
            tag.push('_');
            hex(&mut tag, byte);
        }
    }
    if tag.len() > MAX_TAG_CHARS {
        tag.truncate(MAX_TAG_CHARS - 2 - 64);
        tag.push_str("_h");
        for byte in Sha256::digest(text.as_bytes()) {
            hex(&mut tag, byte);
        }
    }
    tag
}

/// Reads what [`tag`] gave; `None` where it had to be shortened, or gave no such text.
fn of_tag(tag: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(tag.len()), tag.bytes());
    while let Some(byte) = rest.next() {
        if byte != b'_' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        bytes.push(digit(rest.next()?)? << 4 | digit(rest.next()?)?);
    }
    String::from_utf8(bytes).ok()
}

fn hex(out: &mut String, byte: u8) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{byte:02x}");
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
                checked($field, text).map(|text| Self(text.to_owned()))
            }

            /// The identifier as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The identifier as a part of a key whose parts `#` divides: reversible, and the identifier itself
            /// where it holds neither `#` nor `%`.
            pub fn key_part(&self) -> Cow<'_, str> {
                key_part(&self.0)
            }

            /// Reads what [`key_part`](Self::key_part) gave; `None` where it gave no such text.
            pub fn from_key_part(part: &str) -> Option<Self> {
                Self::parse(&part.replace("%23", "#").replace("%25", "%")).ok()
            }
        }

        impl TryFrom<String> for $name {
            type Error = Invalid;
            fn try_from(text: String) -> Result<Self, Invalid> {
                Self::parse(&text)
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

    /// The id of a restock of `product` under a name that another product's restock has already: the name, `~`, and 16
    /// hexadecimal digits that hang on both. Of a name that leaves no room for them, the beginning.
    #[must_use]
    pub fn of_product(&self, product: &ProductId) -> Self {
        let mut hash = Sha256::new();
        // The length divides the two; without it, other pairs would come to the same text.
        hash.update(product.0.len().to_be_bytes());
        hash.update(product.0.as_bytes());
        hash.update(self.0.as_bytes());
        let mut end = "~".to_owned();
        for byte in hash.finalize().into_iter().take(8) {
            hex(&mut end, byte);
        }
        let room = MAX_ID_BYTES - end.len();
        let name = self.0.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|to| *to <= room).last();
        Self(format!("{}{end}", self.0.get(..name.unwrap_or_default()).unwrap_or_default()))
    }

    /// The id as the value of a tag of SES's: letters, digits, `_` and `-`, at most 255 of them. Distinct ids have
    /// distinct tags, and one of letters, digits and `-` is its own.
    pub fn tag(&self) -> String {
        tag(&self.0)
    }

    /// Reads what [`tag`](Self::tag) gave; `None` where the id was too long for a tag, or it is no such text.
    pub fn from_tag(tag: &str) -> Option<Self> {
        Self::parse(&of_tag(tag)?).ok().filter(|id| id.tag() == tag)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_that_other_systems_choose_are_accepted_as_they_are() {
        for id in [
            "iphone15",
            "SKU-1.2_b",
            "4006381333931",
            "a:b~c@d+e",
            "CLE-056621/6",
            "HEADS-5/0 1oz-Orange",
            "B2X_2443714|4",
            "gid://shopify/Product/1",
            "auth0|5f7c8ec7c33c6c004bbafe82",
            "PO-17/2026 line 3",
            "100% wool #2",
            "{\"a\":[1]}\\",
            "café",
            "cafe\u{301}",
            "商品-１２",
            "شماره\u{200c}ها",
            "👨\u{200d}👩\u{200d}👧",
            "🏴\u{e0067}\u{e0062}\u{e007f}",
            ".hidden.",
            &"x".repeat(255),
            &"é".repeat(127),
        ] {
            assert_eq!(ProductId::parse(id).unwrap().as_str(), id);
        }
    }

    #[test]
    fn white_space_at_the_ends_does_not_count() {
        for id in [" p\t", "p\r\n", "\u{a0}p"] {
            assert_eq!(ProductId::parse(id).unwrap().as_str(), "p");
        }
    }

    #[test]
    fn what_would_break_a_link_or_a_log_is_refused_with_the_position() {
        for (id, problem) in [
            ("", "is empty"),
            (" \t", "is empty"),
            ("\u{200d}\u{fe0f}", "is empty"),
            ("a\nb", "at position 2"),
            ("a\0", "at position 2"),
            ("a\u{7f}b", "at position 2"),
            ("a\u{85}b", "at position 2"),
            ("ab\u{202e}c", "at position 3"),
            ("a\u{2066}b", "at position 2"),
            ("a\u{2028}b", "at position 2"),
            ("a\u{200b}b", "at position 2"),
            ("a\u{feff}b", "at position 2"),
            ("a\u{fffd}", "at position 2"),
            ("a\u{ffff}", "at position 2"),
            ("a\u{e000}", "at position 2"),
            (".", "only of dots"),
            ("..", "only of dots"),
            (&"x".repeat(256), "256 bytes"),
            (&"é".repeat(128), "256 bytes"),
        ] {
            let refusal = ProductId::parse(id).unwrap_err();
            assert_eq!(refusal.field, "productId");
            assert!(refusal.problem.contains(problem), "{id:?}: {refusal}");
        }
    }

    #[test]
    fn ids_of_letters_digits_and_the_old_signs_stand_in_keys_as_they_are() {
        let id = RestockId::parse("Az09._:~@+-").unwrap();
        assert_eq!(id.key_part(), id.as_str());
        assert_eq!(ProductId::parse("a#1%23").unwrap().key_part(), "a%231%2523");
    }

    proptest! {
        #[test]
        fn any_text_is_an_id_or_refused_and_its_key_part_gives_it_back(text in "\\PC{0,40}") {
            if let Ok(id) = ProductId::parse(&text) {
                let part = id.key_part().into_owned();
                prop_assert!(!part.contains('#'));
                prop_assert_eq!(part.replace("%23", "#").replace("%25", "%"), id.as_str());
                prop_assert_eq!(ProductId::parse(id.as_str()).unwrap(), id);
            }
        }

        #[test]
        fn tags_are_what_ses_takes_and_tell_ids_apart(a in "[a_é #-]{1,140}", b in "[a_é #-]{1,140}") {
            if let (Ok(a), Ok(b)) = (RestockId::parse(&a), RestockId::parse(&b)) {
                for id in [&a, &b] {
                    let tag = id.tag();
                    prop_assert!((1..=255).contains(&tag.len()), "{}", tag);
                    prop_assert!(tag.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c)), "{}", tag);
                }
                prop_assert_eq!(a.tag() == b.tag(), a == b);
                prop_assert!(RestockId::from_tag(&a.tag()).is_none_or(|read| read == a));
            }
        }
    }

    #[test]
    fn a_plain_restock_is_its_own_tag() {
        for id in ["01ARZ3NDEKTSV4RRFFQ69G5FAV", "item-restocked-2-41"] {
            assert_eq!(RestockId::parse(id).unwrap().tag(), id);
        }
        assert_eq!(RestockId::parse("PO 7/é_").unwrap().tag(), "PO_207_2f_c3_a9_5f");
        let longest = "a".repeat(MAX_ID_BYTES);
        assert_eq!(RestockId::parse(&longest).unwrap().tag(), longest);
        for id in ["PO 7/é_", longest.as_str()] {
            let id = RestockId::parse(id).unwrap();
            assert_eq!(RestockId::from_tag(&id.tag()), Some(id));
        }
        for tag in ["", "_", "_2", "_zz", "_ff", "_00", &RestockId::parse(&"_".repeat(86)).unwrap().tag()] {
            assert_eq!(RestockId::from_tag(tag), None, "{tag}");
        }
    }

    #[test]
    fn a_tag_of_one_character_more_than_ses_takes_is_shortened() {
        // Three characters for each `_`: one more than SES takes, and as many as it takes.
        for (text, whole) in [(format!("{}a", "_".repeat(85)), false), ("_".repeat(85), true)] {
            let tag = RestockId::parse(&text).unwrap().tag();
            assert_eq!((tag.len(), tag.contains("_h")), (255, !whole), "{tag}");
        }
    }

    #[test]
    fn one_name_is_another_restock_for_another_product() {
        let product = |text: &str| ProductId::parse(text).unwrap();
        for name in ["ASN-1", &"é".repeat(127)] {
            let name = RestockId::parse(name).unwrap();
            let (one, two) = (name.of_product(&product("one")), name.of_product(&product("two")));
            assert_ne!(one, two);
            assert_eq!(one, name.of_product(&product("one")));
            for id in [one, two] {
                assert_eq!(RestockId::parse(id.as_str()).unwrap(), id);
            }
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
