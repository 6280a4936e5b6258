//! Port overloading, and connection tracking as netfilter does it.

use bradawl_sim::nat::{Allocation, Behaviour, Dependence, Dropped, Fallback, Flow, Passed, PortRange};
use bradawl_sim::units::Span;

use super::{HOST, OTHER, PEERS, address, at, lets_in, nat, out, out_as};

fn preserving() -> Behaviour {
    Behaviour { mapping: Dependence::AddressAndPort, overload: true, ..Behaviour::default() }
}

/// Two hosts have one public endpoint as long as they talk to different peers, and each gets its own
/// peer's answers.
#[test]
fn rfc4787_req3_port_overloading() {
    let mut nat = nat(preserving());
    let one = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
    let two = out(&mut nat, at(0), OTHER, PEERS[1]).unwrap();
    assert_eq!((one, two), (address("203.0.113.9:5000"), one));
    assert_eq!(lets_in(&mut nat, at(1), PEERS[0], one), Ok(address(HOST)));
    assert_eq!(lets_in(&mut nat, at(1), PEERS[1], one), Ok(address(OTHER)));
    assert_eq!(lets_in(&mut nat, at(1), PEERS[2], one), Err(Dropped::Filtered));
    // The same peer could not tell them apart.
    let taken = out(&mut nat, at(1), OTHER, PEERS[0]).unwrap();
    assert_ne!(taken, one);
    assert_eq!(lets_in(&mut nat, at(1), PEERS[0], taken), Ok(address(OTHER)));
    assert_eq!(nat.load(at(1)), 3);
}

/// What an inside endpoint was given last is tried first.
#[test]
fn netfilter_reuses_the_newest_endpoint() {
    let mut nat = nat(preserving());
    out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
    let moved = out(&mut nat, at(0), OTHER, PEERS[0]).unwrap();
    assert_eq!(out(&mut nat, at(0), OTHER, PEERS[1]), Ok(moved));
    assert_eq!(out(&mut nat, at(0), HOST, PEERS[1]), Ok(address("203.0.113.9:5000")));
    let mut random = super::nat(Behaviour { allocation: Allocation::Random, ..preserving() });
    let [a, b] = [0, 1].map(|n| out(&mut random, at(0), HOST, PEERS[n]).unwrap());
    assert_ne!(a, b);
}

/// Far more sessions than ports, each of them answered.
#[test]
fn overloading_saves_ports() {
    let few = Behaviour { ports: PortRange::from(2_000..=2_003), ..preserving() };
    for allocation in
        [Allocation::Random, Allocation::Sequential { step: 1 }, Allocation::Preserve(Fallback::Next)]
    {
        for overload in [true, false] {
            let mut nat = nat(Behaviour { allocation, overload, ..few.clone() });
            let made = (1..=40)
                .filter(|peer| {
                    let peer = format!("198.51.100.{peer}:9");
                    out(&mut nat, at(0), HOST, &peer).is_ok_and(|public| {
                        assert_eq!(lets_in(&mut nat, at(0), &peer, public), Ok(address(HOST)));
                        true
                    })
                })
                .count();
            assert_eq!(made, if overload { 40 } else { 4 }, "{allocation:?}");
        }
    }
}

/// A NAT that is endpoint-independent where it can be: a session whose tuple is taken gets a mapping of
/// its own, and the others stay together.
#[test]
fn overloading_with_endpoint_independent_mapping() {
    let mut nat = nat(Behaviour { mapping: Dependence::Endpoint, ..preserving() });
    let shared = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
    assert_eq!(out(&mut nat, at(0), OTHER, PEERS[1]), Ok(shared));
    let own = out(&mut nat, at(0), OTHER, PEERS[0]).unwrap();
    assert_ne!(own, shared);
    assert_eq!(out(&mut nat, at(0), OTHER, PEERS[2]), Ok(shared));
    assert_eq!(out(&mut nat, at(0), OTHER, PEERS[0]), Ok(own));
    for (peer, public, inside) in [(0, shared, HOST), (1, shared, OTHER), (0, own, OTHER), (2, shared, OTHER)]
    {
        assert_eq!(lets_in(&mut nat, at(1), PEERS[peer], public), Ok(address(inside)));
    }
    assert_eq!(nat.mappings(at(1)).count(), 3);
}

