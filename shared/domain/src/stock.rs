//! Stock updates: what arrives on the topic `item-restocked`, from any producer, and what the HTTP
//! API takes. The wire form is JSON in camelCase with RFC 3339 times; plain text that is just a
//! product id, or `productId=` and one, is taken as well.
//!
//! Only the product and the quantity decide whether an update can be used. Every other field is taken as far as it is
//! understood: one that is empty or not understood is as if absent, and named beside the update. Only a request is refused
//! for its `availability` and its `rules`: its sender must not believe in a rule that is not kept.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value};
use sha2::{Digest, Sha256};

pub use crate::details::ProductInfo;
use crate::fields::{Fields, Invalid, kind, without_mark};
use crate::id::ACCEPTED_ID;
use crate::rules::{Availability, Rules};
pub use crate::version::{Place, Version};
use crate::{ProductId, RestockId, details};

/// The largest quantity: what a JSON number holds exactly everywhere.
pub const MAX_QUANTITY: u64 = (1 << 53) - 1;

const ACCEPTED_QUANTITY: &str = "a whole number up to 9007199254740991; 0 or less means sold out";
const ACCEPTED_TIME: &str = "an RFC 3339 time with its offset, such as 2026-11-23T09:30:00Z, from 1970 on";
const ACCEPTED_RECORD: &str = "JSON with a productId, or a product id as plain text";

/// A stock update: a restock, or with quantity 0 a sell-out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StockUpdate {
    /// The restock's id, where its sender gave one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restock_id: Option<RestockId>,
    /// Whether the function `restock` has made the id, because its sender gave none: no other update has it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub generated_id: bool,
    /// The product.
    pub product_id: ProductId,
    /// How many there are now; none given means some.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantity: Option<u64>,
    /// When the stock changed, where its sender said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// When the function `restock` took it in; used only where its sender did not say when the stock changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_at: Option<Timestamp>,
    /// What an email can say of the product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<ProductInfo>,
    /// What can be sold: units that are there, unless the sender says otherwise.
    #[serde(skip_serializing_if = "Availability::is_plain")]
    pub availability: Availability,
    /// The rules for this update, over those of the product and of the shop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rules: Option<Rules>,
    /// The product that this one is a variant of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_id: Option<ProductId>,
}

/// A stock update as it was read, and what of it could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The update.
    pub update: StockUpdate,
    /// The fields that count as absent, and why: a bad image link must not block the notification.
    pub ignored: Vec<Invalid>,
}

impl StockUpdate {
    /// Reads a record's value; `None` is a tombstone. Its sender is unknown and reads no answer, so a quantity may be
    /// missing, which means some, or be a number in a text. It may not be `null` or empty: that says "unknown",
    /// and no email must say that something can be bought because of it.
    pub fn from_record(value: Option<&[u8]>) -> Result<Received, Invalid> {
        let whole = |problem: &str| Invalid::new("value", problem, ACCEPTED_RECORD);
        let bytes = value.ok_or_else(|| whole("is missing (a tombstone)"))?;
        let text = std::str::from_utf8(without_mark(bytes)).map_err(|_| whole("is not UTF-8"))?.trim();
        if text.is_empty() {
            return Err(whole("is empty"));
        }
        if !text.starts_with(['{', '"', '[']) {
            return match text.strip_prefix("productId=") {
                Some(id) => Ok(Self::of(ProductId::parse(id)?)),
                // An id with a space in it is told from a sentence by its quotes, or by the words before it.
                None if text.contains(char::is_whitespace) => {
                    Err(Invalid::new("productId", "contains white space", ACCEPTED_RECORD))
                }
                None => Ok(Self::of(ProductId::parse(text)?)),
            };
        }
        let json = parse(text, "value", ACCEPTED_RECORD)?;
        if let Value::String(id) = &json {
            return Ok(Self::of(ProductId::parse(id)?));
        }
        Self::read(text, Fields::of(&json, "value")?, None, quantity_of_record)
    }

