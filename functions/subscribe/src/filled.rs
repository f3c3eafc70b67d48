//! The body of a plain HTML form, `application/x-www-form-urlencoded`.

use aws_lambda_events::apigw::ApiGatewayV2httpRequest;
use lambda::http::{Problem, body};
use url::form_urlencoded;

use crate::form::is_form;

/// The fields of a form, as they were filled in.
pub(crate) struct Form(Vec<(String, String)>);

impl Form {
    /// The form in a request's body; `None` where it [is none](is_form).
    pub(crate) fn of(request: &ApiGatewayV2httpRequest, limit: usize) -> Result<Option<Self>, Problem> {
        if !is_form(request, limit) {
            return Ok(None);
        }
        let body = body(request, limit)?;
        Ok(Some(Self(form_urlencoded::parse(&body).into_owned().collect())))
    }

    /// The first field of that name.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn form(kind: &'static str, body: &str) -> Option<Form> {
        let mut request = ApiGatewayV2httpRequest::default();
        request.headers.insert("content-type", kind.parse().unwrap());
        request.body = Some(body.to_owned());
        Form::of(&request, 100).unwrap()
    }

    #[test]
    fn a_form_is_read_where_the_content_type_says_that_it_is_one() {
        let read =
            form("Application/X-WWW-Form-URLencoded; charset=utf-8", "a=1&productId=CLE%2F6+%C3%A9&a=2");
        let read = read.unwrap();
        assert_eq!((read.field("productId"), read.field("a")), (Some("CLE/6 é"), Some("1")));
        assert_eq!(read.field("email"), None);
        assert!(form("application/json", "a=1").is_none());
        assert!(form("", "a=1").is_none());
        assert!(
            form("application/x-www-form-urlencoded", r#"{"email":"jo@example.com"}"#).is_none(),
            "what curl -d sends"
        );
    }
}
