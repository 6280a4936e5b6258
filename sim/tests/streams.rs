//! TCP through whole worlds: what a program that connects, listens and writes gets to know, behind NATs and
//! firewalls, over bad links and in spite of reboots.

mod support;

use std::net::SocketAddr;

use bradawl::machine::{HostInput, HostRequest, Machine, Meta, Output, Path, SocketId, Verdict};
use bradawl::time::{Duration, Instant};
use bradawl_sim::catalogue::Gateway;
use bradawl_sim::link::Quality;
use bradawl_sim::nat::{Allocation, Behaviour, Dependence};
use bradawl_sim::program::Policy;
use bradawl_sim::trace::Happened;
use bradawl_sim::units::Chance;
use bradawl_sim::world::{HostId, HostSetup, NetworkId, World};

use support::{
    Act, Actor, Told, act, actor, connect, delay, heard, known, linked, listen, nat, network, secs, told,
};

/// How much a program writes at once, and how much it has under way before it waits for the echo.
const CHUNK: usize = 10_000;
const AHEAD: usize = 100_000;

/// The byte at that place of what is sent.
fn byte(index: usize) -> u8 {
    (index % 251) as u8
}

/// Connects, writes so many bytes, and counts what comes back in order.
struct Client {
    local: SocketAddr,
    remote: SocketAddr,
    has_asked: bool,
    path: Option<Path>,
    to_send: usize,
    sent: usize,
    echoed: usize,
    is_whole: bool,
    is_closed: bool,
}

impl Client {
    fn new(local: SocketAddr, remote: SocketAddr, to_send: usize) -> Self {
        let (has_asked, path, is_closed) = (false, None, false);
        Self { local, remote, has_asked, path, to_send, sent: 0, echoed: 0, is_whole: true, is_closed }
    }

    fn is_done(&self) -> bool {
        self.is_whole && self.echoed == self.to_send
    }
}

impl Machine for Client {
    type Event = Happened;

    fn handle_input(&mut self, _: Instant, _: Path, _: Meta, bytes: &[u8]) -> Verdict {
        let echoed = self.echoed;
        self.is_whole &= bytes.iter().enumerate().all(|(index, &got)| got == byte(echoed + index));
        self.echoed += bytes.len();
        Verdict::Consumed
    }

    fn handle_host(&mut self, _: Instant, input: HostInput<'_>) {
        match input {
            HostInput::Connected { path, .. } => self.path = Some(path),
            HostInput::Closed { .. } => (self.path, self.is_closed) = (None, true),
            _ => {}
        }
    }

    fn poll_output(&mut self, _: Instant, buf: &mut [u8]) -> Output<Happened> {
        if !std::mem::replace(&mut self.has_asked, true) {
            let (local, remote) = (self.local, self.remote);
            return Output::Host(HostRequest::Connect { id: SocketId(1), local, remote });
        }
        let Some(path) = self.path else { return Output::Idle(None) };
        let len = CHUNK.min(self.to_send - self.sent);
        if len == 0 || self.sent + len > self.echoed + AHEAD {
            return Output::Idle(None);
        }
        for (index, byte_of) in buf[..len].iter_mut().enumerate() {
            *byte_of = byte(self.sent + index);
        }
        self.sent += len;
        Output::Transmit { path, len, segment: None, ecn: None }
    }
}

/// An echo server on the internet that listens on these ports.
fn echo_server(world: &mut World, ports: &[u16], link: Quality) -> HostId {
    let setup = HostSetup { policy: Policy::Anybody, link, ..HostSetup::new("server", &[World::INTERNET]) };
    let server = world.add_host(setup, |_| Actor::echo()).expect("a host that can be");
    world.run_for(Duration::ZERO);
    for &port in ports {
        let local = world.address(server, port);
        act(world, server, listen(port.into(), local));
    }
    server
}

