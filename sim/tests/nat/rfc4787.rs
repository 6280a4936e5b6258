//! RFC 4787, the requirements about mappings, ports, filters and hairpinning.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use bradawl_sim::nat::{
    Allocation, Behaviour, ConfigError, Dependence, Dropped, Fallback, Flow, Hairpin, Nat, Passed, Pooling,
    PortRange,
};
use bradawl_sim::units::Span;

use super::{HOST, PEERS, PUBLIC, address, at, ip, lets_in, nat, out, rng};

/// How many public endpoints one inside endpoint gets for three peers: two ports, two addresses.
fn endpoints(mapping: Dependence) -> [SocketAddr; 3] {
    let mut nat = nat(Behaviour { mapping, allocation: Allocation::Random, ..Behaviour::default() });
    PEERS.map(|peer| out(&mut nat, at(0), HOST, peer).expect("room"))
}

#[test]
fn rfc4787_req1_endpoint_independent_mapping() {
    let [a, b, c] = endpoints(Dependence::Endpoint);
    assert!(a == b && b == c);
    let [a, b, c] = endpoints(Dependence::Address);
    assert!(a == b && b != c);
    let [a, b, c] = endpoints(Dependence::AddressAndPort);
    assert!(a != b && b != c && a != c);
}

#[test]
fn rfc4787_req2_paired_pooling() {
    let addresses: Vec<IpAddr> = (1..=16).map(|last| IpAddr::from([203, 0, 113, last])).collect();
    for (pooling, paired) in [(Pooling::Paired, true), (Pooling::Arbitrary, false)] {
        let mut nat =
            Nat::new(Behaviour { pooling, ..Behaviour::default() }, addresses.clone(), rng()).unwrap();
        let used: BTreeSet<IpAddr> = (0..64)
            .map(|port| out(&mut nat, at(0), &format!("10.0.0.7:{}", 5_000 + port), PEERS[0]).unwrap().ip())
            .collect();
        assert_eq!(used.len() == 1, paired, "{pooling:?}: {used:?}");
    }
}

#[test]
fn rfc4787_req3_no_port_overloading() {
    for allocation in [
        Allocation::Preserve(Fallback::Next),
        Allocation::Preserve(Fallback::Random),
        Allocation::Sequential { step: 1 },
        Allocation::Random,
        Allocation::Block { size: 64 },
    ] {
        let mut nat = nat(Behaviour { allocation, ..Behaviour::default() });
        let given: BTreeSet<SocketAddr> = (1..=200)
            .map(|host| out(&mut nat, at(0), &format!("10.0.0.{host}:5000"), PEERS[0]).unwrap())
            .collect();
        assert_eq!(given.len(), 200, "{allocation:?}");
    }
}

#[test]
fn rfc4787_req3_port_preservation() {
    let mut keeps = nat(Behaviour::default());
    assert_eq!(out(&mut keeps, at(0), HOST, PEERS[0]).unwrap().port(), 5_000);
    let second = out(&mut keeps, at(0), "10.0.0.8:5000", PEERS[0]).unwrap();
    assert_ne!(second.port(), 5_000, "it is taken");
    let mut upwards =
        nat(Behaviour { allocation: Allocation::Preserve(Fallback::Next), ..Behaviour::default() });
    let ports = ["10.0.0.7:5000", "10.0.0.8:5000", "10.0.0.9:5000"]
        .map(|host| out(&mut upwards, at(0), host, PEERS[0]).unwrap().port());
    assert_eq!(ports, [5_000, 5_001, 5_002]);
}

#[test]
fn sequential_allocation_goes_on_in_steps_and_wraps_around() {
    for step in [1, 2, 7] {
        let ports = PortRange::from(40_000..=40_099);
        let mut nat =
            nat(Behaviour { allocation: Allocation::Sequential { step }, ports, ..Behaviour::default() });
        let given: Vec<u16> = (0..20)
            .map(|port| out(&mut nat, at(0), &format!("10.0.0.7:{}", 6_000 + port), PEERS[0]).unwrap().port())
            .collect();
        let steps: BTreeSet<u16> = given.windows(2).map(|pair| (pair[1] + 100 - pair[0]) % 100).collect();
        assert_eq!(steps, BTreeSet::from([step]), "{given:?}");
    }
}

#[test]
fn block_allocation_keeps_each_host_in_a_block_of_its_own() {
    let mut nat = nat(Behaviour {
        allocation: Allocation::Block { size: 128 },
        ports: PortRange::from(1_024..=65_535),
        ..Behaviour::default()
    });
    let mut block_of = |host: u8| -> BTreeSet<u16> {
        (0..100)
            .map(|port| out(&mut nat, at(0), &format!("10.0.0.{host}:{}", 6_000 + port), PEERS[0]).unwrap())
            .map(|public| (public.port() - 1_024) / 128)
            .collect()
    };
    let blocks: Vec<_> = (1..=20).map(&mut block_of).collect();
    assert!(blocks.iter().all(|blocks| blocks.len() == 1), "{blocks:?}");
    assert_eq!(blocks.iter().flatten().collect::<BTreeSet<_>>().len(), 20);
}

