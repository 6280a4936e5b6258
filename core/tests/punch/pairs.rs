//! How soon two agents have a path, and how many packets that takes.

use bradawl::punch::{Candidate, Config, Party, Role};
use bradawl::wire::stun::attr::Proof;
use bradawl::wire::stun::{Class, Message};

use crate::kit::{Front, World, address, ms, pair};
use crate::solo::{Check, ELSEWHERE, Solo, THEIRS};

const FRONTS: [Front; 4] = [Front::Open, Front::Address, Front::Port, Front::Symmetric];

fn elapsed(world: &World, side: usize) -> u64 {
    let selected = world.sides[side].first_selected().expect("a path");
    selected.since(bradawl::time::Instant::from_micros(1_000_000)).as_millis() as u64
}

#[test]
fn cones_have_selected_after_one_round_trip() {
    for delay in [10, 50, 150] {
        for (a, b) in FRONTS[..3].iter().flat_map(|a| FRONTS[..3].iter().map(move |b| (*a, *b))) {
            let mut world = pair([a, b], Party::Kin, 1);
            world.delay = ms(delay);
            world.run_for(ms(2_000));
            let times = [elapsed(&world, 0), elapsed(&world, 1)];
            let packets = world.sides.iter().map(|side| side.sent.len()).sum::<usize>();
            eprintln!("{a:?} × {b:?} {delay} ms: {times:?} {packets} packets");
            assert!(times.iter().all(|&time| time <= 2 * delay + 20), "{a:?} × {b:?}: {times:?}");
        }
    }
}

#[test]
fn a_symmetric_side_knows_after_one_round_trip_and_both_after_one_and_a_half() {
    for delay in [10, 50, 150] {
        for other in [Front::Open, Front::Address] {
            let mut world = pair([Front::Symmetric, other], Party::Kin, 1);
            world.delay = ms(delay);
            world.run_for(ms(2_000));
            let times = [elapsed(&world, 0), elapsed(&world, 1)];
            let packets = world.sides.iter().map(|side| side.sent.len()).sum::<usize>();
            eprintln!("symmetric × {other:?} {delay} ms: {times:?} {packets} packets");
            assert!(times[0] <= 2 * delay + 20 && times[1] <= 3 * delay + 20, "{other:?}: {times:?}");
        }
    }
}

#[test]
fn foreign_agents_find_each_other_too() {
    for (a, b) in FRONTS.iter().flat_map(|a| FRONTS[..2].iter().map(move |b| (*a, *b))) {
        let mut world = pair([a, b], Party::Foreign, 1);
        world.run_for(ms(2_000));
        let times = [elapsed(&world, 0), elapsed(&world, 1)];
        let packets = world.sides.iter().map(|side| side.sent.len()).sum::<usize>();
        eprintln!("{a:?} × {b:?}: {times:?} {packets} packets");
        let paths = [0, 1].map(|side| world.sides[side].selected().expect("a path").1.path);
        assert!(paths[0].remote.port() != 0 && times[0] <= 320 && times[1] <= 320, "{times:?}");
    }
}

/// What both have sent before both have a path.
fn sent_until_both(world: &World) -> usize {
    let both = world.sides.each_ref().map(|side| side.first_selected().expect("a path")).into_iter().max();
    world.sides.iter().flat_map(|side| &side.sent).filter(|(at, ..)| Some(*at) < both).count()
}

#[test]
fn without_loss_both_have_a_path_after_sixteen_packets_at_most() {
    for delay in [10, 50, 150] {
        for (a, b) in FRONTS.iter().flat_map(|a| FRONTS.iter().map(move |b| (*a, *b))) {
            if matches!((a, b), (Front::Symmetric, Front::Port | Front::Symmetric))
                || (a, b) == (Front::Port, Front::Symmetric)
            {
                continue;
            }
            let mut world = pair([a, b], Party::Kin, 1);
            world.delay = ms(delay);
            world.run_for(ms(2_000));
            let packets = sent_until_both(&world);
            assert!(packets <= 16, "{a:?} × {b:?}, {delay} ms: {packets} packets");
        }
    }
}

/// The number of the choice in the newest packet of a class, and how many of them were sent.
fn told(solo: &Solo, class: Class) -> (u32, u64, usize) {
    let messages = solo.sent.iter().map(|(_, _, bytes)| Message::parse(bytes).expect("a message"));
    let of_class: Vec<_> = messages.filter(|message| message.class() == class).collect();
    let newest = of_class.last().expect("one of them").find::<Proof>().expect("well formed");
    let Proof { nomination, token } = newest.expect("it is one of our own");
    (nomination, token, of_class.len())
}

#[test]
fn a_choice_is_told_by_the_answer_that_is_due_anyway_and_by_a_check_only_later() {
    let mut solo = Solo::begun(Role::Controlling, Party::Kin);
    solo.run_for(ms(300));
    let ask = |solo: &mut Solo, id, token| {
        let check = Check { proof: Some(Proof { nomination: 0, token }), ..Check::default() };
        let bytes = check.write(&solo.ours, &solo.theirs, id, |writer| writer);
        let _ = solo.input(address(THEIRS), &bytes);
    };
    ask(&mut solo, 1, 0);
    let (nomination, token, _) = told(&solo, Class::Success);
    assert_eq!(nomination, 0, "there is nothing to choose yet");
    let checks = told(&solo, Class::Request).2;
    ask(&mut solo, 2, token);
    assert!(solo.selected().is_some());
    assert_eq!(told(&solo, Class::Success), (1, token, 2));
    assert_eq!(told(&solo, Class::Request).2, checks, "no check beside the answer");
    solo.run_for(ms(200));
    assert_eq!(told(&solo, Class::Request), (1, 0, checks + 1), "the answer may be lost");
}

/// Who has heard of a choice closes what its strategies have opened: the swarm's 52144th scenario.
#[test]
fn a_path_in_use_is_not_given_up_for_a_better_one_to_where_nobody_was_named() {
    let mut solo = Solo::new(Config::default(), Role::Controlling);
    solo.begin(Party::Kin);
    solo.add_remote(&Candidate::server_reflexive(address(THEIRS), address("10.0.0.1:5000"), 1));
    let key = solo.key_of_theirs();
    let answer_newest = |solo: &mut Solo, from| {
        let answer = solo.answer(solo.last_check(), Some(&key));
        let _ = solo.input(from, &answer);
    };
    answer_newest(&mut solo, address(THEIRS));
    let chosen = solo.selected().expect("a path").path;
    answer_newest(&mut solo, address(THEIRS));
    // It was on its way: a check from a socket that the other side has opened for a strategy.
    let check = Check { proof: Some(Proof::default()), priority: Some(u32::MAX >> 1), ..Check::default() };
    let check = check.write(&solo.ours, &solo.theirs, 1, |writer| writer);
    let elsewhere = address(ELSEWHERE);
    let _ = solo.input(elsewhere, &check);
    let (_, token, _) = told(&solo, Class::Success);
    let check = Check { proof: Some(Proof { nomination: 0, token }), ..Check::default() };
    let check = check.write(&solo.ours, &solo.theirs, 2, |writer| writer);
    let _ = solo.input(elsewhere, &check);
    assert_eq!(solo.selected().map(|selected| selected.path), Some(chosen));
    // One that was named is there to stay.
    solo.add_remote(&Candidate::host(address("203.0.113.1:7000"), 65_535));
    solo.run_for(ms(100));
    answer_newest(&mut solo, address("203.0.113.1:7000"));
    assert_eq!(solo.selected().map(|selected| selected.path.remote), Some(address("203.0.113.1:7000")));
}
