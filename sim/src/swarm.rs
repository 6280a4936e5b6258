//! Random scenarios, one after the other, until one of them breaks an invariant; that one is made smaller.
//!
//! [`hunt`] is `bradawl-sim swarm` for a test of one's own. It keeps nothing of a scenario that is as it must
//! be, so that it can go on for days; and what it finds is the same for any number of threads.

use core::fmt;
use core::ops::ControlFlow;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::check::{Outcome, PairOutcome, Violation};
use crate::jobs;
use crate::odds::Odds;
use crate::oracle::Expectation;
use crate::report::figures::clock;
use crate::scenario::{Plant, Scenario, shrink};
use crate::trace::Digest;
use crate::world::{InvalidWorld, Keep, Report, World};

/// So many scenarios are one piece of work for a thread. The first of each is run twice.
const PIECE: u32 = 16;

/// Runs a scenario to its end.
pub fn run(scenario: &Scenario, keep: Keep) -> Result<Report, InvalidWorld> {
    let mut world = World::of(scenario, keep)?;
    world.run_for(scenario.time.duration());
    Ok(world.finish())
}

/// What to look through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The seed of the first scenario; the others' follow it.
    pub seed: u32,
    /// How many at most.
    pub count: u32,
    /// A bug that is in all of them on purpose.
    pub plant: Option<Plant>,
    /// How many threads.
    pub jobs: usize,
    /// How many runs may be spent on making smaller what is found.
    pub shrink: usize,
}

impl Plan {
    /// One of its scenarios.
    pub fn scenario(&self, seed: u32) -> Scenario {
        Scenario { plant: self.plant, ..Scenario::random(seed) }
    }
}

/// What is wrong with a scenario, or rather with what is run in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// An invariant is broken.
    Broken(Violation),
    /// Two runs of it are not the same (invariant 7).
    Different(Digest, Digest),
    /// Something panicked, and said this.
    Panicked(String),
    /// There is no such world though the scenario was checked.
    Impossible(String),
}

impl Wrong {
    /// What must hold and does not, in words that stay the same while a scenario is made smaller.
    pub fn what(&self) -> String {
        match self {
            Self::Broken(violation) => violation.invariant.to_string(),
            Self::Different(..) => "the same seed gives the same run".to_owned(),
            Self::Panicked(_) => "nothing panics".to_owned(),
            Self::Impossible(_) => "every scenario that was checked can be run".to_owned(),
        }
    }

    /// Who did what, in one line.
    pub fn detail(&self) -> String {
        let detail = match self {
            Self::Broken(Violation { at, detail, .. }) => {
                format!("after {}: {detail}", clock(at.as_micros()))
            }
            Self::Different(one, other) => format!("digests {one} and {other}"),
            Self::Panicked(said) | Self::Impossible(said) => said.clone(),
        };
        detail.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.what(), self.detail())
    }
}

/// Sums over all scenarios that were run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// How many scenarios.
    pub scenarios: u64,
    /// How many of them were run twice.
    pub repeated: u64,
    /// How many packets.
    pub packets: u64,
    /// How many pairs in the end had a direct path,
    pub direct: u64,
    /// a relayed one,
    pub relayed: u64,
    /// or none.
    pub failed: u64,
    /// What was only probable, where nothing went wrong on purpose.
    pub odds: Odds,
}

impl Totals {
    fn merge(&mut self, other: &Self) {
        self.scenarios += other.scenarios;
        self.repeated += other.repeated;
        self.packets += other.packets;
        self.direct += other.direct;
        self.relayed += other.relayed;
        self.failed += other.failed;
        self.odds.merge(&other.odds);
    }

    fn add(&mut self, scenario: &Scenario, report: &Report) {
        self.packets += report.packets;
        for PairOutcome { outcome, expectation, .. } in &report.pairs {
            match outcome {
                Outcome::Direct { .. } => self.direct += 1,
                Outcome::Relayed { .. } => self.relayed += 1,
                Outcome::Failed(_) | Outcome::Nothing => self.failed += 1,
            }
            // After a fault there may not have been the time for what is probable.
            if let Expectation::Probable(chance) = expectation
                && scenario.faults.is_empty()
            {
                self.odds.add(*chance, outcome.is_direct());
            }
        }
    }
}

