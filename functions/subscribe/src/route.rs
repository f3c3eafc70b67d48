//! Which request is meant. API Gateway has matched the route and decoded its parameters once. What
//! it could not match comes here as `$default`, and is answered as the route that it means where
//! only a slash at its end is in the way: HTTP APIs match `/x` and not `/x/` (storacha/w3infra#166),
//! and take no route that ends in a slash (aws/serverless-application-model#1949). All else gets
//! its 404 or 405.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use domain::id::ACCEPTED_ID;
use domain::{Invalid, ProductId};
use http::StatusCode;
use lambda::http::Problem;

use crate::alerts::Act;
use crate::backend::Wanted;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    Subscribe(ProductId),
    /// Something to solve, so that a robot is slow.
    Challenge(ProductId),
    /// What is known of a product, and how many wait for it.
    Product(ProductId),
    Count(ProductId),
    /// A person follows the link in a mail: show a page that asks.
    Ask(String),
    /// A person pressed its button, or a mail program's one-click unsubscribe (RFC 8058).
    Leave(String),
    /// A person follows the link in an email that asks for a confirmation: show a page that asks.
    AskToConfirm(String),
    /// A person pressed its button.
    Confirm(String),
    /// The link to a person's alerts is asked for.
    AlertsLink,
    /// A person looks at their alerts or ends some, by a token.
    Alerts(String, Act),
    /// The shop's back end asks, behind a login.
    BackEnd(Wanted),
}

