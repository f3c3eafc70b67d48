//! One headless Chromium with one page in it, as the tests use it.

use std::path::PathBuf;
use std::time::Duration;

use chromiumoxide::cdp::browser_protocol::emulation::{MediaFeature, SetDeviceMetricsOverrideParams};
use chromiumoxide::page::ScreenshotParams;
use chromiumoxide::types::{Command, Method, MethodId};
use chromiumoxide::{BrowserConfig, Page};
use futures::StreamExt as _;
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinHandle;

/// How long something may take to happen before it counts as not happening.
const PATIENCE: Duration = Duration::from_secs(30);
/// Browsers at a time: each is half a dozen processes.
static BROWSERS: Semaphore = Semaphore::const_new(2);

pub(crate) struct Browser {
    chromium: chromiumoxide::Browser,
    page: Page,
    events: JoinHandle<()>,
    _profile: TempDir,
    _permit: SemaphorePermit<'static>,
}

/// A node of Chromium's accessibility tree: what a screen reader is told.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) role: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) focusable: bool,
    pub(crate) focused: bool,
    pub(crate) level: i64,
}

impl Browser {
    pub(crate) async fn open(url: &str) -> Self {
        Self::open_with(url, "").await
    }

    /// Opens the page after running this script, before any script of its own.
    pub(crate) async fn open_with(url: &str, first: &str) -> Self {
        let permit = BROWSERS.acquire().await.unwrap();
        let profile = tempfile::tempdir().unwrap();
        let config = BrowserConfig::builder()
            .chrome_executable(chromium())
            .user_data_dir(profile.path())
            // Chromium's own sandbox needs rights that a container or root does not give; the page is ours.
            .no_sandbox()
            .new_headless_mode()
            .launch_timeout(PATIENCE)
            .window_size(1280, 900)
            .viewport(None)
            .args(["disable-gpu", "disable-quic", "no-first-run", "disable-component-update", "disable-sync"])
            // The frame of an email stays in the page's process, where its accessibility tree can be read.
            .args([("disable-features", "IsolateSandboxedIframes")])
            .build()
            .unwrap();
        let (chromium, mut handler) = chromiumoxide::Browser::launch(config).await.expect("Chromium starts");
        let events = tokio::spawn(async move { while handler.next().await.is_some() {} });
        let page = chromium.new_page("about:blank").await.unwrap();
        let browser = Self { chromium, page, events, _profile: profile, _permit: permit };
        if !first.is_empty() {
            browser.page.evaluate_on_new_document(first).await.unwrap();
        }
        browser.page.goto(url).await.unwrap();
        browser.ready().await;
        browser
    }

    pub(crate) async fn reload(&self) {
        self.page.reload().await.unwrap();
        self.ready().await;
    }

    /// Leaves for another page.
    pub(crate) async fn goto(&self, url: &str) {
        self.page.goto(url).await.unwrap();
    }