#[test]
fn rfc4787_req4_port_parity() {
    for parity in [true, false] {
        let mut nat = nat(Behaviour { allocation: Allocation::Random, parity, ..Behaviour::default() });
        let kept = (0..64)
            .filter(|port| {
                let inside = format!("10.0.0.7:{}", 6_000 + port);
                out(&mut nat, at(0), &inside, PEERS[0]).unwrap().port() % 2 == port % 2
            })
            .count();
        assert_eq!(kept == 64, parity, "{kept} of 64");
    }
}

/// RTP at an even port, its RTCP right above (RFC 4787 §4.2.3).
#[test]
fn rfc4787_req4_port_contiguity() {
    for contiguity in [true, false] {
        let mut nat = nat(Behaviour {
            allocation: Allocation::Random,
            parity: true,
            contiguity,
            ..Behaviour::default()
        });
        let together = (0..64)
            .filter(|pair| {
                let [even, odd] = [0, 1].map(|n| {
                    let inside = format!("10.0.0.7:{}", 6_000 + 2 * pair + n);
                    out(&mut nat, at(0), &inside, PEERS[0]).unwrap().port()
                });
                odd == even + 1
            })
            .count();
        assert_eq!(together == 64, contiguity, "{together} of 64");
    }
}

#[test]
fn rfc4787_req8_filtering() {
    let strangers = ["198.51.100.1:3478", "198.51.100.1:9", "192.0.2.66:666"];
    for (filtering, expected) in [
        (Dependence::Endpoint, [true, true, true]),
        (Dependence::Address, [true, true, false]),
        (Dependence::AddressAndPort, [true, false, false]),
    ] {
        for mapping in [Dependence::Endpoint, Dependence::Address, Dependence::AddressAndPort] {
            let mut nat = nat(Behaviour { mapping, filtering, ..Behaviour::default() });
            let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
            let seen = strangers.map(|source| lets_in(&mut nat, at(1), source, public).is_ok());
            assert_eq!(seen, expected, "{mapping:?} × {filtering:?}");
        }
    }
}

#[test]
fn nobody_gets_in_where_nobody_went_out() {
    let mut nat = nat(Behaviour { filtering: Dependence::Endpoint, ..Behaviour::default() });
    let port = address("203.0.113.9:5000");
    assert_eq!(lets_in(&mut nat, at(0), PEERS[0], port), Err(Dropped::NoMapping));
}

#[test]
fn rfc4787_req9_hairpinning_with_external_source() {
    for (hairpin, expected) in [
        (Hairpin::ExternalSource, Some("203.0.113.9:6000")),
        (Hairpin::InternalSource, Some("10.0.0.8:6000")),
        (Hairpin::None, None),
    ] {
        let mut nat = nat(Behaviour { hairpin, filtering: Dependence::Endpoint, ..Behaviour::default() });
        let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
        let turned = nat.outbound(at(0), Flow::udp(address("10.0.0.8:6000"), public));
        let expected = expected.map(|source| Passed::Hairpin(Flow::udp(address(source), address(HOST))));
        assert_eq!(turned, expected.ok_or(Dropped::NoHairpin));
    }
}

/// A packet that turns round is filtered like any other that comes in.
#[test]
fn hairpinned_packets_are_filtered_too() {
    let mut nat = nat(Behaviour::default());
    let (one, other) = (address(HOST), address("10.0.0.8:6000"));
    let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
    assert_eq!(nat.outbound(at(0), Flow::udp(other, public)), Err(Dropped::Filtered));
    // Its try has opened its own side, so now the first can reach it, and then it the first.
    let theirs = address("203.0.113.9:6000");
    assert!(nat.outbound(at(0), Flow::udp(one, theirs)).is_ok());
    assert!(nat.outbound(at(0), Flow::udp(other, public)).is_ok());
}

#[test]
fn capacity_of_the_nat_and_of_one_host() {
    let mut small = nat(Behaviour { capacity: 10, ..Behaviour::default() });
    let mut mean = nat(Behaviour { per_host: 3, ..Behaviour::default() });
    let made = |nat: &mut Nat, host: u8| {
        (0..20).filter(|n| out(nat, at(0), &format!("10.0.0.{host}:{}", 6_000 + n), PEERS[0]).is_ok()).count()
    };
    assert_eq!((made(&mut small, 1), made(&mut small, 2)), (10, 0));
    assert_eq!((made(&mut mean, 1), made(&mut mean, 2)), (3, 3));
    // What was there goes on, and what dies makes room.
    assert!(out(&mut small, at(1), "10.0.0.1:6000", PEERS[1]).is_ok());
    assert_eq!(out(&mut small, at(1), "10.0.0.3:1", PEERS[0]), Err(Dropped::Capacity));
    assert!(out(&mut small, at(125), "10.0.0.3:1", PEERS[0]).is_ok());
}

