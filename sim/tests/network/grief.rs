//! What the network says of packets that came to grief (ICMP), as the sender hears it: about the path that
//! it knows, however many NATs have rewritten it (RFC 5508 §4).

use bradawl::machine::{HostRequest, Path, SocketId, Transport, Unreachable};
use bradawl::time::{Duration, Instant};
use bradawl_sim::catalogue::Gateway;
use bradawl_sim::firewall::{Firewall, Outbound};
use bradawl_sim::link::Quality;
use bradawl_sim::nat::Behaviour;
use bradawl_sim::program::Policy;
use bradawl_sim::scenario::{Program, Scenario};
use bradawl_sim::units::Span;
use bradawl_sim::world::{HostId, HostSetup, Keep, NetworkId, World};

use super::support::{
    Act, Actor, Told, act, act_at, actor, carrier, heard, known, linked, millis, nat, network, secs, send,
    told,
};
use super::{full_cone, nested};

/// What alice is told after she has sent so many bytes to somebody, from behind so many homes in `outside`.
fn grief(
    mut world: World,
    outside: NetworkId,
    depth: usize,
    (to, bytes): (&str, usize),
) -> (Path, Vec<(Instant, Told)>) {
    let home = nested(&mut world, outside, depth);
    let alice = actor(&mut world, "alice", home);
    world.run_for(Duration::ZERO);
    let path = Path::udp(world.address(alice, 5_000), to.parse().expect("an address"));
    send(&mut world, alice, path, &vec![7; bytes]);
    world.run_until(secs(10));
    (path, told(&mut world, alice))
}

#[test]
fn rfc1122_nobody_listens_on_that_port() {
    for depth in 0..=2 {
        for (port, is_told) in [(9, true), (5_000, false)] {
            let mut world = World::new(1);
            let server = actor(&mut world, "server", World::INTERNET);
            let to = world.address(server, port).to_string();
            let (path, told) = grief(world, World::INTERNET, depth, (&to, 1));
            let expected = (Instant::ZERO, Told::Unreachable(path, Unreachable::Port));
            assert_eq!(told, if is_told { vec![expected] } else { vec![] }, "behind {depth} NATs");
        }
    }
}

#[test]
fn rfc4787_req10_an_error_of_a_host_inside_comes_out() {
    for depth in 1..=2 {
        for is_open in [true, false] {
            let mut world = World::new(1);
            let server = actor(&mut world, "server", World::INTERNET);
            let mut home = World::INTERNET;
            for _ in 0..depth {
                home = network(&mut world, "home", home, nat(full_cone()));
            }
            let alice = actor(&mut world, "alice", home);
            world.run_for(Duration::ZERO);
            // A socket of her own, which she then closes: the NATs do not know.
            let local = world.address(alice, 7_000);
            let bind = HostRequest::Bind { id: SocketId(7), transport: Transport::Udp, local };
            act(&mut world, alice, Act::Ask(bind));
            let there = world.address(server, 5_000);
            let seen =
                super::arrives(&mut world, alice, Path::udp(local, there), server).expect("it arrives");
            if !is_open {
                act(&mut world, alice, Act::Ask(HostRequest::Close { id: SocketId(7) }));
            }
            send(&mut world, server, seen, b"still there?");
            world.run_for(Duration::from_secs(1));
            let told: Vec<_> = told(&mut world, server).into_iter().map(|(_, told)| told).collect();
            let expected = Told::Unreachable(seen, Unreachable::Port);
            assert_eq!(told, if is_open { vec![] } else { vec![expected] });
        }
    }
}

/// RFC 4861 §10: three tries, a second apart.
#[test]
fn a_neighbour_that_is_not_there_is_missed_after_three_seconds() {
    for depth in 0..=2 {
        let mut world = World::new(1);
        let carrier = carrier(&mut world, nat(Behaviour::default()));
        let (path, told) = grief(world, carrier, depth, ("100.64.7.7:1", 1));
        assert_eq!(told, [(secs(3), Told::Unreachable(path, Unreachable::Host))], "behind {depth} NATs");
    }
}

