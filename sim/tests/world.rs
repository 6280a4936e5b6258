//! Whole worlds: what the small peers do behind every NAT of the catalogue is what the oracle says.

use std::collections::BTreeMap;

use bradawl::time::{Duration, Instant};
use bradawl_sim::catalogue;
use bradawl_sim::scenario::{HostSpec, INTERNET, NetworkSpec, Program, Scenario};
use bradawl_sim::units::Span;
use bradawl_sim::world::{Keep, Report, World};

fn host(run: Program, network: &str) -> HostSpec {
    let needs = run == Program::Peer;
    HostSpec {
        run,
        networks: vec![network.to_owned()],
        addresses: Vec::new(),
        server: needs.then(|| "mediator".to_owned()),
        peer: None,
        start: Span::ZERO,
        link: Default::default(),
    }
}

fn pair(a: &str, b: &str, seed: u32) -> Scenario {
    let network = |behind: &str| NetworkSpec {
        outside: INTERNET.to_owned(),
        behind: behind.to_owned(),
        ipv6: false,
        subnet: None,
        link: bradawl_sim::link::Quality { delay: Span::from_millis(20), ..Default::default() },
    };
    let mut alice = host(Program::Peer, "lan-a");
    alice.peer = Some("bob".to_owned());
    let mut bob = host(Program::Peer, "lan-b");
    bob.peer = Some("alice".to_owned());
    Scenario {
        seed,
        networks: BTreeMap::from([("lan-a".to_owned(), network(a)), ("lan-b".to_owned(), network(b))]),
        hosts: BTreeMap::from([
            ("mediator".to_owned(), host(Program::Mediator, INTERNET)),
            ("alice".to_owned(), alice),
            ("bob".to_owned(), bob),
        ]),
        ..Scenario::default()
    }
}

fn run(scenario: &Scenario) -> Report {
    let mut world = World::of(scenario, Keep::Digest).expect("a world");
    world.run_until_settled(Duration::from_secs(2), Instant::ZERO + scenario.time.duration());
    world.finish()
}

#[test]
fn what_the_oracle_says_is_what_happens() {
    for a in catalogue::entries() {
        for b in catalogue::entries() {
            for seed in 0..2 {
                let scenario = pair(a.name, b.name, seed);
                assert_eq!(scenario.check(), Ok(()), "{} × {}", a.name, b.name);
                let report = run(&scenario);
                let [pair] = &report.pairs[..] else { panic!("one pair") };
                println!(
                    "{} × {}: {} → {:?}, {} packets",
                    a.name, b.name, pair.expectation, pair.outcome, pair.packets
                );
                assert!(report.violations.is_empty(), "{} × {}: {:?}", a.name, b.name, report.violations);
            }
        }
    }
}
