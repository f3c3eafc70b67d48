//! What clients of the embedded Kafka connect to. librdkafka's mock cluster answers `ApiVersions` of version 3 and later, with
//! which clients other than librdkafka begin, with an error in a form that they misread: Java's takes it for a throttle of
//! twenty minutes. So that one request is answered here, in each of its versions, with what the mock cluster has; everything
//! else passes to it. Its answers name this port in the place of its own.
//!
//! Forms: "ApiVersions" of the protocol's guide; an unknown version is answered in version 0 with the error
//! UNSUPPORTED_VERSION and this request's own range (KIP-511).

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex as AsyncMutex, oneshot};
use tokio::task::JoinSet;

use super::kafka_frames::{API_VERSIONS, connect, names_brokers, read_frame, redirect, write_frame};

/// The last version of `ApiVersions` that is answered as asked.
const LAST_VERSION: i16 = 4;
const UNSUPPORTED_VERSION: i16 = 35;
/// How long after a connection that could not be taken the next is waited for.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// Key, first and last version of each request that is offered: of those that the mock cluster of librdkafka 2.x handles
/// (`rdkafka_mock_handlers.c`), the last before the flexible ones. It was made for librdkafka, which asks in few of the flexible
/// versions, and has the others wrong: it closes the connection at JoinGroup 6, where franz-go joins a group, and its Metadata 10 is
/// too long for sarama. Every client that knows ApiVersions knows these as well, Java's from 4.0 on too (KIP-896).
///
/// Without the two for telemetry and the new group protocol, which clients do without.
const VERSIONS: [(i16, i16, i16); 18] = [
    (0, 0, 8),
    (1, 0, 11),
    (2, 0, 5),
    (3, 0, 8),
    (8, 0, 7),
    (9, 0, 5),
    (10, 0, 2),
    (11, 0, 5),
    (12, 0, 3),
    // It reads a LeaveGroup as those before 3 are, of one member.
    (13, 0, 2),
    (14, 0, 3),
    (API_VERSIONS, 0, LAST_VERSION),
    (22, 0, 1),
    (23, 2, 2),
    (24, 0, 1),
    (25, 0, 1),
    (26, 0, 1),
    (28, 0, 2),
];

/// The front, on a thread of its own.
pub(super) struct Front {
    servers: String,
    /// Dropping it ends the thread.
    _end: oneshot::Sender<()>,
    thread: Option<JoinHandle<()>>,
}

impl Front {
    /// Passes on to the broker at `target`, `127.0.0.1:port`.
    ///
    /// # Errors
    /// When no port or thread can be had.
    pub(super) fn start(target: String) -> io::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        listener.set_nonblocking(true)?;
        let own = listener.local_addr()?.port();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let serve = move || {
            runtime.block_on(async move {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = accept(listener, target, own) => {}
                    // An error is the end as well: the sender is gone.
                    _ = ended => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("kafka-front".to_owned()).spawn(serve)?;
        Ok(Self { servers: format!("127.0.0.1:{own}"), _end: end, thread: Some(thread) })
    }

    /// Its bootstrap servers.
    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    /// Ends it, and every connection.
    pub(super) fn stop(mut self) {
        let thread = self.thread.take();
        drop(self);
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the embedded Kafka's front ended badly");
        }
    }
}

async fn accept(listener: TcpListener, target: String, own: u16) {
    // Dropped with this future, which ends the connections.
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // No file handle is left, for example: one may be soon.
            tokio::time::sleep(REFUSED_PAUSE).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        let target = target.clone();
        connections.spawn(async move {
            // What can go wrong here is that one of the two goes away.
            let _ = connection(client, &target, own).await;
        });
    }
}

/// Correlation ids of the requests whose answers name brokers.
type Awaited = Arc<Mutex<HashSet<i32>>>;

async fn connection(client: TcpStream, target: &str, own: u16) -> io::Result<()> {
    let ((from_client, to_client), (from_broker, to_broker), port) = connect(client, target).await?;
    let (awaited, to_client) = (Awaited::default(), AsyncMutex::new(to_client));
    tokio::select! {
        ended = requests(from_client, to_broker, &to_client, &awaited) => ended,
        ended = answers(from_broker, &to_client, &awaited, (port, own)) => ended,
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    back: &AsyncMutex<OwnedWriteHalf>,
    awaited: &Awaited,
) -> io::Result<()> {
    loop {
        let frame = read_frame(&mut from).await?;
        let Some((key, version, correlation)) = head(&frame) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        if key == API_VERSIONS {
            write_frame(&mut *back.lock().await, &versions(version, correlation)).await?;
            continue;
        }
        // The others need no look, and a write without acknowledgement has no answer that would end the wait.
        if names_brokers(key) {
            awaited.lock().unwrap_or_else(PoisonError::into_inner).insert(correlation);
        }
        write_frame(&mut to, &frame).await?;
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    to: &AsyncMutex<OwnedWriteHalf>,
    awaited: &Awaited,
    ports: (u16, u16),
) -> io::Result<()> {
    loop {
        let mut frame = read_frame(&mut from).await?;
        let correlation = frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes)).unwrap_or_default();
        if awaited.lock().unwrap_or_else(PoisonError::into_inner).remove(&correlation) {
            redirect(&mut frame, ports);
        }
        write_frame(&mut *to.lock().await, &frame).await?;
    }
}

