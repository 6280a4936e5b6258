//! How far a packet gets: every gateway counts, and the one where the count is used up says so
//! (RFC 792, RFC 4443 §3.3).

use bradawl::machine::{HostRequest, Path, SocketId, Transport};
use bradawl::time::Duration;
use bradawl_sim::catalogue::Gateway;
use bradawl_sim::nat::Behaviour;
use bradawl_sim::trace::{Drop, What};
use bradawl_sim::world::{HostId, Keep, NetworkId, NetworkSetup, World};

use super::support::{Act, Told, act, actor, carrier, heard, nat, network, send, told};
use super::{arrives, between, full_cone, seen_by};

const SOCKET: SocketId = SocketId(7);

fn limit(world: &mut World, host: HostId, hops: u8) {
    act(world, host, Act::Ask(HostRequest::Limit { id: SOCKET, hops }));
}

/// Opens port 7000 of a host, as a socket of its own.
fn bind(world: &mut World, host: HostId) {
    let local = world.address(host, 7_000);
    act(world, host, Act::Ask(HostRequest::Bind { id: SOCKET, transport: Transport::Udp, local }));
    told(world, host);
}

/// What a host is told that sends something with this limit.
fn probe(world: &mut World, host: HostId, path: Path, hops: u8) -> Vec<Told> {
    limit(world, host, hops);
    send(world, host, path, b"how far?");
    world.run_for(Duration::from_secs(1));
    told(world, host).into_iter().map(|(_, told)| told).collect()
}

fn expired(path: Path, by: &str) -> Vec<Told> {
    vec![Told::Expired(path, by.parse().expect("an address"))]
}

#[test]
fn each_gateway_on_the_way_out_tells_its_name_however_many_nats_are_before_it() {
    let mut world = World::new(1);
    let server = actor(&mut world, "server", World::INTERNET);
    let carrier = carrier(&mut world, nat(Behaviour::default()));
    let home = network(&mut world, "home", carrier, nat(Behaviour::default()));
    let subnet = Some("192.168.7.0/24".parse().expect("a subnet"));
    let setup = NetworkSetup {
        name: "room",
        outside: home,
        gateway: nat(Behaviour::default()),
        ipv6: false,
        subnet,
        is_carrier: false,
        link: Default::default(),
    };
    let room = world.add_network(setup).expect("a network that can be");
    let alice = actor(&mut world, "alice", room);
    world.run_for(Duration::ZERO);
    bind(&mut world, alice);
    let path = Path::udp(world.address(alice, 7_000), world.address(server, 5_000));
    for (hops, by) in [(1, "192.168.7.1"), (2, "192.168.1.1"), (3, "100.64.0.1")] {
        assert_eq!(probe(&mut world, alice, path, hops), expired(path, by));
    }
    assert_eq!(heard(&mut world, server), []);
    for hops in [4, 0] {
        assert_eq!(probe(&mut world, alice, path, hops), []);
        assert_eq!(heard(&mut world, server).len(), 1, "{hops}");
    }
}

#[test]
fn the_same_of_ipv6_where_nothing_is_translated() {
    let mut world = World::new(1);
    let server = actor(&mut world, "server", World::INTERNET);
    let mut home = World::INTERNET;
    for name in ["office", "desk"] {
        let setup = NetworkSetup {
            name,
            outside: home,
            gateway: Gateway::OPEN,
            ipv6: true,
            subnet: None,
            is_carrier: false,
            link: Default::default(),
        };
        home = world.add_network(setup).expect("a network that can be");
    }
    let alice = actor(&mut world, "alice", home);
    world.run_for(Duration::ZERO);
    let v6 = |world: &World, host, port| {
        let address = world.addresses(host).into_iter().find(std::net::IpAddr::is_ipv6).expect("one");
        std::net::SocketAddr::new(address, port)
    };
    let local = v6(&world, alice, 7_000);
    act(&mut world, alice, Act::Ask(HostRequest::Bind { id: SOCKET, transport: Transport::Udp, local }));
    told(&mut world, alice);
    let path = Path::udp(local, v6(&world, server, 5_000));
    for (hops, by) in [(1, "2001:db8:1000:2::1"), (2, "2001:db8:1000:1::1")] {
        assert_eq!(probe(&mut world, alice, path, hops), expired(path, by));
    }
    assert_eq!(probe(&mut world, alice, path, 3), []);
    assert_eq!(heard(&mut world, server).len(), 1);
}

#[test]
fn a_packet_that_goes_no_further_leaves_no_mapping_there_and_one_before() {
    let mut world = World::keeping(1, Keep::Everything);
    let server = actor(&mut world, "server", World::INTERNET);
    let carrier = carrier(&mut world, nat(Behaviour::default()));
    let home = network(&mut world, "home", carrier, nat(Behaviour::default()));
    let alice = actor(&mut world, "alice", home);
    world.run_for(Duration::ZERO);
    bind(&mut world, alice);
    let path = Path::udp(world.address(alice, 7_000), world.address(server, 5_000));
    probe(&mut world, alice, path, 1);
    probe(&mut world, alice, path, 2);
    let trace = world.finish().trace;
    let mapped = trace.records.iter().filter(|record| matches!(record.what, What::Mapped { .. }));
    let mapped: Vec<_> = mapped.map(|record| trace.places[record.place.0 as usize].name.as_str()).collect();
    assert_eq!(mapped, ["home"], "of two gateways");
}

