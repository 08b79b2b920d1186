//! The configuration: one TOML file, every field documented here, unknown keys refused, all problems told together.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use serde::Deserialize;
use weir_ingest::{Source, SourceTable};
use weir_parse::{Zone, parse_logsource};
use weir_schema::{Format, Span, TimeBounds, Transport};

mod cluster;
mod listen;
mod respond;
mod self_alerts;
mod tls;

pub use cluster::ClusterConfig;
pub use listen::ConnectionsConfig;
pub use respond::{SinkConfig, problems as sink_problems};
pub use self_alerts::SelfAlertsConfig;
pub use tls::{ClientCertificates, TlsConfig};

/// Everything that can be configured; a file need not have any of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder of journal, ledger and token; default `weir-data`.
    pub data_dir: Option<PathBuf>,
    pub listen: Listen,
    pub connections: ConnectionsConfig,
    pub tls: TlsConfig,
    pub journal: JournalConfig,
    pub time: TimeConfig,
    pub graph: GraphConfig,
    pub cluster: ClusterConfig,
    pub rules: RulesConfig,
    pub detection: DetectionConfig,
    pub self_alerts: SelfAlertsConfig,
    /// Who sends what; asked in the order given, the first that claims a sender has it.
    pub source: Vec<SourceConfig>,
    /// Who is told of alerts.
    pub sink: Vec<SinkConfig>,
}

/// Addresses to listen on; `"off"` closes a door. All are on loopback unless told otherwise.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Listen {
    /// Syslog over UDP; default `127.0.0.1:5514`.
    pub syslog_udp: Door,
    /// Syslog over TCP; default `127.0.0.1:5514`.
    pub syslog_tcp: Door,
    /// Syslog over TLS; default `127.0.0.1:6514` where `tls.certificate` is given, else `off`.
    pub syslog_tls: Option<Door>,
    /// Syslog over RELP; default `off`.
    pub relp: Door,
    /// The agent protocol; default `127.0.0.1:7514`.
    pub agent: Door,
    /// API, streams and metrics; default `127.0.0.1:8514`.
    pub http: Door,
}

impl Default for Listen {
    fn default() -> Self {
        let local = |port| Door(Some(SocketAddr::from(([127, 0, 0, 1], port))));
        Self {
            syslog_udp: local(5514),
            syslog_tcp: local(5514),
            syslog_tls: None,
            relp: Door(None),
            agent: local(7514),
            http: local(8514),
        }
    }
}

/// An address to listen on, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door(pub Option<SocketAddr>);

impl std::str::FromStr for Door {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.parse()
            .map(|address| Self(Some(address)))
            .map_err(|_| format!("`{text}` is no address; write `127.0.0.1:5514`, or `off`"))
    }
}

impl<'de> Deserialize<'de> for Door {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// How the journal is written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JournalConfig {
    /// A segment file that has grown past it is closed; default 64 (MiB).
    pub segment_mib: u64,
    /// Commits are no closer than this unless enough events wait; default `5ms`.
    pub commit_delay: Duration,
    /// An epoch is sealed when it holds so many events; default 10000.
    pub epoch_events_max: usize,
    /// Seals are no closer than this unless the epoch is full; default `20ms`.
    pub epoch_delay: Duration,
    /// Whether an acknowledgement waits for the disk; default true. Off, a power cut loses events.
    pub fsync: bool,
}

impl Default for JournalConfig {
    fn default() -> Self {
        Self {
            segment_mib: 64,
            commit_delay: Duration(Span(5_000_000)),
            epoch_events_max: 10_000,
            epoch_delay: Duration(Span(20_000_000)),
            fsync: true,
        }
    }
}

/// How event time is bounded; see `docs/ARCHITECTURE.md`, "Time".
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TimeConfig {
    /// The watermark runs this far behind the greatest event time of a source; default `60s`.
    pub lateness: Duration,
    /// How far behind the watermark an event may still correct; default `24h`.
    pub horizon: Duration,
    /// A source unheard for so long stops holding the watermark; default `5m`.
    pub idle: Duration,
    /// An event time so far beyond its receipt enters no correlation; default `5m`.
    pub future_tolerance: Duration,
    /// A source so far behind the furthest stops holding the watermark; default `1h`.
    pub lag_max: Duration,
}

impl Default for TimeConfig {
    fn default() -> Self {
        let bounds = TimeBounds::default();
        Self {
            lateness: Duration(bounds.lateness),
            horizon: Duration(bounds.horizon.unwrap_or(Span::seconds(24 * 3600))),
            idle: Duration(bounds.idle),
            future_tolerance: Duration(bounds.future_tolerance),
            lag_max: Duration(bounds.lag_max),
        }
    }
}

