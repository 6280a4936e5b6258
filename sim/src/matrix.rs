//! Every pair of NATs, each with the same seeds: what becomes of two homes that want to reach each other.
//!
//! [`run`] is `bradawl-sim matrix` for a test of one's own: a plan in, the measurements and what is wrong with
//! them out, in as many threads as one likes and the same for any number of them.

use core::fmt;
use core::ops::ControlFlow;
use std::collections::BTreeMap;

use bradawl::time::{Duration, Instant};

use crate::catalogue::Population;
use crate::check::{Outcome, Violation};
use crate::jobs;
use crate::link::Quality;
use crate::odds::Odds;
use crate::oracle::Expectation;
use crate::report::matrix::{Cell, Matrix};
use crate::scenario::{HostSpec, INTERNET, NetworkSpec, Problem, Program, Scenario};
use crate::trace::Strategy;
use crate::units::Span;
use crate::world::{InvalidWorld, Keep, Report, World};

/// How long a pair is watched after both have a path or gave up.
const LINGER: Duration = Duration::from_secs(2);

/// So many runs are one piece of work for a thread.
const PIECE: u32 = 32;

/// What lies between two homes, and when they begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// The way from each home's gateway to the internet; the direct path takes it twice.
    pub home: Quality,
    /// How much later than the first the second begins.
    pub skew: Span,
}

impl Default for Links {
    /// A direct round trip of 80 ms, and a skew of 50 ms.
    fn default() -> Self {
        let home = Quality { delay: Span::from_millis(20), ..Quality::default() };
        Self { home, skew: Span::from_millis(50) }
    }
}

/// Two homes, behind the NATs `a` and `b` of the catalogue, and a mediator on the internet.
///
/// ```
/// use bradawl_sim::matrix::{Links, pair_scenario, settle};
///
/// let scenario = pair_scenario("home", "symmetric-random", &Links::default(), 1);
/// assert_eq!(scenario.check(), Ok(()));
/// let report = settle(&scenario, Default::default())?;
/// assert!(report.violations.is_empty());
/// assert_eq!(report.pairs[0].expectation.to_string(), "luck");
/// # Ok::<(), bradawl_sim::world::InvalidWorld>(())
/// ```
pub fn pair_scenario(a: &str, b: &str, links: &Links, seed: u32) -> Scenario {
    let network = |behind: &str| NetworkSpec {
        outside: INTERNET.to_owned(),
        behind: behind.to_owned(),
        ipv6: false,
        subnet: None,
        link: links.home.clone(),
    };
    let host = |run: Program, network: &str, peer: Option<&str>, start: Span| HostSpec {
        run,
        networks: vec![network.to_owned()],
        addresses: Vec::new(),
        server: peer.map(|_| "mediator".to_owned()),
        peer: peer.map(str::to_owned),
        start,
        link: Quality::default(),
    };
    let hosts = [
        ("mediator", host(Program::Mediator, INTERNET, None, Span::ZERO)),
        ("alice", host(Program::Peer, "lan-a", Some("bob"), Span::ZERO)),
        ("bob", host(Program::Peer, "lan-b", Some("alice"), links.skew)),
    ];
    Scenario {
        about: format!("two homes, one behind `{a}`, one behind `{b}`"),
        seed,
        networks: BTreeMap::from([("lan-a".to_owned(), network(a)), ("lan-b".to_owned(), network(b))]),
        hosts: hosts.into_iter().map(|(name, host)| (name.to_owned(), host)).collect(),
        ..Scenario::default()
    }
}

/// Runs a scenario until its pairs have a path or gave up, and 2 s more, at most to its end.
pub fn settle(scenario: &Scenario, keep: Keep) -> Result<Report, InvalidWorld> {
    let mut world = World::of(scenario, keep)?;
    world.run_until_settled(LINGER, Instant::ZERO + scenario.time.duration());
    Ok(world.finish())
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// NATs of the catalogue; each is run with itself and with all behind it.
    pub nats: Vec<String>,
    /// How many seeds,
    pub seeds: u32,
    /// and the first of them.
    pub seed: u32,
    /// What lies between the homes.
    pub links: Links,
    /// How many threads.
    pub jobs: usize,
}

impl Plan {
    /// How many runs that are.
    pub fn runs(&self) -> u64 {
        let nats = self.nats.len() as u64;
        nats * (nats + 1) / 2 * u64::from(self.seeds)
    }
}

/// What came of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured {
    /// All measurements; its `command` is for the caller to fill in.
    pub matrix: Matrix,
    /// What is wrong with them, at most one of each kind per pair.
    pub failures: Vec<Failure>,
    /// How many packets there were in all runs.
    pub packets: u64,
}

/// A pair that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The first NAT.
    pub a: String,
    /// The second.
    pub b: String,
    /// What is wrong.
    pub what: Wrong,
}

/// What can be wrong with a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// A run broke an invariant: the first that did.
    Broken {
        /// Its seed.
        seed: u32,
        /// What it did first.
        violation: Violation,
    },
    /// Fewer runs are direct than what is probable, beyond chance.
    Below(Odds),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}: ", self.a, self.b)?;
        match &self.what {
            Wrong::Broken { seed, violation } => write!(f, "seed {seed}: {violation}"),
            Wrong::Below(odds) => write!(f, "too few are direct: {odds}"),
        }
    }
}

