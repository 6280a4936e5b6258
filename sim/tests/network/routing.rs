//! Who reaches whom.

use std::net::{IpAddr, SocketAddr};

use bradawl::machine::{Path, Unreachable};
use bradawl::time::Duration;
use bradawl_sim::catalogue::Gateway;
use bradawl_sim::link::Quality;
use bradawl_sim::program::Policy;
use bradawl_sim::scenario::{CARRIER, HOME};
use bradawl_sim::trace::{Drop, What};
use bradawl_sim::world::{HostId, HostSetup, Keep, NetworkSetup, World};

use super::support::{Actor, Told, actor, carrier, heard, known, nat, network, send, told};
use super::{arrives, between, full_cone, nested, seen_by};

#[test]
fn two_hosts_in_one_lan_reach_each_other_without_the_nat() {
    let mut world = World::keeping(1, Keep::Everything);
    let home = nested(&mut world, World::INTERNET, 1);
    let (alice, bob) = (actor(&mut world, "alice", home), actor(&mut world, "bob", home));
    world.run_for(Duration::ZERO);
    let path = between(&world, alice, bob);
    assert_eq!(arrives(&mut world, alice, path, bob), Some(Path::udp(path.remote, path.local)));
    let trace = world.finish().trace;
    let is_translated = |what: &What| matches!(what, What::Mapped { .. } | What::Crossed(_));
    assert!(trace.records.iter().all(|record| !is_translated(&record.what)));
}

#[test]
fn a_host_behind_a_nat_is_seen_at_its_public_address_and_answered_there() {
    let mut world = World::new(1);
    let home = nested(&mut world, World::INTERNET, 1);
    let (alice, server) = (actor(&mut world, "alice", home), actor(&mut world, "server", World::INTERNET));
    world.run_for(Duration::ZERO);
    let seen = seen_by(&mut world, alice, server);
    assert_eq!(seen.remote, "203.0.113.1:5000".parse().expect("an address"));
    let back = arrives(&mut world, server, seen, alice).expect("the answer");
    assert_eq!(back, between(&world, alice, server));
}

/// Two homes, and in both of them a host with the same address.
#[test]
fn colliding_addresses_lead_to_whoever_has_them_here() {
    let mut world = World::new(1);
    let (here, there) = (nested(&mut world, World::INTERNET, 1), nested(&mut world, World::INTERNET, 1));
    let (alice, bob) = (actor(&mut world, "alice", here), actor(&mut world, "bob", there));
    let carol = actor(&mut world, "carol", here);
    let dave = actor(&mut world, "dave", there);
    world.run_for(Duration::ZERO);
    assert_eq!(world.addresses(alice), world.addresses(bob));
    assert_eq!(world.addresses(carol), world.addresses(dave));
    let to_dave = between(&world, alice, dave);
    send(&mut world, alice, to_dave, b"whoever has that address");
    world.run_for(Duration::from_secs(1));
    assert_eq!(heard(&mut world, carol).len(), 1);
    assert_eq!(heard(&mut world, dave), []);
    // By their public addresses they meet, once each has sent to the other.
    let public = |last| SocketAddr::new(IpAddr::from([203, 0, 113, last]), 5_000);
    let [local, _] = [alice, bob].map(|host| world.address(host, 5_000));
    assert_eq!(arrives(&mut world, alice, Path::udp(local, public(2)), bob), None);
    assert_eq!(
        arrives(&mut world, bob, Path::udp(local, public(1)), alice),
        Some(Path::udp(local, public(2)))
    );
}

