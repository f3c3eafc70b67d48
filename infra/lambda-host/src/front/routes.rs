//! The routes of the HTTP API, the same ones that the template declares.
//! It decides which function a request goes to, and under which route key.

use percent_encoding::percent_decode_str;

use crate::{RESTOCK, SUBSCRIBE};

/// One route of the HTTP API.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The HTTP method.
    pub(crate) method: &'static str,
    /// The path; a segment in braces stands for any one segment, and one that ends in `+` for all that follow.
    pub(crate) path: &'static str,
    /// The function that it leads to.
    pub(crate) function: &'static str,
}

const fn route(method: &'static str, path: &'static str, function: &'static str) -> Route {
    Route { method, path, function }
}

/// Every route but `$default`.
pub(crate) const ROUTES: [Route; 44] = [
    route("GET", "/products/{productId}", SUBSCRIBE),
    route("HEAD", "/products/{productId}", SUBSCRIBE),
    route("POST", "/products/{productId}/subscriptions", SUBSCRIBE),
    route("GET", "/products/{productId}/subscriptions/count", SUBSCRIBE),
    route("HEAD", "/products/{productId}/subscriptions/count", SUBSCRIBE),
    route("GET", "/products/{productId}/challenge", SUBSCRIBE),
    route("HEAD", "/products/{productId}/challenge", SUBSCRIBE),
    route("GET", "/unsubscribe/{token}", SUBSCRIBE),
    route("HEAD", "/unsubscribe/{token}", SUBSCRIBE),
    route("POST", "/unsubscribe/{token}", SUBSCRIBE),
    route("GET", "/confirm/{token}", SUBSCRIBE),
    route("HEAD", "/confirm/{token}", SUBSCRIBE),
    route("POST", "/confirm/{token}", SUBSCRIBE),
    // No token is `link`, and the methods differ.
    route("POST", "/alerts/link", SUBSCRIBE),
    route("GET", "/alerts/{token}", SUBSCRIBE),
    route("HEAD", "/alerts/{token}", SUBSCRIBE),
    route("GET", "/alerts/{token}/export", SUBSCRIBE),
    route("HEAD", "/alerts/{token}/export", SUBSCRIBE),
    route("GET", "/alerts/{token}/erase", SUBSCRIBE),
    route("HEAD", "/alerts/{token}/erase", SUBSCRIBE),
    route("POST", "/alerts/{token}/erase", SUBSCRIBE),
    route("POST", "/alerts/{token}/leave", SUBSCRIBE),
    route("POST", "/alerts/{token}/leave-all", SUBSCRIBE),
    route("POST", "/alerts/{token}/never", SUBSCRIBE),
    // Greedy, because a user id may have a slash, which arrives decoded.
    route("GET", "/subscribers/{proxy+}", SUBSCRIBE),
    route("HEAD", "/subscribers/{proxy+}", SUBSCRIBE),
    route("DELETE", "/subscribers/{proxy+}", SUBSCRIBE),
    route("GET", "/suppressions/{proxy+}", SUBSCRIBE),
    route("HEAD", "/suppressions/{proxy+}", SUBSCRIBE),
    route("PUT", "/suppressions/{proxy+}", SUBSCRIBE),
    route("DELETE", "/suppressions/{proxy+}", SUBSCRIBE),
    // Greedy for the same reason.
    route("GET", "/restocks/{proxy+}", RESTOCK),
    route("HEAD", "/restocks/{proxy+}", RESTOCK),
    route("POST", "/restocks/{proxy+}", RESTOCK),
    route("PUT", "/products/{productId}/stock", RESTOCK),
    route("GET", "/products/{productId}/rules", RESTOCK),
    route("HEAD", "/products/{productId}/rules", RESTOCK),
    route("PUT", "/products/{productId}/rules", RESTOCK),
    route("DELETE", "/products/{productId}/rules", RESTOCK),
    // For ids with a slash: a greedy GET of `/products` would take those of `SUBSCRIBE` that come by `$default`.
    route("GET", "/rules/{proxy+}", RESTOCK),
    route("HEAD", "/rules/{proxy+}", RESTOCK),
    route("PUT", "/rules/{proxy+}", RESTOCK),
    route("DELETE", "/rules/{proxy+}", RESTOCK),
    // Greedy, so behind all others, as API Gateway has it. It looks for the route in a path that it has decoded, where a
    // product's id with a slash is two segments. Here, an encoded slash stays in its segment, and only one that was not
    // encoded comes this way.
    route("PUT", "/products/{proxy+}", RESTOCK),
];

