//! What is done for agents of other people, who take their turns as they see fit.

use bradawl::machine::Path;
use bradawl::punch::{Agent, Candidate, Config, Credentials, Nat, Party, Remote, Role};
use bradawl::rng::Rng;
use bradawl::time::Instant;
use bradawl::wire::stun::attr::Kind;
use bradawl::wire::stun::{Class, Message};

use crate::kit::{Front, Side, World, at, base, ms, pair};

const OPEN: [Front; 2] = [Front::Open; 2];

/// What a side has sent: when, and whether as a request.
fn packets(side: &Side) -> Vec<(Instant, bool)> {
    let is_request = |bytes: &[u8]| Message::parse(bytes).expect("STUN").class() == Class::Request;
    side.sent.iter().map(|(at, _, bytes)| (*at, is_request(bytes))).collect()
}

/// When a side has nominated.
fn nominations(side: &Side) -> Vec<Instant> {
    let nominates = |(_, _, bytes): &&(Instant, Path, Vec<u8>)| {
        Message::parse(bytes).expect("STUN").has(Kind::USE_CANDIDATE)
    };
    side.sent.iter().filter(nominates).map(|(at, ..)| *at).collect()
}

/// A controlling agent that has a foreign one checked which answers and does not check: it does not know yet
/// whom. The second value makes it know.
fn with_a_mute_one(told: &Candidate) -> (World, Remote) {
    let (caller, callee) = Credentials::derive(&[3; 32], b"a test");
    let mut rng = Rng::from_seed([3; 32]);
    let ours = [caller, callee];
    let sides = [Role::Controlling, Role::Controlled].map(|role| {
        let index = usize::from(role == Role::Controlled);
        let mut agent = Agent::new(Config::default(), ours[index].clone(), role, rng.fork());
        let base = base(index, Front::Open);
        agent.add_local(at(0), &Candidate::host(base, 65_535), base).expect("a socket");
        Side::new(index as u8, Front::Open, agent)
    });
    let mut world = World::new(sides, ms(50));
    let [caller, callee] =
        ours.map(|credentials| Remote { credentials, party: Party::Foreign, nat: Nat::default() });
    let now = world.now;
    world.sides[0].agent.begin(now, callee);
    world.sides[0].agent.add_remote(now, told).expect("it is fine");
    (world, caller)
}

fn mapped() -> Candidate {
    let base = base(1, Front::Open);
    Candidate::server_reflexive(base, base, 65_535)
}

#[test]
fn a_check_is_answered_and_followed_by_ours_at_once() {
    let mut world = pair(OPEN, Party::Foreign, 1);
    world.delay = ms(10);
    world.run_for(ms(15));
    // One has left only ten milliseconds before.
    assert_eq!(packets(&world.sides[1]), [(at(1_000), true), (at(1_010), false), (at(1_010), true)]);
}

#[test]
fn our_own_are_spared_a_check_that_was_sent_lately() {
    let mut world = pair(OPEN, Party::Kin, 1);
    world.delay = ms(10);
    world.run_for(ms(15));
    assert_eq!(packets(&world.sides[1]), [(at(1_000), true), (at(1_010), false)]);
}

#[test]
fn a_nomination_is_not_repeated_before_an_answer_and_a_turn() {
    for delay in [10, 50, 150] {
        let mut world = pair(OPEN, Party::Foreign, 1);
        world.delay = ms(delay);
        world.run_for(ms(5_000));
        let times = nominations(&world.sides[0]);
        assert_eq!((times.len(), times[0]), (3, at(1_000 + 2 * delay)));
        let least = ms(2 * delay + 50);
        assert!(times.windows(2).all(|two| two[1].since(two[0]) >= least), "{delay} ms: {times:?}");
    }
}

#[test]
fn a_nomination_waits_a_while_for_the_check_of_who_is_behind_a_nat() {
    let (mut world, _) = with_a_mute_one(&mapped());
    world.run_for(ms(5_000));
    // The last check before the answer to the first left after 60 ms; its answer came 100 ms after that.
    assert_eq!(world.sides[0].first_selected(), Some(at(1_100)));
    assert_eq!(nominations(&world.sides[0])[0], at(1_000 + 60 + 100 + 100));
}

#[test]
fn it_waits_no_longer_when_that_has_come() {
    let (mut world, caller) = with_a_mute_one(&mapped());
    world.run_for(ms(120));
    let now = world.now;
    world.sides[1].agent.begin(now, caller);
    world.run_for(ms(5_000));
    assert_eq!(nominations(&world.sides[0])[0], at(1_000 + 120 + 50));
}

#[test]
fn it_does_not_wait_for_who_is_not_behind_a_nat_or_so_near_that_it_comes_first() {
    let (mut world, _) = with_a_mute_one(&Candidate::host(base(1, Front::Open), 65_535));
    world.run_for(ms(5_000));
    assert_eq!(nominations(&world.sides[0])[0], at(1_100));
    let (mut world, _) = with_a_mute_one(&mapped());
    world.delay = ms(10);
    world.run_for(ms(5_000));
    assert_eq!(nominations(&world.sides[0])[0], at(1_020));
}
