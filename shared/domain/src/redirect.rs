//! Where a shop's own form sends the browser after it was posted.

use std::str::FromStr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use crate::ProductId;

/// What `FORM_REDIRECT` may be, as refusals say it.
pub const ACCEPTED_REDIRECT: &str =
    "an http or https URL, with {productId} and {status} where those are wanted";
const PRODUCT: &str = "{productId}";
const STATUS: &str = "{status}";
/// Braces would be percent-encoded.
const STAND_INS: [(&str, &str); 2] = [(PRODUCT, "place-of-the-product"), (STATUS, "place-of-the-status")];

/// The pattern of an address, in ASCII.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect(String);

impl Redirect {
    /// The address for a product and what came of the ask. A product's id is escaped, so that it stays where it was put.
    pub fn to(&self, product: &ProductId, status: &str) -> String {
        let product = utf8_percent_encode(product.as_str(), NON_ALPHANUMERIC).to_string();
        // The id last: it holds no place of its own, for braces are escaped.
        self.0.replace(STATUS, status).replace(PRODUCT, &product)
    }
}

impl FromStr for Redirect {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let stood_in =
            STAND_INS.iter().fold(text.to_owned(), |text, (place, word)| text.replace(place, word));
        let url = Url::parse(&stood_in).ok();
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        let url = url.ok_or(ACCEPTED_REDIRECT)?;
        // A host that a request chooses would lead anywhere.
        if STAND_INS.iter().any(|(_, word)| url.authority().contains(word)) {
            return Err(ACCEPTED_REDIRECT);
        }
        Ok(Self(STAND_INS.iter().fold(url.to_string(), |url, (place, word)| url.replace(word, place))))
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_product_and_a_status_stand_in_their_places_and_change_nothing_around_them() {
        let to = |pattern: &str, product: &str| {
            let redirect: Redirect = pattern.parse().unwrap();
            redirect.to(&ProductId::parse(product).unwrap(), "waiting")
        };
        for (pattern, product, expected) in [
            ("https://shop.example/thanks", "p", "https://shop.example/thanks"),
            (
                "https://shop.example/p/{productId}?alert={status}",
                "p",
                "https://shop.example/p/p?alert=waiting",
            ),
            (
                "https://shop.example/{productId}#{status}",
                "a/b?c=ü",
                "https://shop.example/a%2Fb%3Fc%3D%C3%BC#waiting",
            ),
            ("https://shop.example/{productId}", "{status}", "https://shop.example/%7Bstatus%7D"),
            ("http://bücher.example/", "p", "http://xn--bcher-kva.example/"),
        ] {
            assert_eq!(to(pattern, product), expected, "{pattern}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_page_is_refused() {
        for text in [
            "",
            "/thanks",
            "shop.example/thanks",
            "javascript:alert(1)",
            "ftp://shop.example/",
            "https://",
            "https://{productId}/",
            "https://{productId}.example/",
            "https://{status}@shop.example/",
        ] {
            assert_eq!(text.parse::<Redirect>(), Err(ACCEPTED_REDIRECT), "{text}");
        }
    }
}
