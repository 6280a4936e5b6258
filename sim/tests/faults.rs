//! What goes wrong on purpose: every kind of fault strikes two peers who have a path, and shows. They find
//! one again as the invariants want, and without the fault nothing happens.

use std::net::IpAddr;

use bradawl::time::{Duration, Instant};
use bradawl_sim::check::Outcome;
use bradawl_sim::scenario::{Fault, GatewaySpec, Mishap, Scenario};
use bradawl_sim::trace::{Drop, Happened, What};
use bradawl_sim::units::Span;
use bradawl_sim::world::{Keep, Report, World};

/// When the fault strikes. The peers have a path by then.
const STRIKES: Instant = at(10_000);

const fn at(millis: u64) -> Instant {
    Instant::from_micros(millis * 1_000)
}

/// Alice and bob behind these, and what goes wrong, if anything does.
fn scenario(nats: (&str, &str), seed: u32, fault: Option<Mishap>) -> Scenario {
    let text = "
        time = '60 s'
        [network.lan-a]
        behind = 'open'
        link = { delay = '20 ms' }
        [network.lan-b]
        behind = 'open'
        link = { delay = '20 ms' }
        [host.hub]
        run = 'mediator'
        in = 'internet'
        [host.alice]
        run = 'peer'
        in = 'lan-a'
        server = 'hub'
        peer = 'bob'
        [host.bob]
        run = 'peer'
        in = 'lan-b'
        server = 'hub'
        peer = 'alice'
    ";
    let mut scenario = Scenario { seed, ..Scenario::from_toml(text).expect("a scenario") };
    let random = toml::from_str::<GatewaySpec>("allocation = 'random'").expect("a NAT");
    scenario.nats.insert("cone-random".to_owned(), random);
    for (network, behind) in [("lan-a", nats.0), ("lan-b", nats.1)] {
        scenario.networks.get_mut(network).expect("it is in there").behind = behind.to_owned();
    }
    let at = Span::from_micros(STRIKES.as_micros());
    scenario.faults.extend(fault.map(|what| Fault { at, what }));
    assert_eq!(scenario.check(), Ok(()));
    scenario
}

fn run(nats: (&str, &str), seed: u32, fault: Option<Mishap>) -> Report {
    let mut world = World::of(&scenario(nats, seed, fault), Keep::Everything).expect("a world");
    world.run_until(at(60_000));
    world.finish()
}

/// What a host says, and when.
fn says<'a>(report: &'a Report, name: &'a str) -> impl Iterator<Item = (Instant, &'a Happened)> {
    report.trace.records.iter().filter_map(move |record| match &record.what {
        What::Says(happened) if report.trace.places[record.place.0 as usize].name == name => {
            Some((record.at, happened))
        }
        _ => None,
    })
}

/// How often a host has lost its path, and when it had one.
fn fate(report: &Report, name: &str) -> (usize, Vec<Instant>) {
    let lost = says(report, name).filter(|(_, said)| matches!(said, Happened::Lost)).count();
    let selected = says(report, name).filter(|(_, said)| matches!(said, Happened::Selected { .. }));
    (lost, selected.map(|(at, _)| at).collect())
}

fn dropped(report: &Report, why: Drop) -> usize {
    report.trace.records.iter().filter(|record| record.what == What::Dropped(why)).count()
}

/// They have a path in the end, had it in time, and broke nothing.
fn recovered(report: &Report) {
    assert_eq!(report.violations, []);
    let [pair] = &report.pairs[..] else { panic!("one pair") };
    let Outcome::Direct { after, .. } = pair.outcome else { panic!("{:?}", pair.outcome) };
    assert!(after <= Duration::from_secs(10), "{after:?} after the fault");
}