#[test]
fn behind_a_carrier_a_home_is_seen_at_the_carriers_address() {
    let mut world = World::new(1);
    let carrier = carrier(&mut world, nat(full_cone()));
    let homes = [nested(&mut world, carrier, 1), nested(&mut world, carrier, 1)];
    let [alice, bob] = homes.map(|home| actor(&mut world, "customer", home));
    let server = actor(&mut world, "server", World::INTERNET);
    let neighbour = actor(&mut world, "neighbour", carrier);
    world.run_for(Duration::ZERO);
    let public: IpAddr = "203.0.113.1".parse().expect("an address");
    for customer in [alice, bob] {
        let seen = seen_by(&mut world, customer, server);
        assert_eq!(seen.remote.ip(), public);
        assert_eq!(arrives(&mut world, server, seen, customer), Some(between(&world, customer, server)));
        assert!(HOME.contains(ipv4(world.addresses(customer)[0])));
    }
    // Inside the carrier's network the homes have addresses of that.
    let seen = seen_by(&mut world, alice, neighbour).remote;
    assert!(CARRIER.contains(ipv4(seen.ip())), "{seen}");
}

fn ipv4(address: IpAddr) -> std::net::Ipv4Addr {
    let IpAddr::V4(address) = address else { panic!("{address} is not IPv4") };
    address
}

#[test]
fn a_host_with_two_interfaces_sends_by_the_one_whose_address_it_uses() {
    let mut world = World::new(1);
    let home = nested(&mut world, World::INTERNET, 1);
    let server = actor(&mut world, "server", World::INTERNET);
    let networks = [home, World::INTERNET];
    let setup = HostSetup { listen: &[5_000], policy: Policy::Anybody, ..HostSetup::new("alice", &networks) };
    let alice = world.add_host(setup, |_| Actor::new()).expect("a host that can be");
    world.run_for(Duration::ZERO);
    let there = world.address(server, 5_000);
    let addresses = world.addresses(alice).into_iter().filter(IpAddr::is_ipv4);
    let locals: Vec<_> = addresses.map(|ip| SocketAddr::new(ip, 5_000)).collect();
    let seen: Vec<_> = locals
        .iter()
        .map(|&local| arrives(&mut world, alice, Path::udp(local, there), server).expect("it arrives").remote)
        .collect();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0], "203.0.113.1:5000".parse().expect("an address"), "by the home's NAT");
    assert_eq!(seen[1], locals[1], "directly");
}

/// A network with IPv6 behind this, a host in it and one on the internet; their IPv6 path.
fn ipv6(gateway: Gateway) -> (World, HostId, HostId, Path) {
    let mut world = World::new(1);
    let setup = NetworkSetup {
        name: "home",
        outside: World::INTERNET,
        gateway,
        ipv6: true,
        subnet: None,
        is_carrier: false,
        link: Quality::default(),
    };
    let home = world.add_network(setup).expect("a network that can be");
    let (alice, server) = (actor(&mut world, "alice", home), actor(&mut world, "server", World::INTERNET));
    world.run_for(Duration::ZERO);
    let [here, there] = [alice, server].map(|host| {
        let address = world.addresses(host).into_iter().find(IpAddr::is_ipv6).expect("IPv6");
        SocketAddr::new(address, 5_000)
    });
    (world, alice, server, Path::udp(here, there))
}

fn reversed(path: Path) -> Path {
    Path { local: path.remote, remote: path.local, ..path }
}

#[test]
fn ipv6_passes_the_nat_as_it_is_and_without_a_firewall_both_ways() {
    let (mut world, alice, server, out) = ipv6(known("v6-open"));
    assert_eq!(arrives(&mut world, server, reversed(out), alice), Some(out), "unasked");
    assert_eq!(arrives(&mut world, alice, out, server), Some(reversed(out)));
}

#[test]
fn ipv6_through_a_stateful_firewall_only_answers_come_in() {
    let (mut world, alice, server, out) = ipv6(known("v6-firewall"));
    assert_eq!(arrives(&mut world, server, reversed(out), alice), None, "unasked");
    assert_eq!(arrives(&mut world, alice, out, server), Some(reversed(out)));
    assert_eq!(arrives(&mut world, server, reversed(out), alice), Some(out), "an answer");
    let elsewhere = Path { local: SocketAddr::new(out.remote.ip(), 5_001), ..reversed(out) };
    assert_eq!(arrives(&mut world, server, elsewhere, alice), None, "not from whom it was sent to");
    world.run_for(Duration::from_secs(61));
    assert_eq!(arrives(&mut world, server, reversed(out), alice), None, "too late");
}

