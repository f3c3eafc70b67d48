//! Shows how far a simulation is, on standard error: a line that moves on a terminal, else a line every few seconds.

use std::io::{IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often the line moves, and how often one is written where there is no terminal.
const REFRESH: Duration = Duration::from_millis(200);
const WRITE: Duration = Duration::from_secs(10);

/// What was done so far, of how much.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    asks: u64,
    restocks: u64,
    asked: AtomicU64,
    restocked: AtomicU64,
    told: AtomicU64,
}

impl Progress {
    pub(crate) fn new(asks: usize, restocks: usize) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(asks as u64);
            if let Ok(style) = ProgressStyle::with_template("{elapsed} {wide_bar} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            asks: asks as u64,
            restocks: restocks as u64,
            asked: AtomicU64::new(0),
            restocked: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }

    pub(crate) fn asked(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn restocked(&self) {
        self.restocked.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn told(&self) {
        self.told.fetch_add(1, Ordering::Relaxed);
    }

    /// Shows it for ever.
    pub(crate) async fn show(&self) {
        let mut written = Instant::now();
        loop {
            tokio::time::sleep(REFRESH).await;
            match &self.bar {
                Some(bar) => {
                    bar.set_position(self.asked.load(Ordering::Relaxed));
                    bar.set_message(self.line());
                }
                None if written.elapsed() >= WRITE => {
                    // A reader that has closed the pipe misses nothing.
                    let _ = writeln!(std::io::stderr(), "{}", self.line());
                    written = Instant::now();
                }
                None => {}
            }
        }
    }

    /// Takes the moving line away.
    pub(crate) fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self) -> String {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        format!(
            "{} of {} requests, {} of {} restocks, {} emails",
            read(&self.asked),
            self.asks,
            read(&self.restocked),
            self.restocks,
            read(&self.told),
        )
    }
}
