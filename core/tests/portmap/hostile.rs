//! Routers and neighbours that lie: nothing that they say changes what they have no say in, leads elsewhere,
//! grows or never ends.

use bradawl::machine::{HostInput, Interface, Machine as _, Meta, Verdict};
use bradawl::portmap::igd::ssdp::TARGETS;
use bradawl::portmap::{Event, Protocols, Refusal, Via};
use bradawl::time::Duration;

use crate::router::Router;
use crate::world::{World, address};

/// The answer that a PCP router would give to what the mapper asks first.
fn first_answer() -> (World, Vec<u8>) {
    let mut world = World::with(vec![Router::new("192.168.1.1")], |config| {
        config.protocols = Protocols::only(Via::Pcp);
    });
    world.map(5_000);
    let mut router = Router::pcp("192.168.1.1");
    let sent = world.first_datagram();
    let answer = router.datagram(world.now, 5_351, &sent).remove(0);
    (world, answer)
}

#[test]
fn a_pcp_answer_must_come_from_the_router_and_name_what_was_asked() {
    let (mut world, answer) = first_answer();
    for from in ["192.168.1.66:5351", "192.168.1.1:5352", "203.0.113.1:5351"] {
        world.arrives(address(from), &answer);
    }
    // The nonce, the protocol, the internal port, the opcode, the version.
    for at in [24, 35, 36, 40, 41, 1, 0] {
        let mut wrong = answer.clone();
        wrong[at] ^= 0x05;
        world.arrives(address("192.168.1.1:5351"), &wrong);
    }
    for length in 0..answer.len() {
        world.arrives(address("192.168.1.1:5351"), &answer[..length]);
    }
    world.drain();
    assert_eq!(world.events, []);
    world.arrives(address("192.168.1.1:5351"), &answer);
    world.arrives(address("192.168.1.1:5351"), &answer); // a duplicate changes nothing
    world.drain();
    assert_eq!(world.events.len(), 2, "{:?}", world.events);
    assert_eq!(world.take_mapped().len(), 1);
}

