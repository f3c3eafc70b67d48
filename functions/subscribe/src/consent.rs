//! The record of an ask: when, where, and which words were shown. It is the proof that it was made, and outlives the rest.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use domain::{PersonId, Position, ProductId};
use jiff::Timestamp;
use lambda::http::header;
use store::StoreError;
use store::consent::Consent;
use url::Url;

use crate::App;
use crate::ask::SECONDS_PER_DAY;
use crate::form::is_form;
use crate::request::Wish;

/// The longest address of a page that is kept, in bytes.
const MAX_PAGE_BYTES: usize = 512;

/// Where an ask came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin {
    source: &'static str,
    page: Option<String>,
}

impl Origin {
    /// The origin of a request, for which the shop vouches or does not, and whose body has at most `limit` bytes.
    pub(crate) fn of(request: &ApiGatewayV2httpRequest, limit: usize, vouched: bool) -> Self {
        let source = match () {
            () if vouched => "shop",
            () if is_form(request, limit) => "form",
            () => "api",
        };
        Self { source, page: header(request, "referer").and_then(page) }
    }
}

/// The page that a `Referer` names (RFC 9110, 10.1.3), without what may be a person's: query, fragment, user and password.
fn page(referer: &str) -> Option<String> {
    let mut url = Url::parse(referer).ok().filter(|url| matches!(url.scheme(), "http" | "https"))?;
    url.set_query(None);
    url.set_fragment(None);
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url.to_string()).filter(|page| page.len() <= MAX_PAGE_BYTES)
}

/// Keeps the record of an ask that is made `now`. `ask` is its position.
///
/// # Errors
/// When the table fails.
pub(crate) async fn keep(
    app: &App,
    (person, product, ask): (PersonId, &ProductId, Position),
    wish: &Wish,
    origin: &Origin,
    now: Timestamp,
) -> Result<(), StoreError> {
    let consent = Consent {
        product_id: product.clone(),
        asked_at: now,
        confirmed_at: None,
        source: origin.source.to_owned(),
        page: origin.page.clone(),
        locale: wish.locale.clone(),
        words: wish.consent_text.clone(),
        ttl: until(app, now),
    };
    app.store.consents().keep(person, ask, &consent).await.map(drop)
}

/// Until when the record of an ask is kept that is made `now`, in Unix seconds.
pub(crate) fn until(app: &App, now: Timestamp) -> i64 {
    now.as_second() + i64::from(app.config.consent_days) * SECONDS_PER_DAY
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn the_page_is_kept_without_what_may_be_a_persons() {
        for (referer, kept) in [
            ("https://shop.example/p/iphone15", Some("https://shop.example/p/iphone15")),
            ("https://shop.example/p?email=jo@example.com#jo", Some("https://shop.example/p")),
            ("https://jo:secret@shop.example/p", Some("https://shop.example/p")),
            ("http://127.0.0.1:3000/", Some("http://127.0.0.1:3000/")),
            ("javascript:alert(1)", None),
            ("about:blank", None),
            ("iphone15", None),
            ("", None),
            (&format!("https://shop.example/{}", "x".repeat(512)), None),
        ] {
            assert_eq!(page(referer).as_deref(), kept, "{referer}");
        }
    }

    #[test]
    fn the_source_is_the_shop_where_it_vouches_else_what_was_sent() {
        for (kind, vouched, source) in [
            ("application/json", false, "api"),
            ("", false, "api"),
            ("application/x-www-form-urlencoded; charset=utf-8", false, "form"),
            ("Application/X-WWW-Form-Urlencoded", false, "form"),
            ("application/x-www-form-urlencoded", true, "shop"),
        ] {
            let mut request = ApiGatewayV2httpRequest::default();
            request.headers.insert("content-type", kind.parse().unwrap());
            assert_eq!(Origin::of(&request, 100, vouched).source, source, "{kind}");
        }
        let mut request = ApiGatewayV2httpRequest::default();
        request.headers.insert("content-type", "application/x-www-form-urlencoded".parse().unwrap());
        request.body = Some("{}".to_owned());
        assert_eq!(Origin::of(&request, 100, false).source, "api", "what curl -d sends");
    }
}
