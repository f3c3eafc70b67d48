//! What a shopper is mailed: one layout for everybody, and the values that fill it, per call and
//! per recipient. SES puts values in for `{{name}}` and escapes nothing, so every value that
//! goes into HTML is escaped here, under a name that ends in `Html`.

use serde_json::{Map, Value};

use crate::stock::ProductInfo;
use crate::{Locale, ProductId};

mod words;

const SUBJECT: &str = "{{subject}}";
/// The plain text part, with `%price%` for what only some mails have.
const TEXT: &str = include_str!("layout.txt");
/// The HTML part, with `%image%` and `%price%` likewise.
const HTML: &str = include_str!("layout.html");
const IMAGE_HTML: &str = include_str!("image.html");
const PRICE_HTML: &str = include_str!("price.html");
const PRICE_TEXT: &str = "{{price}}\n";

/// The layout of an offer's mails. SES takes an inline template only with simple substitutions ("Amazon SES supports only
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
    /// The layout for what is known of a product.
    pub fn of(offer: &Offer) -> Self {
        let part = |there: bool, part: &'static str| if there { part } else { "" };
        let (image, price) = (offer.image_url.is_some(), offer.price.is_some());
        let html =
            HTML.replace("%image%", part(image, IMAGE_HTML)).replace("%price%", part(price, PRICE_HTML));
        Self { subject: SUBJECT, text: TEXT.replace("%price%", part(price, PRICE_TEXT)), html }
    }
}

/// The shop and its links.
#[derive(Debug, Clone)]
pub struct Shop {
    /// Its name.
    pub name: String,
    /// A product's page where an update brought no link: `{productId}` stands for the id.
    pub product_url: String,
    /// The unsubscribe link: `{token}` stands for the token.
    pub unsubscribe_url: String,
}

/// The product as mails show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    name: String,
    url: String,
    image_url: Option<String>,
    price: Option<String>,
}

impl Offer {
    /// What is known of the product, else its id and the shop's link pattern.
    pub fn new(id: &ProductId, info: Option<&ProductInfo>, shop: &Shop) -> Self {
        let known = info.cloned().unwrap_or_default();
        let page = || shop.product_url.replace("{productId}", &percent_encoded(id.as_str()));
        Self {
            name: known.name.unwrap_or_else(|| id.as_str().to_owned()),
            url: known.url.unwrap_or_else(page),
            image_url: known.image_url,
            price: known.price,
        }
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
    data
}

/// Whom a mail goes to.
#[derive(Debug, Clone, Copy)]
pub struct Recipient<'a> {
    /// The language they read.
    pub locale: &'a Locale,
    /// What they like to be called.
    pub name: Option<&'a str>,
    /// Their own unsubscribe link.
    pub unsubscribe_url: &'a str,
}