#[test]
fn answers_that_nobody_asked_for_are_ignored() {
    let (mut world, _) = World::mapped(Router::nat_pmp("192.168.1.1"));
    let server = address("192.168.1.1:5351");
    world.arrives(server, &[0, 128, 0, 0, 0, 0, 0, 1, 6, 6, 6, 6]);
    world.arrives(server, &[0, 129, 0, 0, 0, 0, 0, 1, 0x13, 0x88, 0, 66, 0, 0, 0x1c, 0x20]);
    world.arrives(server, &[0, 129, 0, 1, 0, 0, 0, 1]);
    world.arrives(server, &[2, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let asked = world.routers[0].asked.len();
    world.pass(Duration::from_secs(30));
    assert_eq!(world.events, []);
    assert_eq!(world.routers[0].asked.len(), asked, "no forged epoch makes it ask");
}

#[test]
fn absurd_lifetimes_are_cut_or_refused() {
    for router in [Router::pcp("192.168.1.1"), Router::nat_pmp("192.168.1.1")] {
        let via = if router.pcp { Via::Pcp } else { Via::NatPmp };
        let mut world = World::with(vec![router], |config| config.protocols.igd = false);
        world.routers[0].lifetime = Some(u32::MAX);
        world.map(5_000);
        world.drain();
        assert_eq!(world.take_mapped()[0].lifetime, Some(Duration::from_secs(86_400)), "{via}");
    }
    for lifetime in [0, 1, 15] {
        for router in [Router::pcp("192.168.1.1"), Router::nat_pmp("192.168.1.1")] {
            let via = if router.pcp { Via::Pcp } else { Via::NatPmp };
            let mut world = World::with(vec![router], |config| config.protocols = Protocols::only(via));
            world.routers[0].lifetime = Some(lifetime);
            let id = world.map(5_000);
            world.pass(Duration::from_secs(240));
            assert_eq!(world.events.last(), Some(&Event::Failed { id, reason: Refusal::Nonsense }));
            assert!(world.datagrams <= 2, "{} packets", world.datagrams);
        }
    }
}

#[test]
fn an_error_for_ever_ends_and_one_for_no_time_does_not_flood() {
    for (lifetime, most) in [(0, 13), (u32::MAX, 2)] {
        let router = Router { pcp_error: Some((8, lifetime)), ..Router::pcp("192.168.1.1") };
        let mut world = World::with(vec![router], |config| config.protocols = Protocols::only(Via::Pcp));
        world.map(5_000);
        world.pass(Duration::from_secs(60));
        assert!(world.datagrams <= most, "{} packets", world.datagrams);
        world.routers[0].pcp_error = None;
        world.pass(Duration::from_secs(3_600));
        assert_eq!(world.take_mapped().len(), 1);
    }
}

#[test]
fn a_clock_that_always_lies_does_not_make_it_ask_all_the_time() {
    let (mut world, _) = World::mapped(Router::pcp("192.168.1.1"));
    for port in 6_000..6_015 {
        world.map(port);
    }
    world.pass(Duration::from_secs(1));
    let before = world.datagrams;
    for _ in 0..600 {
        let now = world.now;
        world.routers[0].reboot(now);
        world.pass(Duration::from_secs(1));
    }
    let sent = world.datagrams - before;
    assert!(sent <= 16 * 62, "{sent} packets in ten minutes");
}

#[test]
fn a_location_elsewhere_is_never_connected_to() {
    let mut world = World::new(vec![Router::new("192.168.1.1")]);
    world.map(5_000);
    world.pass(Duration::from_millis(600));
    let answer = |location: &str| {
        format!("HTTP/1.1 200 OK\r\nST: {}\r\nLOCATION: {location}\r\n\r\n", TARGETS[0]).into_bytes()
    };
    for (from, location) in [
        ("192.168.1.1:1900", "http://169.254.169.254/latest/meta-data/"),
        ("192.168.1.1:1900", "http://127.0.0.1:8080/"),
        ("192.168.1.1:1900", "http://localhost/root.xml"),
        ("192.168.1.1:1900", "http://192.168.1.2:5000/root.xml"),
        ("192.168.1.1:1900", "http://192.168.1.1@10.0.0.1/root.xml"),
        ("192.168.1.1:1900", "https://192.168.1.1/root.xml"),
        // Its own address, but it is no router and not on our link.
        ("169.254.169.254:1900", "http://169.254.169.254/root.xml"),
        ("203.0.113.7:1900", "http://203.0.113.7/root.xml"),
        ("10.0.0.5:1900", "http://10.0.0.5/root.xml"),
    ] {
        world.arrives(address(from), &answer(location));
    }
    world.pass(Duration::from_secs(30));
    assert_eq!(world.connected_to, []);
}

#[test]
fn a_gateway_on_our_own_network_is_asked_while_there_is_room() {
    let mut world = World::with(vec![Router::new("192.168.1.1"), Router::igd("192.168.1.254")], |config| {
        config.routers.truncate(1);
    });
    let own = Interface { index: 2, address: "192.168.1.7".parse().expect("an address"), prefix_len: 24 };
    world.mapper.handle_host(world.now, HostInput::Interfaces(&[own]));
    world.map(5_000);
    world.pass(Duration::from_secs(2));
    let mapped = world.take_mapped();
    assert_eq!((mapped.len(), mapped[0].router), (1, world.routers[1].address));
    world.close();
    assert_eq!(world.table(1), []);
}

/// What becomes of a gateway that answers every request with this, in pieces, for ever.
fn answered_with(first: &[u8], then: &[u8]) -> World {
    let mut world = World::new(vec![Router::igd("192.168.1.1")]);
    world.map(5_000);
    let path = world.until_asked();
    let mut total = 0;
    if world.mapper.handle_input(world.now, path, Meta::default(), first) == Verdict::Consumed {
        while world.mapper.handle_input(world.now, path, Meta::default(), then) == Verdict::Consumed {
            total += then.len();
            assert!(total < 200_000, "it takes everything");
        }
    }
    world
}

#[test]
fn giant_bodies_endless_heads_and_nonsense_end_the_question() {
    for (first, then) in [
        (&b"HTTP/1.1 200 OK\r\n\r\n"[..], &[b'<'; 1_000][..]),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"X-Endless: yes\r\n"),
        (b"HTTP/1.1 200 OK\r\nX: ", &[b'y'; 1_000]),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n", &[b'x'; 1_000]),
        (b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n", b"x"),
        (b"SSH-2.0-OpenSSH_9.9\r\n", b"x"),
    ] {
        let mut world = answered_with(first, then);
        world.drain();
        assert_eq!(world.connections.len(), 0, "it is closed: {}", String::from_utf8_lossy(first));
        world.pass(Duration::from_secs(12));
        let here = |at: &std::net::SocketAddr| at.ip() == world.routers[0].address;
        assert!(world.connected_to.iter().all(here), "{:?}", world.connected_to);
        assert!(world.events.iter().any(|event| matches!(event, Event::Failed { .. })), "{:?}", world.events);
    }
}

#[test]
fn a_connection_on_which_nothing_comes_is_given_up() {
    let mut world = World::new(vec![Router::igd("192.168.1.1")]);
    world.map(5_000);
    world.until_asked();
    world.pass(Duration::from_secs(6));
    assert_eq!(world.connections.len(), 0);
}

#[test]
fn a_gateway_that_always_fails_is_asked_ever_more_rarely() {
    let mut world = World::new(vec![Router::igd("192.168.1.1")]);
    world.routers[0].service = bradawl::portmap::igd::ServiceType::Ip1;
    world.routers[0].external = "0.0.0.0".parse().expect("an address"); // it is not connected
    let id = world.map(5_000);
    world.pass(Duration::from_secs(3_600));
    assert_eq!(world.events, [Event::Failed { id, reason: Refusal::NetworkFailure }]);
    assert!(world.connected_to.len() < 30, "{} connections in an hour", world.connected_to.len());
}

#[test]
fn conflicts_without_end_end() {
    let router = Router { taken: (1..=u16::MAX).collect(), ..Router::igd("192.168.1.1") };
    let mut world = World::new(vec![router]);
    let id = world.map(5_000);
    world.pass(Duration::from_secs(15));
    assert_eq!(world.events.last(), Some(&Event::Failed { id, reason: Refusal::PortTaken }));
    assert_eq!(world.routers[0].count("AddPortMapping"), 7);
}
