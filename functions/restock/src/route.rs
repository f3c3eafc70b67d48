//! Which request is meant: a stock update, what is done with a product's rules, or what is asked of a restock.
//!
//! API Gateway gives the product as a parameter, decoded. It looks for the route in a path that it has decoded already, so an
//! id with a slash comes under a greedy route: there, `/capture/slash%2Fvalue` arrives as `/capture/slash/value` (captures
//! of July 2026, in hotsock/voker's tests).

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use domain::{ProductId, RestockId};
use http::StatusCode;
use lambda::http::Problem;

use crate::release::Asked;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// A stock update of the product.
    Stock(ProductId),
    /// The product's own rules are asked for.
    Rules(ProductId),
    /// The product is given rules.
    SetRules(ProductId),
    /// They are taken away.
    EndRules(ProductId),
    /// This is asked of a restock.
    Restock(RestockId, Asked),
}

/// A resource of a product, by its id.
#[derive(Debug, Clone, Copy)]
enum Resource<'a> {
    Stock(&'a str),
    Rules(&'a str),
}

impl Route {
    pub(crate) fn of(request: &ApiGatewayV2httpRequest) -> Result<Self, Problem> {
        let key = request.route_key.as_deref().unwrap_or_default();
        let path = key.split_once(' ').map_or(key, |(_, path)| path);
        let parameter =
            |name: &str| request.path_parameters.get(name).map(String::as_str).unwrap_or_default();
        let method = request.request_context.http.method.as_str();
        let resource = match path {
            "/restocks/{proxy+}" => return of_restock(parameter("proxy").trim_end_matches('/'), method),
            // No id ends in the slash at the end of a path.
            "/rules/{proxy+}" => Resource::Rules(parameter("proxy").trim_end_matches('/')),
            "/products/{proxy+}" => before_the_last(parameter("proxy").trim_end_matches('/'))?,
            "/products/{productId}/rules" => Resource::Rules(parameter("productId")),
            _ => Resource::Stock(parameter("productId")),
        };
        let product = |id| ProductId::parse(id).map_err(Problem::from);
        match (resource, method) {
            (Resource::Stock(id), "PUT") => Ok(Self::Stock(product(id)?)),
            (Resource::Rules(id), "GET" | "HEAD") => Ok(Self::Rules(product(id)?)),
            (Resource::Rules(id), "PUT") => Ok(Self::SetRules(product(id)?)),
            (Resource::Rules(id), "DELETE") => Ok(Self::EndRules(product(id)?)),
            (Resource::Stock(_), _) => Err(Problem::method_not_allowed("PUT")),
            (Resource::Rules(_), _) => Err(Problem::method_not_allowed("GET, HEAD, PUT, DELETE")),
        }
    }
}

/// What is asked of the restock in this path: a POST is below it.
fn of_restock(path: &str, method: &str) -> Result<Route, Problem> {
    if method != "POST" {
        return Ok(Route::Restock(RestockId::parse(path)?, Asked::Outlook));
    }
    let id = path.strip_suffix("/release").ok_or_else(|| Problem::method_not_allowed("GET, HEAD"))?;
    Ok(Route::Restock(RestockId::parse(id)?, Asked::Release))
}

/// The resource that a path below `/products` ends in. The greedy route takes every PUT there: what else there is takes
/// other methods.
fn before_the_last(path: &str) -> Result<Resource<'_>, Problem> {
    match path.rsplit_once('/').unwrap_or(("", path)) {
        (id, "stock") => Ok(Resource::Stock(id)),
        (id, "rules") => Ok(Resource::Rules(id)),
        (_, "subscriptions") if path.contains('/') => Err(Problem::method_not_allowed("POST")),
        (before, "count") if before.ends_with("/subscriptions") => {
            Err(Problem::method_not_allowed("GET, HEAD"))
        }
        _ if !path.contains('/') => Err(Problem::method_not_allowed("GET, HEAD")),
        _ => Err(Problem::new(StatusCode::NOT_FOUND, "there is no such resource")),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn of(method: &str, path: &str, name: &str, value: &str) -> Result<Route, Problem> {
        let mut request = ApiGatewayV2httpRequest::default();
        request.route_key = Some(format!("{method} {path}"));
        request.request_context.http.method = method.parse().unwrap();
        request.path_parameters = HashMap::from([(name.to_owned(), value.to_owned())]);
        Route::of(&request)
    }

    fn id(text: &str) -> ProductId {
        ProductId::parse(text).unwrap()
    }

    #[test]
    fn the_product_is_the_parameter_or_else_what_stands_before_the_last_segment() {
        let greedy = |proxy: &str| of("PUT", "/products/{proxy+}", "proxy", proxy);
        assert_eq!(
            of("PUT", "/products/{productId}/stock", "productId", "a/b 1"),
            Ok(Route::Stock(id("a/b 1")))
        );
        for (proxy, product) in [
            ("CLE-056621/6/stock", "CLE-056621/6"),
            ("CLE-056621/6/stock/", "CLE-056621/6"),
            ("gid://shopify/Product/1/stock", "gid://shopify/Product/1"),
            ("p/stock/", "p"),
            ("stock/stock", "stock"),
            ("rules/stock", "rules"),
        ] {
            assert_eq!(greedy(proxy), Ok(Route::Stock(id(product))), "{proxy}");
        }
        assert_eq!(greedy("CLE/6/rules/"), Ok(Route::SetRules(id("CLE/6"))));
        for (proxy, status) in [
            ("/stock", 400),
            ("stock", 400),
            ("rules", 400),
            ("p", 405),
            ("p/subscriptions", 405),
            ("p/subscriptions/count", 405),
            ("p/livestock", 404),
            ("p/count", 404),
        ] {
            assert_eq!(greedy(proxy).unwrap_err().response().status_code, status, "{proxy}");
        }
    }

    #[test]
    fn rules_are_read_set_and_taken_away_and_head_is_get() {
        type Made = fn(ProductId) -> Route;
        for (method, made) in [
            ("GET", Route::Rules as Made),
            ("HEAD", Route::Rules),
            ("PUT", Route::SetRules),
            ("DELETE", Route::EndRules),
        ] {
            assert_eq!(of(method, "/products/{productId}/rules", "productId", "a/b"), Ok(made(id("a/b"))));
            for proxy in ["a/b", "a/b/"] {
                assert_eq!(
                    of(method, "/rules/{proxy+}", "proxy", proxy),
                    Ok(made(id("a/b"))),
                    "{method} {proxy}"
                );
            }
        }
        assert_eq!(of("GET", "/rules/{proxy+}", "proxy", "/").unwrap_err().response().status_code, 400);
        let refused = of("POST", "/rules/{proxy+}", "proxy", "p").unwrap_err().response();
        assert_eq!(
            (refused.status_code, refused.headers["allow"].as_bytes()),
            (405, &b"GET, HEAD, PUT, DELETE"[..])
        );
    }
}
