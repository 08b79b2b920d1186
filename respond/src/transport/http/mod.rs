//! Posts over HTTP/1: one connection for each request, to a checked address, without redirects.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;
use weir_schema::{ReceiveTime, Span};

use crate::error::RespondError;
use crate::failure::{DeliveryError, FailureReason, PAUSE_MAX};
use crate::options::ConnectionOptions;
use crate::transport::dial::{self, NameLookups};
use crate::transport::guard::AddressScope;
use crate::transport::tls::TlsClient;

/// Bytes of an answer that are read, only to report why the consumer refuses.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// Bytes of the head of an answer; the HTTP library closes the connection beyond.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// A URL to post to, with the options of the connection.
#[derive(Clone)]
pub(crate) struct HttpEndpoint {
    url: Url,
    tls: Option<TlsClient>,
    address_scope: AddressScope,
    timeout: Duration,
    /// Sent with every request.
    headers: HeaderMap,
    lookups: NameLookups,
}

impl std::fmt::Debug for HttpEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HttpEndpoint")
            .field("url", &self.shown())
            .finish_non_exhaustive()
    }
}

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct HttpPost {
    pub content_type: &'static str,
    /// Time of the attempt.
    pub now: ReceiveTime,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

impl HttpEndpoint {
    /// Checks the URL, and reads the certificates once.
    pub(crate) fn new(url: &str, connection: &ConnectionOptions) -> Result<Self, RespondError> {
        let bad = |reason: &str| RespondError::BadUrl {
            reason: reason.to_owned(),
        };
        let url = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it must not contain a user name or a password"));
        }
        if url.host().is_none() {
            return Err(bad("it names no host"));
        }
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(TlsClient::new(&url, connection)?),
            _ => return Err(bad("it must begin with https:// or http://")),
        };
        let mut headers = HeaderMap::new();
        if let Some(token) = &connection.token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.0)).map_err(|_| {
                bad("the token contains characters that are not allowed in a header")
            })?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(Self {
            url,
            tls,
            address_scope: connection.address_scope,
            timeout: connection.timeout,
            headers,
            lookups: NameLookups::default(),
        })
    }

    /// The same endpoint with `path` appended to its own.
    #[must_use]
    pub(crate) fn with_path(mut self, path: &str) -> Self {
        let base = self.url.path().trim_end_matches('/').to_owned();
        self.url.set_path(&format!("{base}{path}"));
        self
    }

    /// Scheme, host and port. Path and query are left out: for many webhooks they are a secret.
    #[must_use]
    pub(crate) fn shown(&self) -> String {
        let mut shown = self.url[..url::Position::AfterPort].to_owned();
        let is_complete = self.url.path() == "/" && self.url.query().is_none();
        shown.push_str(if is_complete { "/" } else { "/…" });
        shown
    }

    /// Posts, and reads the answer. Every answer except 2xx is an error.
    pub(crate) async fn post(&self, post: HttpPost) -> Result<(), DeliveryError> {
        let exchange = self.exchange(post);
        tokio::time::timeout(self.timeout, exchange)
            .await
            .unwrap_or_else(|_| {
                Err(DeliveryError::new(
                    FailureReason::Timeout,
                    "no complete answer in time",
                ))
            })
    }

    async fn exchange(&self, post: HttpPost) -> Result<(), DeliveryError> {
        let stream =
            dial::connect(&self.url, self.address_scope, &self.lookups, self.timeout).await?;
        match &self.tls {
            None => self.exchange_over(stream, post).await,
            Some(tls) => self.exchange_over(tls.connect(stream).await?, post).await,
        }
    }

    /// Posts over an open connection.
    pub(crate) async fn exchange_over<S>(
        &self,
        stream: S,
        post: HttpPost,
    ) -> Result<(), DeliveryError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let broken = |error: hyper::Error| DeliveryError::new(FailureReason::Protocol, error);
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(broken)?;
        let now = post.now;
        let exchange = async {
            let answer = sender
                .send_request(self.request(post)?)
                .await
                .map_err(broken)?;
            let status = answer.status();
            if status.is_success() {
                return Ok(()); // The body does not matter.
            }
            let pause = retry_after(answer.headers(), now);
            // A body that is too long or incomplete is ignored: the status is enough.
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX)
                .collect()
                .await;
            let body = body
                .map(http_body_util::Collected::to_bytes)
                .unwrap_or_default();
            judge(status, pause, &body)
        };
        // The connection must be polled too. It may end before the answer is read; the exchange
        // then still returns the answer, or why there is none.
        let mut exchange = std::pin::pin!(exchange);
        tokio::select! {
            biased;
            done = &mut exchange => done,
            _ = connection => exchange.await,
        }
    }

    fn request(&self, post: HttpPost) -> Result<Request<Full<Bytes>>, DeliveryError> {
        let content =
            |error: &dyn std::fmt::Display| DeliveryError::new(FailureReason::Content, error);
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

/// Judges an answer by its status. The error quotes the start of the body.
fn judge(status: StatusCode, pause: Option<Span>, body: &[u8]) -> Result<(), DeliveryError> {
    let reason = match status.as_u16() {
        200..=299 => return Ok(()),
        300..=399 => FailureReason::Redirect,
        410 => FailureReason::Gone,
        400..=499 => FailureReason::Refused,
        _ => FailureReason::Server, // 5xx, and codes outside of HTTP.
    };
    let start = String::from_utf8_lossy(body.get(..body.len().min(80)).unwrap_or_default());
    let quote: String = start
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    let mut error = DeliveryError::new(reason, format_args!("{} {quote}", status.as_u16()));
    let may_pause = matches!(status.as_u16(), 429 | 500..=599);
    error.failure.pause = pause.filter(|_| may_pause);
    // 408, 425 and 429 ask for another attempt.
    let may_succeed = matches!(status.as_u16(), 408 | 425 | 429);
    error.failure.is_permanent = reason == FailureReason::Refused && !may_succeed;
    Err(error)
}

/// Parses `Retry-After`: seconds, or a date. A date is relative to the consumer's own clock if the
/// answer has a `Date`, else to ours.
fn retry_after(headers: &HeaderMap, now: ReceiveTime) -> Option<Span> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let retry_after = text(header::RETRY_AFTER)?.trim();
    let seconds = match retry_after.parse() {
        Ok(seconds) => seconds,
        Err(_) => {
            let ours = Duration::from_nanos(u64::try_from(now.0).unwrap_or(0));
            let now = text(header::DATE).and_then(date);
            let now = now.unwrap_or(UNIX_EPOCH + ours);
            seconds_between(now, date(retry_after)?)
        }
    };
    let longest = PAUSE_MAX.0 / Span::SECOND.0;
    Some(Span::seconds(
        longest.min(i64::try_from(seconds).unwrap_or(longest)),
    ))
}

/// Whole seconds between two times, rounded up; zero if `end` is before `begin`.
fn seconds_between(begin: SystemTime, end: SystemTime) -> u64 {
    let span = end.duration_since(begin).unwrap_or_default();
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
