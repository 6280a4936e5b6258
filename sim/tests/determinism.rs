//! Same seed, same run (invariant 7): a thousand random scenarios, each run twice, in two processes, do the
//! same to the last byte. `.ci/run determinism` compares what debug and release builds print, too.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use bradawl::time::Instant;
use bradawl_sim::scenario::Scenario;
use bradawl_sim::trace::Digest;
use bradawl_sim::units::Span;
use bradawl_sim::world::{Keep, World};

const SCENARIOS: u32 = 1_000;

/// Whoever sets this gets the digests printed, a line each.
const PRINT: &str = "BRADAWL_SIM_DIGESTS";

/// Virtual time enough for two to meet, and for things to go wrong meanwhile.
const TIME: Span = Span::from_secs(10);

/// The random scenario, with its faults moved into the shorter time.
fn scenario(seed: u32) -> Scenario {
    let mut scenario = Scenario::random(seed);
    for fault in &mut scenario.faults {
        fault.at = Span::from_micros(fault.at.as_micros() * TIME.as_micros() / scenario.time.as_micros());
    }
    Scenario { time: TIME, ..scenario }
}

fn digest(scenario: &Scenario) -> Digest {
    let mut world = World::of(scenario, Keep::Digest).expect("a world");
    world.run_until(Instant::ZERO + scenario.time.duration());
    world.finish().digest
}

fn digests() -> Vec<Digest> {
    (0..SCENARIOS).map(|seed| digest(&scenario(seed))).collect()
}

#[test]
fn two_runs_here_and_one_in_another_process_are_one_and_the_same() {
    if std::env::var_os(PRINT).is_some() {
        return digests().iter().for_each(|digest| println!("digest {digest}"));
    }
    let this = std::env::current_exe().expect("this program");
    let mut other = Command::new(this);
    let name = "two_runs_here_and_one_in_another_process_are_one_and_the_same";
    other.args(["--exact", name, "--nocapture"]).env(PRINT, "1").stdout(Stdio::piped());
    let other = other.spawn().expect("it runs");

    let (first, second) = (digests(), digests());
    let other = other.wait_with_output().expect("it ends").stdout;
    let other = String::from_utf8(other).expect("text");
    // The harness may leave words of its own in front of a line.
    let third = other.lines().filter_map(|line| Some(line.split_once("digest ")?.1));
    let third: Vec<String> = third.map(str::to_owned).collect();
    let differing = |one: &[String], other: &[String]| {
        assert_eq!(one.len(), other.len());
        (0..one.len()).filter(|&seed| one[seed] != other[seed]).collect::<Vec<_>>()
    };
    let [first, second] = [first, second].map(|all| all.iter().map(Digest::to_string).collect::<Vec<_>>());
    assert!(differing(&first, &second).is_empty(), "seeds {:?} in this process", differing(&first, &second));
    assert!(differing(&first, &third).is_empty(), "seeds {:?} in another one", differing(&first, &third));
    let different: BTreeSet<&String> = first.iter().collect();
    assert_eq!(different.len(), first.len(), "different scenarios are different runs");
}

#[test]
fn another_seed_is_another_run() {
    for seed in 0..50 {
        let scenario = scenario(seed);
        let other = Scenario { seed: seed + 1_000_000, ..scenario.clone() };
        assert_ne!(digest(&scenario), digest(&other), "seed {seed}");
    }
}
