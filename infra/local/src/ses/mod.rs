//! SES v2, captured: what a shop would have mailed, kept in an inbox.

/// How to capture.
#[derive(Default)]
pub struct Options {
    pub file: Option<std::path::PathBuf>,
}

/// A running capture.
pub struct Ses;

impl Ses {
    pub async fn start(_: Options) -> anyhow::Result<Self> {
        Ok(Self)
    }
    pub fn url(&self) -> String {
        "http://127.0.0.1:9".to_owned()
    }
    pub fn router(&self) -> axum::Router {
        axum::Router::new()
    }
    pub fn end_live_streams(&self) {}
    pub async fn stop(self) {}
}
