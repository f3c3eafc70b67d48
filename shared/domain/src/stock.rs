//! Stock updates: what arrives on the topic `item-restocked`, whoever wrote it, and what the HTTP
//! API takes. The wire form is JSON in camelCase with RFC 3339 times; plain text that is just a
//! product id, or `productId=` and one, is taken as well.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use crate::{
    ProductId, RestockId,
    fields::{Fields, Invalid},
};

/// How far ahead of the reader's clock an update may claim to have happened: later ones are
/// taken as this far ahead. An update from the far future would otherwise make every later one
/// look stale for ever.
pub const MAX_AHEAD_SECONDS: i64 = 300;

/// The largest quantity: what a JSON number holds exactly everywhere.
pub const MAX_QUANTITY: u64 = (1 << 53) - 1;

const ACCEPTED_QUANTITY: &str = "a whole number from 0 (sold out) to 9007199254740991";
const ACCEPTED_TIME: &str = "an RFC 3339 time with its offset, such as 2026-11-23T09:30:00Z, from 1970 on";
const ACCEPTED_NAME: &str = "1 to 200 characters, no control characters";
const ACCEPTED_URL: &str = "an absolute http or https URL of at most 2048 characters";
const ACCEPTED_PRICE: &str = "a text such as \"999.00 €\" of at most 64 characters, or a number";

/// What a mail says of a product beyond its id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProductInfo {
    /// What the shop calls it.
    pub name: String,
    /// Where it can be bought.
    pub url: String,
    /// A picture of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_url: Option<String>,
    /// Its price, as the shop writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<String>,
}

impl ProductInfo {
    fn read(fields: Fields<'_>) -> Result<Self, Invalid> {
        Ok(Self {
            name: line("product.name", fields.required_text("name", ACCEPTED_NAME)?, 200, ACCEPTED_NAME)?,
            url: link("product.url", fields.required_text("url", ACCEPTED_URL)?)?,
            image_url: fields
                .text("imageUrl", ACCEPTED_URL)?
                .map(|url| link("product.imageUrl", url))
                .transpose()?,
            price: fields
                .text_or_number("price", ACCEPTED_PRICE)?
                .map(|price| line("product.price", &price, 64, ACCEPTED_PRICE))
                .transpose()?,
        })
    }
}

/// A stock update: a restock, or with quantity 0 a sell-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StockUpdate {
    /// The restock's id, where its sender gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restock_id: Option<RestockId>,
    /// The product.
    pub product_id: ProductId,
    /// How many there are now; none given means some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u64>,
    /// When the stock changed, where its sender said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// What a mail can say of the product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<ProductInfo>,
}

/// A stock update read from a record, and what of it could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromRecord {
    /// The update.
    pub update: StockUpdate,
    /// Why its product details were left out: nobody goes untold for a bad picture link.
    pub left_out: Option<Invalid>,
}

impl StockUpdate {
    /// Reads a record's value; `None` is a tombstone. Lenient where the sender is unknown: a
    /// quantity may be missing, and product details that are not usable are left out.
    pub fn from_record(value: Option<&[u8]>) -> Result<FromRecord, Invalid> {
        let accepted = "JSON with a productId, or a product id as plain text";
        let whole = |problem: &str| Invalid::new("value", problem, accepted);
        let bytes = value.ok_or_else(|| whole("is missing (a tombstone)"))?;
        let text = std::str::from_utf8(bytes).map_err(|_| whole("is not UTF-8"))?.trim();
        if text.is_empty() {
            return Err(whole("is empty"));
        }
        if !text.starts_with(['{', '"', '[']) {
            let id = text.strip_prefix("productId=").unwrap_or(text);
            return Ok(FromRecord { update: Self::of(ProductId::parse(id)?), left_out: None });
        }
        // serde_json's own message could repeat a part of the value, so only its place is told.
        let json: Value = serde_json::from_str(text)
            .map_err(|e| whole(&format!("is not JSON (line {}, column {})", e.line(), e.column())))?;
        if let Value::String(id) = &json {
            return Ok(FromRecord { update: Self::of(ProductId::parse(id)?), left_out: None });
        }
        let fields = Fields::of(&json, "value")?;
        let mut update = Self::read(fields, None)?;
        let mut left_out = None;
        match fields.object("product").and_then(|found| found.map(ProductInfo::read).transpose()) {
            Ok(info) => update.product = info,
            Err(problem) => left_out = Some(problem),
        }
        Ok(FromRecord { update, left_out })
    }

