//! The inbox over HTTP, in the form that LocalStack gives it, so that tests written for that work here.
//!
//! LocalStack's part (<https://docs.localstack.cloud/aws/services/ses/>, "Retrieve Sent Emails"; its field names
//! are those of `SentEmail` in `localstack/services/ses/models.py`): `GET /_aws/ses` gives
//! `{"messages": [{Id, Region, Timestamp, Destination, Source, Subject, Body: {text_part, html_part}, TemplateData,
//! RawData}]}`; `id` and `email` (the source address) filter; `DELETE /_aws/ses` empties it, `DELETE /_aws/ses?id=`
//! takes one out; both answer 204. `Timestamp` is RFC 3339 in UTC, here with its `Z`.
//!
//! Added here:
//! - A message has `Headers` and `Tags` (lists of `{Name, Value}`), `ConfigurationSet`, `ReplyToAddresses`, `simulated`
//!   (`bounce` and so on, for the addresses of SES's mailbox simulator) and `RenderingFailure` (why it was never
//!   delivered, although the API accepted it: it then has no subject and no body) or `became` (`bounced`, `complained` and so on,
//!   where something is told of it), with `Event`, the last event that SES would publish of it
//!   (<https://docs.aws.amazon.com/ses/latest/dg/event-publishing-retrieving-sns-examples.html>). There is no `templateName`
//!   in that of a rendering failure, as an inline template has none; what SES writes there is not documented.
//! - `to` filters by recipient, `after=ID` and `limit=N` page through, oldest first; `last=N` gives the newest N.
//! - `GET /_aws/ses/events`: Server-Sent Events, one `mail` for each new one, `{"id","to","subject","timestamp",
//!   "failed","simulated"?,"became"?}`, where `failed` says that it could not be rendered.
//!   A client that reconnects with `Last-Event-ID` gets what it missed; `resync` tells one that was too slow.
//! - `GET /_aws/ses/stats`: `{"startedAt","captured","calls","throttled","overQuota",
//!   "renderingFailures"}`: `captured` is what the inbox holds now, the others count since the start.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures::{Stream, StreamExt as _, stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use ulid::Ulid;

use super::faults::Faults;
use super::inbox::{Call, Content, Mail};
use super::template::{Compiled, Rendered, merge};
use super::wire::{bare, overlay, simulated};
use super::{Shared, became};

/// Emails rendered between two looks at whatever else there is to do.
const AT_ONCE: usize = 32;
/// Missed emails that a reconnecting listener gets one by one; one that missed more is asked to read the list.
const MAX_MISSED: usize = 1_000;

pub(super) fn router() -> Router<Arc<Shared>> {
    Router::new()
        .route("/_aws/ses", get(list).delete(delete))
        .route("/_aws/ses/events", get(events))
        .route("/_aws/ses/stats", get(stats))
}

/// Only on the SES address: nothing that the front serves makes SES misbehave.
pub(super) fn faults_router() -> Router<Arc<Shared>> {
    Router::new().route("/_aws/ses/faults", get(show_faults).put(set_faults).delete(clear_faults))
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Filter {
    id: String,
    email: String,
    to: String,
    after: Option<MessageId>,
    limit: Option<usize>,
    last: Option<usize>,
}

/// A message id in a query.
struct MessageId(Ulid);

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Ulid::from_string(&text).map(Self).map_err(|_| serde::de::Error::custom("not a message id"))
    }
}

impl Filter {
    fn takes(&self, mail: &Mail) -> bool {
        let address = |wanted: &str, is: &str| wanted == is || bare(wanted).eq_ignore_ascii_case(bare(is));
        (self.email.is_empty() || address(&self.email, &mail.call.source))
            && (self.to.is_empty()
                || mail.may_mention(bare(&self.to))
                    && mail.entry().destination.all().any(|recipient| address(&self.to, recipient)))
    }
}

