//! A shopper's ask as it comes, and as it is answered: as JSON from a program, or as the plain form of a page, which works
//! without any script. A form is answered by a page that a person can read, or by the way to the shop's own.

use aws_lambda_events::apigw::{ApiGatewayV2httpRequest, ApiGatewayV2httpResponse};
use domain::{Locale, ProductId};
use http::StatusCode;
use lambda::http::{Problem, body, header, json, json_body, see_other};
use serde_json::{Map, Value};
use url::form_urlencoded;

use crate::{App, ask, page, words};

mod texts;

use texts::{Text, Words};

/// What browsers send a form as, unless it says otherwise (HTML, 4.10.21.8).
const FORM: &str = "application/x-www-form-urlencoded";

/// What came of an ask that was let in: its status, and its body as JSON.
pub(crate) type Answered = (StatusCode, Value);

/// Answers an ask.
pub(crate) async fn answer(
    app: &App,
    request: &ApiGatewayV2httpRequest,
    product: &ProductId,
) -> Result<ApiGatewayV2httpResponse, Problem> {
    let limit = app.config.max_body;
    if !is_form(request, limit) {
        let (status, answer) = ask::answer(app, request, product, &json_body(request, limit)?).await?;
        return Ok(json(status, &answer));
    }
    let fields = body(request, limit).map(|body| fields(&body));
    let locale = fields.as_ref().ok().and_then(|fields| fields["locale"].as_str());
    let words = texts::of(language(locale, header(request, "accept-language")));
    let answered = match &fields {
        Ok(fields) => ask::answer(app, request, product, fields).await,
        Err(problem) => Err(problem.clone()),
    };
    Ok(show(app, product, words, &answered))
}

/// Whether a request is a form. Of this content type, but JSON all the same, is what `curl -d '{…}'` sends; no form begins
/// with a brace, which is encoded in one.
pub(crate) fn is_form(request: &ApiGatewayV2httpRequest, limit: usize) -> bool {
    let kind = header(request, "content-type").unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    let begins_as_json = || {
        let body = body(request, limit).unwrap_or_default();
        let body = domain::fields::without_mark(&body);
        body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
    };
    essence.eq_ignore_ascii_case(FORM) && !begins_as_json()
}

/// The fields of a form, if the request [is one](is_form).
///
/// # Errors
/// When the body is too large, or no base64 where it is said to be.
pub(crate) fn filled_in(request: &ApiGatewayV2httpRequest, limit: usize) -> Result<Option<Value>, Problem> {
    if !is_form(request, limit) {
        return Ok(None);
    }
    Ok(Some(fields(&body(request, limit)?)))
}

/// The fields of a form, as the same of a JSON object. Of several with one name the first counts that is not empty.
fn fields(body: &[u8]) -> Value {
    let mut fields = Map::new();
    for (name, value) in form_urlencoded::parse(body) {
        let there = fields.entry(name).or_insert_with(|| Value::from(""));
        if *there == "" {
            *there = Value::from(value);
        }
    }
    Value::Object(fields)
}

/// The language of the answer: what the form says, as far as there are words in it, or else what the browser prefers.
fn language(locale: Option<&str>, preferred: Option<&str>) -> &'static words::Words {
    let said = locale.and_then(|text| Locale::parse(text).ok());
    said.and_then(|locale| words::of(locale.language())).unwrap_or_else(|| words::preferred(preferred))
}

fn show(
    app: &App,
    product: &ProductId,
    words: &'static Words,
    answered: &Result<Answered, Problem>,
) -> ApiGatewayV2httpResponse {
    let outcome = Outcome::of(answered);
    let response = match &app.config.form_redirect {
        Some(redirect) => see_other(&redirect.to(product, outcome.name())),
        None => {
            let Text { title, explanation } = outcome.text(words);
            let status = match answered {
                // A browser shows the page of any of them; 200 is the one for a form.
                Ok(_) => StatusCode::OK,
                Err(problem) => problem.status(),
            };
            let role = if answered.is_ok() { "status" } else { "alert" };
            let body = format!("<p role=\"{role}\">{explanation}</p>");
            page::show(status, words.language, title, &body)
        }
    };
    match answered {
        // A redirect is followed at once, whatever it says of later.
        Err(problem) if app.config.form_redirect.is_none() => problem.told_by(response),
        _ => response,
    }
}

/// What a person is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Waiting,
    InStock,
    Accepted,
    Address,
    Invalid,
    Limited,
    Challenge,
    Unavailable,
}

impl Outcome {
    fn of(answered: &Result<Answered, Problem>) -> Self {
        match answered {
            Ok((_, body)) if body["status"] != "waiting" => Self::Accepted,
            Ok((_, body)) if body["inStock"] == true => Self::InStock,
            Ok(_) => Self::Waiting,
            Err(problem) => match problem.status() {
                StatusCode::TOO_MANY_REQUESTS => Self::Limited,
                StatusCode::FORBIDDEN => Self::Challenge,
                status if status.is_server_error() => Self::Unavailable,
                _ if problem.field() == Some("email") => Self::Address,
                _ => Self::Invalid,
            },
        }
    }

