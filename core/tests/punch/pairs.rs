//! How soon two agents have a path, and how many packets that takes.

use bradawl::punch::Party;

use crate::kit::{Front, World, ms, pair};

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
