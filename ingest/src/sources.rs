//! Assigns senders to sources and tenants, by transport, address and certificate.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Mutex;

use ipnet::IpNet;
use weir_schema::{Batch, Delivery, Format, Frames, ReceiveTime, Transport};

use crate::certificate;

/// Most senders that get their own source without configuration. Further senders share one source, so
/// that an attacker with many addresses cannot create watermarks without limit.
pub const DEFAULT_SOURCES_MAX: usize = 10_000;

/// Tenant of senders that match no configured source.
pub const DEFAULT_TENANT: &str = "default";

/// A configured source: the senders that it matches, and how their frames are decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDefinition {
    pub name: String,
    pub tenant: String,
    pub transport: Transport,
    /// Networks of the senders; empty matches all senders of the transport.
    pub peers: Vec<IpNet>,
    /// Name that the sender's certificate must have, as `web1.example.com` or `*.example.com`; `None`
    /// needs no certificate.
    pub certificate: Option<String>,
    /// IANA name of the time zone of times without an offset.
    pub zone: Option<String>,
    pub format: Format,
    /// `category=C,product=P,service=S` of frames without a log source of their own.
    pub logsource: Option<String>,
}

/// The properties that all batches of a sender share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOrigin {
    pub tenant: String,
    pub source: String,
    pub transport: Transport,
    pub peer: Option<String>,
    pub zone: Option<String>,
    pub format: Format,
    pub logsource: Option<String>,
}

impl BatchOrigin {
    /// Creates a batch of this sender.
    #[must_use]
    pub fn batch(
        &self,
        received: ReceiveTime,
        delivery: Option<Delivery>,
        frames: Frames,
    ) -> Batch {
        Batch {
            tenant: self.tenant.clone(),
            source: self.source.clone(),
            transport: self.transport,
            format: self.format,
            peer: self.peer.clone(),
            zone: self.zone.clone(),
            logsource: self.logsource.clone(),
            received,
            delivery,
            frames,
        }
    }
}

/// The configured sources, and the known senders without one.
#[derive(Debug, Default)]
pub struct SourceTable {
    sources: Vec<SourceDefinition>,
    /// Names of the sources of senders without a configured source.
    default_names: Mutex<HashSet<String>>,
}

impl SourceTable {
    /// Creates the table. A sender belongs to the first source that matches it.
    #[must_use]
    pub fn new(sources: Vec<SourceDefinition>) -> Self {
        Self {
            sources,
            default_names: Mutex::default(),
        }
    }

    /// Returns the origin of the batches of `peer`. `agent` is its authenticated id, if it has one.
    ///
    /// A sender that matches no source becomes its own source, `tcp:10.0.0.7` or `agent:web1`, because a
    /// watermark follows one clock. After [`DEFAULT_SOURCES_MAX`] of them, new senders belong to
    /// `tcp:other` until a restart.
    #[must_use]
    pub fn resolve(&self, transport: Transport, peer: IpAddr, agent: Option<&str>) -> BatchOrigin {
        self.resolve_certified(transport, peer, agent, &[])
    }

    /// Like [`Self::resolve`], for a sender with a verified certificate for these `names`.
    ///
    /// If it matches no source, its source has the first of the names, `tls:web1.example.com`, for any
    /// address: a verified name is more reliable than an address or the text of a line. The address is
    /// kept as the peer.
    #[must_use]
    pub fn resolve_certified(
        &self,
        transport: Transport,
        peer: IpAddr,
        agent: Option<&str>,
        names: &[String],
    ) -> BatchOrigin {
        // An IPv4 sender has the same address on an IPv6 socket.
        let peer = peer.to_canonical();
        let matches = |source: &&SourceDefinition| {
            let networks = &source.peers;
            let has_name = |wanted: &String| {
                let mut names = names.iter();
                names.any(|name| certificate::matches(wanted, name))
            };
            source.transport == transport
                && (networks.is_empty() || networks.iter().any(|net| net.contains(&peer)))
                && source.certificate.as_ref().is_none_or(has_name)
        };
        let configured = self.sources.iter().find(matches);
        BatchOrigin {
            tenant: configured.map_or(DEFAULT_TENANT, |s| &s.tenant).to_owned(),
            source: configured.map_or_else(
                || self.default_name(transport, peer, agent.or(names.first().map(String::as_str))),
                |source| source.name.clone(),
            ),
            transport,
            peer: Some(peer.to_string()),
            zone: configured.and_then(|source| source.zone.clone()),
            format: match (transport, configured) {
                // Agents always send this format.
                (Transport::Agent, _) => Format::Agent,
                (_, Some(source)) => source.format,
                (_, None) => Format::Auto,
            },
            logsource: configured.and_then(|source| source.logsource.clone()),
        }
    }

