//! The wire to Kafka: passes the protocol on, frame by frame, as the wire's rule has it. Only what
//! the functions' producers ask is put to the rule; everything else passes.
//!
//! Answers that name the broker (Metadata, FindCoordinator) name this wire's port instead, so that
//! clients stay on it: the host is the same, so the port is changed in place. Frames are as in the
//! Kafka protocol guide: a length of four bytes, then for a request its key (2), version (2),
//! correlation id (4) and client id (2 and text), for an answer the correlation id (4).

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::wire::{Fate, Wire};

/// The client id of `platform::kafka`'s producer.
const CLIENT: &[u8] = b"notify-me";
const HOST: &[u8] = b"127.0.0.1";
const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
/// Longer ones are not Kafka's.
const MAX_FRAME: usize = 128 * 1024 * 1024;

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
    let broker = TcpStream::connect(target).await?;
    let port = broker.peer_addr()?.port();
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
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
        if matches!(key, METADATA | FIND_COORDINATOR) {
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

async fn read_frame(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let length = usize::try_from(from.read_i32().await?).ok().filter(|length| *length <= MAX_FRAME);
    let mut frame = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

async fn write_frame(to: &mut OwnedWriteHalf, frame: &[u8]) -> io::Result<()> {
    let length = i32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut whole = length.to_be_bytes().to_vec();
    whole.extend_from_slice(frame);
    to.write_all(&whole).await
}

/// A request's key and correlation id, and whether it is one of the functions' producers.
fn head(frame: &[u8]) -> Option<(i16, i32, bool)> {
    let key = i16::from_be_bytes(*frame.first_chunk()?);
    let correlation = i32::from_be_bytes(frame.get(4..8)?.try_into().ok()?);
    let length = i16::from_be_bytes(frame.get(8..10)?.try_into().ok()?);
    let client = usize::try_from(length).ok().and_then(|length| frame.get(10..10 + length));
    Some((key, correlation, client == Some(CLIENT)))
}

/// Puts this wire's port in the place of the broker's, behind each mention of its host.
fn redirect(frame: &mut [u8], (broker, own): (u16, u16)) {
    let (broker, own) = (i32::from(broker).to_be_bytes(), i32::from(own).to_be_bytes());
    let length = HOST.len() + broker.len();
    for at in 0..frame.len().saturating_sub(length - 1) {
        if frame[at..].starts_with(HOST) && frame[at + HOST.len()..].starts_with(&broker) {
            frame[at + HOST.len()..at + length].copy_from_slice(&own);
        }
    }
}

/// What a key asks for; the numbers are the protocol's.
fn name(key: i16) -> String {
    match key {
        0 => "Produce".to_owned(),
        METADATA => "Metadata".to_owned(),
        18 => "ApiVersions".to_owned(),
        22 => "InitProducerId".to_owned(),
        other => format!("request {other}"),
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_the_wires_port_and_stays_as_long() {
        let mut frame = b"\x00\x00\x00\x07xx\x00\x09127.0.0.1\x00\x00\x23\x84yy".to_vec();
        let length = frame.len();
        redirect(&mut frame, (0x2384, 0x1234));
        assert_eq!(frame, b"\x00\x00\x00\x07xx\x00\x09127.0.0.1\x00\x00\x12\x34yy");
        assert_eq!(frame.len(), length);
    }

    #[test]
    fn a_producer_is_known_by_its_client_id() {
        let ours = b"\x00\x00\x00\x07\x00\x00\x00\x2a\x00\x09notify-me...";
        assert_eq!(head(ours).unwrap(), (0, 42, true));
        let other = b"\x00\x01\x00\x07\x00\x00\x00\x2a\x00\x07rdkafka...";
        assert_eq!(head(other).unwrap(), (1, 42, false));
        assert_eq!(head(b"\x00"), None);
    }
}
