//! The configuration: one TOML file in which every key is optional.
//!
//! Unknown keys are refused, and all problems are reported together. The doc comment of each field
//! is its manual.

mod listen;
pub use listen::{ListenAddress, ListenConfig};

mod connections;
pub use connections::ConnectionsConfig;

mod tls;
pub use tls::{ClientCertificates, TlsConfig};

mod journal;
pub use journal::JournalConfig;

mod time;
pub use time::{HumanDuration, TimeConfig};

mod graph;
pub use graph::GraphConfig;

mod quarantine;
pub use quarantine::QuarantineConfig;

mod liveness;
pub use liveness::LivenessConfig;

mod cluster;
pub use cluster::ClusterConfig;

mod rules;
pub use rules::{DetectionConfig, RulesConfig};

mod self_alerts;
pub use self_alerts::SelfAlertsConfig;

mod sources;
pub use sources::SourceConfig;

mod sinks;
pub use sinks::{SinkConfig, problems as sink_problems};

mod load;
pub use load::BadConfig;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::Deserialize;
use weir_ingest::SourceTable;
use weir_schema::{TimeBounds, WatermarkHolder};

/// Everything that can be configured.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of journal, ledger and token; default `weir-data`.
    pub data_dir: Option<PathBuf>,
    pub listen: ListenConfig,
    pub connections: ConnectionsConfig,
    pub tls: TlsConfig,
    pub journal: JournalConfig,
    pub time: TimeConfig,
    pub graph: GraphConfig,
    pub liveness: LivenessConfig,
    pub quarantine: QuarantineConfig,
    pub cluster: ClusterConfig,
    pub rules: RulesConfig,
    pub detection: DetectionConfig,
    pub self_alerts: SelfAlertsConfig,
    /// Sources of events. The first that matches a sender is used.
    pub source: Vec<SourceConfig>,
    /// Consumers of alerts.
    pub sink: Vec<SinkConfig>,
}

impl Config {
    /// All problems of the values.
    fn problems(&self) -> Vec<String> {
        let mut problems = self.graph.problems();
        problems.extend(self.liveness.problems());
        problems.extend(self.quarantine.problems());
        problems.extend(self.rules.problems());
        problems.extend(self.self_alerts.problems());
        problems.extend(self.cluster.problems());
        problems.extend(self.connections.problems());
        problems.extend(self.tls.problems());
        if self.tls.certificate.is_none() && self.listen.syslog_tls.is_some_and(|at| at.0.is_some())
        {
            problems.push("listen.syslog_tls: needs tls.certificate and tls.key".to_owned());
        }
        if self.listen.health.0.is_some() && self.listen.http.0.is_none() {
            problems.push("listen.health: needs listen.http".to_owned());
        }
        problems.extend(self.journal.problems());
        problems.extend(self.detection.problems());
        problems.extend(sink_problems(&self.sink));
        problems.extend(sources::problems(&self.source));
        problems
    }

    /// Warnings about listeners that other machines reach in plain text.
    ///
    /// Syslog over UDP is left out: it has no TLS.
    pub fn warnings(&self) -> Vec<String> {
        let (listen, tls) = (&self.listen, &self.tls);
        let listeners = [
            (
                "syslog_tcp",
                listen.syslog_tcp,
                false,
                "use listen.syslog_tls",
            ),
            ("relp", listen.relp, tls.relp, "set tls.relp"),
            ("agent", listen.agent, tls.agent, "set tls.agent"),
            ("http", listen.http, tls.http, "set tls.http"),
            ("health", listen.health, false, "use listen.http"),
        ];
        let plain = listeners
            .into_iter()
            .filter_map(|(key, at, is_tls, remedy)| {
                let at =
                    at.0.filter(|at| !is_tls && !at.ip().to_canonical().is_loopback())?;
                Some(format!(
                    "listen.{key}: {at} is open to other machines without TLS: logs and the token \
                 can be read on the way; {remedy}, or listen on loopback"
                ))
            });
        plain.collect()
    }

    /// The address for syslog over TLS; `None` if it is off or there is no certificate.
    pub fn syslog_tls(&self) -> Option<SocketAddr> {
        let default = || ListenAddress(Some(SocketAddr::from(([127, 0, 0, 1], 6514))));
        self.tls.certificate.as_ref()?;
        self.listen.syslog_tls.unwrap_or_else(default).0
    }

    /// The bounds of event time, as the journal stores them.
    pub fn bounds(&self) -> TimeBounds {
        self.time.bounds()
    }

    /// The source that a request over HTTP names.
    pub fn http_source(&self, name: &str) -> Option<&SourceConfig> {
        let mut sources = self.source.iter();
        sources.find(|source| source.transport == "http" && source.name == name)
    }

    /// The sources that hold the watermark from their first event on.
    #[must_use]
    pub fn watermark_holders(&self) -> Vec<WatermarkHolder> {
        let sources = self.source.iter().filter(|source| source.holds_watermark);
        let holder = |source: &SourceConfig| WatermarkHolder {
            tenant: source.tenant.clone(),
            source: source.name.clone(),
        };
        sources.map(holder).collect()
    }

    /// The table by which listeners find the source of a sender.
    pub fn sources(&self) -> SourceTable {
        let sources = self.source.iter();
        SourceTable::new(sources.filter_map(SourceConfig::definition).collect())
    }
}

#[cfg(test)]
mod tests;
