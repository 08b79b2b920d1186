//! A connection to a syslog server: over TCP with octet counting (RFC 6587), or datagrams.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Mutex;
use url::Url;

use crate::RespondError;
use crate::guard::Reach;
use crate::http::{self, Fault, Lookups, Reason};

/// A datagram is no longer: what receivers take at least, and networks carry in few pieces.
const DATAGRAM_BYTES_MAX: usize = 8 << 10;

/// Where syslog is sent to. One message at a time, over one connection, made anew when it breaks.
#[derive(Debug)]
pub(crate) struct Syslog {
    url: Url,
    reach: Reach,
    timeout: Duration,
    open: Mutex<Option<TcpStream>>,
    lookups: Lookups,
}

impl Syslog {
    /// `tcp://HOST:PORT` or `udp://HOST:PORT`.
    pub(crate) fn new(url: &str, reach: Reach, timeout: Duration) -> Result<Self, RespondError> {
        let bad = |reason: &str| RespondError::BadUrl {
            reason: reason.to_owned(),
        };
        let url = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "tcp" | "udp") {
            return Err(bad("it must begin with tcp:// or udp://"));
        }
        if url.host().is_none() || url.port().is_none() || !matches!(url.path(), "" | "/") {
            return Err(bad("write it as tcp://HOST:PORT"));
        }
        Ok(Self {
            url,
            reach,
            timeout,
            open: Mutex::new(None),
            lookups: Lookups::default(),
        })
    }

    pub(crate) fn shown(&self) -> String {
        self.url.to_string()
    }

    pub(crate) async fn send(&self, message: &str) -> Result<(), Fault> {
        let all = async {
            match self.url.scheme() {
                "udp" => self.send_datagram(message).await,
                _ => self.send_counted(message).await, // Any other was refused.
            }
        };
        let sent = tokio::time::timeout(self.timeout, all).await;
        sent.unwrap_or_else(|_| Err(Fault::new(Reason::Timeout, "it took nothing in time")))
    }

    async fn send_counted(&self, message: &str) -> Result<(), Fault> {
        let mut open = self.open.lock().await;
        // Taken out meanwhile: whatever is cut short here ends the connection, too.
        let mut stream = match open.take().filter(is_open) {
            Some(stream) => stream,
            None => http::connect(&self.url, self.reach, &self.lookups).await?,
        };
        let frame = format!("{} {message}", message.len());
        let broken = |error: std::io::Error| Fault::new(Reason::Protocol, error);
        stream.write_all(frame.as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        *open = Some(stream);
        Ok(())
    }

    async fn send_datagram(&self, message: &str) -> Result<(), Fault> {
        let addresses = http::addresses(&self.url, self.reach, &self.lookups).await?;
        let Some(to) = addresses.first() else {
            return Err(Fault::new(Reason::Address, "it has no address"));
        };
        let any = match to {
            SocketAddr::V4(_) => "0.0.0.0:0",
            SocketAddr::V6(_) => "[::]:0",
        };
        let failed = |error: std::io::Error| Fault::new(Reason::Connect, error);
        let socket = UdpSocket::bind(any).await.map_err(failed)?;
        let mut end = message.len().min(DATAGRAM_BYTES_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let sent = socket.send_to(&message.as_bytes()[..end], to).await;
        sent.map(drop).map_err(failed)
    }
}

/// Whether the other end has not closed it: nothing is ever said on it.
fn is_open(stream: &TcpStream) -> bool {
    let mut byte = [0];
    match stream.try_read(&mut byte) {
        Ok(0) => false,
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}