/// How the graph is run.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GraphConfig {
    /// Timely workers, each a thread of its own; default 1. Results do not depend on it.
    pub workers: usize,
}

impl Default for GraphConfig {
    fn default() -> Self {
        Self { workers: 1 }
    }
}

/// Which rules run from the start.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// The rules that come with Weir; default true.
    pub builtin: bool,
    /// Files, or folders of `*.yml` and `*.yaml`, read at start and followed while it runs.
    pub paths: Vec<PathBuf>,
}

impl Default for RulesConfig {
    fn default() -> Self {
        Self {
            builtin: true,
            paths: Vec::new(),
        }
    }
}

/// What rules are told of the place in which they run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DetectionConfig {
    /// Values of what rules write as `%name%`: numbers, and texts with wildcards; default none.
    pub placeholders: weir_detect::Placeholders,
    /// Files that map log sources, beside those that come with Weir; default none.
    pub log_sources: Vec<PathBuf>,
}

/// Senders that belong together: one source, one tenant, one clock.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    pub name: String,
    /// Default `default`.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// `udp`, `tcp`, `tls`, `relp`, `agent` or `http`. Over HTTP the request names its source, as `?source=NAME`.
    pub transport: String,
    /// Networks of the senders, as `10.1.0.0/16`; none: all senders of the transport. Not for `http`.
    #[serde(default)]
    pub peers: Vec<IpNet>,
    /// A name that the sender's certificate must have, as `web1.example.com` or `*.example.com`;
    /// default none is needed. For `tls` and `relp`.
    pub certificate: Option<String>,
    /// IANA name of the zone of times that have none, as `Europe/Berlin`; default UTC.
    pub zone: Option<String>,
    /// `syslog`, `json` or `auto`; default `auto`. Agents have a format of their own.
    pub format: Option<String>,
    /// `category=C,product=P,service=S` of events whose format does not say.
    pub logsource: Option<String>,
}

fn default_tenant() -> String {
    "default".to_owned()
}

/// A length of time as people write it: `500ms`, `60s`, `5m`, `24h`, `7d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub Span);

impl Duration {
    pub fn std(self) -> std::time::Duration {
        std::time::Duration::from_nanos(u64::try_from(self.0.0).unwrap_or(0))
    }
}

impl std::str::FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Span::parse(text).map(Self).ok_or_else(|| {
            format!("`{text}` is no length of time; write `500ms`, `60s`, `5m`, `24h` or `7d`")
        })
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Why a configuration cannot be used: every problem found, each with what to do.
#[derive(Debug, thiserror::Error)]
#[error("{} has problems:\n  {}", .file.display(), .problems.join("\n  "))]
pub struct BadConfig {
    pub file: PathBuf,
    pub problems: Vec<String>,
}

/// The largest configuration file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