#[test]
fn on_the_way_in_it_is_the_outer_address_that_tells_and_nothing_private() {
    let mut world = World::new(1);
    let server = actor(&mut world, "server", World::INTERNET);
    let carrier = carrier(&mut world, nat(full_cone()));
    let home = network(&mut world, "home", carrier, nat(full_cone()));
    let alice = actor(&mut world, "alice", home);
    world.run_for(Duration::ZERO);
    let seen = seen_by(&mut world, alice, server);
    assert_eq!(seen.remote.ip().to_string(), "203.0.113.1");
    bind(&mut world, server);
    let path = Path::udp(world.address(server, 7_000), seen.remote);
    // The carrier's own address; then that of the home's gateway, which is 100.64.… where nobody sees it.
    for hops in [1, 2] {
        assert_eq!(probe(&mut world, server, path, hops), expired(path, "203.0.113.1"));
    }
    assert_eq!(heard(&mut world, alice), []);
    assert_eq!(probe(&mut world, server, path, 3), []);
    assert_eq!(heard(&mut world, alice).len(), 1);
    // To a port that nobody has it is for the gateway itself, however far it might go.
    let nobodys = Path::udp(path.local, "203.0.113.1:9".parse().expect("an address"));
    assert_eq!(probe(&mut world, server, nobodys, 1), []);
}

#[test]
fn within_the_carriers_network_the_address_there_tells() {
    let mut world = World::new(1);
    let carrier = carrier(&mut world, nat(Behaviour::default()));
    let home = network(&mut world, "home", carrier, nat(full_cone()));
    let (alice, bob) = (actor(&mut world, "alice", home), actor(&mut world, "bob", carrier));
    world.run_for(Duration::ZERO);
    let seen = seen_by(&mut world, alice, bob);
    bind(&mut world, bob);
    let path = Path::udp(world.address(bob, 7_000), seen.remote);
    assert_eq!(probe(&mut world, bob, path, 1), expired(path, &seen.remote.ip().to_string()));
    assert!(seen.remote.ip().to_string().starts_with("100."));
}

#[test]
fn a_nat_that_passes_no_errors_still_speaks_for_itself() {
    let mut world = World::new(1);
    let server = actor(&mut world, "server", World::INTERNET);
    let carrier = carrier(&mut world, nat(Behaviour::default()));
    let mute = nat(Behaviour { pass_errors: false, ..Behaviour::default() });
    let home = network(&mut world, "home", carrier, mute);
    let alice = actor(&mut world, "alice", home);
    world.run_for(Duration::ZERO);
    bind(&mut world, alice);
    let path = Path::udp(world.address(alice, 7_000), world.address(server, 5_000));
    assert_eq!(probe(&mut world, alice, path, 1), expired(path, "192.168.1.1"));
    assert_eq!(probe(&mut world, alice, path, 2), []);
}

#[test]
fn a_limit_is_the_sockets_own_and_goes_with_it() {
    let mut world = World::new(1);
    let server = actor(&mut world, "server", World::INTERNET);
    let home = network(&mut world, "home", World::INTERNET, nat(Behaviour::default()));
    let alice = actor(&mut world, "alice", home);
    world.run_for(Duration::ZERO);
    bind(&mut world, alice);
    limit(&mut world, alice, 1);
    let other = between(&world, alice, server);
    assert!(arrives(&mut world, alice, other, server).is_some(), "from another port");
    let path = Path::udp(world.address(alice, 7_000), world.address(server, 5_000));
    assert_eq!(arrives(&mut world, alice, path, server), None);
    act(&mut world, alice, Act::Ask(HostRequest::Close { id: SOCKET }));
    bind(&mut world, alice);
    assert!(arrives(&mut world, alice, path, server).is_some(), "a new socket at the same address");
}

/// Where there is no limit of its own there is the usual one, so that no packet goes round for ever.
#[test]
fn a_packet_passes_sixty_three_gateways_and_no_more() {
    for (depth, passes) in [(63, true), (64, false)] {
        let mut world = World::keeping(1, Keep::Everything);
        let server = actor(&mut world, "server", World::INTERNET);
        let inside = (0..depth).fold(World::INTERNET, |outside: NetworkId, _| {
            network(&mut world, "one more", outside, Gateway::OPEN)
        });
        let alice = actor(&mut world, "alice", inside);
        world.run_for(Duration::ZERO);
        let path = between(&world, alice, server);
        assert_eq!(arrives(&mut world, alice, path, server).is_some(), passes);
        let told: Vec<_> = told(&mut world, alice).into_iter().map(|(_, told)| told).collect();
        let expected = if passes { vec![] } else { expired(path, "192.168.1.1") };
        assert_eq!(told, expected);
        let trace = world.finish().trace;
        let ended = trace.records.iter().any(|record| record.what == What::Dropped(Drop::Hops));
        assert_eq!(ended, !passes);
    }
}