    /// Reads a request's body or a direct invocation's payload. Its sender reads the answer, so a quantity must be
    /// there, unless the product can be ordered ahead of its delivery, and be a number; and what it says of availability
    /// and rules must be understood. `product_id` comes from the path where there is one.
    pub fn from_request(body: &[u8], product_id: Option<ProductId>) -> Result<Received, Invalid> {
        let accepted = "a JSON object";
        let text = std::str::from_utf8(without_mark(body))
            .map_err(|_| Invalid::new("body", "is not UTF-8", accepted))?
            .trim();
        if text.is_empty() {
            return Err(Invalid::new("body", "is missing", accepted));
        }
        let json = parse(text, "body", accepted)?;
        let mut read = Self::read(text, Fields::of(&json, "body")?, product_id, quantity_of_request)?;
        let is_binding =
            |field: &str| field == "availability" || field == "rules" || field.starts_with("rules.");
        if let Some(problem) = read.ignored.iter().find(|problem| is_binding(problem.field)) {
            return Err(problem.clone());
        }
        // These two are the function's to say.
        (read.update.generated_id, read.update.received_at) = (false, None);
        Ok(read)
    }

    /// What tells one update from another: a hash of all that was understood of it, 64 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        #[expect(clippy::expect_used, reason = "an update is texts and numbers under fixed names")]
        let bytes = serde_json::to_vec(self).expect("an update is JSON");
        Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn of(product_id: ProductId) -> Received {
        let update = Self {
            restock_id: None,
            generated_id: false,
            product_id,
            quantity: None,
            occurred_at: None,
            received_at: None,
            product: None,
            availability: Availability::InStock,
            rules: None,
            parent_id: None,
        };
        Received { update, ignored: Vec::new() }
    }

    fn read(
        text: &str,
        fields: Fields<'_>,
        product_id: Option<ProductId>,
        quantity: fn(Option<&Value>) -> Result<Option<u64>, Invalid>,
    ) -> Result<Received, Invalid> {
        let product_id = match product_id {
            Some(id) => id,
            None => ProductId::parse(fields.required_text("productId", ACCEPTED_ID)?)?,
        };
        let mut ignored = Vec::new();
        let availability = match given(fields, "availability").map(availability).transpose() {
            Ok(said) => said.unwrap_or_default(),
            // It may say "sold out" in other words, and there is no number that says otherwise.
            Err(problem) if given(fields, "quantity").is_none() => return Err(problem),
            Err(problem) => {
                ignored.push(problem);
                Availability::default()
            }
        };
        let quantity = if availability.is_ahead() && given(fields, "quantity").is_none() {
            None
        } else {
            quantity(fields.raw("quantity"))?
        };
        let mut usable = |problem| ignored.push(problem);
        let restock_id = given(fields, "restockId").and_then(|id| restock(id).map_err(&mut usable).ok());
        let occurred_at =
            given(fields, "occurredAt").and_then(|at| time("occurredAt", at).map_err(&mut usable).ok());
        let received_at = given(fields, "receivedAt").and_then(|at| time("receivedAt", at).ok());
        let rules = given(fields, "rules").and_then(|said| Rules::read(said).map_err(&mut usable).ok());
        let parent_id =
            given(fields, "parentId").and_then(|id| parent(id, &product_id).map_err(&mut usable).ok());
        let product = details::read(given(fields, "product"), text, &mut ignored);
        let generated_id = fields.raw("generatedId") == Some(&Value::Bool(true));
        let update = Self {
            restock_id,
            generated_id,
            product_id,
            quantity,
            occurred_at,
            received_at,
            product,
            availability,
            rules,
            parent_id,
        };
        Ok(Received { update, ignored })
    }
}

/// What a field holds; `None` where it is `null`, too.
fn given<'a>(fields: Fields<'a>, field: &str) -> Option<&'a Value> {
    fields.raw(field).filter(|value| !value.is_null())
}