/// Where `$default` leads: this function answers with what is wrong about the request.
pub(crate) const DEFAULT: &str = SUBSCRIBE;

/// What a request's method and path lead to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Match {
    /// `METHOD /path` of the route, or `$default`.
    pub(crate) key: String,
    /// The function to invoke.
    pub(crate) function: &'static str,
    /// The segments in braces, by name, percent-decoded once.
    pub(crate) parameters: Vec<(&'static str, String)>,
}

impl Match {
    /// Whether it takes stock updates.
    pub(crate) fn publishes(&self) -> bool {
        self.key.ends_with("/stock") || self.key == "PUT /products/{proxy+}"
    }
}

/// Finds the route. Segments are split before they are decoded, so that an encoded slash stays
/// inside its segment.
pub(crate) fn find(method: &str, path: &str) -> Match {
    ROUTES
        .iter()
        .filter(|route| route.method == method)
        .find_map(|route| {
            let parameters = matches(route.path, path)?;
            let key = format!("{} {}", route.method, route.path);
            Some(Match { key, function: route.function, parameters })
        })
        .unwrap_or_else(|| Match { key: "$default".to_owned(), function: DEFAULT, parameters: Vec::new() })
}

fn matches(pattern: &'static str, path: &str) -> Option<Vec<(&'static str, String)>> {
    let mut parameters = Vec::new();
    let mut given = path.split('/');
    for expected in pattern.split('/') {
        let segment = given.next()?;
        if let Some(name) = expected.strip_prefix('{').and_then(|name| name.strip_suffix("+}")) {
            let rest = given.fold(segment.to_owned(), |rest, segment| rest + "/" + segment);
            parameters.push((name, decode(&rest)));
            return Some(parameters);
        }
        match expected.strip_prefix('{').and_then(|name| name.strip_suffix('}')) {
            Some(_) if segment.is_empty() => return None,
            Some(name) => parameters.push((name, decode(segment))),
            None if expected != segment => return None,
            None => {}
        }
    }
    given.next().is_none().then_some(parameters)
}

