//! Sends syslog: octet counting over TLS (RFC 5425) or TCP (RFC 6587), or UDP datagrams.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UdpSocket;
use tokio::sync::Mutex;
use url::Url;

use crate::error::RespondError;
use crate::failure::{DeliveryError, FailureReason};
use crate::format::truncated;
use crate::options::ConnectionOptions;
use crate::transport::dial::{self, NameLookups};
use crate::transport::guard::AddressScope;
use crate::transport::tls::TlsClient;

/// Bytes of a datagram: every receiver accepts them, and networks carry them in few fragments.
const DATAGRAM_BYTES_MAX: usize = 8 << 10;

/// Delay between a TLS handshake and the first message.
///
/// A server that refuses our certificate reports it only after the handshake has ended for us.
/// Syslog has no receipts, so messages that are written before would be lost silently.
const TLS_SETTLE: Duration = Duration::from_millis(250);

/// Bytes from the server that are skipped at a time; it should send none.
const SKIP_BYTES: usize = 1 << 10;

/// A connection, with or without TLS.
trait ByteStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> ByteStream for S {}

/// Sends messages to one syslog server, one at a time.
///
/// TCP and TLS use one connection, which is opened again if it breaks.
pub(crate) struct SyslogSender {
    url: Url,
    address_scope: AddressScope,
    timeout: Duration,
    tls: Option<TlsClient>,
    open: Mutex<Option<Box<dyn ByteStream>>>,
    lookups: NameLookups,
}

impl SyslogSender {
    /// Checks the URL: `tls://HOST:PORT`, `tcp://HOST:PORT` or `udp://HOST:PORT`.
    pub(crate) fn new(url: &str, connection: &ConnectionOptions) -> Result<Self, RespondError> {
        let bad = |reason: &str| RespondError::BadUrl {
            reason: reason.to_owned(),
        };
        let url = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        let is_known = matches!(url.scheme(), "tls" | "tcp" | "udp");
        if !is_known {
            return Err(bad("it must begin with tls://, tcp:// or udp://"));
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        let has_path = !matches!(url.path(), "" | "/") || url.query().is_some();
        if url.host().is_none() || url.port().is_none() || has_user || has_path {
            return Err(bad("write it as tls://HOST:PORT, with nothing else"));
        }
        let is_tls = url.scheme() == "tls";
        Ok(Self {
            tls: is_tls
                .then(|| TlsClient::new(&url, connection))
                .transpose()?,
            url,
            address_scope: connection.address_scope,
            timeout: connection.timeout,
            open: Mutex::new(None),
            lookups: NameLookups::default(),
        })
    }

    pub(crate) fn shown(&self) -> String {
        self.url.to_string()
    }

    pub(crate) async fn send(&self, message: &str) -> Result<(), DeliveryError> {
        let send = async {
            match self.url.scheme() {
                "udp" => self.send_datagram(message).await,
                _ => self.send_counted(message).await, // `new` permits only tls and tcp.
            }
        };
        let sent = tokio::time::timeout(self.timeout, send).await;
        sent.unwrap_or_else(|_| {
            let detail = "the message was not sent in time";
            Err(DeliveryError::new(FailureReason::Timeout, detail))
        })
    }

    async fn send_counted(&self, message: &str) -> Result<(), DeliveryError> {
        let mut open = self.open.lock().await;
        // Lets the runtime poll the connection first.
        tokio::task::yield_now().await;
        // Taken out of the lock: if this future is dropped, the connection closes too.
        let reusable = open.take().and_then(|mut stream| {
            let ended = wait_for_end(&mut stream).now_or_never();
            ended.is_none().then_some(stream)
        });
        let mut stream = match reusable {
            Some(stream) => stream,
            None => self.connect().await?,
        };
        let frame = format!("{} {message}", message.len());
        let broken = |error: std::io::Error| DeliveryError::new(FailureReason::Protocol, error);
        stream.write_all(frame.as_bytes()).await.map_err(broken)?;
        stream.flush().await.map_err(broken)?;
        *open = Some(stream);
        Ok(())
    }

    async fn connect(&self) -> Result<Box<dyn ByteStream>, DeliveryError> {
        let stream =
            dial::connect(&self.url, self.address_scope, &self.lookups, self.timeout).await?;
        let Some(tls) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let mut stream = tls.connect(stream).await?;
        let settle = TLS_SETTLE.min(self.timeout / 2);
        match tokio::time::timeout(settle, wait_for_end(&mut stream)).await {
            Ok(end) => Err(DeliveryError::new(FailureReason::Tls, end)),
            Err(_) => Ok(Box::new(stream)),
        }
    }

    async fn send_datagram(&self, message: &str) -> Result<(), DeliveryError> {
        let addresses = dial::addresses(&self.url, self.address_scope, &self.lookups).await?;
        let Some(to) = addresses.first() else {
            return Err(DeliveryError::new(
                FailureReason::Address,
                "it has no address",
            ));
        };
        let any = match to {
            SocketAddr::V4(_) => "0.0.0.0:0",
            SocketAddr::V6(_) => "[::]:0",
        };
        let failed = |error: std::io::Error| DeliveryError::new(FailureReason::Connect, error);
        let socket = UdpSocket::bind(any).await.map_err(failed)?;
        let datagram = truncated(message, DATAGRAM_BYTES_MAX).as_bytes();
        let sent = socket.send_to(datagram, to).await;
        sent.map(drop).map_err(failed)
    }
}

/// Waits until the server closes the connection, and returns how. Skips all bytes it sends.
async fn wait_for_end(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut skipped = [0; SKIP_BYTES];
    loop {
        match stream.read(&mut skipped).await {
            Ok(0) => return "the server has closed the connection".to_owned(),
            Ok(_) => {}
            Err(error) => return error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests;
