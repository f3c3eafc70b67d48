//! A record's bytes as a short text that is safe to print. They may be anything: what steers a terminal is escaped,
//! what looks like an email address is masked, and the rest is cut.

use std::fmt::Write as _;

/// What stands for something that looks like an address.
const MASK: &str = "[address]";
/// How many bytes are looked at. Far more than is shown, so that the cut falls outside of what is.
const LOOKED_AT: usize = 8_192;

/// At most `most` characters of `bytes`.
pub(super) fn preview(bytes: &[u8], most: usize) -> String {
    let looked_at = bytes.get(..LOOKED_AT).unwrap_or(bytes);
    let masked = mask(&String::from_utf8_lossy(looked_at));
    let mut shown = String::new();
    for (index, c) in masked.chars().enumerate() {
        if index == most {
            shown.push('…');
            break;
        }
        if steers(c) {
            // Writing to a string does not fail.
            let _ = write!(shown, "{}", c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Whether a character moves the cursor or changes the order of others.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The text without the words that have an at sign in them, in whatever way it is written.
fn mask(text: &str) -> String {
    // As JSON and URLs may write it, and what looks like it.
    const AT_SIGNS: [&str; 6] = ["@", "\\u0040", "%40", "&#64;", "\u{ff20}", "\u{fe6b}"];
    let ends_word = |c: char| c.is_whitespace() || c.is_control() || "\"'`,:;<>()[]{}=".contains(c);
    let mut masked = String::with_capacity(text.len());
    for word in text.split_inclusive(ends_word) {
        let (bare, end) = match word.char_indices().next_back() {
            Some((at, c)) if ends_word(c) => word.split_at(at),
            _ => (word, ""),
        };
        if !AT_SIGNS.iter().any(|sign| bare.contains(sign)) {
            masked.push_str(word);
            continue;
        }
        // "a quoted name"@example.com: the name goes as well.
        let quote = masked.chars().next_back().filter(|c| matches!(c, '"' | '\''));
        if let Some(quote) = quote.filter(|_| AT_SIGNS.iter().any(|sign| bare.starts_with(sign))) {
            masked.pop();
            masked.truncate(masked.rfind(quote).unwrap_or_default());
        }
        masked.push_str(MASK);
        masked.push_str(end);
    }
    masked
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whatever_looks_like_an_address_is_masked() {
        for (value, shown) in [
            (r#"{"email":"jo.doe+x@example.com","n":1}"#, r#"{"email":"[address]","n":1}"#),
            ("jo@example.com", "[address]"),
            ("mailto:jo@example.com?subject=x", "mailto:[address]=x"),
            ("Jo <jo@example.com>, al@x", "Jo <[address]>, [address]"),
            (r#"{"e":"jo\u0040example.com"}"#, r#"{"e":"[address]"}"#),
            ("to=jo%40example.com&x=1", "to=[address]=1"),
            (r#"say "jo doe"@example.com now"#, "say [address] now"),
            ("jö＠example.com", "[address]"),
            ("no address here", "no address here"),
        ] {
            assert_eq!(preview(value.as_bytes(), 100), shown, "{value}");
        }
    }

    #[test]
    fn what_steers_a_terminal_is_escaped_and_the_rest_is_cut() {
        assert_eq!(preview(b"a\x1b[2Jb\nc\0", 100), r"a\u{1b}[2Jb\nc\u{0}");
        assert_eq!(preview("a\u{202e}b".as_bytes(), 100), r"a\u{202e}b");
        assert_eq!(preview(b"\xff\xfe", 100), "\u{fffd}\u{fffd}");
        assert_eq!(preview(b"abcdef", 3), "abc…");
        assert_eq!(preview(&[b'x'; 3_000_000], 5), "xxxxx…");
    }

    proptest! {
        #[test]
        fn any_bytes_are_shown_without_an_at_sign_and_without_control_characters(
            bytes in prop::collection::vec(any::<u8>(), 0..200), text in "\\PC{0,40}@\\PC{0,40}",
        ) {
            for bytes in [bytes, text.into_bytes()] {
                let shown = preview(&bytes, 120);
                prop_assert!(!shown.contains('@') && !shown.chars().any(char::is_control), "{shown:?}");
            }
        }
    }
}