/// Runs a plan. `progress` is told of each piece of work how many runs it was.
///
/// ```
/// use bradawl_sim::matrix::{Links, Plan, run};
///
/// let nats = vec!["open".to_owned(), "home".to_owned()];
/// let plan = Plan { nats, seeds: 2, seed: 1, links: Links::default(), jobs: 1 };
/// let measured = run(&plan, |_| ())?;
/// assert_eq!(measured.failures, []);
/// assert!(measured.matrix.cells.iter().all(|cell| cell.direct == cell.runs));
/// # Ok::<(), bradawl_sim::scenario::Problem>(())
/// ```
pub fn run(plan: &Plan, mut progress: impl FnMut(u32)) -> Result<Measured, Problem> {
    let count = plan.nats.len();
    let pairs: Vec<(usize, usize)> = (0..count).flat_map(|a| (a..count).map(move |b| (a, b))).collect();
    for &(a, b) in &pairs {
        plan.scenario(a, b, plan.seed).check()?;
    }
    let mut cells: Vec<Draft> = pairs.iter().map(|&(a, b)| Draft::new(a, b)).collect();
    let pieces = u64::from(plan.seeds.div_ceil(PIECE));
    let work = |unit: u64| {
        let cell = (unit / pieces) as usize;
        let first = (unit % pieces) as u32 * PIECE;
        let mut draft = Draft::new(pairs[cell].0, pairs[cell].1);
        for seed in first..plan.seeds.min(first.saturating_add(PIECE)) {
            draft.run(plan, plan.seed.wrapping_add(seed));
        }
        (cell, draft)
    };
    jobs::in_order(plan.jobs, pieces * pairs.len() as u64, work, |(cell, draft)| {
        progress(draft.cell.runs);
        cells[cell].merge(draft);
        ControlFlow::Continue(())
    });
    let packets = cells.iter().map(|draft| draft.packets).sum();
    let failures = cells.iter().flat_map(|draft| draft.failures(plan)).collect();
    let cells = cells.into_iter().map(|draft| draft.cell).collect();
    let Plan { nats, seeds, seed, .. } = plan.clone();
    Ok(Measured { matrix: Matrix { command: String::new(), nats, cells, seeds, seed }, failures, packets })
}

impl Plan {
    fn scenario(&self, a: usize, b: usize, seed: u32) -> Scenario {
        pair_scenario(&self.nats[a], &self.nats[b], &self.links, seed)
    }
}

/// A cell that is being measured.
struct Draft {
    cell: Cell,
    odds: Odds,
    packets: u64,
    broken: Option<(u32, Violation)>,
}

impl Draft {
    fn new(a: usize, b: usize) -> Self {
        let cell = Cell { a, b, ..Cell::default() };
        Self { cell, odds: Odds::default(), packets: 0, broken: None }
    }

    fn run(&mut self, plan: &Plan, seed: u32) {
        let cell = &mut self.cell;
        cell.runs += 1;
        let scenario = plan.scenario(cell.a, cell.b, seed);
        // Every pair was checked before the first run.
        let Ok(mut report) = settle(&scenario, Keep::Digest) else {
            cell.failed += 1;
            return;
        };
        self.packets += report.packets;
        if !report.violations.is_empty() {
            cell.broken += 1;
            let first = report.violations.swap_remove(0);
            self.broken.get_or_insert((seed, first));
        }
        let Some(pair) = report.pairs.first() else { return };
        if cell.expectation.is_empty() {
            cell.expectation = pair.expectation.to_string();
        }
        if let Expectation::Probable(chance) = pair.expectation {
            self.odds.add(chance, pair.outcome.is_direct());
        }
        let won = match pair.outcome {
            Outcome::Direct { strategy, after } => {
                cell.direct += 1;
                Some((strategy, after))
            }
            Outcome::Relayed { after } => {
                cell.relayed += 1;
                Some((Strategy::Relay, after))
            }
            Outcome::Failed(_) | Outcome::Nothing => {
                cell.failed += 1;
                None
            }
        };
        if let Some((strategy, after)) = won {
            times(cell, strategy).push(u32::try_from(after.as_micros()).unwrap_or(u32::MAX));
            cell.packets.push(u32::try_from(pair.packets).unwrap_or(u32::MAX));
        }
    }

    /// What was measured with the seeds behind these.
    fn merge(&mut self, later: Self) {
        let (cell, new) = (&mut self.cell, later.cell);
        cell.runs += new.runs;
        cell.direct += new.direct;
        cell.relayed += new.relayed;
        cell.failed += new.failed;
        cell.broken += new.broken;
        if cell.expectation.is_empty() {
            cell.expectation = new.expectation;
        }
        for (strategy, values) in new.times {
            times(cell, strategy).extend(values);
        }
        cell.packets.extend(new.packets);
        self.odds.merge(&later.odds);
        self.packets += later.packets;
        if self.broken.is_none() {
            self.broken = later.broken;
        }
    }

