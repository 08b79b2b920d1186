//! `[connections]`: how many connections senders may hold, and how long they may leave things unfinished.

use serde::Deserialize;
use weir_ingest::{AgentOptions, ConnectionLimits, TcpOptions};

use super::Duration;

/// Limits of syslog over TCP, TLS and RELP, each on its own; agents have `per_peer_max` and
/// `handshake` of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionsConfig {
    /// Connections beyond it are closed at once and counted; default 1024.
    pub max: usize,
    /// As many of one address, or of one IPv6 network of 64 bits; default 256.
    pub per_peer_max: usize,
    /// A handshake of TLS must be done within it; default `10s`.
    pub handshake: Duration,
    /// The first byte must come within it, or over RELP the session be opened; default `60s`.
    pub first_byte: Duration,
    /// A frame must be whole so long after its first byte; default `60s`, `0s` for ever.
    pub frame_age_max: Duration,
    /// A connection silent for so long is closed; default `0s`: never.
    pub idle: Duration,
}

impl Default for ConnectionsConfig {
    fn default() -> Self {
        let TcpOptions {
            connections,
            first_byte_timeout,
            frame_age_max,
            idle_timeout,
            ..
        } = TcpOptions::default();
        let of = |time: std::time::Duration| {
            let nanoseconds = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
            Duration(weir_schema::Span(nanoseconds))
        };
        Self {
            max: connections.connections_max,
            per_peer_max: connections.per_peer_max,
            handshake: of(connections.handshake_timeout),
            first_byte: of(first_byte_timeout),
            frame_age_max: of(frame_age_max.unwrap_or_default()),
            idle: of(idle_timeout.unwrap_or_default()),
        }
    }
}

impl ConnectionsConfig {
    /// What is wrong with the values.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        // More than a process may open by the default of most systems, with others' room left.
        for (key, value) in [("max", self.max), ("per_peer_max", self.per_peer_max)] {
            if !(1..=65_536).contains(&value) {
                problems.push(format!("connections.{key}: must be 1 to 65536"));
            }
        }
        for (key, value) in [
            ("handshake", self.handshake),
            ("first_byte", self.first_byte),
        ] {
            if value.0.0 <= 0 {
                problems.push(format!("connections.{key}: must be more than 0s"));
            }
        }
        problems
    }

    fn limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            connections_max: self.max,
            per_peer_max: self.per_peer_max,
            handshake_timeout: self.handshake.std(),
        }
    }

    /// Of syslog over connections.
    pub fn of_syslog(&self) -> TcpOptions {
        let some = |time: Duration| Some(time.std()).filter(|time| !time.is_zero());
        TcpOptions {
            connections: self.limits(),
            first_byte_timeout: self.first_byte.std(),
            frame_age_max: some(self.frame_age_max),
            idle_timeout: some(self.idle),
            ..TcpOptions::default()
        }
    }

    /// Of agents.
    pub fn of_agents(&self) -> AgentOptions {
        let default = AgentOptions::default();
        AgentOptions {
            connections: ConnectionLimits {
                connections_max: default.connections.connections_max,
                ..self.limits()
            },
            ..default
        }
    }
}
