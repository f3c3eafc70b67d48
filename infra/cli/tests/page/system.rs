//! What the page is tested on: the whole system, as `notify-me up` runs it, in a process of its own.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long the system may take to be ready, and to stop.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct System {
    /// The address of API, page and inbox.
    pub(crate) origin: String,
    /// The address of SES.
    ses: String,
    http: reqwest::Client,
    process: Child,
    _folder: TempDir,
}

/// The part of the ready file that is used here.
#[derive(Deserialize)]
struct Ready {
    api: String,
    ses: String,
}

impl System {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// The same with these variables.
    pub(crate) async fn start_with(environment: &[(&str, &str)]) -> Self {
        Self::start_as(&[], environment).await
    }

    /// The same with these arguments as well.
    pub(crate) async fn start_as(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ready_file = folder.path().join("ready.json");
        let mut process = Command::new(env!("CARGO_BIN_EXE_notify-me"))
            .args(["up", "--port", "0", "--ready-file"])
            .arg(&ready_file)
            .args(arguments)
            .env("RUST_LOG", "error")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let ready = within(|| {
            let ended = process.try_wait().unwrap();
            assert!(ended.is_none(), "the system ended before it was ready: {ended:?}");
            read(&ready_file)
        });
        let Ready { api, ses } = ready.await;
        Self {
            origin: api,
            ses,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            process,
            _folder: folder,
        }
    }

    /// Asks the system to stop, as Ctrl-C does, and waits until it has.
    pub(crate) async fn stop(mut self) {
        let asked = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status().unwrap();
        assert!(asked.success());
        let ended = within(|| self.process.try_wait().unwrap()).await;
        assert!(ended.success(), "the system did not stop well: {ended}");
    }

    /// The page itself, past any proxy.
    pub(crate) async fn page(&self) -> reqwest::Response {
        self.http.get(&self.origin).send().await.unwrap()
    }

    /// Everything in the inbox, oldest first.
    pub(crate) async fn messages(&self) -> Vec<Value> {
        let list = self.http.get(format!("{}/_aws/ses", self.origin)).send().await.unwrap();
        let list: Value = list.json().await.unwrap();
        list["messages"].as_array().unwrap().clone()
    }

    /// Asks to be told, as another page of the shop would.
    pub(crate) async fn subscribe(&self, product: &str, email: &str) {
        let url = format!("{}/products/{product}/subscriptions", self.origin);
        let answer = self.http.post(url).json(&json!({ "email": email })).send().await.unwrap();
        assert_eq!(answer.status(), 201);
    }

    /// A stock update, as the inventory service would send it.
    pub(crate) async fn stock(&self, product: &str, update: &Value) {
        let url = format!("{}/products/{product}/stock", self.origin);
        let answer = self.http.put(url).json(update).send().await.unwrap();
        assert_eq!(answer.status(), 202);
    }

    /// Sends an email as any program with an AWS SDK would.
    pub(crate) async fn send(&self, to: &str, subject: &str, html: &str) {
        let content = json!({"Subject": {"Data": subject}, "Body": {"Html": {"Data": html}}});
        let mail = json!({
            "FromEmailAddress": "shop@example.com",
            "Destination": {"ToAddresses": [to]},
            "Content": {"Simple": content},
        });
        self.post("/v2/email/outbound-emails", &mail).await;
    }

    /// Sends one call's worth of emails to addresses that no other call has.
    pub(crate) async fn send_many(&self, call: usize, mails: usize) {
        let to = |mail| format!("shopper-{call}-{mail}@example.com");
        let entries: Vec<_> =
            (0..mails).map(|mail| json!({"Destination": {"ToAddresses": [to(mail)]}})).collect();
        let template = json!({"TemplateContent": {"Subject": "One of many", "Text": "Hello"}});
        let call = json!({
            "FromEmailAddress": "shop@example.com",
            "DefaultContent": {"Template": template},
            "BulkEmailEntries": entries,
        });
        self.post("/v2/email/outbound-bulk-emails", &call).await;
    }

    async fn post(&self, path: &str, body: &Value) {
        let answer = self.http.post(format!("{}{path}", self.ses)).json(body).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }
}

impl Drop for System {
    fn drop(&mut self) {
        // A test that failed did not stop it. After a stop there is nothing left to kill.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What is in the ready file once it is whole.
fn read(file: &Path) -> Option<Ready> {
    serde_json::from_slice(&std::fs::read(file).ok()?).ok()
}

async fn within<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let waited = tokio::time::timeout(PATIENCE, async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    });
    waited.await.expect("the system is ready, and stops, in time")
}
