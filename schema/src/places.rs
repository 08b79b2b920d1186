//! The places of a listener: who holds them, and who gives way when all are taken.
//!
//! ```text
//!  free place ───────────────────────────────────────────────► the peer enters
//!  none, and the peer is above its share ─► its own oldest waiting connection gives way, else refused
//!  none, and somebody else is above a share ─► the greatest such holder gives way
//!  none, and nobody is ─► a waiting connection of the greatest holder gives way, else refused
//! ```
//!
//! Shares count only while no place is free, so an office behind one address may use all places that
//! nobody else wants.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// The limits of one listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceLimits {
    /// Most connections.
    pub places_max: usize,
    /// The share of one IPv4 address, or of one IPv6 /64 network, while no place is free.
    pub per_peer_max: usize,
    /// The share of one IPv4 /24 network, or of one IPv6 /48 network, while no place is free.
    pub per_network_max: usize,
    /// Silence after which a connection may give way to a new peer.
    pub yield_after: Duration,
}

impl PlaceLimits {
    /// Limits with the default shares: a quarter of the places for an address, half for a network.
    #[must_use]
    pub const fn with_default_shares(places_max: usize) -> Self {
        Self {
            places_max,
            per_peer_max: default_share(places_max, 4),
            per_network_max: default_share(places_max, 2),
            yield_after: Duration::from_secs(10),
        }
    }

    /// The same limits for fewer places. The shares become smaller in proportion.
    #[must_use]
    pub fn shrunk_to(self, places_max: usize) -> Self {
        if places_max >= self.places_max {
            return self;
        }
        let before = self.places_max.max(1);
        let shrink = |share: usize| (share.saturating_mul(places_max) / before).max(1);
        Self {
            places_max,
            per_peer_max: shrink(self.per_peer_max),
            per_network_max: shrink(self.per_network_max),
            ..self
        }
    }
}

/// The share of one holder: a part of the places, at least one.
const fn default_share(places_max: usize, part: usize) -> usize {
    if places_max < part {
        1
    } else {
        places_max / part
    }
}

/// Identifies a connection in its [`PlaceTable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PlaceId(u64);

/// How a connection uses its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceUse {
    /// It has sent nothing valid yet. It gives way at any time.
    Unproven,
    /// It has sent something. It gives way after a silence.
    Open,
    /// The server works for it, or does not read it. It gives way only above its share.
    Held,
}

/// Why a peer does not get a place, or why a connection loses its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceReason {
    /// All places are taken by connections that are in use.
    Full,
    /// The address has its share.
    PeerShare,
    /// The network has its share.
    NetworkShare,
    /// The connection waited, and its holder had the most.
    Idle,
}

/// The decision about a new connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// A place was free.
    Free(PlaceId),
    /// The connection enters, and another one must end.
    InPlaceOf {
        entered: PlaceId,
        evicted: PlaceId,
        reason: PlaceReason,
    },
    /// The connection must end.
    Refused(PlaceReason),
}

/// The units by which shares count a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    /// An IPv4 address, or an IPv6 /64 network.
    peer: IpAddr,
    /// An IPv4 /24 network, or an IPv6 /48 network.
    network: IpAddr,
}

impl Holder {
    /// An IPv4-mapped address counts as IPv4.
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => Self {
                peer: v4.into(),
                network: Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8)).into(),
            },
            IpAddr::V6(v6) => {
                let prefix = |bits: u32| {
                    let mask = u128::MAX << (128 - bits);
                    IpAddr::from(Ipv6Addr::from_bits(v6.to_bits() & mask))
                };
                Self {
                    peer: prefix(64),
                    network: prefix(48),
                }
            }
        }
    }
}

/// One connection.
#[derive(Clone, Copy, Debug)]
struct Place {
    holder: Holder,
    used_as: PlaceUse,
    /// When it entered or was last used.
    used: Duration,
}

impl Place {
    /// Whether the connection waits for its peer, and may give way for that reason alone.
    fn waits(&self, now: Duration, yield_after: Duration) -> bool {
        match self.used_as {
            PlaceUse::Unproven => true,
            PlaceUse::Open => now.saturating_sub(self.used) >= yield_after,
            PlaceUse::Held => false,
        }
    }

    /// The order in which connections give way: unproven ones, then open ones, each by age.
    fn order(&self) -> (u8, Duration) {
        let rank = match self.used_as {
            PlaceUse::Unproven => 0,
            PlaceUse::Open => 1,
            PlaceUse::Held => 2,
        };
        (rank, self.used)
    }
}

/// The connections of one listener. Times are durations since any one moment.
#[derive(Debug)]
pub struct PlaceTable {
    limits: PlaceLimits,
    next: u64,
    places: HashMap<PlaceId, Place>,
    peers: HashMap<IpAddr, usize>,
    networks: HashMap<IpAddr, usize>,
}

impl PlaceTable {
    /// Creates the table of a listener without connections.
    #[must_use]
    pub fn new(limits: PlaceLimits) -> Self {
        Self {
            limits,
            next: 0,
            places: HashMap::new(),
            peers: HashMap::new(),
            networks: HashMap::new(),
        }
    }

    /// The number of connections.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is no connection.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Decides about a new connection. An evicted one leaves the table at once.
    ///
    /// Takes time in proportion to the connections if no place is free.
    pub fn enter(&mut self, address: IpAddr, now: Duration) -> Admission {
        let holder = Holder::of(address);
        if self.places.len() < self.limits.places_max.max(1) {
            return Admission::Free(self.insert(holder, now));
        }
        match self.choose(holder, now) {
            Ok((evicted, reason)) => {
                self.leave(evicted);
                Admission::InPlaceOf {
                    entered: self.insert(holder, now),
                    evicted,
                    reason,
                }
            }
            Err(reason) => Admission::Refused(reason),
        }
    }