async fn list(
    State(ses): State<Arc<Shared>>,
    filter: Result<Query<Filter>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let filter = match filter {
        Ok(Query(filter)) => filter,
        Err(error) => {
            return (StatusCode::BAD_REQUEST, Json(json!({ "message": error.body_text() }))).into_response();
        }
    };
    let candidates = if filter.id.is_empty() {
        ses.inbox().after(filter.after.as_ref().map(|id| id.0)).to_vec()
    } else {
        let id = Ulid::from_string(&filter.id).ok();
        id.and_then(|id| ses.inbox().get(id).cloned()).into_iter().collect()
    };
    let mails = if let Some(last) = filter.last {
        let mut newest: Vec<_> =
            candidates.into_iter().rev().filter(|mail| filter.takes(mail)).take(last).collect();
        newest.reverse();
        newest
    } else {
        candidates
    };
    let limit = filter.limit.unwrap_or(usize::MAX);
    let matching = mails.into_iter().filter(move |mail| filter.takes(mail)).take(limit);
    ([(header::CONTENT_TYPE, "application/json")], Body::from_stream(as_json(matching))).into_response()
}

/// The list, written as it is read: a million emails are never all rendered at once.
fn as_json(
    mails: impl Iterator<Item = Arc<Mail>> + Send + 'static,
) -> impl Stream<Item = Result<Bytes, Infallible>> {
    let mut view = View::default();
    let mut mails = mails.fuse();
    let mut first = true;
    let rows = std::iter::from_fn(move || {
        let mut chunk = String::new();
        for mail in mails.by_ref().take(AT_ONCE) {
            if !std::mem::take(&mut first) {
                chunk.push(',');
            }
            chunk.push_str(&view.message(&mail).to_string());
        }
        (!chunk.is_empty()).then(|| Bytes::from(chunk))
    });
    let rows = stream::iter(rows).then(|chunk| async move {
        tokio::task::yield_now().await;
        chunk
    });
    stream::once(async { Bytes::from_static(b"{\"messages\":[") })
        .chain(rows)
        .chain(stream::once(async { Bytes::from_static(b"]}") }))
        .map(Ok)
}

async fn delete(State(ses): State<Arc<Shared>>, Query(filter): Query<Filter>) -> Response {
    let deleted = if filter.id.is_empty() {
        ses.inbox().clear().map(|()| true)
    } else {
        Ulid::from_string(&filter.id).map_or(Ok(false), |id| ses.inbox().delete(id))
    };
    match deleted {
        Ok(true) => StatusCode::NO_CONTENT.into_response(),
        Ok(false) => {
            (StatusCode::NOT_FOUND, Json(json!({ "message": "No message has this id." }))).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the inbox file can't be written");
            let message = json!({ "message": "The inbox file can't be written." });
            (StatusCode::INTERNAL_SERVER_ERROR, Json(message)).into_response()
        }
    }
}

async fn stats(State(ses): State<Arc<Shared>>) -> Json<Value> {
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Json(json!({
        "startedAt": ses.started_at.to_string(),
        "captured": ses.inbox().after(None).len(),
        "calls": count(&ses.counters.calls),
        "throttled": count(&ses.counters.throttled),
        "overQuota": count(&ses.counters.over_quota),
        "renderingFailures": count(&ses.counters.rendering_failures),
    }))
}

async fn events(
    State(ses): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    // Listening starts before looking back, so that nothing falls between; what is seen twice is told once.
    let arrivals = ses.live.subscribe();
    let since = headers
        .get("last-event-id")
        .and_then(|id| id.to_str().ok())
        .and_then(|id| Ulid::from_string(id).ok());
    let missed = since.map(|id| ses.inbox().after(Some(id)).to_vec()).unwrap_or_default();
    let seen = missed.last().map(|mail| mail.id);
    let looking_back = if missed.len() > MAX_MISSED {
        vec![Event::default().event("resync").data("{}")]
    } else {
        let mut view = View::default();
        missed.iter().map(|mail| event(mail, &view.rendered(mail).subject)).collect()
    };
    let stop = ses.stop_live.clone();
    let live = stream::unfold((arrivals, stop), move |(mut arrivals, stop)| async move {
        loop {
            let arrival = tokio::select! {
                () = stop.cancelled() => return None,
                arrival = arrivals.recv() => arrival,
            };
            let told = match arrival {
                Ok((mail, _)) if seen.is_some_and(|seen| mail.id <= seen) => continue,
                Ok((mail, subject)) => event(&mail, &subject),
                Err(RecvError::Lagged(_)) => Event::default().event("resync").data("{}"),
                Err(RecvError::Closed) => return None,
            };
            return Some((told, (arrivals, stop)));
        }
    });
    Sse::new(stream::iter(looking_back).chain(live).map(Ok))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
}

