//! Passes what the functions write on to this program's standard error, a line at a time, with
//! the function's name in front. A function must never wait for a terminal, so lines beyond what
//! the queue holds are dropped, and how many is said.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Lines waiting to be written.
const QUEUE: usize = 4096;
/// Longer lines are cut, in bytes.
const MAX_LINE: usize = 16 * 1024;

struct Sink {
    lines: SyncSender<String>,
    dropped: AtomicU64,
}

/// Reads lines until the end of the stream, which is the end of the process.
pub(super) async fn pass_on(function: &'static str, stream: impl AsyncRead + Unpin) {
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        let (used, complete) = match reader.fill_buf().await {
            Ok([]) | Err(_) => break,
            Ok(bytes) => {
                let end = bytes.iter().position(|byte| *byte == b'\n');
                let part = &bytes[..end.unwrap_or(bytes.len())];
                let room = MAX_LINE.saturating_sub(line.len());
                line.extend_from_slice(&part[..part.len().min(room)]);
                (end.map_or(bytes.len(), |end| end + 1), end.is_some())
            }
        };
        reader.consume(used);
        if complete {
            emit(function, &line);
            line.clear();
        }
    }
    if !line.is_empty() {
        emit(function, &line);
    }
}

fn emit(function: &str, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let line = line.trim_end();
    // Metrics (CloudWatch's embedded metric format) are for CloudWatch, not for a terminal.
    if line.starts_with("{\"_aws\":") {
        return;
    }
    let Some(sink) = sink().filter(|_| !line.is_empty()) else {
        return;
    };
    let text = format!("[{function}] {line}");
    if sink.lines.try_send(text).is_err() {
        sink.dropped.fetch_add(1, Ordering::Relaxed);
        return;
    }
    let dropped = sink.dropped.swap(0, Ordering::Relaxed);
    if dropped > 0 && sink.lines.try_send(format!("[{function}] {dropped} log lines were dropped")).is_err() {
        sink.dropped.fetch_add(dropped, Ordering::Relaxed);
    }
}

/// The one writer of this program; `None` if its thread could not be started.
fn sink() -> Option<&'static Sink> {
    static SINK: OnceLock<Option<Sink>> = OnceLock::new();
    SINK.get_or_init(|| {
        let (lines, queue) = sync_channel::<String>(QUEUE);
        let thread = std::thread::Builder::new().name("logs".to_owned()).spawn(move || {
            for line in queue {
                // With standard error closed there is no place left to report to.
                let _ = writeln!(std::io::stderr().lock(), "{line}");
            }
        });
        thread.ok().map(|_| Sink { lines, dropped: AtomicU64::new(0) })
    })
    .as_ref()
}