/// A client behind something, which connects to a port of the server and has so many bytes echoed.
fn client(world: &mut World, inside: NetworkId, remote: SocketAddr, bytes: usize) -> HostId {
    let networks = [inside];
    let setup = HostSetup { policy: Policy::Anybody, ..HostSetup::new("client", &networks) };
    let make = move |start: bradawl_sim::program::Start| {
        Client::new(SocketAddr::new(start.interfaces[0].address, 0), remote, bytes)
    };
    let client = world.add_host(setup, make).expect("a host that can be");
    world.run_for(Duration::ZERO);
    client
}

fn ask<R>(world: &mut World, client: HostId, question: impl Fn(&Client) -> R) -> R {
    world.with(client, |client: &mut Client, _| question(client)).expect("it runs")
}

/// Whether a megabyte arrives whole and in order, and comes back so, through these networks.
fn megabyte(gateways: &[Gateway], link: &Quality) -> bool {
    let mut world = World::new(1);
    let server = echo_server(&mut world, &[80], delay(10));
    let mut inside = World::INTERNET;
    for gateway in gateways {
        inside = linked(&mut world, "lan", inside, gateway.clone(), link.clone());
    }
    let remote = world.address(server, 80);
    let client = client(&mut world, inside, remote, 1_000_000);
    world.run_until(secs(1_200));
    let echoed: usize = heard(&mut world, server).iter().map(|heard| heard.bytes.len()).sum();
    let is_done = ask(&mut world, client, Client::is_done) && echoed == 1_000_000;
    assert_eq!(world.finish().violations, []);
    is_done
}

#[test]
fn a_megabyte_arrives_whole_and_in_order_both_ways_behind_any_nat() {
    let home_in_carrier = [known("carrier"), known("home")];
    assert!(megabyte(&[], &delay(5)), "no NAT");
    assert!(megabyte(&[known("home")], &delay(5)), "home");
    assert!(megabyte(&[known("symmetric-random")], &delay(5)), "symmetric");
    assert!(megabyte(&[known("linux")], &delay(5)), "linux");
    assert!(megabyte(&home_in_carrier, &delay(5)), "carrier");
    assert!(megabyte(&[known("udp-blocked")], &delay(5)), "no UDP");
}

#[test]
fn a_megabyte_arrives_over_a_link_that_loses_shuffles_and_doubles() {
    let bad = Quality {
        loss: Chance::percent(10),
        reorder: Chance::percent(10),
        duplicate: Chance::percent(5),
        ..delay(5)
    };
    assert!(megabyte(&[known("home")], &bad));
}

#[test]
fn where_only_the_web_works_port_443_is_the_web() {
    for (port, passes) in [(443, true), (80, false), (3_478, false)] {
        let mut world = World::new(1);
        let server = echo_server(&mut world, &[443, 80, 3_478], delay(10));
        let office = network(&mut world, "office", World::INTERNET, known("only-443"));
        let remote = world.address(server, port);
        let client = client(&mut world, office, remote, 1_000);
        world.run_for(Duration::from_secs(1));
        let fate = ask(&mut world, client, |client| (client.is_done(), client.is_closed));
        assert_eq!(fate, (passes, !passes), "port {port}: it is told at once");
    }
}

/// When a connection attempt that cannot succeed is over.
fn closed_at(world: &mut World, alice: HostId, remote: SocketAddr) -> Instant {
    let local = SocketAddr::new(world.address(alice, 0).ip(), 0);
    act(world, alice, connect(1, local, remote));
    world.run_until(secs(200));
    let told = told(world, alice);
    let [(at, Told::Closed(SocketId(1)))] = told[..] else { panic!("{told:?}") };
    at
}

#[test]
fn a_closed_port_refuses_within_a_round_trip() {
    for gateways in [vec![], vec![known("home")], vec![known("carrier"), known("home")]] {
        let mut world = World::new(1);
        let server = echo_server(&mut world, &[80], delay(40));
        let inside = gateways
            .into_iter()
            .fold(World::INTERNET, |outside, gateway| network(&mut world, "lan", outside, gateway));
        let alice = actor(&mut world, "alice", inside);
        world.run_for(Duration::ZERO);
        let remote = world.address(server, 81);
        assert_eq!(closed_at(&mut world, alice, remote), Instant::ZERO + Duration::from_millis(80));
    }
}

