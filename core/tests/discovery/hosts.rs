//! What the host does: sockets that it refuses, buffers that are short, a clock that is set back.

use bradawl::discovery::{Event, MAX_SOCKETS};
use bradawl::machine::{HostInput, MIN_BUFFER, Output};
use bradawl::time::{Duration, Instant};

use crate::world::{LOCAL, Nat, START, Server, World, address, server, servers};

#[test]
fn known_without_any_spare_socket() {
    for nat in [Nat::None, Nat::Preserving, Nat::Cone] {
        let mut all = servers(9);
        for (number, server) in all.iter_mut().enumerate() {
            server.round_trip += Duration::from_millis(5 * number as u64);
        }
        let mut world = World::new(nat, all);
        world.refuses = |_| true;
        world.run();
        // It does not ask for the same again and again.
        assert!(world.binds <= MAX_SOCKETS + 4, "asked for {} sockets", world.binds);
        assert!(world.discovery.profile().mapping.is_some_and(|finding| finding.confidence.is_sure()));
        assert!(world.when(Event::Known) < Some(Duration::from_secs(5)));
        assert!(world.when(Event::Finished).is_some());
    }
}

#[test]
fn every_spare_socket_is_closed_in_the_end() {
    for refuses in [|_| false, |number| number % 2 == 0] as [fn(usize) -> bool; 2] {
        let mut world = World::new(Nat::Cone, servers(3));
        world.refuses = refuses;
        world.run();
        assert!(world.binds > 16, "{} sockets", world.binds);
        assert!(world.open.is_empty(), "left open: {:?}", world.open);
        assert!(world.when(Event::Finished).is_some());
    }
}

#[test]
fn a_short_buffer_is_legal_and_sends_nothing() {
    for room in [0, 1, 19, 20, 35] {
        let mut world = World::new(Nat::Cone, servers(3));
        world.room = room;
        world.pass(Duration::from_secs(6));
        // A packet to ourselves or for routers has 20 bytes, but nobody has told our address.
        assert!(world.sent.iter().all(|(_, bytes)| bytes.len() <= room), "room for {room}");
        assert!(world.when(Event::Known) < Some(Duration::from_secs(5)));
        world.room = MIN_BUFFER;
        world.pass(Duration::from_secs(60));
        assert!(world.when(Event::Finished).is_some());
    }
}

#[test]
fn to_close_it_under_way_closes_everything_and_sends_nothing_more() {
    for millis in [0, 5, 20, 25, 45, 60] {
        let mut world = World::at(LOCAL, Nat::Cone, servers(3), true);
        world.pass(Duration::from_millis(millis));
        let sent = world.sent.len();
        world.discovery.close();
        world.discovery.close();
        world.pass(Duration::from_secs(600));
        assert_eq!(world.sent.len(), sent, "after {millis} ms");
        assert!(world.open.is_empty(), "left open after {millis} ms: {:?}", world.open);
        assert_eq!(world.when(Event::Finished), Some(Duration::from_millis(millis)));
        assert_eq!(world.discovery.poll_now(), None);
    }
}

trait PollNow {
    fn poll_now(&mut self) -> Option<Instant>;
}

impl PollNow for bradawl::discovery::Discovery {
    fn poll_now(&mut self) -> Option<Instant> {
        use bradawl::machine::Machine;
        let Output::Idle(wake) = self.poll_output(START, &mut [0; MIN_BUFFER]) else {
            panic!("there is nothing more")
        };
        wake
    }
}

/// The clock is set back in the middle of the drain in which the time of the quick pass is over.
#[test]
fn time_that_was_over_stays_over() {
    use bradawl::machine::Machine;
    let dead = |n| Server { is_dead: true, ..server(n) };
    let mut world = World::new(Nat::None, vec![dead(1)]);
    world.drain();
    world.now = START + Duration::from_secs(5);
    let late = world.discovery.poll_output(world.now, &mut [0; MIN_BUFFER]);
    assert!(matches!(late, Output::Transmit { .. }), "{late:?}");
    world.now = START + Duration::from_secs(1);
    world.drain();
    assert!(world.when(Event::Known).is_some());
}

#[test]
fn nothing_comes_of_sockets_that_were_not_asked_for() {
    use bradawl::machine::{Machine, SocketId};
    let mut world = World::new(Nat::Cone, servers(3));
    for id in [0, 1, 7, 1_000, u32::MAX - 4, u32::MAX - 3, u32::MAX] {
        let input = HostInput::Bound { id: SocketId(id), result: Ok(address("192.168.1.7:1")) };
        world.discovery.handle_host(START, input);
    }
    world.run();
    for id in 0..200 {
        let id = SocketId((u32::MAX - 100).wrapping_add(id));
        let input = HostInput::Bound { id, result: Ok(address("192.168.1.7:1")) };
        world.discovery.handle_host(world.now, input);
    }
    let sent = world.sent.len();
    world.pass(Duration::from_secs(10));
    assert_eq!(world.sent.len(), sent);
    assert!(world.sent.iter().all(|(path, _)| path.local.port() != 1));
}

fn lifetime(nat: Nat, refuses: fn(usize) -> bool) -> World {
    let mut all = servers(2);
    for server in &mut all {
        server.delay = 600;
    }
    let mut world = World::at(LOCAL, nat, all, true);
    world.refuses = refuses;
    world.pass(Duration::from_secs(3 * 3_600));
    assert!(world.when(Event::Finished).is_some(), "no end");
    assert!(world.open.is_empty());
    world
}

/// One socket of each round that the host refuses costs that trial and no other.
#[test]
fn a_socket_that_is_refused_does_not_end_the_search_for_the_lifetime() {
    let packets = |world: &World| {
        let known = world.events.iter().find(|(_, event)| *event == Event::Known).expect("known").0;
        (known, world.events.last().expect("an end").0)
    };
    // The servers of this world never answer late: each silence ends with all mappings forgotten.
    let all = lifetime(Nat::Preserving, |_| false);
    let quick = World::new(Nat::Preserving, servers(2)).run_and_count();
    let some = lifetime_refusing_after(quick);
    let found = |world: &World| world.discovery.profile().lifetime.map(|finding| finding.value);
    assert!(found(&all).is_some() && found(&some).is_some(), "{:?} {:?}", found(&all), found(&some));
    let ((_, end_all), (_, end_some)) = (packets(&all), packets(&some));
    assert!(end_some >= end_all, "it has ended before its time");
    assert!(some.binds < 200, "{} sockets", some.binds);
}

trait RunAndCount {
    fn run_and_count(self) -> usize;
}

impl RunAndCount for World {
    fn run_and_count(mut self) -> usize {
        self.run();
        self.binds
    }
}

fn lifetime_refusing_after(quick: usize) -> World {
    // The second socket of the search, and every seventh after it.
    assert!(quick < 20, "{quick} sockets in the quick pass");
    lifetime(Nat::Preserving, |number| number > 20 && number % 7 == 0)
}
