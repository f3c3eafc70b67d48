//! The SES v2 calls this server answers: SendBulkEmail, SendEmail, GetAccount, and ListSuppressedDestinations (`suppression`).
//! Everything else is a 404.
//!
//! The order of the checks: is it a call at all, is the day's quota open, is the rate kept, then entry by entry.
//! What the API reference leaves open was settled so:
//! - A template that is not there, and a quota that was used up before the call, fail the whole call
//!   (`NotFoundException`; `LimitExceededException` 400 "Daily message quota exceeded.").
//! - A quota that runs out within a call gives the entries past it `ACCOUNT_DAILY_QUOTA_EXCEEDED`.
//! - A malformed address or malformed replacement data fails its entry with `INVALID_PARAMETER`, not the call.
//! - `SendEmail` with a raw message that has no sender answers "Missing required header 'From'." (seen on live SES by the makers
//!   of floci, its pull request 1561).
//! - There are no stored templates here, as there is no call that would store one.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use ulid::Ulid;

use super::inbox::{Call, Content, Mail, New};
use super::raw::Envelope;
use super::serve::DropAnswer;
use super::template::{Compiled, merge};
use super::wire::{
    Destination, Entry, MAX_DESTINATIONS, Pair, SendBulkEmail, SendEmail, Template, check_data,
    check_headers, check_tags, is_address,
};
use super::{Shared, became};

/// An error as SES v2 words it: the type in `x-amzn-ErrorType`, the message in the body.
pub(super) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    message: String,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into() }
    }

    pub(super) fn bad_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "BadRequestException", message)
    }

    fn too_many() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", "Maximum sending rate exceeded.")
    }

    fn internal(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServiceErrorException", message)
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let headers = [("x-amzn-errortype", self.kind), ("x-amzn-requestid", "local")];
        (self.status, headers, Json(json!({ "message": self.message }))).into_response()
    }
}

/// What became of one destination of a call.
enum Outcome {
    Captured(Ulid),
    Refused { status: String, error: String },
}

/// `POST /v2/email/outbound-bulk-emails`
pub(super) async fn send_bulk_email(
    State(ses): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: SendBulkEmail = parse(&body)?;
    let Some(template) = request.default_content.and_then(|content| content.template) else {
        return Err(ApiError::bad_request("DefaultContent.Template is required."));
    };
    let entries = request.bulk_email_entries;
    if entries.is_empty() || entries.len() > MAX_DESTINATIONS {
        let message = format!("{} destinations: a call takes 1 to {MAX_DESTINATIONS}.", entries.len());
        return Err(ApiError::bad_request(message));
    }
    let (content, default_headers) = template_content(template)?;
    let call = Call {
        region: region(&headers),
        source: source(request.from_email_address)?,
        reply_to: request.reply_to_addresses,
        configuration_set: request.configuration_set_name,
        content,
        headers: default_headers,
        tags: request.default_email_tags,
    };
    let (outcomes, drop) = send(&ses, call, entries).await?;
    let results: Vec<Value> = outcomes
        .into_iter()
        .map(|outcome| match outcome {
            Outcome::Captured(id) => json!({ "Status": "SUCCESS", "MessageId": id.to_string() }),
            Outcome::Refused { status, error } => json!({ "Status": status, "Error": error }),
        })
        .collect();
    Ok(answer(&json!({ "BulkEmailEntryResults": results }), drop))
}