/// A resource of the API, with its parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Resource<'a> {
    Product(&'a str),
    Subscriptions(&'a str),
    Challenge(&'a str),
    Count(&'a str),
    /// Another function's, behind a login.
    Stock(&'a str),
    /// The same.
    Rules(&'a str),
    /// Another function's, behind a login: a restock, or its release.
    Restock(&'a str),
    Unsubscribe(&'a str),
    Confirm(&'a str),
    AlertsLink,
    /// A page below a person's alerts, by its last segment; empty for the alerts themselves.
    Alerts(&'a str, &'static str),
    /// A subscriber, behind a login.
    Subscriber(&'a str),
    /// A suppression, behind a login.
    Suppression(&'a str),
}

/// The pages below a person's alerts.
const PAGES: [&str; 5] = ["leave", "leave-all", "never", "erase", "export"];

impl<'a> Resource<'a> {
    /// The methods that it takes, as `Allow` lists them (RFC 9110, 10.2.1).
    fn allow(self) -> &'static str {
        match self {
            Self::Product(_) | Self::Count(_) | Self::Challenge(_) => "GET, HEAD",
            Self::Subscriptions(_) => "POST",
            Self::Stock(_) => "PUT",
            Self::Rules(_) => "GET, HEAD, PUT, DELETE",
            Self::Restock(rest) if rest.ends_with("/release") => "POST",
            Self::Restock(_) => "GET, HEAD",
            Self::Unsubscribe(_) | Self::Confirm(_) | Self::Alerts(_, "erase") => "GET, HEAD, POST",
            Self::Alerts(_, "" | "export") => "GET, HEAD",
            Self::AlertsLink | Self::Alerts(..) => "POST",
            Self::Subscriber(_) => "GET, HEAD, DELETE",
            Self::Suppression(_) => "GET, HEAD, PUT, DELETE",
        }
    }

    /// The resource of a route key.
    fn of_route(path: &str, parameter: impl Fn(&str) -> &'a str) -> Option<Self> {
        Some(match path {
            "/products/{productId}" => Self::Product(parameter("productId")),
            "/products/{productId}/subscriptions" => Self::Subscriptions(parameter("productId")),
            "/products/{productId}/subscriptions/count" => Self::Count(parameter("productId")),
            "/products/{productId}/challenge" => Self::Challenge(parameter("productId")),
            "/unsubscribe/{token}" => Self::Unsubscribe(parameter("token")),
            "/confirm/{token}" => Self::Confirm(parameter("token")),
            "/alerts/link" => Self::AlertsLink,
            "/alerts/{token}" => Self::Alerts(parameter("token"), ""),
            // Greedy, because a user id may have a slash; one at the end is none of it.
            "/subscribers/{proxy+}" => Self::Subscriber(parameter("proxy").trim_end_matches('/')),
            "/suppressions/{proxy+}" => Self::Suppression(parameter("proxy").trim_end_matches('/')),
            _ => {
                let page = path.strip_prefix("/alerts/{token}/")?;
                let page = PAGES.into_iter().find(|known| *known == page)?;
                Self::Alerts(parameter("token"), page)
            }
        })
    }

    /// The resource at a path without the slashes around it.
    ///
    /// API Gateway gives the path decoded, so that a product's id with a slash is two segments or
    /// more: all between `products` and the rest is the id.
    fn of_path(path: &'a str) -> Option<Self> {
        let is_token = |token: &str| !token.contains('/');
        if let Some(token) = path.strip_prefix("unsubscribe/") {
            return is_token(token).then_some(Self::Unsubscribe(token));
        }
        if let Some(token) = path.strip_prefix("confirm/") {
            return is_token(token).then_some(Self::Confirm(token));
        }
        if path == "alerts/link" {
            return Some(Self::AlertsLink);
        }
        if let Some(rest) = path.strip_prefix("alerts/") {
            let (token, page) = rest.split_once('/').unwrap_or((rest, ""));
            let page = if page.is_empty() { "" } else { PAGES.into_iter().find(|known| *known == page)? };
            return (!token.is_empty()).then_some(Self::Alerts(token, page));
        }
        if let Some(name) = path.strip_prefix("subscribers/") {
            return (!name.is_empty()).then_some(Self::Subscriber(name));
        }
        if let Some(address) = path.strip_prefix("suppressions/") {
            return (!address.is_empty()).then_some(Self::Suppression(address));
        }
        if let Some(id) = path.strip_prefix("rules/") {
            return (!id.is_empty()).then_some(Self::Rules(id));
        }
        if let Some(rest) = path.strip_prefix("restocks/") {
            return (!rest.is_empty()).then_some(Self::Restock(rest));
        }
        let rest = path.strip_prefix("products/")?;
        let (id, make): (&str, fn(&'a str) -> Self) =
            if let Some(id) = rest.strip_suffix("/subscriptions/count") {
                (id, Self::Count)
            } else if let Some(id) = rest.strip_suffix("/subscriptions") {
                (id, Self::Subscriptions)
            } else if let Some(id) = rest.strip_suffix("/challenge") {
                (id, Self::Challenge)
            } else if let Some(id) = rest.strip_suffix("/stock") {
                (id, Self::Stock)
            } else if let Some(id) = rest.strip_suffix("/rules") {
                (id, Self::Rules)
            } else {
                // Here a second segment is as likely a resource that there is not.
                return (!rest.is_empty() && !rest.contains('/')).then_some(Self::Product(rest));
            };
        Some(make(id))
    }

    /// What `method` does here. HEAD is GET, whose body the caller of this leaves out.
    fn route(self, method: &str) -> Result<Route, Problem> {
        let product = |id| ProductId::parse(id).map_err(Problem::from);
        match (self, method) {
            (Self::Subscriptions(id), "POST") => Ok(Route::Subscribe(product(id)?)),
            (Self::Product(id), "GET" | "HEAD") => Ok(Route::Product(product(id)?)),
            (Self::Count(id), "GET" | "HEAD") => Ok(Route::Count(product(id)?)),
            (Self::Challenge(id), "GET" | "HEAD") => Ok(Route::Challenge(product(id)?)),
            (Self::Unsubscribe(token), "GET" | "HEAD") => Ok(Route::Ask(token.to_owned())),
            (Self::Unsubscribe(token), "POST") => Ok(Route::Leave(token.to_owned())),
            (Self::Confirm(token), "GET" | "HEAD") => Ok(Route::AskToConfirm(token.to_owned())),
            (Self::Confirm(token), "POST") => Ok(Route::Confirm(token.to_owned())),
            (Self::AlertsLink, "POST") => Ok(Route::AlertsLink),
            (Self::Alerts(token, page), _) => match (page, method) {
                ("", "GET" | "HEAD") => Ok(Act::Show),
                ("export", "GET" | "HEAD") => Ok(Act::Export),
                ("erase", "GET" | "HEAD") => Ok(Act::AskErase),
                ("erase", "POST") => Ok(Act::Erase),
                ("leave", "POST") => Ok(Act::Leave),
                ("leave-all", "POST") => Ok(Act::LeaveAll),
                ("never", "POST") => Ok(Act::Never),
                _ => Err(Problem::method_not_allowed(self.allow())),
            }
            .map(|act| Route::Alerts(token.to_owned(), act)),
            (Self::Subscriber(name), "GET" | "HEAD") => Ok(Route::BackEnd(Wanted::Export(name.to_owned()))),
            (Self::Subscriber(name), "DELETE") => Ok(Route::BackEnd(Wanted::Erase(name.to_owned()))),
            (Self::Suppression(address), "GET" | "HEAD") => {
                Ok(Route::BackEnd(Wanted::Suppression(address.to_owned())))
            }
            (Self::Suppression(address), "PUT") => Ok(Route::BackEnd(Wanted::Suppress(address.to_owned()))),
            (Self::Suppression(address), "DELETE") => Ok(Route::BackEnd(Wanted::Lift(address.to_owned()))),
            _ => Err(Problem::method_not_allowed(self.allow())),
        }
    }
}

impl Route {
    pub(crate) fn of(request: &ApiGatewayV2httpRequest) -> Result<Self, Problem> {
        let key = request.route_key.as_deref().unwrap_or_default();
        let parameter =
            |name: &str| request.path_parameters.get(name).map(String::as_str).unwrap_or_default();
        let matched = key.split_once(' ').and_then(|(method, path)| {
            let resource = Resource::of_route(path, parameter)?;
            Some(resource.route(method))
        });
        matched.unwrap_or_else(|| unmatched(request))
    }
}

/// What a request means that fits no route of the API, or why it means nothing.
fn unmatched(request: &ApiGatewayV2httpRequest) -> Result<Route, Problem> {
    let path = request.raw_path.as_deref().unwrap_or_default();
    // Behind a named stage, the path begins with it.
    let stage = request.request_context.stage.as_deref().unwrap_or_default();
    let path = path.strip_prefix(&format!("/{stage}/")).or(path.strip_prefix('/')).unwrap_or(path);
    let bare = path.trim_end_matches('/');
    let slashes = path.len() - bare.len();
    let method = request.request_context.http.method.as_str();
    // It has passed no login: the API takes these by their own routes, which ask for one.
    let behind_a_login = || Problem::new(StatusCode::FORBIDDEN, "this resource is behind a login");
    match Resource::of_path(bare) {
        Some(Resource::Stock(_)) if method == "PUT" => Err(elsewhere("stock", slashes)),
        Some(Resource::Rules(id)) if matches!(method, "GET" | "HEAD" | "PUT" | "DELETE") => {
            Err(if slashes == 0 && !id.is_empty() {
                // An id with a slash, which only the other route takes.
                behind_a_login().accepting("/rules/{productId}, for a product whose id has a slash")
            } else {
                elsewhere("rules", slashes)
            })
        }
        Some(resource @ Resource::Restock(_)) if resource.allow().split(", ").any(|known| known == method) => {
            Err(behind_a_login())
        }
        Some(resource) => match resource.route(method) {
            Ok(Route::BackEnd(_)) => Err(behind_a_login()),
            route => route,
        },
        None => Err(Problem::new(StatusCode::NOT_FOUND, "there is no such resource").accepting(
            "GET /products/{productId}, POST /products/{productId}/subscriptions, \
             GET /products/{productId}/subscriptions/count, GET /products/{productId}/challenge, PUT /products/{productId}/stock, \
             GET, PUT or DELETE /products/{productId}/rules, \
             GET or POST /unsubscribe/{token}, GET or POST /confirm/{token}, POST /alerts/link, \
             GET /alerts/{token}",
        )),
    }
}

/// A request for another function that came as `$default`. It has passed no login, so it cannot be taken here:
/// with slashes at its end, it is sent on to the route that asks for one. The way there is told
/// relative to the path (RFC 3986, 5.2), which a stage or a domain may have changed on its way here.
fn elsewhere(resource: &str, slashes: usize) -> Problem {
    match slashes {
        0 => Invalid::new("productId", "is empty", ACCEPTED_ID).into(),
        _ => Problem::moved(
            &format!("{}{resource}", "../".repeat(slashes)),
            "the resource is at this path without the slash at its end",
        ),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn default(method: &str, path: &str) -> Result<Route, Problem> {
        let mut request = ApiGatewayV2httpRequest::default();
        request.route_key = Some("$default".to_owned());
        request.raw_path = Some(path.to_owned());
        request.request_context.stage = Some("$default".to_owned());
        request.request_context.http.method = method.parse().unwrap();
        Route::of(&request)
    }

    fn id(text: &str) -> ProductId {
        ProductId::parse(text).unwrap()
    }

    #[test]
    fn a_slash_at_the_end_does_not_count() {
        for (method, path, route) in [
            ("POST", "/products/p/subscriptions/", Route::Subscribe(id("p"))),
            ("POST", "/products/p/subscriptions//", Route::Subscribe(id("p"))),
            ("GET", "/products/p/", Route::Product(id("p"))),
            ("HEAD", "/products/p/", Route::Product(id("p"))),
            ("GET", "/products/p/subscriptions/count/", Route::Count(id("p"))),
            ("HEAD", "/products/p/subscriptions/count/", Route::Count(id("p"))),
            ("GET", "/unsubscribe/t/", Route::Ask("t".to_owned())),
            ("HEAD", "/unsubscribe/t/", Route::Ask("t".to_owned())),
            ("POST", "/unsubscribe/t/", Route::Leave("t".to_owned())),
            ("GET", "/confirm/t/", Route::AskToConfirm("t".to_owned())),
            ("HEAD", "/confirm/t/", Route::AskToConfirm("t".to_owned())),
            ("POST", "/confirm/t/", Route::Confirm("t".to_owned())),
            ("POST", "/alerts/link/", Route::AlertsLink),
            ("GET", "/alerts/t/", Route::Alerts("t".to_owned(), Act::Show)),
            ("HEAD", "/alerts/t/export/", Route::Alerts("t".to_owned(), Act::Export)),
            ("GET", "/alerts/t/erase/", Route::Alerts("t".to_owned(), Act::AskErase)),
            ("POST", "/alerts/t/erase/", Route::Alerts("t".to_owned(), Act::Erase)),
            ("POST", "/alerts/t/leave/", Route::Alerts("t".to_owned(), Act::Leave)),
            ("POST", "/alerts/t/leave-all/", Route::Alerts("t".to_owned(), Act::LeaveAll)),
            ("POST", "/alerts/t/never/", Route::Alerts("t".to_owned(), Act::Never)),
        ] {
            assert_eq!(default(method, path), Ok(route), "{method} {path}");
        }
    }

    #[test]
    fn a_stock_update_with_a_slash_at_its_end_is_sent_to_the_route_that_asks_for_a_login() {
        for (path, location) in [("/products/p/stock/", "../stock"), ("/products/p/stock//", "../../stock")] {
            let moved = default("PUT", path).unwrap_err().response();
            assert_eq!((moved.status_code, &moved.headers["location"]), (308, &location.parse().unwrap()));
            let url = url::Url::parse("https://shop.example/stage").unwrap().join(&format!("/stage{path}"));
            assert_eq!(url.unwrap().join(location).unwrap().path(), "/stage/products/p/stock");
        }
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let moved = default(method, "/products/a/b/rules/").unwrap_err().response();
            assert_eq!((moved.status_code, moved.headers["location"].as_bytes()), (308, &b"../rules"[..]));
        }
    }

    #[test]
    fn no_answer_says_that_a_method_is_not_allowed_and_allows_it() {
        let paths = [
            "/",
            "",
            "/products",
            "/products/",
            "/products/p",
            "/products/p/",
            "/products/a/b",
            "/products/a/b/",
            "/products/p/subscriptions",
            "/products/p/subscriptions/",
            "/products//subscriptions",
            "/products/a/b/subscriptions",
            "/products/a/b/subscriptions/",
            "/products/p/subscriptions/count",
            "/products/p/subscriptions/count/",
            "/products/p/challenge",
            "/products/a/b/challenge/",
            "/products/p/stock",
            "/products/p/stock/",
            "/products//stock",
            "/products//stock/",
            "/products/a/b/stock",
            "/products/a/b/stock/",
            "/products/p/rules",
            "/products/a/b/rules/",
            "/products//rules",
            "/rules",
            "/rules/",
            "/rules/a/b",
            "/unsubscribe",
            "/unsubscribe/",
            "/unsubscribe/t",
            "/unsubscribe/t/",
            "/unsubscribe/a/b",
            "/unsubscribe/a/b/",
            "/confirm",
            "/confirm/t",
            "/confirm/t/",
            "/confirm/a/b",
            "/alerts",
            "/alerts/",
            "/alerts/link",
            "/alerts/t",
            "/alerts/t/",
            "/alerts/t/leave",
            "/alerts/t/leave-all",
            "/alerts/t/never",
            "/alerts/t/erase",
            "/alerts/t/export",
            "/alerts/t/other",
            "/subscribers",
            "/subscribers/",
            "/subscribers/a",
            "/subscribers/a/b",
            "/suppressions/a@example.com",
            "/restocks/",
            "/restocks/r",
            "/restocks/a/b/release",
            "//products/p",
        ];
        for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            for path in paths {
                let Err(problem) = default(method, path) else { continue };
                let answer = problem.response();
                let allow = answer.headers.get("allow").map_or("", |allow| allow.to_str().unwrap());
                assert_eq!(answer.status_code == 405, !allow.is_empty(), "{method} {path}");
                assert!(!allow.split(", ").any(|allowed| allowed == method), "{method} {path}: {allow}");
            }
        }
    }

    #[test]
    fn a_path_that_is_no_resource_is_not_found() {
        for path in [
            "/",
            "/products",
            "/products/",
            "/products/p/reviews",
            "/products/p/subscriptions/more",
            "/unsubscribe",
            "/unsubscribe/a/b",
            "/confirm/a/b",
            "/alerts",
            "/alerts/",
            "/alerts/t/other",
            "/alerts/t/leave/all",
            "/subscribers/",
            "/suppressions",
            "/restocks",
        ] {
            assert_eq!(default("GET", path).unwrap_err().response().status_code, 404, "{path}");
        }
        // Decoded, an id with a slash is two segments.
        assert_eq!(default("GET", "/products/a/b/subscriptions").unwrap_err().response().status_code, 405);
    }

    #[test]
    fn nothing_behind_a_login_is_served_that_came_as_default() {
        for path in [
            "/subscribers/jo@example.com",
            "/subscribers/a/b/",
            "/suppressions/jo@example.com",
            "/products/a/b/rules",
            "/rules/a/b",
            "/restocks/r",
            "/restocks/a/b/release",
        ] {
            for method in ["GET", "HEAD", "POST", "PUT", "DELETE"] {
                let refused = default(method, path).unwrap_err().response();
                assert!(
                    [403, 405].contains(&refused.status_code),
                    "{method} {path}: {}",
                    refused.status_code
                );
            }
        }
    }

    #[test]
    fn a_subscriber_or_an_address_comes_by_the_greedy_route_and_a_slash_at_its_end_does_not_count() {
        let matched = |key: &str, value: &str| {
            let mut request = ApiGatewayV2httpRequest::default();
            request.route_key = Some(key.to_owned());
            request.path_parameters = HashMap::from([("proxy".to_owned(), value.to_owned())]);
            Route::of(&request).unwrap()
        };
        let (user, address) = ("gid://shop/Customer/1".to_owned(), "jo@example.com".to_owned());
        for (key, value, wanted) in [
            ("GET /subscribers/{proxy+}", "gid://shop/Customer/1", Wanted::Export(user.clone())),
            ("HEAD /subscribers/{proxy+}", "gid://shop/Customer/1/", Wanted::Export(user.clone())),
            ("DELETE /subscribers/{proxy+}", "gid://shop/Customer/1", Wanted::Erase(user.clone())),
            ("GET /suppressions/{proxy+}", "jo@example.com/", Wanted::Suppression(address.clone())),
            ("PUT /suppressions/{proxy+}", "jo@example.com", Wanted::Suppress(address.clone())),
            ("DELETE /suppressions/{proxy+}", "jo@example.com", Wanted::Lift(address.clone())),
        ] {
            assert_eq!(matched(key, value), Route::BackEnd(wanted), "{key} {value}");
        }
    }

    #[test]
    fn a_matched_route_is_taken_with_its_parameter_and_head_is_get() {
        let matched = |key: &str, name: &str, value: &str| {
            let mut request = ApiGatewayV2httpRequest::default();
            request.route_key = Some(key.to_owned());
            request.path_parameters = HashMap::from([(name.to_owned(), value.to_owned())]);
            Route::of(&request)
        };
        assert_eq!(matched("HEAD /unsubscribe/{token}", "token", "t"), Ok(Route::Ask("t".to_owned())));
        assert_eq!(matched("HEAD /products/{productId}", "productId", "p"), Ok(Route::Product(id("p"))));
        let refused = matched("GET /products/{productId}", "productId", "").unwrap_err().response();
        assert_eq!(refused.status_code, 400);
    }
}