    /// Reads a request's body or a direct invocation's payload. Strict: a quantity must be there
    /// and every detail must be usable. `product_id` comes from the path where there is one.
    pub fn from_request(json: &Value, product_id: Option<ProductId>) -> Result<Self, Invalid> {
        let fields = Fields::of(json, "body")?;
        let mut update = Self::read(fields, product_id)?;
        if update.quantity.is_none() {
            return Err(Invalid::new("quantity", "is missing", ACCEPTED_QUANTITY));
        }
        update.product = fields.object("product")?.map(ProductInfo::read).transpose()?;
        Ok(update)
    }

    fn of(product_id: ProductId) -> Self {
        Self { restock_id: None, product_id, quantity: None, occurred_at: None, product: None }
    }

    fn read(fields: Fields<'_>, product_id: Option<ProductId>) -> Result<Self, Invalid> {
        let product_id = match product_id {
            Some(id) => id,
            None => ProductId::parse(fields.required_text("productId", crate::id::ACCEPTED_ID)?)?,
        };
        let quantity = fields.whole("quantity", ACCEPTED_QUANTITY)?;
        if quantity.is_some_and(|quantity| quantity > MAX_QUANTITY) {
            return Err(Invalid::new("quantity", "is too large", ACCEPTED_QUANTITY));
        }
        Ok(Self {
            restock_id: fields
                .text("restockId", crate::id::ACCEPTED_ID)?
                .map(RestockId::parse)
                .transpose()?,
            quantity,
            occurred_at: fields.text("occurredAt", ACCEPTED_TIME)?.map(time).transpose()?,
            product: None,
            product_id,
        })
    }
}

fn time(text: &str) -> Result<Timestamp, Invalid> {
    let refuse = |problem: &str| Invalid::new("occurredAt", problem, ACCEPTED_TIME);
    let time: Timestamp = text.parse().map_err(|_| refuse("is not an RFC 3339 time"))?;
    if time < Timestamp::UNIX_EPOCH { Err(refuse("is before 1970")) } else { Ok(time) }
}

/// One line of text of 1 to `most` characters.
pub(crate) fn line(
    field: &'static str,
    text: &str,
    most: usize,
    accepted: &'static str,
) -> Result<String, Invalid> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Invalid::new(field, "is empty", accepted));
    }
    if text.chars().count() > most {
        return Err(Invalid::new(field, format!("is longer than {most} characters"), accepted));
    }
    // A line break would end the Subject header that the text goes into.
    if text.chars().any(|c| c.is_control() || c == '\u{2028}' || c == '\u{2029}') {
        return Err(Invalid::new(field, "has a control character", accepted));
    }
    Ok(text.to_owned())
}

fn link(field: &'static str, text: &str) -> Result<String, Invalid> {
    let url =
        Url::parse(text.trim()).map_err(|_| Invalid::new(field, "is not an absolute URL", ACCEPTED_URL))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Invalid::new(field, "is not http or https", ACCEPTED_URL));
    }
    if url.as_str().len() > 2_048 {
        return Err(Invalid::new(field, "is longer than 2048 characters", ACCEPTED_URL));
    }
    Ok(url.into())
}

/// The order of a product's updates: when each happened, then where its record lies. Kept as a
/// text that sorts as it does, because the table compares it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Version(String);

impl Version {
    /// The version of an update that happened at `occurred_at`, or else when its record was
    /// written, but never more than [`MAX_AHEAD_SECONDS`] after `now`.
    pub fn new(
        occurred_at: Option<Timestamp>,
        written_at: Option<Timestamp>,
        now: Timestamp,
        partition: i64,
        offset: i64,
    ) -> Self {
        let latest = now.as_microsecond().saturating_add(MAX_AHEAD_SECONDS * 1_000_000);
        let at = occurred_at.or(written_at).unwrap_or(now).as_microsecond().clamp(0, latest);
        // 17 digits hold microseconds until the year 5138.
        Self(format!("{at:017}-{:06}-{:020}", partition.max(0), offset.max(0)))
    }

    /// When the update happened, as far as that was known.
    pub fn at(&self) -> Option<Timestamp> {
        let (micros, _) = self.0.split_once('-')?;
        Timestamp::from_microsecond(micros.parse().ok()?).ok()
    }