/// `POST /v2/email/outbound-emails`
pub(super) async fn send_email(
    State(ses): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, ApiError> {
    let request: SendEmail = parse(&body)?;
    let (mut from, mut destination) = (request.from_email_address, request.destination);
    let content = request.content.ok_or_else(|| ApiError::bad_request("Content is required."))?;
    let (content, custom) = match (content.simple, content.raw, content.template) {
        (Some(simple), None, None) => {
            let (text, html) =
                (simple.body.text.map(|part| part.data), simple.body.html.map(|part| part.data));
            (Content::Simple { subject: simple.subject.data, text, html }, simple.headers)
        }
        (None, Some(raw), None) => {
            // What the request does not say stands in the message.
            let said =
                Envelope::of(&raw.data).ok_or_else(|| ApiError::bad_request("Raw.Data is not base 64."))?;
            from = from.or(said.from);
            if from.is_none() {
                return Err(ApiError::bad_request("Missing required header 'From'."));
            }
            if destination.all().next().is_none() {
                destination = said.to;
            }
            (Content::Raw { data: raw.data }, Vec::new())
        }
        (None, None, Some(template)) => template_content(template)?,
        _ => {
            return Err(ApiError::bad_request("Content has exactly one of Simple, Raw and Template."));
        }
    };
    let call = Call {
        region: region(&headers),
        source: source(from)?,
        reply_to: request.reply_to_addresses,
        configuration_set: request.configuration_set_name,
        content,
        headers: custom,
        tags: request.email_tags,
    };
    let entry = Entry { destination, ..Entry::default() };
    let (outcomes, drop) = send(&ses, call, vec![entry]).await?;
    match outcomes.into_iter().next() {
        Some(Outcome::Captured(id)) => Ok(answer(&json!({ "MessageId": id.to_string() }), drop)),
        Some(Outcome::Refused { status, error }) => Err(match status.as_str() {
            "MESSAGE_REJECTED" => ApiError::new(StatusCode::BAD_REQUEST, "MessageRejected", error),
            "ACCOUNT_THROTTLED" => ApiError::too_many(),
            "TRANSIENT_FAILURE" | "FAILED" => ApiError::internal(error),
            _ => ApiError::bad_request(error),
        }),
        None => Err(ApiError::internal("The message was not looked at.")),
    }
}

/// `GET /v2/email/account`
pub(super) async fn get_account(State(ses): State<Arc<Shared>>) -> Response {
    let sent = ses.quota().sent(minute(Timestamp::now()));
    Json(json!({
        "SendQuota": {
            "Max24HourSend": ses.options.max_24_hour_send,
            "MaxSendRate": ses.options.max_send_rate,
            "SentLast24Hours": sent,
        },
        "SendingEnabled": true,
        "ProductionAccessEnabled": !ses.faults().sandboxed(),
        "EnforcementStatus": "HEALTHY",
        "DedicatedIpAutoWarmupEnabled": false,
    }))
    .into_response()
}

/// Everything else.
pub(super) async fn unknown(method: axum::http::Method, uri: axum::http::Uri) -> ApiError {
    let message = format!(
        "{method} {} is not one of the SES v2 calls captured here: SendBulkEmail, SendEmail, GetAccount.",
        uri.path()
    );
    ApiError::new(StatusCode::NOT_FOUND, "UnknownOperationException", message)
}

async fn send(ses: &Shared, call: Call, entries: Vec<Entry>) -> Result<(Vec<Outcome>, bool), ApiError> {
    let latency = ses.faults().latency();
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    ses.counters.calls.fetch_add(1, Ordering::Relaxed);
    check_headers(&call.headers).map_err(ApiError::bad_request)?;
    check_tags(&call.tags).map_err(ApiError::bad_request)?;
    for entry in &entries {
        check_headers(&entry.replacement_headers).map_err(ApiError::bad_request)?;
        check_tags(&entry.replacement_tags).map_err(ApiError::bad_request)?;
        check_data("ReplacementTemplateData", entry.data()).map_err(ApiError::bad_request)?;
    }
    let compiled = compile(&call)?;
    admit(ses, &entries)?;

    let mut new = Vec::with_capacity(entries.len());
    let mut refusals = Vec::with_capacity(entries.len());
    let mut subjects = Vec::with_capacity(entries.len());
    for entry in entries {
        match judge(ses, &call, compiled.as_ref(), &entry) {
            Err(refused) => refusals.push(Some(refused)),
            Ok((failure, subject)) => {
                refusals.push(None);
                subjects.push(subject);
                let became =
                    if failure.is_some() { None } else { ses.faults().fate(entry.destination.all()) };
                new.push(New { entry, failure, became });
            }
        }
    }
    let mails = capture(ses, call, new, subjects)?;
    let mut captured = mails.iter().map(|mail| mail.id);
    let outcomes = refusals
        .into_iter()
        .map(|refused| refused.or_else(|| captured.next().map(Outcome::Captured)))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| ApiError::internal("An email was lost while it was captured."))?;
    let late = ses.faults().answers_after();
    if !late.is_zero() {
        tokio::time::sleep(late).await;
    }
    Ok((outcomes, ses.faults().drop_answer()))
}

