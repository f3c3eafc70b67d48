//! `PUT /products/{productId}/stock`, and the way to the other routes of this function.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::id::ACCEPTED_ID;
use domain::stock::StockUpdate;
use domain::{Invalid, ProductId, RestockId};
use http::StatusCode;
use lambda::clock;
use lambda::http::{Problem, body, json};

use crate::once::{self, Turn};
use crate::{Accepted, App, Complete, complete, leave_out_the_future, publish, release};

const KEY: &str = "Idempotency-Key";

pub(crate) async fn answer(
    app: &App,
    request: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    if release::is_asked(request) {
        return release::answer(app, request).await;
    }
    let product = product(request)?;
    let name = name(request)?;
    let body = body(request, app.config.max_body)?;
    let mut received = StockUpdate::from_request(&body, Some(product))?;
    let Some(name) = name else {
        let complete = complete(received);
        return taken(app, &complete, None).await;
    };
    // Of what was sent, before anything is filled in that another request would have otherwise.
    let body = received.update.fingerprint();
    let now = clock::now();
    leave_out_the_future(&mut received, now);
    let turn = once::turn(app.store().await, &name, &received.update.product_id, body, now).await?;
    let complete = Complete::new(received, turn.restock_id.clone(), turn.received_at());
    taken(app, &complete, Some(turn)).await
}

/// Publishes an update, unless this was done already, and answers with where it lies.
async fn taken(
    app: &App,
    complete: &Complete,
    turn: Option<Turn>,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    if let Some(written) = turn.as_ref().and_then(Turn::written) {
        return Ok(json(StatusCode::ACCEPTED, &Accepted::new(complete, written)));
    }
    match publish(app, std::slice::from_ref(complete)).await.remove(0) {
        Ok(written) => {
            if let Some(turn) = turn {
                turn.done(app.store().await, &written).await;
            }
            Ok(json(StatusCode::ACCEPTED, &Accepted::new(complete, written)))
        }
        Err(error) => {
            let product = &complete.update.product_id;
            tracing::error!(%product, error = %lambda::error_chain(&error), "not published");
            Err(Problem::try_later(
                "Kafka did not confirm the update in time; please send it again, with the same \
                 Idempotency-Key so that it counts once",
                5,
            ))
        }
    }
}

/// The product in the path. API Gateway gives it as a parameter, decoded. It looks for the route in a path that it has
/// decoded already, so an id with a slash comes under the greedy route, as the part of it before `/stock`: there,
/// `/capture/slash%2Fvalue` arrives as `/capture/slash/value` (captures of July 2026, in hotsock/voker's tests).
fn product(request: &ApiGatewayV2httpRequest) -> Result<ProductId, Problem> {
    if let Some(id) = request.path_parameters.get("productId") {
        return Ok(ProductId::parse(id)?);
    }
    let rest = request.path_parameters.get("proxy").map(String::as_str).unwrap_or_default();
    let rest = rest.trim_end_matches('/');
    if let Some(id) = rest.strip_suffix("stock").filter(|id| id.is_empty() || id.ends_with('/')) {
        return Ok(ProductId::parse(id.strip_suffix('/').unwrap_or_default())?);
    }
    // The greedy route takes every PUT below `/products`: what else there is takes other methods.
    Err(match rest.rsplit_once('/') {
        None => Problem::method_not_allowed("GET, HEAD"),
        Some((_, "subscriptions")) => Problem::method_not_allowed("POST"),
        Some((before, "count")) if before.ends_with("/subscriptions") => {
            Problem::method_not_allowed("GET, HEAD")
        }
        Some(_) => Problem::new(StatusCode::NOT_FOUND, "there is no such resource"),
    })
}

/// The `Idempotency-Key`: any printable text. The IETF's draft of the header has it in quotes, with `\` before quotes
/// and backslashes in it (RFC 9651, section 3.3.3); most clients send it bare. Both are the same key.
fn name(request: &ApiGatewayV2httpRequest) -> Result<Option<RestockId>, Invalid> {
    let Some(value) = request.headers.get("idempotency-key") else { return Ok(None) };
    let text = std::str::from_utf8(value.as_bytes())
        .map_err(|_| Invalid::new(KEY, "is not UTF-8", ACCEPTED_ID))?
        .trim();
    let bare = match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => unescaped(quoted),
        None => text.to_owned(),
    };
    RestockId::parse(&bare).map(Some).map_err(|invalid| Invalid { field: KEY, ..invalid })
}

fn unescaped(quoted: &str) -> String {
    let mut bare = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => bare.extend(chars.next()),
            c => bare.push(c),
        }
    }
    bare
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn request(event: Value) -> ApiGatewayV2httpRequest {
        let mut whole = json!({"version": "2.0", "headers": {}, "requestContext": {"http": {"method": "PUT"}},
            "isBase64Encoded": false});
        whole.as_object_mut().unwrap().extend(event.as_object().unwrap().clone());
        serde_json::from_value(whole).unwrap()
    }

    #[test]
    fn a_key_is_any_printable_text_in_quotes_or_not() {
        let name = |key: &str| name(&request(json!({"headers": {"idempotency-key": key}})));
        for (given, key) in [
            ("k-1", "k-1"),
            ("\"k-1\"", "k-1"),
            ("PO-17/2026 line 3", "PO-17/2026 line 3"),
            (r#""say \"hi\" \\ bye""#, r#"say "hi" \ bye"#),
            ("Bestellung Nº 7 für Köln", "Bestellung Nº 7 für Köln"),
            (r#""open"#, r#""open"#),
            (&"x".repeat(255), &"x".repeat(255)),
        ] {
            assert_eq!(name(given).unwrap().unwrap().as_str(), key);
        }
        for refused in ["", "\"\"", "...", &"x".repeat(256)] {
            assert_eq!(name(refused).unwrap_err().field, KEY, "{refused}");
        }
        assert_eq!(super::name(&request(json!({}))).unwrap(), None);
    }

    #[test]
    fn the_product_is_the_parameter_or_else_what_stands_before_stock() {
        let of = |name: &str, value: &str| product(&request(json!({"pathParameters": {name: value}})));
        assert_eq!(of("productId", "a/b 1").unwrap().as_str(), "a/b 1");
        for (proxy, id) in [
            ("CLE-056621/6/stock", "CLE-056621/6"),
            ("CLE-056621/6/stock/", "CLE-056621/6"),
            ("gid://shopify/Product/1/stock", "gid://shopify/Product/1"),
            ("p/stock/", "p"),
            ("stock/stock", "stock"),
        ] {
            assert_eq!(of("proxy", proxy).unwrap().as_str(), id, "{proxy}");
        }
        for (proxy, status) in [
            ("/stock", 400),
            ("stock", 400),
            ("p", 405),
            ("p/subscriptions", 405),
            ("p/subscriptions/count", 405),
            ("p/livestock", 404),
            ("p/count", 404),
        ] {
            assert_eq!(of("proxy", proxy).unwrap_err().response().status_code, status, "{proxy}");
        }
    }
}
