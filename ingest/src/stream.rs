//! The byte stream of one connection, plain or over TLS, and its peer.

use std::io::{self, Read};
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Most bytes that are read from the kernel's buffer while stopping.
const DRAIN_BYTES_MAX: usize = 4 << 20;

/// The sender at the other end of a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub address: IpAddr,
    /// The names in its verified certificate; empty without a certificate.
    pub names: Vec<String>,
}

/// A connection, plain or over TLS.
pub(crate) enum MaybeTlsStream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl MaybeTlsStream {
    /// Reads the bytes that the kernel has buffered. A sender without acknowledgements considers them
    /// delivered.
    pub fn drain(self, buffer: &mut [u8], mut take: impl FnMut(&[u8])) {
        let mut drained = 0;
        let mut read_all = |from: &mut dyn Read| {
            while drained < DRAIN_BYTES_MAX {
                match from.read(buffer) {
                    Ok(length @ 1..) => {
                        drained += length;
                        take(&buffer[..length]);
                    }
                    Ok(0) | Err(_) => break,
                }
            }
            drained < DRAIN_BYTES_MAX
        };
        // Reads from the kernel: the reactor may not know of these bytes yet.
        match self {
            Self::Plain(stream) => {
                if let Ok(mut stream) = stream.into_std() {
                    read_all(&mut stream);
                }
            }
            Self::Tls(stream) => {
                let (stream, mut session) = stream.into_inner();
                let Ok(mut stream) = stream.into_std() else {
                    return;
                };
                while read_all(&mut session.reader()) {
                    let came = matches!(session.read_tls(&mut stream), Ok(1..));
                    if !came || session.process_new_packets().is_err() {
                        break;
                    }
                }
            }
        }
    }
}

impl AsyncRead for MaybeTlsStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for MaybeTlsStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