    /// Records that a connection is used, and how.
    pub fn touch(&mut self, id: PlaceId, used_as: PlaceUse, now: Duration) {
        if let Some(place) = self.places.get_mut(&id) {
            place.used_as = used_as;
            place.used = now;
        }
    }

    /// Frees a place. Does nothing if the connection was evicted before.
    pub fn leave(&mut self, id: PlaceId) {
        if let Some(place) = self.places.remove(&id) {
            decrement(&mut self.peers, place.holder.peer);
            decrement(&mut self.networks, place.holder.network);
        }
    }

    fn insert(&mut self, holder: Holder, now: Duration) -> PlaceId {
        let id = PlaceId(self.next);
        self.next += 1;
        *self.peers.entry(holder.peer).or_default() += 1;
        *self.networks.entry(holder.network).or_default() += 1;
        let place = Place {
            holder,
            used_as: PlaceUse::Unproven,
            used: now,
        };
        self.places.insert(id, place);
        id
    }

    /// Chooses the connection that gives way to a new one of `new`.
    fn choose(&self, new: Holder, now: Duration) -> Result<(PlaceId, PlaceReason), PlaceReason> {
        let waits = |place: &Place| place.waits(now, self.limits.yield_after);
        let peers = held(&self.peers, new.peer);
        if peers >= self.limits.per_peer_max.max(1) {
            let own = self.first(|place| place.holder.peer == new.peer && waits(place));
            return own
                .map(|id| (id, PlaceReason::PeerShare))
                .ok_or(PlaceReason::PeerShare);
        }
        if held(&self.networks, new.network) >= self.limits.per_network_max.max(1) {
            // One greedy address must not shut its neighbours out.
            let is_neighbour = |peer: IpAddr| Holder::of(peer).network == new.network;
            if let Some(peer) = greatest(&self.peers, self.limits.per_peer_max, is_neighbour) {
                let first = self.first(|place| place.holder.peer == peer);
                return first
                    .map(|id| (id, PlaceReason::PeerShare))
                    .ok_or(PlaceReason::Full);
            }
            let is_own = |place: &Place| place.holder.network == new.network;
            let own = self.first_of_greatest(|place| is_own(place) && waits(place));
            return own
                .map(|id| (id, PlaceReason::NetworkShare))
                .ok_or(PlaceReason::NetworkShare);
        }
        if let Some(peer) = greatest(&self.peers, self.limits.per_peer_max, |_| true) {
            let first = self.first(|place| place.holder.peer == peer);
            return first
                .map(|id| (id, PlaceReason::PeerShare))
                .ok_or(PlaceReason::Full);
        }
        if let Some(network) = greatest(&self.networks, self.limits.per_network_max, |_| true) {
            let first = self.first(|place| place.holder.network == network);
            return first
                .map(|id| (id, PlaceReason::NetworkShare))
                .ok_or(PlaceReason::Full);
        }
        let first = self.first_of_greatest(waits);
        first
            .map(|id| (id, PlaceReason::Idle))
            .ok_or(PlaceReason::Full)
    }

    /// The first connection to give way of the holder that is nearest to its share, or furthest
    /// above it, among the connections that `may`.
    ///
    /// So holders of many connections cannot drive out a sender that is silent for a moment.
    fn first_of_greatest(&self, may: impl Fn(&Place) -> bool) -> Option<PlaceId> {
        let candidates = self.places.iter().filter(|(_, place)| may(place));
        let first = candidates.min_by_key(|(id, place)| {
            let weight = self.weight(place.holder);
            (Reverse(weight), place.order(), **id)
        });
        first.map(|(id, _)| *id)
    }

    /// How near a holder is to the share of its address or network, whichever is nearer; then how
    /// many connections its address has.
    fn weight(&self, holder: Holder) -> (u128, usize) {
        let peers = held(&self.peers, holder.peer);
        let networks = held(&self.networks, holder.network);
        // Fractions of the shares, with their denominators multiplied away.
        let of = |count: usize, other_share: usize| count as u128 * other_share.max(1) as u128;
        let peer = of(peers, self.limits.per_network_max);
        let network = of(networks, self.limits.per_peer_max);
        (peer.max(network), peers)
    }

    /// The first connection to give way among those that `may`.
    fn first(&self, may: impl Fn(&Place) -> bool) -> Option<PlaceId> {
        let candidates = self.places.iter().filter(|(_, place)| may(place));
        let first = candidates.min_by_key(|(id, place)| (place.order(), **id));
        first.map(|(id, _)| *id)
    }
}

fn held(counts: &HashMap<IpAddr, usize>, unit: IpAddr) -> usize {
    counts.get(&unit).copied().unwrap_or(0)
}

/// The unit that holds most of those that `may`, if that is above `share`.
fn greatest(
    counts: &HashMap<IpAddr, usize>,
    share: usize,
    may: impl Fn(IpAddr) -> bool,
) -> Option<IpAddr> {
    let above = counts
        .iter()
        .filter(|(unit, count)| **count > share.max(1) && may(**unit));
    let greatest = above.max_by_key(|(unit, count)| (**count, **unit));
    greatest.map(|(unit, _)| *unit)
}

fn decrement(counts: &mut HashMap<IpAddr, usize>, unit: IpAddr) {
    if let Some(count) = counts.get_mut(&unit) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&unit);
        }
    }
}

#[cfg(test)]
mod tests;
