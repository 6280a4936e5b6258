//! How the cost of timers grows with their number: one table, and a verdict.
//!
//! ```text
//! cargo bench -p bradawl-benches --bench timers -- [--check]
//! ```
//!
//! Ends with 1 under `--check` when setting and popping among 100,000 sessions costs more than
//! three times what it costs among 1,000. The two are measured in alternation and the best round of
//! each counts, so a busy machine slows both.

#![allow(clippy::disallowed_methods, reason = "what is measured here is real time")]

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use bradawl_benches::sessions::Sessions;

/// How much dearer 100,000 sessions may be than 1,000.
const TARGET: f64 = 3.0;

const OPERATIONS: u32 = 200_000;

fn main() -> ExitCode {
    let check = std::env::args().any(|argument| argument == "--check");
    println!("{:<14}{:>12}{:>12}{:>8}", "ns per timer", "1,000", "100,000", "ratio");
    let set_and_pop = row("set + pop", Sessions::set_and_pop);
    row("postpone", |sessions| {
        black_box(sessions.postpone());
    });
    if !check {
        return ExitCode::SUCCESS;
    }
    let met = set_and_pop <= TARGET;
    eprintln!("{} set + pop: ratio {set_and_pop:.2}, target ≤ {TARGET}", if met { "ok  " } else { "MISS" });
    ExitCode::from(u8::from(!met))
}

/// Prints what one operation costs among few and among many, and returns the ratio.
fn row(name: &str, operation: impl Fn(&mut Sessions)) -> f64 {
    let (mut few, mut many) = (Sessions::new(1_000), Sessions::new(100_000));
    let round = |sessions: &mut Sessions| {
        let start = Instant::now();
        for _ in 0..OPERATIONS {
            operation(black_box(sessions));
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(OPERATIONS)
    };
    // The first round warms both up.
    let (mut best_few, mut best_many) = (f64::MAX, f64::MAX);
    for warm in [false, true, true, true, true, true, true, true, true] {
        let (few, many) = (round(&mut few), round(&mut many));
        if warm {
            best_few = best_few.min(few);
            best_many = best_many.min(many);
        }
    }
    let ratio = best_many / best_few;
    println!("{name:<14}{best_few:>12.1}{best_many:>12.1}{ratio:>8.2}");
    ratio
}
