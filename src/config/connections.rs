//! `[connections]`: limits on the number, the age and the silence of senders' connections.

use serde::Deserialize;
use weir_ingest::{AgentSourceOptions, ConnectionLimits, TcpOptions};

use super::HumanDuration;

/// Limits of connections, for each of syslog over TCP, TLS and RELP.
///
/// Agents use only `per_peer_max` and `handshake`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionsConfig {
    /// Most connections; further ones are closed at once and counted. Default 1024.
    pub max: usize,
    /// Most connections from one address, or from one IPv6 network of 64 bits; default 256.
    pub per_peer_max: usize,
    /// Longest TLS handshake; default `10s`.
    pub handshake: HumanDuration,
    /// Longest wait for the first byte, or over RELP for the opened session; default `60s`.
    pub first_byte: HumanDuration,
    /// Longest time from the first byte of a frame to its last; default `60s`, `0s` is no limit.
    pub frame_age_max: HumanDuration,
    /// Longest silence before a connection is closed; default `0s`: it is never closed.
    pub idle: HumanDuration,
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
        let human = |time: std::time::Duration| {
            let nanoseconds = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
            HumanDuration(weir_schema::Span(nanoseconds))
        };
        Self {
            max: connections.connections_max,
            per_peer_max: connections.per_peer_max,
            handshake: human(connections.handshake_timeout),
            first_byte: human(first_byte_timeout),
            frame_age_max: human(frame_age_max.unwrap_or_default()),
            idle: human(idle_timeout.unwrap_or_default()),
        }
    }
}

impl ConnectionsConfig {
    /// All problems of the values.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        // Far above the number of files that most systems let a process open by default.
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
            handshake_timeout: self.handshake.to_std(),
        }
    }

    /// The options of syslog over connections.
    pub fn syslog_options(&self) -> TcpOptions {
        let limit = |time: HumanDuration| Some(time.to_std()).filter(|time| !time.is_zero());
        TcpOptions {
            connections: self.limits(),
            first_byte_timeout: self.first_byte.to_std(),
            frame_age_max: limit(self.frame_age_max),
            idle_timeout: limit(self.idle),
            ..TcpOptions::default()
        }
    }

    /// The options of the agent protocol.
    pub fn agent_options(&self) -> AgentSourceOptions {
        let default = AgentSourceOptions::default();
        AgentSourceOptions {
            connections: ConnectionLimits {
                connections_max: default.connections.connections_max,
                ..self.limits()
            },
            ..default
        }
    }
}
