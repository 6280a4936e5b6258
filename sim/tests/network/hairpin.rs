//! Two behind the same NAT who know each other's public address only (RFC 4787 §6).

use std::net::SocketAddr;

use bradawl::machine::Path;
use bradawl::time::Duration;
use bradawl_sim::catalogue::Gateway;
use bradawl_sim::nat::{Behaviour, Hairpin};
use bradawl_sim::world::{HostId, NetworkId, World};

use super::support::{actor, carrier, nat, network};
use super::{arrives, full_cone, nested, seen_by};

fn turning(hairpin: Hairpin) -> Gateway {
    nat(Behaviour { hairpin, ..full_cone() })
}

/// Two hosts in these networks, and the public addresses that a server sees them at.
fn couple(world: &mut World, networks: [NetworkId; 2]) -> ([HostId; 2], [SocketAddr; 2]) {
    let server = actor(world, "server", World::INTERNET);
    let hosts = networks.map(|network| actor(world, "host", network));
    world.run_for(Duration::ZERO);
    let seen = hosts.map(|host| seen_by(world, host, server).remote);
    (hosts, seen)
}

/// Where what alice sends to bob's public address seems to come from.
fn source(world: &mut World, networks: [NetworkId; 2]) -> Option<Source> {
    let ([alice, bob], [alice_seen, bob_seen]) = couple(world, networks);
    let own = world.address(alice, 5_000);
    let heard = arrives(world, alice, Path::udp(own, bob_seen), bob)?;
    Some(match heard.remote {
        remote if remote == alice_seen => Source::Public,
        remote if remote == own => Source::Private,
        _ => Source::Other,
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Source {
    Public,
    Private,
    Other,
}

#[test]
fn rfc4787_req9_a_home_turns_packets_round_as_it_is_told_to() {
    for (hairpin, expected) in [
        (Hairpin::ExternalSource, Some(Source::Public)),
        (Hairpin::InternalSource, Some(Source::Private)),
        (Hairpin::None, None),
    ] {
        let mut world = World::new(1);
        let home = network(&mut world, "home", World::INTERNET, turning(hairpin));
        assert_eq!(source(&mut world, [home, home]), expected, "{hairpin:?}");
    }
}

/// The homes of two customers, each with a NAT of its own, and the carrier's above both. The carrier's
/// inside is the homes' outside.
#[test]
fn rfc6888_req1_a_carrier_turns_packets_round_between_its_customers() {
    for (hairpin, expected) in [
        (Hairpin::ExternalSource, Some(Source::Public)),
        (Hairpin::InternalSource, Some(Source::Other)),
        (Hairpin::None, None),
    ] {
        let mut world = World::new(1);
        let carrier = carrier(&mut world, turning(hairpin));
        let homes = [0, 1].map(|_| network(&mut world, "home", carrier, nat(full_cone())));
        assert_eq!(source(&mut world, homes), expected, "{hairpin:?}");
    }
}

/// What comes back in has to pass the filter of the home, as if it had come from far away.
#[test]
fn what_was_turned_round_is_filtered_like_anything() {
    let mut world = World::new(1);
    let carrier = carrier(&mut world, turning(Hairpin::ExternalSource));
    let homes = [0, 1].map(|_| nested(&mut world, carrier, 1));
    let ([alice, bob], [alice_seen, bob_seen]) = couple(&mut world, homes);
    let [alice_own, bob_own] = [alice, bob].map(|host| world.address(host, 5_000));
    assert_eq!(arrives(&mut world, alice, Path::udp(alice_own, bob_seen), bob), None);
    let heard = arrives(&mut world, bob, Path::udp(bob_own, alice_seen), alice);
    assert_eq!(heard, Some(Path::udp(alice_own, bob_seen)), "alice has sent there");
}