impl Config {
    /// Reads `file`, lets `WEIR__SECTION__KEY` of the environment override it, and checks all of it.
    pub fn load(file: Option<&Path>) -> Result<Self, BadConfig> {
        let shown = file.unwrap_or(Path::new("the environment"));
        let bad = |problems| BadConfig {
            file: shown.to_owned(),
            problems,
        };
        let text = match file {
            Some(file) => read(file).map_err(|problem| bad(vec![problem]))?,
            None => String::new(),
        };
        let mut table: toml::Table = text
            .parse()
            .map_err(|error: toml::de::Error| bad(vec![error.to_string().trim_end().to_owned()]))?;
        // With its place where the file alone is wrong, before the environment is laid over it.
        if let Err(error) = toml::from_str::<Self>(&text) {
            return Err(bad(vec![error.to_string().trim_end().to_owned()]));
        }
        overlay(&mut table, std::env::vars());
        let config: Self = table
            .try_into()
            .map_err(|error: toml::de::Error| bad(vec![format!("{error}")]))?;
        let problems = config.problems();
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(bad(problems))
        }
    }

    /// What is wrong with the values, all of it.
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !(1..=64).contains(&self.graph.workers) {
            problems.push("graph.workers: must be 1 to 64".to_owned());
        }
        problems.extend(self.cluster.problems());
        problems.extend(self.connections.problems());
        problems.extend(self.tls.problems());
        if self.tls.certificate.is_none() && self.listen.syslog_tls.is_some_and(|d| d.0.is_some()) {
            problems.push("listen.syslog_tls: needs tls.certificate and tls.key".to_owned());
        }
        if !(1..=4096).contains(&self.journal.segment_mib) {
            problems.push("journal.segment_mib: must be 1 to 4096".to_owned());
        }
        if !(1..=60_000).contains(&self.journal.epoch_events_max) {
            problems.push("journal.epoch_events_max: must be 1 to 60000".to_owned());
        }
        let detection = weir_detect::Settings {
            placeholders: self.detection.placeholders.clone(),
            log_sources: Vec::new(),
        };
        if let Err(problem) = detection.check() {
            problems.push(format!("detection.placeholders: {problem}"));
        }
        problems.extend(sink_problems(&self.sink));
        for (place, source) in self.source.iter().enumerate() {
            let mut say = |what: String| {
                problems.push(format!("source {} ({}): {what}", place + 1, source.name))
            };
            if source.name.is_empty() {
                say("name: must not be empty".to_owned());
            }
            if transport(&source.transport).is_none() {
                say(format!(
                    "transport: `{}` is not udp, tcp, tls, relp, agent or http",
                    source.transport
                ));
            }
            if source.transport == "http" && !source.peers.is_empty() {
                say("peers: a source of `http` is told by its name, not by its senders".to_owned());
            }
            if source.certificate.is_some() && !matches!(&*source.transport, "tls" | "relp") {
                say("certificate: only senders over `tls` and `relp` show one".to_owned());
            }
            if source
                .format
                .as_deref()
                .is_some_and(|name| format(name).is_none())
            {
                say("format: must be syslog, json or auto".to_owned());
            }
            if let Some(zone) = source
                .zone
                .as_deref()
                .filter(|zone| Zone::parse(zone).is_none())
            {
                say(format!(
                    "zone: `{zone}` is no IANA time zone; write `Europe/Berlin`"
                ));
            }
            if let Some(Err(error)) = source.logsource.as_deref().map(parse_logsource) {
                say(format!("logsource: {error}"));
            }
        }
        problems
    }

    /// Where syslog over TLS is listened for.
    pub fn syslog_tls(&self) -> Option<SocketAddr> {
        let default = || Door(Some(SocketAddr::from(([127, 0, 0, 1], 6514))));
        self.tls.certificate.as_ref()?;
        self.listen.syslog_tls.unwrap_or_else(default).0
    }

    /// How event time is bounded.
    pub fn bounds(&self) -> TimeBounds {
        TimeBounds {
            lateness: self.time.lateness.0,
            horizon: Some(self.time.horizon.0),
            idle: self.time.idle.0,
            future_tolerance: self.time.future_tolerance.0,
            lag_max: self.time.lag_max.0,
            live: true,
        }
    }

    /// What is said of the source `name` of events over HTTP.
    pub fn http_source(&self, name: &str) -> Option<&SourceConfig> {
        let mut sources = self.source.iter();
        sources.find(|source| source.transport == "http" && source.name == name)
    }

    /// Who sends what.
    pub fn sources(&self) -> SourceTable {
        let source = |config: &SourceConfig| {
            let transport = transport(&config.transport)?;
            let named = config.format.as_deref().and_then(format);
            Some(Source {
                name: config.name.clone(),
                tenant: config.tenant.clone(),
                transport,
                peers: config.peers.clone(),
                certificate: config.certificate.clone(),
                zone: config.zone.clone(),
                format: match transport {
                    Transport::Agent => Format::Agent,
                    _ => named.unwrap_or(Format::Auto),
                },
                logsource: config.logsource.clone(),
            })
        };
        SourceTable::new(self.source.iter().filter_map(source).collect())
    }
}

fn transport(name: &str) -> Option<Transport> {
    match name {
        "udp" => Some(Transport::Udp),
        "tcp" => Some(Transport::Tcp),
        "tls" => Some(Transport::Tls),
        "relp" => Some(Transport::Relp),
        "agent" => Some(Transport::Agent),
        "http" => Some(Transport::Http),
        _ => None,
    }
}

fn format(name: &str) -> Option<Format> {
    match name {
        "syslog" => Some(Format::Syslog),
        "json" => Some(Format::Json),
        "auto" => Some(Format::Auto),
        _ => None,
    }
}

fn read(file: &Path) -> Result<String, String> {
    let size = std::fs::metadata(file).map(|metadata| metadata.len());
    match size {
        Ok(size) if size > FILE_BYTES_MAX => Err("is larger than 1 MiB".to_owned()),
        Ok(_) => std::fs::read_to_string(file).map_err(|error| format!("cannot be read: {error}")),
        Err(error) => Err(format!("cannot be read: {error}")),
    }
}

/// Lays `WEIR__SECTION__KEY=value` over the table; a value that is no TOML is text.
fn overlay(table: &mut toml::Table, variables: impl Iterator<Item = (String, String)>) {
    for (name, value) in variables {
        let Some(path) = name.strip_prefix("WEIR__") else {
            continue;
        };
        let keys: Vec<String> = path.split("__").map(str::to_lowercase).collect();
        let parsed = format!("value = {value}").parse::<toml::Table>();
        let parsed = parsed.ok().and_then(|mut table| table.remove("value"));
        lay(table, &keys, parsed.unwrap_or(toml::Value::String(value)));
    }
}

