//! Frames of the Kafka protocol, for what stands between a client and a broker. As in the protocol's guide: a length of four
//! bytes, then for a request its key (2), version (2), correlation id (4) and client id (2 and text), for an answer the
//! correlation id (4).

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

pub(crate) const METADATA: i16 = 3;
const FIND_COORDINATOR: i16 = 10;
pub(crate) const API_VERSIONS: i16 = 18;
const HOST: &[u8] = b"127.0.0.1";
/// Longer ones are not Kafka's.
const MAX_FRAME: usize = 128 * 1024 * 1024;

/// Whether the answer to a request of this key names brokers.
pub(crate) fn names_brokers(key: i16) -> bool {
    matches!(key, METADATA | FIND_COORDINATOR)
}

/// A connection in its two halves: what comes, and what goes.
pub(crate) type Halves = (OwnedReadHalf, OwnedWriteHalf);

/// Connects a client that has come to the broker at `target`: the client's halves, the broker's, and the broker's port.
///
/// # Errors
/// When the broker takes no connection, or the client is gone.
pub(crate) async fn connect(client: TcpStream, target: &str) -> io::Result<(Halves, Halves, u16)> {
    let broker = TcpStream::connect(target).await?;
    let port = broker.peer_addr()?.port();
    client.set_nodelay(true)?;
    broker.set_nodelay(true)?;
    Ok((client.into_split(), broker.into_split(), port))
}

/// Reads one frame, without its length.
///
/// # Errors
/// When the connection ends, or what comes is no frame.
pub(crate) async fn read_frame(from: &mut OwnedReadHalf) -> io::Result<Vec<u8>> {
    let length = usize::try_from(from.read_i32().await?).ok().filter(|length| *length <= MAX_FRAME);
    let mut frame = vec![0; length.ok_or(io::ErrorKind::InvalidData)?];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

/// Writes one frame with its length before it.
///
/// # Errors
/// When the connection ends.
pub(crate) async fn write_frame(to: &mut OwnedWriteHalf, frame: &[u8]) -> io::Result<()> {
    let length = i32::try_from(frame.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut whole = length.to_be_bytes().to_vec();
    whole.extend_from_slice(frame);
    to.write_all(&whole).await
}

/// Puts the port `own` in the place of the broker's, behind each mention of its host: text and number stand side by side in
/// every version of these answers.
pub(crate) fn redirect(frame: &mut [u8], (broker, own): (u16, u16)) {
    let (broker, own) = (i32::from(broker).to_be_bytes(), i32::from(own).to_be_bytes());
    let length = HOST.len() + broker.len();
    for at in 0..frame.len().saturating_sub(length - 1) {
        if frame[at..].starts_with(HOST) && frame[at + HOST.len()..].starts_with(&broker) {
            frame[at + HOST.len()..at + length].copy_from_slice(&own);
        }
    }
}

#[cfg(test)]
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
}
