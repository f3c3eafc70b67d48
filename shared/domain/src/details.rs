//! What an update says of its product beside the stock. Each detail is usable or left out by itself: an email without a
//! picture is better than an email without a name.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

use crate::fields::{Fields, Invalid, kind};
use crate::stock::line;

const ACCEPTED_NAME: &str = "1 to 200 characters, no control characters";
const ACCEPTED_URL: &str = "an absolute http or https URL of at most 2048 characters";
const ACCEPTED_PRICE: &str = "text such as \"999.00 €\" of at most 64 characters, or a number";

/// What an email says of a product beyond its id, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductInfo {
    /// What the shop calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Where it can be bought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// A picture of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// Its price, as the shop writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
}

impl ProductInfo {
    /// What is known after an update that brought `news`, of which `known` was known: what it brought, and else the
    /// name, the link and the picture as they were. A price is not kept, for it may have changed.
    #[must_use]
    pub fn after(known: Option<Self>, news: Option<&Self>) -> Option<Self> {
        let (known, news) = (known.unwrap_or_default(), news.cloned().unwrap_or_default());
        let info = Self {
            name: news.name.or(known.name),
            url: news.url.or(known.url),
            image_url: news.image_url.or(known.image_url),
            price: news.price,
        };
        (info != Self::default()).then_some(info)
    }
}

/// Reads the details in `value`, which is the field `product` of the JSON in `text`. What cannot be used goes to
/// `ignored`.
pub(crate) fn read(value: Option<&Value>, text: &str, ignored: &mut Vec<Invalid>) -> Option<ProductInfo> {
    let fields = Fields::of(value.filter(|value| !value.is_null())?, "product")
        .map_err(|problem| ignored.push(problem))
        .ok()?;
    let mut detail = |name: &str, read: &dyn Fn(&Value) -> Result<String, Invalid>| {
        let value = fields.raw(name).filter(|value| !value.is_null())?;
        read(value).map_err(|problem| ignored.push(problem)).ok()
    };
    let name = |value: &Value| {
        let field = "product.name";
        line(field, given(field, value, ACCEPTED_NAME)?, 200, ACCEPTED_NAME)
    };
    let info = ProductInfo {
        name: detail("name", &name),
        url: detail("url", &|value| link("product.url", value)),
        image_url: detail("imageUrl", &|value| link("product.imageUrl", value)),
        price: detail("price", &|value| price(value, text)),
    };
    (info != ProductInfo::default()).then_some(info)
}

fn given<'a>(field: &'static str, value: &'a Value, accepted: &'static str) -> Result<&'a str, Invalid> {
    value.as_str().ok_or_else(|| Invalid::new(field, format!("is {}", kind(value)), accepted))
}

/// A link. One that begins with `//` leaves the scheme to the page that it stands on, as the picture links of some shop
/// systems do; an email stands on none, so it is `https:`.
fn link(field: &'static str, value: &Value) -> Result<String, Invalid> {
    let text = given(field, value, ACCEPTED_URL)?.trim();
    if text.is_empty() {
        return Err(Invalid::new(field, "is empty", ACCEPTED_URL));
    }
    let absolute = if text.starts_with("//") { format!("https:{text}") } else { text.to_owned() };
    let url =
        Url::parse(&absolute).map_err(|_| Invalid::new(field, "is not an absolute URL", ACCEPTED_URL))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Invalid::new(field, "is not http or https", ACCEPTED_URL));
    }
    if url.as_str().len() > 2_048 {
        return Err(Invalid::new(field, "is longer than 2048 characters", ACCEPTED_URL));
    }
    Ok(url.into())
}

/// A price: a text, or a number as it was written, for people read 20.00 and 20.0 differently.
fn price(value: &Value, text: &str) -> Result<String, Invalid> {
    let field = "product.price";
    match value {
        Value::Number(number) => {
            let written = as_written(text).unwrap_or_else(|| number.to_string());
            line(field, &written, 64, ACCEPTED_PRICE)
        }
        _ => line(field, given(field, value, ACCEPTED_PRICE)?, 64, ACCEPTED_PRICE),
    }
}

