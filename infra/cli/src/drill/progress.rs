//! Shows how far a drill is, on standard error: a bar on a terminal, else a line every few seconds.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a line is written where there is no terminal.
const WRITE: Duration = Duration::from_secs(15);

/// What was done so far, of how much.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    total: u64,
    written: Mutex<Instant>,
}

impl Progress {
    pub(super) fn new(total: usize, what: &'static str) -> Self {
        let total = total as u64;
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(total).with_message(what);
            if let Ok(style) = ProgressStyle::with_template("{elapsed} {wide_bar} {pos} of {len} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        if bar.is_none() {
            // A reader that has closed the pipe misses nothing.
            let _ = writeln!(std::io::stderr(), "{total} {what}");
        }
        Self { bar, total, written: Mutex::new(Instant::now()) }
    }

    /// So much is done.
    pub(super) fn at(&self, done: usize) {
        let done = done as u64;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            return;
        }
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if written.elapsed() >= WRITE {
            let _ = writeln!(std::io::stderr(), "  {done} of {}", self.total);
            *written = Instant::now();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
