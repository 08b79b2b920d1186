//! One POST over a connection of its own, to an address that was checked; nothing is followed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use url::Url;
use weir_schema::{ReceiveTime, Span};

use crate::RespondError;
use crate::carrier::Reaching;
use crate::desk::PAUSE_MAX;
use crate::dial::{self, Lookups};
use crate::fault::{Fault, Reason};
use crate::guard::Reach;
use crate::tls::Tls;

/// Of an answer at most so much is read, and that only to say why it refuses.
const ANSWER_BYTES_MAX: usize = 16 << 10;
/// Heads of answers are no longer than this; the HTTP library ends the connection.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Where to, and under what conditions.
#[derive(Clone)]
pub struct Endpoint {
    url: Url,
    tls: Option<Tls>,
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
    /// When.
    pub now: ReceiveTime,
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub body: Bytes,
}

impl Endpoint {
    /// Reads what the endpoint needs: its certificates, once.
    pub fn new(url: &str, reaching: &Reaching) -> Result<Self, RespondError> {
        let bad = |reason: &str| RespondError::BadUrl {
            reason: reason.to_owned(),
        };
        let url = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(bad("it must not hold a name or a password"));
        }
        if url.host().is_none() {
            return Err(bad("it names no host"));
        }
        let tls = match url.scheme() {
            "http" => None,
            "https" => Some(Tls::new(&url, reaching)?),
            _ => return Err(bad("it must begin with https:// or http://")),
        };
        let mut headers = HeaderMap::new();
        if let Some(token) = &reaching.token {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.0))
                .map_err(|_| bad("the token holds characters that no header may"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(Self {
            url,
            tls,
            reach: reaching.reach,
            timeout: reaching.timeout,
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
        let stream = dial::connect(&self.url, self.reach, &self.lookups, self.timeout).await?;
        match &self.tls {
            None => self.over(stream, post).await,
            Some(tls) => self.over(tls.over(stream).await?, post).await,
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
        let now = post.now;
        let exchange = async {
            let answer = sender
                .send_request(self.request(post)?)
                .await
                .map_err(broken)?;
            let status = answer.status();
            if status.is_success() {
                return Ok(()); // However long its body takes, or whatever becomes of it.
            }
            let pause = retry_after(answer.headers(), now);
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

/// `Retry-After`, in seconds or as a date: of the consumer's own clock, where it shows it.
fn retry_after(headers: &HeaderMap, now: ReceiveTime) -> Option<Span> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let asked = text(header::RETRY_AFTER)?.trim();
    let seconds = match asked.parse() {
        Ok(seconds) => seconds,
        Err(_) => {
            let ours = Duration::from_nanos(u64::try_from(now.0).unwrap_or(0));
            let now = text(header::DATE).and_then(date);
            let now = now.unwrap_or(UNIX_EPOCH + ours);
            seconds_between(now, date(asked)?)
        }
    };
    let longest = PAUSE_MAX.0 / Span::SECOND.0;
    Some(Span::seconds(
        longest.min(i64::try_from(seconds).unwrap_or(longest)),
    ))
}

/// Whole seconds, a begun one for a whole one; none where `end` is not behind `begin`.
fn seconds_between(begin: SystemTime, end: SystemTime) -> u64 {
    let span = end.duration_since(begin).unwrap_or_default();
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