fn parse(text: &str, field: &'static str, accepted: &'static str) -> Result<Value, Invalid> {
    // serde_json's own message could repeat a part of the text, so only the place is told.
    serde_json::from_str(text).map_err(|e| {
        Invalid::new(field, format!("is not JSON (line {}, column {})", e.line(), e.column()), accepted)
    })
}

fn quantity_of_request(value: Option<&Value>) -> Result<Option<u64>, Invalid> {
    let refuse = |problem: String| Invalid::new("quantity", problem, ACCEPTED_QUANTITY);
    match value {
        None | Some(Value::Null) => Err(refuse("is missing".to_owned())),
        Some(Value::Number(number)) => amount(number).map(Some).map_err(|problem| refuse(problem.to_owned())),
        Some(other) => Err(refuse(format!("is {}", kind(other)))),
    }
}

fn quantity_of_record(value: Option<&Value>) -> Result<Option<u64>, Invalid> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) => {
            let number =
                text.trim().trim_start_matches('+').parse::<Number>().map_err(|_| {
                    Invalid::new("quantity", "is text that is not a number", ACCEPTED_QUANTITY)
                })?;
            quantity_of_record(Some(&Value::Number(number)))
        }
        Some(Value::Null) => {
            let problem = "is null, which does not say whether the product is in stock";
            Err(Invalid::new("quantity", problem, ACCEPTED_QUANTITY))
        }
        number => quantity_of_request(number),
    }
}

/// A quantity as shops have it and write it: below zero (oversold, on backorder) is sold out, and `5.0` is 5.
fn amount(number: &Number) -> Result<u64, &'static str> {
    const TOO_LARGE: &str = "is too large";
    if let Some(whole) = number.as_u64() {
        return if whole > MAX_QUANTITY { Err(TOO_LARGE) } else { Ok(whole) };
    }
    if number.is_i64() {
        // What is no u64 is below zero.
        return Ok(0);
    }
    let float = number.as_f64().filter(|float| float.fract() == 0.0).ok_or("must be a whole number")?;
    if float <= 0.0 {
        return Ok(0);
    }
    // Up to here every whole number has a float of its own, which is written without a point.
    format!("{float:.0}").parse().ok().filter(|whole| *whole <= MAX_QUANTITY).ok_or(TOO_LARGE)
}

/// A restock's name: a text, or a whole number, which order numbers often are.
fn restock(value: &Value) -> Result<RestockId, Invalid> {
    match value {
        Value::String(text) => RestockId::parse(text),
        Value::Number(number) if !number.is_f64() => RestockId::parse(&number.to_string()),
        other => Err(Invalid::new("restockId", format!("is {}", kind(other)), ACCEPTED_ID)),
    }
}

fn availability(value: &Value) -> Result<Availability, Invalid> {
    let refuse = |problem: &str| Invalid::new("availability", problem, Availability::ACCEPTED);
    let Value::String(_) = value else { return Err(refuse(&format!("is {}", kind(value)))) };
    Availability::deserialize(value).map_err(|_| refuse("is not known"))
}

/// The product that `product` is a variant of.
fn parent(value: &Value, product: &ProductId) -> Result<ProductId, Invalid> {
    let named = |invalid| Invalid { field: "parentId", ..invalid };
    let Value::String(text) = value else {
        return Err(Invalid::new("parentId", format!("is {}", kind(value)), ACCEPTED_ID));
    };
    let id = ProductId::parse(text).map_err(named)?;
    if id == *product {
        return Err(Invalid::new("parentId", "is the product itself", "the id of another product"));
    }
    Ok(id)
}

