//! Whom nobody has vouched for, and who may be sent a little all the same: each bound is kept and then broken
//! on purpose, as in `checker.rs`.

mod support;

use std::net::SocketAddr;

use bradawl::machine::Path;
use bradawl::time::Duration;
use bradawl::wire::stun::attr::{OtherAddress, Username, XorMappedAddress};
use bradawl::wire::stun::{Class, Method, TransactionId, Writer};
use bradawl_sim::check::{Invariant, MOST_TO_NAMED, PROBES_AT_ONCE, VOLLEY};
use bradawl_sim::trace::{Happened, Warrant};
use bradawl_sim::world::{HostSetup, World};

use support::{Act, Actor, actor, send};

/// What the checker has to say, each invariant once.
fn broken(world: World) -> Vec<Invariant> {
    let report = world.finish();
    let mut broken: Vec<Invariant> = report.violations.iter().map(|violation| violation.invariant).collect();
    broken.sort();
    broken.dedup();
    broken
}

fn stun(class: Class, id: u8, write: impl FnOnce(Writer<'_>) -> Writer<'_>) -> Vec<u8> {
    let mut buf = [0; 200];
    let writer = Writer::new(&mut buf, class, Method::BINDING, TransactionId::from([id; 12]));
    let len = write(writer).finish().expect("room");
    buf[..len].to_vec()
}

/// A host asks a server, is answered with whatever `answer` is, and sends to the third one so often.
fn sends_to_named(asked: u8, answer: impl Fn(SocketAddr) -> Vec<u8>, count: u32) -> Vec<Invariant> {
    sends_to_named_of_whom(asked, answer, |_| vec![], count)
}

/// The same after it has said something of the third one.
fn sends_to_named_of_whom(
    asked: u8,
    answer: impl Fn(SocketAddr) -> Vec<u8>,
    says: impl Fn(SocketAddr) -> Vec<Happened>,
    count: u32,
) -> Vec<Invariant> {
    let mut world = World::new(1);
    let [server, third] = ["server", "third"].map(|name| actor(&mut world, name, World::INTERNET));
    let setup = HostSetup { listen: &[5_000], ..HostSetup::new("host", &[World::INTERNET]) };
    let host = world.add_host(setup, |_| Actor::new()).expect("a host that can be");
    world.run_for(Duration::ZERO);
    let [at_host, at_server, at_third] = [host, server, third].map(|host| world.address(host, 5_000));
    let may = Happened::MaySend { to: at_server, why: Warrant::Server };
    support::act(&mut world, host, Act::Say(may));
    let question = stun(Class::Request, asked, |writer| writer);
    send(&mut world, host, Path::udp(at_host, at_server), &question);
    send(&mut world, server, Path::udp(at_server, at_host), &answer(at_third));
    world.run_for(Duration::from_secs(1));
    for said in says(at_third) {
        support::act(&mut world, host, Act::Say(said));
    }
    for _ in 0..count {
        send(&mut world, host, Path::udp(at_host, at_third), b"here");
    }
    world.run_for(Duration::from_secs(1));
    broken(world)
}

/// What nobody has vouched for is good for a few packets.
#[test]
fn warrant_whom_an_answer_names_gets_a_little_and_no_more() {
    let other = |to| stun(Class::Success, 1, |writer| writer.put(&OtherAddress(to)));
    let mapped = |to| stun(Class::Success, 1, |writer| writer.put(&XorMappedAddress(to)));
    assert_eq!(sends_to_named(1, other, MOST_TO_NAMED), []);
    assert_eq!(sends_to_named(1, mapped, MOST_TO_NAMED), []);
    assert_eq!(sends_to_named(1, other, MOST_TO_NAMED + 1), [Invariant::Budget]);
    let nobody = |_| stun(Class::Success, 1, |writer| writer);
    assert_eq!(sends_to_named(1, nobody, 1), [Invariant::Warrant], "it names nobody");
    assert_eq!(sends_to_named(2, other, 1), [Invariant::Warrant], "it answers nothing");
    let no = |to| stun(Class::Error, 1, |writer| writer.put(&OtherAddress(to)));
    assert_eq!(sends_to_named(1, no, 1), [Invariant::Warrant], "it is no answer");
}

/// What was once a socket's own port may later be the peer's that a volley goes to: the swarm's 30461st.
#[test]
fn budget_who_was_named_may_still_be_guessed_at() {
    let other = |to| stun(Class::Success, 1, |writer| writer.put(&OtherAddress(to)));
    let volley = |to: SocketAddr| vec![Happened::MayProbe(to.ip()), Happened::MayVolley(to)];
    let enough = MOST_TO_NAMED + VOLLEY + PROBES_AT_ONCE;
    assert_eq!(sends_to_named_of_whom(1, other, volley, enough), []);
    assert_eq!(sends_to_named_of_whom(1, other, volley, enough + 1), [Invariant::Budget]);
}

/// Somebody sends a check to a host, or what was overheard of one, and it answers so often.
fn answers_check(check: &[u8], heard_as: &[u8], id: u8, count: usize) -> Vec<Invariant> {
    let mut world = World::new(1);
    let peer = actor(&mut world, "peer", World::INTERNET);
    let stranger = actor(&mut world, "stranger", World::INTERNET);
    let setup = HostSetup { listen: &[5_000], ..HostSetup::new("host", &[World::INTERNET]) };
    let host = world.add_host(setup, |_| Actor::new()).expect("a host that can be");
    world.run_for(Duration::ZERO);
    let [at_host, at_peer, lair] = [host, peer, stranger].map(|host| world.address(host, 5_000));
    send(&mut world, peer, Path::udp(at_peer, at_host), check);
    send(&mut world, stranger, Path::udp(lair, at_host), heard_as);
    world.run_for(Duration::from_secs(1));
    let answer = stun(Class::Success, id, |writer| writer.put(&XorMappedAddress(lair)));
    for _ in 0..count {
        send(&mut world, host, Path::udp(at_host, lair), &answer);
    }
    world.run_for(Duration::from_secs(1));
    broken(world)
}

/// The stranger repeats a check that was really sent, and gets one answer; garbled it is not that check.
#[test]
fn warrant_a_check_is_answered_once_each_time_it_comes() {
    let check = |name: &str| stun(Class::Request, 1, |writer| writer.put(&Username(name.as_bytes())));
    assert_eq!(answers_check(&check("alice"), &check("alice"), 1, 1), []);
    assert_eq!(answers_check(&check("alice"), &check("alice"), 1, 2), [Invariant::Warrant]);
    assert_eq!(answers_check(&check("alice"), &check("alice"), 2, 1), [Invariant::Warrant]);
    assert_eq!(answers_check(&check("alice"), &check("alicf"), 1, 1), [Invariant::Warrant]);
    let question = stun(Class::Request, 1, |writer| writer);
    assert_eq!(answers_check(&question, &question, 1, 1), [Invariant::Warrant], "it is no check");
}