/// A scenario that shows that something is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Find {
    /// The seed it grew from.
    pub seed: u32,
    /// The scenario, as small as it got.
    pub scenario: Scenario,
    /// What is wrong with it.
    pub wrong: Wrong,
}

/// The line of a file that says what is wrong with the scenario in it begins so.
const BROKEN: &str = "# broken: ";

impl Find {
    /// As a scenario file that says what is wrong with it; `command` replays it.
    pub fn to_toml(&self, command: &str) -> String {
        let Self { seed, scenario, wrong } = self;
        format!(
            "# Found by `bradawl-sim swarm`: what is left of the random scenario of seed {seed}.\n\
             {BROKEN}{}\n# {}\n# {command}\n{}",
            wrong.what(),
            wrong.detail(),
            scenario.to_toml()
        )
    }
}

/// What must hold and did not when this file was written, if it says so.
///
/// ```
/// let text = "# broken: a NAT keeps its promises\ntime = '1 s'\n";
/// assert_eq!(bradawl_sim::swarm::recorded(text), Some("a NAT keeps its promises"));
/// ```
pub fn recorded(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix(BROKEN)).map(str::trim)
}

/// Runs random scenarios until one of them is wrong, there are no more, or `progress` breaks off; it is told
/// the sums so far after each few scenarios.
///
/// ```
/// use core::ops::ControlFlow;
/// use bradawl_sim::scenario::Plant;
/// use bradawl_sim::swarm::{Plan, hunt};
///
/// let plan = Plan { seed: 1, count: 32, plant: Some(Plant::StraySender), jobs: 1, shrink: 50 };
/// let (_, find) = hunt(&plan, |_| ControlFlow::Continue(()));
/// let find = find.expect("it was planted");
/// assert_eq!(find.wrong.what(), "a packet goes only to whom its sender has a warrant for");
/// ```
pub fn hunt(plan: &Plan, mut progress: impl FnMut(&Totals) -> ControlFlow<()>) -> (Totals, Option<Find>) {
    let mut totals = Totals::default();
    let mut found = None;
    let work = |piece: u64| {
        let first = piece as u32 * PIECE;
        let mut totals = Totals::default();
        for number in first..plan.count.min(first.saturating_add(PIECE)) {
            let seed = plan.seed.wrapping_add(number);
            if let Err(wrong) = look_at(&plan.scenario(seed), number == first, &mut totals) {
                return (totals, Some((seed, wrong)));
            }
        }
        (totals, None)
    };
    jobs::in_order(plan.jobs, u64::from(plan.count.div_ceil(PIECE)), work, |(some, wrong)| {
        totals.merge(&some);
        found = wrong;
        let goes_on = progress(&totals);
        if found.is_some() { ControlFlow::Break(()) } else { goes_on }
    });
    let find = found.map(|(seed, wrong)| smallest(plan.scenario(seed), seed, wrong, plan.shrink));
    (totals, find)
}

fn look_at(scenario: &Scenario, twice: bool, totals: &mut Totals) -> Result<(), Wrong> {
    totals.scenarios += 1;
    let report = guarded(scenario)?;
    totals.add(scenario, &report);
    if let Some(violation) = report.violations.into_iter().next() {
        return Err(Wrong::Broken(violation));
    }
    if twice {
        totals.repeated += 1;
        repeated(scenario, report.digest)?;
    }
    Ok(())
}

/// All that is wrong with a scenario: the violations of a run, or that it is another one each time.
pub fn examine(scenario: &Scenario) -> Vec<Wrong> {
    let report = match guarded(scenario) {
        Ok(report) => report,
        Err(wrong) => return vec![wrong],
    };
    let repeated = repeated(scenario, report.digest).err();
    report.violations.into_iter().map(Wrong::Broken).chain(repeated).collect()
}

fn repeated(scenario: &Scenario, digest: Digest) -> Result<(), Wrong> {
    let again = guarded(scenario)?.digest;
    if again == digest { Ok(()) } else { Err(Wrong::Different(digest, again)) }
}

