//! `ListSuppressedDestinations`: the account's own suppression list, which a test sets by the [faults](super::faults).
//! Nothing here keeps email back for it.
//!
//! Request and answer are as the API reference of SES v2 has them: `GET /v2/email/suppression/addresses` with `Reason` (which
//! may be repeated), `StartDate`, `EndDate` (Unix seconds or RFC 3339), `PageSize` and `NextToken`; the times of the answer are Unix seconds.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::Shared;
use super::api::ApiError;

/// The most that a page holds, and what it holds unless a caller says otherwise. The reference gives no number.
const PAGE: usize = 1_000;

/// An address that the account suppresses.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Suppressed {
    email_address: String,
    /// `BOUNCE` or `COMPLAINT`.
    reason: String,
    #[serde(default)]
    last_update_time: Timestamp,
}

/// What a caller asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    reasons: Vec<String>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
    page: usize,
    from: usize,
}

impl Asked {
    fn read(query: &str) -> Result<Self, String> {
        let mut asked = Self { page: PAGE, ..Self::default() };
        let bad = |name: &str| format!("{name} is not valid.");
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            let number = || value.parse::<usize>().map_err(|_| bad(&name));
            match &*name {
                "Reason" if ["BOUNCE", "COMPLAINT"].contains(&&*value) => {
                    asked.reasons.push(value.into_owned());
                }
                "StartDate" => asked.after = Some(time(&value).ok_or_else(|| bad(&name))?),
                "EndDate" => asked.before = Some(time(&value).ok_or_else(|| bad(&name))?),
                "PageSize" => asked.page = number()?.clamp(1, PAGE),
                "NextToken" => asked.from = number()?,
                _ => return Err(bad(&name)),
            }
        }
        Ok(asked)
    }

    fn takes(&self, one: &Suppressed) -> bool {
        (self.reasons.is_empty() || self.reasons.contains(&one.reason))
            && self.after.is_none_or(|after| one.last_update_time >= after)
            && self.before.is_none_or(|before| one.last_update_time < before)
    }
}

fn time(text: &str) -> Option<Timestamp> {
    let seconds = text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    seconds.or_else(|| text.parse().ok())
}

/// `GET /v2/email/suppression/addresses`
pub(super) async fn list(
    State(ses): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let asked = Asked::read(&query.unwrap_or_default()).map_err(ApiError::bad_request)?;
    Ok(Json(answer(&asked, ses.faults().suppressed())))
}

fn answer(asked: &Asked, all: &[Suppressed]) -> Value {
    let mut rest = all.iter().filter(|one| asked.takes(one)).skip(asked.from);
    let page: Vec<Value> = rest
        .by_ref()
        .take(asked.page)
        .map(|one| {
            json!({
                "EmailAddress": one.email_address,
                "Reason": one.reason,
                "LastUpdateTime": one.last_update_time.as_second(),
            })
        })
        .collect();
    let next = rest.next().map(|_| (asked.from + page.len()).to_string());
    let mut answer = json!({ "SuppressedDestinationSummaries": page });
    if let Some(next) = next {
        answer["NextToken"] = next.into();
    }
    answer
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    fn all() -> Vec<Suppressed> {
        let one = |email: &str, reason: &str, second| Suppressed {
            email_address: email.to_owned(),
            reason: reason.to_owned(),
            last_update_time: Timestamp::from_second(second).unwrap(),
        };
        vec![
            one("a@x.example", "BOUNCE", 10),
            one("b@x.example", "COMPLAINT", 20),
            one("c@x.example", "BOUNCE", 30),
        ]
    }

    fn addresses(query: &str) -> (Vec<String>, Option<String>) {
        let answer = answer(&Asked::read(query).unwrap(), &all());
        let found = answer["SuppressedDestinationSummaries"].as_array().unwrap();
        let found = found.iter().map(|one| one["EmailAddress"].as_str().unwrap().to_owned());
        (found.collect(), answer["NextToken"].as_str().map(str::to_owned))
    }

    #[test]
    fn the_list_is_filtered_and_given_page_by_page() {
        let names = |names: &[&str]| names.iter().map(|name| format!("{name}@x.example")).collect::<Vec<_>>();
        for (query, found, next) in [
            ("", &["a", "b", "c"][..], None),
            ("PageSize=2", &["a", "b"], Some("2")),
            ("PageSize=2&NextToken=2", &["c"], None),
            ("PageSize=3", &["a", "b", "c"], None),
            ("Reason=BOUNCE", &["a", "c"], None),
            ("Reason=BOUNCE&PageSize=1&NextToken=1", &["c"], None),
            ("Reason=BOUNCE&Reason=COMPLAINT", &["a", "b", "c"], None),
            ("StartDate=20", &["b", "c"], None),
            ("EndDate=1970-01-01T00:00:20Z", &["a"], None),
        ] {
            assert_eq!(addresses(query), (names(found), next.map(str::to_owned)), "{query}");
        }
        for odd in ["Reason=OTHER", "PageSize=x", "StartDate=soon", "Other=1"] {
            assert!(Asked::read(odd).is_err(), "{odd}");
        }
    }
}