fn event(mail: &Mail, subject: &str) -> Event {
    let entry = mail.entry();
    let mut data = json!({
        "id": mail.id.to_string(),
        "to": entry.destination.all().collect::<Vec<_>>(),
        "subject": subject,
        "timestamp": timestamp(mail),
        "failed": mail.failure.is_some(),
    });
    if let Some(simulated) = entry.destination.all().find_map(simulated) {
        data["simulated"] = simulated.into();
    }
    if let Some(became) = mail.became {
        data["became"] = json!(became);
    }
    Event::default().event("mail").id(mail.id.to_string()).data(data.to_string())
}

async fn show_faults(State(ses): State<Arc<Shared>>) -> Json<Faults> {
    Json(ses.faults().clone())
}

async fn set_faults(State(ses): State<Arc<Shared>>, body: Bytes) -> Response {
    match serde_json::from_slice::<Faults>(&body) {
        Ok(faults) => {
            *ses.faults() = faults;
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => {
            let message = json!({ "message": format!("Not a set of faults: {error}") });
            (StatusCode::BAD_REQUEST, Json(message)).into_response()
        }
    }
}

async fn clear_faults(State(ses): State<Arc<Shared>>) -> StatusCode {
    *ses.faults() = Faults::default();
    StatusCode::NO_CONTENT
}

/// Renders emails one after the other; neighbours share a template, which is then compiled once.
#[derive(Default)]
struct View {
    compiled: Option<(Arc<Call>, Option<Compiled>)>,
}

impl View {
    fn rendered(&mut self, mail: &Mail) -> Rendered {
        if mail.failure.is_some() {
            return Rendered::default();
        }
        match &mail.call.content {
            Content::Raw { .. } => Rendered::default(),
            Content::Simple { subject, text, html } => {
                Rendered { subject: subject.clone(), text: text.clone(), html: html.clone() }
            }
            Content::Template { template, data } => {
                if !self.compiled.as_ref().is_some_and(|(call, _)| Arc::ptr_eq(call, &mail.call)) {
                    self.compiled = Some((Arc::clone(&mail.call), Compiled::new(template).ok()));
                }
                let compiled = self.compiled.as_ref().and_then(|(_, compiled)| compiled.as_ref());
                // It was rendered once when it was captured, so neither can fail.
                let data = merge(data.as_deref(), mail.entry().data()).unwrap_or_default();
                compiled.and_then(|compiled| compiled.render(&data).ok()).unwrap_or_default()
            }
        }
    }

    fn message(&mut self, mail: &Mail) -> Value {
        let call = &mail.call;
        let entry = mail.entry();
        let Rendered { subject, text, html } = self.rendered(mail);
        let headers = overlay(&call.headers, &entry.replacement_headers, str::eq_ignore_ascii_case);
        let tags = overlay(&call.tags, &entry.replacement_tags, |one, other| one == other);
        let mut message = json!({
            "Id": mail.id.to_string(),
            "Region": call.region,
            "Timestamp": timestamp(mail),
            "Source": call.source,
            "Destination": entry.destination,
            "Subject": subject,
            "Body": { "text_part": text, "html_part": html },
            "Headers": headers,
            "Tags": tags,
        });
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                message[name] = value;
            }
        };
        set("ConfigurationSet", call.configuration_set.as_deref().map(Into::into));
        set("ReplyToAddresses", (!call.reply_to.is_empty()).then(|| json!(call.reply_to)));
        set("simulated", entry.destination.all().find_map(simulated).map(Into::into));
        set("RenderingFailure", mail.failure.as_deref().map(Into::into));
        set("became", mail.became.and_then(|became| serde_json::to_value(became).ok()));
        set("Event", became::events(mail).pop());
        match &call.content {
            Content::Raw { data } => set("RawData", Some(data.as_str().into())),
            Content::Template { data, .. } => {
                let merged = merge(data.as_deref(), entry.data()).unwrap_or_default();
                set("TemplateData", Some(Value::Object(merged).to_string().into()));
            }
            Content::Simple { .. } => {}
        }
        message
    }
}

fn timestamp(mail: &Mail) -> String {
    became::timestamp(mail.at)
}
