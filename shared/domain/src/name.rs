//! What a shopper likes to be called. Any client can ask for an email to a stranger's address, and
//! would choose the first words of an email from the shop's domain: a name therefore
//! holds nothing that a mail program makes a link of, no address and no line break.

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, GeneralCategoryGroup};

use crate::fields::Invalid;

/// The longest name, in characters.
pub const MAX_NAME_CHARS: usize = 40;

/// What a name may be, as answers say it.
pub const ACCEPTED_NAME: &str = "at most 40 characters: letters, spaces and ' - . , with dots only at the \
     ends of words";

/// A name, without the white space around it; a blank one is none.
pub fn parse(text: &str) -> Result<Option<String>, Invalid> {
    let refuse = |problem| Err(Invalid::new("name", problem, ACCEPTED_NAME));
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let chars: Vec<char> = text.chars().collect();
    if chars.len() > MAX_NAME_CHARS {
        return refuse("is longer than 40 characters");
    }
    if !chars.iter().copied().all(|c| is_letter_or_mark(c) || " '’-.,".contains(c)) {
        return refuse("contains an invalid character");
    }
    if !chars.iter().copied().any(is_letter_or_mark) {
        return refuse("contains no letter");
    }
    if (0..chars.len()).any(|at| chars.get(at) == Some(&'.') && !ends_a_word(&chars, at)) {
        return refuse("contains a dot inside a word, like a link");
    }
    Ok(Some(text.to_owned()))
}

/// Letters and marks of every script (Unicode's general categories L and M).
fn is_letter_or_mark(c: char) -> bool {
    let category = CodePointMapData::<GeneralCategory>::new().get(c);
    GeneralCategoryGroup::Letter.union(GeneralCategoryGroup::Mark).contains(category)
}

/// Whether the dot there is the end of a word, as in `St. John` and `J.-P.`, or stands between
/// initials, as in `J.R.R.`; `evil.example` and `t.co` are links.
fn ends_a_word(chars: &[char], at: usize) -> bool {
    let char_at = |place: Option<usize>| place.and_then(|place| chars.get(place)).copied();
    let is_word = |c: Option<char>| c.is_some_and(|c| is_letter_or_mark(c) || c == '.');
    let (before, after) = (char_at(at.checked_sub(1)), char_at(Some(at + 1)));
    if !before.is_some_and(is_letter_or_mark) {
        return false;
    }
    // No top-level domain has one letter.
    let initial_before = !is_word(char_at(at.checked_sub(2))) || char_at(at.checked_sub(2)) == Some('.');
    let initial_after = char_at(Some(at + 2)) == Some('.');
    !is_word(after) || (after != Some('.') && initial_before && initial_after)
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_that_people_have_are_taken_as_they_are() {
        for name in [
            "Ada",
            "Jörg",
            "Jo\u{308}rg",
            "O'Neil",
            "D’Angelo",
            "Anne-Marie",
            "J. R. R. Tolkien",
            "J.R.R. Tolkien",
            "J.-P. Sartre",
            "Martin Luther King, Jr.",
            "St. John",
            "李雷",
            "Дмитрий Менделеев",
            "नरेन्द्र",
            "சுப்ரமணிய பாரதி",
            "محمد",
            "Nguyễn Thị Minh Khai",
        ] {
            assert_eq!(parse(&format!(" {name} ")).unwrap().as_deref(), Some(name));
        }
        assert_eq!(parse(&"x".repeat(40)).unwrap().unwrap().len(), 40);
    }

    #[test]
    fn a_blank_name_is_none() {
        for blank in ["", " ", "\t\n", "\u{3000}"] {
            assert_eq!(parse(blank).unwrap(), None);
        }
    }

    #[test]
    fn what_a_mail_program_would_make_a_link_of_or_a_second_line_is_refused() {
        for name in [
            "Win a prize at https://evil.example/now",
            "CASH http://evil.example",
            "evil.example",
            "Visit evil.example now",
            "go to evil.com",
            "t.co",
            "a.b.co",
            "J.R.com",
            "www.evil.example.",
            "evil..com",
            "evil. .com",
            ".com",
            "evil\u{2024}com",
            "evil\u{ff0e}com",
            "evil\u{3002}com",
            "jo@evil",
            "mailto:jo",
            "call 0800 123",
            "a\nb",
            "a\r\nBcc: x",
            "a\u{2028}b",
            "a\u{85}b",
            "a\tb",
            "a\u{0}b",
            "a\u{202e}b",
            "a\u{200b}b",
            "<b>Bo</b>",
            "{{name}}",
            "a/b",
            "a&b",
            "🎁 Bo",
            "...",
            "-",
            &"x".repeat(41),
        ] {
            let refusal = parse(name).unwrap_err();
            assert_eq!(refusal.field, "name");
            assert!(!refusal.to_string().contains("evil"), "it is not repeated: {refusal}");
        }
    }
}