    fn failures(&self, plan: &Plan) -> Vec<Failure> {
        let broken = self.broken.clone().map(|(seed, violation)| Wrong::Broken { seed, violation });
        let below = self.odds.is_below().then_some(Wrong::Below(self.odds));
        let name = |index: usize| plan.nats[index].clone();
        let failure = |what| Failure { a: name(self.cell.a), b: name(self.cell.b), what };
        broken.into_iter().chain(below).map(failure).collect()
    }
}

fn times(cell: &mut Cell, strategy: Strategy) -> &mut Vec<u32> {
    let index = cell.times.iter().position(|(known, _)| *known == strategy).unwrap_or_else(|| {
        cell.times.push((strategy, Vec::new()));
        cell.times.len() - 1
    });
    &mut cell.times[index].1
}

/// What becomes of two members of a population, drawn independently of one another: each pair of NATs
/// counts by the product of their shares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shares {
    /// Those with a direct path, in millionths,
    pub direct: u64,
    /// with a relayed one,
    pub relayed: u64,
    /// and with none.
    pub failed: u64,
    /// The median time to connect of those with a direct path, in microseconds.
    pub median: Option<u32>,
}

impl Shares {
    /// Of a population, from the pairs of a matrix; `None` if a pair is missing.
    pub fn of(population: &Population, matrix: &Matrix) -> Option<Self> {
        let index = |name: &str| matrix.nats.iter().position(|nat| nat == name);
        let mut parts = [0u128; 3];
        let mut times: Vec<(u32, u64)> = Vec::new();
        let runs = u128::from(matrix.seeds).max(1);
        for (i, (a, weight_a)) in population.weights.iter().enumerate() {
            for (j, (b, weight_b)) in population.weights.iter().enumerate().skip(i) {
                let cell = matrix.cell(index(a)?, index(b)?)?;
                let weight = u64::from(weight_a * weight_b) * if i == j { 1 } else { 2 };
                for (part, runs) in parts.iter_mut().zip([cell.direct, cell.relayed, cell.failed]) {
                    *part += u128::from(weight) * u128::from(runs);
                }
                let direct = cell.times.iter().filter(|(strategy, _)| *strategy != Strategy::Relay);
                times.extend(direct.flat_map(|(_, values)| values).map(|&time| (time, weight)));
            }
        }
        // The weights add up to 100, so their products to 10,000.
        let [direct, relayed, failed] = parts.map(|part| (part * 100 / runs) as u64);
        Some(Self { direct, relayed, failed, median: median(times) })
    }
}

/// The smallest time that at least half of the weight does not exceed.
fn median(mut times: Vec<(u32, u64)>) -> Option<u32> {
    times.sort_unstable();
    let whole: u64 = times.iter().map(|(_, weight)| weight).sum();
    let mut below = 0;
    times.iter().find_map(|&(time, weight)| {
        below += weight;
        (below * 2 >= whole).then_some(time)
    })
}

#[cfg(test)]
mod tests {
    use super::{Links, Plan, Shares, median, run};
    use crate::catalogue::{Population, populations};
    use crate::report::matrix::{Cell, Matrix};

    fn plan(nats: &[&str], seeds: u32, jobs: usize) -> Plan {
        let nats = nats.iter().map(|&nat| nat.to_owned()).collect();
        Plan { nats, seeds, seed: 1, links: Links::default(), jobs }
    }

    #[test]
    fn the_number_of_jobs_changes_nothing() {
        let of = |jobs| run(&plan(&["home", "symmetric-random", "udp-blocked"], 40, jobs), |_| ());
        let one = of(1).expect("a plan");
        assert_eq!(of(3).expect("the same plan"), one);
        assert_eq!(one.matrix.cells.len(), 6);
        assert!(one.matrix.cells.iter().all(|cell| cell.runs == 40));
    }

    #[test]
    fn what_cannot_be_run_is_refused() {
        let problem = run(&plan(&["hom"], 1, 1), |_| ()).expect_err("no such NAT").to_string();
        assert!(problem.contains("did you mean `home`?"), "{problem}");
    }

    #[test]
    fn shares_are_by_weight() {
        let cell = |a, b, direct| Cell { a, b, runs: 10, direct, failed: 10 - direct, ..Cell::default() };
        let matrix = Matrix {
            nats: vec!["x".to_owned(), "y".to_owned()],
            cells: vec![cell(0, 0, 10), cell(0, 1, 5), cell(1, 1, 0)],
            seeds: 10,
            ..Matrix::default()
        };
        let population = Population { name: "", about: "", weights: &[("y", 20), ("x", 80)] };
        let shares = Shares::of(&population, &matrix).expect("all pairs are there");
        // 64 % are x × x, 32 % one of each.
        assert_eq!((shares.direct, shares.relayed, shares.failed), (800_000, 0, 200_000));
        assert_eq!(Shares::of(&populations()[0], &matrix), None);
        assert_eq!(median(vec![(30, 1), (10, 1), (20, 9)]), Some(20));
        assert_eq!(median(Vec::new()), None);
    }
}
