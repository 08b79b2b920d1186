//! Reads the parts of a request that all protocols share: sender, source, idempotency key.

use std::time::{SystemTime, UNIX_EPOCH};

use actix_web::{HttpRequest, web};
use weir_schema::ReceiveTime;

use crate::bodies::BodyError;
use crate::state::AppState;

/// Longest idempotency key.
const KEY_BYTES_MAX: usize = 255;
/// Longest name of a source.
pub(super) const SOURCE_BYTES_MAX: usize = 64;

/// The sender of a body's events, apart from their source.
#[derive(Clone, Debug)]
pub(super) struct BodySender {
    pub(super) tenant: String,
    pub(super) peer: Option<String>,
    pub(super) received: ReceiveTime,
    /// The source that the request names for all of its events.
    pub(super) source: Option<String>,
    /// The idempotency key.
    pub(super) key: Option<String>,
}

impl BodySender {
    /// Reads the sender of a request.
    pub(super) fn read(request: &HttpRequest, state: &AppState) -> Result<Self, BodyError> {
        let source = parameter(request, "source").filter(|name| !name.is_empty());
        Ok(Self {
            tenant: state.options.tenant.clone(),
            peer: peer(request),
            received: receive_time(),
            source: source.map(|name| source_name(&name, "http")),
            key: read_key(request)?,
        })
    }

    /// A fixed sender, for the fuzzer and for tests.
    pub(super) fn sample() -> Self {
        Self {
            tenant: "default".to_owned(),
            peer: None,
            received: ReceiveTime(1_790_000_000_000_000_000),
            source: None,
            key: None,
        }
    }
}

/// The client's address as text.
pub(super) fn peer(request: &HttpRequest) -> Option<String> {
    request.peer_addr().map(|address| address.ip().to_string())
}

/// Returns a query parameter and ignores all others: shippers send parameters of their own.
pub(super) fn parameter(request: &HttpRequest, name: &str) -> Option<String> {
    let query = request.query_string();
    let pairs = web::Query::<Vec<(String, String)>>::from_query(query).ok()?;
    let mut pairs = pairs.into_inner().into_iter();
    pairs
        .find(|(known, _)| known == name)
        .map(|(_, value)| value)
}

/// Reads the idempotency key.
pub(super) fn read_key(request: &HttpRequest) -> Result<Option<String>, BodyError> {
    let mut keys = request.headers().get_all("idempotency-key");
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let text = key.to_str().unwrap_or_default();
    let fits = (1..=KEY_BYTES_MAX).contains(&text.len());
    if keys.next().is_none() && fits && text.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(Some(text.to_owned()));
    }
    let detail = "`Idempotency-Key` must occur once and have 1 to 255 visible ASCII characters";
    Err(BodyError::Malformed(detail.to_owned()))
}

/// The current time of the machine, clamped to the range of [`ReceiveTime`].
pub(super) fn receive_time() -> ReceiveTime {
    ReceiveTime(match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_nanos()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_nanos()).map_or(i64::MIN, |n| -n),
    })
}

/// Makes the name of a source from a sender's text.
///
/// Invalid characters become `_`, and longer texts are truncated. A text without any valid
/// character gives `default`.
pub(super) fn source_name(text: &str, default: &str) -> String {
    let valid = |c: char| {
        if c.is_ascii_alphanumeric() || "._-".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = text
        .trim()
        .chars()
        .take(SOURCE_BYTES_MAX)
        .map(valid)
        .collect();
    if name.bytes().all(|b| b == b'_') {
        return default.to_owned();
    }
    name
}
