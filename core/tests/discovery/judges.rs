//! Whatever servers say, no conclusion fails, and none is surer than anything can be.

use std::net::SocketAddr;

use bradawl::discovery::{Circumstances, Confidence, Kind, NatProfile};
use proptest::prelude::*;

use crate::world::{Nat, World, address, servers};

fn check(profile: &NatProfile) {
    let all = [
        profile.udp.map(|finding| finding.confidence),
        profile.translated.map(|finding| finding.confidence),
        profile.mapping.map(|finding| finding.confidence),
        profile.overloaded.map(|finding| finding.confidence),
        profile.filtering.map(|finding| finding.confidence),
        profile.allocation.map(|finding| finding.confidence),
        profile.traffic.map(|finding| finding.confidence),
        profile.parity.map(|finding| finding.confidence),
        profile.hairpin.map(|finding| finding.confidence),
        profile.several_addresses.map(|finding| finding.confidence),
        profile.carrier.map(|finding| finding.confidence),
        Some(profile.confidence()),
    ];
    for confidence in all.into_iter().flatten() {
        assert!(confidence <= Confidence::MAX && confidence.bits() <= Confidence::MAX.bits());
        assert!(confidence.value() < 1.0);
    }
    for kind in Kind::ALL {
        let _ = profile.forecast(kind);
    }
    let _ = (profile.label(), profile.hints(Circumstances::default()).count());
}

/// Servers that say of each socket what comes next.
fn told(says: Vec<SocketAddr>, count: u8) -> NatProfile {
    let mut world = World::new(Nat::Cone, servers(count));
    world.says = says;
    world.run().clone()
}

/// Some ports are below a quarter of all and the others above three quarters, close together as if a
/// counter had begun again, and in no order: this was an overflow once.
#[test]
fn high_ports_and_low_ports_in_no_order() {
    let ports = [65_000, 1_500, 64_000, 3_000, 61_000, 1_100, 65_500, 2_000, 62_000, 5_000];
    let says = ports.iter().map(|port| SocketAddr::new(address("203.0.113.9:1").ip(), *port)).collect();
    check(&told(says, 3));
}

prop_compose! {
    fn endpoint()(
        ip in prop::sample::select(vec!["203.0.113.9", "203.0.113.10", "10.0.0.1", "192.168.1.7", "2001:db8::1"]),
        port in prop_oneof![
            any::<u16>(),
            1_024..1_200_u16,
            65_400..=65_535_u16,
            prop::sample::select(vec![0, 1, 40_000, 50_001, 65_535]),
        ],
    ) -> SocketAddr {
        SocketAddr::new(ip.parse().expect("an address"), port)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_servers_say(says in prop::collection::vec(endpoint(), 1..80), count in 1..=9_u8) {
        check(&told(says, count));
    }

    #[test]
    fn whatever_ports_they_see(
        ports in prop::collection::vec(any::<u16>(), 1..80),
        base in any::<u16>(),
        step in -300..300_i32,
        noise in 0..3_u16,
        count in 1..=5_u8,
    ) {
        let ip = address("203.0.113.9:1").ip();
        let says = ports.iter().enumerate().map(|(at, random)| {
            let port = i32::from(base) + at as i32 * step + i32::from(random % (noise * 50 + 1));
            SocketAddr::new(ip, port as u16)
        });
        check(&told(says.collect(), count));
    }
}
