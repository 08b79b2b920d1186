//! `[listen]`: the addresses that the server listens on.

use std::net::SocketAddr;

use serde::Deserialize;

/// Addresses to listen on; `"off"` disables a listener. By default all are loopback addresses.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ListenConfig {
    /// Syslog over UDP; default `127.0.0.1:5514`.
    pub syslog_udp: ListenAddress,
    /// Syslog over TCP; default `127.0.0.1:5514`.
    pub syslog_tcp: ListenAddress,
    /// Syslog over TLS; default `127.0.0.1:6514` with a `tls.certificate`, else `off`.
    pub syslog_tls: Option<ListenAddress>,
    /// Syslog over RELP; default `off`.
    pub relp: ListenAddress,
    /// The agent protocol; default `127.0.0.1:7514`.
    pub agent: ListenAddress,
    /// API, streams and metrics; default `127.0.0.1:8514`.
    pub http: ListenAddress,
    /// Health and metrics alone, with connections and a thread of their own; default `off`.
    pub health: ListenAddress,
}

impl Default for ListenConfig {
    fn default() -> Self {
        let local = |port| ListenAddress(Some(SocketAddr::from(([127, 0, 0, 1], port))));
        Self {
            syslog_udp: local(5514),
            syslog_tcp: local(5514),
            syslog_tls: None,
            relp: ListenAddress(None),
            agent: local(7514),
            http: local(8514),
            health: ListenAddress(None),
        }
    }
}

/// An address to listen on; `None` is `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenAddress(pub Option<SocketAddr>);

impl std::str::FromStr for ListenAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|address| Self(Some(address)))
            .map_err(|_| format!("`{text}` is not an address; write `127.0.0.1:5514`, or `off`"))
    }
}

impl<'de> Deserialize<'de> for ListenAddress {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}