/// A fault that costs both their path: they lose it after it strikes, and have one again after that.
fn costs_the_path(nats: (&str, &str), fault: &Mishap) -> Report {
    let report = run(nats, 1, Some(fault.clone()));
    recovered(&report);
    for name in ["alice", "bob"] {
        let (lost, selected) = fate(&report, name);
        assert!(lost >= 1, "{name} loses its path by {fault:?}");
        assert!(
            selected.first() < Some(&STRIKES) && selected.last() > Some(&STRIKES),
            "{name}: {selected:?}"
        );
    }
    report
}

/// A fault that does not.
fn leaves_the_path(nats: (&str, &str), fault: Option<&Mishap>) -> Report {
    let report = run(nats, 1, fault.cloned());
    assert_eq!(report.violations, []);
    for name in ["alice", "bob"] {
        let (lost, selected) = fate(&report, name);
        assert_eq!((lost, selected.len()), (0, 1), "{name} keeps its path in spite of {fault:?}");
    }
    report
}

const HOMES: (&str, &str) = ("home", "port-restricted");

fn alice() -> String {
    "alice".to_owned()
}

#[test]
fn without_a_fault_nothing_is_lost() {
    let report = leaves_the_path(HOMES, None);
    for why in [Drop::LinkDown, Drop::HostDown, Drop::NoRoute] {
        assert_eq!(dropped(&report, why), 0, "{why}");
    }
}

#[test]
fn down_the_links_of_a_host_carry_nothing_for_a_while() {
    let down = |seconds| Mishap::Down { of: alice(), time: Span::from_secs(seconds) };
    let report = costs_the_path(HOMES, &down(8));
    assert!(dropped(&report, Drop::LinkDown) > 0);
    // A short time is survived: checks come every second, and five seconds of silence are the limit.
    assert!(dropped(&leaves_the_path(HOMES, Some(&down(1))), Drop::LinkDown) > 0);
}

#[test]
fn down_the_link_of_a_network_carries_nothing_for_a_while() {
    let down = |seconds| Mishap::Down { of: "lan-b".to_owned(), time: Span::from_secs(seconds) };
    let report = costs_the_path(HOMES, &down(8));
    let ends = STRIKES + Duration::from_secs(8);
    let is_dropped = |what: &What| *what == What::Dropped(Drop::LinkDown);
    let drops: Vec<_> = report.trace.records.iter().filter(|record| is_dropped(&record.what)).collect();
    assert!(!drops.is_empty() && drops.iter().all(|record| (STRIKES..ends).contains(&record.at)));
    leaves_the_path(HOMES, Some(&down(1)));
}

/// Where ports are random, the old public endpoint is gone for good; where they are preserved, the first
/// packet out brings it back.
#[test]
fn reboot_a_nat_forgets_its_mappings() {
    let reboot = Mishap::Reboot("lan-a".to_owned());
    let report = costs_the_path(("cone-random", "port-restricted"), &reboot);
    let mapped = |report: &Report| {
        let records = report.trace.records.iter().filter(|record| record.at > STRIKES);
        records.filter(|record| matches!(record.what, What::Mapped { .. })).count()
    };
    assert!(mapped(&report) > 0);
    assert!(mapped(&leaves_the_path(HOMES, Some(&reboot))) > 0, "the same endpoint, mapped anew");
    assert_eq!(mapped(&leaves_the_path(HOMES, None)), 0);
}

#[test]
fn readdress_a_host_gets_another_address_and_loses_its_sockets() {
    let report = costs_the_path(HOMES, &Mishap::Readdress(alice()));
    let locals: Vec<IpAddr> = says(&report, "alice")
        .filter_map(|(_, said)| match said {
            Happened::Selected { local, .. } => Some(local.ip()),
            _ => None,
        })
        .collect();
    assert_ne!(locals.first(), locals.last());
}

