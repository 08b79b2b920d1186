//! Groups client addresses into the units that per-address limits apply to.

use std::net::{IpAddr, Ipv6Addr};

/// The address that limits count by: an IPv4 address, or the /64 network of an IPv6 address.
///
/// A host with one IPv6 address usually has its whole network of 64 bits.
pub(crate) fn limit_key(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => v4.into(),
            None => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        },
    }
}
