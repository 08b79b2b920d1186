//! One POST over a connection of its own, to an address that was checked; nothing is followed.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;
use url::{Host, Url};
use weir_schema::Span;

use crate::RespondError;
use crate::desk::Failure;
use crate::guard::Reach;

/// Of an answer at most so much is read, and that only to say why it refuses.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// Heads of answers are no longer than this; the HTTP library ends the connection.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// Addresses of one name that are tried.
const ADDRESSES_MAX: usize = 4;

/// Where to, and under what conditions.
#[derive(Clone)]
pub struct Endpoint {
    url: Url,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    reach: Reach,
    timeout: Duration,
    /// Sent with every request.
    headers: HeaderMap,
    lookups: Lookups,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("url", &self.shown())
            .finish_non_exhaustive()
    }
}

/// What is posted.
#[derive(Clone, Debug)]
pub struct Post {
    pub content_type: &'static str,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

/// Why a request did not get a 2xx, as metrics count it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The name has no address, or none that may be connected to.
    Address,
    Connect,
    Tls,
    Timeout,
    /// The connection broke, or what came is no HTTP.
    Protocol,
    /// An answer of 3xx: redirects are not followed.
    Redirect,
    /// An answer of 4xx.
    Refused,
    /// An answer of 5xx.
    Server,
    /// An answer of 410.
    Gone,
    /// What was to be sent could not be read or written.
    Content,
}

impl Reason {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Redirect => "redirect",
            Self::Refused => "refused",
            Self::Server => "server",
            Self::Gone => "gone",
            Self::Content => "content",
        }
    }
}

/// A failed attempt: what to count, and what to do.
#[derive(Clone, Debug)]
pub struct Fault {
    pub reason: Reason,
    pub failure: Failure,
}

impl Fault {
    pub(crate) fn new(reason: Reason, told: impl std::fmt::Display) -> Self {
        Self {
            reason,
            failure: Failure {
                reason: format!("{}: {told}", reason.name()),
                pause: None,
                gone: reason == Reason::Gone,
            },
        }
    }
}

impl Endpoint {
    /// Reads what the endpoint needs: its certificates, once.
    pub fn new(
        url: &str,
        reach: Reach,
        timeout: Duration,
        ca_file: Option<&PathBuf>,
        token: Option<&str>,
    ) -> Result<Self, RespondError> {
        let bad = |reason: &str| RespondError::BadUrl {
            reason: reason.to_owned(),
        };
        let url = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it must not hold a name or a password"));
        }
        let host = url.host().ok_or_else(|| bad("it names no host"))?;
        let tls = match url.scheme() {
            "http" => None,
            "https" => {
                let name = match host {
                    Host::Domain(name) => ServerName::try_from(name.to_owned())
                        .map_err(|_| bad("its host is no name of a server"))?,
                    Host::Ipv4(v4) => ServerName::IpAddress(std::net::IpAddr::V4(v4).into()),
                    Host::Ipv6(v6) => ServerName::IpAddress(std::net::IpAddr::V6(v6).into()),
                };
                Some((connector(ca_file)?, name))
            }
            _ => return Err(bad("it must begin with https:// or http://")),
        };
        let mut headers = HeaderMap::new();
        if let Some(token) = token {
            let mut value = HeaderValue::try_from(format!("Bearer {token}"))
                .map_err(|_| bad("the token holds characters that no header may"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(Self {
            url,
            tls,
            reach,
            timeout,
            headers,
            lookups: Lookups::default(),
        })
    }

    /// The same host at another path.
    #[must_use]
    pub fn at(mut self, path: &str) -> Self {
        let base = self.url.path().trim_end_matches('/').to_owned();
        self.url.set_path(&format!("{base}{path}"));
        self
    }

    /// Scheme, host and port: path and query are a secret with many who take webhooks.
    #[must_use]
    pub fn shown(&self) -> String {
        let mut shown = self.url[..url::Position::AfterPort].to_owned();
        let is_all = self.url.path() == "/" && self.url.query().is_none();
        shown.push_str(if is_all { "/" } else { "/…" });
        shown
    }

    /// Posts, and reads the answer. Any but 2xx is a fault.
    pub async fn post(&self, post: Post) -> Result<(), Fault> {
        let all = self.exchange(post);
        tokio::time::timeout(self.timeout, all)
            .await
            .unwrap_or_else(|_| Err(Fault::new(Reason::Timeout, "no whole answer in time")))
    }

    async fn exchange(&self, post: Post) -> Result<(), Fault> {
        let stream = connect(&self.url, self.reach, &self.lookups).await?;
        match &self.tls {
            None => self.over(stream, post).await,
            Some((connector, name)) => {
                let stream = connector.connect(name.clone(), stream).await;
                let stream = stream.map_err(|error| Fault::new(Reason::Tls, error))?;
                self.over(stream, post).await
            }
        }
    }

    pub(crate) async fn over<S>(&self, stream: S, post: Post) -> Result<(), Fault>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let broken = |error: hyper::Error| Fault::new(Reason::Protocol, error);
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let exchange = async {
            let answer = sender
                .send_request(self.request(post)?)
                .await
                .map_err(broken)?;
            let status = answer.status();
            if status.is_success() {
                return Ok(()); // However long its body takes, or whatever becomes of it.
            }
            let pause = retry_after(answer.headers());
            // A body that is too long, or breaks off, says no more than the status does.
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await;
            let body = body
                .map(http_body_util::Collected::to_bytes)
                .unwrap_or_default();
            judge(status, pause, &body)
        };
        // The connection is driven beside. It may end before the answer is looked at, which then is
        // there all the same, or tells why it is not.
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            done = &mut exchange => done,
            _ = connection => exchange.await,
        }
    }