#[test]
fn a_firewall_that_rejects_says_so_and_one_that_drops_does_not() {
    for depth in 0..=2 {
        for (reject, to_nat) in [(true, false), (false, false), (true, true)] {
            let mut world = World::new(1);
            let server = actor(&mut world, "server", World::INTERNET);
            let firewall = Firewall { outbound: Outbound::NoUdp, reject, ..Firewall::OPEN };
            let nat = to_nat.then(Behaviour::default);
            let gateway = Gateway { nat, addresses: u8::from(to_nat), firewall };
            let office = network(&mut world, "office", World::INTERNET, gateway);
            let to = world.address(server, 5_000).to_string();
            let (path, told) = grief(world, office, depth, (&to, 1));
            let expected = (Instant::ZERO, Told::Unreachable(path, Unreachable::Prohibited));
            assert_eq!(told, if reject { vec![expected] } else { vec![] }, "behind {depth} NATs");
        }
    }
}

#[test]
fn rfc1191_too_big_a_packet_comes_back_with_the_size_that_passes() {
    for depth in 0..=2 {
        // 20 bytes of IPv4 and 8 of UDP.
        for (bytes, is_told) in [(572, false), (573, true)] {
            let mut world = World::new(1);
            let server = actor(&mut world, "server", World::INTERNET);
            let narrow = Quality { mtu: 600, ..Quality::default() };
            let office = linked(&mut world, "office", World::INTERNET, known("home"), narrow);
            let to = world.address(server, 5_000).to_string();
            let (path, told) = grief(world, office, depth, (&to, bytes));
            let expected = (Instant::ZERO, Told::TooBig(path, Some(600)));
            assert_eq!(told, if is_told { vec![expected] } else { vec![] }, "behind {depth} NATs");
        }
    }
}

#[test]
fn rfc1191_the_last_link_may_be_the_narrow_one() {
    for depth in 0..=2 {
        let mut world = World::new(1);
        let setup = HostSetup {
            listen: &[5_000],
            policy: Policy::Anybody,
            link: Quality { mtu: 700, ..Quality::default() },
            ..HostSetup::new("server", &[World::INTERNET])
        };
        let server = world.add_host(setup, |_| Actor::new()).expect("a host that can be");
        let to = world.address(server, 5_000).to_string();
        let (path, told) = grief(world, World::INTERNET, depth, (&to, 1_000));
        assert_eq!(told, [(Instant::ZERO, Told::TooBig(path, Some(700)))], "behind {depth} NATs");
    }
}

#[test]
fn a_nat_that_passes_no_errors_passes_none() {
    let mut world = World::new(1);
    let server = actor(&mut world, "server", World::INTERNET);
    let mute = nat(Behaviour { pass_errors: false, ..Behaviour::default() });
    let home = network(&mut world, "home", World::INTERNET, mute);
    let to = world.address(server, 9).to_string();
    let (_, told) = grief(world, home, 0, (&to, 1));
    assert_eq!(told, []);
}

/// An error is about a session that the NAT knows, or it is dropped (RFC 5508 §4.2).
#[test]
fn an_error_that_comes_after_its_mapping_died_is_dropped() {
    for (delay, is_told) in [(900, true), (1_100, false)] {
        let mut world = World::new(1);
        let server = far_server(&mut world, delay);
        let brief = Behaviour { lifetime: Span::from_secs(2), ..Behaviour::default() };
        let home = network(&mut world, "home", World::INTERNET, nat(brief));
        let to = world.address(server, 9).to_string();
        let (path, told) = grief(world, home, 0, (&to, 1));
        let expected = (millis(delay * 2), Told::Unreachable(path, Unreachable::Port));
        assert_eq!(told, if is_told { vec![expected] } else { vec![] });
    }
}

fn far_server(world: &mut World, delay: u64) -> HostId {
    let link = super::support::delay(delay);
    let setup = HostSetup { link, ..HostSetup::new("server", &[World::INTERNET]) };
    world.add_host(setup, |_| Actor::new()).expect("a host that can be")
}

