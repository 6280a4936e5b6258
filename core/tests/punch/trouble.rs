//! What goes wrong without anybody's ill will: clocks, paths that die, two that think the same.

use bradawl::machine::{HostInput, Machine as _, Output, Path, Verdict};
use bradawl::punch::{Agent, Candidate, Config, Credentials, Event, Loss, Nat, Party, Remote, Role};
use bradawl::rng::Rng;
use bradawl::time::{Duration, Instant};

use crate::kit::{Front, Side, World, address, at, base, candidate, ms, pair};
use crate::solo::{OURS, Solo, THEIRS};

// --- roles --------------------------------------------------------------------------------------------

/// Two that begin with the same tie-breaker, and draw other numbers later.
fn twins(role: Role, party: Party) -> World {
    let (caller, callee) = Credentials::derive(&[3; 32], b"twins");
    let ours = [caller, callee];
    let sides = [0, 1].map(|index| {
        let rng = Rng::from_seed([5; 32]);
        let mut agent = Agent::new(Config::default(), ours[index].clone(), role, rng);
        let base = base(index, Front::Open);
        agent.add_local(at(0), &Candidate::host(base, 65_535), base).expect("a socket");
        Side::new(index as u8, Front::Open, agent)
    });
    let mut world = World::new(sides, ms(30));
    // A pair that leads nowhere uses up numbers on one side only.
    let (now, nowhere) = (world.now, Candidate::host(address("203.0.113.200:1"), 1));
    world.sides[1].agent.add_remote(now, &nowhere).expect("it is fine");
    for index in [0, 1] {
        let remote = Remote { credentials: ours[1 - index].clone(), party, nat: Nat::default() };
        world.sides[index].agent.begin(now, remote);
        let theirs = candidate(1 - index, Front::Open);
        world.sides[index].agent.add_remote(now, &theirs).expect("it is fine");
    }
    world
}

fn assert_settled(world: &World) {
    let [first, second] = [0, 1].map(|index| world.sides[index].selected().expect("a path").1.path);
    assert_eq!((first.local, first.remote), (second.remote, second.local));
    assert_ne!(world.sides[0].agent.role(), world.sides[1].agent.role());
    for side in &world.sides {
        let changes = side.events.iter().filter(|(_, event)| matches!(event, Event::RoleChanged(_)));
        assert!(changes.count() <= 4, "{:?}", side.events);
    }
}

#[test]
fn two_in_control_with_the_same_number_settle() {
    for party in [Party::Kin, Party::Foreign] {
        let mut world = twins(Role::Controlling, party);
        world.run_for(ms(3_000));
        assert_settled(&world);
    }
}

#[test]
fn two_that_follow_with_the_same_number_settle() {
    for party in [Party::Kin, Party::Foreign] {
        let mut world = twins(Role::Controlled, party);
        world.run_for(ms(3_000));
        assert_settled(&world);
    }
}

// --- time ---------------------------------------------------------------------------------------------

/// How many packets leave from now on until `time` has passed.
fn packets_within(solo: &mut Solo, time: Duration) -> usize {
    let before = solo.sent.len();
    solo.run_for(time);
    solo.sent.len() - before
}

#[test]
fn a_day_that_passes_at_once_is_no_flood() {
    let day = Duration::from_secs(86_400);
    for role in [Role::Controlling, Role::Controlled] {
        for party in [Party::Kin, Party::Foreign] {
            let mut solo = Solo::begun(role, party);
            solo.run_for(ms(700));
            solo.now += day;
            assert!(packets_within(&mut solo, ms(10_000)) <= 10, "{role:?} {party:?}");

            // Somebody has been heard, who does not answer.
            let mut solo = Solo::begun(role, party);
            let check = solo.check(1, |writer| writer);
            let _ = solo.input(address(THEIRS), &check);
            solo.now += day;
            assert!(packets_within(&mut solo, ms(10_000)) <= 10, "{role:?} {party:?}, heard");
        }
    }
    let mut solo = Solo::begun(Role::Controlling, Party::Foreign);
    solo.connect();
    solo.now += day;
    let packets = packets_within(&mut solo, ms(10_000));
    assert!(packets <= 50, "{packets} packets");
}

#[test]
fn a_clock_that_goes_back_is_no_flood() {
    for party in [Party::Kin, Party::Foreign] {
        let mut solo = Solo::begun(Role::Controlling, party);
        solo.run_for(ms(700));
        solo.now = at(1);
        assert!(packets_within(&mut solo, ms(10_000)) <= 20, "{party:?}");
        let mut solo = Solo::begun(Role::Controlling, party);
        solo.connect();
        solo.now = at(1);
        assert!(packets_within(&mut solo, ms(10_000)) <= 20, "{party:?}");
    }
}

