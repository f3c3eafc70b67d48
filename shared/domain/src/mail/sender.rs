//! Who an email is from.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::Address;

/// The From header: the shop's name and the address. A name that is not plain words is written in encoded words
/// (RFC 2047), which SES asks for.
pub fn from_header(name: &str, address: &Address) -> String {
    let address = address.reveal();
    if name.chars().all(|c| c.is_ascii_alphanumeric() || c == ' ') {
        return format!("{name} <{address}>");
    }
    let mut words = vec![String::new()];
    for c in name.chars() {
        match words.last_mut() {
            Some(word) if word.len() + c.len_utf8() <= ENCODED_WORD_BYTES => word.push(c),
            _ => words.push(c.to_string()),
        }
    }
    let words: Vec<String> =
        words.iter().map(|word| format!("=?UTF-8?B?{}?=", STANDARD.encode(word))).collect();
    format!("{} <{address}>", words.join(" "))
}

/// What fits into an encoded word: at most 75 characters (RFC 2047, section 2), 12 of them its frame, in base 64.
const ENCODED_WORD_BYTES: usize = 45;

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn mails_come_in_the_shops_name_whatever_its_letters() {
        let address = Address::parse("a@example.com").unwrap();
        assert_eq!(from_header("Corner Shop", &address), "Corner Shop <a@example.com>");
        assert_eq!(from_header("Käse & Co", &address), "=?UTF-8?B?S8Okc2UgJiBDbw==?= <a@example.com>");
        let long = "Käsekaufhaus für große und kleine Mäuse in Köln und Düsseldorf";
        let header = from_header(long, &address);
        let words: Vec<&str> = header.split(' ').take_while(|word| word.starts_with("=?")).collect();
        assert!(words.len() > 1 && words.iter().all(|word| word.len() <= 75), "{header}");
        let decoded = words.iter().map(|word| {
            let text = word.trim_start_matches("=?UTF-8?B?").trim_end_matches("?=");
            String::from_utf8(STANDARD.decode(text).unwrap_or_default()).unwrap_or_default()
        });
        assert_eq!(decoded.collect::<String>(), long);
    }
}