    /// The text that sorts as versions do.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn record(text: &str) -> Result<FromRecord, Invalid> {
        StockUpdate::from_record(Some(text.as_bytes()))
    }

    #[test]
    fn the_plain_texts_of_the_tutorial_are_restocks_of_that_product() {
        for text in ["iphone15", " iphone15\n", "productId=iphone15", "\"iphone15\""] {
            let read = record(text).unwrap();
            assert_eq!(read.update, StockUpdate::of(ProductId::parse("iphone15").unwrap()), "{text}");
        }
    }

    #[test]
    fn a_full_record_is_read_and_unknown_fields_are_ignored() {
        let read = record(
            r#"{"restockId":"r-1","productId":"iphone15","quantity":25,"occurredAt":"2026-11-23T10:30:00+01:00",
                "product":{"name":"iPhone 15","url":"https://shop.example/p/iphone15","imageUrl":null,"price":999.5},
                "warehouse":"north"}"#,
        )
        .unwrap();
        assert_eq!(read.left_out, None);
        assert_eq!(
            serde_json::to_value(&read.update).unwrap(),
            json!({"restockId":"r-1","productId":"iphone15","quantity":25,"occurredAt":"2026-11-23T09:30:00Z",
                "product":{"name":"iPhone 15","url":"https://shop.example/p/iphone15","price":"999.5"}})
        );
    }

    #[test]
    fn what_was_written_reads_back_as_the_same_update() {
        let update = record(r#"{"productId":"p","quantity":0,"occurredAt":"2026-11-23T09:30:00.123456Z"}"#)
            .unwrap()
            .update;
        assert_eq!(record(&serde_json::to_string(&update).unwrap()).unwrap().update, update);
    }

    #[test]
    fn poison_says_which_field_and_never_repeats_the_value() {
        for (text, field) in [
            ("", "value"),
            ("{", "value"),
            ("[1]", "value"),
            ("{}", "productId"),
            (r#"{"productId":7}"#, "productId"),
            (r#"{"productId":"p","quantity":-1}"#, "quantity"),
            (r#"{"productId":"p","quantity":1.5}"#, "quantity"),
            (r#"{"productId":"p","quantity":"1"}"#, "quantity"),
            (r#"{"productId":"p","quantity":9007199254740992}"#, "quantity"),
            (r#"{"productId":"p","occurredAt":"yesterday"}"#, "occurredAt"),
            (r#"{"productId":"p","occurredAt":"2026-11-23T09:30:00"}"#, "occurredAt"),
            (r#"{"productId":"p","occurredAt":"1969-12-31T23:59:59Z"}"#, "occurredAt"),
            (r#"{"productId":"p","restockId":"a b"}"#, "restockId"),
            ("secret@example.com is waiting", "productId"),
        ] {
            let poison = record(text).unwrap_err();
            assert_eq!(poison.field, field, "{text}");
            assert!(!poison.to_string().contains("secret"), "{poison}");
        }
        assert_eq!(StockUpdate::from_record(None).unwrap_err().field, "value");
        assert_eq!(StockUpdate::from_record(Some(&[0xff, 0xfe])).unwrap_err().field, "value");
    }

    #[test]
    fn unusable_details_of_a_record_are_left_out_and_named_and_nobody_goes_untold() {
        for (details, field) in [
            (r#"{"name":"x","url":"/relative"}"#, "product.url"),
            (r#"{"name":"x","url":"javascript:alert(1)"}"#, "product.url"),
            (r#"{"name":"a\nb","url":"https://shop.example/"}"#, "product.name"),
            (r#"{"url":"https://shop.example/"}"#, "name"),
            (r#""x""#, "product"),
        ] {
            let read = record(&format!(r#"{{"productId":"p","quantity":1,"product":{details}}}"#)).unwrap();
            assert_eq!(read.update.product, None);
            assert_eq!(read.left_out.unwrap().field, field);
        }
    }

    #[test]
    fn a_request_must_say_how_many_and_have_usable_details() {
        let id = || Some(ProductId::parse("p").unwrap());
        let refuse = |body: Value| StockUpdate::from_request(&body, id()).unwrap_err().field;
        assert_eq!(refuse(json!({})), "quantity");
        assert_eq!(refuse(json!([])), "body");
        assert_eq!(refuse(json!({"quantity":1,"product":{"name":"x","url":"ftp://x"}})), "product.url");
        let update = StockUpdate::from_request(&json!({"quantity":0}), id()).unwrap();
        assert_eq!(update.quantity, Some(0));
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn versions_sort_by_time_then_by_offset() {
        let version = |occurred, offset| Version::new(Some(at(occurred)), None, at(1_000), 0, offset);
        assert!(version(10, 9) < version(11, 1));
        assert!(version(10, 9) < version(10, 10));
        assert_eq!(version(10, 9), version(10, 9));
    }

    #[test]
    fn an_update_from_the_far_future_does_not_outlive_the_next_ones() {
        let wrong = Version::new(Some(at(9_000_000)), None, at(1_000), 0, 0);
        let right = Version::new(Some(at(1_400)), None, at(1_400), 0, 1);
        assert!(wrong < right);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes: Vec<u8>) {
            let _ = StockUpdate::from_record(Some(&bytes));
        }

        #[test]
        fn any_json_is_read_or_refused_without_panic(text in r#"\{("productId":"[a-z]{0,3}",?)?("quantity":-?[0-9]{0,20})?\}"#) {
            let _ = record(&text);
        }
    }
}
