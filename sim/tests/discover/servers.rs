//! Servers that are dead, far away or of one address only.

use bradawl::discovery::{Dependence as Found, Label};
use bradawl::time::Duration;
use bradawl_sim::discover::{Lab, Truth};
use bradawl_sim::link::Quality;
use bradawl_sim::nat::Dependence;
use bradawl_sim::units::{Chance, Span};

use super::{Score, found, gateway, known, link, nats};

const QUICK: Duration = Duration::from_secs(5);

#[test]
fn eight_of_nine_servers_may_be_dead() {
    let mut score = Score::default();
    for (seed, nat) in nats() {
        for loss in [0, 2] {
            let behind = vec![gateway(nat.clone())];
            let link = Quality { loss: Chance::percent(loss), ..link(seed) };
            let lab = Lab { behind, link, servers: 1, dead: 8, ..Lab::default() };
            let found = found(seed, &lab);
            assert!(found.quick.is_some_and(|quick| quick <= QUICK), "seed {seed}: {:?}", found.quick);
            assert_eq!(found.profile.servers, (9, 1));
            score.add(&format!("seed {seed}"), &found.profile, &Truth::of(&lab.behind));
        }
    }
    score.is_at_least(99);
}

/// They may all be dead: nobody knows that it is the network.
#[test]
fn nobody_answers_and_nobody_is_sure_why() {
    for seed in 0..4 {
        for (name, servers, dead) in
            [("home", 0, 9), ("home", 0, 1), ("udp-blocked", 9, 0), ("only-443", 3, 0)]
        {
            let lab = Lab { behind: known(name), link: link(seed), servers, dead, ..Lab::default() };
            let found = found(seed, &lab);
            assert!(found.quick.is_some_and(|quick| quick <= QUICK), "{name}: {:?}", found.quick);
            let udp = found.profile.udp.expect("that nobody answers is known");
            assert!(!udp.value && !udp.confidence.is_sure(), "{name}: {udp:?}");
            assert_eq!(found.profile.label(), Label::Blocked);
            assert!(!found.profile.confidence().is_sure());
            assert!(found.profile.mapping.is_none() && found.profile.filtering.is_none());
            assert!(found.profile.allocation.is_none() && found.profile.hairpin.is_none());
        }
    }
}

/// RFC 5780 wants a second address for a reason: what depends on addresses is not seen from one. That a port
/// matters is.
#[test]
fn a_server_with_one_address_shows_what_depends_on_ports_and_nothing_else() {
    for (seed, nat) in nats() {
        let behind = vec![gateway(nat.clone())];
        let lab = Lab { behind, link: link(seed), servers: 1, addresses: 1, ..Lab::default() };
        let profile = found(seed, &lab).profile;
        let by_port = |of: Dependence| (of == Dependence::AddressAndPort).then_some(Found::AddressAndPort);
        let (mapping, filtering) =
            (profile.mapping.map(|finding| finding.value), profile.filtering.map(|finding| finding.value));
        assert_eq!(mapping, by_port(nat.mapping), "{nat:?}");
        assert_eq!(filtering, by_port(nat.filtering), "{nat:?}");
    }
}

/// Several of them are several addresses to compare, but none sends from elsewhere.
#[test]
fn three_servers_with_one_address_each_show_the_mapping() {
    for (seed, nat) in nats() {
        let behind = vec![gateway(nat.clone())];
        let truth = Truth::of(&behind);
        let lab = Lab { behind, link: link(seed), addresses: 1, ..Lab::default() };
        let profile = found(seed, &lab).profile;
        assert_eq!(profile.mapping.map(|finding| finding.value), Some(truth.mapping), "{nat:?}");
        let filtering = profile.filtering.map(|finding| finding.value);
        assert!(filtering.is_none_or(|value| value == truth.filtering), "{nat:?}: {filtering:?}");
        assert_eq!(filtering.is_some(), nat.filtering == Dependence::AddressAndPort, "{nat:?}");
    }
}

#[test]
fn servers_may_be_near_and_far() {
    let mut score = Score::default();
    for (seed, nat) in nats() {
        for loss in [0, 2] {
            let behind = vec![gateway(nat.clone())];
            let far = |millis| Quality { delay: Span::from_millis(millis), ..Quality::default() };
            let far = vec![far(140), far(2), far(60)];
            let home =
                Quality { delay: Span::from_millis(5), loss: Chance::percent(loss), ..Quality::default() };
            let lab = Lab { behind, link: home, far, ..Lab::default() };
            score.add(&format!("seed {seed}, {loss} %"), &found(seed, &lab).profile, &Truth::of(&lab.behind));
        }
    }
    score.is_at_least(99);
}
