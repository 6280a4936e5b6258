//! The acceptance table of the design (`DESIGN.md` §7): what has to become of two peers, case by case, with
//! what becomes of them beside it.
//!
//! A case is a world (`setting.rs`) and what is demanded of it (`demand.rs`); [`run`] runs each with the same
//! seeds, in as many threads as one likes and with the same result for any number of them.
//!
//! What all cases share: two peers who have found out how they look, are registered, and have been told of each
//! other; the caller begins to punch at a given moment and the callee 50 ms later. Time is counted from the
//! caller's moment until both have a path and agree on it; packets are all those of the two agents until
//! then, checks, answers and marks. A direct round trip takes 80 ms: 19.5 ms on each peer's access link each
//! way and up to 1 ms in its home, and nothing behind it, so the mediator is 20 ms away from both. Packets go lost on the access links,
//! half of what a case says on each, in each direction by itself: so a direct path loses what the case says,
//! and the way to the mediator half as much.

mod demand;
mod setting;
mod table;

use core::ops::ControlFlow;

use crate::jobs;
use crate::world::InvalidWorld;

pub use demand::{Checked, Demand};
pub use setting::{RunOutcome, Setting, run_one, trace};
pub use table::cases;

/// So many runs are one piece of work for a thread.
const PIECE: u32 = 16;

/// One row of the table.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number in the design.
    pub number: u8,
    /// A name for tests and the command line.
    pub name: &'static str,
    /// What it is about.
    pub what: &'static str,
    /// Its world.
    pub setting: Setting,
    /// What has to come out.
    pub demands: Vec<Demand>,
}

/// What to run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Which cases.
    pub cases: Vec<Case>,
    /// How many seeds each,
    pub seeds: u32,
    /// and the first of them.
    pub seed: u32,
    /// How many threads.
    pub jobs: usize,
}

impl Plan {
    /// How many runs that are.
    pub fn runs(&self) -> u64 {
        self.cases.len() as u64 * u64::from(self.seeds)
    }
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Which.
    pub case: Case,
    /// Every run, in the order of seeds.
    pub runs: Vec<RunOutcome>,
}

impl Measured {
    /// Each demand with what was found.
    pub fn checked(&self) -> Vec<Checked> {
        let mut checked: Vec<Checked> =
            self.case.demands.iter().map(|demand| demand.check(&self.runs)).collect();
        checked.push(demand::invariants(&self.runs));
        checked
    }
}

/// Runs a plan. `progress` is told of each piece of work how many runs it was.
///
/// ```
/// use bradawl_sim::accept::{Plan, cases, run};
///
/// let cases = cases().into_iter().filter(|case| case.name == "cone").collect();
/// let measured = run(&Plan { cases, seeds: 2, seed: 1, jobs: 1 }, |_| ())?;
/// assert_eq!(measured[0].runs.len(), 2);
/// # Ok::<(), bradawl_sim::world::InvalidWorld>(())
/// ```
pub fn run(plan: &Plan, mut progress: impl FnMut(u32)) -> Result<Vec<Measured>, InvalidWorld> {
    let mut measured: Vec<Measured> =
        plan.cases.iter().map(|case| Measured { case: case.clone(), runs: Vec::new() }).collect();
    let pieces = u64::from(plan.seeds.div_ceil(PIECE));
    let work = |unit: u64| {
        let case = (unit / pieces) as usize;
        let first = (unit % pieces) as u32 * PIECE;
        let seeds = first..plan.seeds.min(first.saturating_add(PIECE));
        let setting = &plan.cases[case].setting;
        let runs: Result<Vec<RunOutcome>, InvalidWorld> =
            seeds.map(|seed| run_one(setting, plan.seed.wrapping_add(seed))).collect();
        (case, runs)
    };
    let mut failed = None;
    jobs::in_order(plan.jobs, pieces * plan.cases.len() as u64, work, |(case, runs)| match runs {
        Ok(runs) => {
            progress(runs.len() as u32);
            measured[case].runs.extend(runs);
            ControlFlow::Continue(())
        }
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    });
    failed.map_or(Ok(measured), Err)
}
