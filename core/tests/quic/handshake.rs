//! Who gets in, how fast, and what is said to those who do not.

use bradawl::quic::{Config, Event, Expect, OpenError, Protocol, Reason, Session};
use bradawl::rng::Rng;

use crate::kit::{CLIENT, Link, SERVER, World, at, local, ms, public, sessions};

fn closed(world: &World, side: usize) -> Option<Reason> {
    world.sides[side].events.iter().find_map(|(_, event)| match event {
        Event::Closed(reason) => Some(reason.clone()),
        _ => None,
    })
}

#[test]
fn a_handshake_takes_one_round_trip_and_each_learns_the_others_key() {
    let mut world = World::pair(&[Link::GOOD], Default::default(), 1);
    world.run_for(ms(1_000));
    assert_eq!(world.sides[CLIENT].connected(), Some(at(1_080)), "one round trip of 80 ms");
    assert_eq!(world.sides[SERVER].connected(), Some(at(1_120)), "half of one later");
    assert_eq!(world.client().peer(), Some(&public(SERVER)));
    assert_eq!(world.server().peer(), Some(&public(CLIENT)));
    assert!(world.sides[CLIENT].has(&Event::Connected { peer: public(SERVER) }));
}

#[test]
fn a_client_that_meets_the_wrong_key_says_so_and_is_believed() {
    let expect = [public(CLIENT), [7; 32]];
    let sessions = sessions(expect, [Protocol::Peer; 2], Default::default(), 1);
    let mut world = World::new(sessions, &[Link::GOOD], 1);
    world.set_path(Some(0));
    world.run_for(ms(5_000));
    assert_eq!(closed(&world, CLIENT), Some(Reason::WrongKey));
    assert_eq!(closed(&world, SERVER), Some(Reason::KeyRefused));
    assert!(world.sides.iter().all(|side| side.connected().is_none() && side.session.peer().is_none()));
    assert!(world.sides.iter().all(|side| side.session.is_over()));
}

#[test]
fn a_server_that_meets_the_wrong_key_says_so_and_is_believed() {
    let expect = [[7; 32], public(SERVER)];
    let sessions = sessions(expect, [Protocol::Peer; 2], Default::default(), 1);
    let mut world = World::new(sessions, &[Link::GOOD], 1);
    world.set_path(Some(0));
    world.run_for(ms(5_000));
    assert_eq!(closed(&world, SERVER), Some(Reason::WrongKey));
    assert_eq!(closed(&world, CLIENT), Some(Reason::KeyRefused));
    assert_eq!(world.sides[SERVER].connected(), None);
    // TLS tells a client that it is done before the server has looked at its key.
    let (connected, refused) = (
        world.sides[CLIENT].connected(),
        world.sides[CLIENT].when(|event| matches!(event, Event::Closed(_))),
    );
    assert_eq!((connected, refused), (Some(at(1_080)), Some(at(1_160))));
}

#[test]
fn a_mediator_takes_any_key_and_says_which() {
    let client = local(CLIENT, Protocol::Hub, 1);
    let server = local(SERVER, Protocol::Hub, 1);
    let mut rng = Rng::from_seed([1; 32]);
    let sessions = [
        Session::connect(at(1_000), &client, public(SERVER), Config::default(), rng.fork()),
        Session::accept(at(1_000), &server, Expect::Anyone, Config::default(), rng.fork()),
    ];
    let mut world = World::new(sessions.map(|session| session.expect("a session")), &[Link::GOOD], 1);
    world.set_path(Some(0));
    world.run_for(ms(1_000));
    assert!(world.sides[SERVER].has(&Event::Connected { peer: public(CLIENT) }));
}

#[test]
fn who_speaks_another_protocol_is_told() {
    let expect = [public(CLIENT), public(SERVER)];
    let sessions = sessions(expect, [Protocol::Hub, Protocol::Peer], Default::default(), 1);
    let mut world = World::new(sessions, &[Link::GOOD], 1);
    world.set_path(Some(0));
    world.run_for(ms(5_000));
    assert_eq!(closed(&world, CLIENT), Some(Reason::OtherProtocol));
    assert_eq!(closed(&world, SERVER), Some(Reason::OtherProtocol));
}

#[test]
fn a_handshake_that_nobody_answers_ends_in_time_and_only_once_there_is_a_path() {
    let mut world = World::pair(&[Link { loss: 1_000, ..Link::GOOD }], Default::default(), 1);
    world.set_path(None);
    world.run_until(at(10_900));
    assert!(world.sides.iter().all(|side| side.events.is_empty()));
    world.run_until(at(11_000));
    for side in [CLIENT, SERVER] {
        assert_eq!(world.sides[side].events, [(at(11_000), Event::Closed(Reason::HandshakeTimedOut))]);
    }
    let expect = [public(CLIENT), public(SERVER)];
    let mut world =
        World::new(sessions(expect, [Protocol::Peer; 2], Default::default(), 1), &[Link::GOOD], 1);
    world.run_for(ms(3_600_000));
    assert!(world.sides.iter().all(|side| side.events.is_empty() && side.sent == 0), "there was no path");
    let begun = world.now;
    world.set_path(Some(0));
    world.run_for(ms(1_000));
    assert_eq!(world.sides[CLIENT].connected(), Some(begun + ms(80)));
}

#[test]
fn a_lost_first_packet_costs_less_than_half_a_second() {
    let mut world = World::pair(&[Link { loss: 1_000, ..Link::GOOD }], Default::default(), 1);
    world.run_for(ms(1));
    world.links[0].loss = 0;
    world.run_for(ms(5_000));
    let connected = world.sides[CLIENT].connected().expect("it goes on");
    assert!(connected <= at(1_500), "{connected:?}");
}

#[test]
fn there_are_no_streams_before_there_is_a_connection() {
    let mut world = World::pair(&[Link::GOOD], Default::default(), 1);
    assert_eq!(world.client().open_bi(), Err(OpenError::NotConnected));
    assert_eq!(world.server().open_uni(), Err(OpenError::NotConnected));
    assert!(world.client().send_datagram(b"early").is_err());
}
