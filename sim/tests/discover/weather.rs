//! Links that jitter, reorder and lose packets in bursts; strangers who take ports; pools, parity, and ports
//! that are not ours alone.

use bradawl::discovery::{Allocation as Found, NatProfile};
use bradawl::time::Duration;
use bradawl_sim::catalogue::Gateway;
use bradawl_sim::discover::{Lab, Truth};
use bradawl_sim::link::Quality;
use bradawl_sim::nat::{Allocation, Behaviour, Dependence, Pooling};
use bradawl_sim::units::{Chance, Span};

use super::{Score, found, gateway, known, link, nats};

/// Every mapping with every filter, through such a link.
fn through(seeds: u32, weather: fn(Quality) -> Quality) -> Score {
    let mut score = Score::default();
    for (number, nat) in nats() {
        for seed in (0..seeds).map(|round| round * 9 + number) {
            let lab = Lab { behind: vec![gateway(nat.clone())], link: weather(link(seed)), ..Lab::default() };
            score.add(&format!("seed {seed}"), &found(seed, &lab).profile, &Truth::of(&lab.behind));
        }
    }
    score
}

#[test]
fn jitter_misleads_nobody() {
    through(2, |link| Quality { jitter: Span::from_millis(15), ..link }).is_at_least(99);
}

/// One socket waits for what comes from a server's other address unasked, and then asks that address. What
/// came late, and so through the door that it had opened, was taken for a filter that lets everybody in.
#[test]
fn a_late_answer_that_comes_through_an_open_door_is_no_open_filter() {
    for seed in 0..12 {
        let nat = Behaviour { filtering: Dependence::Address, ..Behaviour::default() };
        let link = Quality { jitter: Span::from_millis(15), ..link(seed) };
        let lab = Lab { behind: vec![gateway(nat)], link, ..Lab::default() };
        let filtering = found(seed, &lab).profile.filtering.map(|finding| finding.value);
        assert_eq!(filtering, Some(bradawl::discovery::Dependence::Address), "seed {seed}");
    }
}

#[test]
fn reordering_misleads_nobody() {
    let weather = |link| Quality { reorder: Chance::percent(10), hold: Span::from_millis(8), ..link };
    through(2, weather).is_at_least(99);
}

/// Three packets in a row on average, of one packet in a hundred.
#[test]
fn bursts_of_losses_may_hide_but_do_not_mislead() {
    let weather = |link| Quality { burst: Chance::percent(1), burst_end: Chance::percent(33), ..link };
    through(2, weather).is_at_least(97);
}

#[test]
fn duplicates_change_nothing() {
    through(2, |link| Quality { duplicate: Chance::percent(20), ..link }).is_at_least(99);
}

/// 264 a second is what was measured behind a busy carrier's NAT.
#[test]
fn strangers_who_take_ports_are_seen_and_counted() {
    const PER_SECOND: u32 = 264;
    let (mut sequential, mut near, mut counted) = (0, 0, 0);
    let seeds = 12;
    for seed in 0..seeds {
        let nat = Behaviour {
            mapping: [Dependence::Endpoint, Dependence::AddressAndPort][seed as usize % 2],
            allocation: Allocation::Sequential { step: 1 },
            crowd: PER_SECOND,
            ..Behaviour::default()
        };
        let millis = [20, 100, 180, 300][seed as usize / 2 % 4];
        let link = Quality { delay: Span::from_millis(millis / 2), ..Quality::default() };
        let lab = Lab { behind: vec![gateway(nat)], link, ..Lab::default() };
        let NatProfile { allocation, traffic, .. } = found(seed, &lab).profile;
        sequential += u32::from(allocation.map(|it| it.value) == Some(Found::Sequential { step: 1 }));
        if millis >= 100 {
            counted += 1;
            near += u32::from(traffic.is_some_and(|it| (132..=528).contains(&it.value)));
        }
    }
    assert_eq!((sequential, near), (seeds, counted));
}

#[test]
fn nobody_is_counted_where_nobody_is() {
    for seed in 0..4 {
        let nat = Behaviour { allocation: Allocation::Sequential { step: 1 }, ..Behaviour::default() };
        let link = Quality { delay: Span::from_millis(50), ..Quality::default() };
        let lab = Lab { behind: vec![gateway(nat)], link, ..Lab::default() };
        let traffic = found(seed, &lab).profile.traffic.map(|finding| finding.value);
        assert_eq!(traffic, Some(0), "seed {seed}");
    }
}

#[test]
fn arbitrary_pooling_is_several_addresses() {
    for (seed, nat) in nats().filter(|(_, nat)| !matches!(nat.allocation, Allocation::Block { .. })) {
        let pool = |pooling| {
            let nat = Behaviour { pooling, ..nat.clone() };
            let behind = vec![Gateway { addresses: 4, ..gateway(nat) }];
            let profile = found(seed, &Lab { behind, link: link(seed), ..Lab::default() }).profile;
            (profile.several_addresses.map(|finding| finding.value), profile.public.len())
        };
        assert_eq!(pool(Pooling::Paired), (Some(false), 1), "{nat:?}");
        let (several, public) = pool(Pooling::Arbitrary);
        assert!(several == Some(true) && (2..=4).contains(&public), "{nat:?}: {several:?}, {public}");
    }
}

#[test]
fn parity_is_seen_where_ports_move() {
    for seed in 0..4 {
        let parity = |parity| {
            let nat = Behaviour { parity, allocation: Allocation::Random, ..Behaviour::default() };
            let lab = Lab { behind: vec![gateway(nat)], link: link(seed), ..Lab::default() };
            found(seed, &lab).profile.parity.map(|finding| (finding.value, finding.confidence.is_sure()))
        };
        let (kept, is_sure) = parity(true).expect("it is seen");
        assert!(kept, "seed {seed}: {is_sure}");
        assert_eq!(parity(false), Some((false, true)), "seed {seed}");
    }
}

/// Where a packet that comes early costs the port, it is not ours alone. That none did says nothing.
#[test]
fn who_shares_ports_is_found_out_where_early_packets_cost_them() {
    for seed in 0..6 {
        for (name, expected) in
            [("linux", Some(true)), ("linux-firewall", None), ("symmetric-preserving", None), ("home", None)]
        {
            let lab = Lab { behind: known(name), link: link(seed), ..Lab::default() };
            let profile = found(seed, &lab).profile;
            assert_eq!(profile.overloaded.map(|finding| finding.value), expected, "{name}, seed {seed}");
        }
    }
}

#[test]
fn a_quick_pass_takes_no_longer_because_packets_come_twice() {
    let twice = Quality { duplicate: Chance::ALWAYS, ..link(1) };
    let lab = Lab { behind: known("home"), link: twice, ..Lab::default() };
    let once = Lab { link: link(1), ..lab.clone() };
    let [twice, once] = [lab, once].map(|lab| found(1, &lab).quick.expect("it is over"));
    assert!(twice <= once + Duration::from_millis(5), "{twice:?}, {once:?}");
}