#[test]
fn a_nat_without_free_ports_drops_and_recovers() {
    let mut nat = nat(Behaviour {
        ports: PortRange::from(2_000..=2_003),
        allocation: Allocation::Random,
        ..Behaviour::default()
    });
    let hosts = ["10.0.0.1:9", "10.0.0.2:9", "10.0.0.3:9", "10.0.0.4:9"];
    assert!(hosts.iter().all(|host| out(&mut nat, at(0), host, PEERS[0]).is_ok()));
    assert_eq!(out(&mut nat, at(1), HOST, PEERS[0]), Err(Dropped::Ports));
    assert!(out(&mut nat, at(200), HOST, PEERS[0]).is_ok());
}

/// λ strangers per second really take ports: the sequence moves on by about as many.
#[test]
fn cross_traffic_takes_ports() {
    let gap = |crowd| {
        let sequential =
            Behaviour { allocation: Allocation::Sequential { step: 1 }, crowd, ..Behaviour::default() };
        let mut nat = nat(Behaviour { mapping: Dependence::AddressAndPort, ..sequential });
        let first = out(&mut nat, at(0), HOST, PEERS[0]).unwrap().port();
        let second = out(&mut nat, at(10), HOST, PEERS[1]).unwrap().port();
        second.wrapping_sub(first)
    };
    assert_eq!(gap(0), 1);
    let moved = gap(100);
    assert!((900..=1_100).contains(&moved), "{moved} of about 1,000");
}

/// Whoever draws a picture learns of each new mapping once, and of no stranger's.
#[test]
fn a_new_mapping_is_told_once() {
    for (overload, mapping) in [(false, Dependence::Endpoint), (true, Dependence::AddressAndPort)] {
        let mut nat = nat(Behaviour { overload, mapping, crowd: 100, ..Behaviour::default() });
        let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
        assert_eq!(nat.take_opened(), Some((address(HOST), public)));
        assert_eq!(nat.take_opened(), None);
        out(&mut nat, at(10), HOST, PEERS[0]).unwrap();
        assert_eq!(nat.take_opened(), None);
        let second = out(&mut nat, at(10), HOST, PEERS[1]).unwrap();
        assert_eq!(nat.take_opened(), overload.then_some((address(HOST), second)));
    }
}

#[test]
fn a_reboot_forgets_everything() {
    let mut nat = nat(Behaviour::default());
    let public = out(&mut nat, at(0), HOST, PEERS[0]).unwrap();
    nat.reboot();
    assert_eq!(lets_in(&mut nat, at(0), PEERS[0], public), Err(Dropped::NoMapping));
    assert_eq!(nat.load(at(0)), 0);
}

#[test]
fn udp_and_tcp_have_ports_of_their_own() {
    let mut nat = nat(Behaviour::default());
    let (host, peer) = (address(HOST), address(PEERS[0]));
    for flow in [Flow::udp(host, peer), Flow::tcp(host, peer)] {
        let Ok(Passed::Across(out)) = nat.outbound(at(0), flow) else { panic!("{flow:?}") };
        assert_eq!(out.source, address("203.0.113.9:5000"));
    }
    let public = address("203.0.113.9:5000");
    let other = address(PEERS[1]);
    assert_eq!(nat.inbound(at(0), Flow::tcp(other, public)), Err(Dropped::Filtered));
}

#[test]
fn impossible_nats_are_refused_with_the_reason() {
    let usual = Behaviour::default;
    for (behaviour, why) in [
        (Behaviour { ports: PortRange { first: 0, last: 9 }, ..usual() }, ConfigError::Ports),
        (Behaviour { ports: PortRange { first: 9, last: 8 }, ..usual() }, ConfigError::Ports),
        (Behaviour { ports: PortRange { first: 5, last: 5 }, parity: true, ..usual() }, ConfigError::Parity),
        (Behaviour { allocation: Allocation::Sequential { step: 0 }, ..usual() }, ConfigError::Step),
        (Behaviour { allocation: Allocation::Block { size: 0 }, ..usual() }, ConfigError::Step),
        (Behaviour { lifetime: Span::ZERO, ..usual() }, ConfigError::Lifetime),
        (Behaviour { unreplied: Some(Span::ZERO), ..usual() }, ConfigError::Lifetime),
        (Behaviour { filter_lifetime: Some(Span::ZERO), ..usual() }, ConfigError::Lifetime),
        (Behaviour { tcp_established: Span::ZERO, ..usual() }, ConfigError::Lifetime),
        (Behaviour { crowd: 1_000_000, ..usual() }, ConfigError::Crowd),
        (Behaviour { capacity: u32::MAX, ..usual() }, ConfigError::Capacity),
    ] {
        assert_eq!(behaviour.check(), Err(why));
        assert_eq!(Nat::new(behaviour, vec![ip(PUBLIC)], rng()).map(drop), Err(why));
    }
    for (addresses, why) in [
        (vec![], ConfigError::NoAddress),
        (vec![ip("0.0.0.0")], ConfigError::Address),
        (vec![ip(PUBLIC), ip("ff02::1")], ConfigError::Address),
    ] {
        assert_eq!(Nat::new(usual(), addresses, rng()).map(drop), Err(why));
    }
}
