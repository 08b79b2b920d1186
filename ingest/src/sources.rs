//! Which source and tenant a sender belongs to, by transport and address.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Mutex;

use ipnet::IpNet;
use weir_schema::{Batch, Delivery, Format, Frames, ReceiveTime, Transport};

use crate::certificate;

/// Senders that get a source of their own without configuration; those beyond share one, so that an
/// attacker's addresses do not become watermarks without end.
pub const DEFAULT_SOURCES_MAX: usize = 10_000;

/// Tenant of what no configured source claims.
pub const DEFAULT_TENANT: &str = "default";

/// A configured source: which senders it claims, and how their frames are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDefinition {
    pub name: String,
    pub tenant: String,
    pub transport: Transport,
    /// Senders' networks; none: all senders of the transport.
    pub peers: Vec<IpNet>,
    /// A name that the sender's certificate must have, as `web1.example.com` or `*.example.com`;
    /// `None`: none is needed.
    pub certificate: Option<String>,
    /// IANA name of the zone in which times without an offset are read.
    pub zone: Option<String>,
    pub format: Format,
    /// `category=C,product=P,service=S` of frames that do not say.
    pub logsource: Option<String>,
}

/// What a sender's batches have in common.
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
    /// A batch of this sender.
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

/// The configured sources, and the senders that came without one.
#[derive(Debug, Default)]
pub struct SourceTable {
    sources: Vec<SourceDefinition>,
    unclaimed: Mutex<HashSet<String>>,
}

impl SourceTable {
    /// Sources are asked in the order given; the first that claims a sender has it.
    #[must_use]
    pub fn new(sources: Vec<SourceDefinition>) -> Self {
        Self {
            sources,
            unclaimed: Mutex::default(),
        }
    }

    /// The origin of what `peer` sends; `agent` is its id where it has proven one.
    ///
    /// Unclaimed senders are sources of their own, `tcp:10.0.0.7` or `agent:web1`, as a watermark
    /// belongs to one clock; past [`DEFAULT_SOURCES_MAX`] of them new ones are `tcp:other` until a
    /// restart.
    #[must_use]
    pub fn resolve(&self, transport: Transport, peer: IpAddr, agent: Option<&str>) -> BatchOrigin {
        self.resolve_certified(transport, peer, agent, &[])
    }

    /// As [`Self::resolve`], for a sender that has shown a certificate with these `names`. Unclaimed,
    /// it is named by the first of them, `tls:web1.example.com`, from wherever it comes: what was
    /// proven stands before what a line or a network says. The address is kept beside it.
    #[must_use]
    pub fn resolve_certified(
        &self,
        transport: Transport,
        peer: IpAddr,
        agent: Option<&str>,
        names: &[String],
    ) -> BatchOrigin {
        // An IPv4 sender is the same sender on a socket of IPv6.
        let peer = peer.to_canonical();
        let claims = |source: &&SourceDefinition| {
            let from = &source.peers;
            let shown = |wanted: &String| {
                let mut names = names.iter();
                names.any(|name| certificate::matches(wanted, name))
            };
            source.transport == transport
                && (from.is_empty() || from.iter().any(|net| net.contains(&peer)))
                && source.certificate.as_ref().is_none_or(shown)
        };
        let claimed = self.sources.iter().find(claims);
        BatchOrigin {
            tenant: claimed.map_or(DEFAULT_TENANT, |s| &s.tenant).to_owned(),
            source: claimed.map_or_else(
                || self.unclaimed(transport, peer, agent.or(names.first().map(String::as_str))),
                |source| source.name.clone(),
            ),
            transport,
            peer: Some(peer.to_string()),
            zone: claimed.and_then(|source| source.zone.clone()),
            format: match (transport, claimed) {
                // What an agent sends is never anything else.
                (Transport::Agent, _) => Format::Agent,
                (_, Some(source)) => source.format,
                (_, None) => Format::Auto,
            },
            logsource: claimed.and_then(|source| source.logsource.clone()),
        }
    }

    fn unclaimed(&self, transport: Transport, peer: IpAddr, proven: Option<&str>) -> String {
        let transport = transport.name();
        let name = match proven {
            Some(name) => format!("{transport}:{name}"),
            None => format!("{transport}:{peer}"),
        };
        // A panic elsewhere cannot leave the set half changed.
        let mut known = match self.unclaimed.lock() {
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
    fn the_first_source_that_claims_a_sender_has_it() {
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
    fn a_certificate_names_its_sender() {
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
    fn senders_without_end_share_a_source() {
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