#[test]
fn a_network_without_ipv6_has_none() {
    let mut world = World::new(1);
    let home = nested(&mut world, World::INTERNET, 1);
    let alice = actor(&mut world, "alice", home);
    assert!(world.addresses(alice).iter().all(IpAddr::is_ipv4));
}

#[test]
fn routed_ipv4_without_a_nat_is_reached_from_outside() {
    let mut world = World::new(1);
    let office = network(&mut world, "office", World::INTERNET, Gateway::OPEN);
    let room = network(&mut world, "room", office, Gateway::OPEN);
    let guarded = network(&mut world, "guarded", World::INTERNET, known("open-firewall"));
    let server = actor(&mut world, "server", World::INTERNET);
    for (inside, is_open) in [(office, true), (room, true), (guarded, false)] {
        let alice = actor(&mut world, "alice", inside);
        world.run_for(Duration::ZERO);
        let inwards = between(&world, server, alice);
        assert_eq!(arrives(&mut world, server, inwards, alice).is_some(), is_open);
        assert_eq!(seen_by(&mut world, alice, server).remote, inwards.remote, "as it is");
        assert!(arrives(&mut world, server, inwards, alice).is_some(), "an answer");
    }
}

#[test]
fn routed_networks_behind_a_nat_share_its_addresses() {
    let mut world = World::new(1);
    let home = nested(&mut world, World::INTERNET, 1);
    let wing = network(&mut world, "wing", home, Gateway::OPEN);
    let (alice, bob) = (actor(&mut world, "alice", wing), actor(&mut world, "bob", home));
    let server = actor(&mut world, "server", World::INTERNET);
    world.run_for(Duration::ZERO);
    assert_eq!(seen_by(&mut world, alice, bob).remote, world.address(alice, 5_000), "as it is");
    let inwards = between(&world, bob, alice);
    assert!(arrives(&mut world, bob, inwards, alice).is_some());
    assert_eq!(seen_by(&mut world, alice, server).remote, "203.0.113.1:5000".parse().expect("an address"));
}

/// Nobody on the internet answers for addresses that are nobody's; but a host knows which families it has.
#[test]
fn no_route_is_silence_on_the_internet_and_an_error_at_home() {
    let mut world = World::keeping(1, Keep::Everything);
    let alice = actor(&mut world, "alice", World::INTERNET);
    world.run_for(Duration::ZERO);
    let local = world.address(alice, 5_000);
    let nobody = Path::udp(local, "198.51.100.200:1".parse().expect("an address"));
    send(&mut world, alice, nobody, b"anybody?");
    world.run_for(Duration::from_secs(10));
    assert_eq!(told(&mut world, alice), []);
    let v6 = Path::udp(local, "[2001:db8:1::200]:1".parse().expect("an address"));
    send(&mut world, alice, v6, b"anybody?");
    world.run_for(Duration::from_secs(10));
    let told: Vec<_> = told(&mut world, alice).into_iter().map(|(_, told)| told).collect();
    assert_eq!(told, [Told::Unreachable(v6, Unreachable::Network)]);
    let trace = world.finish().trace;
    let dropped = trace.records.iter().filter(|record| record.what == What::Dropped(Drop::NoRoute));
    assert_eq!(dropped.count(), 2);
}

#[test]
fn a_host_that_is_off_hears_nothing_and_says_nothing() {
    let mut world = World::new(1);
    let alice = actor(&mut world, "alice", World::INTERNET);
    let setup = HostSetup {
        listen: &[5_000],
        policy: Policy::Anybody,
        start: super::support::secs(60),
        ..HostSetup::new("bob", &[World::INTERNET])
    };
    let bob = world.add_host(setup, |_| Actor::new()).expect("a host that can be");
    world.run_for(Duration::ZERO);
    let path = between(&world, alice, bob);
    send(&mut world, alice, path, b"good morning");
    world.run_until(super::support::secs(60));
    assert_eq!(told(&mut world, alice), [], "not even that nobody listens");
    assert_eq!(heard(&mut world, bob), []);
    assert!(arrives(&mut world, alice, path, bob).is_some());
}