fn words(data: &mut Map<String, Value>, offer: &Offer, shop: &Shop, locale: &Locale, name: Option<&str>) {
    let words = words::of(locale.language());
    let values =
        [("product", offer.name.as_str()), ("shop", shop.name.as_str()), ("name", name.unwrap_or_default())];
    let greeting = if name.is_some() { words.greeting_name } else { words.greeting };
    data.insert("lang".to_owned(), words.language.into());
    // A subject is a header and no HTML.
    data.insert("subject".to_owned(), fill(words.subject, &values).into());
    for (variable, text) in [
        ("greeting", greeting),
        ("news", words.news),
        ("hurry", words.hurry),
        ("action", words.action),
        ("reason", words.reason),
        ("unsubscribe", words.unsubscribe),
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
fn escaped(text: &str) -> String {
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

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shop() -> Shop {
        Shop {
            name: "Corner & Shop".to_owned(),
            product_url: "https://shop.example/p/{productId}".to_owned(),
            unsubscribe_url: String::new(),
        }
    }

    /// What SES makes of the layout: its variables without escaping, the recipient's values first.
    fn rendered(
        part: fn(Layout) -> String,
        offer: &Offer,
        locale: &str,
        name: Option<&str>,
        shared: &str,
    ) -> String {
        let (locale, shared) = (Locale::parse(locale).unwrap(), Locale::parse(shared).unwrap());
        let recipient =
            Recipient { locale: &locale, name, unsubscribe_url: "https://shop.example/unsubscribe/t0ken" };
        let mut data = shared_data(offer, &shop(), &shared);
        data.extend(recipient_data(offer, &shop(), &recipient, &shared));
        let mut engine = handlebars::Handlebars::new();
        engine.set_strict_mode(true);
        engine.register_escape_fn(handlebars::no_escape);
        engine.render_template(&part(Layout::of(offer)), &data).unwrap()
    }

    fn offer(name: &str) -> Offer {
        let info = ProductInfo {
            name: Some(name.to_owned()),
            url: Some("https://shop.example/p/iphone15?a=1&b=2".to_owned()),
            image_url: Some("https://shop.example/i.png".to_owned()),
            price: Some("999.00 €".to_owned()),
        };
        Offer::new(&ProductId::parse("iphone15").unwrap(), Some(&info), &shop())
    }

    #[test]
    fn the_text_of_a_mail_in_each_language() {
        for (locale, name) in [("en", Some("Jo")), ("de-AT", None), ("fr", Some("Zoé")), ("pt", None)] {
            let subject =
                rendered(|layout| layout.subject.to_owned(), &offer("iPhone 15"), locale, name, "en");
            let text = rendered(|layout| layout.text, &offer("iPhone 15"), locale, name, "en");
            insta::assert_snapshot!(format!("mail_{locale}"), format!("Subject: {subject}\n\n{text}"));
        }
    }

    #[test]
    fn the_html_of_a_mail() {
        insta::assert_snapshot!(rendered(|layout| layout.html, &offer("iPhone 15"), "en", Some("Jo"), "en"));
    }

    #[test]
    fn script_in_a_name_stays_text_and_placeholders_in_names_stay_as_they_are() {
        let nasty = "<script>alert('{shop}')</script> {{subject}}";
        let html = rendered(|layout| layout.html, &offer(nasty), "de", Some("<script>\"x\"</script>"), "en");
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(&#39;{shop}&#39;)&lt;/script&gt; {{subject}}"), "{html}");
        assert!(html.contains("&lt;script&gt;&quot;x&quot;&lt;/script&gt;"), "{html}");
        let text = rendered(|layout| layout.text, &offer(nasty), "en", None, "en");
        assert!(text.contains(nasty), "{text}");
    }

    #[test]
    fn a_recipient_reads_their_own_language_whatever_the_calls_is() {
        for shared in ["en", "de", "fr"] {
            let text = rendered(|layout| layout.subject.to_owned(), &offer("X"), "de", None, shared);
            assert_eq!(text, "X ist wieder da");
        }
    }

    #[test]
    fn a_layout_has_nothing_but_simple_substitutions_whatever_is_known() {
        let details = |image: bool, price: bool| {
            let text = |there: bool, text: &str| there.then(|| text.to_owned());
            let info = ProductInfo {
                image_url: text(image, "https://shop.example/i.png"),
                price: text(price, "1 €"),
                ..ProductInfo::default()
            };
            Offer::new(&ProductId::parse("p").unwrap(), Some(&info), &shop())
        };
        for (image, price) in [(false, false), (false, true), (true, false), (true, true)] {
            let layout = Layout::of(&details(image, price));
            assert_eq!((layout.html.contains("<img"), layout.html.contains("{{priceHtml}}")), (image, price));
            assert_eq!(layout.text.contains("{{price}}"), price);
            for part in [layout.subject.to_owned(), layout.text, layout.html] {
                assert!(
                    !part.contains('%') || !part.contains("%price%") && !part.contains("%image%"),
                    "{part}"
                );
                for name in part.split("{{").skip(1) {
                    let (name, _) = name.split_once("}}").unwrap();
                    assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
                }
            }
        }
    }

    #[test]
    fn without_details_the_mail_has_the_id_and_the_shops_link() {
        let offer = Offer::new(&ProductId::parse("a+b:c").unwrap(), None, &shop());
        let html = rendered(|layout| layout.html, &offer, "en", None, "en");
        assert!(html.contains("https://shop.example/p/a%2Bb%3Ac"), "{html}");
        assert!(html.contains("a+b:c is back in stock"), "{html}");
        assert!(!html.contains("<img"), "{html}");
    }
}