/// Six SYNs at 0, 1, 3, 7, 15 and 31 s, and as long again.
#[test]
fn a_black_hole_is_given_up_after_a_minute() {
    let mut world = World::new(1);
    let home = network(&mut world, "home", World::INTERNET, known("home"));
    let alice = actor(&mut world, "alice", home);
    world.run_for(Duration::ZERO);
    assert_eq!(closed_at(&mut world, alice, "198.51.100.99:80".parse().expect("an address")), secs(63));
}

/// Nobody there in the same network: the router says so, and nobody waits for the SYNs.
#[test]
fn a_neighbour_that_is_not_there_ends_the_attempt() {
    let mut world = World::new(1);
    let home = network(&mut world, "home", World::INTERNET, known("home"));
    let alice = actor(&mut world, "alice", home);
    world.run_for(Duration::ZERO);
    assert_eq!(closed_at(&mut world, alice, "192.168.1.77:80".parse().expect("an address")), secs(3));
}

/// The other family: there is no way at all, and the host knows it.
#[test]
fn no_route_ends_the_attempt_at_once() {
    let mut world = World::new(1);
    let alice = actor(&mut world, "alice", World::INTERNET);
    world.run_for(Duration::ZERO);
    let remote = "[2001:db8:1::99]:80".parse().expect("an address");
    assert_eq!(closed_at(&mut world, alice, remote), Instant::ZERO);
}

#[test]
fn a_stream_is_told_from_both_ends_and_closed_at_both() {
    let mut world = World::new(1);
    let server = echo_server(&mut world, &[80], delay(10));
    let home = network(&mut world, "home", World::INTERNET, known("home"));
    let alice = actor(&mut world, "alice", home);
    world.run_for(Duration::ZERO);
    told(&mut world, server);
    let (local, remote) = (world.address(alice, 6_000), world.address(server, 80));
    act(&mut world, alice, connect(7, local, remote));
    world.run_for(Duration::from_secs(1));
    let path = Path::tcp(local, remote);
    assert_eq!(told(&mut world, alice)[0].1, Told::Connected(SocketId(7), path));
    let accepted = told(&mut world, server).remove(0).1;
    let seen = SocketAddr::new("203.0.113.1".parse().expect("an address"), 6_000);
    assert_eq!(accepted, Told::Connected(SocketId(80), Path::tcp(remote, seen)), "with the listener's id");
    // What was written before it was closed arrives.
    act(&mut world, alice, Act::send(path, b"the last words"));
    act(&mut world, alice, Act::Ask(HostRequest::Close { id: SocketId(7) }));
    world.run_for(Duration::from_secs(200));
    assert_eq!(heard(&mut world, server)[0].bytes, b"the last words");
    assert!(told(&mut world, server).iter().any(|(_, told)| matches!(told, Told::Closed(_))));
    assert!(told(&mut world, alice).iter().any(|(_, told)| matches!(told, Told::Closed(SocketId(7)))));
}