/// Whether the account may send now, to so many.
fn admit(ses: &Shared, entries: &[Entry]) -> Result<(), ApiError> {
    if ses.faults().fail() {
        return Err(ApiError::internal("A fault that was asked for."));
    }
    if ses.faults().refuses(entries.iter().flat_map(|entry| entry.destination.all())) {
        return Err(ApiError::bad_request("A fault that was asked for: one entry spoils the call."));
    }
    let forced = ses.faults().throttle();
    if !ses.quota().open(minute(Timestamp::now())) {
        ses.counters.over_quota.fetch_add(1, Ordering::Relaxed);
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "LimitExceededException",
            "Daily message quota exceeded.",
        ));
    }
    let recipients = entries.iter().map(|entry| entry.destination.all().count()).sum();
    if forced || !ses.rate().take(recipients, Instant::now()) {
        ses.counters.throttled.fetch_add(1, Ordering::Relaxed);
        return Err(ApiError::too_many());
    }
    Ok(())
}

/// Whether one entry is taken; if so, why it could not be rendered, if it could not, and its subject.
fn judge(
    ses: &Shared,
    call: &Call,
    compiled: Option<&Arc<Compiled>>,
    entry: &Entry,
) -> Result<(Option<String>, String), Outcome> {
    let refused = |status: &str, error: &str| Outcome::Refused { status: status.into(), error: error.into() };
    check_destination(&entry.destination).map_err(|error| refused("INVALID_PARAMETER", &error))?;
    let data = match &call.content {
        Content::Template { data, .. } => {
            merge(data.as_deref(), entry.data()).map_err(|error| refused("INVALID_PARAMETER", error))?
        }
        Content::Simple { .. } | Content::Raw { .. } => Map::new(),
    };
    let unverified = ses.faults().unverified(entry.destination.all()).join(", ");
    if !unverified.is_empty() {
        // SES's own words, the addresses too: a caller must not log them.
        let region = call.region.to_ascii_uppercase();
        let error = format!(
            "Email address is not verified. The following identities failed the check in region {region}: {unverified}"
        );
        return Err(refused("MESSAGE_REJECTED", &error));
    }
    if let Some(status) = ses.faults().status(entry.destination.all()) {
        return Err(refused(&status, "A fault that was asked for."));
    }
    {
        let minute = minute(Timestamp::now());
        let mut quota = ses.quota();
        if !quota.open(minute) {
            return Err(refused("ACCOUNT_DAILY_QUOTA_EXCEEDED", "Daily message quota exceeded."));
        }
        quota.add(minute, entry.destination.all().count() as u64);
    }
    Ok(match (&call.content, compiled) {
        (Content::Simple { subject, .. }, _) => (None, subject.clone()),
        (Content::Template { .. }, Some(compiled)) => match compiled.render(&data) {
            Ok(rendered) => (None, rendered.subject),
            Err(error) => (Some(error), String::new()),
        },
        (Content::Raw { .. } | Content::Template { .. }, _) => (None, String::new()),
    })
}

