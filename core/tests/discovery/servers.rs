//! Servers that are dead, far too many, or heard twice or late.

use bradawl::discovery::{Config, Event, Label, MAX_SERVERS};
use bradawl::machine::{SocketId, Verdict};
use bradawl::time::Duration;

use crate::world::{LOCAL, Nat, Server, World, address, server, servers};

#[test]
fn nobody_answers() {
    let dead = (1..=9).map(|n| Server { is_dead: true, ..server(n) }).collect();
    let mut world = World::new(Nat::Preserving, dead);
    let profile = world.run().clone();
    assert_eq!((profile.servers, profile.label()), ((9, 0), Label::Blocked));
    assert!(profile.mapped.is_empty() && profile.observations.is_empty() && profile.mapping.is_none());
    let known = world.when(Event::Known).expect("known");
    assert!(known > Duration::from_secs(4) && known < Duration::from_secs(5), "{known:?}");
}

#[test]
fn nobody_is_asked() {
    let mut world = World::new(Nat::Preserving, Vec::new());
    assert_eq!(world.run().servers, (0, 0));
    assert_eq!((world.when(Event::Known), world.sent.len()), (Some(Duration::ZERO), 0));
}

#[test]
fn one_of_nine_lives() {
    for alive in 1..=9 {
        let all = (1..=9).map(|n| Server { is_dead: n != alive, ..server(n) }).collect();
        let mut world = World::new(Nat::Preserving, all);
        assert_eq!(world.run().servers, (9, 1));
        assert!(world.when(Event::Known) < Some(Duration::from_secs(5)));
        assert!(world.discovery.profile().mapping.is_some(), "it has two addresses");
    }
}

#[test]
fn nine_are_asked_and_each_once() {
    let mut addresses = vec![server(1).address; 3];
    addresses.extend(servers(12).iter().map(|server| server.address));
    addresses.extend(["[2001:db8::1]:3478", "198.51.100.77:0", "0.0.0.0:3478"].map(address));
    let config =
        Config { local: address(LOCAL), servers: addresses, first_socket: SocketId(0), lifetime: false };
    let mut world = World::with(config, Nat::Preserving, servers(12));
    world.drain();
    let first: Vec<_> = world.sent.iter().filter(|(path, _)| path.local == address(LOCAL)).collect();
    assert_eq!(first.len(), MAX_SERVERS);
    world.run();
    assert_eq!(world.discovery.profile().servers, (9, 9));
    for number in 10..=12 {
        assert_eq!(world.sent_to(&format!("198.51.100.{number}")), 0);
    }
}

#[test]
fn what_is_heard_twice_changes_nothing() {
    let mut once = World::new(Nat::Cone, servers(3));
    let mut twice = World::new(Nat::Cone, servers(3));
    for _ in 0..500 {
        once.pass(Duration::from_millis(1));
        twice.pass(Duration::from_millis(1));
        for (path, bytes) in twice.heard.clone() {
            assert_eq!(twice.arrives(path, &bytes), Verdict::Consumed);
        }
        twice.heard.sort_unstable_by(|(_, one), (_, other)| one.cmp(other));
        twice.heard.dedup();
        twice.drain();
    }
    assert_eq!(once.run(), twice.run());
    assert!(once.discovery.profile().observations.len() > 16);
    assert_eq!(once.sent, twice.sent);
    assert_eq!(once.events, twice.events);
}

#[test]
fn what_comes_after_the_end_is_too_late() {
    let mut world = World::new(Nat::Cone, servers(3));
    world.pass(Duration::from_millis(1));
    let (path, request) = world.sent.first().expect("asked").clone();
    let profile = world.run().clone();
    // As if it were one of those that nobody has answered, and a request that comes back.
    for (path, bytes) in world.heard.clone().into_iter().chain([(path, request)]) {
        let _ = world.arrives(path, &bytes);
    }
    world.pass(Duration::from_secs(10));
    assert_eq!(world.discovery.profile(), &profile);
    assert_eq!(world.events.len(), 2, "{:?}", world.events);
}

#[test]
fn an_answer_after_known_is_ignored() {
    let late = Server { is_dead: true, ..server(1) };
    let mut world = World::new(Nat::Preserving, vec![late, server(2), server(3)]);
    let profile = world.run().clone();
    assert_eq!(profile.servers, (3, 2));
    let to_late: Vec<_> =
        world.sent.iter().filter(|(path, _)| path.remote == server(1).address).cloned().collect();
    assert!(!to_late.is_empty());
    for (path, request) in to_late {
        let answer = world.answer_to(path, &request);
        assert_eq!(world.arrives(path, &answer), Verdict::Consumed);
    }
    world.pass(Duration::from_secs(10));
    assert_eq!(world.discovery.profile(), &profile);
}

#[test]
fn it_is_the_same_with_ipv6() {
    let at = |n: u8| Server {
        address: address(&format!("[2001:db8:{n}::1]:3478")),
        other: Some(address(&format!("[2001:db8:{n}::2]:3479"))),
        ..server(n)
    };
    let mut world = World::at("[2001:db8:77::7]:40000", Nat::None, (1..=3).map(at).collect(), false);
    let profile = world.run();
    assert_eq!(profile.servers, (3, 3));
    assert!(profile.translated.is_some_and(|finding| !finding.value && finding.confidence.is_sure()));
    assert!(profile.mapping.is_some_and(|finding| finding.confidence.is_sure()));
    assert!(profile.filtering.is_some_and(|finding| finding.confidence.is_sure()));
    assert!(world.open.is_empty());
}
