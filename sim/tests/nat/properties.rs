//! What holds for every NAT.

use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};
use bradawl_sim::nat::{Allocation, Behaviour, Dependence, Fallback, Flow, Nat, Passed};
use bradawl_sim::units::Span;
use proptest::prelude::*;

use super::{PEERS, PUBLIC, address, ip};

prop_compose! {
    fn behaviours()(
        mapping in 0usize..3, filtering in 0usize..3, allocation in 0usize..5, crowd in 0u32..5,
        flags: [bool; 7], unreplied in proptest::option::of(1u64..40),
        filter in proptest::option::of(1u64..40), probation in 0u64..3,
    ) -> Behaviour {
        let kinds = [Dependence::Endpoint, Dependence::Address, Dependence::AddressAndPort];
        let allocations = [
            Allocation::Preserve(Fallback::Next),
            Allocation::Preserve(Fallback::Random),
            Allocation::Sequential { step: 3 },
            Allocation::Random,
            Allocation::Block { size: 16 },
        ];
        let [overload, early, parity, contiguity, refresh_outbound, refresh_inbound, well_known] = flags;
        Behaviour {
            mapping: kinds[mapping], filtering: kinds[filtering], allocation: allocations[allocation],
            crowd, overload, early, parity, contiguity, refresh_outbound, refresh_inbound, well_known,
            unreplied: unreplied.map(Span::from_secs), filter_lifetime: filter.map(Span::from_secs),
            probation: Span::from_secs(probation),
            ..Behaviour::default()
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// What goes out can be answered at once by whom it went to, whatever the NAT; and the same seed
    /// and packets give the same ports. In between, strangers knock.
    #[test]
    fn answers_come_back(
        behaviour in behaviours(), seed: u8,
        packets in proptest::collection::vec((1u8..5, 0u16..5, 0usize..3, 0u64..200, any::<bool>()), 1..40),
    ) {
        let addresses = vec![ip(PUBLIC)];
        let mut nats = [0, 1]
            .map(|_| Nat::new(behaviour.clone(), addresses.clone(), Rng::from_seed([seed; 32])).unwrap());
        let mut now = Instant::ZERO;
        for (host, port, peer, pause, knocks) in packets {
            now += Duration::from_millis(pause * 100);
            let inside = address(&format!("10.0.0.{host}:{}", 5_000 + port));
            let remote = address(PEERS[peer]);
            if knocks {
                let public = address(&format!("{PUBLIC}:{}", 5_000 + port));
                let [first, second] = nats.each_mut().map(|nat| nat.inbound(now, Flow::udp(remote, public)));
                prop_assert_eq!(first, second);
            }
            let [first, second] = nats.each_mut().map(|nat| nat.outbound(now, Flow::udp(inside, remote)));
            prop_assert_eq!(first, second);
            let Ok(Passed::Across(across)) = first else { return Err(TestCaseError::fail("dropped")) };
            for nat in &mut nats {
                if let Some(opened) = nat.take_opened() {
                    prop_assert_eq!(opened, (inside, across.source));
                }
                let complaint = nat.error_inbound(now, across);
                prop_assert_eq!(complaint, Some(Flow::udp(inside, remote)));
                let back = nat.inbound(now, Flow::udp(remote, across.source));
                prop_assert_eq!(back.map(|flow| flow.destination), Ok(inside));
                let complaint = nat.error_outbound(now, Flow::udp(remote, inside));
                prop_assert_eq!(complaint, Some(Flow::udp(remote, across.source)));
            }
        }
    }

    /// Everything dies in the end, and leaves its ports to others.
    #[test]
    fn nothing_is_left_behind(
        behaviour in behaviours(), packets in proptest::collection::vec((1u8..5, 0u16..50, 0usize..3), 1..60),
    ) {
        let behaviour = Behaviour { crowd: 0, ..behaviour };
        let mut nat = Nat::new(behaviour, vec![ip(PUBLIC)], Rng::from_seed([1; 32])).unwrap();
        for (host, port, peer) in packets {
            let inside = address(&format!("10.0.0.{host}:{}", 5_000 + port));
            let _ = nat.outbound(Instant::ZERO, Flow::udp(inside, address(PEERS[peer])));
            let _ = nat.inbound(Instant::ZERO, Flow::udp(address(PEERS[peer]), address("203.0.113.9:5001")));
            let _ = nat.outbound(Instant::ZERO, Flow::tcp(inside, address(PEERS[peer])).opening());
        }
        prop_assert_eq!(nat.load(Instant::ZERO + Duration::from_secs(8_000)), 0);
    }

    /// A NAT can be written down and read again.
    #[test]
    fn behaviours_survive_being_written(behaviour in behaviours()) {
        let text = toml::to_string(&behaviour).unwrap();
        prop_assert_eq!(toml::from_str::<Behaviour>(&text).unwrap(), behaviour, "{}", text);
    }
}

#[test]
fn every_allocation_reads_well() {
    for (text, allocation) in [
        ("allocation = 'random'", Allocation::Random),
        ("allocation = { sequential = { step = 2 } }", Allocation::Sequential { step: 2 }),
        ("allocation = { preserve = 'next' }", Allocation::Preserve(Fallback::Next)),
        ("allocation.block.size = 512", Allocation::Block { size: 512 }),
    ] {
        assert_eq!(toml::from_str(text), Ok(Behaviour { allocation, ..Behaviour::default() }));
    }
    for (text, word) in
        [("mappin = 'endpoint'", "mappin"), ("ports = '9'", "1024-65535"), ("lifetime = 5", "string")]
    {
        let error = toml::from_str::<Behaviour>(text).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
}