/// The price as it stands in the text of an update. `None` where the text has two, or two products.
fn as_written(text: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Update<'a> {
        #[serde(borrow)]
        product: Details<'a>,
    }
    #[derive(Deserialize)]
    struct Details<'a> {
        #[serde(borrow)]
        price: &'a RawValue,
    }
    let update: Update<'_> = serde_json::from_str(text).ok()?;
    Some(update.product.price.get().to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn details(json: &str) -> (Option<ProductInfo>, Vec<&'static str>) {
        let text = format!(r#"{{"product":{json}}}"#);
        let value: Value = serde_json::from_str(&text).unwrap();
        let mut ignored = Vec::new();
        let info = read(value.get("product"), &text, &mut ignored);
        (info, ignored.iter().map(|invalid| invalid.field).collect())
    }

    #[test]
    fn one_bad_detail_is_left_out_by_itself_and_named() {
        let good = json!({"name": "Chair", "url": "https://shop.example/c",
            "imageUrl": "https://shop.example/c.jpg", "price": "99.00 €"});
        for (field, named, bad) in [
            ("name", "product.name", json!("")),
            ("name", "product.name", json!("a\nb")),
            ("name", "product.name", json!(["x"])),
            ("name", "product.name", json!("x".repeat(201))),
            ("url", "product.url", json!("/relative")),
            ("url", "product.url", json!("javascript:alert(1)")),
            ("url", "product.url", json!("")),
            ("url", "product.url", json!(7)),
            ("imageUrl", "product.imageUrl", json!("")),
            ("imageUrl", "product.imageUrl", json!("c.jpg")),
            ("imageUrl", "product.imageUrl", json!({"src": "https://shop.example/c.jpg"})),
            ("price", "product.price", json!("")),
            ("price", "product.price", json!({"amount": "99.00", "currencyCode": "EUR"})),
            ("price", "product.price", json!("9".repeat(65))),
        ] {
            let mut product = good.clone();
            product[field] = bad;
            let (info, ignored) = details(&product.to_string());
            assert_eq!(ignored, [named], "{product}");
            product.as_object_mut().unwrap().remove(field);
            assert_eq!(info, serde_json::from_value(product).unwrap());
        }
    }

    #[test]
    fn a_price_is_shown_as_it_was_written() {
        for price in ["20.00", "19.90", "100", "0.50", "1e3", "-5.0", "12345678901234567890.10"] {
            let (info, ignored) = details(&format!(r#"{{"price": {price} ,"name":"x"}}"#));
            assert_eq!((info.unwrap().price.as_deref(), ignored.len()), (Some(price), 0));
        }
        assert_eq!(details(r#"{"price":"20.00"}"#).0.unwrap().price.unwrap(), "20.00");
    }

    #[test]
    fn a_link_without_its_scheme_is_taken_for_https() {
        let (info, ignored) = details(r#"{"imageUrl":"//cdn.shopify.com/s/chair.jpg"}"#);
        assert_eq!(info.unwrap().image_url.unwrap(), "https://cdn.shopify.com/s/chair.jpg");
        assert!(ignored.is_empty());
    }

    #[test]
    fn details_without_anything_usable_are_none() {
        for nothing in ["null", "{}", r#"{"name":null}"#] {
            assert_eq!(details(nothing), (None, vec![]));
        }
        assert_eq!(details(r#"{"name":" "}"#), (None, vec!["product.name"]));
        assert_eq!(details(r#""x""#), (None, vec!["product"]));
    }

    #[test]
    fn what_an_update_does_not_bring_stays_known_but_for_the_price() {
        let info = |json: Value| -> Option<ProductInfo> { Some(serde_json::from_value(json).unwrap()) };
        let known =
            info(json!({"name": "Chair", "url": "https://s/c", "imageUrl": "https://s/i", "price": "9 €"}));
        let without_price = info(json!({"name": "Chair", "url": "https://s/c", "imageUrl": "https://s/i"}));
        assert_eq!(ProductInfo::after(known.clone(), None), without_price);
        let renamed = info(json!({"name": "Stool", "price": "8 €"}));
        assert_eq!(
            ProductInfo::after(known, renamed.as_ref()),
            info(json!({"name": "Stool", "url": "https://s/c", "imageUrl": "https://s/i", "price": "8 €"}))
        );
        assert_eq!(ProductInfo::after(None, None), None);
    }
}
