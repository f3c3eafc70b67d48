//! Which request is meant. API Gateway has matched the route and decoded its parameters once;
//! what it could not match comes here as `$default` and gets its 404 or 405.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use domain::ProductId;
use http::StatusCode;
use platform::http::Problem;

pub(crate) enum Route {
    Join(ProductId),
    Count(ProductId),
    /// A person follows the link in a mail: show a page that asks.
    Ask(String),
    /// A person pressed its button, or a mail program's one-click unsubscribe (RFC 8058).
    Leave(String),
}

impl Route {
    pub(crate) fn of(request: &ApiGatewayV2httpRequest) -> Result<Self, Problem> {
        let parameter =
            |name: &str| request.path_parameters.get(name).map(String::as_str).unwrap_or_default();
        let product = || ProductId::parse(parameter("productId"));
        match request.route_key.as_deref().unwrap_or_default() {
            "POST /products/{productId}/subscriptions" => Ok(Self::Join(product()?)),
            "GET /products/{productId}/subscriptions/count" => Ok(Self::Count(product()?)),
            "GET /unsubscribe/{token}" => Ok(Self::Ask(parameter("token").to_owned())),
            "POST /unsubscribe/{token}" => Ok(Self::Leave(parameter("token").to_owned())),
            _ => Err(unmatched(request)),
        }
    }
}

/// Why no route fits: the resource does not take the method, or there is no such resource.
fn unmatched(request: &ApiGatewayV2httpRequest) -> Problem {
    let path = request.raw_path.as_deref().unwrap_or_default();
    // Behind a named stage, the path begins with it.
    let stage = request.request_context.stage.as_deref().unwrap_or_default();
    let path = path.strip_prefix(&format!("/{stage}/")).or(path.strip_prefix('/')).unwrap_or(path);
    let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let method = request.request_context.http.method.as_str();
    let allow = match segments[..] {
        ["products", _, "subscriptions"] => "POST",
        ["products", _, "subscriptions", "count"] => "GET",
        ["products", _, "stock"] => "PUT",
        ["unsubscribe", _] => "GET, POST",
        _ => {
            return Problem::new(StatusCode::NOT_FOUND, "there is no such resource").accepting(
                "POST /products/{productId}/subscriptions, GET /products/{productId}/subscriptions/count, \
                 PUT /products/{productId}/stock, GET or POST /unsubscribe/{token}",
            );
        }
    };
    match segments.get(1).map(|id| ProductId::parse(id)) {
        // The method fits, so it was the empty parameter that did not.
        Some(Err(invalid)) if allow.split(", ").any(|allowed| allowed == method) => invalid.into(),
        _ => Problem::method_not_allowed(allow),
    }
}
