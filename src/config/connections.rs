//! `[connections]`: limits on the number, the age and the silence of senders' connections.

use serde::Deserialize;
use weir_ingest::{AgentSourceOptions, ConnectionLimits, TcpOptions};
use weir_schema::PlaceLimits;

use super::HumanDuration;

/// Default number of HTTP connections.
const HTTP_CONNECTIONS_MAX: usize = 1_024;

/// Limits of connections. Each listener has its own connections.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ConnectionsConfig {
    /// Most connections of each of syslog over TCP, TLS and RELP; default 1024.
    pub max: usize,
    /// Share of one address (or IPv6 /64) while all connections are taken; default a quarter.
    pub per_peer_max: Option<usize>,
    /// Share of one IPv4 /24 or IPv6 /48 while all connections are taken; default half.
    pub per_network_max: Option<usize>,
    /// Most connections of agents; default 256.
    pub agents_max: usize,
    /// As `per_peer_max`, for agents; default a quarter of `agents_max`.
    pub agents_per_peer_max: Option<usize>,
    /// As `per_network_max`, for agents; default half of `agents_max`.
    pub agents_per_network_max: Option<usize>,
    /// Most HTTP connections; default 1024.
    pub http_max: usize,
    /// As `per_peer_max`, for HTTP; default a quarter of `http_max`.
    pub http_per_peer_max: Option<usize>,
    /// As `per_network_max`, for HTTP; default half of `http_max`.
    pub http_per_network_max: Option<usize>,
    /// Longest TLS handshake; default `10s`.
    pub handshake: HumanDuration,
    /// Longest wait for the first byte, the RELP session, or the hello of an agent; default `10s`.
    pub first_byte: HumanDuration,
    /// Longest time from the first byte of a frame to its last; default `60s`, `0s` is no limit.
    pub frame_age_max: HumanDuration,
    /// Longest silence of a syslog connection; default `10m`, `0s` is no limit.
    pub idle: HumanDuration,
    /// Longest silence of an agent's connection; default `10m`, `0s` is no limit.
    pub agents_idle: HumanDuration,
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
        let agents = AgentSourceOptions::default();
        let human = |time: std::time::Duration| {
            let nanoseconds = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
            HumanDuration(weir_schema::Span(nanoseconds))
        };
        Self {
            max: connections.places.places_max,
            per_peer_max: None,
            per_network_max: None,
            agents_max: agents.connections.places.places_max,
            agents_per_peer_max: None,
            agents_per_network_max: None,
            http_max: HTTP_CONNECTIONS_MAX,
            http_per_peer_max: None,
            http_per_network_max: None,
            handshake: human(connections.handshake_timeout),
            first_byte: human(first_byte_timeout),
            frame_age_max: human(frame_age_max.unwrap_or_default()),
            idle: human(idle_timeout.unwrap_or_default()),
            agents_idle: human(agents.idle_timeout.unwrap_or_default()),
        }
    }
}

/// The keys of one kind of listener, and their values.
struct PlaceKeys {
    prefix: &'static str,
    max: usize,
    per_peer_max: Option<usize>,
    per_network_max: Option<usize>,
}

impl PlaceKeys {
    fn limits(&self) -> PlaceLimits {
        let default = PlaceLimits::with_default_shares(self.max);
        PlaceLimits {
            per_peer_max: self.per_peer_max.unwrap_or(default.per_peer_max),
            per_network_max: self.per_network_max.unwrap_or(default.per_network_max),
            ..default
        }
    }

    fn problems(&self, problems: &mut Vec<String>) {
        let (prefix, max) = (self.prefix, self.max);
        // Far above the number of files that most systems let a process open by default.
        if !(1..=65_536).contains(&max) {
            problems.push(format!("connections.{prefix}max: must be 1 to 65536"));
            return;
        }
        let shares = [
            ("per_peer_max", self.per_peer_max),
            ("per_network_max", self.per_network_max),
        ];
        for (key, share) in shares {
            if share.is_some_and(|share| !(1..=max).contains(&share)) {
                problems.push(format!(
                    "connections.{prefix}{key}: must be 1 to {max}, the value of \
                     connections.{prefix}max"
                ));
            }
        }
    }
}

impl ConnectionsConfig {
    /// All problems of the values.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for keys in [self.syslog(), self.agents(), self.http()] {
            keys.problems(&mut problems);
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

    /// The same limits with a part of the connections, where that is at least `connections_min`.
    pub fn shrunk(&self, part: f64, connections_min: usize) -> Self {
        let shrink = |keys: PlaceKeys| {
            let places_max = (keys.max as f64 * part) as usize;
            keys.limits()
                .shrunk_to(places_max.max(connections_min).min(keys.max))
        };
        let (syslog, agents) = (shrink(self.syslog()), shrink(self.agents()));
        let http = shrink(self.http());
        Self {
            max: syslog.places_max,
            per_peer_max: Some(syslog.per_peer_max),
            per_network_max: Some(syslog.per_network_max),
            agents_max: agents.places_max,
            agents_per_peer_max: Some(agents.per_peer_max),
            agents_per_network_max: Some(agents.per_network_max),
            http_max: http.places_max,
            http_per_peer_max: Some(http.per_peer_max),
            http_per_network_max: Some(http.per_network_max),
            ..self.clone()
        }
    }

    fn syslog(&self) -> PlaceKeys {
        PlaceKeys {
            prefix: "",
            max: self.max,
            per_peer_max: self.per_peer_max,
            per_network_max: self.per_network_max,
        }
    }

    fn agents(&self) -> PlaceKeys {
        PlaceKeys {
            prefix: "agents_",
            max: self.agents_max,
            per_peer_max: self.agents_per_peer_max,
            per_network_max: self.agents_per_network_max,
        }
    }

    fn http(&self) -> PlaceKeys {
        PlaceKeys {
            prefix: "http_",
            max: self.http_max,
            per_peer_max: self.http_per_peer_max,
            per_network_max: self.http_per_network_max,
        }
    }

    /// The options of syslog over connections.
    pub fn syslog_options(&self) -> TcpOptions {
        TcpOptions {
            connections: ConnectionLimits {
                places: self.syslog().limits(),
                handshake_timeout: self.handshake.to_std(),
            },
            first_byte_timeout: self.first_byte.to_std(),
            frame_age_max: limit(self.frame_age_max),
            idle_timeout: limit(self.idle),
            ..TcpOptions::default()
        }
    }

    /// The options of the agent protocol.
    pub fn agent_options(&self) -> AgentSourceOptions {
        AgentSourceOptions {
            connections: ConnectionLimits {
                places: self.agents().limits(),
                handshake_timeout: self.handshake.to_std(),
            },
            hello_timeout: self.first_byte.to_std(),
            idle_timeout: limit(self.agents_idle),
            ..AgentSourceOptions::default()
        }
    }

    /// The limits of HTTP.
    pub fn http_limits(&self) -> PlaceLimits {
        self.http().limits()
    }
}

/// A time limit; zero is none.
fn limit(time: HumanDuration) -> Option<std::time::Duration> {
    Some(time.to_std()).filter(|time| !time.is_zero())
}