/// Two who connect to each other at once through two NATs (RFC 5128 §3.4). Whether both are connected, and
/// with how many connections.
fn simultaneous_open(behaviour: &Behaviour, seed: u64) -> bool {
    let mut world = World::new(seed);
    let server = echo_server(&mut world, &[80], delay(10));
    let hosts = ["alice", "bob"].map(|name| {
        let lan = linked(&mut world, name, World::INTERNET, nat(behaviour.clone()), delay(20));
        actor(&mut world, name, lan)
    });
    world.run_for(Duration::ZERO);
    // Each connects to a server from the port that it will use, and so learns its public endpoint.
    let locals = hosts.map(|host| world.address(host, 6_000));
    let remote = world.address(server, 80);
    for (host, local) in hosts.into_iter().zip(locals) {
        act(&mut world, host, connect(1, local, remote));
        act(&mut world, host, Act::send(Path::tcp(local, remote), b"who am I?"));
    }
    world.run_for(Duration::from_secs(1));
    let seen: Vec<SocketAddr> = heard(&mut world, server).iter().map(|heard| heard.path.remote).collect();
    assert_eq!(seen.len(), 2);
    for (host, (local, peer)) in hosts.into_iter().zip([(locals[0], seen[1]), (locals[1], seen[0])]) {
        act(&mut world, host, connect(2, local, peer));
    }
    world.run_for(Duration::from_secs(10));
    let connected = hosts.map(|host| {
        let told = told(&mut world, host);
        told.iter().filter(|(_, told)| matches!(told, Told::Connected(SocketId(2), _))).count() == 1
    });
    if connected != [true, true] {
        assert_eq!(connected, [false, false], "both or none");
        return false;
    }
    // And bytes go both ways.
    for (index, host) in hosts.into_iter().enumerate() {
        heard(&mut world, hosts[1 - index]);
        act(&mut world, host, Act::send(Path::tcp(locals[index], seen[1 - index]), b"hello"));
        world.run_for(Duration::from_secs(1));
        assert_eq!(heard(&mut world, hosts[1 - index]).remove(0).bytes, b"hello");
    }
    true
}

#[test]
fn rfc5128_simultaneous_open_works_behind_cones_and_not_behind_symmetric_nats() {
    let symmetric = Behaviour {
        mapping: Dependence::AddressAndPort,
        allocation: Allocation::Random,
        ..Behaviour::default()
    };
    for seed in 0..10 {
        for filtering in [Dependence::Endpoint, Dependence::Address, Dependence::AddressAndPort] {
            let cone = Behaviour { filtering, ..Behaviour::default() };
            assert!(simultaneous_open(&cone, seed), "{filtering} filtering");
        }
        assert!(!simultaneous_open(&symmetric, seed));
    }
}

/// RFC 5382 REQ-4: a NAT that refuses an early SYN kills the attempt of whoever came first.
#[test]
fn rfc5382_req4_a_nat_that_refuses_early_syns_costs_an_attempt() {
    let refuse = Behaviour { refuse: true, ..Behaviour::default() };
    let mut world = World::new(1);
    let home = network(&mut world, "home", World::INTERNET, nat(refuse));
    let _inside = actor(&mut world, "inside", home);
    let outside = actor(&mut world, "outside", World::INTERNET);
    world.run_for(Duration::ZERO);
    let public = "203.0.113.1:6000".parse().expect("an address");
    assert!(closed_at(&mut world, outside, public) < secs(1));
}

/// A stream outlives a NAT that forgets it if it gets the same port again; if not, the server does not know
/// who that is, and says so.
#[test]
fn a_nat_that_reboots_ends_a_stream_unless_it_preserves_ports() {
    for (allocation, reboots, survives) in [
        (Behaviour::default().allocation, true, true),
        (Allocation::Random, true, false),
        (Allocation::Random, false, true),
    ] {
        let mut world = World::new(1);
        let server = echo_server(&mut world, &[80], delay(10));
        let gateway = nat(Behaviour { allocation, ..Behaviour::default() });
        let home = linked(&mut world, "home", World::INTERNET, gateway, delay(10));
        let remote = world.address(server, 80);
        let client = client(&mut world, home, remote, 1_000_000);
        world.run_for(Duration::from_millis(300));
        let echoed = ask(&mut world, client, |client| client.echoed);
        assert!(0 < echoed && echoed < 1_000_000, "in the middle of it: {echoed}");
        if reboots {
            world.reboot(home);
        }
        world.run_until(secs(60));
        let fate = ask(&mut world, client, |client| (client.is_done(), client.is_closed));
        assert_eq!(fate, (survives, !survives), "{allocation:?}, reboot: {reboots}");
    }
}
