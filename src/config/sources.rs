//! `[[source]]`: the senders of events, each with its tenant, time zone and format.

use ipnet::IpNet;
use serde::Deserialize;
use weir_ingest::SourceDefinition;
use weir_parse::{Zone, parse_logsource};
use weir_schema::{Format, Transport};

/// Senders that belong together: one source, one tenant, one clock.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    pub name: String,
    /// Default `default`.
    #[serde(default = "default_tenant")]
    pub tenant: String,
    /// `udp`, `tcp`, `tls`, `relp`, `agent` or `http`. Over HTTP the request names its source:
    /// `?source=NAME`.
    pub transport: String,
    /// Networks of the senders, such as `10.1.0.0/16`; none matches all senders of the transport.
    /// Not for `http`.
    #[serde(default)]
    pub peers: Vec<IpNet>,
    /// A name that the sender's certificate must have, such as `web1.example.com` or
    /// `*.example.com`; default none is needed. For `tls` and `relp`.
    pub certificate: Option<String>,
    /// IANA name of the zone of times without one, such as `Europe/Berlin`; default UTC.
    pub zone: Option<String>,
    /// `syslog`, `json` or `auto`; default `auto`. Agents have a format of their own.
    pub format: Option<String>,
    /// `category=C,product=P,service=S` of events whose format states none.
    pub logsource: Option<String>,
    /// Whether the source holds the watermark from its first event on, for senders that are always
    /// late. Default `false`: it does so once its events have reached the watermark.
    #[serde(default)]
    pub holds_watermark: bool,
}

fn default_tenant() -> String {
    "default".to_owned()
}

/// All problems of the sources.
pub fn problems(sources: &[SourceConfig]) -> Vec<String> {
    let mut problems = Vec::new();
    for (place, source) in (1..).zip(sources) {
        let name = &source.name;
        let found = source.problems().into_iter();
        problems.extend(found.map(|problem| format!("source {place} ({name}): {problem}")));
    }
    problems
}

impl SourceConfig {
    fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut report = |problem: String| problems.push(problem);
        if self.name.is_empty() {
            report("name: must not be empty".to_owned());
        }
        if transport(&self.transport).is_none() {
            report(format!(
                "transport: `{}` is not udp, tcp, tls, relp, agent or http",
                self.transport
            ));
        }
        if self.transport == "http" && !self.peers.is_empty() {
            report("peers: `http` finds its source by name, not by its senders".to_owned());
        }
        if self.certificate.is_some() && !matches!(&*self.transport, "tls" | "relp") {
            report("certificate: only senders over `tls` and `relp` present one".to_owned());
        }
        let named = self.format.as_deref();
        if named.is_some_and(|name| format_of(name).is_none()) {
            report("format: must be syslog, json or auto".to_owned());
        }
        let zone = self.zone.as_deref();
        if let Some(zone) = zone.filter(|zone| Zone::parse(zone).is_none()) {
            report(format!(
                "zone: `{zone}` is not an IANA time zone; write `Europe/Berlin`"
            ));
        }
        if let Some(Err(error)) = self.logsource.as_deref().map(parse_logsource) {
            report(format!("logsource: {error}"));
        }
        problems
    }

    /// The source as listeners use it; `None` if the transport is unknown.
    pub(super) fn definition(&self) -> Option<SourceDefinition> {
        let transport = transport(&self.transport)?;
        let named = self.format.as_deref().and_then(format_of);
        Some(SourceDefinition {
            name: self.name.clone(),
            tenant: self.tenant.clone(),
            transport,
            peers: self.peers.clone(),
            certificate: self.certificate.clone(),
            zone: self.zone.clone(),
            format: match transport {
                Transport::Agent => Format::Agent,
                _ => named.unwrap_or(Format::Auto),
            },
            logsource: self.logsource.clone(),
        })
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

fn format_of(name: &str) -> Option<Format> {
    match name {
        "syslog" => Some(Format::Syslog),
        "json" => Some(Format::Json),
        "auto" => Some(Format::Auto),
        _ => None,
    }
}