/// Whoever closed a socket does not want to hear of it any more.
#[test]
fn an_error_about_a_socket_that_is_closed_is_not_told() {
    for is_open in [true, false] {
        let mut world = World::new(1);
        let (alice, server) = (actor(&mut world, "alice", World::INTERNET), far_server(&mut world, 50));
        world.run_for(Duration::ZERO);
        let local = world.address(alice, 7_000);
        let bind = HostRequest::Bind { id: SocketId(7), transport: Transport::Udp, local };
        act(&mut world, alice, Act::Ask(bind));
        let there = world.address(server, 9);
        send(&mut world, alice, Path::udp(local, there), b"anybody?");
        if !is_open {
            act(&mut world, alice, Act::Ask(HostRequest::Close { id: SocketId(7) }));
        }
        world.run_for(Duration::from_secs(1));
        let told = told(&mut world, alice);
        let errors = told.iter().filter(|(_, told)| matches!(told, Told::Unreachable(..))).count();
        assert_eq!(errors, usize::from(is_open));
    }
}

/// A host asks somebody, and has moved when the answer comes: the router misses it and says so, unless the
/// answer is an error itself (RFC 1122 §3.2.2).
#[test]
fn nobody_complains_of_a_complaint() {
    for (run, label, is_missed) in
        [(Program::Mediator, "binding success", true), (Program::Silent, "icmp port unreachable", false)]
    {
        let text = "
            [network.lan]
            behind = 'port-restricted'
            link = { delay = '500 ms' }
            [host.hub]
            run = 'mediator'
            in = 'internet'
            [host.stan]
            run = 'stun'
            in = 'lan'
            server = 'hub'
            [[fault]]
            at = '700 ms'
            readdress = 'stan'
        ";
        let mut scenario = Scenario::from_toml(text).expect("a scenario");
        scenario.hosts.get_mut("hub").expect("it is in there").run = run;
        let mut world = World::of(&scenario, Keep::Everything).expect("a world");
        world.run_until(millis(6_000));
        let trace = world.finish().trace;
        let labels: Vec<_> = trace.records.iter().filter_map(|record| Some(record.packet?.label)).collect();
        assert!(labels.contains(&label), "{labels:?}");
        let missed = trace.records.iter().any(|record| {
            let is_complaint = record.packet.is_some_and(|packet| packet.label == "icmp host unreachable");
            is_complaint && record.what == bradawl_sim::trace::What::Received
        });
        assert_eq!(missed, is_missed, "{run:?}");
    }
}

/// RFC 5508 §4.2: an answer refreshes the mapping, an error does not. Either comes after 19 s, and after 25 s
/// the server sends once more.
#[test]
fn rfc5508_an_error_does_not_refresh_a_mapping() {
    for (port, is_answer) in [(5_000, true), (9, false)] {
        let mut world = World::new(1);
        let setup = HostSetup {
            listen: &[5_000, 5_001],
            policy: Policy::Anybody,
            link: super::support::delay(9_500),
            ..HostSetup::new("server", &[World::INTERNET])
        };
        let server = world.add_host(setup, |_| Actor::echo()).expect("a host that can be");
        let brief = Behaviour { lifetime: Span::from_secs(20), ..full_cone() };
        let home = network(&mut world, "home", World::INTERNET, nat(brief));
        let alice = actor(&mut world, "alice", home);
        world.run_for(Duration::ZERO);
        let out = Path::udp(world.address(alice, 5_000), world.address(server, port));
        send(&mut world, alice, out, b"hello");
        let seen = "203.0.113.1:5000".parse().expect("an address");
        let again = Path::udp(world.address(server, 5_001), seen);
        act_at(&mut world, server, millis(15_500), Act::send(again, b"once more"));
        world.run_until(secs(22));
        assert_eq!(
            (heard(&mut world, alice).len(), told(&mut world, alice).len()),
            if is_answer { (1, 0) } else { (0, 1) }
        );
        world.run_until(secs(30));
        assert_eq!(heard(&mut world, alice).len(), usize::from(is_answer));
    }
}
