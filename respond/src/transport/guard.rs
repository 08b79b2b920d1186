//! Decides which addresses a sink may connect to.
//!
//! By default a sink cannot reach services that only this machine or its network can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Addresses that a sink may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressScope {
    /// Those of the public internet.
    Public,
    /// Also private networks, this machine and link-local addresses, including metadata services.
    Private,
}

impl AddressScope {
    /// Keeps the permitted addresses. The sink connects to these very addresses: if the name
    /// resolves to others a moment later, nothing changes.
    #[must_use]
    pub(crate) fn permitted(self, addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        addresses.filter(|at| self.permits(at.ip())).collect()
    }

    fn permits(self, address: IpAddr) -> bool {
        let address = match address {
            IpAddr::V6(v6) => v6.to_ipv4_mapped().map_or(address, IpAddr::V4),
            IpAddr::V4(_) => address,
        };
        if address.is_unspecified() || address.is_multicast() {
            return false;
        }
        self == Self::Private
            || match address {
                IpAddr::V4(v4) => is_public_v4(v4),
                IpAddr::V6(v6) => is_public_v6(v6),
            }
    }
}

/// Follows the special-purpose address registry of IANA.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let benchmarks = a == 198 && (b == 18 || b == 19);
    let protocols = a == 192 && b == 0 && c == 0;
    let relays = a == 192 && b == 88 && c == 99;
    !(a == 0
        || a >= 240
        || shared
        || benchmarks
        || protocols
        || relays
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_broadcast())
}

/// Global unicast, except addresses that embed another one or are reserved.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, _, _, e, f, ..] = address.segments();
    let global = a & 0xe000 == 0x2000;
    let six_to_four = a == 0x2002;
    let protocols = a == 0x2001 && b < 0x0200;
    let documentation = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    // ISATAP: the IPv4 address of a host inside a site follows.
    let isatap = e & 0xfdff == 0 && f == 0x5efe;
    global && !(six_to_four || protocols || documentation || isatap)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: [&str; 4] = [
        "93.184.216.34",
        "2606:2800:220:1::1",
        "::ffff:93.184.216.34",
        "11.0.0.1",
    ];

    const PRIVATE: [&str; 31] = [
        "127.0.0.1",
        "127.8.8.8",
        "10.1.2.3",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "100.100.100.200",
        "198.18.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "240.0.0.1",
        "255.255.255.255",
        "0.1.2.3",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd00:ec2::254",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "::ffff:0:7f00:1",
        "2606:2800:220:1:0:5efe:7f00:1",
        "2606:2800:220:1:200:5efe:a00:1",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "::7f00:1",
        "fec0::1",
    ];

    const NEVER: [&str; 5] = ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "::ffff:0.0.0.0"];

    #[test]
    fn private_addresses_are_permitted_only_on_request() {
        let permits = |text: &str| {
            let address = text.parse().expect("an address");
            [AddressScope::Public, AddressScope::Private].map(|scope| scope.permits(address))
        };
        for (table, expected) in [
            (&PUBLIC[..], [true, true]),
            (&PRIVATE, [false, true]),
            (&NEVER, [false, false]),
        ] {
            for text in table {
                assert_eq!(permits(text), expected, "{text}");
            }
        }
    }
}