/// Percent-decodes once. What is not UTF-8 afterwards becomes U+FFFD, which no identifier of
/// ours accepts.
pub(crate) fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use serde_yaml_ng::{Mapping, Value};

    use super::*;

    #[test]
    fn a_path_parameter_is_decoded_once() {
        let found = find("PUT", "/products/a%20b%2Fc%2541%C3%BC/stock");
        assert_eq!(found.key, "PUT /products/{productId}/stock");
        assert_eq!(found.function, RESTOCK);
        assert_eq!(found.parameters, [("productId", "a b/c%41ü".to_owned())]);
    }

    #[test]
    fn head_goes_where_get_goes() {
        for get in ROUTES.iter().filter(|route| route.method == "GET") {
            let head = ROUTES.iter().find(|route| route.method == "HEAD" && route.path == get.path);
            assert_eq!(head.map(|head| head.function), Some(get.function), "{}", get.path);
        }
    }

    #[test]
    fn stock_updates_of_products_with_slashes_come_under_the_greedy_route() {
        for (path, proxy) in [
            ("/products/CLE-056621/6/stock", "CLE-056621/6/stock"),
            ("/products/p/stock/", "p/stock/"),
            ("/products//stock", "/stock"),
            ("/products/gid:%2F/x%20y/stock", "gid://x y/stock"),
        ] {
            let found = find("PUT", path);
            assert_eq!((found.key.as_str(), found.function), ("PUT /products/{proxy+}", RESTOCK), "{path}");
            assert_eq!(found.parameters, [("proxy", proxy.to_owned())]);
        }
        for method in ["GET", "HEAD", "PUT", "DELETE"] {
            let found = find(method, "/rules/CLE-056621/6");
            assert_eq!((found.key, found.function), (format!("{method} /rules/{{proxy+}}"), RESTOCK));
            assert_eq!(found.parameters, [("proxy", "CLE-056621/6".to_owned())]);
        }
    }

    #[test]
    fn a_restock_comes_by_the_greedy_route_and_is_no_stock_update() {
        for (method, path, proxy) in [
            ("GET", "/restocks/r-1", "r-1"),
            ("GET", "/restocks/PO%2F7%20a", "PO/7 a"),
            ("POST", "/restocks/PO/7/release", "PO/7/release"),
        ] {
            let found = find(method, path);
            assert_eq!(found.key, format!("{method} /restocks/{{proxy+}}"), "{path}");
            assert_eq!((found.function, found.publishes()), (RESTOCK, false), "{path}");
            assert_eq!(found.parameters, [("proxy", proxy.to_owned())]);
        }
        for path in ["/products/p/stock", "/products/a/b/stock"] {
            assert!(find("PUT", path).publishes(), "{path}");
        }
        assert!(!find("GET", "/products/p").publishes());
    }

    #[test]
    fn everything_else_goes_to_the_default_route() {
        for (method, path) in [
            ("DELETE", "/products/p/stock"),
            ("PUT", "/products"),
            ("GET", "/products/p/subscriptions/counts"),
            ("HEAD", "/unsubscribe/t/"),
            ("HEAD", "/products/p/stock"),
            ("GET", "/products/p/"),
            ("GET", "/"),
        ] {
            let found = find(method, path);
            assert_eq!((found.key.as_str(), found.function), ("$default", DEFAULT), "{path}");
        }
    }

    /// The text behind a CloudFormation tag such as `!Sub`, or a plain text.
    fn text(value: &Value) -> &str {
        match value {
            Value::Tagged(tagged) => tagged.value.as_str().unwrap_or_default(),
            value => value.as_str().unwrap_or_default(),
        }
    }

    fn resources() -> Mapping {
        let template: Value = serde_yaml_ng::from_str(include_str!("../../../../template.yaml")).unwrap();
        template["Resources"].as_mapping().unwrap().clone()
    }

    fn are_routes(resource: &&Value) -> bool {
        text(&resource["Type"]) == "AWS::ApiGatewayV2::Route"
    }

    #[test]
    fn the_template_declares_the_same_routes() {
        let resources = resources();
        let mut declared: Vec<(String, String)> = resources
            .values()
            .filter(are_routes)
            .map(|resource| {
                let route = &resource["Properties"];
                let target = text(&route["Target"]);
                let integration = target.trim_start_matches("integrations/${").trim_end_matches('}');
                // An ARN that ends in `${AWS::StackName}-subscribe` is the function `subscribe`.
                let uri = text(&resources[integration]["Properties"]["IntegrationUri"]);
                let function = uri.rsplit("}-").next().unwrap_or_default().to_owned();
                (text(&route["RouteKey"]).to_owned(), function)
            })
            .collect();
        let key = |route: &Route| format!("{} {}", route.method, route.path);
        let mut ours: Vec<(String, String)> =
            ROUTES.iter().map(|route| (key(route), route.function.to_owned())).collect();
        ours.push(("$default".to_owned(), DEFAULT.to_owned()));
        declared.sort();
        ours.sort();
        assert_eq!(declared, ours);
    }

    #[test]
    fn the_template_opens_every_route_to_the_world_but_those_of_the_shops_back_end() {
        for route in resources().values().filter(are_routes).map(|resource| &resource["Properties"]) {
            let key = text(&route["RouteKey"]);
            let path = key.split_once(' ').map_or(key, |(_, path)| path);
            let behind = ["/subscribers", "/suppressions", "/restocks", "/rules"]
                .iter()
                .any(|closed| path.starts_with(closed));
            let behind = behind || path.ends_with("/rules");
            let closed = behind || key.starts_with("PUT ");
            // The same for each of them: a route that one word is missing from is open to more than it should be.
            for (property, wanted) in [
                ("AuthorizationType", "- IsJwt\n- JWT\n- AWS_IAM\n"),
                ("AuthorizerId", "- IsJwt\n- !Ref StockJwt\n- !Ref AWS::NoValue\n"),
                (
                    "AuthorizationScopes",
                    "- IsJwt\n- !Split\n  - ','\n  - !Ref JwtScopes\n- !Ref AWS::NoValue\n",
                ),
            ] {
                let found = match &route[property] {
                    Value::Tagged(tagged) if tagged.tag == "!If" => {
                        serde_yaml_ng::to_string(&tagged.value).unwrap()
                    }
                    other => text(other).to_owned(),
                };
                assert_eq!(found, if closed { wanted } else { "" }, "{property} of {key}");
            }
        }
    }
}