fn time(field: &'static str, value: &Value) -> Result<Timestamp, Invalid> {
    let refuse = |problem: &str| Invalid::new(field, problem, ACCEPTED_TIME);
    let Value::String(text) = value else { return Err(refuse(&format!("is {}", kind(value)))) };
    let text = text.trim();
    if text.is_empty() {
        return Err(refuse("is empty"));
    }
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
        return Err(Invalid::new(field, "contains a control character", accepted));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn record(text: &str) -> Result<Received, Invalid> {
        StockUpdate::from_record(Some(text.as_bytes()))
    }

    fn request(body: &str) -> Result<Received, Invalid> {
        StockUpdate::from_request(body.as_bytes(), Some(ProductId::parse("p").unwrap()))
    }

    fn fields(ignored: &[Invalid]) -> Vec<&str> {
        ignored.iter().map(|invalid| invalid.field).collect()
    }

    #[test]
    fn the_plain_texts_of_the_tutorial_are_restocks_of_that_product() {
        for text in ["iphone15", " iphone15\n", "productId=iphone15", "\"iphone15\"", "\u{feff}iphone15"] {
            let read = record(text).unwrap();
            assert_eq!(read, StockUpdate::of(ProductId::parse("iphone15").unwrap()), "{text}");
        }
    }

    #[test]
    fn products_that_other_systems_name_are_read_in_every_form() {
        let id = "HEADS-5/0 1oz|Orange #2";
        for text in [format!("productId={id}"), format!("\"{id}\""), format!("{{\"productId\":\"{id}\"}}")] {
            assert_eq!(record(&text).unwrap().update.product_id.as_str(), id);
        }
        assert_eq!(
            record("gid://shopify/Product/1").unwrap().update.product_id.as_str(),
            "gid://shopify/Product/1"
        );
    }

    #[test]
    fn a_full_record_is_read_and_unknown_fields_are_ignored() {
        let read = record(
            r#"{"restockId":"r-1","productId":"iphone15","quantity":25,"occurredAt":"2026-11-23T10:30:00+01:00",
                "product":{"name":"iPhone 15","url":"https://shop.example/p/iphone15","imageUrl":null,"price":999.50},
                "warehouse":"north"}"#,
        )
        .unwrap();
        assert_eq!(read.ignored, []);
        assert_eq!(
            serde_json::to_value(&read.update).unwrap(),
            json!({"restockId":"r-1","productId":"iphone15","quantity":25,"occurredAt":"2026-11-23T09:30:00Z",
                "product":{"name":"iPhone 15","url":"https://shop.example/p/iphone15","price":"999.50"}})
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
            (r#"{"productId":" "}"#, "productId"),
            (r#"{"productId":"p","quantity":1.5}"#, "quantity"),
            (r#"{"productId":"p","quantity":-1.5}"#, "quantity"),
            (r#"{"productId":"p","quantity":"many"}"#, "quantity"),
            (r#"{"productId":"p","quantity":""}"#, "quantity"),
            (r#"{"productId":"p","quantity":null}"#, "quantity"),
            (r#"{"productId":"p","quantity":true}"#, "quantity"),
            (r#"{"productId":"p","quantity":9007199254740992}"#, "quantity"),
            (r#"{"productId":"p","quantity":18446744073709551615}"#, "quantity"),
            (r#"{"productId":"p","quantity":1e300}"#, "quantity"),
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
    fn quantities_are_read_as_shops_have_them_and_write_them() {
        for (written, quantity) in [
            ("0", 0),
            ("25", 25),
            ("-2", 0),
            ("-0", 0),
            ("-9223372036854775809", 0),
            ("-1e300", 0),
            ("-2.0", 0),
            ("5.0", 5),
            ("5.0000", 5),
            ("5e0", 5),
            ("0.5e1", 5),
            ("9007199254740991", MAX_QUANTITY),
        ] {
            let body = format!(r#"{{"productId":"p","quantity":{written}}}"#);
            assert_eq!(record(&body).unwrap().update.quantity, Some(quantity), "{written}");
            assert_eq!(request(&body).unwrap().update.quantity, Some(quantity), "{written}");
            let text = format!(r#"{{"productId":"p","quantity":" {written} "}}"#);
            assert_eq!(record(&text).unwrap().update.quantity, Some(quantity), "{written} in a text");
            assert_eq!(request(&text).unwrap_err().field, "quantity", "{written} in a text");
        }
        assert_eq!(record(r#"{"productId":"p"}"#).unwrap().update.quantity, None);
    }

    #[test]
    fn a_field_that_is_not_understood_is_named_and_counts_as_absent() {
        for (field, value) in [
            ("occurredAt", r#""""#),
            ("occurredAt", r#""yesterday""#),
            ("occurredAt", r#""2026-11-23T09:30:00""#),
            ("occurredAt", r#""0001-01-01T00:00:00Z""#),
            ("occurredAt", r#""9999-12-31T23:59:59Z""#),
            ("occurredAt", r#""9999-12-31""#),
            ("occurredAt", r#""+10000-01-01T00:00:00Z""#),
            ("occurredAt", r#""Mon, 23 Nov 2026 09:30:00 +0000""#),
            ("occurredAt", "1795426200000"),
            ("restockId", r#""""#),
            ("restockId", r#""a\nb""#),
            ("restockId", "1.5"),
            ("restockId", "{}"),
            ("product", r#""x""#),
            ("product", "[]"),
        ] {
            let body = format!(r#"{{"productId":"p","quantity":1,"{field}":{value}}}"#);
            for read in [record(&body).unwrap(), request(&body).unwrap()] {
                assert_eq!(fields(&read.ignored), [field], "{body}");
                let bare = StockUpdate {
                    quantity: Some(1),
                    ..StockUpdate::of(read.update.product_id.clone()).update
                };
                assert_eq!(read.update, bare, "{body}");
            }
        }
        let absent = r#"{"productId":"p","quantity":1,"occurredAt":null,"restockId":null,"product":null}"#;
        assert_eq!(record(absent).unwrap().ignored, []);
        let named = record(r#"{"productId":"p","restockId":4711}"#).unwrap();
        assert_eq!(named.update.restock_id.unwrap().as_str(), "4711");
    }

    #[test]
    fn a_request_must_be_an_object_that_says_how_many() {
        for (body, field) in [
            ("", "body"),
            (" \n", "body"),
            ("\u{feff}", "body"),
            ("{", "body"),
            ("[]", "body"),
            ("{}", "quantity"),
            (r#"{"quantity":null}"#, "quantity"),
            (r#"{"quantity":5.5}"#, "quantity"),
        ] {
            assert_eq!(request(body).unwrap_err().field, field, "{body}");
        }
        assert_eq!(request("\u{feff}{\"quantity\":0}").unwrap().update.quantity, Some(0));
        assert_eq!(StockUpdate::from_request(br#"{"quantity":1}"#, None).unwrap_err().field, "productId");
    }

    #[test]
    fn availability_rules_and_parent_are_optional_details_of_a_record() {
        let read = record(
            r#"{"productId":"p","availability":"fewLeft","rules":{"minStock":5,"window":null},"parentId":"q"}"#,
        )
        .unwrap();
        assert_eq!(read.ignored, []);
        assert_eq!(
            serde_json::to_value(&read.update).unwrap(),
            json!({"productId":"p","availability":"fewLeft","rules":{"minStock":5},"parentId":"q"})
        );
        for (detail, field) in [
            (r#""availability":"soon""#, "availability"),
            (r#""availability":true"#, "availability"),
            (r#""availability":"""#, "availability"),
            (r#""rules":7"#, "rules"),
            (r#""rules":{"minStock":5,"order":"newest"}"#, "rules"),
            (r#""rules":{"minStock":0}"#, "rules.minStock"),
            (r#""rules":{"window":{"from":"8","to":"9","zone":"UTC"}}"#, "rules.window.from"),
            (r#""parentId":"p""#, "parentId"),
            (r#""parentId":"""#, "parentId"),
            (r#""parentId":7"#, "parentId"),
        ] {
            let body = format!(r#"{{"productId":"p","quantity":1,{detail}}}"#);
            let read = record(&body).unwrap();
            assert_eq!(fields(&read.ignored), [field], "{body}");
            assert_eq!(read.update, record(r#"{"productId":"p","quantity":1}"#).unwrap().update);
            match request(&body) {
                Err(refused) => assert!(refused.field == field && field != "parentId", "{body}: {refused}"),
                Ok(taken) => {
                    assert_eq!((fields(&taken.ignored).as_slice(), field), (&[field][..], "parentId"))
                }
            }
        }
        // Without a number, nothing says that it can be bought.
        for said in ["\"outOfStock\"", "0", "\"\""] {
            let body = format!(r#"{{"productId":"p","availability":{said}}}"#);
            assert_eq!(record(&body).unwrap_err().field, "availability", "{body}");
        }
        let absent = r#"{"productId":"p","quantity":1,"availability":null,"rules":null,"parentId":null}"#;
        assert_eq!(request(absent).unwrap().ignored, []);
        assert_eq!(request(r#"{"quantity":1,"rules":{}}"#).unwrap().update.rules, Some(Rules::default()));
    }

    #[test]
    fn what_can_be_ordered_ahead_needs_no_quantity_and_keeps_one_that_is_given() {
        for said in ["backorder", "preorder"] {
            for quantity in ["", r#""quantity":null,"#] {
                let body = format!(r#"{{{quantity}"productId":"p","availability":"{said}"}}"#);
                assert_eq!(request(&body).unwrap().update.quantity, None, "{body}");
                assert_eq!(record(&body).unwrap().update.quantity, None, "{body}");
            }
            let body = format!(r#"{{"quantity":-2,"productId":"p","availability":"{said}"}}"#);
            assert_eq!(request(&body).unwrap().update.quantity, Some(0));
            let body = format!(r#"{{"quantity":"","productId":"p","availability":"{said}"}}"#);
            assert_eq!(record(&body).unwrap_err().field, "quantity");
        }
        assert_eq!(request(r#"{"availability":"fewLeft"}"#).unwrap_err().field, "quantity");
    }

    #[test]
    fn a_request_does_not_say_what_the_function_says() {
        let body = r#"{"productId":"p","quantity":1,"generatedId":true,"receivedAt":"2026-11-23T09:30:00Z"}"#;
        let (request, record) = (request(body).unwrap(), record(body).unwrap());
        assert!(record.update.generated_id && record.update.received_at.is_some());
        assert!(!request.update.generated_id && request.update.received_at.is_none());
        assert_eq!((request.ignored, record.ignored), (vec![], vec![]));
    }

    #[test]
    fn a_fingerprint_tells_updates_apart_and_not_the_ways_to_write_them() {
        let of = |body: &str| request(body).unwrap().update.fingerprint();
        assert_eq!(of(r#"{"quantity":5}"#), of(r#"{ "quantity": 5.0, "warehouse": "north" }"#));
        assert_ne!(of(r#"{"quantity":5}"#), of(r#"{"quantity":6}"#));
        assert_ne!(of(r#"{"quantity":5}"#), of(r#"{"quantity":5,"product":{"name":"x"}}"#));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_without_panic(bytes: Vec<u8>) {
            let _ = StockUpdate::from_record(Some(&bytes));
            let _ = StockUpdate::from_request(&bytes, None);
        }

        #[test]
        fn any_json_is_read_or_refused_without_panic(
            text in r#"\{("productId":"[a-z]{0,3}",?)?("quantity":-?[0-9]{0,20}(\.[0-9]{0,3})?(e[0-9]{1,3})?)?\}"#
        ) {
            let _ = record(&text);
        }
    }
}