fn capture(
    ses: &Shared,
    call: Call,
    new: Vec<New>,
    subjects: Vec<String>,
) -> Result<Vec<Arc<Mail>>, ApiError> {
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let mut inbox = ses.inbox();
    let mails = inbox.append(call, new, Timestamp::now().as_millisecond()).map_err(|error| {
        tracing::error!(%error, "the inbox file can't be written; the call was refused");
        ApiError::internal("The inbox file can't be written.")
    })?;
    for (mail, subject) in mails.iter().zip(subjects) {
        // Under the inbox's lock, so that listeners get emails in the order of their ids. Without a listener it fails, and may.
        let _ = ses.live.send((Arc::clone(mail), subject));
    }
    drop(inbox);
    if let Some(events) = &ses.options.events {
        for event in mails.iter().flat_map(|mail| became::events(mail)) {
            // Nobody listens any more: the program ends.
            let _ = events.send(event.to_string());
        }
    }
    for mail in &mails {
        if let Some(reason) = &mail.failure {
            tracing::error!(
                message_id = %mail.id, %reason,
                "SES would accept this email and never deliver it: its template can't be rendered with its data"
            );
            ses.counters.rendering_failures.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(mails)
}

fn check_destination(destination: &Destination) -> Result<(), String> {
    let recipients = destination.all().count();
    if recipients == 0 {
        return Err(
            "A destination has at least one address in ToAddresses, CcAddresses or BccAddresses.".into()
        );
    }
    if recipients > MAX_DESTINATIONS {
        return Err(format!("{recipients} recipients: a message has at most {MAX_DESTINATIONS}."));
    }
    if destination.all().all(is_address) {
        Ok(())
    } else {
        Err("An address of the destination is not of the form user@domain.tld in ASCII.".into())
    }
}

fn template_content(template: Template) -> Result<(Content, Vec<Pair>), ApiError> {
    let Some(content) = template.template_content else {
        return Err(match template.template_name.or(template.template_arn) {
            Some(name) => ApiError::new(
                StatusCode::NOT_FOUND,
                "NotFoundException",
                format!("Template {name} does not exist."),
            ),
            None => {
                ApiError::bad_request("Template has one of TemplateContent, TemplateName and TemplateArn.")
            }
        });
    };
    if content.text.is_none() && content.html.is_none() {
        return Err(ApiError::bad_request("TemplateContent has Text, Html or both."));
    }
    check_data("TemplateData", template.template_data.as_deref()).map_err(ApiError::bad_request)?;
    merge(template.template_data.as_deref(), None).map_err(ApiError::bad_request)?;
    Ok((Content::Template { template: content, data: template.template_data }, template.headers))
}

fn compile(call: &Call) -> Result<Option<Arc<Compiled>>, ApiError> {
    let Content::Template { template, .. } = &call.content else {
        return Ok(None);
    };
    let compiled = Compiled::new(template).map_err(ApiError::bad_request)?;
    Ok(Some(Arc::new(compiled)))
}

fn source(from: Option<String>) -> Result<String, ApiError> {
    let from = from.ok_or_else(|| ApiError::bad_request("FromEmailAddress is required."))?;
    if is_address(&from) {
        Ok(from)
    } else {
        Err(ApiError::bad_request("FromEmailAddress is not an address."))
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        // The error's own text can quote what was sent, addresses included: only its place is told.
        let message =
            format!("The body is not this call's JSON (line {}, column {}).", error.line(), error.column());
        ApiError::new(StatusCode::BAD_REQUEST, "SerializationException", message)
    })
}

/// The region the call was signed for: `Credential=KEY/20261123/eu-central-1/ses/aws4_request`.
fn region(headers: &HeaderMap) -> String {
    let signed_for = |value: &str| value.split("Credential=").nth(1)?.split('/').nth(2).map(str::to_owned);
    let authorization = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    authorization.and_then(signed_for).unwrap_or_else(|| "us-east-1".to_owned())
}

fn answer(body: &Value, drop: bool) -> Response {
    let mut response = Json(body).into_response();
    if drop {
        response.extensions_mut().insert(DropAnswer);
    }
    response
}

fn minute(now: Timestamp) -> i64 {
    now.as_second().div_euclid(60)
}