fn lay(table: &mut toml::Table, keys: &[String], value: toml::Value) {
    let Some((key, rest)) = keys.split_first() else {
        return;
    };
    if rest.is_empty() {
        table.insert(key.clone(), value);
        return;
    }
    let inner = table
        .entry(key.clone())
        .or_insert_with(|| toml::Value::Table(toml::Table::new()));
    if let toml::Value::Table(inner) = inner {
        lay(inner, rest, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("it can be written");
        match Config::load(Some(file.path())) {
            Ok(_) => Vec::new(),
            Err(bad) => bad.problems,
        }
    }

    #[test]
    fn an_empty_file_is_a_configuration() {
        assert!(problems("").is_empty());
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let problems = problems("[journal]\nsegment_mb = 3\n");
        assert!(problems[0].contains("line 2"), "{problems:?}");
        assert!(problems[0].contains("segment_mib"), "{problems:?}");
    }

    #[test]
    fn all_problems_are_told_together() {
        let text = "[graph]\nworkers = 0\n[[source]]\nname = \"a\"\ntransport = \"dtls\"\nzone = \"Mars\"\n";
        assert_eq!(problems(text).len(), 3);
    }

    #[test]
    fn tls_is_told_whole_or_not_at_all() {
        let pair = "[tls]\ncertificate = \"a.crt\"\nkey = \"a.key\"\n";
        for (text, expected) in [
            (pair, 0),
            ("[tls]\ncertificate = \"a.crt\"\n", 1),
            ("[tls]\nkey = \"a.key\"\n", 1),
            (
                "[tls]\nrelp = true\nagent = true\nhttp = true\nclient_ca = \"ca\"\n",
                4,
            ),
            ("[listen]\nsyslog_tls = \"127.0.0.1:6514\"\n", 1),
            ("[tls]\nclient_certificates = \"maybe\"\n", 1),
            // It would be asked for by nobody.
            ("[tls]\nclient_certificates = \"required\"\n", 1),
            (
                "[connections]\nmax = 0\nper_peer_max = 70000\nhandshake = \"0s\"\n",
                3,
            ),
            (
                "[[source]]\nname = \"a\"\ntransport = \"tcp\"\ncertificate = \"a\"\n",
                1,
            ),
        ] {
            let found = problems(text);
            assert_eq!(found.len(), expected, "{text}: {found:?}");
        }
        let with = |more: &str| toml::from_str::<Config>(&format!("{pair}{more}")).expect("TOML");
        let address = |config: &Config| config.syslog_tls().map(|at| at.port());
        assert_eq!(address(&with("")), Some(6514));
        assert_eq!(address(&with("[listen]\nsyslog_tls = \"off\"\n")), None);
        assert_eq!(address(&Config::default()), None);
    }

    #[test]
    fn placeholders_are_lists_of_texts_and_numbers() {
        let text = "[detection.placeholders]\nAdmins = [\"root\", \"admin*\", 5]\n";
        assert!(problems(text).is_empty(), "{:?}", problems(text));
        for bad in [
            "Admins = []",
            "\"A B\" = [\"x\"]",
            "Admins = [1.5]",
            "Admins = \"x\"",
        ] {
            let text = format!("[detection.placeholders]\n{bad}\n");
            assert_eq!(problems(&text).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_source_over_http_is_told_by_its_name() {
        let text =
            "[[source]]\nname = \"billing\"\ntransport = \"http\"\npeers = [\"10.0.0.0/8\"]\n";
        assert!(problems(text)[0].contains("peers"), "{:?}", problems(text));
        let text = "[[source]]\nname = \"billing\"\ntenant = \"acme\"\ntransport = \"http\"\n";
        let config: Config = toml::from_str(text).expect("a configuration");
        assert_eq!(
            config.http_source("billing").map(|s| &*s.tenant),
            Some("acme")
        );
        assert!(config.http_source("other").is_none());
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let mut table: toml::Table = "[graph]\nworkers = 1\n".parse().expect("TOML");
        let variables = [
            ("WEIR__GRAPH__WORKERS".to_owned(), "3".to_owned()),
            ("WEIR__TIME__HORIZON".to_owned(), "2h".to_owned()),
        ];
        overlay(&mut table, variables.into_iter());
        let config: Config = table.try_into().expect("a configuration");
        assert_eq!(config.graph.workers, 3);
        assert_eq!(config.time.horizon.0, Span::seconds(7200));
    }
}