fn guarded(scenario: &Scenario) -> Result<Report, Wrong> {
    caught(|| run(scenario, Keep::Digest))
}

/// A panic is a find like any other.
fn caught(run: impl FnOnce() -> Result<Report, InvalidWorld>) -> Result<Report, Wrong> {
    let said = |panic: Box<dyn Any + Send>| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
    };
    match catch_unwind(AssertUnwindSafe(run)) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(invalid)) => Err(Wrong::Impossible(invalid.to_string())),
        Err(panic) => Err(Wrong::Panicked(said(panic))),
    }
}

/// Makes a scenario smaller as long as the same thing is wrong with it.
fn smallest(scenario: Scenario, seed: u32, wrong: Wrong, budget: usize) -> Find {
    let mut last = wrong;
    let what = last.what();
    let scenario = shrink(
        scenario,
        |smaller| {
            let same = match &last {
                Wrong::Different(..) => examine(smaller),
                _ => wrong_with(smaller),
            };
            let same = same.into_iter().find(|wrong| wrong.what() == what);
            let is_same = same.is_some();
            last = same.unwrap_or_else(|| last.clone());
            is_same
        },
        budget,
    );
    Find { seed, scenario, wrong: last }
}

/// All that is wrong with one run of a scenario.
fn wrong_with(scenario: &Scenario) -> Vec<Wrong> {
    match guarded(scenario) {
        Ok(report) => report.violations.into_iter().map(Wrong::Broken).collect(),
        Err(wrong) => vec![wrong],
    }
}

#[cfg(test)]
mod tests {
    use core::ops::ControlFlow;

    use super::{Find, Plan, Wrong, caught, examine, hunt, recorded};
    use crate::scenario::{Plant, Scenario};
    use crate::trace::Digest;
    use crate::world::InvalidWorld;

    fn plan(plant: Plant, jobs: usize) -> Plan {
        Plan { seed: 60, count: 300, plant: Some(plant), jobs, shrink: 60 }
    }

    fn find(plan: &Plan) -> Find {
        hunt(plan, |_| ControlFlow::Continue(())).1.expect("what was planted is found")
    }

    #[test]
    fn what_is_planted_is_found_and_stays_in_the_file() {
        for plant in [Plant::StraySender, Plant::ForgetfulNat] {
            let found = find(&plan(plant, 1));
            let text = found.to_toml("bradawl-sim replay it.toml");
            let read = Scenario::from_toml(&text).expect("it can be run");
            assert_eq!(read, found.scenario);
            assert!(read.size() < plan(plant, 1).scenario(found.seed).size());
            assert_eq!(recorded(&text), Some(found.wrong.what().as_str()));
            assert!(examine(&read).contains(&found.wrong), "{text}");
        }
    }

    #[test]
    fn the_number_of_jobs_changes_nothing() {
        let of = |jobs| Plan { shrink: 10, ..plan(Plant::ForgetfulNat, jobs) };
        let one = hunt(&of(1), |_| ControlFlow::Continue(()));
        assert_eq!(hunt(&of(3), |_| ControlFlow::Continue(())), one);
    }

    #[test]
    fn a_panic_and_an_impossible_world_are_finds() {
        let panicked = caught(|| panic!("no {}", "way")).expect_err("a panic");
        assert_eq!(panicked.to_string(), "nothing panics: no way");
        let impossible = caught(|| Err(InvalidWorld::NoAddress)).expect_err("no world");
        assert_eq!(impossible.detail(), "a network has no more addresses");
        let different = Wrong::Different(Digest(1), Digest(2));
        assert_eq!(different.detail(), "digests 0000000000000001 and 0000000000000002");
    }

    #[test]
    fn it_ends_when_it_is_told_to() {
        let plan = Plan { seed: 1, count: u32::MAX, plant: None, jobs: 2, shrink: 0 };
        let (totals, find) = hunt(&plan, |_| ControlFlow::Break(()));
        assert_eq!((totals.scenarios, find), (16, None));
        assert_eq!(totals.repeated, 1);
    }
}