    fn request(&self, post: Post) -> Result<Request<Full<Bytes>>, Fault> {
        let content = |told: &dyn std::fmt::Display| Fault::new(Reason::Content, told);
        let target = match self.url.query() {
            None => self.url.path().to_owned(),
            Some(query) => format!("{}?{query}", self.url.path()),
        };
        let host = &self.url[url::Position::BeforeHost..url::Position::AfterPort];
        let mut request = Request::new(Full::new(post.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.parse().map_err(|error| content(&error))?;
        let headers = request.headers_mut();
        *headers = self.headers.clone();
        headers.extend(
            post.headers
                .into_iter()
                .map(|(name, value)| (Some(name), value)),
        );
        let host = HeaderValue::try_from(host).map_err(|error| content(&error))?;
        headers.insert(header::HOST, host);
        let kind = HeaderValue::from_static(post.content_type);
        headers.insert(header::CONTENT_TYPE, kind);
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        let agent = concat!("weir/", env!("CARGO_PKG_VERSION"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(agent));
        Ok(request)
    }
}

/// The lookups of one sink, one at a time. One that gets no answer holds its thread for as long as
/// the system waits, whoever still wants it: so much a sink may cost the others, and no more.
#[derive(Clone, Debug)]
pub(crate) struct Lookups(Arc<Semaphore>);

impl Default for Lookups {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

impl Lookups {
    async fn look_up(&self, name: &str, port: u16) -> std::io::Result<Vec<SocketAddr>> {
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let turn = turn.map_err(std::io::Error::other)?;
        let name = name.to_owned();
        let looking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            (name.as_str(), port)
                .to_socket_addrs()
                .map(Iterator::collect)
        });
        looking.await.map_err(std::io::Error::other)?
    }
}

/// Connects to the first address of the host that answers, of those that may be connected to.
pub(crate) async fn connect(
    url: &Url,
    reach: Reach,
    lookups: &Lookups,
) -> Result<TcpStream, Fault> {
    let addresses = addresses(url, reach, lookups).await?;
    let mut last = Fault::new(Reason::Address, "it has no address");
    for address in addresses.into_iter().take(ADDRESSES_MAX) {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                let _ = stream.set_nodelay(true); // A matter of speed alone.
                return Ok(stream);
            }
            Err(error) => last = Fault::new(Reason::Connect, error),
        }
    }
    Err(last)
}

/// The addresses of a URL's host that may be connected to.
pub(crate) async fn addresses(
    url: &Url,
    reach: Reach,
    lookups: &Lookups,
) -> Result<Vec<SocketAddr>, Fault> {
    let fault = |told: &dyn std::fmt::Display| Fault::new(Reason::Address, told);
    let port = url.port_or_known_default();
    let port = port.ok_or_else(|| fault(&"the URL names no port"))?;
    let found: Vec<_> = match url.host() {
        Some(Host::Ipv4(v4)) => vec![(v4, port).into()],
        Some(Host::Ipv6(v6)) => vec![(v6, port).into()],
        Some(Host::Domain(name)) => {
            let found = lookups.look_up(name, port).await;
            found.map_err(|error| fault(&error))?
        }
        None => Vec::new(),
    };
    let allowed = reach.allowed(found.into_iter());
    if allowed.is_empty() {
        return Err(fault(
            &"no address that may be connected to; see `allow_private`",
        ));
    }
    Ok(allowed)
}

fn judge(status: StatusCode, pause: Option<Span>, body: &[u8]) -> Result<(), Fault> {
    let reason = match status.as_u16() {
        200..=299 => return Ok(()),
        300..=399 => Reason::Redirect,
        410 => Reason::Gone,
        400..=499 => Reason::Refused,
        _ => Reason::Server, // 5xx, and what HTTP does not know.
    };
    let said = String::from_utf8_lossy(body.get(..body.len().min(80)).unwrap_or_default());
    let said: String = said
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut fault = Fault::new(reason, format_args!("{} {said}", status.as_u16()));
    let asked = matches!(status.as_u16(), 429 | 500..=599);
    fault.failure.pause = pause.filter(|_| asked);
    Err(fault)
}

/// `Retry-After` in seconds; a date is passed over, since our own delays then do.
fn retry_after(headers: &HeaderMap) -> Option<Span> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim()
        .parse()
        .ok()
        .filter(|seconds| *seconds >= 0)
        .map(Span::seconds)
}

fn connector(ca_file: Option<&PathBuf>) -> Result<TlsConnector, RespondError> {
    let mut roots = rustls::RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let bad = |reason: String| RespondError::BadCertificates {
                file: file.clone(),
                reason,
            };
            let found = CertificateDer::pem_file_iter(file).map_err(|e| bad(e.to_string()))?;
            for certificate in found {
                let certificate = certificate.map_err(|error| bad(error.to_string()))?;
                roots
                    .add(certificate)
                    .map_err(|error| bad(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(bad("it holds no certificate".to_owned()));
            }
        }
        None => {
            // Those that cannot be used are passed over, as everywhere on this machine.
            let found = rustls_native_certs::load_native_certs();
            roots.add_parsable_certificates(found.certs);
            if roots.is_empty() {
                return Err(RespondError::NoCertificates);
            }
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| RespondError::Tls {
            reason: error.to_string(),
        })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
