//! How fast the simulator runs two peers who punch, on one thread, and whether its memory stays flat: a
//! table, and a verdict.
//!
//! ```text
//! cargo bench -p bradawl-benches --bench sim-speed -- [--scenarios N] [--check]
//! ```
//!
//! Each scenario is a mediator and two peers, each behind a NAT drawn from the population `measured`, 40 ms
//! apart with 1 % loss, and runs until both have a path or have given up. Ends with 1 under `--check` when
//! there were fewer than 500 scenarios per second, or when the process grew by more than 10 % between a
//! tenth of them and all.

#![allow(clippy::disallowed_methods, reason = "what is measured here is real time")]

use std::process::ExitCode;
use std::time::Instant;

use bradawl::rng::Rng;
use bradawl_sim::catalogue;
use bradawl_sim::scenario::Scenario;
use bradawl_sim::world::{Keep, World};

/// Scenarios per second, at least.
const TARGET: f64 = 500.0;
/// How much memory may be taken after all of them, as a share of that after a tenth.
const GROWTH: f64 = 1.1;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut check, mut scenarios) = (false, 100_000_u32);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--check" => check = true,
            "--scenarios" => match arguments.next().and_then(|number| number.parse().ok()) {
                Some(number @ 10..) => scenarios = number,
                _ => return usage("--scenarios wants a number from 10 on"),
            },
            "--bench" => {} // cargo says so
            _ => return usage(&format!("what is `{argument}`?")),
        }
    }
    let measured = measure(scenarios);
    if check && !measured.is_met() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn usage(what: &str) -> ExitCode {
    eprintln!("sim-speed: {what}\nusage: sim-speed [--scenarios N] [--check]");
    ExitCode::from(2)
}

struct Measured {
    per_second: f64,
    /// After all of them as a share of that after a tenth, where it can be told.
    growth: Option<f64>,
}

impl Measured {
    fn is_met(&self) -> bool {
        let verdict = |met: bool, what: String| {
            println!("{} {what}", if met { "ok  " } else { "MISS" });
            met
        };
        let is_fast = verdict(
            self.per_second >= TARGET,
            format!("{:.0} scenarios per second, target ≥ {TARGET:.0}", self.per_second),
        );
        let Some(growth) = self.growth else {
            println!("SKIP memory: this system has no /proc/self/status");
            return is_fast;
        };
        let is_flat = verdict(growth <= GROWTH, format!("memory × {growth:.3}, target ≤ × {GROWTH}"));
        is_fast && is_flat
    }
}

/// Runs them all, with a line of the table after a tenth, a half and all of them.
fn measure(scenarios: u32) -> Measured {
    let mut rng = Rng::from_seed([1; 32]);
    let mut scenario = two_peers();
    let (mut direct, mut packets) = (0_u32, 0_u64);
    let mut after_a_tenth = None;
    println!("{:>10}{:>10}{:>12}{:>12}{:>10}", "scenarios", "per s", "direct", "packets", "KiB");
    let begun = Instant::now();
    for seed in 1..=scenarios {
        scenario.seed = seed;
        for network in scenario.networks.values_mut() {
            network.behind = drawn(&mut rng).to_owned();
        }
        let mut world = World::of(&scenario, Keep::Digest).expect("a world");
        let end = bradawl::time::Instant::ZERO + scenario.time.duration();
        world.run_until_settled(bradawl::time::Duration::ZERO, end);
        let report = world.finish();
        packets += report.packets;
        direct += report.pairs.iter().filter(|pair| pair.outcome.is_direct()).count() as u32;
        if seed == scenarios / 10 || seed == scenarios / 2 || seed == scenarios {
            let resident = resident();
            let per_second = f64::from(seed) / begun.elapsed().as_secs_f64();
            let direct = format!("{:.1} %", f64::from(direct) * 100.0 / f64::from(seed));
            let memory = resident.map_or("?".to_owned(), |kib| kib.to_string());
            println!("{seed:>10}{per_second:>10.0}{direct:>12}{:>12}{memory:>10}", packets / u64::from(seed));
            after_a_tenth = after_a_tenth.or(resident);
        }
    }
    let per_second = f64::from(scenarios) / begun.elapsed().as_secs_f64();
    let growth = resident().zip(after_a_tenth).map(|(now, then)| now as f64 / then as f64);
    Measured { per_second, growth }
}

/// A NAT of the population.
fn drawn(rng: &mut Rng) -> &'static str {
    let weights = catalogue::populations()[0].weights;
    let mut rest = rng.below(weights.iter().map(|&(_, weight)| u64::from(weight)).sum());
    for &(name, weight) in weights {
        match rest.checked_sub(u64::from(weight)) {
            Some(less) => rest = less,
            None => return name,
        }
    }
    unreachable!("the weights add up")
}

fn two_peers() -> Scenario {
    let text = "
        [network.lan-a]
        behind = 'open'
        link = { delay = '20 ms', loss = '1 %' }
        [network.lan-b]
        behind = 'open'
        link = { delay = '20 ms', loss = '1 %' }
        [host.hub]
        run = 'mediator'
        in = 'internet'
        [host.alice]
        run = 'peer'
        in = 'lan-a'
        server = 'hub'
        peer = 'bob'
        [host.bob]
        run = 'peer'
        in = 'lan-b'
        server = 'hub'
        peer = 'alice'
    ";
    Scenario::from_toml(text).expect("a scenario")
}

/// What this process has in memory, in KiB; none where that is not told.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}
