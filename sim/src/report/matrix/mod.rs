//! What became of every pair of NATs: how often they got a direct path, how fast, with how many packets.
//!
//! A [`Matrix`] holds every measurement; a [`Summary`] the few numbers per pair that are worth keeping. The
//! summary is what `--json` prints and what a baseline is: [`compare`] says where a later run is worse.

mod compare;
mod distribution;
mod grid;
mod heat;
mod html;
#[cfg(feature = "cli")]
mod lines;
mod text;

use std::collections::BTreeMap;

use crate::trace::Strategy;

use super::figures::{Share, counted, grouped};
use super::summary::Quantiles;

pub use compare::{Regression, Worse, compare};
pub use distribution::distribution_svg;
pub use heat::svg;
pub use html::html;
#[cfg(feature = "cli")]
pub use lines::LinesError;
pub use text::text;

/// Every pair of some NATs, each run with the same seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Matrix {
    /// The command that made it, for the caption.
    pub command: String,
    /// Which NATs, in the order in which they are shown.
    pub nats: Vec<String>,
    /// What became of the pairs. A pair need be there only once, whichever comes first; one that is there
    /// both ways round is shown so.
    pub cells: Vec<Cell>,
    /// The number of seeds.
    pub seeds: u32,
    /// The first of them; the others follow it.
    pub seed: u32,
}

/// What became of one pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell {
    /// The first NAT: an index into [`Matrix::nats`].
    pub a: usize,
    /// The second.
    pub b: usize,
    /// The number of runs.
    pub runs: u32,
    /// Those that ended with a direct path,
    pub direct: u32,
    /// with a relayed one,
    pub relayed: u32,
    /// with none.
    pub failed: u32,
    /// Those, among all of these, that broke an invariant.
    pub broken: u32,
    /// What the oracle says: `certain`, `probable 98 %`, `impossible`.
    pub expectation: String,
    /// How long it took to connect, in microseconds, by how the path was won.
    pub times: Vec<(Strategy, Vec<u32>)>,
    /// How many packets both sent for it.
    pub packets: Vec<u32>,
}

/// What is worth keeping of a [`Matrix`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// The first seed.
    pub seed: u32,
    /// The number of seeds.
    pub seeds: u32,
    /// Which NATs.
    pub nats: Vec<String>,
    /// What became of the pairs.
    pub pairs: Vec<Pair>,
}

/// What is worth keeping of a [`Cell`]. The NATs are named, so that it means something beside others.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Pair {
    /// The first NAT.
    pub a: String,
    /// The second.
    pub b: String,
    /// What the oracle says.
    pub expectation: String,
    /// The number of runs.
    pub runs: u32,
    /// Those that ended with a direct path,
    pub direct: u32,
    /// with a relayed one,
    pub relayed: u32,
    /// with none.
    pub failed: u32,
    /// Those, among all of these, that broke an invariant.
    pub broken: u32,
    /// How long it took to connect, in microseconds, by the [`Strategy`]'s name.
    pub time_us: BTreeMap<String, Quantiles>,
    /// How many packets both sent for it.
    pub packets: Option<Quantiles>,
}

impl Matrix {
    /// What became of a pair, whichever of the two came first.
    pub fn cell(&self, a: usize, b: usize) -> Option<&Cell> {
        let find = |a, b| self.cells.iter().find(|cell| (cell.a, cell.b) == (a, b));
        find(a, b).or_else(|| find(b, a))
    }

    /// What is worth keeping.
    pub fn summary(&self) -> Summary {
        let pairs = self.cells.iter().map(|cell| self.pair(cell)).collect();
        Summary { seed: self.seed, seeds: self.seeds, nats: self.nats.clone(), pairs }
    }

    fn pair(&self, cell: &Cell) -> Pair {
        let mut times: BTreeMap<String, Vec<u32>> = BTreeMap::new();
        for (strategy, values) in &cell.times {
            times.entry(strategy.to_string()).or_default().extend(values);
        }
        let quantiles = |(name, values)| Quantiles::of(values).map(|quantiles| (name, quantiles));
        Pair {
            a: self.name(cell.a),
            b: self.name(cell.b),
            expectation: cell.expectation.clone(),
            runs: cell.runs,
            direct: cell.direct,
            relayed: cell.relayed,
            failed: cell.failed,
            broken: cell.broken,
            time_us: times.into_iter().filter_map(quantiles).collect(),
            packets: Quantiles::of(cell.packets.iter().copied()),
        }
    }

    fn name(&self, index: usize) -> String {
        self.nats.get(index).cloned().unwrap_or_else(|| format!("#{index}"))
    }

    /// Every time to connect by strategy, of all pairs, in ascending order.
    fn times(&self) -> BTreeMap<Strategy, Vec<u32>> {
        let mut times: BTreeMap<Strategy, Vec<u32>> = BTreeMap::new();
        for (strategy, values) in self.cells.iter().flat_map(|cell| &cell.times) {
            times.entry(*strategy).or_default().extend(values);
        }
        times.retain(|_, values| !values.is_empty());
        times.values_mut().for_each(|values| values.sort_unstable());
        times
    }

    fn total(&self) -> Total {
        let mut total = Total::default();
        for cell in &self.cells {
            total.runs += u64::from(cell.runs);
            total.direct += u64::from(cell.direct);
            total.relayed += u64::from(cell.relayed);
            total.failed += u64::from(cell.failed);
            total.broken += u64::from(cell.broken);
        }
        total
    }

    /// `12 NATs, 78 pairs, 200 runs each (seeds 1 to 200)`.
    fn scope(&self) -> String {
        let nats = counted(self.nats.len() as u64, "NAT", "NATs");
        let pairs = counted(self.cells.len() as u64, "pair", "pairs");
        let seeds = match self.seeds {
            0 => "no runs".to_owned(),
            1 => format!("1 run each (seed {})", self.seed),
            many => {
                let last = u64::from(self.seed) + u64::from(many) - 1;
                format!("{} runs each (seeds {} to {last})", grouped(many.into()), self.seed)
            }
        };
        format!("{nats}, {pairs}, {seeds}")
    }
}

/// Sums over all pairs.
#[derive(Default)]
struct Total {
    runs: u64,
    direct: u64,
    relayed: u64,
    failed: u64,
    broken: u64,
}

impl Cell {
    /// All of it but times and packets, in one sentence.
    fn sentence(&self, matrix: &Matrix) -> String {
        let mut text = format!(
            "{} × {}: of {}, {} direct, {} relayed, {} failed",
            matrix.name(self.a),
            matrix.name(self.b),
            counted(self.runs.into(), "run", "runs"),
            grouped(self.direct.into()),
            grouped(self.relayed.into()),
            grouped(self.failed.into())
        );
        if self.broken > 0 {
            text += &format!("; {} broke an invariant", grouped(self.broken.into()));
        }
        if !self.expectation.is_empty() {
            text += &format!("; expected: {}", self.expectation);
        }
        text
    }

    fn direct_share(&self) -> Share {
        Share { part: self.direct, of: self.runs }
    }

    /// What most of the runs that are not direct came to, and how many.
    fn otherwise(&self) -> Option<(&'static str, u32)> {
        match (self.relayed, self.failed) {
            (0, 0) => None,
            (relayed, failed) if relayed >= failed => Some(("relayed", relayed)),
            (_, failed) => Some(("failed", failed)),
        }
    }
}
