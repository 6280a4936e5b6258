//! Where a run is worse than an earlier one, beyond what chance explains.

use core::fmt;

use crate::report::figures::{counted, grouped, lasted, tenths_of_percent};

use super::{Pair, Summary};

/// A pair that got worse, and how. Its `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Regression {
    /// The first NAT.
    pub a: String,
    /// The second.
    pub b: String,
    /// What is worse.
    pub what: Worse,
}

/// What can be worse. Each holds what it was and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Worse {
    /// Runs broke an invariant. It needs no baseline.
    Broken {
        /// How many.
        runs: u32,
    },
    /// Fewer runs end with a direct path: those that do, and all, before and now.
    Direct {
        /// Before.
        was: (u32, u32),
        /// Now.
        is: (u32, u32),
    },
    /// Fewer runs end with any path.
    Connected {
        /// Before.
        was: (u32, u32),
        /// Now.
        is: (u32, u32),
    },
    /// The median time to connect is longer, in microseconds.
    Time {
        /// By which strategy.
        strategy: String,
        /// Before.
        was: u32,
        /// Now.
        is: u32,
    },
    /// The median number of packets is larger.
    Packets {
        /// Before.
        was: u32,
        /// Now.
        is: u32,
    },
}

/// A median of fewer values says little.
const FEWEST: u32 = 10;

/// Where `now` is worse than `baseline`: an invariant is broken; the share of direct paths, or of any, fell
/// by more than 3 σ; the median time to connect rose by more than 10 % and 5 ms, for a strategy that won at
/// least ten times in both; the median number of packets rose by more than 10 % and 2.
///
/// A pair that is only in one of them is compared with nothing. What is better is not mentioned.
pub fn compare(baseline: &Summary, now: &Summary) -> Vec<Regression> {
    let mut found = Vec::new();
    for pair in &now.pairs {
        let mut add = |what| found.push(Regression { a: pair.a.clone(), b: pair.b.clone(), what });
        if pair.broken > 0 {
            add(Worse::Broken { runs: pair.broken });
        }
        if let Some(before) = find(baseline, pair) {
            compare_pair(before, pair, &mut add);
        }
    }
    found
}

fn find<'a>(baseline: &'a Summary, pair: &Pair) -> Option<&'a Pair> {
    let named = |a: &str, b: &str| baseline.pairs.iter().find(|pair| pair.a == a && pair.b == b);
    named(&pair.a, &pair.b).or_else(|| named(&pair.b, &pair.a))
}

fn compare_pair(before: &Pair, pair: &Pair, add: &mut impl FnMut(Worse)) {
    let (was, is) = ((before.direct, before.runs), (pair.direct, pair.runs));
    if fell(was, is) {
        add(Worse::Direct { was, is });
    }
    let connected = |pair: &Pair| (pair.direct.saturating_add(pair.relayed), pair.runs);
    let (was, is) = (connected(before), connected(pair));
    if fell(was, is) {
        add(Worse::Connected { was, is });
    }
    for (strategy, is) in &pair.time_us {
        let Some(was) = before.time_us.get(strategy) else { continue };
        if was.n >= FEWEST && is.n >= FEWEST && rose(was.p50, is.p50, 5_000) {
            add(Worse::Time { strategy: strategy.clone(), was: was.p50, is: is.p50 });
        }
    }
    if let (Some(was), Some(is)) = (before.packets, pair.packets)
        && rose(was.p50, is.p50, 2)
    {
        add(Worse::Packets { was: was.p50, is: is.p50 });
    }
}

/// Whether `is` exceeds `was` by more than a tenth and `margin` together.
fn rose(was: u32, is: u32, margin: u64) -> bool {
    u64::from(is) * 10 > u64::from(was) * 11 + margin * 10
}

/// Whether a share fell by more than three standard deviations of the difference of two binomial shares,
/// under the assumption that nothing changed: p of both together, variance p (1 − p) (1/n + 1/m).
///
/// Multiplied out, so that only products are left, which IEEE 754 rounds the same everywhere.
fn fell(was: (u32, u32), is: (u32, u32)) -> bool {
    let [(part, whole), (new_part, new_whole)] =
        [was, is].map(|(part, whole)| (f64::from(part.min(whole)), f64::from(whole)));
    let difference = part * new_whole - new_part * whole;
    let (parts, wholes) = (part + new_part, whole + new_whole);
    difference > 0.0 && difference * difference * wholes > 9.0 * parts * (wholes - parts) * whole * new_whole
}

impl fmt::Display for Regression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}: {}", self.a, self.b, self.what)
    }
}

impl fmt::Display for Worse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |(part, whole): (u32, u32)| tenths_of_percent(part.into(), whole.into());
        match self {
            Self::Broken { runs } => {
                write!(f, "{} broke an invariant", counted(u64::from(*runs), "run", "runs"))
            }
            Self::Direct { was, is } => write!(f, "direct {} → {}", share(*was), share(*is)),
            Self::Connected { was, is } => write!(f, "connected {} → {}", share(*was), share(*is)),
            Self::Time { strategy, was, is } => {
                let [was, is] = [was, is].map(|&micros| lasted(micros.into()));
                write!(f, "median time to connect ({strategy}) {was} → {is}")
            }
            Self::Packets { was, is } => {
                let [was, is] = [was, is].map(|&packets| grouped(packets.into()));
                write!(f, "median packets {was} → {is}")
            }
        }
    }
}
