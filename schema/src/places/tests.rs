//! Laws and examples of places.

use proptest::prelude::*;

use super::*;

const LIMITS: PlaceLimits = PlaceLimits {
    places_max: 8,
    per_peer_max: 2,
    per_network_max: 4,
    yield_after: Duration::from_secs(10),
};

fn at(second: u64) -> Duration {
    Duration::from_secs(second)
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// Lets `count` connections of `from` enter and uses them.
fn fill(table: &mut PlaceTable, from: &str, count: usize, used_as: PlaceUse) -> Vec<PlaceId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        let entered = match table.enter(address(from), at(0)) {
            Admission::Free(id) => id,
            other => panic!("{other:?}"),
        };
        table.touch(entered, used_as, at(0));
        ids.push(entered);
    }
    ids
}

/// W9: a whole office may come from one address while places are free.
#[test]
fn one_address_uses_all_places_that_nobody_else_wants() {
    let mut table = PlaceTable::new(LIMITS);
    fill(&mut table, "192.0.2.1", 8, PlaceUse::Held);
    let refused = Admission::Refused(PlaceReason::PeerShare);
    assert_eq!(table.enter(address("192.0.2.1"), at(1)), refused);
    for other in 1..=6 {
        let peer = format!("198.51.{other}.1");
        let admission = table.enter(address(&peer), at(1));
        assert!(
            matches!(
                admission,
                Admission::InPlaceOf {
                    reason: PlaceReason::PeerShare,
                    ..
                }
            ),
            "{admission:?}"
        );
        let Admission::InPlaceOf { entered, .. } = admission else {
            continue;
        };
        table.touch(entered, PlaceUse::Held, at(1));
    }
    let full = Admission::Refused(PlaceReason::Full);
    assert_eq!(table.enter(address("203.0.113.1"), at(1)), full);
}

/// W9: the next honest host gets in while others are silent, and not while all are in use.
#[test]
fn the_oldest_idle_connection_gives_way() {
    let mut table = PlaceTable::new(LIMITS);
    let mut ids = Vec::new();
    for n in 0..8_u64 {
        let peer = format!("198.51.{n}.1");
        ids.extend(fill(&mut table, &peer, 1, PlaceUse::Open));
        table.touch(ids[ids.len() - 1], PlaceUse::Open, at(10 - n));
    }
    let new = address("203.0.113.1");
    assert_eq!(
        table.enter(new, at(12)),
        Admission::Refused(PlaceReason::Full)
    );
    let Admission::InPlaceOf {
        entered,
        evicted,
        reason,
    } = table.enter(new, at(15))
    else {
        panic!("the oldest was silent for ten seconds");
    };
    assert_eq!((evicted, reason), (ids[7], PlaceReason::Idle));
    // A connection that has sent nothing gives way before any other.
    let Admission::InPlaceOf { evicted, .. } = table.enter(address("203.0.114.1"), at(30)) else {
        panic!("one is unproven");
    };
    assert_eq!(evicted, entered);
}

/// Lets a peer enter a full table and returns who gives way.
fn gives_way(table: &mut PlaceTable, from: &str, now: Duration) -> PlaceId {
    match table.enter(address(from), now) {
        Admission::InPlaceOf {
            evicted,
            reason: PlaceReason::Idle,
            ..
        } => evicted,
        other => panic!("{other:?}"),
    }
}

/// W9: holders within their shares cannot drive out a sender that is silent for a moment.
#[test]
fn an_idle_connection_of_the_greatest_holder_gives_way_before_one_of_a_small_holder() {
    let limits = PlaceLimits::with_default_shares(1_024);
    let mut table = PlaceTable::new(limits);
    let honest = fill(&mut table, "192.0.2.1", 1, PlaceUse::Open)[0];
    let mut hostile = Vec::new();
    for n in 0..4_u64 {
        let peer = format!("198.51.{n}.1");
        let count = if n == 3 { 255 } else { 256 };
        let ids = fill(&mut table, &peer, count, PlaceUse::Open);
        // They are heard of later than the honest one, so they are not the oldest.
        ids.iter()
            .for_each(|id| table.touch(*id, PlaceUse::Open, at(1)));
        hostile.extend(ids);
    }
    let now = at(12);
    for _ in 0..256 {
        let evicted = gives_way(&mut table, "203.0.113.1", now);
        assert!(evicted != honest);
    }
    // Another small one may still enter, and nobody small gives way.
    for n in 1..=200 {
        let evicted = gives_way(&mut table, &format!("192.1.{n}.1"), now);
        assert!(evicted != honest);
    }
}

/// W9: a network of many small addresses counts as one holder.
#[test]
fn many_addresses_of_one_network_give_way_before_a_few_of_another() {
    let limits = PlaceLimits::with_default_shares(1_024);
    let mut table = PlaceTable::new(limits);
    let mut honest = Vec::new();
    for n in 0..256 {
        honest.extend(fill(&mut table, &format!("192.0.{n}.1"), 3, PlaceUse::Open));
    }
    for n in 0..128 {
        fill(&mut table, &format!("198.51.100.{n}"), 2, PlaceUse::Open);
    }
    for n in 0..100 {
        let evicted = gives_way(&mut table, &format!("203.0.{n}.1"), at(12));
        assert!(!honest.contains(&evicted), "{n}");
    }
}