    fn default_name(
        &self,
        transport: Transport,
        peer: IpAddr,
        verified_name: Option<&str>,
    ) -> String {
        let transport = transport.name();
        let name = match verified_name {
            Some(name) => format!("{transport}:{name}"),
            None => format!("{transport}:{peer}"),
        };
        // An insertion is atomic, so a panic elsewhere leaves the set consistent.
        let mut known = match self.default_names.lock() {
            Ok(known) => known,
            Err(poisoned) => poisoned.into_inner(),
        };
        if known.contains(&name) {
            return name;
        }
        if known.len() >= DEFAULT_SOURCES_MAX {
            return format!("{transport}:other");
        }
        known.insert(name.clone());
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(name: &str, transport: Transport, peers: &[&str]) -> SourceDefinition {
        SourceDefinition {
            name: name.into(),
            tenant: "t".into(),
            transport,
            peers: peers.iter().map(|net| net.parse().unwrap()).collect(),
            certificate: None,
            zone: Some("Europe/Berlin".into()),
            format: Format::Json,
            logsource: None,
        }
    }

    #[test]
    fn first_matching_source_wins() {
        let table = SourceTable::new(vec![
            source("firewall", Transport::Udp, &["10.0.0.0/24"]),
            source("net", Transport::Udp, &["10.0.0.0/8", "fd00::/8"]),
            source("agents", Transport::Agent, &["10.0.0.9/32"]),
        ]);
        for (transport, peer, agent, tenant, name, format) in [
            (
                Transport::Udp,
                "10.0.0.7",
                None,
                "t",
                "firewall",
                Format::Json,
            ),
            (
                Transport::Udp,
                "::ffff:10.0.0.7",
                None,
                "t",
                "firewall",
                Format::Json,
            ),
            (Transport::Udp, "10.9.0.7", None, "t", "net", Format::Json),
            (Transport::Udp, "fd00::1", None, "t", "net", Format::Json),
            (
                Transport::Tcp,
                "10.0.0.7",
                None,
                "default",
                "tcp:10.0.0.7",
                Format::Auto,
            ),
            (
                Transport::Agent,
                "10.0.0.9",
                Some("a"),
                "t",
                "agents",
                Format::Agent,
            ),
            (
                Transport::Agent,
                "10.0.0.8",
                Some("a"),
                "default",
                "agent:a",
                Format::Agent,
            ),
        ] {
            let origin = table.resolve(transport, peer.parse().unwrap(), agent);
            let found = (
                origin.tenant.as_str(),
                origin.source.as_str(),
                origin.format,
            );
            assert_eq!(found, (tenant, name, format), "{transport:?} {peer}");
        }
    }

    #[test]
    fn certificate_names_the_source() {
        let certified = |name: &str, pattern: &str, peers: &[&str]| SourceDefinition {
            certificate: Some(pattern.into()),
            ..source(name, Transport::Tls, peers)
        };
        let table = SourceTable::new(vec![
            certified("web", "Web1.Example.com", &[]),
            certified("shops", "*.shop.example.com", &["10.0.0.0/8"]),
            source("dmz", Transport::Tls, &["192.0.2.0/24"]),
        ]);
        for (peer, names, expected) in [
            ("10.0.0.1", &["web1.example.com"][..], "web"),
            ("10.0.0.1", &["other", "web1.example.com"], "web"),
            ("10.0.0.1", &["a.shop.example.com"], "shops"),
            (
                "10.0.0.1",
                &["a.b.shop.example.com", "x"],
                "tls:a.b.shop.example.com",
            ),
            ("10.0.0.1", &[".shop.example.com"], "tls:.shop.example.com"),
            (
                "11.0.0.1",
                &["a.shop.example.com"],
                "tls:a.shop.example.com",
            ),
            ("192.0.2.1", &["mail.example.com"], "dmz"),
            ("192.0.2.1", &[], "dmz"),
            ("10.0.0.1", &[], "tls:10.0.0.1"),
        ] {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            let peer = peer.parse().unwrap();
            let origin = table.resolve_certified(Transport::Tls, peer, None, &names);
            assert_eq!(origin.source, expected, "{names:?} from {peer}");
            assert_eq!(origin.peer, Some(peer.to_string()));
        }
    }

    #[test]
    fn excess_senders_share_a_source() {
        let table = SourceTable::default();
        for n in 0..=DEFAULT_SOURCES_MAX as u32 {
            let _ = table.resolve(Transport::Tcp, IpAddr::V4(n.into()), None);
        }
        let source = |n: u32| {
            table
                .resolve(Transport::Tcp, IpAddr::V4(n.into()), None)
                .source
        };
        assert_eq!(source(5), "tcp:0.0.0.5");
        assert_eq!(source(1 << 30), "tcp:other");
    }
}
