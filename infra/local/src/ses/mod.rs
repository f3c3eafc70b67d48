//! SES v2, captured: what a shop would have mailed, kept in an inbox.

/// How to capture.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) file: Option<std::path::PathBuf>,
}

/// A running capture.
pub(crate) struct Ses;

impl Ses {
    pub(crate) async fn start(_: Options) -> anyhow::Result<Self> {
        Ok(Self)
    }
    pub(crate) fn url(&self) -> String {
        "http://127.0.0.1:9".to_owned()
    }
    pub(crate) fn router(&self) -> axum::Router {
        axum::Router::new()
    }
    pub(crate) fn end_live_streams(&self) {}
    pub(crate) async fn stop(self) {}
}
