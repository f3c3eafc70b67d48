//! The wire to Kafka: passes the protocol on, frame by frame, as the wire's rule has it. Only what
//! the functions' producers ask is put to the rule; everything else passes.
//!
//! Answers that name the broker name this wire's port instead, so that clients stay on it. How frames are read is
//! `embedded/kafka_frames.rs`'s.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::wire::{Fate, Wire};
use crate::embedded::kafka_frames::{
    API_VERSIONS, METADATA, connect, names_brokers, read_frame, redirect, write_frame,
};

/// The client id of `kafka`'s producer.
const CLIENT: &[u8] = b"notify-me";

/// A server that passes on what it gets.
pub(super) struct KafkaTap {
    /// Where it is, `127.0.0.1:port`.
    pub(super) servers: String,
    server: JoinHandle<()>,
}

/// What is awaited on a connection: by correlation id, the key, and whether the answer comes
/// through.
type Awaited = Arc<Mutex<HashMap<i32, (i16, Fate)>>>;

impl KafkaTap {
    /// Passes on to the broker at `target`, `127.0.0.1:port`.
    ///
    /// # Errors
    /// When no port can be had.
    pub(super) async fn start(target: String, wire: Arc<Wire>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let own = listener.local_addr()?.port();
        let server = tokio::spawn(async move {
            // Dropped with this task, which ends the connections.
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                if wire.kafka_is_down.load(Ordering::SeqCst) {
                    continue;
                }
                let (target, wire) = (target.clone(), wire.clone());
                connections.spawn(async move {
                    // What can go wrong here is that one of the two goes away.
                    let _ = connection(client, &target, own, &wire).await;
                });
            }
        });
        Ok(Self { servers: format!("127.0.0.1:{own}"), server })
    }

    pub(super) fn stop(self) {
        self.server.abort();
    }
}

async fn connection(client: TcpStream, target: &str, own: u16, wire: &Arc<Wire>) -> io::Result<()> {
    let ((from_client, to_client), (from_broker, to_broker), port) = connect(client, target).await?;
    let awaited = Awaited::default();
    tokio::select! {
        ended = requests(from_client, to_broker, &awaited, wire) => ended,
        ended = answers(from_broker, to_client, &awaited, (port, own), wire) => ended,
        () = broken(wire) => Ok(()),
    }
}

/// Returns when Kafka goes down.
async fn broken(wire: &Wire) {
    while !wire.kafka_is_down.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    awaited: &Awaited,
    wire: &Wire,
) -> io::Result<()> {
    loop {
        let frame = read_frame(&mut from).await?;
        let Some((key, correlation, is_ours)) = head(&frame) else {
            return Err(io::ErrorKind::InvalidData.into());
        };
        let fate = if is_ours { wire.judge(format!("Kafka {}", name(key))) } else { Fate::Passed };
        match fate {
            Fate::KilledBefore => {
                wire.kill();
                std::future::pending::<()>().await;
            }
            Fate::Delayed(time) => tokio::time::sleep(time).await,
            _ => {}
        }
        awaited.lock().unwrap_or_else(PoisonError::into_inner).insert(correlation, (key, fate));
        write_frame(&mut to, &frame).await?;
    }
}

async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    awaited: &Awaited,
    ports: (u16, u16),
    wire: &Wire,
) -> io::Result<()> {
    loop {
        let mut frame = read_frame(&mut from).await?;
        let correlation = frame.first_chunk().map(|bytes| i32::from_be_bytes(*bytes)).unwrap_or_default();
        let asked = awaited.lock().unwrap_or_else(PoisonError::into_inner).remove(&correlation);
        let (key, fate) = asked.unwrap_or((-1, Fate::Passed));
        if names_brokers(key) {
            redirect(&mut frame, ports);
        }
        match fate {
            Fate::KilledAfter => {
                wire.kill();
                std::future::pending::<()>().await;
            }
            Fate::AnswerLost => return Ok(()),
            _ => write_frame(&mut to, &frame).await?,
        }
    }
}

/// A request's key and correlation id, and whether it is one of the functions' producers.
fn head(frame: &[u8]) -> Option<(i16, i32, bool)> {
    let key = i16::from_be_bytes(*frame.first_chunk()?);
    let correlation = i32::from_be_bytes(frame.get(4..8)?.try_into().ok()?);
    let length = i16::from_be_bytes(frame.get(8..10)?.try_into().ok()?);
    let client = usize::try_from(length).ok().and_then(|length| frame.get(10..10 + length));
    Some((key, correlation, client == Some(CLIENT)))
}

/// What a key asks for; the numbers are the protocol's.
fn name(key: i16) -> String {
    match key {
        0 => "Produce".to_owned(),
        METADATA => "Metadata".to_owned(),
        API_VERSIONS => "ApiVersions".to_owned(),
        22 => "InitProducerId".to_owned(),
        other => format!("request {other}"),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

    use super::*;

    #[test]
    fn a_producer_is_known_by_its_client_id() {
        let ours = b"\x00\x00\x00\x07\x00\x00\x00\x2a\x00\x09notify-me...";
        assert_eq!(head(ours).unwrap(), (0, 42, true));
        let other = b"\x00\x01\x00\x07\x00\x00\x00\x2a\x00\x07rdkafka...";
        assert_eq!(head(other).unwrap(), (1, 42, false));
        assert_eq!(head(b"\x00"), None);
    }
}