#[test]
fn a_packet_that_does_not_fit_is_lost_and_no_more() {
    let mut solo = Solo::begun(Role::Controlling, Party::Foreign);
    for _ in 0..3 {
        solo.now = solo.wake.expect("more to come");
        for len in [0, 19, 60] {
            let mut buf = vec![0; len];
            match solo.agent.poll_output(solo.now, &mut buf) {
                Output::Idle(wake) => assert!(wake.is_none_or(|wake| wake > solo.now)),
                other => panic!("{len}: {other:?}"),
            }
        }
        solo.drain();
    }
    let before = solo.sent.len();
    solo.run_for(ms(3_000));
    assert!(solo.sent.len() > before, "the next ones leave");
    solo.connect();
}

// --- restart, loss ------------------------------------------------------------------------------------

/// Sends data both ways every 20 ms for `time`; how many came in at each side.
fn talk(world: &mut World, time: Duration) -> [usize; 2] {
    let before = [0, 1].map(|index| world.sides[index].delivered.len());
    let end = world.now + time;
    while world.now < end {
        for index in [0, 1] {
            say(world, index, b"data");
        }
        world.run_for(ms(20));
    }
    [0, 1].map(|index| world.sides[index].delivered.len() - before[index])
}

fn say(world: &mut World, index: usize, bytes: &[u8]) {
    let now = world.now;
    let Some(path) = world.sides[index].agent.transmit(now) else { return };
    // An open side: what it sends comes from its socket.
    if !(world.lost)(0) {
        world.put(1 - index, path.local, path.remote, bytes.to_vec());
    }
}

fn restart(world: &mut World, index: usize, session: &[u8]) {
    let (caller, callee) = Credentials::derive(&[4; 32], session);
    let (ours, theirs) = if index == 0 { (caller, callee) } else { (callee, caller) };
    let now = world.now;
    let side = &mut world.sides[index];
    side.agent.restart(now, ours);
    let remote = Remote { credentials: theirs, party: Party::Kin, nat: Nat::default() };
    side.agent.begin(now, remote);
    side.agent.add_remote(now, &candidate(1 - index, Front::Open)).expect("it is fine");
}

#[test]
fn a_restart_while_data_flows_loses_none_of_it() {
    let mut world = pair([Front::Open, Front::Open], Party::Kin, 1);
    world.run_for(ms(500));
    talk(&mut world, ms(500));
    restart(&mut world, 0, b"second");
    let first = talk(&mut world, ms(200));
    restart(&mut world, 1, b"second");
    let second = talk(&mut world, ms(800));
    for (heard, sent) in [(first, 10), (second, 40)] {
        assert!(heard.iter().all(|&heard| heard == sent), "{heard:?} of {sent}");
    }
    for side in &world.sides {
        let selected = side.events.iter().filter(|(_, event)| matches!(event, Event::Selected(_))).count();
        assert!(selected >= 2, "a new path was found");
        assert!(!side.events.iter().any(|(_, event)| matches!(event, Event::Lost { .. } | Event::Failed(_))));
    }
}

#[test]
fn a_path_that_dies_while_data_flows_is_known_in_two_and_a_half_seconds_and_found_again() {
    let mut world = pair([Front::Open, Front::Open], Party::Kin, 1);
    world.run_for(ms(500));
    talk(&mut world, ms(2_000));
    world.lost = Box::new(|_| true);
    let died = world.now;
    talk(&mut world, ms(4_000));
    for side in &world.sides {
        let lost = side.events.iter().find_map(|(at, event)| match event {
            Event::Lost { why: Loss::Consent, .. } => Some(at.since(died)),
            _ => None,
        });
        // A packet of data that was on its way when the path died came in a little later.
        assert!(lost.is_some_and(|lost| lost <= ms(2_500) + world.delay), "{lost:?}");
        assert!(side.agent.selected().is_none());
    }
    world.lost = Box::new(|_| false);
    let heard = talk(&mut world, ms(3_000));
    assert!(heard.iter().all(|&heard| heard > 50), "{heard:?}");
    assert!(world.sides.iter().all(|side| side.agent.selected().is_some()));
}

#[test]
fn a_check_from_before_the_loss_proves_nothing() {
    let mut world = pair([Front::Open, Front::Open], Party::Kin, 1);
    world.run_for(ms(500));
    let checks: Vec<_> = world.sides[0].sent.iter().map(|(_, path, bytes)| (*path, bytes.clone())).collect();
    assert!(!checks.is_empty() && world.sides[1].agent.selected().is_some());
    // Side 1 sleeps; what it hears afterwards is what somebody has recorded.
    let now = world.now + Duration::from_secs(60);
    let asleep = &mut world.sides[1].agent;
    asleep.handle_host(now, HostInput::ClockJumped(Duration::from_secs(60)));
    assert!(asleep.selected().is_none());
    for (path, bytes) in checks {
        let to = Path::udp(path.remote, path.local);
        let _ = asleep.handle_input(now, to, bradawl::machine::Meta::default(), &bytes);
        assert!(asleep.selected().is_none(), "a repetition has proved the path");
    }
}

