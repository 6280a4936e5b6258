//! Memory is flat over many runs: what a world took, it gives back.
//!
//! `sim-speed` of the benches does the same with 100,000 scenarios.

use bradawl::time::{Duration, Instant};
use bradawl_sim::link::Quality;
use bradawl_sim::matrix::{Links, pair_scenario};
use bradawl_sim::scenario::Scenario;
use bradawl_sim::units::{Chance, Span};
use bradawl_sim::world::{Keep, World};

/// How much the process may grow between the two measurements.
const TOLERANCE: u64 = 8 * 1_024 * 1_024;

/// What this process has in memory, in bytes; none where that is not told.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1_024)
}

fn two_peers() -> Scenario {
    let home = Quality { delay: Span::from_millis(20), loss: Chance::percent(2), ..Quality::default() };
    pair_scenario("home", "symmetric-random", &Links { home, skew: Span::ZERO }, 0)
}

fn run(scenario: &mut Scenario, seeds: std::ops::Range<u32>, kept: &mut Vec<World>) {
    for seed in seeds {
        scenario.seed = seed;
        let mut world = World::of(scenario, Keep::Digest).expect("a world");
        world.run_until_settled(Duration::ZERO, Instant::ZERO + Duration::from_secs(2));
        if kept.capacity() > kept.len() {
            kept.push(world);
        } else {
            assert!(world.finish().packets > 10, "seed {seed}");
        }
    }
}

#[test]
fn five_thousand_runs_take_no_more_memory_than_five_hundred() {
    let mut scenario = two_peers();
    run(&mut scenario, 0..500, &mut Vec::new());
    let Some(before) = resident() else {
        println!("SKIP memory: this system has no /proc/self/status");
        return;
    };
    run(&mut scenario, 500..5_000, &mut Vec::new());
    let after = resident().expect("as before");
    println!("after 500 runs {} KiB, after 5,000 {} KiB", before / 1_024, after / 1_024);
    assert!(after.abs_diff(before) < TOLERANCE, "{before} bytes, then {after}");

    // Were they kept, it would show.
    let mut kept = Vec::with_capacity(500);
    run(&mut scenario, 0..500, &mut kept);
    let kept_too = resident().expect("as before");
    assert!(kept.len() == 500 && kept_too > after + TOLERANCE, "{after} bytes, then {kept_too}");
}
