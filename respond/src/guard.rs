//! Which addresses a sink may connect to: what leaves must not reach what only this machine can.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Whether addresses that are not of the public internet may be connected to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Public,
    /// Also those of private networks, this machine and link-local ones, metadata services
    /// included.
    Private,
}

impl Reach {
    /// Of resolved addresses those that may be connected to. What is checked here is what is
    /// connected to: a name that resolves otherwise a moment later changes nothing.
    #[must_use]
    pub fn allowed(self, addresses: impl Iterator<Item = SocketAddr>) -> Vec<SocketAddr> {
        addresses.filter(|at| self.allows(at.ip())).collect()
    }

    fn allows(self, address: IpAddr) -> bool {
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

/// By the special-purpose registry of IANA.
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

/// Global unicast, but for what carries another address inside, or is set apart.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, _, _, e, f, ..] = address.segments();
    let global = a & 0xe000 == 0x2000;
    let six_to_four = a == 0x2002;
    let protocols = a == 0x2001 && b < 0x0200;
    let documentation = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    // Of ISATAP: the IPv4 address of a host of some site is behind these.
    let carried = e & 0xfdff == 0 && f == 0x5efe;
    global && !(six_to_four || protocols || documentation || carried)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_reached_unless_told_otherwise() {
        let public = [
            "93.184.216.34",
            "2606:2800:220:1::1",
            "::ffff:93.184.216.34",
            "11.0.0.1",
        ];
        let private = [
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
        let never = ["0.0.0.0", "::", "224.0.0.1", "ff02::1", "::ffff:0.0.0.0"];
        let allows = |reach: Reach, text: &str| reach.allows(text.parse().expect("an address"));
        for text in public {
            assert!(
                allows(Reach::Public, text) && allows(Reach::Private, text),
                "{text}"
            );
        }
        for text in private {
            assert!(
                !allows(Reach::Public, text) && allows(Reach::Private, text),
                "{text}"
            );
        }
        for text in never {
            assert!(
                !allows(Reach::Public, text) && !allows(Reach::Private, text),
                "{text}"
            );
        }
    }
}