/// A sleeper hears and says nothing, and is told when it wakes up.
#[test]
fn sleep_a_host_is_gone_for_a_while_and_finds_itself_elsewhere() {
    let sleep = Mishap::Sleep { of: alice(), time: Span::from_secs(20) };
    let report = costs_the_path(HOMES, &sleep);
    assert!(dropped(&report, Drop::HostDown) > 0);
    let wakes = STRIKES + Duration::from_secs(20);
    let asleep = report.trace.records.iter().filter(|record| {
        let is_alice = report.trace.places[record.place.0 as usize].name == "alice";
        is_alice && record.what == What::Sent && record.at > STRIKES && record.at < wakes
    });
    assert_eq!(asleep.count(), 0);
    let lost = says(&report, "alice").find(|(_, said)| matches!(said, Happened::Lost));
    assert_eq!(lost.map(|(at, _)| at), Some(wakes), "it knows as soon as it wakes up");
}

#[test]
fn restart_a_program_is_killed_and_begins_again_from_nothing() {
    let restart = Mishap::Restart { of: alice(), time: Span::from_secs(3) };
    let report = run(HOMES, 1, Some(restart));
    recovered(&report);
    let back = STRIKES + Duration::from_secs(3);
    let (lost, selected) = fate(&report, "alice");
    assert_eq!(lost, 0, "the new one has never had a path");
    assert!(selected.len() == 2 && selected[1] > back, "{selected:?}");
    assert!(fate(&report, "bob").0 >= 1, "the other one has lost it");
    let warrants = says(&report, "alice").filter(|(_, said)| matches!(said, Happened::MaySend { .. }));
    assert!(warrants.into_iter().any(|(at, _)| at == back), "it begins with its warrants");
}

/// Replayed, forged and garbled packets reach the host, which is open to all, and nothing comes of it.
#[test]
fn evil_a_stranger_is_ignored() {
    let evil = Mishap::Evil { to: alice(), packets: 1_000 };
    let open = ("full-cone", "full-cone");
    let from_lair = |report: &Report| {
        let lair: IpAddr = "192.0.2.66".parse().expect("an address");
        let received = report.trace.records.iter().filter(|record| record.what == What::Received);
        received.filter(|record| record.packet.is_some_and(|packet| packet.flow.source.ip() == lair)).count()
    };
    let report = leaves_the_path(open, Some(&evil));
    assert!(from_lair(&report) > 100, "{} packets from the stranger", from_lair(&report));
    let repeated = report.trace.records.iter().filter(|record| {
        record.what == What::Received
            && record.at > STRIKES
            && record.packet.is_some_and(|packet| {
                let is_same =
                    |first: &bradawl_sim::trace::Record| first.packet.is_some_and(|it| it.id == packet.id);
                let before = report.trace.records.iter().take_while(|first| !std::ptr::eq(*first, *record));
                before.into_iter().any(|first| first.what == What::Received && is_same(first))
            })
    });
    assert!(repeated.count() > 10, "overheard packets come again");
    assert_eq!(from_lair(&leaves_the_path(open, None)), 0);
    // A filter keeps those from elsewhere out.
    assert_eq!(from_lair(&leaves_the_path(HOMES, Some(&evil))), 0);
}

/// Every fault, through many NATs: whatever it costs, it is made good, and no invariant is broken.
#[test]
fn after_any_fault_behind_any_nats_all_is_well_again() {
    let time = Span::from_secs(7);
    let faults = [
        Mishap::Down { of: alice(), time },
        Mishap::Down { of: "lan-a".to_owned(), time },
        Mishap::Reboot("lan-a".to_owned()),
        Mishap::Reboot("lan-b".to_owned()),
        Mishap::Readdress(alice()),
        Mishap::Sleep { of: alice(), time },
        Mishap::Restart { of: alice(), time },
        Mishap::Evil { to: alice(), packets: 300 },
    ];
    let nats = [
        HOMES,
        ("cone-random", "cone-random"),
        ("symmetric-random", "restricted"),
        ("cgn", "open"),
        ("v6-firewall", "v6-firewall"),
        ("short-lived", "carrier"),
    ];
    for fault in &faults {
        for nats in nats {
            for seed in 0..3 {
                let report = run(nats, seed, Some(fault.clone()));
                assert_eq!(report.violations, [], "{nats:?}, seed {seed}, {fault:?}");
                recovered(&report);
            }
        }
    }
}
