//! What of a raw message says where it comes from and goes to, where a request does not: `FromEmailAddress` and `Destination`
//! of `SendEmail` are not required beside `Content.Raw` (API reference of SES v2). Header fields as RFC 5322 folds them.

use base64::{Engine as _, engine::general_purpose::STANDARD};

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

/// The addresses of a field, cut at its commas but for those in a quoted name.
fn addresses(value: &str) -> Vec<String> {
    let (mut found, mut quoted) = (vec![String::new()], false);
    for c in value.chars() {
        quoted ^= c == '"';
        match found.last_mut() {
            Some(last) if c != ',' || quoted => last.push(c),
            _ => found.push(String::new()),
        }
    }
    found.iter().map(|address| address.trim().to_owned()).filter(|address| !address.is_empty()).collect()
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests fail by panicking")]
mod tests {
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
}