    /// Waits until it is so on the page that this one is being left for.
    pub(crate) async fn arrived(&self, script: &str) {
        let waited = tokio::time::timeout(PATIENCE, async {
            let script = format!("Boolean({script})");
            // Between two pages there is nothing to ask.
            while self.page.evaluate_expression(&script).await.ok().and_then(|so| so.into_value().ok())
                != Some(true)
            {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        });
        waited.await.unwrap_or_else(|_| panic!("never: {script}"));
    }

    async fn ready(&self) {
        self.until("document.querySelectorAll('#stock li').length === 6 && document.querySelector('#origin').textContent").await;
    }

    /// Ends the browser and waits until its process is gone.
    pub(crate) async fn close(mut self) {
        self.chromium.close().await.unwrap();
        self.chromium.wait().await.unwrap();
        self.events.abort();
    }

    pub(crate) async fn value(&self, script: &str) -> Value {
        self.page.evaluate_expression(script).await.unwrap().into_value().unwrap_or(Value::Null)
    }

    pub(crate) async fn run(&self, script: &str) {
        self.page.evaluate_expression(format!("{{ {script}; }} undefined")).await.unwrap();
    }

    pub(crate) async fn is(&self, script: &str) -> bool {
        self.value(&format!("Boolean({script})")).await == true
    }

    pub(crate) async fn number(&self, script: &str) -> f64 {
        self.value(script).await.as_f64().expect("a number")
    }

    /// Waits until it is so.
    pub(crate) async fn until(&self, script: &str) {
        let waited = tokio::time::timeout(PATIENCE, async {
            while !self.is(script).await {
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        });
        if waited.await.is_err() {
            let page = self.value("document.body.innerText").await;
            panic!("never so: {script}\n{}", page.as_str().unwrap_or_default());
        }
    }

    /// Goes to another page.
    pub(crate) async fn go(&self, url: &str) {
        self.page.goto(url).await.unwrap();
    }

    /// Waits until it is so on a page that a link or a form leads to: while one page gives way to the other there is none to ask.
    pub(crate) async fn arrives(&self, script: &str) {
        let waited = tokio::time::timeout(PATIENCE, async {
            loop {
                let asked = self.page.evaluate_expression(format!("Boolean({script})")).await;
                if asked.ok().and_then(|value| value.into_value::<Value>().ok()) == Some(true.into()) {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        });
        assert!(waited.await.is_ok(), "never so: {script}");
    }

    /// Presses a key, wherever the focus is.
    pub(crate) async fn press(&self, key: &str) {
        self.page.find_element("body").await.unwrap().press_key(key).await.unwrap();
    }

    /// Types a text, wherever the focus is.
    pub(crate) async fn type_text(&self, text: &str) {
        self.page.find_element("body").await.unwrap().type_str(text).await.unwrap();
    }

    pub(crate) async fn click(&self, selector: &str) {
        self.page.find_element(selector).await.unwrap().click().await.unwrap();
    }

    pub(crate) async fn focus(&self, selector: &str) {
        self.page.find_element(selector).await.unwrap().focus().await.unwrap();
    }

    pub(crate) async fn size(&self, width: i64, height: i64) {
        self.page.execute(SetDeviceMetricsOverrideParams::new(width, height, 1.0, false)).await.unwrap();
    }

    /// `light` or `dark`.
    pub(crate) async fn scheme(&self, scheme: &str) {
        self.feature("prefers-color-scheme", scheme).await;
    }

    pub(crate) async fn feature(&self, name: &str, value: &str) {
        self.page.emulate_media_features(vec![MediaFeature::new(name, value)]).await.unwrap();
    }

    pub(crate) async fn screenshot(&self, whole: bool) -> Vec<u8> {
        self.page.screenshot(ScreenshotParams::builder().full_page(whole).build()).await.unwrap()
    }

    /// The accessibility tree in reading order, without what is not told to anyone.
    pub(crate) async fn nodes(&self) -> Vec<Node> {
        self.tree(None).await
    }

    /// The first node of the page that is so.
    pub(crate) async fn node(&self, is: impl Fn(&Node) -> bool) -> Option<Node> {
        self.nodes().await.into_iter().find(is)
    }

    /// The first node that is so in one of the page's frames; waits for a frame that is still loading.
    pub(crate) async fn node_in_frames(&self, is: impl Fn(&Node) -> bool) -> Option<Node> {
        for _ in 0..100 {
            for frame in self.page.frames().await.unwrap() {
                if Some(&frame) == self.page.mainframe().await.unwrap().as_ref() {
                    continue;
                }
                if let Some(node) = self.tree(Some(frame.inner().clone())).await.into_iter().find(&is) {
                    return Some(node);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        None
    }

    async fn tree(&self, frame_id: Option<String>) -> Vec<Node> {
        let Ok(tree) = self.page.execute(GetFullAxTree { frame_id }).await else {
            return Vec::new();
        };
        tree.result["nodes"].as_array().into_iter().flatten().filter_map(node).collect()
    }
}

fn node(node: &Value) -> Option<Node> {
    if node["ignored"] == true {
        return None;
    }
    let text = |part: &str| node[part]["value"].as_str().unwrap_or_default().to_owned();
    let property = |name: &str| {
        let mut properties = node["properties"].as_array().into_iter().flatten();
        properties.find(|property| property["name"] == name).map(|property| &property["value"]["value"])
    };
    let is = |name: &str| property(name) == Some(&Value::Bool(true));
    Some(Node {
        role: text("role"),
        name: text("name"),
        description: text("description"),
        focusable: is("focusable"),
        focused: is("focused"),
        level: property("level").and_then(Value::as_i64).unwrap_or_default(),
    })
}

/// `Accessibility.getFullAXTree`, its answer as JSON: Chromium adds to it faster than typed bindings follow.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GetFullAxTree {
    #[serde(skip_serializing_if = "Option::is_none")]
    frame_id: Option<String>,
}

impl Method for GetFullAxTree {
    fn identifier(&self) -> MethodId {
        "Accessibility.getFullAXTree".into()
    }
}

impl Command for GetFullAxTree {
    type Response = Value;
}

/// The installed Chromium.
fn chromium() -> PathBuf {
    if let Some(named) = std::env::var_os("CHROMIUM") {
        let named = PathBuf::from(named);
        assert!(named.is_file(), "CHROMIUM names {}, which is no file", named.display());
        return named;
    }
    let names = ["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let installed = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let elsewhere = [
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
    ];
    installed.chain(elsewhere.map(PathBuf::from)).find(|path| path.is_file()).expect(
        "these tests need a Chromium: install the package `chromium` (Debian, Fedora, Arch, Homebrew), \
         or name a Chromium or Chrome in the environment variable CHROMIUM",
    )
}