/// The race of two who punch at once: the peer's packet is there before ours, and ours has to leave from
/// another port than the one that the peer was told.
#[test]
fn netfilter_early_packets_take_their_tuple() {
    for early in [true, false] {
        let mut nat = nat(Behaviour { early, unreplied: Some(Span::from_secs(30)), ..preserving() });
        let told = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
        assert_eq!(lets_in(&mut nat, at(1), PEERS[2], told), Err(Dropped::Filtered));
        let used = out(&mut nat, at(2), HOST, PEERS[2]).unwrap();
        assert_eq!(used == told, !early);
        assert_eq!(lets_in(&mut nat, at(3), PEERS[2], told).is_ok(), !early);
        assert_eq!(lets_in(&mut nat, at(3), PEERS[2], used), Ok(address(HOST)));
        assert_eq!(nat.mappings(at(3)).count(), 2, "the box's own is none");
        // It is forgotten when it has been silent for long enough; then the tuple is free again.
        let stopped = lets_in(&mut nat, at(20), PEERS[1], told);
        assert_eq!(stopped, Err(Dropped::Filtered));
        out(&mut nat, at(20), HOST, PEERS[0]).unwrap();
        assert_eq!(out(&mut nat, at(49), OTHER, PEERS[1]).unwrap() == told, !early);
        assert_eq!(out(&mut nat, at(51), "10.0.0.9:5000", PEERS[1]).unwrap() == told, early);
    }
}

/// Without overloading, too: a free port is no use if its tuple is taken.
#[test]
fn early_packets_without_overloading() {
    let mut nat = nat(Behaviour { early: true, ..Behaviour::default() });
    let port = address("203.0.113.9:5000");
    assert_eq!(lets_in(&mut nat, at(0), PEERS[0], port), Err(Dropped::NoMapping));
    assert_eq!(out(&mut nat, at(0), HOST, PEERS[1]), Ok(port));
    let own = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
    assert_ne!(own, port);
    assert_eq!(lets_in(&mut nat, at(0), PEERS[0], own), Ok(address(HOST)));
    // TCP to the box is answered with a RST and leaves nothing.
    let syn = Flow::tcp(address(PEERS[0]), port).opening();
    assert_eq!(nat.inbound(at(0), syn), Err(Dropped::NoMapping));
    assert_eq!(out_as(&mut nat, at(0), Flow::tcp(address(HOST), address(PEERS[0])).opening()), Ok(port));
}

/// An outsider can make the table no larger than it may be.
#[test]
fn early_packets_have_the_capacity_for_a_bound() {
    let mut nat = nat(Behaviour { early: true, capacity: 10, ..preserving() });
    let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
    for port in 1..100 {
        assert!(lets_in(&mut nat, at(0), &format!("192.0.2.1:{port}"), public).is_err());
    }
    assert_eq!(nat.load(at(0)), 10);
    assert_eq!(lets_in(&mut nat, at(0), PEERS[0], public), Ok(address(HOST)));
}

/// RFC 4787 REQ-3b: low ports stay low, as the kernel has it.
#[test]
fn rfc4787_req3b_well_known_ports() {
    for (inside, range) in [(80, 1..=511), (511, 1..=511), (700, 600..=1_023), (5_000, 1_024..=65_535)] {
        let behaviour =
            Behaviour { allocation: Allocation::Random, well_known: true, ..Behaviour::default() };
        let mut random = nat(behaviour.clone());
        let mut keeps = nat(Behaviour { allocation: Allocation::Preserve(Fallback::Random), ..behaviour });
        for host in 1..=50 {
            let host = format!("10.0.0.{host}:{inside}");
            let public = out(&mut random, at(0), &host, PEERS[0]).unwrap();
            assert!(range.contains(&public.port()), "{inside}: {public}");
            let public = out(&mut keeps, at(0), &host, PEERS[0]).unwrap();
            assert!(range.contains(&public.port()), "{inside}: {public}");
        }
        assert!(keeps.mappings(at(0)).any(|(_, public)| public.port() == inside));
    }
    let mut without = nat(Behaviour::default());
    assert!(out(&mut without, at(0), "10.0.0.7:80", PEERS[0]).unwrap().port() >= 1_024);
}

/// Two behind one such NAT reach each other by public endpoints, as soon as both have sent.
#[test]
fn hairpinning_with_overloaded_ports() {
    let mut nat = nat(preserving());
    let (one, two) = (address("10.0.0.7:5001"), address("10.0.0.8:5002"));
    let [mine, theirs] = [address("203.0.113.9:5001"), address("203.0.113.9:5002")];
    assert!(nat.outbound(at(0), Flow::udp(one, theirs)).is_err());
    let passed = nat.outbound(at(0), Flow::udp(two, mine));
    assert_eq!(passed, Ok(Passed::Hairpin(Flow::udp(theirs, one))));
    let passed = nat.outbound(at(0), Flow::udp(one, theirs));
    assert_eq!(passed, Ok(Passed::Hairpin(Flow::udp(mine, two))));
}
