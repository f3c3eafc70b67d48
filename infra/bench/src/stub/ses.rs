//! SES v2 as a counter: it takes emails by SES's rate and debt rules, after a latency, and keeps of each what it takes
//! to see that every subscriber got one email, and the same. It renders nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::ensure;
use http::{Request, StatusCode};
use hyper::body::Bytes;
use serde_json::{Map, Value, json};
use ses_inbox::limits::Rate;
use ses_inbox::wire::{
    Destination, MAX_DESTINATIONS, Pair, SendBulkEmail, SendEmail, Template, check_headers,
};
use tokio::sync::watch;

use super::serve::{Answer, Handler};

/// What one-click unsubscribing (RFC 8058) needs.
const HEADERS: [&str; 2] = ["List-Unsubscribe", "List-Unsubscribe-Post"];
/// The values that are each recipient's own by their token.
const TOKENS: [&str; 2] = ["unsubscribeUrl", "unsubscribeUrlHtml"];

/// How SES behaves.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    /// Recipients a second, as `GetAccount` tells and as it is enforced.
    pub(crate) max_send_rate: f64,
    /// How long a call takes.
    pub(crate) latency: Duration,
}

impl Default for Account {
    fn default() -> Self {
        Self { max_send_rate: 1_000_000.0, latency: Duration::ZERO }
    }
}

/// The captured SES.
#[derive(Clone)]
pub(crate) struct Ses(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    accepted: watch::Sender<usize>,
}

struct State {
    account: Account,
    rate: Rate,
    calls: BTreeMap<&'static str, u64>,
    throttled: u64,
    mails: Vec<Mail>,
}

/// An email that was taken, as it came.
struct Mail {
    at: Instant,
    to: String,
    /// Layout and values that all recipients of the call share.
    shared: Arc<(String, String)>,
    /// The recipient's own values.
    own: String,
    has_headers: bool,
}

/// What an email says, but for the recipient's token.
pub(crate) type Said = BTreeMap<String, String>;

impl Ses {
    pub(super) fn new() -> Self {
        let account = Account::default();
        let state = State {
            account,
            rate: Rate::new(account.max_send_rate, Instant::now()),
            calls: BTreeMap::new(),
            throttled: 0,
            mails: Vec::new(),
        };
        Self(Arc::new(Shared { state: Mutex::new(state), accepted: watch::Sender::new(0) }))
    }

    /// Is another account from now on, with nothing taken.
    pub(crate) fn become_account(&self, account: Account) {
        let mut state = self.state();
        state.account = account;
        state.rate = Rate::new(account.max_send_rate, Instant::now());
        drop(state);
        self.forget();
    }

    /// Forgets emails and calls.
    pub(crate) fn forget(&self) {
        let mut state = self.state();
        state.mails.clear();
        state.calls.clear();
        state.throttled = 0;
        self.0.accepted.send_replace(0);
    }

    /// Waits until so many emails are taken, and gives when the last of them was.
    ///
    /// # Errors
    /// When that takes longer than `limit`.
    pub(crate) async fn accepted(&self, count: usize, limit: Duration) -> anyhow::Result<Instant> {
        let mut accepted = self.0.accepted.subscribe();
        let waited = tokio::time::timeout(limit, accepted.wait_for(|taken| *taken >= count)).await;
        ensure!(waited.is_ok(), "{} of {count} emails after {limit:?}", *self.0.accepted.borrow());
        let state = self.state();
        state.mails.get(count - 1).map(|mail| mail.at).ok_or_else(|| anyhow::anyhow!("no emails"))
    }

    /// When each email so far was taken, in order.
    pub(crate) fn times(&self) -> Vec<Instant> {
        self.state().mails.iter().map(|mail| mail.at).collect()
    }

    /// The calls so far by name, and how many of them were throttled.
    pub(crate) fn calls(&self) -> (BTreeMap<&'static str, u64>, u64) {
        let state = self.state();
        (state.calls.clone(), state.throttled)
    }

