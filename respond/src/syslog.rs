//! A connection to a syslog server: octet counting over TLS (RFC 5425) or TCP (RFC 6587), or datagrams.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::sync::Mutex;
use url::Url;

use crate::RespondError;
use crate::carrier::Reaching;
use crate::dial::{self, Lookups};
use crate::fault::{Fault, Reason};
use crate::guard::Reach;
use crate::tls::Tls;

/// A datagram is no longer: what receivers take at least, and networks carry in few pieces.
const DATAGRAM_BYTES_MAX: usize = 8 << 10;

/// A new connection over TLS rests so long before the first message. A server that refuses our
/// certificate says so only after the handshake has ended for us; syslog has no receipts, and all
/// that was written until then would be lost without a word.
const TLS_REST: Duration = Duration::from_millis(250);

/// Of what a server says, which should be nothing, so much is passed over at a time.
const SAID_BYTES_MAX: usize = 1 << 10;

/// What messages are written to.
trait Line: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Line for S {}

/// Where syslog is sent to. One message at a time, over one connection, made anew when it breaks.
pub(crate) struct Syslog {
    url: Url,
    reach: Reach,
    timeout: Duration,
    tls: Option<Tls>,
    open: Mutex<Option<Box<dyn Line>>>,
    lookups: Lookups,
}

impl Syslog {
    /// `tls://HOST:PORT`, `tcp://HOST:PORT` or `udp://HOST:PORT`.
    pub(crate) fn new(url: &str, reaching: &Reaching) -> Result<Self, RespondError> {
        let bad = |reason: &str| RespondError::BadUrl {
            reason: reason.to_owned(),
        };
        let url = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        let is_known = matches!(url.scheme(), "tls" | "tcp" | "udp");
        if !is_known {
            return Err(bad("it must begin with tls://, tcp:// or udp://"));
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        let has_more = !matches!(url.path(), "" | "/") || url.query().is_some();
        if url.host().is_none() || url.port().is_none() || has_user || has_more {
            return Err(bad("write it as tls://HOST:PORT, with nothing else"));
        }
        let is_tls = url.scheme() == "tls";
        Ok(Self {
            tls: is_tls.then(|| Tls::new(&url, reaching)).transpose()?,
            url,
            reach: reaching.reach,
            timeout: reaching.timeout,
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
        // So that the runtime has a look at the connection before we have.
        tokio::task::yield_now().await;
        // Taken out meanwhile: whatever is cut short here ends the connection, too.
        let kept = open.take().and_then(|mut stream| {
            let ended = has_ended(&mut stream).now_or_never();
            ended.is_none().then_some(stream)
        });
        let mut stream = match kept {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let frame = format!("{} {message}", message.len());
        let broken = |error: std::io::Error| Fault::new(Reason::Protocol, error);
        stream.write_all(frame.as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        *open = Some(stream);
        Ok(())
    }

    async fn connect(&self) -> Result<Box<dyn Line>, Fault> {
        let stream = dial::connect(&self.url, self.reach, &self.lookups, self.timeout).await?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let mut stream = tls.over(stream).await?;
        let rest = TLS_REST.min(self.timeout / 2);
        match tokio::time::timeout(rest, has_ended(&mut stream)).await {
            Ok(said) => Err(Fault::new(Reason::Tls, said)),
            Err(_) => Ok(Box::new(stream)),
        }
    }

    async fn send_datagram(&self, message: &str) -> Result<(), Fault> {
        let addresses = dial::addresses(&self.url, self.reach, &self.lookups).await?;
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

/// Waits until the other end has closed it, and tells how. What it says is passed over.
async fn has_ended(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut said = [0; SAID_BYTES_MAX];
    loop {
        match stream.read(&mut said).await {
            Ok(0) => return "the server has closed the connection".to_owned(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}

#[cfg(test)]
#[path = "syslog_tests.rs"]
mod tests;
