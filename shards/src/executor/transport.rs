//! The bytes of a socket and the bytes of a conversation: the same on the plain port, ciphertext
//! and text on the TLS port. It moves bytes between buffers and does no I/O.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::{ServerConfig, ServerConnection};

/// How one connection is spoken to.
pub(super) enum Transport {
    Plain,
    Tls(Box<ServerConnection>),
}

impl Transport {
    pub(super) fn tls(config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        ServerConnection::new(config).map(|connection| Self::Tls(Box::new(connection)))
    }

    pub(super) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// Appends to `wire` what the peer must get to read `text`. Before the handshake has ended
    /// that is nothing; the text follows it.
    pub(super) fn seal(&mut self, mut text: &[u8], wire: &mut Vec<u8>) {
        let Self::Tls(connection) = self else {
            wire.extend(text);
            return;
        };
        loop {
            // Takes as much as its buffer holds; what it has taken is moved on at once.
            let taken = connection.writer().write(text).unwrap_or(0);
            text = &text[taken..];
            flush(connection, wire);
            if text.is_empty() || taken == 0 {
                return;
            }
        }
    }

    /// Reads what the socket brought: appends the peer's text to `text`, and what TLS itself has
    /// to say, alerts included, to `wire`.
    pub(super) fn open(
        &mut self,
        mut received: &[u8],
        text: &mut Vec<u8>,
        wire: &mut Vec<u8>,
    ) -> io::Result<()> {
        let Self::Tls(connection) = self else {
            text.extend(received);
            return Ok(());
        };
        while !received.is_empty() {
            let taken = connection.read_tls(&mut received)?;
            let processed = connection.process_new_packets();
            flush(connection, wire);
            let state =
                processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            let count = state.plaintext_bytes_to_read();
            let start = text.len();
            text.resize(start + count, 0);
            connection.reader().read_exact(&mut text[start..])?;
            if taken == 0 || state.peer_has_closed() {
                break;
            }
        }
        Ok(())
    }

    /// Says goodbye in the protocol's own way.
    pub(super) fn close(&mut self, wire: &mut Vec<u8>) {
        if let Self::Tls(connection) = self {
            connection.send_close_notify();
            flush(connection, wire);
        }
    }
}

fn flush(connection: &mut ServerConnection, wire: &mut Vec<u8>) {
    while connection.wants_write() {
        if connection.write_tls(wire).is_err() {
            return;
        }
    }
}
