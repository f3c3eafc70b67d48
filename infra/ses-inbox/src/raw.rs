//! What of a raw message says where it comes from and goes to, where a request does not: `FromEmailAddress` and `Destination`
//! of `SendEmail` are not required beside `Content.Raw` (API reference of SES v2). Header fields as RFC 5322 folds them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::wire::Destination;

/// Sender and recipients of a message.
#[derive(Default)]
pub(super) struct Envelope {
    pub(super) from: Option<String>,
    pub(super) to: Destination,
}

impl Envelope {
    /// Reads the header fields of a message in base 64; `None` where it is none.
    pub(super) fn of(data: &str) -> Option<Self> {
        let data: String = data.split_ascii_whitespace().collect();
        let message = STANDARD.decode(data).ok()?;
        let message = String::from_utf8_lossy(&message).replace("\r\n", "\n");
        let fields = message.split("\n\n").next().unwrap_or_default();
        let fields = fields.replace("\n ", " ").replace("\n\t", " ");
        let all = |name: &str| -> Vec<String> {
            let of_name = fields.lines().filter_map(|line| line.split_once(':'));
            let of_name = of_name.filter(|(found, _)| found.trim().eq_ignore_ascii_case(name));
            of_name.flat_map(|(_, value)| addresses(value)).collect()
        };
        let to = Destination { to_addresses: all("To"), cc_addresses: all("Cc"), bcc_addresses: all("Bcc") };
        Some(Self { from: all("From").into_iter().next(), to })
    }
}

/// The addresses of a field (RFC 5322, 3.4): cut at the commas that stand in no quoted name, without comments, and those of a
/// group without its name; `undisclosed-recipients:;` holds none.
fn addresses(value: &str) -> Vec<String> {
    let (mut found, mut current) = (Vec::new(), String::new());
    let (mut quoted, mut escaped, mut comments) = (false, false, 0_usize);
    for c in value.chars() {
        let literal = std::mem::take(&mut escaped);
        escaped = !literal && c == '\\' && (quoted || comments > 0);
        match c {
            '(' if !literal && !quoted => comments += 1,
            ')' if !literal && comments > 0 => comments -= 1,
            _ if comments > 0 => {}
            '"' if !literal => {
                quoted = !quoted;
                current.push(c);
            }
            ',' | ';' if !quoted => found.push(std::mem::take(&mut current)),
            // What came before is the name of a group.
            ':' if !quoted => current.clear(),
            _ => current.push(c),
        }
    }
    found.push(current);
    found.iter().map(|address| address.trim().to_owned()).filter(|address| !address.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn sender_and_recipients_stand_in_the_message() {
        let message = "From: \"Shop, Corner\" <shop@example.com>\r\nto: a@example.com,\r\n b@example.com\r\nCC: c@example.com\r\n\
                       Bcc: d@example.com\r\nSubject: x\r\n\r\nTo: nobody@example.com\r\n";
        let said = Envelope::of(&STANDARD.encode(message)).unwrap();
        assert_eq!(said.from.unwrap(), "\"Shop, Corner\" <shop@example.com>");
        let all: Vec<&str> = said.to.all().collect();
        assert_eq!(all, ["a@example.com", "b@example.com", "c@example.com", "d@example.com"]);
        assert!(Envelope::of("not base 64!").is_none());
    }

    #[test]
    fn a_field_of_addresses_is_cut_where_addresses_end() {
        for (field, expected) in [
            ("a@x.com", vec!["a@x.com"]),
            ("a@x.com (Ann, at work), b@x.com", vec!["a@x.com", "b@x.com"]),
            (r#""Doe, \"Jo\", Jr" <a@x.com>,b@x.com"#, vec![r#""Doe, \"Jo\", Jr" <a@x.com>"#, "b@x.com"]),
            ("=?UTF-8?B?S8OkdGhl?= <a@x.com>", vec!["=?UTF-8?B?S8OkdGhl?= <a@x.com>"]),
            ("Friends: a@x.com, Bo <b@x.com>; c@x.com", vec!["a@x.com", "Bo <b@x.com>", "c@x.com"]),
            ("undisclosed-recipients:;", vec![]),
            (" , a@x.com,, ", vec!["a@x.com"]),
            (r"(a \) b) a@x.com", vec!["a@x.com"]),
        ] {
            assert_eq!(addresses(field), expected, "{field}");
        }
    }

    #[test]
    fn fields_are_found_however_they_are_folded_and_ended() {
        for message in [
            "From:\r\n shop@example.com\r\nTo:\ta@x.com,\r\n\tb@x.com\r\nTo: c@x.com\r\n\r\nhello",
            "FROM: shop@example.com\nTO: a@x.com\nTO: b@x.com,\n c@x.com\n\nTo: nobody@x.com\n",
            "from : shop@example.com\nto : a@x.com, b@x.com, c@x.com",
        ] {
            let said = Envelope::of(&STANDARD.encode(message)).unwrap();
            assert_eq!(said.from.as_deref(), Some("shop@example.com"), "{message}");
            assert_eq!(said.to.to_addresses, ["a@x.com", "b@x.com", "c@x.com"], "{message}");
        }
    }
}
