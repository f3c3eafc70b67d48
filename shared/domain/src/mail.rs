//! The email to a subscriber: one layout for all, and the values that fill it, per call and
//! per recipient. SES puts values in for `{{name}}` and escapes nothing, so every value that
//! goes into HTML is escaped here, under a name that ends in `Html`.

use serde_json::{Map, Value};

use crate::rules::Availability;
use crate::stock::ProductInfo;
use crate::{Locale, ProductId};

mod asked;
mod letter;
mod sender;
#[cfg(test)]
mod tests;
mod words;

pub use asked::{Listed, Sender, ToConfirm};
pub use letter::{Content, Letter};
pub use sender::from_header;
pub use words::alerts as alerts_label;

const SUBJECT: &str = "{{subject}}";
/// The plain text part, with `%price%` and `%address%` for what only some emails have.
const TEXT: &str = include_str!("mail/layout.txt");
/// The HTML part, with `%image%`, `%price%` and `%address%` likewise.
const HTML: &str = include_str!("mail/layout.html");
const IMAGE_HTML: &str = include_str!("mail/image.html");
const PRICE_HTML: &str = include_str!("mail/price.html");
const PRICE_TEXT: &str = "{{price}}\n";
const ADDRESS_HTML: &str = "{{shopAddressHtml}}<br>\n";
const ADDRESS_TEXT: &str = "{{shopAddress}}\n";

/// The layout of an offer's emails. SES takes an inline template only with simple substitutions ("Amazon SES supports only
/// simple substitutions ... when you provide the full template content in the request": `Template` in its API reference)
/// and answers 400 "Template contains unsupported operations." to any block, so whether there is a picture and a price is
/// decided here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// The subject line.
    pub subject: &'static str,
    /// The plain text part.
    pub text: String,
    /// The HTML part.
    pub html: String,
}

impl Layout {
    /// The layout for what is known of a product and of the shop.
    pub fn of(offer: &Offer, shop: &Shop) -> Self {
        let part = |there: bool, part: &'static str| if there { part } else { "" };
        let (image, price, address) =
            (offer.image_url.is_some(), offer.price.is_some(), shop.address.is_some());
        let html = HTML
            .replace("%image%", part(image, IMAGE_HTML))
            .replace("%price%", part(price, PRICE_HTML))
            .replace("%address%", part(address, ADDRESS_HTML));
        let text = TEXT.replace("%price%", part(price, PRICE_TEXT));
        Self { subject: SUBJECT, text: text.replace("%address%", part(address, ADDRESS_TEXT)), html }
    }
}

/// The shop and its links.
#[derive(Debug, Clone)]
pub struct Shop {
    /// Its name.
    pub name: String,
    /// Its postal address, in one line.
    pub address: Option<String>,
    /// A product's page where an update brought no link: `{productId}` stands for the id.
    pub product_url: String,
    /// The unsubscribe link: `{token}` stands for the token.
    pub unsubscribe_url: String,
    /// The link to a person's alerts: `{token}` stands for the token.
    pub alerts_url: String,
}

/// The product as emails show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    name: String,
    url: String,
    image_url: Option<String>,
    price: Option<String>,
    availability: Availability,
}

impl Offer {
    /// What is known of the product, else its id and the shop's link pattern; in stock, unless [`Offer::available`] says
    /// otherwise.
    pub fn new(id: &ProductId, info: Option<&ProductInfo>, shop: &Shop) -> Self {
        let known = info.cloned().unwrap_or_default();
        let page = || shop.product_url.replace("{productId}", &percent_encoded(id.as_str()));
        Self {
            name: known.name.unwrap_or_else(|| id.as_str().to_owned()),
            url: known.url.unwrap_or_else(page),
            image_url: known.image_url,
            price: known.price,
            availability: Availability::InStock,
        }
    }

    /// The same as what can be sold of it: the emails say so, in their subject too.
    #[must_use]
    pub fn available(self, availability: Availability) -> Self {
        Self { availability, ..self }
    }
}

/// The values that all recipients of a call share: the product, and the words of `locale`.
pub fn shared_data(offer: &Offer, shop: &Shop, locale: &Locale) -> Map<String, Value> {
    let mut data = Map::new();
    both(&mut data, "product", &offer.name);
    both(&mut data, "productUrl", &offer.url);
    for (name, detail) in [("imageUrl", &offer.image_url), ("price", &offer.price)] {
        if let Some(detail) = detail {
            both(&mut data, name, detail);
        }
    }
    if let Some(address) = &shop.address {
        both(&mut data, "shopAddress", address);
    }
    words(&mut data, offer, shop, locale, None);
    data
}

/// The values for one recipient, beside the shared ones for `shared`'s language.
pub fn recipient_data(
    offer: &Offer,
    shop: &Shop,
    recipient: &Recipient<'_>,
    shared: &Locale,
) -> Map<String, Value> {
    let mut data = Map::new();
    let words_of = words::of(recipient.locale.language());
    if words_of.language != words::of(shared.language()).language {
        words(&mut data, offer, shop, recipient.locale, recipient.name);
    } else if let Some(name) = recipient.name {
        both(&mut data, "greeting", &fill(words_of.greeting_name, &[("name", name)]));
    }
    both(&mut data, "unsubscribeUrl", recipient.unsubscribe_url);
    both(&mut data, "alertsUrl", recipient.alerts_url);
    data
}

/// The recipient of an email.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// The language they read.
    pub locale: &'a Locale,
    /// What they like to be called.
    pub name: Option<&'a str>,
    /// Their own unsubscribe link.
    pub unsubscribe_url: &'a str,
    /// The link to their own alerts.
    pub alerts_url: &'a str,
}

fn words(data: &mut Map<String, Value>, offer: &Offer, shop: &Shop, locale: &Locale, name: Option<&str>) {
    let words = words::of(locale.language());
    let values =
        [("product", offer.name.as_str()), ("shop", shop.name.as_str()), ("name", name.unwrap_or_default())];
    let news = words.news(offer.availability);
    let greeting = if name.is_some() { words.greeting_name } else { words.greeting };
    data.insert("lang".to_owned(), words.language.into());
    // A subject is a header and no HTML.
    data.insert("subject".to_owned(), fill(news.subject, &values).into());
    for (variable, text) in [
        ("greeting", greeting),
        ("news", news.news),
        ("hurry", news.hurry),
        ("action", words.action),
        ("reason", words.reason),
        ("unsubscribe", words.unsubscribe),
        ("alerts", words.alerts),
    ] {
        both(data, variable, &fill(text, &values));
    }
}

/// Puts in `text` under `name`, and escaped for HTML under `name` + `Html`.
fn both(data: &mut Map<String, Value>, name: &str, text: &str) {
    data.insert(name.to_owned(), text.into());
    data.insert(format!("{name}Html"), escaped(text).into());
}

/// Fills `{name}`s in one pass, so that a value that looks like a placeholder stays as it is.
fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        out.push_str(values.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value));
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Text made safe for HTML, as content and inside a quoted attribute.
pub fn escaped(text: &str) -> String {
    // Most texts, and all links that are made here, need nothing.
    if !text.contains(['&', '<', '>', '"', '\'']) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

fn percent_encoded(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}
