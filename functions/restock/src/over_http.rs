//! The requests over HTTP, of which `PUT /products/{productId}/stock` is done here.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::id::ACCEPTED_ID;
use domain::stock::StockUpdate;
use domain::{Invalid, ProductId, RestockId};
use http::{Method, StatusCode};
use lambda::clock;
use lambda::http::{Problem, body, json, without_body};

use crate::once::{self, Turn};
use crate::route::Route;
use crate::{Accepted, App, Complete, complete, leave_out_the_future, publish, release, rules};

const KEY: &str = "Idempotency-Key";

pub(crate) async fn answer(
    app: &App,
    request: &ApiGatewayV2httpRequest,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let answer = match Route::of(request)? {
        Route::Stock(product) => update(app, request, product).await,
        Route::Rules(product) => rules::show(app, &product).await,
        Route::SetRules(product) => rules::set(app, request, &product).await,
        Route::EndRules(product) => rules::end(app, &product).await,
        Route::Restock(restock, asked) => release::answer(app, &restock, asked).await,
    }?;
    let is_head = request.request_context.http.method == Method::HEAD;
    Ok(if is_head { without_body(answer) } else { answer })
}

async fn update(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    product: ProductId,
) -> Result<ApiGatewayV2httpResponse, Problem> {
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
}