/// A request's key, version and correlation id.
fn head(frame: &[u8]) -> Option<(i16, i16, i32)> {
    let number = |at: usize| Some(i16::from_be_bytes(frame.get(at..at + 2)?.try_into().ok()?));
    Some((number(0)?, number(2)?, i32::from_be_bytes(frame.get(4..8)?.try_into().ok()?)))
}

/// The answer to `ApiVersions`, without its length. Its header has no tagged fields in any version.
fn versions(version: i16, correlation: i32) -> Vec<u8> {
    let mut out = correlation.to_be_bytes().to_vec();
    let known = (0..=LAST_VERSION).contains(&version);
    let listed: Vec<_> = VERSIONS.iter().filter(|(key, ..)| known || *key == API_VERSIONS).collect();
    out.extend(if known { 0 } else { UNSUPPORTED_VERSION }.to_be_bytes());
    let is_flexible = known && version >= 3;
    // Lengths of flexible versions are one more than there are, as a varint of one byte here.
    match (is_flexible, u8::try_from(listed.len() + 1)) {
        (true, Ok(length)) => out.push(length),
        _ => out.extend(i32::try_from(listed.len()).unwrap_or_default().to_be_bytes()),
    }
    for (key, first, last) in listed {
        out.extend([*key, *first, *last].into_iter().flat_map(i16::to_be_bytes));
        if is_flexible {
            out.push(0);
        }
    }
    if known && version >= 1 {
        out.extend(0_i32.to_be_bytes());
    }
    if is_flexible {
        out.push(0);
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn api_versions_are_answered_in_each_form() {
        let count = VERSIONS.len();
        for (version, length) in
            [(0, 4 + 2 + 4 + 6 * count), (1, 4 + 2 + 4 + 6 * count + 4), (2, 4 + 2 + 4 + 6 * count + 4)]
        {
            let answer = versions(version, 7);
            assert_eq!((answer.len(), &answer[..6]), (length, &[0, 0, 0, 7, 0, 0][..]), "{version}");
            assert_eq!(&answer[6..10], i32::try_from(count).unwrap().to_be_bytes(), "{version}");
        }
        for version in [3, 4] {
            let answer = versions(version, 7);
            assert_eq!((answer.len(), answer[6]), (4 + 2 + 1 + 7 * count + 4 + 1, 19), "{version}");
            assert_eq!(answer[7..14], [0, 0, 0, 0, 0, 8, 0], "Produce first, without tagged fields");
            assert_eq!(answer[answer.len() - 5..], [0; 5], "no throttle, no tagged fields");
        }
    }

    /// The first version that the mock cluster has wrong, mostly that of `flexibleVersions` in the protocol's definitions (`clients/src/main/resources/common/message` of Kafka), and the oldest that
    /// Java's clients from 4.0 on still speak (KIP-896).
    #[test]
    fn no_request_is_offered_in_a_version_that_the_mock_cluster_has_wrong() {
        const FIRST_WRONG_AND_OLDEST: [(i16, i16, i16); 18] = [
            (0, 9, 3),
            (1, 12, 4),
            (2, 6, 1),
            (3, 9, 0),
            (8, 8, 2),
            (9, 6, 1),
            (10, 3, 0),
            (11, 6, 2),
            (12, 4, 0),
            (13, 3, 0),
            (14, 4, 0),
            (API_VERSIONS, 5, 0),
            (22, 2, 0),
            (23, 4, 2),
            (24, 3, 0),
            (25, 3, 0),
            (26, 3, 0),
            (28, 3, 0),
        ];
        for ((key, first, last), (known, wrong, oldest)) in VERSIONS.into_iter().zip(FIRST_WRONG_AND_OLDEST) {
            assert_eq!(key, known);
            assert!(first <= last && last < wrong && last >= oldest, "{key}: {first} to {last}");
        }
    }

    #[test]
    fn a_version_that_nobody_knows_is_told_which_are_known() {
        for version in [5, 99, -1] {
            let expected = [0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 4];
            assert_eq!(versions(version, 7), expected, "{version}");
        }
    }

    #[test]
    fn requests_have_their_key_version_and_number_first() {
        assert_eq!(head(b"\x00\x12\x00\x03\x00\x00\x00\x2a\x00\x00"), Some((18, 3, 42)));
        assert_eq!(head(b"\x00\x12"), None);
    }
}