    /// Checks that these subscribers got one email each, and no other address got any; gives what each email said.
    ///
    /// # Errors
    /// How many got none, more than one, or one without the headers that bulk email needs.
    pub(crate) fn told(&self, people: &[String]) -> anyhow::Result<BTreeMap<String, Said>> {
        let state = self.state();
        let mut times = HashMap::<&str, usize>::new();
        for mail in &state.mails {
            *times.entry(&mail.to).or_default() += 1;
        }
        let missing = people.iter().filter(|to| !times.contains_key(to.as_str())).count();
        let twice = times.values().filter(|count| **count > 1).count();
        let bare = state.mails.iter().filter(|mail| !mail.has_headers).count();
        ensure!(
            missing == 0 && twice == 0 && bare == 0 && times.len() == people.len(),
            "{missing} of {} got no email, {twice} more than one, {bare} without unsubscribe headers; {} got one",
            people.len(),
            times.len(),
        );
        state.mails.iter().map(|mail| Ok((mail.to.clone(), said(mail)?))).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn take(
        &self,
        name: &'static str,
        mails: Result<Vec<Mail>, String>,
    ) -> Result<Vec<String>, Answer> {
        let latency = {
            let mut state = self.state();
            *state.calls.entry(name).or_default() += 1;
            state.account.latency
        };
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        let mails =
            mails.map_err(|message| refused(StatusCode::BAD_REQUEST, "BadRequestException", &message))?;
        let mut state = self.state();
        if !state.rate.take(mails.len(), Instant::now()) {
            state.throttled += 1;
            let message = "Maximum sending rate exceeded.";
            return Err(refused(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException", message));
        }
        let before = state.mails.len();
        let ids = (before..before + mails.len()).map(|number| format!("{number:016x}")).collect();
        let now = Instant::now();
        state.mails.extend(mails.into_iter().map(|mail| Mail { at: now, ..mail }));
        let count = state.mails.len();
        drop(state);
        self.0.accepted.send_replace(count);
        Ok(ids)
    }
}

impl Handler for Ses {
    async fn handle(&self, request: Request<Bytes>) -> Answer {
        let taken = match request.uri().path() {
            "/v2/email/outbound-bulk-emails" => {
                self.take("SendBulkEmail", bulk(request.body())).await.map(|ids| {
                    let result = |id| json!({ "Status": "SUCCESS", "MessageId": id });
                    json!({ "BulkEmailEntryResults": ids.into_iter().map(result).collect::<Vec<_>>() })
                })
            }
            "/v2/email/outbound-emails" => self
                .take("SendEmail", single(request.body()))
                .await
                .map(|ids| json!({ "MessageId": ids.first() })),
            "/v2/email/account" => {
                let mut state = self.state();
                *state.calls.entry("GetAccount").or_default() += 1;
                let rate = state.account.max_send_rate;
                let quota = json!({ "Max24HourSend": 1e9, "MaxSendRate": rate, "SentLast24Hours": 0.0 });
                Ok(json!({ "ProductionAccessEnabled": true, "SendingEnabled": true, "SendQuota": quota }))
            }
            other => Err(refused(StatusCode::NOT_FOUND, "UnknownOperationException", other)),
        };
        let ok = |body: Value| Answer {
            status: StatusCode::OK,
            content_type: "application/json",
            error: None,
            body: body.to_string(),
        };
        taken.map_or_else(|refusal| refusal, ok)
    }
}

fn refused(status: StatusCode, error: &'static str, message: &str) -> Answer {
    let body = json!({ "message": message }).to_string();
    Answer { status, content_type: "application/json", error: Some(error), body }
}

fn bulk(body: &[u8]) -> Result<Vec<Mail>, String> {
    let call: SendBulkEmail = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let count = call.bulk_email_entries.len();
    if count == 0 || count > MAX_DESTINATIONS {
        return Err(format!("{count} destinations: a call takes 1 to {MAX_DESTINATIONS}."));
    }
    let template = call.default_content.and_then(|content| content.template);
    let shared = Arc::new(shared(template.as_ref()).ok_or("the template has no content")?);
    let entries = call.bulk_email_entries.into_iter();
    entries
        .map(|entry| {
            let own = entry.data().unwrap_or("{}").to_owned();
            mail(&entry.destination, &entry.replacement_headers, shared.clone(), own)
        })
        .collect()
}

fn single(body: &[u8]) -> Result<Vec<Mail>, String> {
    let call: SendEmail = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let template = call.content.and_then(|content| content.template).ok_or("no template")?;
    let shared = Arc::new(shared(Some(&template)).ok_or("the template has no content")?);
    Ok(vec![mail(&call.destination, &template.headers, shared, "{}".to_owned())?])
}

/// Layout and shared values.
fn shared(template: Option<&Template>) -> Option<(String, String)> {
    let template = template?;
    let content = template.template_content.as_ref()?;
    let layout =
        [&content.subject, &content.text, &content.html].map(|part| part.as_deref().unwrap_or_default());
    Some((layout.join("\0"), template.template_data.clone().unwrap_or_default()))
}

fn mail(
    to: &Destination,
    headers: &[Pair],
    shared: Arc<(String, String)>,
    own: String,
) -> Result<Mail, String> {
    check_headers(headers)?;
    let [to] = to.to_addresses.as_slice() else { return Err("not one address".to_owned()) };
    let has_headers = HEADERS.iter().all(|name| headers.iter().any(|header| header.name == *name));
    Ok(Mail { at: Instant::now(), to: to.clone(), shared, own, has_headers })
}

fn said(mail: &Mail) -> anyhow::Result<Said> {
    let mut said: Map<String, Value> = serde_json::from_str(&mail.shared.1)?;
    said.extend(serde_json::from_str::<Map<String, Value>>(&mail.own)?);
    said.insert("layout".to_owned(), mail.shared.0.clone().into());
    let mut said: Said =
        said.into_iter().map(|(name, value)| (name, value.as_str().unwrap_or_default().to_owned())).collect();
    for token in TOKENS {
        let link = said.remove(token).unwrap_or_default();
        ensure!(link.starts_with("https://"), "no {token} in an email");
    }
    Ok(said)
}