    /// Its word in `FORM_REDIRECT`.
    fn name(self) -> &'static str {
        match self {
            Self::Waiting | Self::InStock => "waiting",
            Self::Accepted => "accepted",
            Self::Address | Self::Invalid => "invalid",
            Self::Limited => "limited",
            Self::Challenge => "challenge",
            Self::Unavailable => "unavailable",
        }
    }

    fn text(self, words: &Words) -> Text {
        match self {
            Self::Waiting => words.waiting,
            Self::InStock => words.in_stock,
            Self::Accepted => words.accepted,
            Self::Address => words.address,
            Self::Invalid => words.invalid,
            Self::Limited => words.limited,
            Self::Challenge => words.challenge,
            Self::Unavailable => words.unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::json;

    use super::*;

    fn request(kind: Option<&'static str>, body: &str, encoded: bool) -> ApiGatewayV2httpRequest {
        let mut request = ApiGatewayV2httpRequest::default();
        if let Some(kind) = kind {
            request.headers.insert("content-type", kind.parse().unwrap());
        }
        request.body = Some(if encoded { STANDARD.encode(body) } else { body.to_owned() });
        request.is_base64_encoded = encoded;
        request
    }

    #[test]
    fn a_form_is_known_by_its_content_type_unless_it_is_json_all_the_same() {
        let json = r#"{"email":"jo@example.com"}"#;
        for (kind, body, is) in [
            (Some(FORM), "email=jo%40example.com", true),
            (Some("Application/X-WWW-Form-Urlencoded; charset=utf-8"), "email=jo%40example.com", true),
            (Some(FORM), "", true),
            (Some(FORM), "%7B", true),
            (Some(FORM), json, false),
            (Some(FORM), " \n{}", false),
            (Some(FORM), "\u{feff}{}", false),
            (Some("application/json"), "email=jo%40example.com", false),
            (Some("application/json; charset=utf-8"), json, false),
            (Some("multipart/form-data; boundary=x"), "--x", false),
            (Some("text/plain"), "email=jo%40example.com", false),
            (None, "email=jo%40example.com", false),
        ] {
            for encoded in [false, true] {
                assert_eq!(is_form(&request(kind, body, encoded), 100), is, "{kind:?} {body}");
            }
        }
    }

    #[test]
    fn the_fields_of_a_form_are_those_of_a_json_object() {
        for (body, expected) in [
            ("", json!({})),
            ("email=jo%40example.com&locale=de", json!({ "email": "jo@example.com", "locale": "de" })),
            ("name=J%C3%BCrgen+Berger", json!({ "name": "Jürgen Berger" })),
            ("email=&email=jo@example.com&email=other", json!({ "email": "jo@example.com" })),
            ("a=1&productId=CLE%2F6+%C3%A9&a=2", json!({ "a": "1", "productId": "CLE/6 é" })),
            ("email", json!({ "email": "" })),
            ("altcha=eyJ9+%2B%2F%3D", json!({ "altcha": "eyJ9 +/=" })),
        ] {
            assert_eq!(fields(body.as_bytes()), expected, "{body}");
        }
    }

    #[test]
    fn the_answer_is_in_the_language_of_the_form_or_else_of_the_browser() {
        for (locale, preferred, expected) in [
            (Some("de-AT"), Some("fr"), "de"),
            (Some("ja"), Some("fr"), "fr"),
            (Some("nonsense"), Some("fr"), "fr"),
            (None, Some("fr;q=0.5, de"), "de"),
            (None, None, "en"),
        ] {
            assert_eq!(language(locale, preferred).language, expected, "{locale:?} {preferred:?}");
        }
    }

    #[test]
    fn each_answer_has_its_outcome() {
        let refused = |status| Err(Problem::new(status, "no"));
        let email = Problem::from(domain::Invalid::new("email", "is missing", "an address"));
        for (answered, outcome) in [
            (Ok((StatusCode::CREATED, json!({ "status": "waiting", "inStock": false }))), Outcome::Waiting),
            (Ok((StatusCode::OK, json!({ "status": "waiting", "inStock": true }))), Outcome::InStock),
            (Ok((StatusCode::ACCEPTED, json!({ "status": "accepted", "inStock": true }))), Outcome::Accepted),
            (Err(email), Outcome::Address),
            (refused(StatusCode::BAD_REQUEST), Outcome::Invalid),
            (refused(StatusCode::PAYLOAD_TOO_LARGE), Outcome::Invalid),
            (Err(Problem::too_many(3)), Outcome::Limited),
            (refused(StatusCode::FORBIDDEN), Outcome::Challenge),
            (refused(StatusCode::INTERNAL_SERVER_ERROR), Outcome::Unavailable),
            (Err(Problem::try_later("later", 2)), Outcome::Unavailable),
        ] {
            assert_eq!(Outcome::of(&answered), outcome, "{answered:?}");
        }
    }
}
