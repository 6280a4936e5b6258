//! What is done for agents of other people, who take their turns as they see fit.

use bradawl::machine::Path;
use bradawl::punch::{Agent, Candidate, Config, Credentials, Nat, Party, Remote, Role};
use bradawl::rng::Rng;
use bradawl::time::Instant;
use bradawl::wire::stun::attr::Kind;
use bradawl::wire::stun::{Class, Message};

use crate::kit::{Front, Side, World, address, at, base, ms, pair};
use crate::solo::{Check, ELSEWHERE, Solo, THEIRS, code, is_request};

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

// --- roles --------------------------------------------------------------------------------------------

/// What they are and which number they have, as a check of theirs says it.
fn says(solo: &mut Solo, id: u8, role: Role, tie_breaker: u64, nominates: bool) {
    let check = Check { role: Some(role), tie_breaker, nominates, ..Check::default() };
    let check = check.write(&solo.ours, &solo.theirs, id, |writer| writer);
    let _ = solo.input(address(THEIRS), &check);
}

/// How often we have nominated.
fn nominated(solo: &Solo) -> usize {
    let nominates = |bytes: &[u8]| Message::parse(bytes).expect("STUN").has(Kind::USE_CANDIDATE);
    solo.sent.iter().filter(|(_, _, bytes)| nominates(bytes)).count()
}

#[test]
fn who_has_to_give_in_may_say_that_we_do() {
    // As rtc-ice does: it has the greater number, tells us the conflict all the same, takes control, and
    // answers the check.
    let mut solo = Solo::begun(Role::Controlled, Party::Foreign);
    let (ours, key) = (solo.last_check(), solo.key_of_theirs());
    says(&mut solo, 1, Role::Controlled, u64::MAX, false);
    assert!(solo.sent.iter().any(|(_, _, bytes)| code(bytes) == Some(487)));
    let conflict = solo.error(ours, 487, Some(&key));
    let _ = solo.input(address(THEIRS), &conflict);
    assert_eq!(solo.agent.role(), Role::Controlled);
    // The answer counts.
    let answer = solo.answer(ours, Some(&key));
    let _ = solo.input(address(THEIRS), &answer);
    says(&mut solo, 2, Role::Controlling, u64::MAX, true);
    assert_eq!(solo.selected().map(|selected| selected.path.remote), Some(address(THEIRS)));
}

#[test]
fn who_says_so_twice_is_believed() {
    // As `is` does if both are controlled: it takes the smaller number for the one that gives in.
    let mut solo = Solo::begun(Role::Controlled, Party::Foreign);
    says(&mut solo, 1, Role::Controlled, u64::MAX, false);
    for role in [Role::Controlled, Role::Controlling] {
        let conflict = solo.error(solo.last_check(), 487, Some(&solo.key_of_theirs()));
        let _ = solo.input(address(THEIRS), &conflict);
        assert_eq!(solo.agent.role(), role);
        solo.run_for(ms(200));
    }
}

#[test]
fn who_is_in_control_again_nominates_again() {
    let mut solo = Solo::begun(Role::Controlling, Party::Foreign);
    solo.connect();
    let before = nominated(&solo);
    assert!(before > 0);
    // Nothing is known of their number yet: this is believed.
    let conflict = solo.error(solo.last_check(), 487, Some(&solo.key_of_theirs()));
    let _ = solo.input(address(THEIRS), &conflict);
    assert_eq!((solo.agent.role(), nominated(&solo)), (Role::Controlled, before));
    says(&mut solo, 1, Role::Controlled, 0, false);
    solo.run_for(ms(200));
    assert_eq!(solo.agent.role(), Role::Controlling);
    assert!(nominated(&solo) > before, "the other side would wait for it for ever");
}

#[test]
fn who_is_given_control_nominates_what_works_already() {
    let mut solo = Solo::begun(Role::Controlled, Party::Foreign);
    let first = solo.last_check();
    solo.run_for(ms(30));
    let (second, key) = (solo.last_check(), solo.key_of_theirs());
    assert_ne!(first, second);
    let answer = solo.answer(first, Some(&key));
    let _ = solo.input(address(THEIRS), &answer);
    assert_eq!(solo.selected(), None, "that is up to the other side");
    let conflict = solo.error(second, 487, Some(&key));
    let _ = solo.input(address(THEIRS), &conflict);
    solo.run_for(ms(200));
    assert_eq!(solo.agent.role(), Role::Controlling);
    assert!(solo.selected().is_some() && nominated(&solo) > 0);
}

#[test]
fn who_has_to_give_in_gets_a_check_that_says_so_wherever_it_is() {
    // For rtc-ice does not read what we answer.
    let mut solo = Solo::begun(Role::Controlled, Party::Foreign);
    let strong = Check { role: Some(Role::Controlled), tie_breaker: u64::MAX, ..Check::default() };
    let strong = strong.write(&solo.ours, &solo.theirs, 1, |writer| writer);
    let _ = solo.input(address(ELSEWHERE), &strong);
    solo.run_for(ms(50));
    let sent: Vec<_> = solo
        .sent_to(address(ELSEWHERE))
        .iter()
        .map(|(_, _, bytes)| (code(bytes), is_request(bytes)))
        .collect();
    assert_eq!(sent[..2], [(Some(487), false), (None, true)]);
}

#[test]
fn and_also_if_we_need_none_any_more() {
    let mut solo = Solo::begun(Role::Controlled, Party::Foreign);
    let answer = solo.answer(solo.last_check(), Some(&solo.key_of_theirs()));
    let _ = solo.input(address(THEIRS), &answer);
    solo.run_for(ms(1_000));
    let checks = |solo: &Solo| solo.sent.iter().filter(|(_, _, bytes)| is_request(bytes)).count();
    assert_eq!(checks(&solo), 1);
    says(&mut solo, 1, Role::Controlled, u64::MAX, false);
    solo.run_for(ms(10));
    assert_eq!((solo.agent.role(), checks(&solo)), (Role::Controlled, 2));
}
