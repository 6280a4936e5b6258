//! Many connections under the same conditions, and what one costs.

#![allow(clippy::disallowed_methods, reason = "one of the two costs is real time")]

use std::hint::black_box;
use std::time::{Duration, Instant};

use bradawl_benches::callgrind;
use bradawl_benches::figure::Spread;

use crate::contender::Entry;
use crate::race::{self, Cell, Conditions, Outcome, Until};

/// Who plays A and who plays B.
pub(crate) type Pair = [&'static Entry; 2];

/// The same connection with many seeds.
pub(crate) struct Sample {
    pub(crate) conditions: Conditions,
    pub(crate) pair: Pair,
    outcomes: Vec<Outcome>,
}

impl Sample {
    pub(crate) fn take(conditions: Conditions, pair: Pair, seeds: u64) -> Self {
        let outcomes = (0..seeds).map(|seed| race::run(pair, &conditions, seed, Until::Counted));
        Self { conditions, pair, outcomes: outcomes.collect() }
    }

    /// Something of every connection.
    pub(crate) fn spread<T: Ord + Copy>(&self, of: impl Fn(&Outcome) -> Option<T>) -> Spread<T> {
        self.outcomes.iter().map(of).collect()
    }

    /// When both sides had a pair.
    pub(crate) fn both(&self) -> Spread<Duration> {
        self.spread(Outcome::both)
    }

    pub(crate) fn failures(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.both().is_none()).count()
    }

    pub(crate) const fn seeds(&self) -> usize {
        self.outcomes.len()
    }
}

/// What a connection costs the processor: both agents and the network, until both have a pair.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    /// `None` where callgrind is not at hand.
    pub(crate) instructions: Option<f64>,
    pub(crate) nanoseconds: f64,
}

/// The connection whose cost is measured.
const COSTED: Conditions = Conditions {
    cell: Cell::PORT_RESTRICTED,
    delay: Duration::from_millis(50),
    loss_percent: 0,
    as_host: false,
};

/// The arguments with which this program makes connections of one library and does nothing else.
pub(crate) const OPERATION: &str = "--connect";

/// What a connection between two agents of `entry` costs.
pub(crate) fn cost(entry: &'static Entry, with_callgrind: bool) -> Result<Cost, String> {
    const N: u64 = 100; // twice as many has as many digits, or reading the argument would show
    let instructions = || callgrind::instructions(&[OPERATION, entry.name], N);
    Ok(Cost { instructions: with_callgrind.then(instructions).transpose()?, nanoseconds: nanoseconds(entry) })
}

/// Connects two agents of `entry`, so many times.
pub(crate) fn connect(entry: &Entry, times: u64) {
    for seed in 0..times {
        black_box(race::run([entry, entry], black_box(&COSTED), seed, Until::Both));
    }
}

/// The best of several rounds.
fn nanoseconds(entry: &Entry) -> f64 {
    const TIMES: u64 = 200;
    let round = || {
        let start = Instant::now();
        connect(entry, TIMES);
        start.elapsed()
    };
    let best = (0..8).map(|_| round()).min().unwrap_or_default();
    best.as_secs_f64() * 1e9 / TIMES as f64
}