#[test]
fn a_choice_from_before_the_loss_does_not_outdo_the_one_after() {
    // Two sockets on the controlling side: the worse one is proven first, the better one takes over.
    let mut world = pair([Front::Open, Front::Open], Party::Kin, 1);
    world.run_for(ms(500));
    let better = address("203.0.113.0:5555");
    let (now, first) = (world.now, world.sides[0].agent.selected().expect("a path").path);
    assert_ne!(first.local, better);
    let other = Candidate { priority: u32::MAX >> 1, ..Candidate::host(better, 65_535) };
    world.sides[0].agent.add_local(now, &other, better).expect("another socket");
    world.run_for(ms(1_000));
    // It sleeps, and its other socket is the only one that is left. The controlled side does not know.
    world.sides[0].agent.remove_local(now, first.local);
    world.run_for(Duration::from_secs(20));
    let [ours, theirs] = [0, 1].map(|index| world.sides[index].agent.selected().map(|used| used.path));
    assert_eq!(ours.map(|path| path.local), Some(better));
    assert_eq!(theirs.map(|path| path.remote), Some(better), "the other side follows");
}

#[test]
fn nothing_is_said_after_the_end() {
    let mut solo = Solo::begun(Role::Controlling, Party::Kin);
    solo.connect();
    solo.agent.close(solo.now);
    let (sent, events) = (solo.sent.len(), solo.events.len());
    let check = solo.check(9, |writer| writer);
    assert_eq!(solo.input(address(THEIRS), &check), Verdict::Unclaimed);
    solo.agent.handle_host(solo.now, HostInput::ClockJumped(Duration::from_secs(99)));
    solo.agent.remove_local(solo.now, address(OURS));
    let remote = Remote { credentials: solo.ours.clone(), party: Party::Kin, nat: Nat::default() };
    solo.agent.begin(solo.now, remote);
    solo.run_for(Duration::from_secs(60));
    assert_eq!((solo.sent.len(), solo.events.len(), solo.wake), (sent, events, None::<Instant>));
}

// --- one side alone -----------------------------------------------------------------------------------

#[test]
fn a_side_that_follows_and_has_lost_the_path_alone_finds_it_again() {
    let mut world = pair([Front::Port, Front::Port], Party::Kin, 5);
    world.run_for(ms(1_000));
    let before = world.sides[1].selected().expect("a path").1.path;
    // The callee slept; the caller has noticed nothing, and has nothing to say.
    let now = world.now;
    world.sides[1].agent.handle_host(now, HostInput::ClockJumped(Duration::from_secs(11)));
    world.run_for(ms(12_000));
    let failed = |event: &Event| matches!(event, Event::Failed(_));
    assert!(!world.sides[1].events.iter().any(|(_, event)| failed(event)), "{:?}", world.sides[1].events);
    assert_eq!(world.sides[1].agent.selected().map(|selected| selected.path), Some(before));
}

#[test]
fn a_repeated_check_of_the_other_side_is_no_consent() {
    let mut world = pair([Front::Open, Front::Open], Party::Kin, 6);
    world.run_for(ms(1_000));
    let (path, bytes) = world.sides[1]
        .sent
        .iter()
        .rev()
        .find(|(_, _, bytes)| bytes[..2] == [0, 1])
        .map(|(_, path, bytes)| (*path, bytes.clone()))
        .expect("a check");
    // The callee is gone, and somebody sends its last check again and again, from its address.
    world.lost = Box::new(|_| true);
    let back = Path::udp(path.remote, path.local);
    for _ in 0..100 {
        world.run_for(ms(100));
        let now = world.now;
        let _ = world.sides[0].agent.transmit(now);
        let _ = world.sides[0].agent.handle_input(now, back, bradawl::machine::Meta::default(), &bytes);
    }
    let lost = world.sides[0]
        .events
        .iter()
        .any(|(_, event)| matches!(event, Event::Lost { why: Loss::Consent, .. }));
    assert!(lost, "{:?}", world.sides[0].events);
}

#[test]
fn after_a_restart_the_old_path_is_used_for_thirty_seconds_and_no_longer() {
    let mut world = pair([Front::Open, Front::Open], Party::Kin, 7);
    world.run_for(ms(1_000));
    let ours = Credentials::random(&mut Rng::from_seed([9; 32]));
    let now = world.now;
    world.sides[0].agent.restart(now, ours);
    world.run_for(ms(29_000));
    let now = world.now;
    assert!(world.sides[0].agent.transmit(now).is_some(), "data goes on meanwhile");
    world.run_for(ms(2_000));
    let now = world.now;
    assert_eq!(world.sides[0].agent.transmit(now), None);
}

#[test]
fn an_idle_foreign_agent_may_miss_one_keepalive() {
    let mut solo = Solo::begun(Role::Controlling, Party::Foreign);
    solo.connect();
    let nat = Nat { lifetime: Some(Duration::from_secs(120)), ..Nat::default() };
    solo.agent.set_nat(solo.now, nat);
    solo.run_for(Duration::from_secs(115));
    let lost = solo.events.iter().any(|event| matches!(event, Event::Lost { .. }));
    assert!(!lost, "one check that was not answered yet is no reason");
}