/// W9: a small holder gives way once all greater ones are in use.
#[test]
fn a_small_holder_gives_way_while_all_others_are_in_use() {
    let mut table = PlaceTable::new(LIMITS);
    for n in 0..3 {
        fill(&mut table, &format!("198.51.{n}.1"), 2, PlaceUse::Held);
    }
    let small = fill(&mut table, "192.0.2.1", 1, PlaceUse::Open)[0];
    fill(&mut table, "192.0.3.1", 1, PlaceUse::Held);
    assert_eq!(gives_way(&mut table, "203.0.113.1", at(11)), small);
}

/// W9: an IPv4-mapped address counts as IPv4, a /64 network as one address.
#[test]
fn networks_are_counted_together() {
    let holder = |text| Holder::of(address(text));
    assert_eq!(holder("::ffff:192.0.2.7"), holder("192.0.2.7"));
    assert_eq!(holder("192.0.2.7").network, address("192.0.2.0"));
    assert_eq!(holder("2001:db8:1:2:3::4").peer, address("2001:db8:1:2::"));
    assert_eq!(holder("2001:db8:1:2:3::4").network, address("2001:db8:1::"));
    let mut table = PlaceTable::new(LIMITS);
    fill(&mut table, "2001:db8:1:2::1", 1, PlaceUse::Held);
    fill(&mut table, "2001:db8:1:2::2", 1, PlaceUse::Held);
    fill(&mut table, "192.0.2.1", 1, PlaceUse::Held);
    fill(&mut table, "::ffff:192.0.2.2", 1, PlaceUse::Held);
    fill(&mut table, "192.0.2.3", 1, PlaceUse::Held);
    fill(&mut table, "192.0.2.4", 1, PlaceUse::Held);
    fill(&mut table, "203.0.113.1", 2, PlaceUse::Held);
    let refused = |text, reason, table: &mut PlaceTable| {
        assert_eq!(
            table.enter(address(text), at(99)),
            Admission::Refused(reason)
        );
    };
    refused("2001:db8:1:2::3", PlaceReason::PeerShare, &mut table);
    refused("192.0.2.5", PlaceReason::NetworkShare, &mut table);
    refused("2001:db8:9::1", PlaceReason::Full, &mut table);
}

#[test]
fn shares_shrink_with_the_places() {
    let limits = PlaceLimits::with_default_shares(1_024);
    assert_eq!((limits.per_peer_max, limits.per_network_max), (256, 512));
    let small = limits.shrunk_to(100);
    assert_eq!(
        (small.places_max, small.per_peer_max, small.per_network_max),
        (100, 25, 50)
    );
    assert_eq!(limits.shrunk_to(4_096), limits);
    let one = PlaceLimits::with_default_shares(1);
    assert_eq!((one.per_peer_max, one.per_network_max), (1, 1));
}

/// A step of a run: what a peer does at a time.
#[derive(Clone, Debug)]
enum Step {
    Enter(u8),
    Touch(usize, u8),
    Leave(usize),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..12).prop_map(Step::Enter),
        2 => (0_usize..20, 0_u8..3).prop_map(|(n, used)| Step::Touch(n, used)),
        1 => (0_usize..20).prop_map(Step::Leave),
        1 => (0_u64..15).prop_map(Step::Pass),
    ]
}

proptest! {
    /// W9: the places are never exceeded; a peer below its shares is refused only while all places
    /// are in use by holders within their shares.
    #[test]
    fn a_peer_below_its_shares_enters_unless_all_are_in_use(
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let mut table = PlaceTable::new(LIMITS);
        let (mut now, mut ids) = (at(0), Vec::new());
        for step in steps {
            match step {
                Step::Pass(seconds) => now += at(seconds),
                Step::Touch(n, used) => if let Some(id) = ids.get(n) {
                    let used = [PlaceUse::Unproven, PlaceUse::Open, PlaceUse::Held][usize::from(used)];
                    table.touch(*id, used, now);
                },
                Step::Leave(n) => if n < ids.len() {
                    table.leave(ids.remove(n));
                },
                Step::Enter(n) => {
                    let peer = IpAddr::from([192, 0, n / 4, n % 4]);
                    let holder = Holder::of(peer);
                    let below = held(&table.peers, holder.peer) < LIMITS.per_peer_max
                        && held(&table.networks, holder.network) < LIMITS.per_network_max;
                    let in_use = table.places.len() == LIMITS.places_max
                        && table.places.values().all(|p| !p.waits(now, LIMITS.yield_after))
                        && table.peers.values().all(|count| *count <= LIMITS.per_peer_max)
                        && table.networks.values().all(|count| *count <= LIMITS.per_network_max);
                    match table.enter(peer, now) {
                        Admission::Free(id) => ids.push(id),
                        Admission::InPlaceOf { entered, evicted, .. } => {
                            prop_assert!(ids.contains(&evicted));
                            ids.retain(|id| *id != evicted);
                            ids.push(entered);
                        }
                        Admission::Refused(reason) => {
                            prop_assert!(!below || in_use, "{reason:?}");
                            let greedy = table.peers.iter().any(|(peer, count)| {
                                *count > LIMITS.per_peer_max
                                    && Holder::of(*peer).network == holder.network
                            });
                            prop_assert!(reason != PlaceReason::NetworkShare || !greedy);
                        }
                    }
                }
            }
            prop_assert!(table.len() <= LIMITS.places_max);
            prop_assert_eq!(table.len(), ids.len());
            prop_assert_eq!(table.peers.values().sum::<usize>(), table.len());
            prop_assert_eq!(table.networks.values().sum::<usize>(), table.len());
        }
    }
}
