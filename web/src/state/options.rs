//! The options of the HTTP server, and the token that protects it.

use std::time::Duration;

use subtle::ConstantTimeEq;
use weir_schema::PlaceLimits;

/// HTTP may use two cores; the graph needs the others.
pub(crate) const WORKERS_MAX: usize = 2;
/// Time after which the kernel closes a connection whose peer reads nothing.
///
/// This frees everything that the connection uses: the slot of a stream, its tap, its answer, and its
/// place in the limits.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections of the HTTP listener.
const CONNECTIONS_MAX: usize = 1_024;
/// A longer token is refused unread.
const TOKEN_BYTES_MAX: usize = 512;

/// The token that protects the API, stored only as a hash.
#[derive(Clone)]
pub struct ApiToken(blake3::Hash);

impl ApiToken {
    /// The token with this text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(blake3::hash(text.as_bytes()))
    }

    /// Compares in constant time, which reveals nothing about the token.
    pub(crate) fn matches(&self, presented: &[u8]) -> bool {
        presented.len() <= TOKEN_BYTES_MAX
            && bool::from(blake3::hash(presented).as_bytes().ct_eq(self.0.as_bytes()))
    }
}

/// The options of the HTTP server.
#[derive(Clone)]
pub struct WebOptions {
    pub token: ApiToken,
    /// Tenant of events received over HTTP.
    pub tenant: String,
    /// Worker threads, 1 or 2.
    pub workers: usize,
    /// Maximum number of open alert streams. Each costs a connection and one chunk.
    pub streams_max: usize,
    /// Maximum silence of a stream, after which it sends a heartbeat.
    pub heartbeat: Duration,
    /// Time after which a connection whose peer reads nothing is closed.
    pub stall_timeout: Duration,
    /// Maximum number of connections, and the shares of addresses and networks in them.
    pub connections: PlaceLimits,
    /// Certificate and key of HTTPS; `None`: plain HTTP.
    pub tls: Option<rustls::ServerConfig>,
}

impl WebOptions {
    /// The default options with `token`.
    #[must_use]
    pub fn new(token: ApiToken) -> Self {
        Self {
            token,
            tenant: "default".into(),
            workers: WORKERS_MAX,
            streams_max: 64,
            heartbeat: Duration::from_secs(15),
            stall_timeout: STALL_TIMEOUT,
            connections: PlaceLimits::with_default_shares(CONNECTIONS_MAX),
            tls: None,
        }
    }
}
